"""Runs on a clock: starts them, restarts them after a crash, connects agents and a remote venue."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from autohedge.app.compose import as_read, engine_for, venue_for
from autohedge.app.failed_strategy import positions_named
from autohedge.app.records import (
    InterruptedRun,
    RecordOptions,
    RunRecord,
    durable_store,
    open_record,
    recorded_settings,
)
from autohedge.app.reload import SettingsReload
from autohedge.app.trading_run import TradingRun
from autohedge.app.venue_server import handshake_for
from autohedge.app.virtual_run import finish_run
from autohedge.config import DEFAULT_FILE, Settings, load
from autohedge.core.clock import ReplayClock
from autohedge.core.errors import AutoHedgeError, Corrupt, Misconfigured
from autohedge.core.events import Restarted, RunStarted
from autohedge.core.ids import fresh_nonce, nonce_from_seed
from autohedge.core.log import warn
from autohedge.core.results import ProcessFigures, RunReport
from autohedge.exchanges.loopback.client import LoopbackClient
from autohedge.gateway.gateway import DEADLINE_S, PATIENCE_S, VenueGateway
from autohedge.journal import Journal, RunFolder, read
from autohedge.journal.durable import DurableStore
from autohedge.journal.folder import LAUNCH, RUNS
from autohedge.journal.genesis import Genesis
from autohedge.llm.transcript_parts import has_lines
from autohedge.market import LiveStore, StoreCursor, Tape
from autohedge.runtime.bar_clock import BarClock
from autohedge.runtime.control import ControlServer
from autohedge.runtime.observers import ObserverFactory, open_observers
from autohedge.runtime.recovery import (
    before_first_ns,
    ended,
    last_ns,
    nonce_of,
    rehydrate,
    rerun,
    was_stopped,
)
from autohedge.runtime.run_view import RunView
from autohedge.runtime.virtual import VirtualRuntime
from autohedge.runtime.wall import WallRuntime, in_loop
from autohedge.runtime.warm_up import freeze_objects, warm_up

if TYPE_CHECKING:
    from autohedge.graph.prompt_builder import PromptFiles
    from autohedge.graph.runtime import AgentRuntime
    from autohedge.llm.usage import TokenUsage
    from autohedge.tools.lessons import Lesson

DEADLINE_LEAST_S = 1.0
WATCH_S = 300.0  # cadence of the watchdogs that a remote venue gets where the settings have none


class LaunchOptions(msgspec.Struct, frozen=True):
    """How a run is driven; stored beside its record, so that a restart drives it the same way.

    `speed` is a multiple of the tape's own speed, None for as fast as possible. `venue_port` is the port
    of a remote venue, which then sets the speed. `venue_id` identifies that venue: another one on the same
    port would not know the run's orders. If the connection is lost, the run waits `patience_s` for it.
    `seeded` runs have a reproducible record. `config` and `overrides` are where the settings come from, for a
    reload: a file, None for `./config.toml`, and what was set on the command line.
    """

    speed: float | None = None
    venue_port: int | None = None
    venue_id: str = ""
    seeded: bool = False
    patience_s: float = PATIENCE_S
    config: str | None = None
    overrides: tuple[str, ...] = ()

    @classmethod
    def of(cls, folder: RunFolder) -> "LaunchOptions":
        """Returns the options of a run; the defaults without `launch.json`. Raises Corrupt if they are damaged."""
        try:
            return msgspec.convert(folder.read_launch(), cls)
        except msgspec.ValidationError as error:
            raise Corrupt(f"{folder.path / LAUNCH} is damaged: {error}; restore the file") from None


@contextlib.contextmanager
def _open_agents(
    settings: Settings, tape: Tape, launch: LaunchOptions, recorded: InterruptedRun | None
) -> Iterator["AgentRuntime | None"]:
    """Opens the agents runtime: a worker process, or this process for a seeded run; None in hft mode.

    A restarted run keeps the prompts in force at the end of its record: an edit made while it was down counts
    once the file is saved again. A seeded run ignores edits, because its record must be reproducible.
    """
    if settings.trading.mode == "hft":
        yield None
        return
    from autohedge.graph.prompt_builder import PromptFiles
    from autohedge.graph.runtime import InProcessRuntime, WorkerRuntime
    from autohedge.llm.usage import NO_USAGE
    from autohedge.prompts.hot_reload import PromptWatcher

    # Created before the prompts are read: an edit that comes in between is then seen as one.
    edits = PromptWatcher()
    sources, lessons, before = (
        _restored(recorded)
        if recorded
        else (PromptFiles.of(settings).for_markets(tape.content_hashes), [], NO_USAGE)
    )
    seeded = launch.seeded
    agents = (
        InProcessRuntime(settings, sources, spent=before)
        if seeded
        else WorkerRuntime(settings, sources, edits, before)
    )
    with contextlib.closing(agents):
        agents.restore_lessons(lessons)
        yield agents


def _restored(run: InterruptedRun) -> "tuple[PromptFiles, Sequence[Lesson], TokenUsage]":
    """Returns the prompts, the lessons and the usage of a run at the end of its record.

    A transcript that a power failure has cut is no reason to leave positions alone: what it lacks is estimated.
    """
    from autohedge.graph.prompt_builder import PromptFiles
    from autohedge.graph.restore import (
        largest_usage,
        missing_lines,
        prompts_in_force,
        restore_lessons,
        restore_usage,
    )
    from autohedge.llm.prices import PriceTable

    manifest, entries = run.genesis.agents or {}, run.record.entries
    manifest = manifest | {"prompts": prompts_in_force(manifest["prompts"], entries)}
    sources, path = PromptFiles.recorded(manifest, run.folder.stored_file), run.folder.transcript
    prices = PriceTable.of(run.settings, manifest["provider"], manifest["model"])
    try:
        estimated = largest_usage(missing_lines(path, entries), run.settings.llm, prices)
        return sources, restore_lessons(path, entries), restore_usage(path, prices) + estimated
    except Corrupt as error:
        raise Corrupt(
            f"{error}, or move {path.name} and the folder {path.stem} away: the restart then goes on without them"
        ) from None


def start(
    settings: Settings,
    tape: Tape,
    launch: LaunchOptions,
    *,
    seeded: bool,
    observers: Sequence[ObserverFactory] = (),
    root: Path = RUNS,
) -> RunReport:
    """Trades a tape on a clock into a new run folder in `root`; returns the content of `results.json`.

    A seeded run has the record of a run in virtual time; other runs draw a fresh nonce. Raises
    Misconfigured for a seeded run with a remote venue, whose answers have no reproducible timing.
    """
    if seeded and launch.venue_port is not None:
        raise Misconfigured(
            "--seed promises a reproducible record, which a remote venue cannot give; omit --seed or --venue"
        )
    launch = msgspec.structs.replace(launch, seeded=seeded)
    settings = settings if launch.venue_port is None else with_watchdogs(settings)
    with _open_agents(settings, tape, launch, None) as agents:
        return _begin(settings, tape, launch, observers, agents, RecordOptions(root))


def _begin(
    settings: Settings,
    tape: Tape,
    launch: LaunchOptions,
    observers: Sequence[ObserverFactory],
    agents: "AgentRuntime | None",
    options: RecordOptions,
) -> RunReport:
    tape = as_read(settings, tape)
    engine = engine_for(settings, tape)
    folder, head = open_record(settings, tape, msgspec.to_builtins(launch), agents, options)
    with contextlib.closing(durable_store(folder, settings)) as store:
        journal, observer = (
            Journal(store, head, 1),
            open_observers(observers, RunView(engine, tape.cursor), folder.id),
        )
        run = TradingRun(settings, tape, engine, RunRecord(folder, journal), observer, agents)
        nonce = nonce_from_seed(settings.seed) if launch.seeded else fresh_nonce()
        try:
            figures = in_loop(_run(run, launch, store, nonce))
        finally:
            observer.close()
            # Only the genesis was written: the run failed before its first input, so nothing is lost.
            if journal.lines == 1:
                folder.discard()
    return finish_run(run, figures)


def restart_on_clock(interrupted: InterruptedRun, observers: Sequence[ObserverFactory] = ()) -> RunReport:
    """Continues a run on a clock; returns the content of `results.json`."""
    settings, tape, record = interrupted.settings, interrupted.tape, interrupted.record
    folder, engine = record.folder, engine_for(settings, tape)
    launch = LaunchOptions.of(folder)
    _require_answers_of_record(interrupted)
    # A seeded run that died before its first event starts from its seed like a new one.
    nonce = nonce_from_seed(settings.seed) if launch.seeded and not record.entries else fresh_nonce()
    with (
        _open_agents(settings, tape, launch, interrupted) as agents,
        contextlib.closing(open_observers(observers, RunView(engine, tape.cursor), folder.id)) as observer,
    ):
        interrupted.cut_torn_line()
        run = TradingRun(settings, tape, engine, record, observer, agents)
        figures = in_loop(_run(run, launch, interrupted.store, nonce))
    record.journal.sync()  # the results name its last line
    return finish_run(run, figures)


def _require_answers_of_record(run: InterruptedRun) -> None:
    """Raises Corrupt if the transcript has answers but the journal no event: their numbers would come twice."""
    path = run.folder.transcript
    if not run.record.entries and has_lines(path):
        raise Corrupt(
            f"{run.folder.journal} ends with its first line, but {path} has answers; restore the journal, or "
            "start a new run"
        )


def settings_file(path: Path | None) -> str | None:
    """Returns the absolute path of the settings file of a run, which a reload reads again.

    None if there is none: the run then has the shipped defaults.
    """
    path = path or DEFAULT_FILE
    return str(path.absolute()) if path.is_file() else None


def resolved_settings(launch: LaunchOptions, path: Path | None) -> Settings:
    """Returns the settings that a start of the run would have now; `path` names another file.

    Raises Misconfigured, with the file's name, if they are not valid.
    """
    path = path or (Path(launch.config) if launch.config else None)
    if path and not path.is_file():
        raise Misconfigured(
            f"there is no settings file {path}; restore it, or name another one with --config"
        )
    try:
        settings = load(path, launch.overrides)
    except Misconfigured as error:
        named = str(path or DEFAULT_FILE)
        raise Misconfigured(str(error) if named in str(error) else f"{named}: {error}") from None
    return settings if launch.venue_port is None else with_watchdogs(settings)


def with_watchdogs(settings: Settings) -> Settings:
    """Enables periodic reconciliation and the silent-feed check where the settings have them off."""
    books, risk = settings.reconciliation, settings.risk
    changes = {
        "reconciliation": books.model_copy(update={"every_s": books.every_s or WATCH_S}),
        "risk": risk.model_copy(update={"silent_feed_s": risk.silent_feed_s or WATCH_S}),
    }
    return settings.model_copy(update=changes)


def settings_of(folder: RunFolder) -> Settings:
    """Returns the settings of a recorded run.

    Raises Corrupt if the record is damaged, Misconfigured if another version wrote it.
    """
    return recorded_settings(folder, Genesis.of(next(read(folder.journal))))


async def _run(run: TradingRun, launch: LaunchOptions, store: DurableStore, nonce: str) -> ProcessFigures:
    """Starts or continues a run, to its end; returns figures for the results."""
    async with _remote_venue(run, launch, nonce) as remote:
        start = _start_remote(run, nonce, remote) if remote else _start_local(run, launch, nonce)
        if start.first is None:
            return ProcessFigures(interrupted=start.stopped)
        if run.observer.wants_rows:
            start.runtime.on_row = run.observer.on_row
        wall = WallRuntime(
            run.engine, start.runtime, start.clock, start.reached_ns, store, run.observer.on_progress
        )
        # How late the loop wakes differs from machine to machine, so a seeded run must not record it.
        wall.stopped, wall.reports_lag = start.stopped, not launch.seeded
        wall.halts_at_end = remote is not None
        if isinstance(run.tape.growing, StoreCursor) and not launch.seeded:
            wall.bar_clock = BarClock(run.tape.growing)
        tasks = (_serve_venue(remote, wall), _connect_agents(run, wall), _watch_prompts(run, wall))
        listening = [asyncio.ensure_future(each) for each in tasks]
        try:
            folder = run.record.folder
            reload = SettingsReload(run, wall, partial(resolved_settings, launch))
            async with ControlServer(folder.path, wall, reload.apply):
                with positions_named(run.engine, folder):
                    folder.results.unlink(missing_ok=True)  # of a run that goes on for its open orders
                    await wall.run(start.first)
        finally:
            for each in listening:
                each.cancel()
        agents, lag = run.agents.summary() if run.agents else None, wall.lag
        return ProcessFigures(agents, wall.stopped, lag.wakes, lag.worst_ns / 1e6)


@dataclass(frozen=True, slots=True)
class RemoteVenue:
    """A venue in another process: the gateway to it, and its clock."""

    gateway: VenueGateway
    clock: ReplayClock


@contextlib.asynccontextmanager
async def _remote_venue(
    run: TradingRun, launch: LaunchOptions, nonce: str
) -> AsyncIterator[RemoteVenue | None]:
    """Connects to the venue if it is another process; None otherwise."""
    if launch.venue_port is None:
        yield None
        return
    venue = LoopbackClient(
        launch.venue_port, handshake_for(run.settings, run.tape, run.record.folder.id, launch.venue_id)
    )
    warm_up(run.engine, run.tape.rows)  # before the venue's clock begins, or counts for this run
    await venue.connect()
    clock, patience_s = venue.clock, launch.patience_s
    # DEADLINE_S is time on the venue's clock. The floor is real time, which a round trip takes at any speed.
    deadline_s = max(DEADLINE_S / clock.speed, DEADLINE_LEAST_S)
    gateway = VenueGateway(venue, clock.now_ns, nonce, deadline_s=deadline_s, patience_s=patience_s)
    try:
        # The first connection of a run settles its venue; a restart then accepts no other.
        if not launch.venue_id:
            run.record.folder.write_launch(msgspec.to_builtins(launch) | {"venue_id": venue.venue_id})
        yield RemoteVenue(gateway, clock)
    finally:
        gateway.close()


def _connect_agents(run: TradingRun, wall: WallRuntime) -> Coroutine[Any, Any, None]:
    """Connects the agents to the run; returns the coroutine that delivers their answers."""
    if run.agents is None:
        return _no_agents()
    from autohedge.graph.runtime import InProcessRuntime, WorkerRuntime

    if isinstance(run.agents, WorkerRuntime):
        wall.runtime.decisions, wall.runtime.on_prompts = run.agents.worker, run.agents.apply_prompts
        return run.agents.serve(run.record.folder.transcript, wall.inject)
    if isinstance(run.agents, InProcessRuntime):
        wall.runtime.decisions = run.agents.decision_source(run.record.folder.transcript)
    return _no_agents()


async def _watch_prompts(run: TradingRun, wall: WallRuntime) -> None:
    """Applies prompt edits while the run is on; only for agents in a worker process."""
    if run.agents is None:
        return
    from autohedge.graph.runtime import WorkerRuntime

    if isinstance(run.agents, WorkerRuntime):
        await run.agents.watch_prompts(
            lambda: wall.playing, run.record.folder.store_file, wall.inject, run.observer.notify
        )


async def _no_agents() -> None:
    """Does nothing: in-process decisions need no delivery, and a run without agents has none."""


async def _serve_venue(remote: RemoteVenue | None, wall: WallRuntime) -> None:
    """Delivers the events of a remote venue; aborts the run, which can be restarted, if it stays away."""
    if remote:
        try:
            await remote.gateway.run(wall.wake)
        except AutoHedgeError as error:
            wall.abort(error)


@dataclass(slots=True)
class StartPoint:
    """The state of a run before its clock starts; `first` is its first input, None for a run that is over."""

    runtime: VirtualRuntime
    clock: ReplayClock | None
    reached_ns: int
    first: RunStarted | Restarted | None
    stopped: bool = False


def _start_local(run: TradingRun, launch: LaunchOptions, nonce: str) -> StartPoint:
    """Prepares a run with an in-process simulated venue, which a restart rebuilds by rerunning the record."""
    market, entries, reached_ns = run.tape.cursor, run.record.entries, before_first_ns(run.tape.rows)
    if isinstance(market, (LiveStore, StoreCursor)) and run.settings.journal.durability == "power":
        market.keep_synced()
    venue, recorder = venue_for(run.settings, run.tape, nonce_of(entries) or nonce), run.verifying_recorder()
    runtime = VirtualRuntime(run.engine, venue, market, recorder, clock=venue)
    first: RunStarted | Restarted | None = RunStarted(nonce)
    if entries:
        over, reached_ns = rerun(runtime, entries, market)
        recorder.require_end()
        first = None if over else _restarted(run, nonce, reached_ns, run.engine.pos)
    return StartPoint(runtime, _clock(run, launch, reached_ns + 1), reached_ns, first, was_stopped(entries))


def _clock(run: TradingRun, launch: LaunchOptions, first_ns: int) -> ReplayClock | None:
    """Begins the clock of a run with an in-process venue; None for a run as fast as possible, or as rows come."""
    if launch.speed or run.tape.growing:
        warm_up(run.engine, run.tape.rows)
    return ReplayClock.begin(first_ns, launch.speed) if launch.speed else None


def _start_remote(run: TradingRun, nonce: str, remote: RemoteVenue) -> StartPoint:
    """Prepares a run with a remote venue, which outlives a crash: rows were missed, and it is queried."""
    rows, entries, recorder, clock = run.tape.rows, run.record.entries, run.recorder(), remote.clock
    runtime = VirtualRuntime(run.engine, remote.gateway, run.tape.cursor, recorder, clock=None)
    runtime.late_as_one = True
    if not entries:
        return StartPoint(runtime, clock, clock.now_ns(), RunStarted(nonce, clock.now_ns()))
    lost = rehydrate(run.engine, entries, rows, recorder, compare_texts=run.record.compare_texts)
    freeze_objects()  # what the replay of the record has made
    remote.gateway.hold_until(run.engine.execution.tracker.hold_until_ns)
    # The clock may read earlier than the record, which must not go back in time.
    now_ns = max(clock.now_ns(), last_ns(entries, rows))
    pos = max(run.engine.pos, int(np.searchsorted(rows.ts, now_ns, side="right")))
    over = ended(entries) and not run.engine.orders.working
    first = None if over else _restarted(run, nonce, now_ns, pos, lost)
    return StartPoint(runtime, clock, now_ns, first, stopped=was_stopped(entries))


def _restarted(
    run: TradingRun, nonce: str, at_ns: int, pos: int, lost_at_crash: tuple[str, ...] = ()
) -> Restarted:
    """Returns the first input after a restart; warns of answers that the transcript has lost."""
    restarted = Restarted(at_ns, pos, nonce, lost_at_crash)
    if run.agents is None:
        return restarted
    from autohedge.graph.restore import last_number, missing_answers

    path = run.record.folder.transcript
    missing = missing_answers(path, run.record.entries)
    if missing:
        warn(
            f"{path} lacks the answers of {len(missing)} decisions, as a power failure can lose them: the run "
            "goes on without their texts and lessons, and its budget counts the most that they can have used",
            deliberations=", ".join(map(str, missing)),
        )
    return msgspec.structs.replace(restarted, last_number=last_number(path), missing_answers=missing)

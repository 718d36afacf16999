"""Runs on a clock: start, restart after a crash, connect agents and a venue in another process."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from autohedge.app.compose import engine_for, venue_for
from autohedge.app.records import open_record, origins_of, recorded_settings
from autohedge.app.venue_server import handshake_for
from autohedge.app.virtual_run import finish_run
from autohedge.config import Settings
from autohedge.core.clock import ReplayClock
from autohedge.core.errors import AutoHedgeError, Corrupt, Misconfigured, Unavailable
from autohedge.core.events import JournalEntry, Restarted, RunStarted
from autohedge.core.ids import fresh_nonce, nonce_from_seed
from autohedge.engine.engine import Engine
from autohedge.exchanges.loopback.client import LoopbackClient
from autohedge.gateway.gateway import DEADLINE_S, PATIENCE_S, VenueGateway
from autohedge.journal import Journal, RunFolder, read
from autohedge.journal.chain import torn_tail_bytes
from autohedge.journal.durable import DurableStore
from autohedge.journal.genesis import Genesis
from autohedge.market import Tape, reopen
from autohedge.runtime.control import ControlServer
from autohedge.runtime.observers import IsolatedObserver, NullObserver, ObserverFactory, RunObserver, tee
from autohedge.runtime.recovery import VerifyingRecorder, ended, last_ns, rehydrate, rerun, was_stopped
from autohedge.runtime.virtual import VirtualRuntime
from autohedge.runtime.wall import WallRuntime, in_loop

if TYPE_CHECKING:
    from autohedge.graph.prompt_builder import PromptFiles
    from autohedge.graph.runtime import AgentRuntime
    from autohedge.tools.lessons import Lesson

DEADLINE_LEAST_S = 1.0
WATCH_S = 300.0


class LaunchOptions(msgspec.Struct, frozen=True):
    """How a run is driven: `speed` times the tape's own, None for as fast as it goes.

    `venue_port` is where the venue listens if it is another process, which then sets the speed, and
    `venue_id` which venue it is: another one at that port would know nothing of the run's orders. If
    the connection is lost, the run waits `patience_s` for it.
    """

    speed: float | None = None
    venue_port: int | None = None
    venue_id: str = ""
    seeded: bool = False
    patience_s: float = PATIENCE_S


@dataclass(slots=True)
class RunContext:
    """All that a run on a clock is made of."""

    settings: Settings
    tape: Tape
    launch: LaunchOptions
    folder: RunFolder
    store: DurableStore
    journal: Journal
    engine: Engine
    observer: RunObserver
    agents: "AgentRuntime | None"


@contextlib.contextmanager
def _open_agents(
    settings: Settings, tape: Tape, launch: LaunchOptions, recorded: tuple[RunFolder, Genesis] | None
) -> Iterator["AgentRuntime | None"]:
    """Who answers questions: a process of its own, or for a seeded run this one; None if nothing is asked.

    A run that goes on keeps the prompts that were in force at the end of its record: what was edited while it was
    dead counts when it is edited again. A seeded run looks at no edits: it promises the same record again.
    """
    if settings.trading.mode == "hft":
        yield None
        return
    from autohedge.graph.prompt_builder import PromptFiles
    from autohedge.graph.restore import restore_usage
    from autohedge.graph.runtime import InProcessRuntime, WorkerRuntime
    from autohedge.graph.worker import NO_USAGE
    from autohedge.prompts.hot_reload import PromptWatcher

    edits = PromptWatcher()
    sources, lessons = (
        _restored(*recorded) if recorded else (PromptFiles.of(settings).for_markets(tape.content_hashes), [])
    )
    before = restore_usage(recorded[0].transcript) if recorded else NO_USAGE
    seeded = launch.seeded
    agents = (
        InProcessRuntime(settings, sources, spent=before)
        if seeded
        else WorkerRuntime(settings, sources, edits, before)
    )
    with contextlib.closing(agents):
        agents.restore_lessons(lessons)
        yield agents


def _restored(folder: RunFolder, genesis: Genesis) -> "tuple[PromptFiles, Sequence[Lesson]]":
    """What a run's prompts were, and what it had learned, when its process died.

    Its transcript forgets what its record lost.
    """
    from autohedge.graph.prompt_builder import PromptFiles
    from autohedge.graph.restore import prompts_in_force, restore_lessons

    _, *lines = read(folder.journal)
    record, manifest = [line.entry for line in lines], genesis.slow or {}
    manifest = manifest | {"prompts": prompts_in_force(manifest["prompts"], record)}
    return PromptFiles.recorded(manifest, folder.stored_file), restore_lessons(folder.transcript, record)


def start(
    settings: Settings,
    tape: Tape,
    launch: LaunchOptions,
    *,
    seeded: bool,
    watch: ObserverFactory = NullObserver,
) -> dict[str, Any]:
    """Trade a tape on a clock into a new run folder; return the content of `results.json`.

    With a seed the record is that of virtual time; without one the run's nonce is drawn. Raises
    Misconfigured for a seed with a venue elsewhere: its answers come when they come.
    """
    if seeded and launch.venue_port is not None:
        raise Misconfigured("--seed promises the same record again; a venue in another process cannot")
    launch = msgspec.structs.replace(launch, seeded=seeded)
    settings = settings if launch.venue_port is None else with_watchdogs(settings)
    with _open_agents(settings, tape, launch, None) as agents:
        return _begin(settings, tape, launch, watch, agents)


def _begin(
    settings: Settings,
    tape: Tape,
    launch: LaunchOptions,
    watch: ObserverFactory,
    agents: "AgentRuntime | None",
) -> dict[str, Any]:
    engine = engine_for(settings, tape)
    folder, head = open_record(settings, tape, msgspec.to_builtins(launch), agents)
    with contextlib.closing(_store(folder, settings)) as store:
        journal, observer = Journal(store, head, 1), IsolatedObserver(watch(engine, tape.rows, folder.id))
        run = RunContext(settings, tape, launch, folder, store, journal, engine, observer, agents)
        nonce = nonce_from_seed(settings.seed) if launch.seeded else fresh_nonce()
        try:
            how = in_loop(_run(run, nonce, []))
        finally:
            observer.close()
            if journal.lines == 1:
                folder.discard()
    return finish_run(folder, engine, settings, tape, journal, **how)


def restart(folder: RunFolder, watch: ObserverFactory = NullObserver) -> dict[str, Any]:
    """Go on with a run whose process died; return the content of `results.json`.

    Raises Misconfigured for a run that finished, Refused for one that still runs, Corrupt where
    the record is damaged before its end.
    """
    _require_unfinished(folder)
    with contextlib.closing(DurableStore(folder.journal)) as store:
        _require_unfinished(folder)
        store.truncate_torn(torn_tail_bytes(folder.journal))
        genesis, *lines = read(folder.journal)
        origin = Genesis.of(genesis)
        settings, tape = recorded_settings(folder, origin), reopen(origins_of(origin), folder.tape)
        store.power = settings.journal.durability == "power"
        journal = Journal(store, lines[-1].hash if lines else genesis.hash, len(lines) + 1)
        engine, launch = engine_for(settings, tape), msgspec.convert(folder.read_launch(), LaunchOptions)
        record = [line.entry for line in lines]
        nonce = nonce_from_seed(settings.seed) if launch.seeded and not record else fresh_nonce()
        with (
            _open_agents(settings, tape, launch, (folder, origin)) as agents,
            contextlib.closing(IsolatedObserver(watch(engine, tape.rows, folder.id))) as observer,
        ):
            run = RunContext(settings, tape, launch, folder, store, journal, engine, observer, agents)
            how = in_loop(_run(run, nonce, record))
    return finish_run(folder, engine, settings, tape, journal, **how)


def with_watchdogs(settings: Settings) -> Settings:
    """What is left to us with a venue elsewhere: compare books, and notice silence, every five minutes."""
    books, risk = settings.reconciliation, settings.risk
    changes = {
        "reconciliation": books.model_copy(update={"every_s": books.every_s or WATCH_S}),
        "risk": risk.model_copy(update={"silent_feed_s": risk.silent_feed_s or WATCH_S}),
    }
    return settings.model_copy(update=changes)


def settings_of(folder: RunFolder) -> Settings:
    """The settings of a recorded run.

    Raises Corrupt where its record is damaged, Misconfigured where it is another version's.
    """
    return recorded_settings(folder, Genesis.of(next(read(folder.journal))))


def _store(folder: RunFolder, settings: Settings) -> DurableStore:
    """The store of a new run; without room for its reserve there is no run."""
    store = DurableStore(folder.journal, power=settings.journal.durability == "power")
    if store.fault:
        store.close()
        folder.discard()
        raise Unavailable(f"{store.fault}; make room, 16 MiB at least")
    return store


def _require_unfinished(folder: RunFolder) -> None:
    if folder.results.is_file():
        raise Misconfigured(f"run {folder.id} finished; `autohedge run` begins a new one")


async def _run(run: RunContext, nonce: str, record: list[JournalEntry]) -> dict[str, Any]:
    """Begin a run, or go on after its record, and play it to its end; return how that went."""
    async with _remote_venue(run, nonce) as remote:
        start = _start_remote(run, nonce, record, remote) if remote else _start_local(run, nonce, record)
        if start.first is None:
            return {"interrupted": start.stopped}
        if run.observer.wants_rows:
            start.runtime.on_row = run.observer.on_row
        wall = WallRuntime(
            run.engine, start.runtime, start.clock, start.reached_ns, run.store, run.observer.on_progress
        )
        wall.stopped, wall.reports_lag = start.stopped, not run.launch.seeded
        tasks = (_serve_venue(remote, wall), _connect_agents(run, wall), _watch_prompts(run, wall))
        listening = [asyncio.ensure_future(each) for each in tasks]
        try:
            async with ControlServer(run.folder.path, wall):
                await wall.run(start.first)
        finally:
            for each in listening:
                each.cancel()
        agents_summary = {"slow": run.agents.summary()} if run.agents else {}
        how = {"interrupted": wall.stopped, "wakes": wall.lag.wakes, "worst_lag_ms": wall.lag.worst_ns / 1e6}
        return how | agents_summary


@dataclass(frozen=True, slots=True)
class RemoteVenue:
    """A venue in another process: the way to it, and its clock."""

    gateway: VenueGateway
    clock: ReplayClock


@contextlib.asynccontextmanager
async def _remote_venue(run: RunContext, nonce: str) -> AsyncIterator[RemoteVenue | None]:
    """The connection to the venue, if that is another process."""
    if run.launch.venue_port is None:
        yield None
        return
    venue = LoopbackClient(
        run.launch.venue_port, handshake_for(run.settings, run.tape, run.folder.id, run.launch.venue_id)
    )
    await venue.connect()
    clock, patience_s = venue.clock, run.launch.patience_s
    # The venue's two seconds; but this machine needs a moment, too, however fast the tape plays.
    deadline_s = max(DEADLINE_S / clock.speed, DEADLINE_LEAST_S)
    gateway = VenueGateway(venue, clock.now_ns, nonce, deadline_s=deadline_s, patience_s=patience_s)
    try:
        if not run.launch.venue_id:
            run.folder.write_launch(msgspec.to_builtins(run.launch) | {"venue_id": venue.venue_id})
        yield RemoteVenue(gateway, clock)
    finally:
        gateway.close()


def _connect_agents(run: RunContext, wall: WallRuntime) -> Coroutine[Any, Any, None]:
    """Let the run ask; what is returned takes in what is answered."""
    if run.agents is None:
        return _no_agents()
    from autohedge.graph.runtime import InProcessRuntime, WorkerRuntime

    if isinstance(run.agents, WorkerRuntime):
        wall.runtime.decisions, wall.runtime.on_prompts = run.agents.worker, run.agents.apply_prompts
        return run.agents.serve(run.folder.transcript, wall.inject)
    if isinstance(run.agents, InProcessRuntime):
        wall.runtime.decisions = run.agents.decision_source(run.folder.transcript)
    return _no_agents()


async def _watch_prompts(run: RunContext, wall: WallRuntime) -> None:
    """Take in edits of the prompts while questions are asked of a worker."""
    if run.agents is None or run.launch.seeded:
        return
    from autohedge.graph.runtime import WorkerRuntime

    if isinstance(run.agents, WorkerRuntime):
        await run.agents.watch_prompts(
            lambda: wall.playing, run.folder.store_file, wall.inject, run.observer.notify
        )


async def _no_agents() -> None:
    """No one answers later: a seeded run is answered at once, or nothing is asked."""


async def _serve_venue(remote: RemoteVenue | None, wall: WallRuntime) -> None:
    """Take in what a venue elsewhere says; if it stays away, the run ends and can be restarted."""
    if remote:
        try:
            await remote.gateway.run(wall.wake)
        except AutoHedgeError as error:
            wall.abort(error)


@dataclass(slots=True)
class StartPoint:
    """Where a run stands before its clock goes: its first input, None if it is over already."""

    runtime: VirtualRuntime
    clock: ReplayClock | None
    reached_ns: int
    first: RunStarted | Restarted | None
    stopped: bool = False


def _start_local(run: RunContext, nonce: str, record: list[JournalEntry]) -> StartPoint:
    """With a simulated venue in this process: it died with the run, and comes back with it."""
    rows, reached_ns = run.tape.rows, int(run.tape.rows.ts[0]) - 1
    venue = venue_for(run.settings, run.tape, _nonce_of(record) or nonce)
    recorder = VerifyingRecorder(record, tee(run.journal, run.observer))
    runtime = VirtualRuntime(run.engine, venue, rows, recorder)
    first: RunStarted | Restarted | None = RunStarted(nonce)
    if record:
        over, reached_ns = rerun(runtime, record, rows)
        recorder.require_end()
        first = None if over else Restarted(reached_ns, run.engine.pos, nonce)
    speed = run.launch.speed
    clock = ReplayClock.begin(reached_ns + 1, speed) if speed else None
    return StartPoint(runtime, clock, reached_ns, first, stopped=was_stopped(record))


def _start_remote(run: RunContext, nonce: str, record: list[JournalEntry], remote: RemoteVenue) -> StartPoint:
    """With a venue in another process: it lived on, so rows were missed and it must be asked."""
    rows, recorder, clock = run.tape.rows, tee(run.journal, run.observer), remote.clock
    runtime = VirtualRuntime(run.engine, remote.gateway, rows, recorder)
    runtime.late_as_one = True
    if not record:
        return StartPoint(runtime, clock, clock.now_ns(), RunStarted(nonce, clock.now_ns()))
    lost = rehydrate(run.engine, record, rows, recorder)
    now_ns = max(clock.now_ns(), last_ns(record, rows))
    pos = max(run.engine.pos, int(np.searchsorted(rows.ts, now_ns, side="right")))
    first = None if ended(record) else Restarted(now_ns, pos, nonce, lost)
    return StartPoint(runtime, clock, now_ns, first, stopped=was_stopped(record))


def _nonce_of(record: list[JournalEntry]) -> str | None:
    """The nonce that a record begins with; None for a record of nothing."""
    if not record:
        return None
    if not isinstance(record[0].event, RunStarted):
        raise Corrupt("the record does not begin with the run's nonce")
    return record[0].event.nonce

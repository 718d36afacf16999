"""Runs on a clock: begun, killed, restarted; and the venue in a process of its own."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from selectors import SelectSelector
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from autohedge.app import conclude, engine_for, open_record, origins_of, recorded_settings, venue_for
from autohedge.config import Settings
from autohedge.core.clock import TapeClock
from autohedge.core.errors import AutoHedgeError, Corrupt, Misconfigured, Unavailable
from autohedge.core.events import Entry, Restarted, RunNonce
from autohedge.core.ids import fresh_nonce, nonce_from_seed
from autohedge.engine.control import Control
from autohedge.engine.engine import Engine
from autohedge.engine.gateway import DEADLINE_S, PATIENCE_S, VenueGateway
from autohedge.engine.retrace import Retraced, ended, last_ns, rebuild, retrace, stopping
from autohedge.engine.virtual import VirtualRuntime
from autohedge.engine.wall import WallRuntime
from autohedge.engine.watch import Contained, Silent, Watch, Watcher, shown
from autohedge.exchanges.house import House
from autohedge.exchanges.loopback import LoopbackVenue
from autohedge.exchanges.simulated import Terms, lots_of
from autohedge.exchanges.wire import HOST, Hello
from autohedge.exchanges.wire_faults import Faults
from autohedge.journal import Journal, RunFolder, read
from autohedge.journal.chain import torn_bytes
from autohedge.journal.durable import Durable
from autohedge.journal.genesis import Genesis
from autohedge.market import Tape, reopen

if TYPE_CHECKING:
    from autohedge.graph.materials import Sources
    from autohedge.graph.plane import Plane
    from autohedge.tools.lessons import Lesson

DEADLINE_LEAST_S = 1.0
WATCH_S = 300.0


class Pace(msgspec.Struct, frozen=True):
    """How a run is driven: `speed` times the tape's own, None for as fast as it goes.

    `venue_port` is where the venue listens if it is another process, which then sets the speed, and
    `house` which venue it is: another one at that port would know nothing of the run's orders. If
    the connection is lost, the run waits `patience_s` for it.
    """

    speed: float | None = None
    venue_port: int | None = None
    house: str = ""
    seeded: bool = False
    patience_s: float = PATIENCE_S


@dataclass(slots=True)
class _Run:
    """All that a run on a clock is made of."""

    settings: Settings
    tape: Tape
    pace: Pace
    folder: RunFolder
    store: Durable
    journal: Journal
    engine: Engine
    watcher: Watcher
    plane: "Plane | None"


@contextlib.contextmanager
def _slow_plane(
    settings: Settings, tape: Tape, pace: Pace, recorded: tuple[RunFolder, Genesis] | None
) -> Iterator["Plane | None"]:
    """Who answers questions: a process of its own, or for a seeded run this one; None if nothing is asked.

    A run that goes on keeps the prompts that were in force at the end of its record: what was edited while it was
    dead counts when it is edited again. A seeded run looks at no edits: it promises the same record again.
    """
    if settings.trading.mode == "hft":
        yield None
        return
    from autohedge.graph.materials import Sources
    from autohedge.graph.plane import VirtualPlane, WorkerPlane
    from autohedge.graph.recall import spent
    from autohedge.graph.worker import NOTHING
    from autohedge.prompts.edits import Edits

    edits = Edits()
    sources, lessons = _recalled(*recorded) if recorded else (Sources.of(settings).about(tape.hashes), [])
    before = spent(recorded[0].transcript) if recorded else NOTHING
    seeded = pace.seeded
    plane = (
        VirtualPlane(settings, sources, spent=before)
        if seeded
        else WorkerPlane(settings, sources, edits, before)
    )
    with contextlib.closing(plane):
        plane.remember(lessons)
        yield plane


def _recalled(folder: RunFolder, genesis: Genesis) -> "tuple[Sources, Sequence[Lesson]]":
    """What a run's prompts were, and what it had learned, when its process died.

    Its transcript forgets what its record lost.
    """
    from autohedge.graph.materials import Sources
    from autohedge.graph.recall import prompts_in_force, recall

    _, *lines = read(folder.journal)
    record, slow = [line.entry for line in lines], genesis.slow or {}
    slow = slow | {"prompts": prompts_in_force(slow["prompts"], record)}
    return Sources.recorded(slow, folder.kept), recall(folder.transcript, record)


def begin(
    settings: Settings, tape: Tape, pace: Pace, *, seeded: bool, watch: Watch = Silent
) -> dict[str, Any]:
    """Trade a tape on a clock into a new run folder; return the content of `results.json`.

    With a seed the record is that of virtual time; without one the run's nonce is drawn. Raises
    Misconfigured for a seed with a venue elsewhere: its answers come when they come.
    """
    if seeded and pace.venue_port is not None:
        raise Misconfigured("--seed promises the same record again; a venue in another process cannot")
    pace = msgspec.structs.replace(pace, seeded=seeded)
    settings = settings if pace.venue_port is None else watchful(settings)
    with _slow_plane(settings, tape, pace, None) as plane:
        return _begin(settings, tape, pace, watch, plane)


def _begin(settings: Settings, tape: Tape, pace: Pace, watch: Watch, plane: "Plane | None") -> dict[str, Any]:
    engine = engine_for(settings, tape)
    folder, head = open_record(settings, tape, msgspec.to_builtins(pace), plane)
    with contextlib.closing(_store(folder, settings)) as store:
        journal, watcher = Journal(store, head, 1), Contained(watch(engine, tape.rows, folder.id))
        run = _Run(settings, tape, pace, folder, store, journal, engine, watcher, plane)
        nonce = nonce_from_seed(settings.seed) if pace.seeded else fresh_nonce()
        try:
            how = in_loop(_play(run, nonce, []))
        finally:
            watcher.close()
            if journal.lines == 1:
                folder.discard()
    return conclude(folder, engine, settings, tape, journal, **how)


def restart(folder: RunFolder, watch: Watch = Silent) -> dict[str, Any]:
    """Go on with a run whose process died; return the content of `results.json`.

    Raises Misconfigured for a run that finished, Refused for one that still runs, Corrupt where
    the record is damaged before its end.
    """
    _require_unfinished(folder)
    with contextlib.closing(Durable(folder.journal)) as store:
        _require_unfinished(folder)
        store.cut(torn_bytes(folder.journal))
        genesis, *lines = read(folder.journal)
        origin = Genesis.of(genesis)
        settings, tape = recorded_settings(folder, origin), reopen(origins_of(origin), folder.tape)
        store.power = settings.journal.durability == "power"
        journal = Journal(store, lines[-1].hash if lines else genesis.hash, len(lines) + 1)
        engine, pace = engine_for(settings, tape), msgspec.convert(folder.read_pace(), Pace)
        record = [line.entry for line in lines]
        nonce = nonce_from_seed(settings.seed) if pace.seeded and not record else fresh_nonce()
        with (
            _slow_plane(settings, tape, pace, (folder, origin)) as plane,
            contextlib.closing(Contained(watch(engine, tape.rows, folder.id))) as watcher,
        ):
            run = _Run(settings, tape, pace, folder, store, journal, engine, watcher, plane)
            how = in_loop(_play(run, nonce, record))
    return conclude(folder, engine, settings, tape, journal, **how)


def watchful(settings: Settings) -> Settings:
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


def _store(folder: RunFolder, settings: Settings) -> Durable:
    """The store of a new run; without room for its reserve there is no run."""
    store = Durable(folder.journal, power=settings.journal.durability == "power")
    if store.trouble:
        store.close()
        folder.discard()
        raise Unavailable(f"{store.trouble}; make room, 16 MiB at least")
    return store


def _require_unfinished(folder: RunFolder) -> None:
    if folder.results.is_file():
        raise Misconfigured(f"run {folder.id} finished; `autohedge run` begins a new one")


def in_loop(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run on a loop whose timers are exact: `select` waits in microseconds, epoll in milliseconds."""
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(SelectSelector())) as runner:
        return runner.run(coroutine)


async def _play(run: _Run, nonce: str, record: list[Entry]) -> dict[str, Any]:
    """Begin a run, or go on after its record, and play it to its end; return how that went."""
    async with _venue_elsewhere(run, nonce) as elsewhere:
        start = (
            _start_elsewhere(run, nonce, record, elsewhere) if elsewhere else _start_here(run, nonce, record)
        )
        if start.first is None:
            return {"interrupted": start.stopped}
        if run.watcher.wants_rows:
            start.runtime.on_row = run.watcher.row
        wall = WallRuntime(
            run.engine, start.runtime, start.clock, start.reached_ns, run.store, run.watcher.wake
        )
        wall.stopped, wall.tells_lag = start.stopped, not run.pace.seeded
        tasks = (_listen(elsewhere, wall), _attach(run, wall), _look_for_edits(run, wall))
        listening = [asyncio.ensure_future(each) for each in tasks]
        try:
            async with Control(run.folder.path, wall):
                await wall.play(start.first)
        finally:
            for each in listening:
                each.cancel()
        slow = {"slow": run.plane.report()} if run.plane else {}
        how = {"interrupted": wall.stopped, "wakes": wall.lag.wakes, "worst_lag_ms": wall.lag.worst_ns / 1e6}
        return how | slow


@dataclass(frozen=True, slots=True)
class _Elsewhere:
    """A venue in another process: the way to it, and its clock."""

    gateway: VenueGateway
    clock: TapeClock


@contextlib.asynccontextmanager
async def _venue_elsewhere(run: _Run, nonce: str) -> AsyncIterator[_Elsewhere | None]:
    """The connection to the venue, if that is another process."""
    if run.pace.venue_port is None:
        yield None
        return
    venue = LoopbackVenue(
        run.pace.venue_port, hello_for(run.settings, run.tape, run.folder.id, run.pace.house)
    )
    await venue.connect()
    clock, patience_s = venue.clock, run.pace.patience_s
    # The venue's two seconds; but this machine needs a moment, too, however fast the tape plays.
    deadline_s = max(DEADLINE_S / clock.speed, DEADLINE_LEAST_S)
    gateway = VenueGateway(venue, clock.now_ns, nonce, deadline_s=deadline_s, patience_s=patience_s)
    try:
        if not run.pace.house:
            run.folder.write_pace(msgspec.to_builtins(run.pace) | {"house": venue.house})
        yield _Elsewhere(gateway, clock)
    finally:
        gateway.close()


def _attach(run: _Run, wall: WallRuntime) -> Coroutine[Any, Any, None]:
    """Let the run ask; what is returned takes in what is answered."""
    if run.plane is None:
        return _nothing()
    from autohedge.graph.plane import VirtualPlane, WorkerPlane

    if isinstance(run.plane, WorkerPlane):
        wall.runtime.counsel, wall.runtime.on_prompts = run.plane.worker, run.plane.change
        return run.plane.serve(run.folder.transcript, wall.hear)
    if isinstance(run.plane, VirtualPlane):
        wall.runtime.counsel = run.plane.counsel(run.folder.transcript)
    return _nothing()


async def _look_for_edits(run: _Run, wall: WallRuntime) -> None:
    """Take in edits of the prompts while questions are asked of a worker."""
    if run.plane is None or run.pace.seeded:
        return
    from autohedge.graph.plane import WorkerPlane

    if isinstance(run.plane, WorkerPlane):
        await run.plane.watch(lambda: wall.playing, run.folder.add, wall.hear, run.watcher.tell)


async def _nothing() -> None:
    """No one answers later: a seeded run is answered at once, or nothing is asked."""


async def _listen(elsewhere: _Elsewhere | None, wall: WallRuntime) -> None:
    """Take in what a venue elsewhere says; if it stays away, the run ends and can be restarted."""
    if elsewhere:
        try:
            await elsewhere.gateway.serve(wall.wake)
        except AutoHedgeError as error:
            wall.fail(error)


@dataclass(slots=True)
class _Start:
    """Where a run stands before its clock goes: its first input, None if it is over already."""

    runtime: VirtualRuntime
    clock: TapeClock | None
    reached_ns: int
    first: RunNonce | Restarted | None
    stopped: bool = False


def _start_here(run: _Run, nonce: str, record: list[Entry]) -> _Start:
    """With a simulated venue in this process: it died with the run, and comes back with it."""
    rows, reached_ns = run.tape.rows, int(run.tape.rows.ts[0]) - 1
    venue = venue_for(run.settings, run.tape, _nonce_of(record) or nonce)
    recorder = Retraced(record, shown(run.journal, run.watcher))
    runtime = VirtualRuntime(run.engine, venue, rows, recorder)
    first: RunNonce | Restarted | None = RunNonce(nonce)
    if record:
        over, reached_ns = retrace(runtime, record, rows)
        recorder.require_end()
        first = None if over else Restarted(reached_ns, run.engine.pos, nonce)
    speed = run.pace.speed
    clock = TapeClock.begin(reached_ns + 1, speed) if speed else None
    return _Start(runtime, clock, reached_ns, first, stopped=stopping(record))


def _start_elsewhere(run: _Run, nonce: str, record: list[Entry], elsewhere: _Elsewhere) -> _Start:
    """With a venue in another process: it lived on, so rows were missed and it must be asked."""
    rows, recorder, clock = run.tape.rows, shown(run.journal, run.watcher), elsewhere.clock
    runtime = VirtualRuntime(run.engine, elsewhere.gateway, rows, recorder)
    runtime.late_as_one = True
    if not record:
        return _Start(runtime, clock, clock.now_ns(), RunNonce(nonce, clock.now_ns()))
    lost = rebuild(run.engine, record, rows, recorder)
    now_ns = max(clock.now_ns(), last_ns(record, rows))
    pos = max(run.engine.pos, int(np.searchsorted(rows.ts, now_ns, side="right")))
    first = None if ended(record) else Restarted(now_ns, pos, nonce, lost)
    return _Start(runtime, clock, now_ns, first, stopped=stopping(record))


def _nonce_of(record: list[Entry]) -> str | None:
    """The nonce that a record begins with; None for a record of nothing."""
    if not record:
        return None
    if not isinstance(record[0].event, RunNonce):
        raise Corrupt("the record does not begin with the run's nonce")
    return record[0].event.nonce


def hello_for(settings: Settings, tape: Tape, run_id: str, house: str) -> Hello:
    """What a trader and its venue in another process must agree on."""
    tapes = tuple(origin.content_hash for origin in tape.origins)
    return Hello(run_id, tapes, settings.simulated.fee_bps, house)


def serve_venue(
    settings: Settings,
    tape: Tape,
    *,
    port: int,
    speed: float,
    ready: Callable[[int], None],
    faults: Faults | None = None,
) -> None:
    """Be the simulated venue of a run in another process, until interrupted.

    Raises Unavailable where the port is taken.
    """
    terms, lots = Terms.of(settings), lots_of(settings, tape.symbols)
    hello = hello_for(settings, tape, "", fresh_nonce())
    house = House(terms, lots, tape.rows, hello, speed=speed, faults=faults)
    try:
        in_loop(house.serve(port, ready))
    except OSError as error:
        raise Unavailable(f"cannot listen on {HOST}:{port}: {error.strerror}; take another --port") from None

"""The composition root: settings, tape, strategy, engine, venue and record put together."""

import contextlib
import platform
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import numpy as np

import autohedge
from autohedge import config
from autohedge.config import Settings
from autohedge.core.clock import NEVER, stamp, wall_ns
from autohedge.core.errors import Corrupt, Misconfigured, Unavailable
from autohedge.core.ids import fresh_suffix, nonce_from_seed
from autohedge.engine.engine import Engine
from autohedge.engine.replay import Difference, replay
from autohedge.engine.virtual import VirtualRuntime
from autohedge.engine.watch import Contained, Silent, Watch, shown
from autohedge.exchanges.simulated import SimulatedVenue, Terms, lots_of
from autohedge.journal import Journal, RunFolder, read
from autohedge.journal.chain import Buffered
from autohedge.journal.folder import as_json
from autohedge.journal.genesis import FORMAT, Genesis
from autohedge.journal.verification import unbroken
from autohedge.kernels.jit import source_hash
from autohedge.market import Origin, Recipe, Tape, TapeSource, open_tape, reopen, synthesize
from autohedge.strategies import build
from autohedge.strategies.registry import source_of

if TYPE_CHECKING:
    from autohedge.graph.plane import VirtualPlane
    from autohedge.graph.reread import Reread

SLICE_ROWS = 1_000_000
THOUGHTFUL_SLICE_ROWS = 2_000
AGENTS_AT_MOST = 4
NO_MODELS = frozenset({"rules", "scripted", "chaos"})


def tape_for(settings: Settings, sources: Sequence[TapeSource]) -> Tape:
    """The tape that was asked for; without sources, the seeded synthetic market."""
    return open_tape(sources) if sources else synthesize(recipe_for(settings))


def recipe_for(settings: Settings) -> Recipe:
    """The synthetic market that the settings describe."""
    synthetic = settings.synthetic
    return Recipe(
        symbols=synthetic.symbols,
        hours=synthetic.hours,
        quotes_per_s=synthetic.quotes_per_s,
        bad_quote_rate=synthetic.bad_quote_rate,
        seed=settings.seed,
    )


def engine_for(settings: Settings, tape: Tape) -> Engine:
    """A fresh engine with the configured strategy on the tape's lanes."""
    return Engine(settings, tape.symbols, build(settings, tape.streams))


def venue_for(settings: Settings, tape: Tape, nonce: str) -> SimulatedVenue:
    """A fresh simulated venue on the tape."""
    return SimulatedVenue(Terms.of(settings), lots_of(settings, tape.symbols), tape.rows, nonce=nonce)


def run(
    settings: Settings, tape: Tape, watch: Watch = Silent, tell: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Trade a tape in virtual time and record it; return the content of `results.json`.

    `tell` hears how many calls of a model are to be expected, and how long they will take.
    """
    with slow_plane(settings, tape) as plane:
        return run_with(plane, settings, tape, watch, tell)


def run_with(
    plane: "VirtualPlane | None",
    settings: Settings,
    tape: Tape,
    watch: Watch = Silent,
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """As `run`, with a slow plane that is open already; None asks nobody."""
    nonce, engine, rows = nonce_from_seed(settings.seed), engine_for(settings, tape), tape.rows
    folder, head = open_record(settings, tape, plane=plane)
    journal = Journal(Buffered(folder.journal), head, 1)
    watcher = Contained(watch(engine, rows, folder.id))
    counsel = plane.counsel(folder.transcript, _foretold(plane, settings, tape, tell)) if plane else None
    runtime = VirtualRuntime(engine, venue_for(settings, tape, nonce), rows, shown(journal, watcher), counsel)
    runtime.on_row = watcher.row if watcher.wants_rows else None
    try:
        runtime.begin(nonce)
        slice_rows = THOUGHTFUL_SLICE_ROWS if plane else SLICE_ROWS
        for row in range(slice_rows, len(rows), slice_rows):
            runtime.advance(int(rows.ts[row]))
            watcher.wake()
        runtime.advance(NEVER)
        runtime.finish()
    finally:
        watcher.close()
        journal.close()
    extra = {"slow": plane.report()} if plane else {}
    return conclude(folder, engine, settings, tape, journal, **extra)


def _foretold(
    plane: "VirtualPlane", settings: Settings, tape: Tape, tell: Callable[[str], None]
) -> Callable[[float], None]:
    """Say how many calls a real model will get; what is returned says how long, once the first answer is in."""
    ready, calls = plane.ready, expected_calls(settings, tape)
    if ready.server in NO_MODELS:
        return lambda _: None
    tell(
        f"[LLM] {ready.provider} · {ready.model} ({ready.server}): about {calls} calls for this tape, at most"
    )
    return lambda ms: tell(
        f"[LLM] the first answer took {ms / 1e3:.1f} s: about {calls * ms / 6e4:.1f} minutes"
    )


def expected_calls(settings: Settings, tape: Tape) -> int:
    """How often a tape's symbols fall due: by quotes, but not sooner than the least pause."""
    rows, hybrid, llm = tape.rows, settings.hybrid, settings.llm
    every, pause_s, agents = hybrid.gate_refresh_quotes, hybrid.min_refresh_s, 1
    if settings.trading.mode == "llm":
        every, pause_s, agents = 1, llm.min_interval_s, AGENTS_AT_MOST
    span_s = (int(rows.ts[-1]) - int(rows.ts[0])) / 1e9
    most = span_s / pause_s if pause_s else float("inf")
    quotes = np.bincount(rows.lane, minlength=len(tape.symbols)).tolist()
    samples = settings.agents.director.samples
    return sum(int(min(count / every, most)) * (samples + agents - 1) for count in quotes)


@contextlib.contextmanager
def slow_plane(settings: Settings, tape: Tape) -> Iterator["VirtualPlane | None"]:
    """The slow plane in this process; None for a run that asks nothing.

    Raises Misconfigured for a prompt, a file or a provider that cannot work, Unavailable without a server.
    """
    if settings.trading.mode == "hft":
        yield None
        return
    from autohedge.graph.materials import Sources
    from autohedge.graph.plane import VirtualPlane

    with contextlib.closing(VirtualPlane(settings, Sources.of(settings).about(tape.hashes))) as plane:
        yield plane


def conclude(
    folder: RunFolder, engine: Engine, settings: Settings, tape: Tape, journal: Journal, **extra: Any
) -> dict[str, Any]:
    """Write and return the results of a run whose record is complete and closed."""
    results = results_of(engine, settings, tape, journal.head, journal.lines) | extra | {"run": folder.id}
    folder.write_results(results)
    return results


def results_of(engine: Engine, settings: Settings, tape: Tape, head: str, lines: int) -> dict[str, Any]:
    """What `results.json` says: the result, the fills, and what the figures rest on."""
    return engine.result() | {
        "mode": settings.trading.mode,
        "strategy": settings.trader,
        "seed": settings.seed,
        "symbols": list(tape.symbols),
        "synthetic": any(origin.recipe for origin in tape.origins),
        "fills": [msgspec.Raw(fill) for fill in engine.tally.encoded],
        "journal_head": head,
        "journal_lines": lines,
    }


def open_record(
    settings: Settings,
    tape: Tape,
    pace: Mapping[str, Any] | None = None,
    plane: "Kept | None" = None,
) -> tuple[RunFolder, str]:
    """A published run folder whose journal holds the genesis, and the hash of that.

    Raises Unavailable where it cannot be written; nothing is left behind then.
    """
    run_id = f"{stamp(wall_ns())}-{settings.trader.rpartition(':')[2]}-{fresh_suffix()}"
    folder = RunFolder.prepare(run_id)
    try:
        journal = Journal.begin(Buffered(folder.journal), _genesis(folder, settings, tape, plane))
        journal.close()
        if pace is not None:
            folder.write_pace(pace)
        return folder.publish(run_id), journal.head
    except OSError as error:
        folder.discard()
        raise Unavailable(f"cannot write the run's folder: {error}") from None


class Kept(Protocol):
    """A slow plane that belongs into a run's genesis."""

    def keep(self, keep: Callable[[bytes, str], str]) -> dict[str, Any]:
        """What the genesis says of it; its files go through `keep`, which names them."""
        ...


def _genesis(folder: RunFolder, settings: Settings, tape: Tape, plane: Kept | None) -> dict[str, Any]:
    strategy = source_of(settings.strategy.name)
    genesis = Genesis(
        format=FORMAT,
        autohedge=autohedge.__version__,
        code=source_hash(),
        python=platform.python_version(),
        numpy=version("numpy"),
        numba=version("numba"),
        platform=platform.platform(),
        settings=folder.keep(as_json(config.resolved(settings)), ".json"),
        strategy=folder.keep(strategy.read_bytes(), ".py") if strategy else None,
        tape=[asdict(origin) for origin in tape.origins],
        slow=plane.keep(folder.keep) if plane else None,
    )
    return msgspec.structs.asdict(genesis)


def replay_run(folder: RunFolder) -> tuple[Difference | None, bool]:
    """Replay a run's record from its own settings; return the first difference, and if it finished.

    Raises Corrupt where a hash does not fit, Misconfigured where the tape is gone.
    """
    finished = unbroken(folder).finished
    lines = read(folder.journal)
    genesis = Genesis.of(next(lines))
    settings = recorded_settings(folder, genesis)
    tape = reopen(origins_of(genesis), folder.tape)
    return replay(engine_for(settings, tape), tape.rows, (line.entry for line in lines)), finished


def reread_run(folder: RunFolder) -> "Reread | None":
    """Run a run's deliberations again from its record; None for a run that asks nothing.

    Raises Corrupt where a hash does not fit, Misconfigured where the packages of the agents are not installed.
    """
    genesis = Genesis.of(next(read(folder.journal)))
    settings = recorded_settings(folder, genesis)
    if settings.trading.mode == "hft":
        return None
    try:
        from autohedge.graph.reread import reread
    except ModuleNotFoundError as error:
        raise Misconfigured(f"{error}, which deliberations need; replay with --engine-only") from None
    return reread(folder, settings, genesis)


def pack(folder: RunFolder) -> list[Path]:
    """Copy a run's tape files into its folder, so that it replays wherever it is moved.

    Streams of the synthetic market need no file: their recipe is in the genesis. Raises
    Misconfigured where a tape is gone, Corrupt where it is not what the run saw.
    """
    origins = origins_of(Genesis.of(next(read(folder.journal))))
    reopen(origins, folder.tape)
    packed = []
    for origin in origins:
        source = Path(origin.path or "")
        target = folder.tape / f"{origin.content_hash}{source.suffix}"
        if origin.path and not target.exists():
            folder.tape.mkdir(exist_ok=True)
            packed.append(shutil.copyfile(source, target))
    return packed


def origins_of(genesis: Genesis) -> list[Origin]:
    """Where the streams of a recorded run came from. Raises Corrupt if that is damaged."""
    try:
        return msgspec.convert(genesis.tape, list[Origin])
    except msgspec.ValidationError as error:
        raise Corrupt(f"the journal's genesis is damaged: {error}") from None


def recorded_settings(folder: RunFolder, genesis: Genesis) -> Settings:
    """The settings of a recorded run, its own copy of a strategy file included."""
    values = folder.settings(genesis.settings)
    if genesis.strategy:
        class_name = values["strategy"]["name"].rpartition(":")[2]
        values["strategy"]["name"] = f"{folder.kept(genesis.strategy)}:{class_name}"
    return config.from_resolved(values)


def replay_as_dict(
    folder: RunFolder, difference: Difference | None, reread: "Reread | None" = None
) -> dict[str, Any]:
    """What both replays came to, for programs; `deliberations` is None where those were not asked for, or none."""
    parted = difference or (reread and reread.difference)
    return {
        "run": folder.id,
        "same": parted is None,
        "difference": difference and asdict(difference),
        "deliberations": reread and {"same": reread.difference is None} | asdict(reread),
    }

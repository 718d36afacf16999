"""The composition root: settings, tape, strategy, engine, venue and record put together."""

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any

import msgspec

import autohedge
from autohedge import config
from autohedge.config import Settings
from autohedge.core.clock import stamp, wall_ns
from autohedge.core.errors import Corrupt, Unavailable
from autohedge.core.events import AnyEvent, Report, RunResult
from autohedge.core.ids import fresh_suffix, nonce_from_seed
from autohedge.engine.engine import Engine
from autohedge.engine.replay import Difference, replay
from autohedge.engine.result import Fill
from autohedge.engine.virtual import VirtualRuntime
from autohedge.exchanges.simulated import SimulatedVenue, Terms, lots_of
from autohedge.journal import Journal, RunFolder, read
from autohedge.journal.folder import as_json
from autohedge.kernels.jit import source_hash
from autohedge.market import Origin, Recipe, Tape, TapeSource, open_tape, reopen, synthesize
from autohedge.strategies import build
from autohedge.strategies.registry import source_of

FORMAT = 1
FILL_FACTS = ("order_id", "ts_ns", "qty", "price", "fee")


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


def run(settings: Settings, tape: Tape) -> dict[str, Any]:
    """Trade a tape in virtual time and record it; return the content of `results.json`."""
    engine = engine_for(settings, tape)
    run_id = f"{stamp(wall_ns())}-{settings.strategy.name.rpartition(':')[2]}-{fresh_suffix()}"
    folder, journal = _open_record(run_id, settings, tape)
    try:
        nonce = nonce_from_seed(settings.seed)
        VirtualRuntime(engine, venue_for(settings, tape, nonce), tape.rows, journal).run(nonce)
    finally:
        journal.close()
    results = results_of(engine, settings, tape, journal.head, journal.lines) | {"run": run_id}
    folder.write_results(results)
    return results


def results_of(engine: Engine, settings: Settings, tape: Tape, head: str, lines: int) -> dict[str, Any]:
    """What `results.json` says: the result, the fills, and what the figures rest on."""
    return engine.result() | {
        "mode": settings.trading.mode,
        "strategy": settings.strategy.name,
        "seed": settings.seed,
        "symbols": list(tape.symbols),
        "synthetic": any(origin.recipe for origin in tape.origins),
        "fills": [_listed(fill) for fill in engine.tally.fills],
        "journal_head": head,
        "journal_lines": lines,
    }


def _listed(fill: Fill) -> dict[str, Any]:
    fields = msgspec.structs.asdict(fill)
    return {key: value if key == "ts_ns" else str(value) for key, value in fields.items()}


def _open_record(run_id: str, settings: Settings, tape: Tape) -> tuple[RunFolder, Journal]:
    """A published run folder whose journal holds the genesis."""
    folder = RunFolder.prepare(run_id)
    try:
        genesis = _genesis(folder, settings, tape)
        journal = Journal(folder.journal, genesis)
        journal.flush()
        return folder.publish(run_id), journal
    except OSError as error:
        folder.discard()
        msg = f"cannot write the run's folder: {error}"
        raise Unavailable(msg) from None


def _genesis(folder: RunFolder, settings: Settings, tape: Tape) -> dict[str, Any]:
    strategy = source_of(settings.strategy.name)
    return {
        "format": FORMAT,
        "autohedge": autohedge.__version__,
        "code": source_hash(),
        "python": platform.python_version(),
        "numpy": version("numpy"),
        "numba": version("numba"),
        "platform": platform.platform(),
        "settings": folder.keep(as_json(config.resolved(settings)), ".json"),
        "strategy": folder.keep(strategy.read_bytes(), ".py") if strategy else None,
        "tape": [asdict(origin) for origin in tape.origins],
    }


@dataclass(frozen=True, slots=True)
class Verified:
    """What verification found in a sound record."""

    lines: int
    head: str
    finished: bool


@dataclass(slots=True)
class Claims:
    """What the journal says that `results.json` must repeat: the figures, and every fill once."""

    result: dict[str, Any] = field(default_factory=dict)
    fills: dict[tuple[str, str | None], dict[str, Any]] = field(default_factory=dict)

    def take(self, event: AnyEvent | None) -> None:
        """Note an event of the journal."""
        if isinstance(event, RunResult):
            self.result = event.result
        elif isinstance(event, Report) and event.kind == "fill":
            fill = {"order_id": event.order_id, "ts_ns": event.ts_ns, "qty": str(event.quantity)}
            fill |= {"price": str(event.price), "fee": str(event.fee)}
            self.fills.setdefault((event.order_id, event.trade_id), fill)

    def check(self, folder: RunFolder, results: dict[str, Any]) -> None:
        """Hold `results.json` against the journal. Raises Corrupt at the first contradiction."""
        for key, value in self.result.items():
            if results.get(key) != value:
                msg = f"{folder.results}: {key} is {results.get(key)!r}, but the journal says {value!r}"
                raise Corrupt(msg)
        listed = [{key: fill.get(key) for key in FILL_FACTS} for fill in results.get("fills", [])]
        if listed != list(self.fills.values()):
            msg = f"{folder.results}: its fills are not those of the journal"
            raise Corrupt(msg)


def verify(folder: RunFolder) -> Verified:
    """Check a run's chain of hashes, the files that its genesis names, and its results.

    Raises Corrupt at the first thing that does not fit.
    """
    claims = Claims()
    verified, results = _unbroken(folder, claims)
    if results is not None:
        claims.check(folder, results)
    return verified


def _unbroken(folder: RunFolder, claims: Claims) -> tuple[Verified, dict[str, Any] | None]:
    """Check every hash: of the lines, of the files, of the end; note what the journal claims."""
    lines, head = 0, ""
    for line in read(folder.journal):
        lines, head = lines + 1, line.hash
        if line.genesis is not None:
            _check_files(folder, line.genesis)
        claims.take(line.event)
    results = folder.read_results()
    if results is not None and results.get("journal_head") != head:
        msg = f"{folder.journal} does not end where {folder.results} says: lines were cut off or added"
        raise Corrupt(msg)
    return Verified(lines, head, finished=results is not None), results


def _check_files(folder: RunFolder, genesis: dict[str, Any]) -> None:
    for name in (genesis["settings"], genesis["strategy"]):
        if name:
            folder.kept(name)


def replay_run(folder: RunFolder) -> Difference | None:
    """Replay a run's record from its own settings; return the first difference.

    Raises Corrupt where a hash does not fit, Misconfigured where the tape is gone.
    """
    _unbroken(folder, Claims())
    lines = read(folder.journal)
    genesis = next(lines).genesis or {}
    settings = _recorded_settings(folder, genesis)
    tape = reopen(msgspec.convert(genesis["tape"], list[Origin]), folder.tape)
    return replay(engine_for(settings, tape), tape.rows, (line.entry for line in lines))


def _recorded_settings(folder: RunFolder, genesis: dict[str, Any]) -> Settings:
    values = json.loads(folder.kept(genesis["settings"]).read_bytes())
    if genesis["strategy"]:
        class_name = values["strategy"]["name"].rpartition(":")[2]
        values["strategy"]["name"] = f"{folder.kept(genesis['strategy'])}:{class_name}"
    return config.from_resolved(values)


def difference_as_dict(folder: RunFolder, difference: Difference | None) -> dict[str, Any]:
    """A replay's outcome for programs."""
    return {"run": folder.id, "same": difference is None, "difference": difference and asdict(difference)}

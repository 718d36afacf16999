"""Run folders: creates them for new runs, reads them back, replays and packs them."""

import contextlib
import platform
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

import autohedge
from autohedge import config
from autohedge.app.compose import engine_for
from autohedge.app.open_orders import orders_at_remote_venue
from autohedge.app.trust import require_trust
from autohedge.config import Settings
from autohedge.core.clock import compact_utc, wall_ns
from autohedge.core.errors import Corrupt, Misconfigured, Unavailable
from autohedge.core.events import JournalEntry, RunStarted, TapeSealed
from autohedge.core.ids import nonce_from_seed, random_suffix
from autohedge.core.text import one_line
from autohedge.engine.engine import Engine
from autohedge.execution.equity_history import EquityPoint
from autohedge.execution.stats import working_orders
from autohedge.journal import Journal, RunFolder, read
from autohedge.journal.chain import BufferedStore, torn_tail_bytes
from autohedge.journal.durable import DurableStore
from autohedge.journal.folder import LAUNCH, RUNS, sync_names, to_json
from autohedge.journal.genesis import FORMAT, Genesis, StudyMark
from autohedge.journal.verification import ResultProjection, verify_chain
from autohedge.kernels.code_files import source_hash
from autohedge.market import Origin, Tape, reopen
from autohedge.runtime.recovery import has_outside_inputs, reached_in
from autohedge.runtime.replay import Difference, replay
from autohedge.runtime.seals import require_seals
from autohedge.strategies.registry import sources_of, use_stored
from autohedge.strategies.user_code import StrategySources

SHOWN_CHARS = 80

if TYPE_CHECKING:
    from autohedge.graph.replay import DeliberationReplay


@dataclass(frozen=True, slots=True)
class RecordOptions:
    """The folder of runs in which a run is recorded; `study` marks a run that a what-if simulates."""

    root: Path = RUNS
    study: StudyMark | None = None


DEFAULT_RECORD = RecordOptions()


def open_record(
    settings: Settings,
    tape: Tape,
    launch: Mapping[str, Any] | None = None,
    agents: "HasManifest | None" = None,
    options: RecordOptions = DEFAULT_RECORD,
) -> tuple[RunFolder, str]:
    """Creates and publishes a run folder; returns it with the hash of its genesis, the journal's first line.

    Raises Unavailable if the folder cannot be written, and leaves no draft behind then.
    """
    run_id = f"{compact_utc(wall_ns())}-{settings.trader_name.rpartition(':')[2]}-{random_suffix()}"
    # Drafted outside runs/ and moved there by one rename: a folder in runs/ always has its genesis.
    folder = RunFolder.create_draft(run_id, options.root)
    try:
        genesis = _genesis(folder, settings, tape, agents, options.study)
        journal = Journal.begin(BufferedStore(folder.journal), genesis)
        journal.sync()
        journal.close()
        if launch is not None:
            folder.write_launch(launch)
        return folder.publish(run_id, options.root), journal.head
    except Unavailable:
        folder.discard()
        raise
    except OSError as error:
        folder.discard()
        raise Unavailable(f"cannot write the run's folder: {error}") from None


class HasManifest(Protocol):
    """An agents runtime that the genesis of a run describes."""

    def manifest(self, store_file: Callable[[bytes, str], str]) -> dict[str, Any]:
        """Returns the entry for the genesis; stores files with `store_file`, which returns their names."""
        ...


def _genesis(
    folder: RunFolder, settings: Settings, tape: Tape, agents: HasManifest | None, study: StudyMark | None
) -> dict[str, Any]:
    strategy = sources_of(settings)
    genesis = Genesis(
        format=FORMAT,
        autohedge=autohedge.__version__,
        code=source_hash(),
        python=platform.python_version(),
        numpy=version("numpy"),
        numba=version("numba"),
        platform=platform.platform(),
        settings=folder.store_file(to_json(config.to_plain(settings)), ".json"),
        strategy=folder.store_file(strategy.source, ".py") if strategy else None,
        tape=[origin.as_dict() for origin in tape.origins],
        agents=agents.manifest(folder.store_file) if agents else None,
        study=study,
        strategy_module=strategy.module if strategy else None,
        strategy_modules=_stored_modules(folder, strategy) if strategy else {},
    )
    return msgspec.structs.asdict(genesis)


def _stored_modules(folder: RunFolder, strategy: StrategySources) -> dict[str, str]:
    """Stores the modules beside a strategy; returns their stored names by their relative path."""
    return {path: folder.store_file(source, ".py") for path, source in sorted(strategy.modules.items())}


def durable_store(folder: RunFolder, settings: Settings, *, reserved: bool = True) -> DurableStore:
    """Opens the store of a new run. Raises Unavailable if the disk has no room for its reserve."""
    power = settings.journal.durability == "power"
    store = DurableStore(folder.journal, power=power, reserved=reserved)
    if store.fault:
        store.close()
        folder.discard()
        raise Unavailable(f"{store.fault}; free at least 16 MiB")
    return store


@dataclass(frozen=True, slots=True)
class RunRecord:
    """The open record of a run; `entries` are its events from before an interruption, none of a new run.

    With `compare_texts`, the texts of these events are those that today's code writes.
    """

    folder: RunFolder
    journal: Journal
    entries: Sequence[JournalEntry] = ()
    compare_texts: bool = True


@dataclass(frozen=True, slots=True)
class InterruptedRun:
    """A run whose process died, with its record open to go on."""

    settings: Settings
    tape: Tape
    genesis: Genesis
    record: RunRecord
    store: DurableStore

    @property
    def folder(self) -> RunFolder:
        """The folder of the run."""
        return self.record.folder

    def cut_torn_line(self) -> None:
        """Moves an incomplete last line aside, before the next one is appended; nothing was changed until then."""
        self.store.truncate_torn(torn_tail_bytes(self.folder.journal))


@contextlib.contextmanager
def open_interrupted(folder: RunFolder, *, trust: bool = False) -> Iterator[InterruptedRun]:
    """Opens a run whose process died; `trust` is that of `replay_engine`.

    A finished run may go on too while it has open orders at a venue in another process.

    Raises Misconfigured for another finished run, Refused for one that is still running or whose strategy is
    not trusted, Corrupt if the record is damaged before its end.
    """
    _require_unfinished(folder)
    require_trust(folder, Genesis.of(next(read(folder.journal))), trust=trust)
    with contextlib.closing(DurableStore(folder.journal, reserved=bool(folder.read_launch()))) as store:
        # Checked again under the store's lock, since the run may have finished before it was taken.
        _require_unfinished(folder)
        first, *lines = read(folder.journal)
        genesis = Genesis.of(first)
        reached = reached_in(line.event for line in lines)
        settings, tape = recorded_settings(folder, genesis), reopen(origins_of(genesis), folder.tape, reached)
        store.power = settings.journal.durability == "power"
        journal = Journal(store, lines[-1].hash if lines else first.hash, len(lines) + 1)
        record = RunRecord(folder, journal, [line.entry for line in lines], genesis.has_todays_texts)
        _require_launch(folder, record.entries, settings)
        seals = [entry.event for entry in record.entries if isinstance(entry.event, TapeSealed)]
        require_seals(seals, max((entry.pos for entry in record.entries), default=0), tape.cursor, tape.name)
        yield InterruptedRun(settings, tape, genesis, record, store)


def _require_launch(folder: RunFolder, record: Sequence[JournalEntry], settings: Settings) -> None:
    """Raises Corrupt if a run on a clock has lost how it was started, and with it which venue has its orders."""
    seeded = not record or record[0].event == RunStarted(nonce_from_seed(settings.seed))
    in_virtual_time = seeded and not has_outside_inputs(record)
    if not folder.read_launch() and not in_virtual_time:
        raise Corrupt(f"{folder.path / LAUNCH} is missing, but the run was on a clock; restore the file")


def _require_unfinished(folder: RunFolder) -> None:
    report = folder.read_report()
    if report is not None and not orders_at_remote_venue(folder, report):
        raise Misconfigured(f"run {folder.id} is finished; start a new one with `autohedge run`")


def replay_engine(folder: RunFolder, *, trust: bool = False) -> tuple[Difference | None, bool]:
    """Replays the engine of a run; returns the first difference, and whether the run is finished.

    `trust` allows a stored strategy that the user does not have, see `require_trust`.

    Raises Corrupt if a hash does not match or the results do not fit, Misconfigured if the tape is missing,
    Refused if a stored strategy is not trusted.
    """
    claims = ResultProjection()
    finished = verify_chain(folder, claims).finished
    lines = read(folder.journal)
    genesis = Genesis.of(next(lines))
    require_trust(folder, genesis, trust=trust)
    settings = recorded_settings(folder, genesis)
    tape = reopen(origins_of(genesis), folder.tape, claims.reached)
    require_seals(claims.seals, claims.pos, tape.cursor, tape.name)
    record = (line.entry for line in lines)
    engine, compare_texts = engine_for(settings, tape), genesis.has_todays_texts
    difference = replay(engine, tape.rows, record, compare_texts=compare_texts)
    # A difference says more than results that do not fit it.
    if difference is None:
        claims.check(folder)
        _check_working_orders(folder, engine)
        series = engine.equity_history.series(tape.rows, engine.pos, engine.opening)
        check_equity_series(folder, series)
    return difference, finished


def _check_working_orders(folder: RunFolder, engine: Engine) -> None:
    results = folder.read_results()
    expected = msgspec.to_builtins(working_orders(engine.orders))
    if results is not None and results.get("working_orders") != expected:
        raise Corrupt(f"{folder.results}: its open orders are not those of the record")


def check_equity_series(folder: RunFolder, expected: Sequence[EquityPoint]) -> None:
    """Compares the equity series in the results with that of the record; a run without results passes.

    Raises Corrupt with the first point that differs.
    """
    results = folder.read_results()
    if results is None:
        return
    # As JSON, in which 1, 1.0 and true differ.
    recorded = [msgspec.json.encode(point).decode() for point in results["equity_series"]]
    points = [msgspec.json.encode(point).decode() for point in expected]
    for number, (found, point) in enumerate(zip_longest(recorded, points, fillvalue="absent"), start=1):
        if found != point:
            shown = one_line(found, SHOWN_CHARS)
            text = f"point {number} of its equity series is {shown}, but by the record it is {point}"
            raise Corrupt(f"{folder.results}: {text}")


def replay_deliberations(folder: RunFolder) -> "DeliberationReplay | None":
    """Replays the deliberations of a run from its record; None for a run in hft mode, which has no agents.

    Raises Corrupt if a hash does not match, Misconfigured if the packages of the agents are not installed.
    """
    genesis = Genesis.of(next(read(folder.journal)))
    settings = recorded_settings(folder, genesis)
    if settings.trading.mode == "hft":
        return None
    try:
        from autohedge.graph.replay import replay_deliberations
    except ModuleNotFoundError as error:
        raise Misconfigured(
            f"{error}, which deliberations need; install it or replay with --engine-only"
        ) from None
    return replay_deliberations(folder, settings, genesis)


def pack(folder: RunFolder) -> list[Path]:
    """Copies the tape files of a run into its folder, so that it replays on any machine; returns the copies.

    Streams of the synthetic market need no file: their recipe is in the genesis. Raises
    Misconfigured if a tape is missing, Corrupt if its content is not what the run saw.
    """
    origins = origins_of(Genesis.of(next(read(folder.journal))))
    # Only for its checks: every file must still have the content hash of the genesis before any is copied.
    if reopen(origins, folder.tape).growing:
        raise Misconfigured(f"{origins[0].path}: its writer has not closed it yet; pack the run after that")
    packed = []
    for origin in origins:
        source = Path(origin.path or "")
        target = folder.tape / (origin.store or f"{origin.content_hash}{source.suffix}")
        if origin.path and not target.exists():
            folder.tape.mkdir(exist_ok=True)
            sync_names(folder.path)
            packed.append(_copy_whole(source, target))
    return packed


def _copy_whole(source: Path, target: Path) -> Path:
    """Copies a file, or the folder of a store, whole or not at all; the copy survives a power failure."""
    draft = target.with_name(f".{target.name}.tmp")
    if source.is_dir():
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(source, draft)
    else:
        shutil.copyfile(source, draft)
    for path in (*draft.glob("*"), draft):
        sync_names(path)  # of a file it is the content
    draft.replace(target)
    sync_names(target.parent)
    return target


def origins_of(genesis: Genesis) -> list[Origin]:
    """Returns the origin of each stream of a recorded run. Raises Corrupt if the genesis is damaged."""
    try:
        return msgspec.convert(genesis.tape, list[Origin])
    except msgspec.ValidationError as error:
        raise Corrupt(f"the journal's genesis is damaged: {error}") from None


def recorded_settings(folder: RunFolder, genesis: Genesis) -> Settings:
    """Returns the settings of a recorded run; a strategy file is replaced by the copy in the run's folder."""
    values = folder.settings(genesis.settings)
    if genesis.strategy:
        class_name = values["strategy"]["name"].rpartition(":")[2]
        strategy = folder.stored_file(genesis.strategy)
        modules = {path: folder.stored_file(name) for path, name in genesis.strategy_modules.items()}
        use_stored(strategy, genesis.strategy_module, modules)
        values["strategy"]["name"] = f"{strategy}:{class_name}"
    return config.from_plain(values)


def recorded_trader_name(folder: RunFolder) -> str:
    """Returns the name of who trades in a recorded run, as its settings have it."""
    genesis = Genesis.of(next(read(folder.journal)))
    return config.from_plain(folder.settings(genesis.settings)).trader_name


def replay_as_dict(
    folder: RunFolder, difference: Difference | None, reread: "DeliberationReplay | None" = None
) -> dict[str, Any]:
    """Returns both replays as JSON values; `deliberations` is None if those were not replayed."""
    first_difference = difference or (reread and reread.difference)
    return {
        "run": folder.id,
        "same": first_difference is None,
        "difference": difference and asdict(difference),
        "deliberations": reread and {"same": reread.difference is None} | asdict(reread),
    }

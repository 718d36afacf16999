"""Runs in virtual time: trades a tape as fast as possible and writes the results."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from autohedge.app.compose import as_read, engine_for, venue_for
from autohedge.app.failed_strategy import positions_named
from autohedge.app.records import (
    DEFAULT_RECORD,
    InterruptedRun,
    RecordOptions,
    RunRecord,
    durable_store,
    open_record,
    recorded_trader_name,
)
from autohedge.app.trading_run import TradingRun
from autohedge.config import Settings
from autohedge.config.sections import NO_MODELS
from autohedge.core.clock import NEVER
from autohedge.core.events import Continued
from autohedge.core.ids import fresh_nonce, nonce_from_seed
from autohedge.core.ports import Recorder
from autohedge.core.results import ProcessFigures, RunReport
from autohedge.engine.engine import Engine
from autohedge.execution.stats import working_orders
from autohedge.journal import Journal
from autohedge.journal.chain import BufferedStore
from autohedge.journal.folder import RUNS
from autohedge.market import Kind, Tape
from autohedge.market.stream import prices_of
from autohedge.runtime.observers import ObserverFactory, open_observers
from autohedge.runtime.recovery import VerifyingRecorder, ended, nonce_of, repeat, rerun
from autohedge.runtime.run_view import RunView
from autohedge.runtime.virtual import VirtualRuntime

if TYPE_CHECKING:
    from autohedge.graph.runtime import InProcessRuntime
    from autohedge.graph.virtual_time import SimulatedDecisions

# Progress is shown after each slice. With agents a row can cost an LLM call, so the slices are shorter.
SLICE_ROWS = 1_000_000
THOUGHTFUL_SLICE_ROWS = 2_000
AGENTS_AT_MOST = 4  # Director, Quant, Risk and Execution, each called once if none refuses


def run(
    settings: Settings,
    tape: Tape,
    observers: Sequence[ObserverFactory] = (),
    notify: Callable[[str], None] = lambda _: None,
    root: Path = RUNS,
) -> RunReport:
    """Trades a tape in virtual time and records it in the folder of runs `root`.

    Returns the content of `results.json`. `notify` receives the expected number of LLM calls, and their expected
    duration after the first answer.

    Raises Misconfigured for a store that still grows, whose rows only a run on a clock can await, and the errors of
    `open_agents`.
    """
    tape.require_finished()
    with open_agents(settings, tape) as agents:
        return run_in_runtime(agents, settings, tape, observers, notify, RecordOptions(root))


def run_in_runtime(
    agents: "InProcessRuntime | None",
    settings: Settings,
    tape: Tape,
    observers: Sequence[ObserverFactory] = (),
    notify: Callable[[str], None] = lambda _: None,
    options: RecordOptions = DEFAULT_RECORD,
) -> RunReport:
    """Like `run`, with an agents runtime that is already open; None for a run without agents."""
    tape = as_read(settings, tape)
    engine = engine_for(settings, tape)  # before the folder: a wrong strategy must leave none behind
    folder, head = open_record(settings, tape, agents=agents, options=options)
    # Answers of a model can cost hours; without agents the run is quickly repeated.
    opened = durable_store(folder, settings, reserved=False) if agents else BufferedStore(folder.journal)
    with contextlib.closing(opened) as store:
        record = RunRecord(folder, Journal(store, head, 1))
        observer = open_observers(observers, RunView(engine, tape.cursor), folder.id)
        return _drive(TradingRun(settings, tape, engine, record, observer, agents), notify)


def restart_on_tape(
    interrupted: InterruptedRun, observers: Sequence[ObserverFactory], notify: Callable[[str], None]
) -> RunReport:
    """Continues a run in virtual time; returns the content of `results.json`.

    Repeats the run up to the end of its record with the recorded answers, then goes on and asks the model.
    """
    settings, tape, record = interrupted.settings, interrupted.tape, interrupted.record
    # A complete record has every answer, so that no server is needed to write its results.
    opening = contextlib.nullcontext() if ended(record.entries) else _open_recorded_agents(interrupted)
    with opening as agents:
        interrupted.cut_torn_line()
        engine = engine_for(settings, tape)
        observer = open_observers(observers, RunView(engine, tape.cursor), record.folder.id)
        return _drive(TradingRun(settings, tape, engine, record, observer, agents), notify)


def _drive(run: TradingRun, notify: Callable[[str], None]) -> RunReport:
    """Runs a tape to its end, from its start or from where it was interrupted; writes the results."""
    try:
        _trade(run, notify)
    finally:
        run.observer.close()
    run.record.journal.sync()  # the results name its last line
    return finish_run(run, ProcessFigures(run.agents.summary() if run.agents else None))


def _trade(run: TradingRun, notify: Callable[[str], None]) -> None:
    settings, tape, entries = run.settings, run.tape, run.record.entries
    decisions = _decision_source(run, notify)
    nonce = nonce_of(entries) or nonce_from_seed(settings.seed)
    venue = venue_for(settings, tape, nonce)
    recorder = run.verifying_recorder() if entries else run.recorder()
    runtime = VirtualRuntime(run.engine, venue, tape.cursor, recorder, decisions, clock=venue)
    if not _begin(runtime, recorder, nonce, run):
        runtime.on_row = run.observer.on_row if run.observer.wants_rows else None
        with positions_named(run.engine, run.record.folder):
            _play(runtime, run, THOUGHTFUL_SLICE_ROWS if decisions else SLICE_ROWS)


def _decision_source(run: TradingRun, notify: Callable[[str], None]) -> "SimulatedDecisions | None":
    """Opens the source of a run's decisions, and announces its LLM calls; None in hft mode."""
    if run.agents is None:
        return None
    from autohedge.graph.runtime import InProcessRuntime

    assert isinstance(run.agents, InProcessRuntime)  # a worker answers in real time
    announce = _announce_calls(run.agents, run.settings, run.tape, notify)
    return run.agents.decision_source(run.record.folder.transcript, announce)


def _begin(runtime: VirtualRuntime, recorder: Recorder, nonce: str, run: TradingRun) -> bool:
    """Begins a run, or repeats it up to the end of its record; returns whether that ended it."""
    if not isinstance(recorder, VerifyingRecorder):
        runtime.begin(nonce)
        return False
    entries = run.record.entries
    over, reached_ns = (rerun if ended(entries) else repeat)(runtime, entries, run.tape.cursor)
    recorder.require_end()
    if not over:
        runtime.inject(Continued(reached_ns, fresh_nonce()))
    return over


def _play(runtime: VirtualRuntime, run: TradingRun, slice_rows: int) -> None:
    """Runs the rest of a tape, slice by slice, and shows the progress in between."""
    rows = run.tape.rows
    for row in range(run.engine.pos + slice_rows, len(rows), slice_rows):
        runtime.advance(int(rows.ts[row]))
        run.observer.on_progress()
    runtime.advance(NEVER)
    runtime.finish()


@contextlib.contextmanager
def _open_recorded_agents(interrupted: InterruptedRun) -> Iterator["InProcessRuntime | None"]:
    """Opens the agents runtime of a run that goes on; it answers from the transcript first."""
    if interrupted.settings.trading.mode == "hft":
        yield None
        return
    from autohedge.graph.prompt_builder import PromptFiles
    from autohedge.graph.recorded_service import continuing_runtime

    genesis, folder = interrupted.genesis, interrupted.folder
    sources = PromptFiles.recorded(genesis.agents or {}, folder.stored_file)
    with contextlib.closing(
        continuing_runtime(
            interrupted.settings,
            sources,
            genesis.agents_manifest,
            folder.transcript,
            interrupted.record.entries,
        )
    ) as agents:
        yield agents


def _announce_calls(
    agents: "InProcessRuntime", settings: Settings, tape: Tape, notify: Callable[[str], None]
) -> Callable[[float], None]:
    """Announces the expected number of LLM calls; silent for backends that call no model.

    The returned callback takes the duration of the first answer in ms, and announces that of the whole run.
    """
    ready, calls = agents.ready, estimate_calls(settings, tape)
    if ready.server in NO_MODELS:
        return lambda _: None
    notify(
        f"[LLM] {ready.provider} · {ready.model} ({ready.server}): at most about {calls} calls for this tape"
    )
    return lambda ms: notify(
        f"[LLM] the first answer took {ms / 1e3:.1f} s: about {calls * ms / 6e4:.1f} minutes"
    )


def estimate_calls(settings: Settings, tape: Tape) -> int:
    """Estimates the LLM calls for a tape at most, from quote counts and the minimum pause per symbol."""
    rows, hybrid, llm = tape.rows, settings.hybrid, settings.llm
    every, pause_s, agents = hybrid.gate_refresh_quotes, hybrid.min_refresh_s, 1
    if settings.trading.mode == "llm":
        every, pause_s, agents = 1, llm.min_interval_s, AGENTS_AT_MOST
    span_s = (int(rows.ts[-1]) - int(rows.ts[0])) / 1e9
    most = span_s / pause_s if pause_s else float("inf")
    lanes = rows.lane if rows.kinds is None else rows.lane[rows.kinds.priced]
    quotes = np.bincount(lanes, minlength=len(tape.symbols)).tolist()
    samples = settings.agents.director.samples
    # Per question the Director is asked `samples` times, every other agent once.
    return sum(int(min(count / every, most)) * (samples + agents - 1) for count in quotes)


@contextlib.contextmanager
def open_agents(settings: Settings, tape: Tape) -> Iterator["InProcessRuntime | None"]:
    """Opens the agents runtime in this process; None in hft mode, where no agents are used.

    Raises Misconfigured for an unusable prompt, file or provider, Unavailable if the server does not answer.
    """
    if settings.trading.mode == "hft":
        yield None
        return
    from autohedge.graph.prompt_builder import PromptFiles
    from autohedge.graph.runtime import InProcessRuntime

    with contextlib.closing(
        InProcessRuntime(settings, PromptFiles.of(settings).for_markets(tape.content_hashes))
    ) as agents:
        yield agents


def finish_run(run: TradingRun, process: ProcessFigures) -> RunReport:
    """Writes and returns the results of a run whose record is complete and synced."""
    record = run.record
    report = msgspec.structs.replace(
        report_of(run.settings, run.tape, run.engine, process),
        journal_head=record.journal.head,
        journal_lines=record.journal.lines,
        run=record.folder.id,
        strategy=recorded_trader_name(record.folder),  # a restart runs the copy in the folder
    )
    record.folder.write_results(report)
    return report


def report_of(settings: Settings, tape: Tape, engine: Engine, process: ProcessFigures) -> RunReport:
    """Returns the results of a run that has ended, apart from what names its record."""
    bars = any(stream.kind is Kind.BARS for stream in prices_of(tape.streams))
    return RunReport(
        **msgspec.structs.asdict(engine.result()),
        # Every position has a stop and a target, which a bar can cross without a close beyond it.
        bar_exits="close" if bars else None,
        mode=settings.trading.mode,
        strategy=settings.trader_name,
        seed=settings.seed,
        symbols=list(tape.symbols),
        synthetic=any(origin.recipe for origin in tape.origins),
        fills=[msgspec.Raw(fill) for fill in engine.stats.fill_lines],
        equity_series=engine.equity_history.series(tape.cursor.rows, engine.pos, engine.opening),
        working_orders=working_orders(engine.orders),
        **msgspec.structs.asdict(process),
    )

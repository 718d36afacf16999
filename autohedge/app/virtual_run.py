"""Runs in virtual time: trade a tape as fast as possible and write its results."""

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from autohedge.app.compose import engine_for, venue_for
from autohedge.app.records import open_record
from autohedge.config import Settings
from autohedge.core.clock import NEVER
from autohedge.core.ids import nonce_from_seed
from autohedge.engine.engine import Engine
from autohedge.journal import Journal, RunFolder
from autohedge.journal.chain import BufferedStore
from autohedge.market import Tape
from autohedge.runtime.observers import IsolatedObserver, NullObserver, ObserverFactory, tee
from autohedge.runtime.virtual import VirtualRuntime

if TYPE_CHECKING:
    from autohedge.graph.runtime import InProcessRuntime

SLICE_ROWS = 1_000_000
THOUGHTFUL_SLICE_ROWS = 2_000
AGENTS_AT_MOST = 4
NO_MODELS = frozenset({"rules", "scripted", "chaos"})


def run(
    settings: Settings,
    tape: Tape,
    watch: ObserverFactory = NullObserver,
    notify: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Trade a tape in virtual time and record it; return the content of `results.json`.

    `tell` hears how many calls of a model are to be expected, and how long they will take.
    """
    with open_agents(settings, tape) as agents:
        return run_in_runtime(agents, settings, tape, watch, notify)


def run_in_runtime(
    agents: "InProcessRuntime | None",
    settings: Settings,
    tape: Tape,
    watch: ObserverFactory = NullObserver,
    notify: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """As `run`, with a slow plane that is open already; None asks nobody."""
    nonce, engine, rows = nonce_from_seed(settings.seed), engine_for(settings, tape), tape.rows
    folder, head = open_record(settings, tape, agents=agents)
    journal = Journal(BufferedStore(folder.journal), head, 1)
    observer = IsolatedObserver(watch(engine, rows, folder.id))
    decisions = (
        agents.decision_source(folder.transcript, _announce_calls(agents, settings, tape, notify))
        if agents
        else None
    )
    runtime = VirtualRuntime(
        engine, venue_for(settings, tape, nonce), rows, tee(journal, observer), decisions
    )
    runtime.on_row = observer.on_row if observer.wants_rows else None
    try:
        runtime.begin(nonce)
        slice_rows = THOUGHTFUL_SLICE_ROWS if agents else SLICE_ROWS
        for row in range(slice_rows, len(rows), slice_rows):
            runtime.advance(int(rows.ts[row]))
            observer.on_progress()
        runtime.advance(NEVER)
        runtime.finish()
    finally:
        observer.close()
        journal.close()
    extra = {"slow": agents.summary()} if agents else {}
    return finish_run(folder, engine, settings, tape, journal, **extra)


def _announce_calls(
    agents: "InProcessRuntime", settings: Settings, tape: Tape, notify: Callable[[str], None]
) -> Callable[[float], None]:
    """Say how many calls a real model will get; what is returned says how long, once the first answer is in."""
    ready, calls = agents.ready, estimate_calls(settings, tape)
    if ready.server in NO_MODELS:
        return lambda _: None
    notify(
        f"[LLM] {ready.provider} · {ready.model} ({ready.server}): about {calls} calls for this tape, at most"
    )
    return lambda ms: notify(
        f"[LLM] the first answer took {ms / 1e3:.1f} s: about {calls * ms / 6e4:.1f} minutes"
    )


def estimate_calls(settings: Settings, tape: Tape) -> int:
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
def open_agents(settings: Settings, tape: Tape) -> Iterator["InProcessRuntime | None"]:
    """The slow plane in this process; None for a run that asks nothing.

    Raises Misconfigured for a prompt, a file or a provider that cannot work, Unavailable without a server.
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


def finish_run(
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
        "strategy": settings.trader_name,
        "seed": settings.seed,
        "symbols": list(tape.symbols),
        "synthetic": any(origin.recipe for origin in tape.origins),
        "fills": [msgspec.Raw(fill) for fill in engine.stats.fill_lines],
        "journal_head": head,
        "journal_lines": lines,
    }

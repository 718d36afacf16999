"""Row `deciding`: how late quotes are processed while the agents runtime works, hangs or dies."""

import asyncio
import contextlib
import os
import signal
import statistics
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autohedge.app import engine_for, venue_for
from autohedge.core.clock import ReplayClock
from autohedge.core.ids import nonce_from_seed
from autohedge.graph.prompt_builder import PromptFiles
from autohedge.graph.runtime import WorkerRuntime
from autohedge.market import SyntheticSpec, Tape, synthesize
from autohedge.runtime.virtual import VirtualRuntime
from autohedge.runtime.wall import WallRuntime
from benchmarks import session
from benchmarks.row import Row
from benchmarks.wall import EAGER, QUOTES_PER_S, SYMBOLS, play

SECONDS, ROUNDS, BOUND = 10, 3, 2.0
DECIDING = [
    "trading.mode=hybrid",
    "llm.provider=rules",
    "llm.queue_size=200",
    "hybrid.starts_open=true",
    "hybrid.gate_refresh_quotes=50",
    "hybrid.no_trade_cooldown_quotes=0",
    "hybrid.min_refresh_s=5",
]
SIGNALS = {
    "deciding": None,
    "its worker frozen midway": signal.SIGSTOP,
    "its worker killed midway": signal.SIGKILL,
}


@dataclass(frozen=True, slots=True)
class Round:
    """One play of the tape: the lateness of each quote in ns, and counts of what else was done."""

    late_ns: NDArray[np.int64]
    questions: int
    verdicts: int
    fills: int

    @property
    def p99_us(self) -> float:
        """The 99th percentile of the lateness, in microseconds."""
        return float(np.percentile(self.late_ns, 99)) / 1e3


def measure(quotes: int) -> list[Row]:
    """Plays the same tape in hft mode and with a worker that is always busy, in turn."""
    symbols = tuple(f"S{number:03}/USD" for number in range(SYMBOLS))
    tape = synthesize(SyntheticSpec(symbols, SECONDS / 3600, QUOTES_PER_S / SYMBOLS, 0.0, seed=1))
    for mode in ([], DECIDING):
        _warm(tape, mode)
    rounds: dict[str, list[Round]] = {name: [] for name in ("hft", *SIGNALS)}
    for _ in range(ROUNDS):
        rounds["hft"].append(_play(tape, []))
        for name, sent in SIGNALS.items():
            rounds[name].append(_deciding(tape, sent))
    return [_row(name, rounds[name], rounds["hft"]) for name in SIGNALS]


def _warm(tape: Tape, more: list[str]) -> None:
    """Runs once in virtual time: loading the machine code takes seconds, which no clock may count."""
    settings, nonce = session.settings([*EAGER, *more]), nonce_from_seed(0)
    venue = venue_for(settings, tape, nonce)
    VirtualRuntime(engine_for(settings, tape), venue, tape.rows, session.InMemoryRecord(), clock=venue).run(
        nonce
    )


def _row(name: str, rounds: list[Round], hft: list[Round]) -> Row:
    late, base = [each.p99_us for each in rounds], [each.p99_us for each in hft]
    ratio = statistics.median(late) / statistics.median(base)
    questions, verdicts, fills = (
        sum(getattr(each, what) for each in rounds) / len(rounds) / SECONDS
        for what in ("questions", "verdicts", "fills")
    )
    note = (
        f"p99 {_listed(late)} us a round, hft {_listed(base)}; "
        f"worst {_worst(rounds):.0f} ms, hft {_worst(hft):.0f}; "
        f"{questions:.0f} questions a second, {verdicts:.0f} verdicts, {fills:.0f} fills"
    )
    figure = f"{ratio:.2f}x (least {min(late) / min(base):.2f})"
    return Row(name, f"<= {BOUND:g}x hft at p99", figure, ratio <= BOUND, note)


def _listed(values: list[float]) -> str:
    return ", ".join(f"{value:.0f}" for value in values)


def _worst(rounds: list[Round]) -> float:
    return max(float(each.late_ns.max()) for each in rounds) / 1e6


def _deciding(tape: Tape, sent: signal.Signals | None) -> Round:
    settings = session.settings([*EAGER, *DECIDING])
    with contextlib.closing(WorkerRuntime(settings, PromptFiles.of(settings))) as agents:
        return _play(tape, DECIDING, agents, sent)


def _play(
    tape: Tape, more: list[str], agents: WorkerRuntime | None = None, sent: signal.Signals | None = None
) -> Round:
    """Plays the tape in real time; with `agents`, sends `sent` to their process halfway."""
    settings = session.settings([*EAGER, *more])
    engine, nonce, rows = engine_for(settings, tape), nonce_from_seed(0), tape.rows
    taken: list[tuple[int, int]] = []

    def timed(runtime: VirtualRuntime, clock: ReplayClock) -> None:
        advance = runtime.advance

        # Wraps the call of each wake of the loop: after it, all rows up to `engine.pos` are done.
        def woken(until_ns: int) -> None:
            advance(until_ns)
            taken.append((engine.pos, clock.now_ns()))

        runtime.advance = woken  # type: ignore[method-assign]
        if agents:
            runtime.decisions = agents.worker

    def beside(wall: WallRuntime, folder: Path) -> Coroutine[Any, Any, None]:
        return _served(agents, wall, folder, sent) if agents else _no_agents()

    play(engine, venue_for(settings, tape, nonce), rows, nonce, timed, beside)
    deliberations = engine.deliberations.result() if engine.deliberations else None
    asked = deliberations.asked if deliberations else 0
    verdicts = sum(deliberations.verdicts.values()) if deliberations else 0
    return Round(_lateness(rows.ts, taken), asked, verdicts, len(engine.stats.fill_lines))


async def _no_agents() -> None:
    """Does nothing: in hft mode there are no agents."""


async def _served(
    agents: WorkerRuntime, wall: WallRuntime, folder: Path, sent: signal.Signals | None
) -> None:
    """Delivers answers; sends the signal once half of the tape has been played."""
    if sent:
        # `play` starts its clock one second before the first row.
        asyncio.get_running_loop().call_later(1 + SECONDS / 2, os.kill, agents.worker.pid, sent)
    await agents.serve(folder / "transcript.jsonl", wall.inject)


def _lateness(ts: NDArray[np.int64], taken: list[tuple[int, int]]) -> NDArray[np.int64]:
    """Returns the time from each quote's timestamp on the clock until everything it caused was done.

    The last timestamp of the tape is left out: all symbols have a quote there, a hundredth of all quotes.
    """
    ends = np.array([end for end, _ in taken])
    done_ns = np.array([at_ns for _, at_ns in taken])
    rows = np.arange(np.searchsorted(ts, ts[-1]))
    late_ns: NDArray[np.int64] = done_ns[np.searchsorted(ends, rows, side="right")] - ts[rows]
    return late_ns

"""Rows `wall` and `start`: the latency of a run on a clock, and the time that a run takes to start."""

import asyncio
import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from autohedge.app import engine_for
from autohedge.core.clock import ReplayClock, monotonic_ns
from autohedge.core.events import AnyTradingCommand, RunStarted, SubmitOrder
from autohedge.core.ids import nonce_from_seed
from autohedge.engine.engine import Engine
from autohedge.exchanges.simulated import SimulatedVenue, VenueModel, lots_of
from autohedge.journal import Journal
from autohedge.journal.durable import DurableStore
from autohedge.market import SyntheticSpec, Tape, synthesize
from autohedge.market.rows import Rows
from autohedge.runtime.virtual import VirtualRuntime
from autohedge.runtime.wall import WallRuntime, in_loop
from benchmarks import session
from benchmarks.process import surroundings
from benchmarks.row import Row, Spent, percentile
from benchmarks.row import Timed as Times

SYMBOLS, QUOTES_PER_S, SECONDS = 200, 2_000, 30
COMMAND_BOUND_US, HELP_BOUND_S, FIRST_BOUND_S, FIRST_AIM_S = 300.0, 0.3, 0.9, 0.5
ROUNDS = 9
EAGER = [
    "momentum.min_edge_bps=2",
    "momentum.warmup_count=12",
    "exits.take_profit_bps=4",
    "exits.stop_loss_bps=4",
    "sizing.max_order_amount=10",
    "sizing.min_order_amount=10",
]
AT_ONCE = ["momentum.min_edge_bps=-1000", "momentum.warmup_count=2", "momentum.evaluate_every_quotes=1"]

_NS_PER_US = 1_000.0

Beside = Callable[[WallRuntime, Path], Coroutine[Any, Any, None]]


class Timed(SimulatedVenue):
    """A simulated venue that records the time of each order after its quote and after the loop's wake.

    Orders of the tape's last timestamp are left out: all symbols have a quote there, as no other waking has.
    """

    clock: ReplayClock
    last_ns: int
    woke_ns: int
    since_due_ns: list[int]
    since_wake_ns: list[int]

    def send(self, command: AnyTradingCommand, now_ns: int) -> None:
        """Records the times of an order, then accepts it."""
        if isinstance(command, SubmitOrder) and now_ns < self.last_ns:
            self.since_due_ns.append(-self.clock.until_ns(now_ns))
            self.since_wake_ns.append(monotonic_ns() - self.woke_ns)
        super().send(command, now_ns)


def measure(quotes: int) -> list[Row]:
    """Measures the time from the loop's wake for a quote, and from its timestamp, until its order is sent."""
    symbols = tuple(f"S{number:03}/USD" for number in range(SYMBOLS))
    tape = synthesize(SyntheticSpec(symbols, SECONDS / 3600, QUOTES_PER_S / SYMBOLS, 0.0, seed=1))
    venue = _play(tape)
    due, own = (percentile(each, 99) / _NS_PER_US for each in (venue.since_due_ns, venue.since_wake_ns))
    note = (
        f"p50 {percentile(venue.since_wake_ns, 50) / _NS_PER_US:.0f} us, {len(venue.since_wake_ns)} orders; "
        f"from the quote's time on the clock p99 {due:.0f} us"
    )
    bound = f"p99 <= {COMMAND_BOUND_US:g} us"
    return [Row("quote to command", bound, f"{own:.0f} us", own <= COMMAND_BOUND_US, note)]


def _play(tape: Tape) -> Timed:
    """Plays thirty seconds in real time, with a durable journal."""
    settings = session.settings(EAGER)
    engine, nonce, rows = engine_for(settings, tape), nonce_from_seed(0), tape.rows
    venue = Timed(VenueModel.of(settings), lots_of(settings, tape.symbols), rows, nonce=nonce)
    venue.since_due_ns, venue.since_wake_ns, venue.last_ns = [], [], int(rows.ts[-1])

    def timed(runtime: VirtualRuntime, clock: ReplayClock) -> None:
        venue.clock, advance = clock, runtime.advance

        def woken(until_ns: int) -> None:
            venue.woke_ns = monotonic_ns()
            advance(until_ns)

        runtime.advance = woken  # type: ignore[method-assign]

    play(engine, venue, rows, nonce, timed)
    return venue


def play(
    engine: Engine,
    venue: SimulatedVenue,
    rows: Rows,
    nonce: str,
    timed: Callable[[VirtualRuntime, ReplayClock], None],
    beside: Beside | None = None,
) -> None:
    """Plays a tape in real time with a durable journal.

    `timed` receives the runtime and its clock before the start; `beside` runs concurrently.
    """
    with tempfile.TemporaryDirectory() as folder:
        store = DurableStore(Path(folder) / "journal.jsonl")
        runtime = VirtualRuntime(engine, venue, rows, Journal.begin(store, {"benchmark": True}), clock=venue)
        # One second before the first row, so that starting up delays no quote.
        first_ns = int(rows.ts[0]) - 10**9
        clock = ReplayClock.begin(first_ns, 1.0)
        timed(runtime, clock)
        wall = WallRuntime(engine, runtime, clock, first_ns, store)
        in_loop(_along(wall, RunStarted(nonce), beside(wall, Path(folder)) if beside else None))
        store.close()


async def _along(wall: WallRuntime, first: RunStarted, other: Coroutine[Any, Any, None] | None) -> None:
    along = asyncio.ensure_future(other) if other else None
    try:
        await wall.run(first)
    finally:
        if along:
            along.cancel()


def start(quotes: int) -> list[Row]:
    """Measures `--help` beyond an empty Python, and the time until a run has processed its first quote."""
    empty, helped = [], []
    for _ in range(ROUNDS):
        empty.append(_seconds("-c", "pass"))
        helped.append(_seconds("-m", "autohedge", "--help"))
    more = statistics.median(helped) - statistics.median(empty)
    note = f"empty Python {statistics.median(empty):.3f} s"
    first = [_first_quote() for _ in range(ROUNDS)]
    return [
        Row("autohedge --help", f"<= {HELP_BOUND_S:g} s more", f"{more:.2f} s", more <= HELP_BOUND_S, note),
        _first_row(Times.cpu(first), Times.wall(first)),
    ]


def _first_row(cpu: Times, wall: Times) -> Row:
    bound = f"<= {FIRST_BOUND_S:g} s (aim {FIRST_AIM_S:g})"
    figure = f"{cpu.median:.2f} s (least {cpu.least:.2f})"
    note = (
        "processor time; hft mode, from the start of the process to its first journaled order, caches warm; "
        f"wall {wall.median:.2f} (least {wall.least:.2f})"
    )
    return Row("first quote", bound, figure, cpu.median <= FIRST_BOUND_S, note)


def _seconds(*arguments: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True, env=surroundings())
    return time.perf_counter() - started


def _first_quote() -> Spent:
    """Returns the time until a run on a clock journals an order, which a second quote triggers."""
    command = [sys.executable, "-m", "autohedge", "run", "--mode", "hft", "--speed", "real", "-q"]
    for setting in (*AT_ONCE, "synthetic.hours=0.1", "synthetic.quotes_per_s=100"):
        command += ["--set", setting]
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        with subprocess.Popen(command, cwd=folder, env=surroundings()) as child:
            while not any(
                b"submit" in each.read_bytes() for each in Path(folder).glob("runs/*/journal.jsonl")
            ):
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(0.002)
            # The id of the clock of another process's processor time, as clock_getcpuclockid(3) computes it.
            spent = Spent(time.perf_counter() - started, time.clock_gettime(~child.pid << 3 | 2))
            child.kill()
    return spent

"""Row `waking`: the longest stall of a run on a clock from its first quote to its first order.

Each round is a process of its own, because only the first quotes of a process find anything that is not loaded
yet. Quotes that arrive during such a stall wait for its end.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from autohedge.app.restart import restart
from autohedge.app.wall_run import LaunchOptions, start
from autohedge.core.events import ExecutionReport, JournalEntry, SubmitOrder
from autohedge.journal import RunFolder
from autohedge.market import SyntheticSpec, Tape, synthesize
from autohedge.runtime.observers import NullObserver
from autohedge.runtime.wall import WallRuntime
from benchmarks import session
from benchmarks.process import surroundings
from benchmarks.row import Row

ROUNDS, BOUND_MS = 7, 2.0
SYMBOLS, QUOTES_PER_S, HOURS = 10, 20.0, 0.05
# The first order comes after some seconds of quotes, and each position stays open for a while.
SETTINGS = [
    "momentum.min_edge_bps=-1000",
    "momentum.warmup_count=40",
    "momentum.evaluate_every_quotes=1",
    "exits.max_hold_s=3",
    "sizing.max_order_amount=10",
    "sizing.min_order_amount=10",
]


class Longest(NamedTuple):
    """The longest waking, in processor time of the loop's thread and in real time."""

    cpu_ms: float
    wall_ms: float


def measure(quotes: int) -> list[Row]:
    """Measures the longest waking up to the first order, of new runs and of restarted ones with a position."""
    new, restarted = [], []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            new.append(_child(Path(folder), "new"))
        with tempfile.TemporaryDirectory() as folder:
            _run(Path(folder), "killed", -signal.SIGKILL)
            restarted.append(_child(Path(folder), "restarted"))
    return [_row("longest waking", new), _row("longest waking, restarted", restarted)]


def _row(name: str, rounds: Sequence[Longest]) -> Row:
    typical = statistics.median(each.cpu_ms for each in rounds)
    real = statistics.median(each.wall_ms for each in rounds)
    note = f"processor time, from first quote to first order; real time {real:.2f} ms"
    return Row(name, f"<= {BOUND_MS:g} ms", f"{typical:.2f} ms", typical <= BOUND_MS, note)


def _child(folder: Path, part: str) -> Longest:
    return Longest(*json.loads(_run(folder, part, 0)))


def _run(folder: Path, part: str, expected: int) -> bytes:
    """Runs a child process; returns its output. Raises RuntimeError if it ends with another exit code."""
    command = [sys.executable, "-m", "benchmarks.waking", part]
    done = subprocess.run(command, cwd=folder, env=surroundings(), capture_output=True, check=False)
    if done.returncode != expected:
        msg = f"{' '.join(command)} ended with {done.returncode}: {done.stderr.decode()}"
        raise RuntimeError(msg)
    return done.stdout


# The child processes run the code below.


class SignalAt(NullObserver):
    """An observer that sends `number` to its own process at the first event of the types in `wants`."""

    number: signal.Signals
    sent = False

    def on_event(self, entry: JournalEntry) -> None:
        """Sends the signal, once."""
        if not self.sent:
            os.kill(os.getpid(), self.number)
        self.sent = True


class StoppedAtOrder(SignalAt):
    """Stops the run in order at its first order; that waking still ends."""

    wants = frozenset({SubmitOrder})
    number = signal.SIGINT


class KilledAtFill(SignalAt):
    """Kills the process at the first fill, so that a position is open."""

    wants = frozenset({ExecutionReport})
    number = signal.SIGKILL


def _market() -> Tape:
    symbols = tuple(f"S{number}/USD" for number in range(SYMBOLS))
    return synthesize(SyntheticSpec(symbols, HOURS, QUOTES_PER_S, 0.0, seed=1))


def _timed_wakes() -> Callable[[], Longest]:
    """Measures each wake from now on; returns a function that gives the longest so far."""
    catch_up, spent = WallRuntime._catch_up, [Longest(0.0, 0.0)]

    def timed(self: WallRuntime) -> None:
        began_cpu_ns, began_ns = time.thread_time_ns(), time.perf_counter_ns()
        catch_up(self)
        cpu_ns, wall_ns = time.thread_time_ns() - began_cpu_ns, time.perf_counter_ns() - began_ns
        spent.append(Longest(cpu_ns / 1e6, wall_ns / 1e6))

    WallRuntime._catch_up = timed  # type: ignore[method-assign]
    return lambda: max(spent)


def main() -> None:
    """Runs or restarts a run in this folder, and prints its longest waking up to the first order."""
    part, longest = sys.argv[1], _timed_wakes()
    if part == "restarted":
        restart(RunFolder.find(next(Path("runs").iterdir()).name), [StoppedAtOrder])
    else:
        observer = KilledAtFill if part == "killed" else StoppedAtOrder
        start(session.settings(SETTINGS), _market(), LaunchOptions(1.0), seeded=False, observers=[observer])
    print(json.dumps(longest()))


if __name__ == "__main__":
    main()

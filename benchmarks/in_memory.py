"""Row `in memory`: what a short run without a record costs beside the engine."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from autohedge import app
from autohedge.config import Settings
from autohedge.engine.engine import Engine
from autohedge.market import Tape
from benchmarks import session
from benchmarks.row import Row, Spent, Timed, clocked, interleaved

RUN_QUOTES, BOUND_MS, ROUNDS = 10_000, 5.0, 15
# With the shipped settings a tape this short has hardly a fill.
TRADES_OFTEN = ["momentum.min_edge_bps=3", "exits.take_profit_bps=15", "exits.stop_loss_bps=15"]


def measure(quotes: int) -> list[Row]:
    """Measures whole runs in memory, and in other runs in turn the time within `Engine.scan` and `Engine.step`."""
    wanted, tape = session.settings(TRADES_OFTEN), session.tape(quotes)
    tape = tape.between(int(tape.rows.ts[0]), int(tape.rows.ts[RUN_QUOTES]))
    variants = {
        "whole": lambda: clocked(lambda: app.run_in_memory(wanted, tape)),
        "engine": lambda: _in_engine(wanted, tape),
    }
    spent = interleaved(variants, ROUNDS)
    fills = len(app.run_in_memory(wanted, tape).fills)
    rounds = zip(spent["whole"], spent["engine"], strict=True)
    beside = Timed(tuple((whole.cpu_s - engine.cpu_s) * 1e3 for whole, engine in rounds))
    whole = Timed.cpu(spent["whole"])
    note = f"processor time; {len(tape):,} quotes, {fills} fills, {whole.median * 1e3:.2f} ms with the engine"
    figure = f"{beside.median:.2f} ms (least {beside.least:.2f})"
    return [
        Row(
            "run in memory, beside the engine", f"<= {BOUND_MS:g} ms", figure, beside.median <= BOUND_MS, note
        )
    ]


def _in_engine(wanted: Settings, tape: Tape) -> Spent:
    """Returns the time that a run spends in the engine."""
    spent = [0.0, 0.0]
    with _timed(spent, "scan"), _timed(spent, "step"):
        app.run_in_memory(wanted, tape)
    return Spent(*spent)


@contextmanager
def _timed(spent: list[float], name: str) -> Iterator[None]:
    """Adds the wall and the processor time of a method of the engine to `spent`."""
    method: Callable[..., Any] = getattr(Engine, name)

    def timed(*arguments: Any) -> Any:
        began, began_cpu = time.perf_counter(), time.thread_time()
        result = method(*arguments)
        spent[0] += time.perf_counter() - began
        spent[1] += time.thread_time() - began_cpu
        return result

    setattr(Engine, name, timed)
    try:
        yield
    finally:
        setattr(Engine, name, method)

"""Compiles every kernel once for a session, in parallel processes, before the workers start.

As a program it compiles the kernels of one share: python -m tests.kernel_warmup SHARE
"""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from autohedge.kernels import book, crossover, exits_only, matching, momentum
from autohedge.kernels.state import check_one, net_and_gross, new_states, state_dtype
from autohedge.market.bar_aggregator import BarAggregator, BarSource
from autohedge.market.bar_spec import BarSpec
from autohedge.market.books import BookMessage, OrderBook
from autohedge.market.stream import Kind

ROOT = Path(__file__).parents[1]
DONE = "all-compiled"


def warm_up() -> None:
    """Compiles all kernels into the cache on disk, unless that was done for these sources at this place."""
    folder = momentum.scan.stats.cache_path  # type: ignore[attr-defined]
    if folder is None or (Path(folder) / DONE).exists():
        return
    command = [sys.executable, "-m", "tests.kernel_warmup"]
    started = [subprocess.Popen([*command, str(share)], cwd=ROOT) for share in range(len(SHARES))]
    codes = [process.wait() for process in started]
    if not any(codes):
        (Path(folder) / DONE).touch()


def load() -> None:
    """Loads the kernels of a momentum run from the cache."""
    _scan(momentum)
    _small()


def _columns() -> list[np.ndarray[Any, Any]]:
    """Returns one row of every column of a scan, read-only as those of a tape."""
    kinds = (np.int32, np.int64, np.float64, np.float64, np.float64, np.float64)
    columns = [np.ones(1, kind) for kind in kinds]
    for column in columns:
        column.flags.writeable = False
    return columns


def _step(module: Any) -> None:
    module.step_one(new_states(module.DTYPE, 1), 0, 0, 1.0, 1.0, 1.0)


def _scan(module: Any) -> None:
    module.scan(new_states(module.DTYPE, 2), *_columns(), 0, 1)


def _small() -> None:
    for dtype in (exits_only.DTYPE, momentum.DTYPE, crossover.DTYPE):
        net_and_gross(new_states(dtype, 1), np.zeros(1))
    check_one(new_states(state_dtype([]), 1), 0, 1.0, 1.0)
    lane, ts, bid, ask, bid_size, ask_size = _columns()
    matching.last_valid(lane, bid, ask, 0, 1, 0)
    matching.first_touch(lane, bid, ask, 0, 1, 0, 1, 1.0)
    counts, ring = np.zeros(2, np.int64), np.zeros((2, 1), np.int64)
    rings = counts, ring, np.zeros((2, 1, 4)), ring.copy()
    matching.fold_recent(lane, ts, bid, ask, bid_size, ask_size, 0, 1, *rings)


def _book() -> None:
    """Compiles an order book, with columns that can be written as those of a file are."""
    made, out = OrderBook(1.0, sequenced=True), np.empty(0)
    made.apply(BookMessage(np.empty(0, np.int8), out, out))
    made.state(0, 1, 1.0)
    numbers = np.empty(0, np.int64)
    rows = [np.empty(0, np.int8), out, out, np.zeros(1, np.int64), np.empty(0, np.int8)]
    columns: list[Any] = [*rows, numbers, numbers, numbers, 0]
    book.run(*book.new_book(1.0, sequenced=True), *columns)
    book.with_room(book.new_book(1.0, sequenced=True), 1)


def _bars() -> None:
    spec = BarSpec.of("1s")
    names = ("price", "size", "bid", "ask", "open", "high", "low", "close")
    one: dict[str, Any] = {name: [1.0] for name in names}
    for source in (BarSource(Kind.TRADES), BarSource(Kind.QUOTES), BarSource(Kind.BARS, 1)):
        aggregator = BarAggregator(spec, source)
        aggregator.add(one | {"ts": [1]})
        aggregator.advance(1)
        assert len(aggregator.forming) == 1
    BarAggregator(spec, BarSource(Kind.TRADES)).add_trade(1, 1.0, 1.0)


# Shares of about equal work: numba compiles one function at a time in a process.
SHARES: list[list[Callable[[], None]]] = [
    [lambda: _scan(crossover), lambda: _step(crossover), _bars],
    [lambda: _scan(momentum), lambda: _step(momentum), lambda: _scan(exits_only), _small],
    [_book],
]


if __name__ == "__main__":
    for compile_kernels in SHARES[int(sys.argv[1])]:
        compile_kernels()

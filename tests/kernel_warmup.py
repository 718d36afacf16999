"""Compiles every kernel once for a session, in parallel processes, before the workers start.

As a program it compiles the kernels of one share: python -m tests.kernel_warmup SHARE
"""

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from autohedge.kernels import book, crossover, exits_only, matching, momentum, prices
from autohedge.kernels.indicators import INPUTS
from autohedge.kernels.state import check_one, net_and_gross, new_states, state_dtype
from autohedge.market.bar_aggregator import BarAggregator, BarSource
from autohedge.market.bar_series import BarSeries
from autohedge.market.bar_spec import BarSpec
from autohedge.market.books import BookMessage, OrderBook
from autohedge.market.stream import Kind
from autohedge.strategies.indicator_table import DEFINITIONS
from autohedge.strategies.indicators import IndicatorSet, compute, parse_indicator

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
    _scan(momentum, writable=False)
    _small(writable=False)


def _columns(*, writable: bool) -> list[np.ndarray[Any, Any]]:
    """Returns one row of every column of a scan; those of a tape on disk are read-only, others are not."""
    kinds = (np.int32, np.int64, np.float64, np.float64, np.float64, np.float64)
    return [_column(np.ones(1, kind), writable) for kind in kinds]


def _column(values: np.ndarray[Any, Any], writable: bool) -> np.ndarray[Any, Any]:
    values.flags.writeable = writable
    return values


def _step(module: Any) -> None:
    module.step_one(new_states(module.DTYPE, 1), 0, 0, 1.0, 1.0, 1.0)


def _scan(module: Any, *, writable: bool) -> None:
    module.scan(new_states(module.DTYPE, 2), *_columns(writable=writable), 0, 1)


def _scans(module: Any) -> None:
    _scan(module, writable=False)
    _scan(module, writable=True)


def _scan_mixed() -> None:
    lane, ts, bid, ask, close, _ = _columns(writable=False)
    priced = _column(np.ones(1, np.bool_), writable=False)
    crossover.scan_mixed(new_states(crossover.DTYPE, 2), lane, ts, bid, ask, priced, close, 0, 1)


def _small(*, writable: bool) -> None:
    for dtype in (exits_only.DTYPE, momentum.DTYPE, crossover.DTYPE):
        net_and_gross(new_states(dtype, 1), np.zeros(1))
    lane, ts, bid, ask, bid_size, ask_size = _columns(writable=writable)
    of_python = new_states(state_dtype([]), 2)
    check_one(of_python, 0, 1.0, 1.0)
    prices.scan_prices(of_python, lane, bid, ask, 0, 1)
    matching.last_valid(lane, bid, ask, 0, 1, 0)
    matching.first_touch(lane, bid, ask, 0, 1, 0, 1, 1.0)
    counts, ring = np.zeros(2, np.int64), np.zeros((2, 1), np.int64)
    rings = counts, ring, np.zeros((2, 1, 4)), ring.copy()
    matching.fold_recent(lane, ts, bid, ask, bid_size, ask_size, 0, 1, *rings)


def _smalls() -> None:
    _small(writable=False)
    _small(writable=True)


def _book() -> None:
    """Compiles an order book that takes one message at a time."""
    made, out = OrderBook(1.0, sequenced=True), np.empty(0)
    made.apply(BookMessage(np.empty(0, np.int8), out, out))
    made.state(0, 1, 1.0)
    empty = book.new_book(1.0, sequenced=True)
    book.depth(*empty[1:], 0, 1)
    book.with_room(empty, 1)


def _run_books(*, writable: bool, writable_starts: bool) -> None:
    """Compiles books that take messages of a stream; the places where these start may be made later."""
    kinds = (np.int8, np.float64, np.float64, np.int64, np.int8, np.int64, np.int64, np.int64)
    columns: list[Any] = [_column(np.zeros(0, kind), writable) for kind in kinds]
    columns[3] = _column(np.zeros(1, np.int64), writable_starts)
    empty, columns_of_touch = book.new_book(1.0, sequenced=True), [*columns, 0, 0, np.empty((0, 4))]
    book.run(*empty, *[*columns, 0])
    book.run_touch(*empty, *columns_of_touch)


def _book_runs() -> None:
    _run_books(writable=True, writable_starts=True)
    _run_books(writable=False, writable_starts=True)
    _run_books(writable=False, writable_starts=False)


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


def _indicator_kernels() -> None:
    """Compiles the indicators over whole series, and the sums and extremes of windows."""
    compute([parse_indicator(name) for name in DEFINITIONS], BarSeries._make([np.ones(1)] * INPUTS))


def _indicator_set() -> None:
    """Compiles the indicators bar by bar."""
    IndicatorSet([])


# Shares of about equal work: numba compiles one function at a time in a process.
SHARES: list[list[Callable[[], None]]] = [
    [partial(_scans, crossover), _scan_mixed, partial(_step, crossover)],
    [partial(_scans, momentum), partial(_step, momentum), partial(_scans, exits_only), _smalls, _bars],
    [_book, _book_runs],
    [_indicator_kernels, _indicator_set],
]


if __name__ == "__main__":
    for compile_kernels in SHARES[int(sys.argv[1])]:
        compile_kernels()

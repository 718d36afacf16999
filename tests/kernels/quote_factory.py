"""Random good and bad quotes, and helpers that run one step or one scan over them."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from autohedge.core.reasons import STOPS_FROM
from autohedge.kernels.state import KernelStates

NAN, INF = float("nan"), float("inf")


class Quote(NamedTuple):
    """One market row."""

    lane: int
    ts: int
    bid: float
    ask: float
    bid_size: float
    ask_size: float


_GOOD = st.tuples(st.integers(9_900, 10_100), st.sampled_from([0, 1, 2, 25, 26, 30, 60]))
_PRICES = _GOOD.map(lambda pair: (pair[0] / 100, (pair[0] + pair[1]) / 100))
_BAD = st.sampled_from(
    [
        (NAN, 100.0),
        (100.0, NAN),
        (100.0, 99.99),
        (0.0, 100.0),
        (-1.0, 100.0),
        (100.0, INF),
        (INF, INF),
        (NAN, NAN),
    ]
)
_SIZES = st.sampled_from([0.0, 0.5, 1.0, 3.0, 20.0])


@st.composite
def quotes(draw: st.DrawFn, lanes: int = 1, most: int = 60) -> list[Quote]:
    """Draws quotes on a coarse grid, so that prices and times repeat, with bad ones among them."""
    ts, rows = draw(st.integers(0, 50)), []
    for _ in range(draw(st.integers(1, most))):
        ts += draw(st.sampled_from([0, 1, 3, 10, 25]))
        bid, ask = draw(st.one_of(_PRICES, _PRICES, _PRICES, _BAD))
        lane = draw(st.integers(0, lanes - 1))
        rows.append(Quote(lane, ts, bid, ask, draw(_SIZES), draw(_SIZES)))
    return rows


def columns(rows: Sequence[Quote]) -> list[NDArray[Any]]:
    """Returns the rows as the columns of a scan, read-only as those of a tape: the type that is compiled anyway."""
    kinds = (np.int32, np.int64, np.float64, np.float64, np.float64, np.float64)
    made = [np.array([row[i] for row in rows], dtype=kind) for i, kind in enumerate(kinds)]
    for column in made:
        column.flags.writeable = False
    return made


def stepped(lanes: KernelStates, step_one: Callable[..., int], rows: Sequence[Quote]) -> list[int]:
    """Returns the code of every row, processed one by one."""
    # Whole numbers would be compiled as a type of their own.
    return [
        step_one(lanes, row.lane, row.ts, float(row.bid), float(row.ask), float(row.bid_size + row.ask_size))
        for row in rows
    ]


def scanned(
    lanes: KernelStates, scan: Callable[..., int], rows: Sequence[Quote], cuts: Sequence[int]
) -> list[int]:
    """Returns the rows at which a scan stops, in batches that end at `cuts`."""
    data, stops, start = columns(rows), [], 0
    for stop in [*sorted(cut for cut in cuts if cut < len(rows)), len(rows)]:
        while start < stop:
            at = scan(lanes, *data, start, stop)
            if at < stop:
                stops.append(at)
            start = at + 1 if at < stop else stop
    return stops


def trailed(watched: Sequence[float], trail: tuple[float, float]) -> bool:
    """Returns whether the trailing stop is met, given all bids since the entry that met no other exit."""
    start, ratio = trail
    return max(watched) >= start and watched[-1] <= max(watched) * ratio


def stops_of(codes: Sequence[int]) -> list[int]:
    """Returns the rows at which the engine must decide."""
    return [row for row, code in enumerate(codes) if code >= STOPS_FROM]

"""Bars of several lengths of each lane, made of the mids of its valid quotes and kept in rings."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from autohedge.kernels.jit import compiled, inlined

FORMING = np.dtype(
    [
        ("until_ns", "i8"),  # its end; 0 before the first bar
        ("start_ns", "i8"),
        ("open", "f8"),
        ("high", "f8"),
        ("low", "f8"),
        ("close", "f8"),
        ("partial", "i8"),  # 1 for a first bar that lacks its beginning
        ("finished", "i8"),  # how many bars were ever added to the ring
    ],
    align=True,
)
Forming: TypeAlias = NDArray[np.void]


@compiled
def fold_bars(
    lane_of: NDArray[np.int32],
    ts: NDArray[np.int64],
    bid: NDArray[np.float64],
    ask: NDArray[np.float64],
    start: int,
    end: int,
    lengths_ns: NDArray[np.int64],
    forming: Forming,
    starts: NDArray[np.int64],
    prices: NDArray[np.float64],
) -> None:
    """Adds the valid quotes of rows `start` to `end` to the bars of their lane.

    `forming` is (lane, length), `starts` (lane, length, slot) and `prices` (lane, length, slot, and open, high, low,
    close) are the rings. A bar that lacks its beginning is not added to them.
    """
    for i in range(start, end):
        u = np.uintp(i)
        if not (bid[u] > 0.0 and ask[u] >= bid[u] and ask[u] < np.inf):
            continue
        lane, mid = np.uintp(lane_of[u]), bid[u] + (ask[u] - bid[u]) / 2.0
        for at in range(len(lengths_ns)):
            bar = forming[lane, np.uintp(at)]
            if ts[u] >= bar["until_ns"]:
                _begin(bar, ts[u], mid, lengths_ns[at], starts[lane, at], prices[lane, at])
            bar["high"] = max(bar["high"], mid)
            bar["low"] = min(bar["low"], mid)
            bar["close"] = mid


@inlined
def _begin(bar: Any, ts: int, mid: float, length_ns: int, starts: Any, prices: Any) -> None:
    """Adds the bar that forms to its ring, and begins the next one with a quote."""
    if bar["until_ns"] > 0 and bar["partial"] == 0:
        slot = bar["finished"] % len(starts)
        starts[slot] = bar["start_ns"]
        prices[slot, 0], prices[slot, 1] = bar["open"], bar["high"]
        prices[slot, 2], prices[slot, 3] = bar["low"], bar["close"]
        bar["finished"] += 1
    first = bar["until_ns"] == 0
    bar["start_ns"] = ts // length_ns * length_ns
    bar["partial"] = 1 if first and ts > bar["start_ns"] else 0
    bar["until_ns"] = bar["start_ns"] + length_ns
    bar["open"] = bar["high"] = bar["low"] = mid

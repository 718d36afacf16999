"""Queries of rows: the last valid quotes before a row, and when a resting order is touched.

A valid quote has a positive bid, an ask that is not below it, and both are finite.
"""

import numpy as np
from numpy.typing import NDArray

from autohedge.kernels.jit import compiled


@compiled
def last_valid(
    lane_of: NDArray[np.int32],
    bid: NDArray[np.float64],
    ask: NDArray[np.float64],
    start: int,
    end: int,
    lane: int,
) -> int:
    """Returns the last row from `start` to before `end` that is a valid quote of `lane`; -1 if none is."""
    for back in range(1, end - start + 1):
        u = np.uintp(end - back)
        # The comparisons are false for NaN, so a missing side is not valid either.
        if lane_of[u] == lane and bid[u] > 0.0 and ask[u] >= bid[u] and ask[u] < np.inf:
            return end - back
    return -1


@compiled
def first_touch(
    lane_of: NDArray[np.int32],
    bid: NDArray[np.float64],
    ask: NDArray[np.float64],
    start: int,
    end: int,
    lane: int,
    side: int,
    limit: float,
) -> int:
    """Returns the first row from `start` to before `end` that meets a resting limit; `end` if none does.

    `side` is 1 for a buy, -1 for a sell.
    """
    for i in range(start, end):
        u = np.uintp(i)
        if lane_of[u] != lane or not (bid[u] > 0.0 and ask[u] >= bid[u] and ask[u] < np.inf):
            continue
        if (side > 0 and ask[u] <= limit) or (side < 0 and bid[u] >= limit):
            return i
    return end


@compiled
def fold_recent(
    lane_of: NDArray[np.int32],
    ts: NDArray[np.int64],
    bid: NDArray[np.float64],
    ask: NDArray[np.float64],
    bid_size: NDArray[np.float64],
    ask_size: NDArray[np.float64],
    start: int,
    end: int,
    counts: NDArray[np.int64],
    times: NDArray[np.int64],
    prices: NDArray[np.float64],
    found: NDArray[np.int64],
) -> None:
    """Adds the valid quotes of rows `start` to `end` to one ring per lane.

    `counts` has the number of quotes ever added to each ring, `times` (lane, slot) and `prices` (lane, slot, and
    bid, bid size, ask, ask size) the rings themselves. `found` (lane, slot) is room for row numbers.
    """
    lanes, slots = times.shape
    new, full = np.zeros(lanes, np.int64), 0
    # Backwards: the rows before those that fill every ring are not looked at.
    for back in range(1, end - start + 1):
        u = np.uintp(end - back)
        lane = np.uintp(lane_of[u])
        if new[lane] < slots and bid[u] > 0.0 and ask[u] >= bid[u] and ask[u] < np.inf:
            found[lane, new[lane]] = end - back
            new[lane] += 1
            if new[lane] == slots:
                full += 1
                if full == lanes:
                    break
    for at in range(lanes):
        for k in range(new[at] - 1, -1, -1):
            row, slot = found[at, k], counts[at] % slots
            times[at, slot] = ts[row]
            prices[at, slot, 0], prices[at, slot, 1] = bid[row], bid_size[row]
            prices[at, slot, 2], prices[at, slot, 3] = ask[row], ask_size[row]
            counts[at] += 1

"""Queries of a tape: the last valid quotes before a row, and when a resting order is touched.

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
    end: int,
    lane: int,
) -> int:
    """Returns the last row before `end` that is a valid quote of `lane`; -1 if there is none."""
    for back in range(1, end + 1):
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
    lane: int,
    side: int,
    limit: float,
) -> int:
    """Returns the first row from `start` on that meets a resting limit; the tape's length if none does.

    `side` is 1 for a buy, -1 for a sell.
    """
    for i in range(start, len(lane_of)):
        u = np.uintp(i)
        if lane_of[u] != lane or not (bid[u] > 0.0 and ask[u] >= bid[u] and ask[u] < np.inf):
            continue
        if (side > 0 and ask[u] <= limit) or (side < 0 and bid[u] >= limit):
            return i
    return len(lane_of)


@compiled
def recent_valid(
    lane_of: NDArray[np.int32],
    bid: NDArray[np.float64],
    ask: NDArray[np.float64],
    end: int,
    lane: int,
    found: NDArray[np.int64],
) -> int:
    """Fills `found` from its end with the last valid rows of `lane` before `end`; returns their count."""
    count = 0
    for back in range(1, end + 1):
        if count == len(found):
            break
        u = np.uintp(end - back)
        if lane_of[u] == lane and bid[u] > 0.0 and ask[u] >= bid[u] and ask[u] < np.inf:
            count += 1
            found[len(found) - count] = end - back
    return count

"""Watching: exits are guarded, quotes are counted, and no quote is a wish to buy.

It stands in a strategy's place where agents alone propose. A quote that no exit takes ends in the lane's
`gate`, the engine's word for what it waits for.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from autohedge.core.reasons import Reason
from autohedge.kernels.jit import compiled, inlined
from autohedge.kernels.state import (
    KernelStates,
    check_quote_and_exits,
    entry_code,
    must_stop,
    record_code,
    state_dtype,
)

DTYPE = state_dtype([])

_ENTRY = int(Reason.ENTRY)
_NO_SIGNAL = int(Reason.NO_SIGNAL)


@inlined
def step(lane: Any, bid: float, ask: float) -> int:
    """One quote: exactly one code, counted if it is final."""
    code = check_quote_and_exits(lane, bid, ask)
    if code < 0:
        code = entry_code(lane)
        code = _NO_SIGNAL if code == _ENTRY else code
    record_code(lane, code)
    return code


@compiled
def scan(
    lanes: KernelStates,
    lane_of: NDArray[np.int32],
    ts: NDArray[np.int64],
    bid: NDArray[np.float64],
    ask: NDArray[np.float64],
    bid_size: NDArray[np.float64],
    ask_size: NDArray[np.float64],
    start: int,
    stop: int,
) -> int:
    """Scan rows `start` to `stop`; return the row where the engine must decide, else `stop`."""
    for i in range(start, stop):
        u = np.uintp(i)
        lane = lanes[np.uintp(lane_of[u])]
        if must_stop(lane, step(lane, bid[u], ask[u])):
            return i
    return stop

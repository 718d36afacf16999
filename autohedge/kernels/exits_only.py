"""A step without a strategy: it checks exits and counts quotes, and never signals an entry.

It is used in llm mode, where the agents propose entries. A quote that meets no exit is counted under the
lane's `gate`, the code that the engine sets while a deliberation runs or the agents cool down.
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
    """Processes one quote; returns exactly one code, and counts it if it is final."""
    code = check_quote_and_exits(lane, bid, ask)
    if code < 0:
        # ENTRY here means only that no position, order or gate is in the way, so it becomes NO_SIGNAL.
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
    """Scans rows `start` to `stop`; returns the row at which the engine must decide, else `stop`."""
    for i in range(start, stop):
        u = np.uintp(i)
        lane = lanes[np.uintp(lane_of[u])]
        if must_stop(lane, step(lane, bid[u], ask[u])):
            return i
    return stop

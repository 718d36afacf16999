"""A step for prices that the strategy does not read: it checks exits and counts quotes."""

import numpy as np
from numpy.typing import NDArray

from autohedge.core.reasons import Reason
from autohedge.kernels.jit import compiled
from autohedge.kernels.state import KernelStates, check_quote_and_exits, must_stop, record_code

_NO_SIGNAL = int(Reason.NO_SIGNAL)


@compiled
def scan_prices(
    lanes: KernelStates,
    lane_of: NDArray[np.int32],
    bid: NDArray[np.float64],
    ask: NDArray[np.float64],
    start: int,
    stop: int,
) -> int:
    """Scans rows `start` to `stop`; returns the row at which the engine must decide, else `stop`."""
    for i in range(start, stop):
        u = np.uintp(i)
        lane = lanes[np.uintp(lane_of[u])]
        code = check_quote_and_exits(lane, bid[u], ask[u])
        if code < 0:
            code = _NO_SIGNAL
        record_code(lane, code)
        if must_stop(lane, code):
            return i
    return stop

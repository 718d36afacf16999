"""What every lane carries and every strategy shares: one lane is one instrument's stream.

A lane is one structured record: prices that stop the scan, the last valid quote, the position's
status, a count per outcome code, then the strategy's own parameters and state. Two infinities
let one comparison cover every status: a flat lane has take-profit at +inf and stop-loss at -inf,
a lane whose exit is in flight has take-profit at -inf. No bid reaches a trail that is off, at +inf, and
every bid one that is on, at -inf: the kernel puts it on, the engine takes it off when nothing is held. `gate` is the
code of a wish to buy while the gate is not open, else 0; after `refresh_in` more valid quotes the engine looks at it.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from autohedge.core.clock import NEVER
from autohedge.core.reasons import COUNT, GATES_FROM, STOPS_FROM, Reason
from autohedge.kernels.jit import compiled, inlined

FLAT, PENDING, OPEN, EXITING = 0, 1, 2, 3
REFRESH_DUE = -1

FIELDS: list[Any] = [
    ("take_profit", "f8"),
    ("stop_loss", "f8"),
    ("trail_from", "f8"),
    ("bid", "f8"),
    ("ask", "f8"),
    ("status", "i8"),
    ("stop", "i8"),
    ("highest", "f8"),
    ("trail_keep", "f8"),
    ("gate", "i8"),
    ("refresh_in", "i8"),
    ("counts", "i8", (COUNT,)),
]

KernelStates = NDArray[np.void]

_NO_CODE = -1
_STOPS_FROM, _GATES_FROM = STOPS_FROM, GATES_FROM
_EXITING = EXITING
_OPEN, _PENDING = OPEN, PENDING
_BAD_QUOTE = int(Reason.BAD_QUOTE)
_EXIT_PENDING = int(Reason.EXIT_PENDING)
_TAKE_PROFIT = int(Reason.TAKE_PROFIT)
_STOP_LOSS = int(Reason.STOP_LOSS)
_TRAILING_STOP = int(Reason.TRAILING_STOP)
_IN_POSITION = int(Reason.IN_POSITION)
_ORDER_PENDING = int(Reason.ORDER_PENDING)
_ENTRY = int(Reason.ENTRY)


def state_dtype(own: list[Any]) -> np.dtype[np.void]:
    """The record of a lane: the shared fields, then a strategy's `own`."""
    return np.dtype(FIELDS + own, align=True)


def new_states(dtype: np.dtype[np.void], count: int) -> KernelStates:
    """`count` flat lanes that have seen nothing yet."""
    lanes = np.zeros(count, dtype)
    lanes["take_profit"], lanes["stop_loss"], lanes["trail_from"] = np.inf, -np.inf, np.inf
    lanes["bid"] = lanes["ask"] = np.nan
    lanes["refresh_in"] = NEVER
    return lanes


@inlined
def _trail(lane: Any, bid: float) -> int:
    """A bid that puts the trail on, or meets it: the stop lies below the highest, so it only rises."""
    if lane["trail_from"] > -np.inf:
        lane["trail_from"] = -np.inf
        lane["highest"] = bid
    elif bid > lane["highest"]:
        lane["highest"] = bid
    return _TRAILING_STOP if bid <= lane["highest"] * lane["trail_keep"] else _NO_CODE


@inlined
def check_quote_and_exits(lane: Any, bid: float, ask: float) -> int:
    """Rules before any strategy: refuse a bad quote, watch the exits; negative if neither applies."""
    if not (bid > 0.0 and ask >= bid and ask < np.inf):
        return _BAD_QUOTE
    lane["bid"] = bid
    lane["ask"] = ask
    lane["refresh_in"] -= 1
    if bid >= lane["take_profit"]:
        return _EXIT_PENDING if lane["status"] == _EXITING else _TAKE_PROFIT
    if bid <= lane["stop_loss"]:
        return _STOP_LOSS
    if bid >= lane["trail_from"]:
        return _trail(lane, bid)
    return _NO_CODE


@inlined
def entry_code(lane: Any) -> int:
    """What a wish to buy meets: a position, an order in flight, a gate's code, or the engine's decision."""
    if lane["status"] == _OPEN:
        return _IN_POSITION
    if lane["status"] == _PENDING:
        return _ORDER_PENDING
    return lane["gate"] or _ENTRY


@inlined
def record_code(lane: Any, code: int) -> None:
    """Count a code that is final here; leave one that the engine must decide in `stop`."""
    if code < _STOPS_FROM or code >= _GATES_FROM:
        lane["counts"][np.uintp(code)] += 1
    else:
        lane["stop"] = code


@inlined
def must_stop(lane: Any, code: int) -> bool:
    """Whether the engine must look: a code that it decides, or the quote after which its gate is due."""
    if _STOPS_FROM <= code < _GATES_FROM:
        return True
    if lane["refresh_in"] == 0:
        lane["stop"] = REFRESH_DUE
        return True
    return False


@compiled
def check_one(lanes: KernelStates, lane: int, bid: float, ask: float) -> int:
    """The shared rules for one quote of a strategy that is not compiled; final codes are counted."""
    record = lanes[np.uintp(lane)]
    code = check_quote_and_exits(record, bid, ask)
    if code >= 0:
        record_code(record, code)
    return code


@compiled
def net_and_gross(lanes: KernelStates, held: NDArray[np.float64]) -> tuple[float, float]:
    """Net and gross value of all holdings at the last bids, summed in lane order so that every machine agrees."""
    net = gross = 0.0
    for i in range(len(held)):
        u = np.uintp(i)
        if held[u] != 0.0:
            worth = held[u] * lanes[u]["bid"]
            net += worth
            gross += abs(worth)
    return net, gross

"""The state record that every strategy shares; one lane is the record of one instrument's stream.

A record has the prices that stop the scan, the last valid quote, the position's status, a count per outcome
code, then the strategy's own parameters and state. Infinities let one comparison cover every status: a flat
lane has its take-profit at +inf and its stop-loss at -inf; a lane whose exit is in flight has its take-profit
at -inf. A trailing stop is off with `trail_from` at +inf and active at -inf: the kernel activates it, the
engine turns it off when the position is closed.

A position is left at one price per quote: a long at the bid, a short at the negated ask. So a short is a long
on the negated price, and every level of a lane whose `short` is not 0 is negated.

`direction` is what may be entered: LONG_ONLY, SHORT_ONLY or BOTH. `entry_side` is 1 or -1, the side of the last
entry signal. `gate` is the outcome code of an entry signal while the gate is not open, else 0. After
`refresh_in` more valid quotes the scan stops so that the engine can refresh the gate.
"""

from collections.abc import MutableSequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from autohedge.core.clock import NEVER
from autohedge.core.reasons import COUNT, GATES_FROM, STOPS_FROM, Reason
from autohedge.kernels.jit import compiled, inlined

FLAT, PENDING, OPEN, EXITING = 0, 1, 2, 3
SHORT_ONLY, BOTH, LONG_ONLY = -1, 0, 1
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
    ("short", "i8"),
    ("direction", "i8"),
    ("entry_side", "i8"),
    ("counts", "i8", (COUNT,)),
]

KernelStates = NDArray[np.void]

# Plain ints, which numba compiles in as constants.
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
    """Returns the record type of a lane: the shared fields, then the strategy's `own`."""
    # Aligned, so that every field is loaded at its natural boundary.
    return np.dtype(FIELDS + own, align=True)


def scalars(column: NDArray[Any]) -> MutableSequence[Any]:
    """Returns a view of a column for single values, which takes a third of the time of an array's."""
    return cast("MutableSequence[Any]", column.data)


def new_states(dtype: np.dtype[np.void], count: int) -> KernelStates:
    """Returns `count` flat lanes without quotes."""
    lanes = np.zeros(count, dtype)
    lanes["take_profit"], lanes["stop_loss"], lanes["trail_from"] = np.inf, -np.inf, np.inf
    lanes["bid"] = lanes["ask"] = np.nan
    lanes["direction"] = LONG_ONLY
    lanes["refresh_in"] = NEVER  # counts down, but does not reach 0 within any tape
    return lanes


@inlined
def _trail(lane: Any, price: float) -> int:
    """Updates the trailing stop with an exit price that activates it or comes while it is active.

    The stop is a multiple of the highest exit price, so it only rises.
    """
    if lane["trail_from"] > -np.inf:
        lane["trail_from"] = -np.inf
        lane["highest"] = price
    elif price > lane["highest"]:
        lane["highest"] = price
    return _TRAILING_STOP if price <= lane["highest"] * lane["trail_keep"] else _NO_CODE


@inlined
def _exit_code(lane: Any, price: float) -> int:
    """Returns the code of the exit that this exit price meets; a negative one if it meets none."""
    # Take-profit first: at -inf it also covers the exit in flight.
    if price >= lane["take_profit"]:
        return _EXIT_PENDING if lane["status"] == _EXITING else _TAKE_PROFIT
    if price <= lane["stop_loss"]:
        return _STOP_LOSS
    if price >= lane["trail_from"]:
        return _trail(lane, price)
    return _NO_CODE


@inlined
def check_quote_and_exits(lane: Any, bid: float, ask: float) -> int:
    """Applies the rules for bad quotes and exits, before any strategy.

    Returns a negative code if none applies.
    """
    # Written so that NaN fails every comparison and counts as bad.
    if not (bid > 0.0 and ask >= bid and ask < np.inf):
        return _BAD_QUOTE
    lane["bid"] = bid
    lane["ask"] = ask
    # Bad quotes do not count towards the refresh: "quotes" in the settings are valid ones.
    lane["refresh_in"] -= 1
    # A branch, not a choice of the price: the compiler would select without a branch, at 8 % of a quote.
    if lane["short"]:
        return _exit_code(lane, -ask)
    return _exit_code(lane, bid)


@inlined
def entry_code(lane: Any) -> int:
    """Returns the outcome of an entry signal: position open, order pending, the gate's code, or ENTRY."""
    if lane["status"] == _OPEN:
        return _IN_POSITION
    if lane["status"] == _PENDING:
        return _ORDER_PENDING
    return lane["gate"] or _ENTRY


@inlined
def record_code(lane: Any, code: int) -> None:
    """Counts a final code; stores a code that the engine must decide in `stop`."""
    if code < _STOPS_FROM or code >= _GATES_FROM:
        lane["counts"][np.uintp(code)] += 1
    else:
        lane["stop"] = code


@inlined
def must_stop(lane: Any, code: int) -> bool:
    """Returns whether the engine must act: on a code that it decides, or because the gate refresh is due."""
    if _STOPS_FROM <= code < _GATES_FROM:
        return True
    if lane["refresh_in"] == 0:
        lane["stop"] = REFRESH_DUE
        return True
    return False


@compiled
def check_one(lanes: KernelStates, lane: int, bid: float, ask: float) -> int:
    """Applies the shared rules to one quote of a Python strategy; counts final codes."""
    record = lanes[np.uintp(lane)]
    code = check_quote_and_exits(record, bid, ask)
    if code >= 0:
        record_code(record, code)
    return code


@compiled
def net_and_gross(lanes: KernelStates, held: NDArray[np.float64]) -> tuple[float, float]:
    """Returns net and gross value of all positions at the last quotes: longs at the bid, shorts at the ask.

    The sum runs in lane order, so that it is the same on every machine.
    """
    net = gross = 0.0
    for i in range(len(held)):
        u = np.uintp(i)
        if held[u] != 0.0:
            worth = held[u] * (lanes[u]["bid"] if held[u] > 0.0 else lanes[u]["ask"])
            net += worth
            gross += abs(worth)
    return net, gross

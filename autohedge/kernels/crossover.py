"""Moving-average crossover on bars: buy when the fast mean rises above the slow one, sell when it falls below.

A crossing against the position leaves it. If the direction allows the other side, that is entered at the close
of the next bar which finds the lane flat and the means as they crossed.

Rows of a bar stream are bars themselves (bid = ask = close). Rows of a quote stream are aggregated into bars
of `bar_ns`: a bar closes, and is evaluated, at the first quote of a later interval. `scan_mixed` also reads bars
beside the quotes that set the prices. The means are computed from the stored closes at each bar, so rounding
errors do not accumulate.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from autohedge.core.reasons import GATES_FROM, STOPS_FROM, Reason
from autohedge.kernels.jit import compiled, inlined
from autohedge.kernels.state import (
    FLAT,
    OPEN,
    KernelStates,
    check_quote_and_exits,
    entry_code,
    must_stop,
    record_code,
    state_dtype,
)

SLOW_MAX = 1023

DTYPE = state_dtype(
    [
        ("bar_ns", "i8"),
        ("fast", "i8"),
        ("slow", "i8"),
        ("interval", "i8"),
        ("last", "f8"),
        ("bars", "i8"),
        ("slot", "i8"),
        ("above", "i8"),
        ("turn", "i8"),
        ("closes", "f8", (SLOW_MAX + 1,)),
    ]
)

_FLAT, _OPEN = FLAT, OPEN
_STOPS_FROM, _GATES_FROM = STOPS_FROM, GATES_FROM
_BAR_FORMING = int(Reason.BAR_FORMING)
_WARMING_UP = int(Reason.WARMING_UP)
_NO_SIGNAL = int(Reason.NO_SIGNAL)
_EXIT_SIGNAL = int(Reason.EXIT_SIGNAL)


@inlined
def _mean(lane: Any, length: int) -> float:
    """Returns the mean of the last `length` closes."""
    total = 0.0
    slot = lane["slot"]
    for _ in range(length):
        slot = lane["slow"] - 1 if slot == 0 else slot - 1
        total += lane["closes"][np.uintp(slot)]
    return total / length


@inlined
def _enter(lane: Any, side: int) -> int:
    """Returns the outcome of a signal to enter a side, which the direction may forbid."""
    lane["turn"] = 0
    if lane["direction"] == -side:
        return _NO_SIGNAL
    lane["entry_side"] = side
    return entry_code(lane)


@inlined
def _on_close(lane: Any, close: float) -> int:
    lane["closes"][np.uintp(lane["slot"])] = close
    lane["slot"] = 0 if lane["slot"] == lane["slow"] - 1 else lane["slot"] + 1
    lane["bars"] += 1
    if lane["bars"] < lane["slow"]:
        return _WARMING_UP
    # `above` is 0 until the first comparison, which sets the side but is not a crossing.
    before = lane["above"]
    above = 1 if _mean(lane, lane["fast"]) > _mean(lane, lane["slow"]) else -1
    lane["above"] = above
    if before in (0, above):
        is_due = lane["turn"] == above and lane["status"] == _FLAT
        return _enter(lane, above) if is_due else _NO_SIGNAL
    if lane["status"] == _OPEN and (lane["short"] != 0) == (above > 0):
        lane["turn"] = above if lane["direction"] != -above else 0
        return _EXIT_SIGNAL
    return _enter(lane, above)


@inlined
def _evaluate(lane: Any, ts: int, mid: float) -> int:
    if lane["bar_ns"] == 0:
        return _on_close(lane, mid)
    interval = ts // lane["bar_ns"]
    close = lane["last"]
    lane["last"] = mid
    if interval == lane["interval"]:
        return _BAR_FORMING
    lane["interval"] = interval
    # A close of 0 means that this is the first quote: no bar has been formed yet.
    return _BAR_FORMING if close == 0.0 else _on_close(lane, close)


@inlined
def step(lane: Any, ts: int, bid: float, ask: float) -> int:
    """Processes one row; returns exactly one code, and counts it if it is final."""
    code = check_quote_and_exits(lane, bid, ask)
    if code < 0:
        code = _evaluate(lane, ts, (bid + ask) / 2.0)
    record_code(lane, code)
    return code


@compiled
def step_one(lanes: KernelStates, lane: int, ts: int, bid: float, ask: float, volume: float) -> int:
    """Runs the same step on one live row; `volume` is part of every strategy's signature, unused here."""
    return step(lanes[np.uintp(lane)], ts, bid, ask)


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
        if must_stop(lane, step(lane, ts[u], bid[u], ask[u])):
            return i
    return stop


@inlined
def _step_price(lane: Any, ts: int, bid: float, ask: float, close: float) -> int:
    """Processes one row with prices, which may also be a bar; counts its code if it is final."""
    code = check_quote_and_exits(lane, bid, ask)
    if code < 0:
        if lane["bar_ns"] > 0:
            code = _evaluate(lane, ts, (bid + ask) / 2.0)
        else:
            code = _on_close(lane, close) if close > 0.0 else _BAR_FORMING
    record_code(lane, code)
    return code


@inlined
def _step_bar(lane: Any, close: float) -> int:
    """Processes one finished bar without prices of its own; only a signal counts."""
    code = _on_close(lane, close)
    # Before the first price there is nothing to trade at yet.
    if not lane["bid"] > 0.0:
        return _BAR_FORMING
    if code not in (_WARMING_UP, _NO_SIGNAL):
        record_code(lane, code)
    return code


@compiled
def scan_mixed(
    lanes: KernelStates,
    lane_of: NDArray[np.int32],
    ts: NDArray[np.int64],
    bid: NDArray[np.float64],
    ask: NDArray[np.float64],
    priced: NDArray[np.bool_],
    close: NDArray[np.float64],
    start: int,
    stop: int,
) -> int:
    """Scans rows `start` to `stop`; returns the row at which the engine must decide, else `stop`."""
    for i in range(start, stop):
        u = np.uintp(i)
        lane = lanes[np.uintp(lane_of[u])]
        if priced[u]:
            if must_stop(lane, _step_price(lane, ts[u], bid[u], ask[u], close[u])):
                return i
        elif close[u] > 0.0:
            code = _step_bar(lane, close[u])
            if _STOPS_FROM <= code < _GATES_FROM:
                return i
    return stop

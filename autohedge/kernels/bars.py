"""Bars from trades, quotes or shorter bars: one compiled step for whole columns and for single live rows.

The record `FORMING` is the bar that is being made. A bar is finished by the first row after its end, or by
`advance` with the time of a clock; a bar of ticks, volume or dollars by the trade that fills it. Finished bars are
written to an array of `BAR`. A step returns FULL, and has changed nothing that matters, if there is no room for
one: take the bars out, set `finished` to 0, and repeat it.

`segments` (start, end, length of an interval; nanoseconds; sorted, without overlaps) are the times that have bars.
Intervals are counted from the start of their segment, and the last one is cut at its end. A row in no segment is
skipped. So whatever belongs to calendars and time zones is computed once, outside of the loop.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from autohedge.kernels.jit import compiled, inlined

TIME, TICKS, VOLUME, DOLLARS = 0, 1, 2, 3
"""What ends a bar: the end of its interval, or the number or sum of its trades."""
MISSING, NON_POSITIVE, CROSSED, OUTSIDE, NO_SESSION = 0, 1, 2, 3, 4
"""Why a row is in no bar; the first four as in quality.StreamReport."""
UNKNOWN = -1
"""The count of a bar made of bars."""
FULL = -1

_OF_BOTH = [
    ("start_ns", "i8"),
    ("end_ns", "i8"),
    ("open", "f8"),
    ("high", "f8"),
    ("low", "f8"),
    ("close", "f8"),
    ("volume", "f8"),
    ("notional", "f8"),
]
BAR = np.dtype(
    [
        *_OF_BOTH,
        ("vwap", "f8"),
        ("count", "i8"),
        ("buy_volume", "f8"),
        ("sell_volume", "f8"),
        ("partial", "i8"),
        ("known_ns", "i8"),  # when a strategy may see it: its end, or that of its last source bar
    ],
    align=True,
)
FORMING = np.dtype(
    [
        ("until_ns", "i8"),  # a row at or after it needs more than to be added
        *_OF_BOTH,
        ("buy_volume", "f8"),
        ("sell_volume", "f8"),
        ("rows", "i8"),
        ("partial", "i8"),
        ("known_ns", "i8"),
        ("holds", "i8"),  # 1 while there is a bar, which may be an empty one that is carried
        ("begun", "i8"),  # 1 after the first bar has begun
        ("finished", "i8"),  # bars that were written and not yet taken out
        ("clock_ns", "i8"),
        ("segment", "i8"),  # of the forming bar
        ("seek", "i8"),  # of the newest row
        ("out_until_ns", "i8"),  # after a row between sessions: when the next one begins
        # The rest are parameters.
        ("measure", "i8"),
        ("target", "f8"),
        ("carries", "i8"),
        ("counts", "i8"),
        ("no_notional", "f8"),  # what sums begin with: NaN if the source has none
        ("no_side", "f8"),
        ("skipped", "i8", (5,)),
    ],
    align=True,
)

Forming: TypeAlias = NDArray[np.void]
BarRows: TypeAlias = NDArray[np.void]
Segments: TypeAlias = NDArray[np.int64]
Times: TypeAlias = NDArray[np.int64]
Values: TypeAlias = NDArray[np.float64]

# Plain numbers of this file, which numba compiles in as constants.
_BEFORE_ALL = -(2**63)
_SLACK = 1.0 - 1e-9  # sums of decimals fall short of the target by an ulp
_OF_BUYS, _OF_SELLS = np.array([0.0, 0.0, 1.0]), np.array([1.0, 0.0, 0.0])  # by side, from -1
_ADDED, _ROOMLESS, _OUT = 0, 1, 2


def forming_state(measure: int = TIME, target: float = 0.0) -> Forming:
    """Returns the state before the first row; the other parameters are those of trades with sides."""
    state = np.zeros(1, FORMING)
    state["until_ns"] = state["clock_ns"] = _BEFORE_ALL
    state["measure"], state["target"], state["counts"] = measure, target * _SLACK, 1
    return state


@inlined
def _clear(state: Any) -> None:
    state["rows"] = 0
    state["known_ns"] = 0
    state["volume"] = 0.0
    state["notional"] = state["no_notional"]
    state["buy_volume"] = state["no_side"]
    state["sell_volume"] = state["no_side"]


@inlined
def _write(state: Any, bar: Any) -> None:
    """Copies the forming bar to `bar`."""
    volume = state["volume"]
    bar["start_ns"] = state["start_ns"]
    bar["end_ns"] = state["end_ns"]
    bar["open"] = state["open"]
    bar["high"] = state["high"]
    bar["low"] = state["low"]
    bar["close"] = state["close"]
    bar["volume"] = volume
    bar["notional"] = state["notional"]
    bar["vwap"] = state["notional"] / volume if volume > 0.0 else np.nan
    bar["count"] = state["rows"] if state["counts"] else UNKNOWN
    bar["buy_volume"] = state["buy_volume"]
    bar["sell_volume"] = state["sell_volume"]
    bar["partial"] = state["partial"]
    bar["known_ns"] = max(state["end_ns"], state["known_ns"])


@inlined
def _finish(state: Any, bars: BarRows) -> None:
    _write(state, bars[np.uintp(state["finished"])])
    state["finished"] += 1
    state["partial"] = 0
    state["holds"] = 0
    state["until_ns"] = _BEFORE_ALL


@inlined
def _carry(state: Any, segments: Segments) -> None:
    """Begins the next interval with an empty bar at the last close."""
    start, at = state["end_ns"], state["segment"]
    if start >= segments[at, 1]:
        at += 1
        start = segments[at, 0]
    _clear(state)
    state["segment"] = at
    state["start_ns"] = start
    state["end_ns"] = state["until_ns"] = min(start + segments[at, 2], segments[at, 1])
    state["open"] = state["high"] = state["low"] = state["close"]
    state["holds"] = 1


@inlined
def _finish_until(state: Any, segments: Segments, bars: BarRows, ts: int) -> int:
    """Finishes the bars that end at or before `ts`, and carries empty ones if wanted."""
    while state["holds"] != 0 and state["end_ns"] <= ts:
        if state["finished"] == len(bars):
            return _ROOMLESS
        _finish(state, bars)
        if state["carries"]:
            _carry(state, segments)
    return _ADDED


@inlined
def _begin(state: Any, segments: Segments, at: int, ts: int) -> None:
    """Begins a bar at its first row."""
    _clear(state)
    state["segment"] = at
    state["holds"] = 1
    if state["measure"] != TIME:
        state["start_ns"] = state["end_ns"] = ts
        return
    first, end, length = segments[at, 0], segments[at, 1], segments[at, 2]
    start = first + (ts - first) // length * length
    state["start_ns"] = start
    state["end_ns"] = min(start + length, end)
    state["partial"] = 1 if state["begun"] == 0 and ts > start else 0
    state["begun"] = 1


@compiled
def _prepare(state: Any, segments: Segments, bars: BarRows, ts: int) -> int:
    """Makes the bar that a row of this time belongs to the forming one."""
    # A late print belongs to the interval in which it became known.
    if state["holds"] == 0:
        ts = max(ts, state["clock_ns"])
    at, last = state["seek"], len(segments) - 1
    while at < last and segments[at + 1, 0] <= ts:
        at += 1
    state["seek"] = at
    if ts < segments[at, 0] or ts >= segments[at, 1]:
        following = at if ts < segments[at, 0] else min(at + 1, last)
        state["out_until_ns"] = segments[following, 0]
        return _OUT
    if state["measure"] == TIME:
        if _finish_until(state, segments, bars, ts) == _ROOMLESS:
            return _ROOMLESS
    elif state["holds"] == 0 and state["finished"] == len(bars):
        return _ROOMLESS
    if state["holds"] == 0:
        _begin(state, segments, at, ts)
    # A bar of trades may last from one session to the next, so only time bars end with theirs.
    state["until_ns"] = state["end_ns"] if state["measure"] == TIME else segments[at, 1]
    return _ADDED


@inlined
def _skip(state: Any, code: int) -> None:
    state["skipped"][code] += 1


@inlined
def _admit(state: Any, segments: Segments, bars: BarRows, ts: int) -> int:
    """Makes the bar of a row of this time the forming one; counts the row if it belongs to none."""
    if ts < state["until_ns"]:
        return _ADDED
    code = _OUT
    # Rows between sessions follow each other, and the next one begins for all of them at once.
    if max(ts, state["clock_ns"]) >= state["out_until_ns"]:
        code = _prepare(state, segments, bars, ts)
    if code == _OUT:
        _skip(state, NO_SESSION)
    return code


@inlined
def _finish_if_filled(state: Any, bars: BarRows, ts: int) -> None:
    """Finishes a bar of ticks, volume or dollars at the row that fills it; the surplus is not carried on."""
    state["end_ns"] = max(state["end_ns"], ts)
    if _measured(state["measure"], state["rows"], state["volume"], state["notional"]) >= state["target"]:
        _finish(state, bars)


@inlined
def _measured(measure: int, rows: int, volume: float, notional: float) -> float:
    """Returns what ends a bar; never enough of it for a bar of time."""
    if measure == TIME:
        return -1.0
    if measure == TICKS:
        return float(rows)
    return volume if measure == VOLUME else notional


@inlined
def _extend_by_trades(state: Any, ts: Any, price: Any, size: Any, side: Any, first: int) -> int:
    """Adds the trades from `first` on that belong to the forming bar; returns the first one that does not.

    The sums are in variables of its own, because the compiler would store and load those of a record at each row.
    """
    until, measure, target = state["until_ns"], state["measure"], state["target"]
    high, low, close = state["high"], state["low"], state["close"]
    volume, notional, rows = state["volume"], state["notional"], state["rows"]
    bought, sold = state["buy_volume"], state["sell_volume"]
    if rows == 0:
        state["open"] = high = low = price[np.uintp(first)]
    row, stop = first, len(ts)
    while row < stop:
        u = np.uintp(row)
        value = price[u] * size[u]
        # Written so that NaN fails, and with `&` because one branch is faster than four.
        if not ((ts[u] < until) & (price[u] > 0.0) & (size[u] > 0.0) & (value < np.inf)):
            break
        close = price[u]
        high = max(high, close)
        low = min(low, close)
        volume += size[u]
        notional += value
        rows += 1
        # Not as branches: which side comes next cannot be predicted.
        at = np.uintp(1 + (side[u] > 0) - (side[u] < 0))
        bought += size[u] * _OF_BUYS[at]
        sold += size[u] * _OF_SELLS[at]
        row += 1
        if measure != TIME and _measured(measure, rows, volume, notional) >= target:
            break
    state["high"], state["low"], state["close"] = high, low, close
    state["volume"], state["notional"], state["rows"] = volume, notional, rows
    state["buy_volume"], state["sell_volume"] = bought, sold
    return row


@inlined
def _extend(state: Any, first: float, high: float, low: float, last: float, volume: float) -> None:
    """Adds one row that is no trade to the forming bar."""
    if state["rows"] == 0:
        state["open"] = first
        state["high"] = high
        state["low"] = low
    else:
        state["high"] = max(state["high"], high)
        state["low"] = min(state["low"], low)
    state["close"] = last
    state["volume"] += volume
    state["rows"] += 1


@inlined
def _scan_trades(
    state: Any, segments: Segments, bars: BarRows, start: int, ts: Any, price: Any, size: Any, side: Any
) -> int:
    row, stop = start, len(ts)
    while row < stop:
        u = np.uintp(row)
        if not ((price[u] > 0.0) & (size[u] > 0.0) & (price[u] * size[u] < np.inf)):
            finite = np.isfinite(price[u]) and np.isfinite(size[u])
            _skip(state, NON_POSITIVE if finite else MISSING)
            row += 1
            continue
        code = _admit(state, segments, bars, ts[u])
        if code == _ROOMLESS:
            break
        if code == _OUT:
            row += 1
            continue
        row = _extend_by_trades(state, ts, price, size, side, row)
        if state["measure"] != TIME:
            _finish_if_filled(state, bars, ts[np.uintp(row - 1)])
    return row


@compiled
def scan_trades(
    states: Forming,
    segments: Segments,
    bars: BarRows,
    start: int,
    ts: Times,
    price: Values,
    size: Values,
    side: NDArray[np.int8],
) -> int:
    """Adds the trades from `start` on; returns the first one that was not added, which is after the last.

    `side` is 1 for a buyer, -1 for a seller as the aggressor, 0 if unknown.
    """
    return _scan_trades(states[np.uintp(0)], segments, bars, start, ts, price, size, side)


@compiled
def extend_by_trade(states: Forming, ts: int, price: float, size: float, side: int) -> int:
    """Adds one live trade by the same step if it only extends the forming bar; returns 1 if it did, else 0.

    It takes half the time of `add_trade`, because an array of records costs 100 ns a call.
    """
    state = states[np.uintp(0)]
    value = price * size
    if not ((ts < state["until_ns"]) & (price > 0.0) & (size > 0.0) & (value < np.inf)):
        return 0
    measure, rows = state["measure"], state["rows"] + 1
    if measure != TIME:
        if _measured(measure, rows, state["volume"] + size, state["notional"] + value) >= state["target"]:
            return 0
        state["end_ns"] = max(state["end_ns"], ts)
    return _extend_by_trades(state, (ts,), (price,), (size,), (side,), 0)


@compiled
def add_trade(
    states: Forming, segments: Segments, bars: BarRows, ts: int, price: float, size: float, side: int
) -> int:
    """Adds one live trade by the same step; returns how many bars are finished and not yet taken out, or FULL."""
    state = states[np.uintp(0)]
    added = _scan_trades(state, segments, bars, 0, (ts,), (price,), (size,), (side,))
    return state["finished"] if added else FULL


@compiled
def scan_quotes(
    states: Forming, segments: Segments, bars: BarRows, start: int, ts: Times, bid: Values, ask: Values
) -> int:
    """Adds the quotes from `start` on, each with its mid; returns as `scan_trades`."""
    state = states[np.uintp(0)]
    for row in range(start, len(ts)):
        u = np.uintp(row)
        if not (bid[u] > 0.0 and ask[u] >= bid[u] and ask[u] < np.inf):
            fault = CROSSED if bid[u] > 0.0 and ask[u] > 0.0 else NON_POSITIVE
            _skip(state, fault if np.isfinite(bid[u]) and np.isfinite(ask[u]) else MISSING)
            continue
        code = _admit(state, segments, bars, ts[u])
        if code == _ROOMLESS:
            return row
        if code == _ADDED:
            mid = (bid[u] + ask[u]) / 2.0
            _extend(state, mid, mid, mid, mid, 0.0)
            if state["measure"] != TIME:
                _finish_if_filled(state, bars, ts[u])
    return len(ts)


@compiled
def scan_bars(
    states: Forming,
    segments: Segments,
    bars: BarRows,
    start: int,
    starts: Times,
    ends: Times,
    opens: Values,
    highs: Values,
    lows: Values,
    closes: Values,
    volumes: Values,
    flags: NDArray[np.int8],
) -> int:
    """Adds source bars from `start` on, each to the interval of its start; returns as `scan_trades`.

    `flags` has the fault of each (its number above), -1 for a sound one, -2 for a sound but partial one.
    """
    state = states[np.uintp(0)]
    for row in range(start, len(starts)):
        u = np.uintp(row)
        if flags[u] >= 0:
            _skip(state, flags[u])
            continue
        code = _admit(state, segments, bars, starts[u])
        if code == _ROOMLESS:
            return row
        if code == _ADDED:
            _extend(state, opens[u], highs[u], lows[u], closes[u], volumes[u])
            if flags[u] < -1:
                state["partial"] = 1
            state["known_ns"] = max(state["known_ns"], ends[u])
            if state["measure"] != TIME:
                _finish_if_filled(state, bars, ends[u])
    return len(starts)


@compiled
def advance(states: Forming, segments: Segments, bars: BarRows, now: int) -> int:
    """Finishes the time bars that end at or before `now`, the time of a clock; returns as `add_trade`."""
    state = states[np.uintp(0)]
    state["clock_ns"] = max(state["clock_ns"], now)
    added = _ADDED
    if state["measure"] == TIME:
        added = _finish_until(state, segments, bars, now)
    return state["finished"] if added == _ADDED else FULL


@compiled
def copy_forming(states: Forming, bars: BarRows) -> int:
    """Copies the forming bar to `bars[0]`; returns how many there are, 0 or 1."""
    state = states[np.uintp(0)]
    if state["holds"] == 0:
        return 0
    _write(state, bars[np.uintp(0)])
    return 1

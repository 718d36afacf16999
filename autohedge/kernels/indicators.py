"""Technical indicators: one compiled function each, for whole series and for single bars.

`data` has a series in each row: first the inputs, SESSION to SELL_VOLUME, then what the indicators write. A function
computes the bars from `start` on and before `stop`. It continues where the call before it ended: what must last is in
the record `INDICATOR` at `at`, or in the series. So a batch, a live bar and a scan of a strategy, which only differ in
how bars are cut into calls, give the same bits. Results are written from row `first` of the record on; series that only
the computation needs follow those that are shown.

NaN means undefined. A window that holds NaN is NaN; a recursion keeps its state and gives NaN for that bar; 0/0 is
NaN. strategies/indicator_table.py has the definition and the source of each indicator.
"""

import math
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from autohedge.kernels.jit import compiled, inlined
from autohedge.kernels.windows import (
    Data,
    window_distances,
    window_highest,
    window_lowest,
    window_squares,
    window_sums,
    window_weighted_sums,
)

SESSION, HIGH, LOW, CLOSE, VOLUME, BUY_VOLUME, SELL_VOLUME = range(7)
"""The inputs; the session is a number that differs between the sessions of two bars."""
INPUTS = 7

INDICATOR = np.dtype(
    [
        ("kind", "i8"),
        ("first", "i8"),
        ("period", "i8"),
        ("second", "i8"),
        ("third", "i8"),
        ("width", "f8"),
        # The state: how many values each recursion has seen, and the sums or means that it holds.
        ("seen", "i8", (3,)),
        ("held", "f8", (4,)),
    ],
    align=True,
)

Indicators: TypeAlias = NDArray[np.void]

# Below this share of the mean, a deviation is rounding error.
_ROUNDING = 1e-12
_NAN = np.nan


@inlined
def _is_known(x: float) -> bool:
    return not math.isnan(x)


@inlined
def _smoothed(n: int, alpha: float, seen: int, held: float, x: float) -> tuple[int, float]:
    """Returns the next state of a recursion: a sum, which the n-th value turns into a mean, which is smoothed."""
    if not _is_known(x):
        return seen, held
    if seen >= n:
        return seen, held + alpha * (x - held)
    held += x
    return seen + 1, held / n if seen + 1 == n else held


@inlined
def _shown(n: int, seen: int, held: float, x: float) -> float:
    """Returns the value of a recursion after `x`."""
    return held if (seen >= n) & _is_known(x) else _NAN


@inlined
def _true_range(data: Data, i: int) -> float:
    """Returns the true range of bar `i`, which has a bar before it; NaN if one of its prices is."""
    high, low, before = data[HIGH, np.uintp(i)], data[LOW, np.uintp(i)], data[CLOSE, np.uintp(i - 1)]
    if not _is_known(high + low + before):
        return _NAN
    true_range: float = max(high, before) - min(low, before)
    return true_range


@inlined
def _undefined_before(n: int, data: Data, start: int, stop: int, out: int) -> int:
    """Returns the first place that has `n` places before it; those without become NaN."""
    first = min(max(start, n), stop)
    for i in range(start, first):
        data[out, np.uintp(i)] = _NAN
    return first


@inlined
def _means(data: Data, x: int, n: int, start: int, stop: int, out: int) -> None:
    window_sums(data, x, n, start, stop, out)
    for i in range(start, stop):
        data[out, np.uintp(i)] /= n


@inlined
def _typical(data: Data, start: int, stop: int, out: int) -> None:
    for i in range(start, stop):
        u = np.uintp(i)
        data[out, u] = (data[HIGH, u] + data[LOW, u] + data[CLOSE, u]) / 3.0


@inlined
def _log_returns(data: Data, start: int, stop: int, out: int) -> None:
    for i in range(_undefined_before(1, data, start, stop, out), stop):
        data[out, np.uintp(i)] = math.log(data[CLOSE, np.uintp(i)] / data[CLOSE, np.uintp(i - 1)])


@inlined
def _average(state: Any, n: int, alpha: float, data: Data, start: int, stop: int, out: int) -> None:
    """Writes the recursion over closes, whose state is the first of the record."""
    seen, held = state["seen"][0], state["held"][0]
    for i in range(start, stop):
        u = np.uintp(i)
        seen, held = _smoothed(n, alpha, seen, held, data[CLOSE, u])
        data[out, u] = _shown(n, seen, held, data[CLOSE, u])
    state["seen"][0], state["held"][0] = seen, held


@compiled
def sma(state: Any, data: Data, start: int, stop: int) -> None:
    """Computes the simple moving average."""
    _means(data, CLOSE, state["period"], start, stop, state["first"])


@compiled
def wma(state: Any, data: Data, start: int, stop: int) -> None:
    """Computes the weighted moving average."""
    n, out = state["period"], state["first"]
    window_weighted_sums(data, CLOSE, n, start, stop, out)
    weights = n * (n + 1) / 2
    for i in range(start, stop):
        data[out, np.uintp(i)] /= weights


@compiled
def ema(state: Any, data: Data, start: int, stop: int) -> None:
    """Computes the exponential moving average."""
    n = state["period"]
    _average(state, n, 2.0 / (n + 1), data, start, stop, state["first"])


@compiled
def rma(state: Any, data: Data, start: int, stop: int) -> None:
    """Computes Wilder's moving average."""
    n = state["period"]
    _average(state, n, 1.0 / n, data, start, stop, state["first"])


@compiled
def rsi(state: Any, data: Data, start: int, stop: int) -> None:
    """Computes the relative strength index."""
    n, out = state["period"], state["first"]
    seen, rises, falls = state["seen"][0], state["held"][0], state["held"][1]
    for i in range(_undefined_before(1, data, start, stop, out), stop):
        u = np.uintp(i)
        change = data[CLOSE, u] - data[CLOSE, np.uintp(i - 1)]
        if _is_known(change):
            _, rises = _smoothed(n, 1.0 / n, seen, rises, max(change, 0.0))
            seen, falls = _smoothed(n, 1.0 / n, seen, falls, max(-change, 0.0))
        data[out, u] = _shown(n, seen, 100.0 * rises / (rises + falls), change)
    state["seen"][0], state["held"][0], state["held"][1] = seen, rises, falls


@compiled
def macd(state: Any, data: Data, start: int, stop: int) -> None:
    """Computes the moving average convergence divergence, its signal and their difference."""
    fast, slow, smooth, line = state["period"], state["second"], state["third"], state["first"]
    signal, histogram = line + 1, line + 2
    fast_alpha, slow_alpha, signal_alpha = 2.0 / (fast + 1), 2.0 / (slow + 1), 2.0 / (smooth + 1)
    seen, seen_lines = state["seen"][0], state["seen"][1]
    quick, steady, smoothed = state["held"][0], state["held"][1], state["held"][2]
    for i in range(start, stop):
        u = np.uintp(i)
        close = data[CLOSE, u]
        _, quick = _smoothed(fast, fast_alpha, seen, quick, close)
        seen, steady = _smoothed(slow, slow_alpha, seen, steady, close)
        found = _shown(slow, seen, quick - steady, close)
        seen_lines, smoothed = _smoothed(smooth, signal_alpha, seen_lines, smoothed, found)
        data[line, u] = found
        data[signal, u] = _shown(smooth, seen_lines, smoothed, found)
        data[histogram, u] = _shown(smooth, seen_lines, found - smoothed, found)
    state["seen"][0], state["seen"][1] = seen, seen_lines
    state["held"][0], state["held"][1], state["held"][2] = quick, steady, smoothed


@compiled
def bollinger(state: Any, data: Data, start: int, stop: int) -> None:
    """Computes Bollinger's bands, the place of the close between them and their distance."""
    n, width, upper = state["period"], state["width"], state["first"]
    middle, lower, percent_b, bandwidth = upper + 1, upper + 2, upper + 3, upper + 4
    _means(data, CLOSE, n, start, stop, middle)
    window_squares(data, CLOSE, middle, n, start, stop, bandwidth)
    for i in range(start, stop):
        u = np.uintp(i)
        mean, deviation = data[middle, u], np.sqrt(data[bandwidth, u] / n)
        top, bottom = mean + width * deviation, mean - width * deviation
        inside = (data[CLOSE, u] - bottom) / (top - bottom)
        data[upper, u], data[lower, u] = top, bottom
        data[percent_b, u] = inside if deviation > _ROUNDING * abs(mean) else _NAN
        data[bandwidth, u] = (top - bottom) / mean


@compiled
def atr(state: Any, data: Data, start: int, stop: int) -> None:
    """Computes the average true range."""
    n, out = state["period"], state["first"]
    alpha, seen, held = 1.0 / n, state["seen"][0], state["held"][0]
    for i in range(_undefined_before(1, data, start, stop, out), stop):
        true_range = _true_range(data, i)
        seen, held = _smoothed(n, alpha, seen, held, true_range)
        data[out, np.uintp(i)] = _shown(n, seen, held, true_range)
    state["seen"][0], state["held"][0] = seen, held


@inlined
def _directional_move(own: float, other: float) -> float:
    """Returns a move of the high or the low that is larger than the other one and positive, else 0."""
    return own if (own > other) & (own > 0.0) else 0.0


@compiled
def adx(state: Any, data: Data, start: int, stop: int) -> None:
    """Computes the average directional index and both directional indicators."""
    n, line = state["period"], state["first"]
    plus_line, minus_line, alpha = line + 1, line + 2, 1.0 / n
    seen, seen_indices = state["seen"][0], state["seen"][1]
    ranges, plus, minus, index = state["held"][0], state["held"][1], state["held"][2], state["held"][3]
    _undefined_before(1, data, start, stop, plus_line)
    _undefined_before(1, data, start, stop, minus_line)
    for i in range(_undefined_before(1, data, start, stop, line), stop):
        u, before = np.uintp(i), np.uintp(i - 1)
        up, down = data[HIGH, u] - data[HIGH, before], data[LOW, before] - data[LOW, u]
        true_range = _true_range(data, i)
        known = _is_known(true_range + up + down)
        if known:
            kept = 1.0 if seen < n - 1 else 1.0 - alpha
            seen += 1
            ranges = kept * ranges + true_range
            plus = kept * plus + _directional_move(up, down)
            minus = kept * minus + _directional_move(down, up)
        defined = known & (seen >= n)
        plus_index = 100.0 * plus / ranges if defined else _NAN
        minus_index = 100.0 * minus / ranges if defined else _NAN
        directional = 100.0 * abs(plus_index - minus_index) / (plus_index + minus_index)
        seen_indices, index = _smoothed(n, alpha, seen_indices, index, directional)
        data[line, u] = _shown(n, seen_indices, index, directional)
        data[plus_line, u], data[minus_line, u] = plus_index, minus_index
    state["seen"][0], state["seen"][1] = seen, seen_indices
    state["held"][0], state["held"][1], state["held"][2], state["held"][3] = ranges, plus, minus, index


@compiled
def stochastic(state: Any, data: Data, start: int, stop: int) -> None:
    """Computes the place of the close in the range of its window, smoothed once and twice."""
    n, k = state["period"], state["first"]
    d, raw = k + 1, k + 2
    window_highest(data, HIGH, n, start, stop, raw)
    window_lowest(data, LOW, n, start, stop, d)
    for i in range(start, stop):
        u = np.uintp(i)
        data[raw, u] = 100.0 * (data[CLOSE, u] - data[d, u]) / (data[raw, u] - data[d, u])
    _means(data, raw, state["second"], start, stop, k)
    _means(data, k, state["third"], start, stop, d)


@compiled
def cci(state: Any, data: Data, start: int, stop: int) -> None:
    """Computes the commodity channel index."""
    n, out = state["period"], state["first"]
    typical, mean = out + 1, out + 2
    _typical(data, start, stop, typical)
    _means(data, typical, n, start, stop, mean)
    window_distances(data, typical, mean, n, start, stop, out)
    for i in range(start, stop):
        u = np.uintp(i)
        deviation = data[out, u] / n
        found = (data[typical, u] - data[mean, u]) / (0.015 * deviation)
        data[out, u] = found if deviation > _ROUNDING * abs(data[mean, u]) else _NAN


@compiled
def obv(state: Any, data: Data, start: int, stop: int) -> None:
    """Computes the on-balance volume."""
    out, total = state["first"], state["held"][0]
    for i in range(start, stop):
        u = np.uintp(i)
        flow = data[VOLUME, u]
        if i > 0:
            flow *= np.sign(data[CLOSE, u] - data[CLOSE, np.uintp(i - 1)])
        total += flow if _is_known(flow) else 0.0
        data[out, u] = total if _is_known(flow) else _NAN
    state["held"][0] = total


@compiled
def roc(state: Any, data: Data, start: int, stop: int) -> None:
    """Computes the rate of change in per cent."""
    n, out = state["period"], state["first"]
    for i in range(_undefined_before(n, data, start, stop, out), stop):
        data[out, np.uintp(i)] = 100.0 * (data[CLOSE, np.uintp(i)] / data[CLOSE, np.uintp(i - n)] - 1.0)


@compiled
def momentum(state: Any, data: Data, start: int, stop: int) -> None:
    """Computes the change of the close."""
    n, out = state["period"], state["first"]
    for i in range(_undefined_before(n, data, start, stop, out), stop):
        data[out, np.uintp(i)] = data[CLOSE, np.uintp(i)] - data[CLOSE, np.uintp(i - n)]


@compiled
def zscore(state: Any, data: Data, start: int, stop: int) -> None:
    """Computes the distance of the close from its mean in standard deviations."""
    n, out = state["period"], state["first"]
    mean = out + 1
    _means(data, CLOSE, n, start, stop, mean)
    window_squares(data, CLOSE, mean, n, start, stop, out)
    for i in range(start, stop):
        u = np.uintp(i)
        deviation = np.sqrt(data[out, u] / (n - 1))
        found = (data[CLOSE, u] - data[mean, u]) / deviation
        data[out, u] = found if deviation > _ROUNDING * abs(data[mean, u]) else _NAN


@compiled
def log_return(state: Any, data: Data, start: int, stop: int) -> None:
    """Computes the log of the close over the close before it."""
    _log_returns(data, start, stop, state["first"])


@compiled
def realised_volatility(state: Any, data: Data, start: int, stop: int) -> None:
    """Computes the standard deviation of log returns, per bar."""
    n, out = state["period"], state["first"]
    returns, mean = out + 1, out + 2
    _log_returns(data, start, stop, returns)
    _means(data, returns, n, start, stop, mean)
    window_squares(data, returns, mean, n, start, stop, out)
    for i in range(start, stop):
        data[out, np.uintp(i)] = np.sqrt(data[out, np.uintp(i)] / (n - 1))


@compiled
def vwap(state: Any, data: Data, start: int, stop: int) -> None:
    """Computes the volume-weighted average price of `period` bars; with a period of 0, of the session so far."""
    n, out = state["period"], state["first"]
    traded, sums = out + 1, out + 2
    _typical(data, start, stop, traded)
    for i in range(start, stop):
        data[traded, np.uintp(i)] *= data[VOLUME, np.uintp(i)]
    if n == 0:
        _session_vwap(state, data, start, stop, traded, out)
        return
    window_sums(data, traded, n, start, stop, sums)
    window_sums(data, VOLUME, n, start, stop, out)
    for i in range(start, stop):
        data[out, np.uintp(i)] = data[sums, np.uintp(i)] / data[out, np.uintp(i)]


@inlined
def _session_vwap(state: Any, data: Data, start: int, stop: int, traded: int, out: int) -> None:
    session, value, size = state["held"][0], state["held"][1], state["held"][2]
    for i in range(start, stop):
        u = np.uintp(i)
        if data[SESSION, u] != session:
            session, value, size = data[SESSION, u], 0.0, 0.0
        known = _is_known(data[traded, u])
        value += data[traded, u] if known else 0.0
        size += data[VOLUME, u] if known else 0.0
        data[out, u] = value / size if known else _NAN
    state["held"][0], state["held"][1], state["held"][2] = session, value, size


@compiled
def donchian(state: Any, data: Data, start: int, stop: int) -> None:
    """Computes the channel of the highest high and the lowest low."""
    n, upper = state["period"], state["first"]
    middle, lower = upper + 1, upper + 2
    window_highest(data, HIGH, n, start, stop, upper)
    window_lowest(data, LOW, n, start, stop, lower)
    for i in range(start, stop):
        data[middle, np.uintp(i)] = (data[upper, np.uintp(i)] + data[lower, np.uintp(i)]) / 2.0


@compiled
def keltner(state: Any, data: Data, start: int, stop: int) -> None:
    """Computes the channel of the average true range around the exponential moving average."""
    n, ranges, width, upper = state["period"], state["second"], state["width"], state["first"]
    middle, lower = upper + 1, upper + 2
    _average(state, n, 2.0 / (n + 1), data, start, stop, middle)
    alpha, seen, held = 1.0 / ranges, state["seen"][1], state["held"][1]
    _undefined_before(1, data, start, stop, lower)
    for i in range(_undefined_before(1, data, start, stop, upper), stop):
        u, true_range = np.uintp(i), _true_range(data, i)
        seen, held = _smoothed(ranges, alpha, seen, held, true_range)
        distance = width * _shown(ranges, seen, held, true_range)
        data[upper, u], data[lower, u] = data[middle, u] + distance, data[middle, u] - distance
    state["seen"][1], state["held"][1] = seen, held


@compiled
def supertrend(state: Any, data: Data, start: int, stop: int) -> None:
    """Computes the trend, 1 or -1, and the band that follows it; the trend is 0 while the line is undefined."""
    n, width, line = state["period"], state["width"], state["first"]
    trends, alpha = line + 1, 1.0 / n
    seen, trend = state["seen"][0], state["seen"][1]
    held, upper, lower = state["held"][0], state["held"][1], state["held"][2]
    for i in range(start, stop):
        data[trends, np.uintp(i)] = 0.0
    for i in range(_undefined_before(1, data, start, stop, line), stop):
        u, true_range = np.uintp(i), _true_range(data, i)
        seen, held = _smoothed(n, alpha, seen, held, true_range)
        distance, close = width * _shown(n, seen, held, true_range), data[CLOSE, u]
        if not _is_known(distance + close):
            data[line, u] = _NAN
            continue
        mid, before = (data[HIGH, u] + data[LOW, u]) / 2.0, data[CLOSE, np.uintp(i - 1)]
        if trend == 0:
            trend, upper, lower = 1, mid + distance, mid - distance
        else:
            upper = mid + distance if (mid + distance < upper) | (before > upper) else upper
            lower = mid - distance if (mid - distance > lower) | (before < lower) else lower
            trend = _next_trend(trend, close, upper, lower)
        data[line, u] = lower if trend > 0 else upper
        data[trends, u] = float(trend)
    state["seen"][0], state["seen"][1] = seen, trend
    state["held"][0], state["held"][1], state["held"][2] = held, upper, lower


@inlined
def _next_trend(trend: int, close: float, upper: float, lower: float) -> int:
    if trend > 0:
        return -1 if close < lower else 1
    return 1 if close > upper else -1


@compiled
def cvd(state: Any, data: Data, start: int, stop: int) -> None:
    """Computes the cumulative volume delta."""
    out, total = state["first"], state["held"][0]
    for i in range(start, stop):
        u = np.uintp(i)
        delta = data[BUY_VOLUME, u] - data[SELL_VOLUME, u]
        total += delta if _is_known(delta) else 0.0
        data[out, u] = total if _is_known(delta) else _NAN
    state["held"][0] = total

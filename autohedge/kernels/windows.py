"""Sums and extremes of the last `n` values at each place of a series.

Series are the rows of one array, `data`; `x`, `means` and `out` are their numbers. Each function writes the results
from place `start` on and before `stop`. A place before the first whole window becomes NaN, and so does one whose
window holds NaN. Every window is summed afresh: nothing drifts, and a result depends on its window alone.

Values are added in groups of four from the oldest on, total + ((a + b) + (c + d)), then those that are left one by
one. Many places are computed side by side, which the compiler turns into vector instructions; each of them is added up
in that same order, so the bits do not depend on how many there are.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from autohedge.kernels.jit import compiled, inlined

Data: TypeAlias = NDArray[np.float64]

_BLOCK = 256  # places whose results stay in the fastest cache
_FEW = 8  # places that are faster one by one
_GROUP = 4


@compiled
def window_sums(data: Data, x: int, n: int, start: int, stop: int, out: int) -> None:
    """Writes Σx."""
    _fold(_value, _plus, 0.0, data, x, x, n, start, stop, out)


@compiled
def window_weighted_sums(data: Data, x: int, n: int, start: int, stop: int, out: int) -> None:
    """Writes Σ(k + 1)x, where k is 0 for the oldest value."""
    _fold(_weighted, _plus, 0.0, data, x, x, n, start, stop, out)


@compiled
def window_squares(data: Data, x: int, means: int, n: int, start: int, stop: int, out: int) -> None:
    """Writes Σ(x − mean)²; `means` has the mean of each window."""
    _fold(_square, _plus, 0.0, data, x, means, n, start, stop, out)


@compiled
def window_distances(data: Data, x: int, means: int, n: int, start: int, stop: int, out: int) -> None:
    """Writes Σ|x − mean|; `means` has the mean of each window."""
    _fold(_distance, _plus, 0.0, data, x, means, n, start, stop, out)


@compiled
def window_highest(data: Data, x: int, n: int, start: int, stop: int, out: int) -> None:
    """Writes the highest value."""
    _fold(_value, _higher, -np.inf, data, x, x, n, start, stop, out)


@compiled
def window_lowest(data: Data, x: int, n: int, start: int, stop: int, out: int) -> None:
    """Writes the lowest value."""
    _fold(_value, _lower, np.inf, data, x, x, n, start, stop, out)


@inlined
def _value(x: float, mean: float, k: int) -> float:
    return x


@inlined
def _weighted(x: float, mean: float, k: int) -> float:
    return float(k + 1) * x


@inlined
def _square(x: float, mean: float, k: int) -> float:
    return (x - mean) * (x - mean)


@inlined
def _distance(x: float, mean: float, k: int) -> float:
    return abs(x - mean)


@inlined
def _plus(a: float, b: float) -> float:
    return a + b


@inlined
def _higher(a: float, b: float) -> float:
    return b if (b > a) | (b != b) else a  # noqa: PLR0124  (NaN)


@inlined
def _lower(a: float, b: float) -> float:
    return b if (b < a) | (b != b) else a  # noqa: PLR0124  (NaN)


@inlined
def _fold(
    term: Any,
    join: Any,
    initial: float,
    data: Data,
    x: int,
    means: int,
    n: int,
    start: int,
    stop: int,
    out: int,
) -> None:
    """Joins the terms of each window; `term` takes a value, the mean of its window and its position in it."""
    first = min(max(start, n - 1), stop)
    for i in range(start, first):
        data[out, np.uintp(i)] = np.nan
    if stop - first < _FEW:
        for i in range(first, stop):
            data[out, np.uintp(i)] = _window(
                term, join, initial, data, x, data[means, np.uintp(i)], i + 1 - n, n
            )
    else:
        for low in range(first, stop, _BLOCK):
            _fold_block(term, join, initial, data, x, means, n, low, min(low + _BLOCK, stop), out)


@inlined
def _window(
    term: Any, join: Any, initial: float, data: Data, x: int, mean: float, oldest: int, n: int
) -> float:
    """Returns the joined terms of one window."""
    result: float = initial
    k = 0
    while k + _GROUP <= n:
        result = join(result, _group(term, join, data, x, mean, oldest, k))
        k += _GROUP
    while k < n:
        result = join(result, term(data[x, np.uintp(oldest + k)], mean, k))
        k += 1
    return result


@inlined
def _fold_block(
    term: Any,
    join: Any,
    initial: float,
    data: Data,
    x: int,
    means: int,
    n: int,
    start: int,
    stop: int,
    out: int,
) -> None:
    """Joins the terms of many windows, one group of all of them after another."""
    for i in range(start, stop):
        data[out, np.uintp(i)] = initial
    k = 0
    while k + _GROUP <= n:
        for i in range(start, stop):
            u, mean, oldest = np.uintp(i), data[means, np.uintp(i)], i + 1 - n
            data[out, u] = join(data[out, u], _group(term, join, data, x, mean, oldest, k))
        k += _GROUP
    while k < n:
        for i in range(start, stop):
            u, mean = np.uintp(i), data[means, np.uintp(i)]
            data[out, u] = join(data[out, u], term(data[x, np.uintp(i + 1 - n + k)], mean, k))
        k += 1


@inlined
def _group(term: Any, join: Any, data: Data, x: int, mean: float, oldest: int, k: int) -> float:
    """Returns the joined terms of four values."""
    at = oldest + k
    a = term(data[x, np.uintp(at)], mean, k)
    b = term(data[x, np.uintp(at + 1)], mean, k + 1)
    c = term(data[x, np.uintp(at + 2)], mean, k + 2)
    d = term(data[x, np.uintp(at + 3)], mean, k + 3)
    joined: float = join(join(a, b), join(c, d))
    return joined

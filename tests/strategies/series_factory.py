"""Bars to compute indicators over, and the indicators themselves, as properties draw them."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from autohedge.kernels.indicator_set import KERNELS
from autohedge.kernels.indicators import INPUTS
from autohedge.market.bar_series import BarSeries
from autohedge.strategies.indicator_table import DEFINITIONS
from autohedge.strategies.indicators import (
    IndicatorSet,
    IndicatorSpec,
    Values,
    _states,
    parse_indicator,
)

BARS_PER_SESSION = 50


def defaults() -> list[IndicatorSpec]:
    """Returns each indicator with its defaults, and a vwap of a window."""
    return [parse_indicator(text) for text in (*DEFINITIONS, "vwap(20)")]


def with_periods(n: int) -> list[IndicatorSpec]:
    """Returns each indicator with periods around `n`, which is at least 2."""
    windows = [
        "sma",
        "wma",
        "ema",
        "rma",
        "rsi",
        "atr",
        "adx",
        "cci",
        "roc",
        "momentum",
        "zscore",
        "realised_volatility",
        "vwap",
        "donchian",
    ]
    others = [
        f"macd({n}, {n + 3}, {n // 2})",
        f"bollinger({n}, 1.5)",
        f"stochastic({n}, {n // 2}, 2)",
        f"keltner({n}, {n + 1}, 1.5)",
        f"supertrend({n}, 1.5)",
    ]
    texts = [*(f"{name}({n})" for name in windows), *others, "obv", "log_return", "vwap", "cvd"]
    return [parse_indicator(text) for text in texts]


def walk(rows: int, seed: int = 5, price: float = 100.0, still: bool = False) -> BarSeries:
    """Returns a seeded walk of bars; `still` adds a stretch of equal prices."""
    rng = np.random.Generator(np.random.PCG64(seed))
    close = price * np.exp(np.cumsum(rng.normal(0.0, 1e-3, rows)))
    above, below = (np.abs(rng.normal(0.0, 5e-4, rows)) for _ in range(2))
    if still:
        middle = slice(rows // 3, 2 * rows // 3)
        close[middle], above[middle], below[middle] = close[rows // 3], 0.0, 0.0
    volume = rng.exponential(3.0, rows)
    bought = volume * rng.uniform(0.2, 0.8, rows)
    session = (np.arange(rows) // BARS_PER_SESSION).astype(np.float64)
    return BarSeries(
        session, close * (1 + above), close * (1 - below), close, volume, bought, volume - bought
    )


def part(bars: BarSeries, start: int, stop: int | None = None) -> BarSeries:
    return BarSeries._make(column[start:stop] for column in bars)


def without(bars: BarSeries, place: int) -> BarSeries:
    """Returns the bars but for one."""
    return BarSeries._make(np.delete(column, place) for column in bars)


def undefined_at(bars: BarSeries, *places: int) -> BarSeries:
    """Returns the bars with NaN in all columns but the session at some places."""
    columns = [column.copy() for column in bars]
    for column in columns[1:]:
        column[list(places)] = np.nan
    return BarSeries._make(columns)


def named(specs: Sequence[IndicatorSpec], results: Sequence[Mapping[str, Values]]) -> dict[str, Values]:
    """Returns computed columns by the names that an `IndicatorSet` has for them."""
    return {
        spec.text if len(columns) == 1 else f"{spec.text}.{column}": values
        for spec, columns in zip(specs, results, strict=True)
        for column, values in columns.items()
    }


def in_blocks(
    specs: Sequence[IndicatorSpec], bars: BarSeries, cuts: Sequence[int]
) -> list[dict[str, Values]]:
    """Returns what `compute` does, in calls that end at some places."""
    states, series = _states(specs)
    data = np.empty((series, len(bars.close)))
    data[:INPUTS] = bars
    edges = [0, *sorted(cuts), len(bars.close)]
    for start, stop in pairwise(edges):
        for state, spec in zip(states, specs, strict=True):
            KERNELS[spec.definition.kind](state, data, start, stop)
    firsts = states["first"].tolist()
    return [
        {name: data[first + at] for at, name in enumerate(spec.columns)}
        for first, spec in zip(firsts, specs, strict=True)
    ]


def bar_values(bars: BarSeries) -> Iterator[tuple[float, ...]]:
    return zip(*(column.tolist() for column in bars), strict=True)


def bar_by_bar(specs: Sequence[IndicatorSpec], bars: BarSeries, ago: int = 0) -> dict[str, Values]:
    """Returns the values of an `IndicatorSet` after each bar, or those that it gives for `ago` bars before."""
    indicators = IndicatorSet(specs)
    names = list(named(specs, [dict.fromkeys(spec.columns, np.empty(0)) for spec in specs]))
    found = []
    for bar in bar_values(bars):
        indicators.add(bar)
        found.append([indicators.value(name, ago) for name in names])
    return dict(zip(names, np.array(found).T, strict=True))


def bits(values: NDArray[np.float64]) -> bytes:
    """Returns all bits of values; every NaN is the same."""
    return np.where(np.isnan(values), np.nan, values).tobytes()


def different(first: Mapping[str, Values], second: Mapping[str, Values]) -> list[str]:
    """Returns the names of the columns that are not equal to the bit."""
    assert first.keys() == second.keys()
    return [name for name in first if bits(first[name]) != bits(second[name])]

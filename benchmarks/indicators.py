"""Row `indicators`: all of them over whole series, and at live bars, against TA-Lib.

Whole series: the 22 indicators have 36 columns. The calls of TA-Lib that come nearest are SMA, WMA, EMA, RMA, RSI, MACD,
BBANDS, ATR, ADX, PLUS_DI, MINUS_DI, STOCH, CCI, OBV, ROC, MOM, STDDEV (for zscore), VWAP, DONCHIAN, KC and SUPERTREND: 21
calls with 31 columns. It has no log_return, realised_volatility, cvd, percent_b and bandwidth.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np

from autohedge.market.bar_series import BarSeries
from autohedge.strategies.indicator_table import DEFINITIONS
from autohedge.strategies.indicators import BarValues, IndicatorSet, IndicatorSpec, compute, parse_indicator
from benchmarks.row import Row, Spent, Timed, clocked, interleaved

BATCH_BOUND, BATCH_AIM, LIVE_BOUND_US, TEN_BOUND = 1.2, 0.6, 3.0, 0.5
BARS, BARS_A_DAY, LIVE_BARS, HISTORY = 1_000_000, 1_440, 1_000, 250
ROUNDS, LIVE_ROUNDS = 9, 50
TEN = ("sma", "ema", "wma", "rsi", "macd", "bollinger", "atr", "adx", "stochastic", "cci")

_SEED = 13
_ABSENT = "TA-Lib is absent: pip install --no-deps --require-hashes -r requirements-check.lock"
_NS_PER_S, _NS_PER_US = 1e9, 1e3


def measure(quotes: int) -> list[Row]:
    """Measures all three; `quotes` is not used. Raises AssertionError if TA-Lib finds other values."""
    return [_batch(), *_live()]


@cache
def _bars() -> BarSeries:
    """Returns a random walk of one-minute bars."""
    rng = np.random.Generator(np.random.PCG64(_SEED))
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 1e-3, BARS)))
    high = close * (1.0 + np.abs(rng.normal(0.0, 5e-4, BARS)))
    low = close * (1.0 - np.abs(rng.normal(0.0, 5e-4, BARS)))
    volume = rng.uniform(1.0, 100.0, BARS)
    day = (np.arange(BARS) // BARS_A_DAY).astype(np.float64)
    return BarSeries(day, high, low, close, volume, 0.4 * volume, 0.6 * volume)


def _specs(names: Iterable[str]) -> list[IndicatorSpec]:
    return [parse_indicator(name) for name in names]


def _batch() -> Row:
    """Measures whole series; either side holds all its columns until the last is made."""
    name, bound = "indicators, a bar", f"<= {BATCH_BOUND:g}x TA-Lib (aim {BATCH_AIM:g})"
    if not find_spec("talib"):
        return Row(name, bound, "", met=None, note=_ABSENT)
    bars, specs = _bars(), _specs(DEFINITIONS)
    made = dict(zip(DEFINITIONS, compute(specs, bars), strict=True))
    np.testing.assert_allclose(made["supertrend"]["line"], _calls_of_talib(bars)[-1][0], rtol=1e-9)
    del made
    spent = interleaved(
        {
            "ours": _in_used_memory(lambda: compute(specs, bars)),
            "talib": _in_used_memory(lambda: _calls_of_talib(bars)),
        },
        ROUNDS,
    )
    ours, talib = (Timed.cpu(spent[side]) for side in ("ours", "talib"))
    ratio = ours.median / talib.median
    note = (
        f"processor time: {_ns(ours, BARS)}, TA-Lib {_ns(talib, BARS)}; wall {_ns(Timed.wall(spent['ours']), BARS)}, "
        f"TA-Lib {_ns(Timed.wall(spent['talib']), BARS)}; {BARS:,} bars"
    )
    return Row(name, bound, f"{ratio:.2f}x", ratio <= BATCH_BOUND, note)


def _in_used_memory(action: Callable[[], object]) -> Callable[[], Spent]:
    """Returns a run that follows one that is not counted, in the memory that this one has given back.

    The host of a virtual machine takes up to half a second to supply the memory of all columns, on either side.
    """

    def run() -> Spent:
        action()
        return clocked(action)

    return run


def _ns(spent: Timed, bars: int) -> str:
    each = _NS_PER_S / bars
    return f"{spent.median * each:.0f} ns (least {spent.least * each:.0f})"


def _calls_of_talib(bars: BarSeries) -> list[Any]:
    import talib as ta

    close, volume = bars.close, bars.volume
    ranges = bars.high, bars.low, close
    return [
        ta.SMA(close, 20),
        ta.WMA(close, 20),
        ta.EMA(close, 20),
        ta.RMA(close, 14),
        ta.RSI(close, 14),
        ta.MACD(close, 12, 26, 9),
        ta.BBANDS(close, 20, 2.0, 2.0),
        ta.ATR(*ranges, 14),
        ta.ADX(*ranges, 14),
        ta.PLUS_DI(*ranges, 14),
        ta.MINUS_DI(*ranges, 14),
        ta.STOCH(*ranges, 14, 3, 0, 3, 0),
        ta.CCI(*ranges, 20),
        ta.OBV(close, volume),
        ta.ROC(close, 10),
        ta.MOM(close, 10),
        ta.STDDEV(close, 20),
        ta.VWAP(*ranges, volume),
        ta.DONCHIAN(bars.high, bars.low, 20),
        ta.KC(*ranges, 20, 10, 2.0),
        ta.SUPERTREND(*ranges, 10, 3.0),
    ]


def _live() -> list[Row]:
    """Measures live bars, in turn: all indicators, ten of them, and ten streams of TA-Lib."""
    columns = [column[:LIVE_BARS].tolist() for column in _bars()]
    bars = list(zip(*columns, strict=True))
    all_of_them, ten = IndicatorSet(_specs(DEFINITIONS)), IndicatorSet(_specs(TEN), TEN)
    variants = {"all": _timed(lambda: _add(all_of_them, bars)), "ten": _timed(lambda: _add(ten, bars))}
    streams = _streams_of_talib() if find_spec("talib") else []
    if streams:
        variants["streams"] = _timed(lambda: _update(streams, bars))
    spent = {name: Timed.cpu(runs) for name, runs in interleaved(variants, LIVE_ROUNDS).items()}
    if streams:
        assert np.isclose(ten["cci"], _update(streams, bars), rtol=1e-9), "TA-Lib has another cci"
    return [_all_row(spent["all"]), _ten_row(spent)]


def _timed(action: Callable[[], object]) -> Callable[[], Spent]:
    return lambda: clocked(action)


def _add(indicators: IndicatorSet, bars: Sequence[BarValues]) -> None:
    for bar in bars:
        indicators.add(bar)


def _streams_of_talib() -> list[Callable[..., Any]]:
    """Returns what adds a bar to each of the ten: to the first six its close, to the others its range and close."""
    from talib import stream

    _, high, low, close, *_ = (column[:HISTORY] for column in _bars())
    ranges = high, low, close
    streams = [
        stream.SMA(close, 20),
        stream.EMA(close, 20),
        stream.WMA(close, 20),
        stream.RSI(close, 14),
        stream.MACD(close, 12, 26, 9),
        stream.BBANDS(close, 20, 2.0, 2.0),
        stream.ATR(*ranges, 14),
        stream.ADX(*ranges, 14),
        stream.STOCH(*ranges, 14, 3, 0, 3, 0),
        stream.CCI(*ranges, 20),
    ]
    return [each.update for each in streams]


def _update(streams: Sequence[Callable[..., Any]], bars: Sequence[BarValues]) -> float:
    """Adds the bars to all streams, and returns the last value of the last one."""
    sma, ema, wma, rsi, macd, bollinger, atr, adx, stochastic, cci = streams
    value = np.nan
    for _, high, low, close, *_ in bars:
        sma(close)
        ema(close)
        wma(close)
        rsi(close)
        macd(close)
        bollinger(close)
        atr(high, low, close)
        adx(high, low, close)
        stochastic(high, low, close)
        value = cci(high, low, close)
    return value


def _all_row(spent: Timed) -> Row:
    us = spent.median / LIVE_BARS * _NS_PER_S / _NS_PER_US
    note = (
        f"processor time: {_ns(spent, LIVE_BARS)}, in batches of {LIVE_BARS:,}; {len(DEFINITIONS)} indicators"
    )
    return Row(
        "indicators, a live bar", f"<= {LIVE_BOUND_US:g} us", f"{us:.2f} us", us <= LIVE_BOUND_US, note
    )


def _ten_row(spent: dict[str, Timed]) -> Row:
    name, bound = "ten indicators, a live bar", f"<= {TEN_BOUND:g}x TA-Lib"
    if "streams" not in spent:
        return Row(name, bound, "", met=None, note=_ABSENT)
    ours, streams = spent["ten"], spent["streams"]
    ratio = ours.median / streams.median
    note = f"processor time: {_ns(ours, LIVE_BARS)}, ten streams {_ns(streams, LIVE_BARS)}"
    return Row(name, bound, f"{ratio:.2f}x", ratio <= TEN_BOUND, note)

"""Indicators against TA-Lib: equal on random walks, or different exactly where their definitions differ."""

import os
from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray

from autohedge.market.bar_series import BarSeries
from autohedge.strategies.indicators import compute, parse_indicator

BARS = 3_000
PRICES = (1e-8, 1.0, 1e5)
RELATIVE = 1e-9

Values = NDArray[np.float64]

# Each takes TA-Lib, bars and the parameters of the indicator; its columns are in the order of the indicator's.
CALLS: dict[str, Callable[..., Sequence[Values]]] = {
    "sma": lambda ta, bars, n: [ta.SMA(bars.close, n)],
    "wma": lambda ta, bars, n: [ta.WMA(bars.close, n)],
    "ema": lambda ta, bars, n: [ta.EMA(bars.close, n)],
    "rma": lambda ta, bars, n: [ta.RMA(bars.close, n)],
    "rsi": lambda ta, bars, n: [ta.RSI(bars.close, n)],
    "macd": lambda ta, bars, *periods: ta.MACD(bars.close, *periods),
    "bollinger": lambda ta, bars, n, width: ta.BBANDS(bars.close, n, width, width),
    "atr": lambda ta, bars, n: [ta.ATR(*_ranges(bars), n)],
    "adx": lambda ta, bars, n: [call(*_ranges(bars), n) for call in (ta.ADX, ta.PLUS_DI, ta.MINUS_DI)],
    "stochastic": lambda ta, bars, n, smooth, signal: ta.STOCH(*_ranges(bars), n, smooth, 0, signal, 0),
    "cci": lambda ta, bars, n: [ta.CCI(*_ranges(bars), n)],
    "obv": lambda ta, bars: [ta.OBV(bars.close, bars.volume)],
    "roc": lambda ta, bars, n: [ta.ROC(bars.close, n)],
    "momentum": lambda ta, bars, n: [ta.MOM(bars.close, n)],
    "vwap": lambda ta, bars, n: [ta.VWAP(*_ranges(bars), bars.volume)],
    "donchian": lambda ta, bars, n: ta.DONCHIAN(bars.high, bars.low, n),
    "keltner": lambda ta, bars, n, ranges, width: ta.KC(*_ranges(bars), n, ranges, width),
    "supertrend": lambda ta, bars, n, width: ta.SUPERTREND(*_ranges(bars), n, width),
}
# The columns whose tolerance is not a share of the price: below it their formulas are ill-conditioned.
ABSOLUTE = {"rsi": 1e-9, "adx": 1e-9, "stochastic": 1e-8, "cci": 1e-7, "roc": 1e-10}
EQUAL = (
    "sma", "sma(7)", "wma", "wma(6)", "ema", "ema(5)", "rma", "rma(3)", "rsi", "rsi(2)", "bollinger",
    "bollinger(5, 1.5)", "atr", "atr(3)", "adx", "adx(5)", "cci", "cci(5)", "obv", "roc", "roc(1)", "momentum",
    "momentum(3)", "vwap", "donchian", "donchian(7)", "supertrend", "supertrend(5, 1.5)",
)  # fmt: skip


@pytest.fixture(scope="module")
def ta() -> Any:
    """TA-Lib; skips the test if it is not installed."""
    if find_spec("talib") is None:
        reason = "no talib: pip install --no-deps -r requirements-check.lock"
        if os.environ.get("AUTOHEDGE_REQUIRE_SHARED"):
            pytest.fail(f"AUTOHEDGE_REQUIRE_SHARED is set, but {reason}")
        pytest.skip(reason)
    return import_module("talib")


@cache
def _walk(price: float) -> BarSeries:
    """Returns the bars of a random walk within one session."""
    rng = np.random.Generator(np.random.PCG64(7))
    close = price * np.exp(np.cumsum(rng.normal(0.0, 1e-3, BARS)))
    high = close * (1.0 + np.abs(rng.normal(0.0, 5e-4, BARS)))
    low = close * (1.0 - np.abs(rng.normal(0.0, 5e-4, BARS)))
    return _bars(high, low, close, rng.uniform(1.0, 100.0, BARS))


def _bars(high: Values, low: Values, close: Values, volume: Values) -> BarSeries:
    unknown = np.full(len(close), np.nan)
    return BarSeries(np.zeros(len(close)), high, low, close, volume, unknown, unknown)


def _ranges(bars: BarSeries) -> tuple[Values, Values, Values]:
    return bars.high, bars.low, bars.close


def _both(ta: Any, text: str, bars: BarSeries) -> list[tuple[Values, Values]]:
    """Returns the columns that both have: ours, and TA-Lib's."""
    spec = parse_indicator(text)
    (ours,) = compute([spec], bars)
    return list(zip(ours.values(), CALLS[spec.name](ta, bars, *spec.values), strict=False))


def _assert_close(ours: Values, theirs: Values, absolute: float) -> None:
    assert_allclose(ours, theirs, RELATIVE, absolute, equal_nan=True)


@pytest.mark.parametrize("price", PRICES)
@pytest.mark.parametrize("text", EQUAL)
def test_indicator_on_a_random_walk_equals_talib(ta: Any, text: str, price: float) -> None:
    absolute = ABSOLUTE.get(parse_indicator(text).name, 1e-12 * price)
    for ours, theirs in _both(ta, text, _walk(price)):
        _assert_close(ours, theirs, absolute)


@pytest.mark.parametrize("price", PRICES)
@pytest.mark.parametrize("text", ["stochastic", "stochastic(5, 2, 4)"])
def test_stochastic_equals_talib_which_hides_k_until_d(ta: Any, text: str, price: float) -> None:
    (k, their_k), (d, their_d) = _both(ta, text, _walk(price))
    first_k, first_d = parse_indicator(text).first.values()
    _assert_close(d, their_d, ABSOLUTE["stochastic"])
    _assert_close(k[first_d:], their_k[first_d:], ABSOLUTE["stochastic"])
    assert np.isfinite(k[first_k:first_d]).all() and np.isnan(their_k[:first_d]).all()


@pytest.mark.parametrize("price", PRICES)
def test_macd_differs_from_talib_until_its_seeds_fade(ta: Any, price: float) -> None:
    for ours, theirs in _both(ta, "macd", _walk(price)):
        assert abs(ours[33] - theirs[33]) > 1e-5 * price
        assert_allclose(ours[200:], theirs[200:], rtol=0.0, atol=1e-12 * price)


@pytest.mark.parametrize("price", PRICES)
def test_keltner_of_talib_has_the_typical_price_in_its_middle(ta: Any, price: float) -> None:
    bars = _walk(price)
    _, (middle, their_middle), _ = _both(ta, "keltner", bars)
    typical = (bars.high + bars.low + bars.close) / 3.0
    (average,) = compute([parse_indicator("ema(20)")], bars._replace(close=typical))
    assert np.nanmax(np.abs(middle - their_middle)) > 1e-5 * price
    _assert_close(average["ema"], their_middle, 1e-12 * price)


@pytest.mark.parametrize("price", PRICES)
def test_keltner_of_talib_seeds_its_range_with_the_middle(ta: Any, price: float) -> None:
    (upper, their_upper), (middle, their_middle), (lower, their_lower) = _both(ta, "keltner", _walk(price))
    for ours, theirs in (
        (upper - middle, their_upper - their_middle),
        (middle - lower, their_middle - their_lower),
    ):
        assert abs(ours[19] - theirs[19]) > 1e-5 * price
        assert_allclose(ours[250:], theirs[250:], rtol=0.0, atol=1e-12 * price)
    # With a middle that begins first, the range is that of all bars.
    (upper, their_upper), (middle, their_middle), _ = _both(ta, "keltner(5, 10, 2.0)", _walk(price))
    _assert_close(upper - middle, their_upper - their_middle, 1e-12 * price)


@pytest.mark.parametrize("text", ["rsi", "stochastic", "cci"])
def test_halted_market_is_undefined_where_talib_gives_zero(ta: Any, text: str) -> None:
    flat = np.full(100, 100.0)
    for ours, theirs in _both(ta, text, _bars(flat, flat, flat, flat)):
        assert np.isnan(ours).all()
        assert_array_equal(theirs[-50:], 0.0)

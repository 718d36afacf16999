"""Indicators of any series: no way to cut a series changes a bit, and scales, gaps and flat prices act as defined."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from autohedge.market.bar_series import BarSeries
from autohedge.strategies import indicators
from autohedge.strategies.indicators import AGO_MOST, IndicatorSpec, Values, compute, parse_indicator
from tests.strategies.series_factory import (
    bar_by_bar,
    defaults,
    different,
    in_blocks,
    named,
    part,
    undefined_at,
    walk,
    with_periods,
    without,
)

few = budget(max_examples=12, deadline=None, derandomize=True)
PERIODS = st.integers(2, 12)
PRICES = st.sampled_from([1e-8, 1.0, 100.0, 1e5])
SEEDS = st.integers(0, 1_000)


@st.composite
def series(draw: st.DrawFn) -> BarSeries:
    """Draws bars, some of them still, and some undefined."""
    rows = draw(st.integers(1, 120))
    bars = walk(rows, draw(SEEDS), draw(PRICES), still=draw(st.booleans()))
    return undefined_at(bars, *draw(st.lists(st.integers(0, rows - 1), max_size=3)))


def computed(specs: list[IndicatorSpec], bars: BarSeries) -> dict[str, Values]:
    return named(specs, compute(specs, bars))


@few
@given(PERIODS, series(), st.data())
def test_indicator_of_a_prefix_is_the_prefix_of_the_indicator(
    n: int, bars: BarSeries, data: st.DataObject
) -> None:
    specs, cut = with_periods(n), data.draw(st.integers(0, len(bars.close)))
    whole = {name: values[:cut] for name, values in computed(specs, bars).items()}
    assert different(computed(specs, part(bars, 0, cut)), whole) == []


@few
@given(PERIODS, series(), st.data())
def test_blocks_of_any_size_give_the_same_bits(n: int, bars: BarSeries, data: st.DataObject) -> None:
    specs, places = with_periods(n), st.integers(0, len(bars.close))
    cuts = data.draw(st.lists(places, max_size=8))
    assert different(named(specs, in_blocks(specs, bars, cuts)), computed(specs, bars)) == []


@few
@given(PERIODS, series())
def test_bar_by_bar_gives_the_same_bits(n: int, bars: BarSeries) -> None:
    specs = with_periods(n)
    assert different(bar_by_bar(specs, bars), computed(specs, bars)) == []


@pytest.mark.parametrize("ago", [0, 1, AGO_MOST])
def test_more_bars_than_are_kept_give_the_same_bits(ago: int) -> None:
    specs, bars = defaults(), undefined_at(walk(1_100, still=True), 300, 501, 502, 503)
    ages_ago = {
        name: np.concatenate([np.full(ago, np.nan), values[: len(values) - ago]])
        for name, values in computed(specs, bars).items()
    }
    assert different(bar_by_bar(specs, bars, ago), ages_ago) == []


def test_period_longer_than_what_is_kept_otherwise_gives_the_same_bits() -> None:
    specs, bars = with_periods(400), walk(2_000)
    assert different(bar_by_bar(specs, bars), computed(specs, bars)) == []


def test_blocks_of_compute_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    specs, bars = defaults(), walk(500)
    whole = computed(specs, bars)
    monkeypatch.setattr(indicators, "_BLOCK", 7)
    assert different(computed(specs, bars), whole) == []


def test_no_bars_have_no_values() -> None:
    for values in computed(defaults(), part(walk(3), 0, 0)).values():
        assert len(values) == 0


# The columns that are no prices: those of volumes, and those without a unit.
OF_VOLUME = {"obv()", "cvd()"}
WITHOUT_UNIT = {
    "rsi", "adx", "stochastic", "cci", "roc", "zscore", "log_return", "realised_volatility",
}  # fmt: skip
COLUMNS_WITHOUT_UNIT = ("percent_b", "bandwidth", "trend")


def scale_of(name: str, price: float, volume: float) -> float:
    """Returns the factor of a column if prices and volumes have these factors."""
    if name in OF_VOLUME:
        return volume
    is_number = name.partition("(")[0] in WITHOUT_UNIT or name.endswith(COLUMNS_WITHOUT_UNIT)
    return 1.0 if is_number else price


def scaled(bars: BarSeries, price: float, volume: float) -> BarSeries:
    factors = (1.0, price, price, price, volume, volume, volume)
    return BarSeries._make(column * factor for column, factor in zip(bars, factors, strict=True))


@few
@given(PERIODS, series(), st.sampled_from([2.0**-9, 0.5, 2.0, 2.0**13]), st.sampled_from([0.25, 1.0, 8.0]))
def test_powers_of_two_scale_or_keep_each_column_exactly(
    n: int, bars: BarSeries, price: float, volume: float
) -> None:
    specs = with_periods(n)
    expected = {
        name: values * scale_of(name, price, volume) for name, values in computed(specs, bars).items()
    }
    assert different(computed(specs, scaled(bars, price, volume)), expected) == []


@few
@given(PERIODS, SEEDS)
def test_other_factors_scale_or_keep_each_column_but_for_rounding(n: int, seed: int) -> None:
    specs, bars = with_periods(n), walk(120, seed)
    found = computed(specs, scaled(bars, 1_000.0, 1_000.0))
    for name, values in computed(specs, bars).items():
        scale = scale_of(name, 1_000.0, 1_000.0)
        # What is a difference of prices, or over one, has the rounding of the prices.
        rounding = 1e-8 if scale == 1.0 else 1e-11 * scale * 100.0
        np.testing.assert_allclose(found[name], values * scale, rtol=1e-9, atol=rounding, err_msg=name)


WINDOWS = [parse_indicator(text) for text in (
    "sma(5)", "wma(5)", "bollinger(5)", "cci(5)", "zscore(5)", "donchian(5)", "vwap(5)",
)]  # fmt: skip
# These also need the closes before.
CHAINS = [
    (parse_indicator(text), bars)
    for text, bars in (
        ("roc(5)", (0, 5)),
        ("momentum(5)", (0, 5)),
        ("log_return", (0, 1)),
        ("realised_volatility(5)", range(6)),
    )
]
REACH = [(spec, range(5)) for spec in WINDOWS] + CHAINS


@pytest.mark.parametrize(("spec", "reach"), REACH, ids=lambda value: getattr(value, "text", ""))
def test_window_is_undefined_while_it_holds_an_undefined_bar(spec: IndicatorSpec, reach: range) -> None:
    bars, place = walk(40), 20
    for name, values in computed([spec], undefined_at(bars, place)).items():
        missing = np.flatnonzero(np.isnan(values[10:])) + 10
        assert missing.tolist() == [place + distance for distance in reach], name
        whole, kept = computed([spec], bars)[name], ~np.isnan(values)
        assert values[kept].tobytes() == whole[kept].tobytes()


def test_stochastic_is_undefined_while_its_windows_hold_an_undefined_bar() -> None:
    found = computed([parse_indicator("stochastic(5, 3, 2)")], undefined_at(walk(40), 20)).values()
    missing = [(np.flatnonzero(np.isnan(values[10:])) + 10).tolist() for values in found]
    assert missing == [list(range(20, 27)), list(range(20, 28))]


# Recursions without the close before.
RECURSIONS = ["ema(5)", "rma(5)", "macd(3, 6, 4)", "vwap", "cvd"]


@pytest.mark.parametrize("place", [0, 2, 12, 30])
@pytest.mark.parametrize("text", RECURSIONS)
def test_recursion_goes_on_after_an_undefined_bar_as_if_it_were_not_there(text: str, place: int) -> None:
    specs, bars = [parse_indicator(text)], walk(60)
    found, absent = computed(specs, undefined_at(bars, place)), computed(specs, without(bars, place))
    assert all(math.isnan(values[place]) for values in found.values())
    assert different({name: np.delete(values, place) for name, values in found.items()}, absent) == []


@pytest.mark.parametrize("text", ["rsi(5)", "atr(5)", "adx(4)", "obv", "supertrend(5)", "keltner(5, 4)"])
def test_recursion_over_changes_is_undefined_at_the_bar_and_at_the_next(text: str) -> None:
    specs, bars, place = [parse_indicator(text)], walk(60), 30
    for name, values in computed(specs, undefined_at(bars, place)).items():
        is_missing = values[15:] == 0.0 if name.endswith("trend") else np.isnan(values[15:])
        wanted = [place] if name.endswith("middle") else [place, place + 1]
        assert (np.flatnonzero(is_missing) + 15).tolist() == wanted, name


def test_rsi_leaves_out_the_changes_that_are_not_known() -> None:
    n, bars, place = 5, walk(60), 30
    found = computed([parse_indicator(f"rsi({n})")], undefined_at(bars, place))["rsi(period=5)"]
    changes = np.delete(np.diff(bars.close), [place - 1, place])
    averages = [_wilder(np.maximum(sign * changes, 0.0), n) for sign in (1, -1)]
    wanted = 100.0 * averages[0] / (averages[0] + averages[1])
    np.testing.assert_allclose(np.delete(found, [place, place + 1])[1:], wanted, rtol=1e-12)


def _wilder(values: Values, n: int) -> Values:
    found = np.full(len(values), np.nan)
    found[n - 1] = held = values[:n].mean()
    for place in range(n, len(values)):
        found[place] = held = held + (values[place] - held) / n
    return found


@pytest.mark.parametrize("column", ["high", "low", "close", "volume"])
def test_undefined_input_never_becomes_a_number(column: str) -> None:
    bars, place = walk(60), 30
    values = getattr(bars, column).copy()
    values[place] = np.nan
    needing: dict[str, str] = {
        "high": "atr(5) adx(4) stochastic(5) cci(5) supertrend(5) vwap",
        "low": "atr(5) adx(4) stochastic(5) cci(5) supertrend(5) vwap",
        "close": "sma(5) wma(5) ema(5) rma(5) rsi(5) macd(3, 6, 4) bollinger(5) stochastic(5) cci(5) roc(5) "
        "momentum(5) zscore(5) log_return realised_volatility(5) vwap keltner(5, 4) supertrend(5) obv",
        "volume": "obv vwap vwap(5)",
    }
    specs = [parse_indicator(text) for text in _split(needing[column])]
    for name, found in computed(specs, bars._replace(**{column: values})).items():
        assert found[place] == 0.0 if name.endswith("trend") else math.isnan(found[place]), name


def _split(texts: str) -> list[str]:
    return texts.replace(", ", ",").split()


FLAT = ["rsi", "adx", "stochastic", "cci", "zscore"]


@pytest.mark.parametrize("price", [1e-8, 100.0, 100.1, 1e5 / 3.0])
def test_zero_over_zero_is_undefined_on_flat_prices(price: float) -> None:
    flat = np.full(80, price)
    bars = walk(80)._replace(high=flat, low=flat, close=flat, volume=np.zeros(80))
    found = computed(defaults(), bars)
    undefined = [name for name in found if name.partition("(")[0] in FLAT or name.endswith("percent_b")]
    assert len(undefined) == 9
    for name in [*undefined, "vwap()", "vwap(period=20)"]:
        assert np.isnan(found[name]).all(), name
    for name in ("sma(period=20)", "ema(period=20)", "bollinger(period=20, width=2.0).upper"):
        np.testing.assert_allclose(found[name][20:], price, rtol=1e-14)
    for name in ("roc(period=10)", "momentum(period=10)", "log_return()", "atr(period=14)", "obv()"):
        assert (found[name][20:] == 0.0).all(), name
    assert (found["supertrend(period=10, width=3.0).trend"][20:] == 1.0).all()


@pytest.mark.parametrize("price", [1e-8, 1.0, 1e5])
def test_prices_of_any_size_have_values_of_full_precision(price: float) -> None:
    bars = walk(60, price=price)
    found = computed(with_periods(7), bars)
    closes = bars.close.tolist()
    for place in (10, 33, 59):
        window = closes[place - 6 : place + 1]
        mean = math.fsum(window) / 7
        squares = math.fsum((c - mean) ** 2 for c in window)
        assert math.isclose(found["sma(period=7)"][place], mean, rel_tol=1e-14)
        assert math.isclose(
            found["zscore(period=7)"][place], (window[-1] - mean) / math.sqrt(squares / 6), rel_tol=1e-9
        )
        width = 2 * 1.5 * math.sqrt(squares / 7) / mean
        assert math.isclose(found["bollinger(period=7, width=1.5).bandwidth"][place], width, rel_tol=1e-9)

"""Indicators: known answers, and finite values for all valid quotes."""

import math
import statistics
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autohedge.core.returns import drift_t, log_returns, mean, mids, sample_sd, volatility_bps
from autohedge.core.snapshots import QuoteRow
from autohedge.market.bar_series import BarSeries
from autohedge.strategies.indicators import compute, parse_indicator
from autohedge.tools.indicators import (
    RSI_CHANGES,
    imbalance,
    indicators,
    indicators_text,
    return_bps,
    rsi,
    slope_t,
)
from tests.snapshot_factory import AT_NS, VALID_QUOTES, rows, snapshot


def bar_indicator(text: str, closes: Sequence[float]) -> float:
    """Returns the last value of an indicator where each price is the close of a bar."""
    close = np.array(closes)
    unknown = np.full(len(close), np.nan)
    [columns] = compute([parse_indicator(text)], BarSeries(unknown, *[close] * 3, *[unknown] * 3))
    return float(next(iter(columns.values()))[-1])


def volatility_indicator_bps(prices: Sequence[float]) -> float:
    return 1e4 * bar_indicator(f"realised_volatility({len(prices) - 1})", prices)


def walk(count: int, start: float = 64_000.0, step_bps: float = 0.1) -> list[float]:
    """Returns prices whose log returns are normal with this standard deviation."""
    steps = np.random.default_rng(1).normal(0, step_bps / 1e4, count)
    return (start * np.exp(np.cumsum(steps))).tolist()  # type: ignore[no-any-return]


def test_return_and_volatility_have_their_known_values() -> None:
    assert return_bps([100.0, 250.0, 101.0]) == pytest.approx(100.0)
    # Log returns of +1 % and -1 % twice: mean 0, sample sd sqrt(4 · 0.01² / 3).
    prices = [math.exp(x) for x in (0.0, 0.01, 0.0, 0.01, 0.0)]
    assert volatility_bps(prices) == pytest.approx(1e4 * math.sqrt(4e-4 / 3))


@pytest.mark.parametrize("start", [1e-8, 1.0, 64_000.0])
@pytest.mark.parametrize("step_bps", [1e-4, 0.1, 10.0])
def test_volatility_is_realised_volatility_with_quotes_as_bars(start: float, step_bps: float) -> None:
    prices = walk(50, start, step_bps)
    assert volatility_bps(prices) == pytest.approx(volatility_indicator_bps(prices), rel=1e-9)


def test_volatility_of_recorded_mids_is_realised_volatility(shared: Path) -> None:
    # Some tables have few changes, of half a tick of 0.01 at 60,000: differences of logs would miss the tolerance.
    tape = pl.read_parquet(shared / "data/binance/spot/BTCUSDT_20240808_quotes.parquet")
    recorded = ((tape["bid"] + tape["ask"]) / 2).to_list()
    tables = [recorded[start : start + 50] for start in range(0, len(recorded) - 50, 97)]
    assert len(tables) > 100
    for prices in tables:
        expected = pytest.approx(volatility_indicator_bps(prices), rel=1e-9, abs=0)
        assert volatility_bps(prices) == expected


def test_return_is_rate_of_change_with_quotes_as_bars() -> None:
    prices = walk(50)
    assert return_bps(prices) == pytest.approx(100 * bar_indicator("roc(49)", prices), rel=1e-9)


def test_rsi_equals_wilders_at_its_first_value_alone() -> None:
    prices = walk(50)
    first, wilders = prices[: RSI_CHANGES + 1], f"rsi({RSI_CHANGES})"
    assert rsi(first) == pytest.approx(bar_indicator(wilders, first), rel=1e-9)
    assert abs((rsi(prices) or 0.0) - bar_indicator(wilders, prices)) > 1


def test_the_slope_has_the_t_value_of_the_textbook() -> None:
    # y = 1, 3, 2, 4 on 1..4: b = 0.8, SSR = 1.8, se = sqrt(1.8 / 2 / 5), t = 1.885618...
    assert slope_t([1, 3, 2, 4]) == pytest.approx(0.8 / math.sqrt(0.18))
    assert slope_t([4, 2, 3, 1]) == pytest.approx(-0.8 / math.sqrt(0.18))


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 2.0], [5.0] * 50, [11.0 + i * 1e-3 for i in range(50)]])
def test_a_slope_through_too_few_or_too_straight_points_is_undefined(values: list[float]) -> None:
    assert slope_t(values) is None


def test_rsi_weighs_rises_against_falls() -> None:
    # Over the last 14 changes: 9 rises of 2 and 5 falls of 1; earlier changes do not count.
    steps = [50.0] * 3 + [2.0] * 9 + [-1.0] * 5
    prices = [100.0]
    for step in steps:
        prices.append(prices[-1] + step)
    assert rsi(prices) == pytest.approx(100 * 18 / 23)


@pytest.mark.parametrize(("step", "value"), [(1.0, 100.0), (-1.0, 0.0), (0.0, None)])
def test_rsi_of_one_direction_is_0_or_100_and_of_no_change_undefined(
    step: float, value: float | None
) -> None:
    assert rsi([100 + step * i for i in range(15)]) == value
    assert rsi([100 + step * i for i in range(14)]) is None


def test_imbalance_leaves_out_quotes_of_unknown_size() -> None:
    quotes = (
        QuoteRow(0, 1.0, 3.0, 1.1, 1.0),
        QuoteRow(0, 1.0, 1.0, 1.1, 0.0),
        QuoteRow(0, 1.0, 1.0, 1.1, 1.0),
    )
    assert imbalance(quotes) == pytest.approx(0.25)
    assert imbalance(quotes[1:2]) is None


def test_indicators_use_only_the_rows_of_the_table() -> None:
    seen = snapshot(rows([50.0, 100.0, 101.0], spread=1.0))
    assert indicators(seen, 2) == indicators(snapshot(seen.quotes[1:]), 50)
    found = indicators(seen, 2)
    assert found.return_bps == pytest.approx(100.0)
    assert found.last_spread_bps == pytest.approx(1e4 / 101)
    assert found.mean_spread_bps == pytest.approx((1e4 / 101 + 100) / 2)


def test_lines_of_a_prompt_name_quotes_in_place_of_bars() -> None:
    # Returns of ±L, L = ln 1.01: variance 16/15 L²; slope 4L/340, SSR (4 - 16/340) L²; 7 rises and 7 falls of 1.
    assert indicators_text(snapshot(rows([100.0, 101.0] * 8)), 50).split("\n") == [
        "return over the last 16 quotes: +100.00 bps",
        "volatility per quote, not per bar: 102.7666 bps",
        "spread: last 19.802 bps, mean 19.901 bps",
        "t-value of the slope over these quotes: +0.41",
        "RSI of plain sums of the last 14 changes between quotes, not Wilder's average over bars: 50.0",
        "mean size imbalance of these quotes, -1 all ask to 1 all bid: +0.50",
    ]


def test_a_table_without_quotes_has_only_undefined_figures() -> None:
    assert indicators_text(snapshot(), 50).count("n/a") == 7
    assert indicators_text(snapshot(rows([100.0])), 50).count("n/a") == 4


@given(VALID_QUOTES)
def test_indicators_text_of_valid_quotes_is_repeatable_without_nan_or_inf(
    quotes: tuple[QuoteRow, ...],
) -> None:
    text = indicators_text(snapshot(quotes), 50)
    assert text == indicators_text(snapshot(quotes), 50)
    assert not {"nan", "inf", "+nan"} & set(text.split())


@given(st.lists(st.floats(1, 1000), min_size=16, max_size=50, unique=True), st.sampled_from([0.125, 2, 1024]))
def test_relative_indicators_are_invariant_to_price_unit(prices: list[float], unit: float) -> None:
    scaled = [price * unit for price in prices]
    for figure in (return_bps, volatility_bps, rsi):
        assert figure(scaled) == pytest.approx(figure(prices), rel=1e-6, abs=1e-6)


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=50))
def test_mean_and_sample_sd_match_statistics_module(values: list[float]) -> None:
    assert mean(values) == pytest.approx(statistics.fmean(values))
    assert sample_sd(values) == pytest.approx(statistics.stdev(values), abs=1e-9)


def test_drift_t_is_the_t_value_of_the_mean() -> None:
    # 1, 2, 3: mean 2, sd 1, t = 2 / (1 / sqrt 3).
    assert drift_t([1.0, 2.0, 3.0]) == pytest.approx(2 * math.sqrt(3))
    assert drift_t([1.0]) is None and drift_t([0.0, 0.0]) is None and drift_t([]) is None


def test_mids_stay_finite_and_positive_at_both_ends_of_the_scale() -> None:
    ends = (QuoteRow(AT_NS, 5e-324, 0, 5e-324, 0), QuoteRow(AT_NS, 1.7e308, 0, 1.79e308, 0))
    assert all(0 < mid < math.inf for mid in mids(ends))
    assert all(math.isfinite(each) for each in (*log_returns(mids(ends)), *log_returns(mids(ends[::-1]))))

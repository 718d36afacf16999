"""Indicators: known answers, and finite values for all valid quotes."""

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autohedge.core.returns import drift_t, log_returns, mean, mids, sample_sd
from autohedge.core.snapshots import QuoteRow
from autohedge.tools.indicators import (
    imbalance,
    indicators,
    indicators_text,
    return_bps,
    rsi,
    slope_t,
    volatility_bps,
)
from tests.snapshot_factory import AT_NS, VALID_QUOTES, rows, snapshot


def test_return_and_volatility_have_their_known_values() -> None:
    assert return_bps([100.0, 250.0, 101.0]) == pytest.approx(100.0)
    # Log returns of +1 % and -1 % twice: mean 0, sample sd sqrt(4 · 0.01² / 3).
    prices = [math.exp(x) for x in (0.0, 0.01, 0.0, 0.01, 0.0)]
    assert volatility_bps(prices) == pytest.approx(1e4 * math.sqrt(4e-4 / 3))


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
    assert all(math.isfinite(each) for each in log_returns(mids(ends)))

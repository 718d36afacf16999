"""Market regimes: known labels, unknown cases, and invariance under scaling."""

import math
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from autohedge.core.regimes import (
    CALM_BELOW_BPS,
    TREND_T,
    UNKNOWN,
    WILD_ABOVE_BPS,
    RegimeStats,
    _trend,
    _volatility,
    regime,
    regime_of_bars,
    regime_stats,
)
from autohedge.core.returns import drift_t, log_returns, mids, sample_sd
from autohedge.core.snapshots import QuoteRow
from autohedge.core.units import NS_PER_MINUTE
from tests.snapshot_factory import rows


def returning(*returns_bps: float, step_ns: int = NS_PER_MINUTE) -> tuple[QuoteRow, ...]:
    """Returns quotes whose mids have these log returns."""
    prices = [100.0]
    for each in returns_bps:
        prices.append(prices[-1] * math.exp(each / 1e4))
    return rows(prices, spread=0.0, step_ns=step_ns)


@pytest.mark.parametrize(
    ("returns_bps", "expected"),
    [
        # For two returns: sd = |a - b| / sqrt(2), t = (a + b) / |a - b|. One quote a minute: no scaling.
        ((1.0, 3.0), "calm/up"),
        ((-3.0, -1.0), "calm/down"),
        ((-1.0, 1.0), "calm/flat"),
        ((-7.0, 7.0), "normal/flat"),
        ((10.0, 22.0), "normal/up"),
        ((-11.0, 11.0), "wild/flat"),
        ((-40.0, -10.0), "wild/down"),
        ((0.0, 0.0, 0.0), "calm/flat"),
    ],
)
def test_regime_known_returns_give_expected_label(returns_bps: Sequence[float], expected: str) -> None:
    assert regime(returning(*returns_bps)) == expected


def test_volatility_is_that_of_one_minute_by_the_quotes_own_time() -> None:
    a_minute = _volatility_bps(returning(-5.0, 5.0))
    assert a_minute and a_minute == pytest.approx(5.0 * math.sqrt(2))
    # The same returns four times as often give twice the volatility per minute.
    assert _volatility_bps(returning(-5.0, 5.0, step_ns=NS_PER_MINUTE // 4)) == pytest.approx(2 * a_minute)


@pytest.mark.parametrize(
    ("volatility", "expected"), [(0.999, "calm"), (1.001, "normal"), (2.999, "normal"), (3.001, "wild")]
)
def test_the_bands_of_volatility_meet_at_their_bounds(volatility: float, expected: str) -> None:
    assert (CALM_BELOW_BPS, WILD_ABOVE_BPS) == (5.0, 15.0)
    half = volatility * CALM_BELOW_BPS / math.sqrt(2)
    assert regime(returning(-half, half)) == f"{expected}/flat"


@pytest.mark.parametrize(
    ("t", "expected"), [(-0.501, "down"), (-0.499, "flat"), (0.499, "flat"), (0.501, "up")]
)
def test_the_bands_of_the_trend_meet_at_their_bounds(t: float, expected: str) -> None:
    assert TREND_T == 0.5
    assert regime(returning(t - 1.0, t + 1.0)) == f"calm/{expected}"


def test_bounds_of_volatility_are_normal_and_those_of_the_trend_are_trends() -> None:
    assert [_volatility(bps) for bps in (CALM_BELOW_BPS, WILD_ABOVE_BPS)] == ["normal", "normal"]
    assert [_trend(t) for t in (TREND_T, -TREND_T)] == ["up", "down"]


@pytest.mark.parametrize(("mids", "expected"), [((1.0, 2.0, 4.0), "up"), ((4.0, 2.0, 1.0), "down")])
def test_returns_that_are_all_the_same_are_a_trend(mids: Sequence[float], expected: str) -> None:
    assert drift_t(log_returns(mids)) is None
    assert regime(rows(mids, spread=0.0)) == f"calm/{expected}"


@pytest.mark.parametrize(
    "quotes", [(), rows([100.0]), rows([100.0, 101.0]), rows([1.0, 2.0, 1.0], step_ns=0)]
)
def test_too_few_quotes_or_no_time_between_them_are_unknown(quotes: tuple[QuoteRow, ...]) -> None:
    assert regime(quotes) == UNKNOWN


def _volatility_bps(quotes: Sequence[QuoteRow]) -> float | None:
    measured = regime_stats(quotes)
    return measured and measured.minute_volatility_bps


def scaled(quotes: Sequence[QuoteRow], factor: float) -> tuple[QuoteRow, ...]:
    return tuple(msgspec.structs.replace(row, bid=row.bid * factor, ask=row.ask * factor) for row in quotes)


def near_a_bound(quotes: Sequence[QuoteRow]) -> bool:
    """Returns whether the last bit of a price could decide the label."""
    volatility_bps, t = _volatility_bps(quotes), drift_t(log_returns(mids(quotes)))
    assert volatility_bps is not None
    bounds = [(volatility_bps, CALM_BELOW_BPS), (volatility_bps, WILD_ABOVE_BPS), (abs(t or 0.0), TREND_T)]
    return any(math.isclose(value, bound, rel_tol=1e-6) for value, bound in bounds)


@given(
    st.lists(st.integers(9_000, 11_000), min_size=3, max_size=50),
    st.integers(1, 10**11),
    st.floats(1e-3, 1e6),
)
def test_regime_scaled_prices_is_unchanged(cents: list[int], step_ns: int, factor: float) -> None:
    quotes = rows([each / 100 for each in cents], step_ns=step_ns)
    assume(not near_a_bound(quotes))
    assert regime(scaled(quotes, factor)) == regime(quotes)


@given(st.lists(st.integers(9_000, 11_000), min_size=3, max_size=50), st.integers(1, 10**12))
def test_regime_of_bars_is_that_of_quotes_at_their_closes(cents: list[int], interval_ns: int) -> None:
    closes = [each / 100 for each in cents]
    returns = log_returns(closes)
    volatility = sample_sd(returns)
    assert volatility is not None
    found = regime_of_bars(volatility, math.log(closes[-1] / closes[0]), len(returns), interval_ns)
    quotes = rows(closes, spread=0.0, step_ns=interval_ns)
    expected = regime_stats(quotes)
    assert expected and found == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert found.label == regime(quotes) or near_a_bound(quotes)


def test_regime_of_bars_that_is_not_known_has_no_label() -> None:
    assert regime_of_bars(math.nan, math.nan, 30, NS_PER_MINUTE).label == UNKNOWN
    without_length = regime_of_bars(0.5, 0.1, 30, 0)
    assert math.isnan(without_length.minute_volatility_bps) and without_length.t > 0
    assert without_length.label == UNKNOWN
    assert regime_of_bars(0.0, 0.0, 30, NS_PER_MINUTE) == RegimeStats(0.0, 0.0)
    assert regime_of_bars(0.0, -0.1, 30, NS_PER_MINUTE) == RegimeStats(0.0, -math.inf)

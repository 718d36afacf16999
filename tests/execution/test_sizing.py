"""Sizing: known answers, bounds, and a limit that is never above the ask."""

from decimal import Decimal
from fractions import Fraction
from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autohedge.core.instruments import Instrument
from autohedge.core.money import to_decimal
from autohedge.core.orders import BUY
from autohedge.execution.sizing import Sizing, entry_limit, quantity_for, with_offset
from tests.run_harness import settings

D = Decimal
SHIPPED = Sizing(D(2), D(10), D(100))

# n = bp * pct; n = max(n, min); n = min(n, max); cap = 0.95 * bp; if n > cap: None if cap < min else cap
ANSWERS = [
    (SHIPPED, "10000", "100"),
    (SHIPPED, "5000", "100"),
    (SHIPPED, "4999.99", "99.9998"),
    (SHIPPED, "1000", "20"),
    (SHIPPED, "500", "10"),
    (SHIPPED, "100", "10"),
    (SHIPPED, "10.6", "10"),
    (SHIPPED, "10.52", None),
    (SHIPPED, "10.53", "10"),
    (SHIPPED, "0", None),
    (SHIPPED, "-1", None),
    (Sizing(D(100), D(10), D(1000)), "100", "95"),
    (Sizing(D(100), D(95), D(1000)), "100", "95"),
    (Sizing(D(100), D("95.01"), D(1000)), "100", None),
    (Sizing(D("0.5"), D(0), D(1000)), "300", "1.5"),
    (Sizing(D(50), D(0), D(0)), "300", "0"),
]


@pytest.mark.parametrize(("sizing", "buying_power", "money"), ANSWERS)
def test_an_order_takes_its_percentage_within_the_bounds(
    sizing: Sizing, buying_power: str, money: str | None
) -> None:
    assert sizing.notional(D(buying_power)) == (money if money is None else D(money))


def test_sizing_is_that_of_the_settings() -> None:
    wanted = settings(sizing__target_balance_pct=7, sizing__min_order_amount=8, sizing__max_order_amount=9)
    assert Sizing.of(wanted) == Sizing(D(7), D(8), D(9))


money = st.integers(1, 10**12).map(lambda n: Decimal(n).scaleb(-6))


@given(money, money, st.sampled_from([D("0.000001"), D("0.01"), D(1), D(10), D("0.5")]))
def test_a_quantity_is_the_most_whole_lots_that_the_money_buys(
    notional: Decimal, price: Decimal, lot: Decimal
) -> None:
    lots = Fraction(quantity_for(notional, price, lot)) / Fraction(lot)
    assert lots == floor(Fraction(notional) / Fraction(price) / Fraction(lot))


def test_quantity_at_price_above_the_money_is_less_than_one() -> None:
    assert quantity_for(D(100), D(101), D(1)) == 0
    assert quantity_for(D(100), D("101"), D("0.000001")) == D("0.990099")


def _instrument(tick: str | None = None) -> Instrument:
    return Instrument("X", None if tick is None else D(tick))


LIMITS = [
    (100.0, 100.1, None, None, "100.1"),
    (100.0, 100.13, None, "0.05", "100.10"),
    (100.0, 100.15, None, "0.05", "100.15"),
    (100.0, 101.0, 15.0, None, "100.6"),  # mid 100.5 + 0.15075, to the printed digit
    (100.0, 101.0, 15.0, "0.01", "100.65"),
    (100.0, 101.0, 15.0, "0.05", "100.65"),
    (100.0, 101.0, 15.0, "0.5", "100.5"),
    (100.0, 101.0, 0.0, None, "100.5"),
    (100.0, 100.01, 15.0, None, "100.01"),  # mid plus aggression lies above the ask
    (61800.2, 61800.2, 15.0, None, "61800.2"),
    (0.00012, 0.00014, 100.0, None, "0.00013"),
    (1.0, 3.0, 0.0, "5", "0"),
]


@pytest.mark.parametrize(("bid", "ask", "aggression", "tick", "limit"), LIMITS)
def test_a_limit_is_mid_plus_aggression_at_most_the_ask_down_to_the_tick(
    bid: float, ask: float, aggression: float | None, tick: str | None, limit: str
) -> None:
    assert entry_limit(BUY, (bid, ask), aggression, _instrument(tick)) == D(limit)


def test_limit_and_offset_keep_the_significant_figures_of_the_instrument() -> None:
    instrument = Instrument("X", tick=D("0.01"), significant_figures=4)
    assert entry_limit(BUY, (123.45, 123.46), None, instrument) == D("123.4")
    assert entry_limit(BUY, (9.0, 9.996), 500.0, instrument) == D("9.97")
    assert with_offset(BUY, D("123.4"), 20, (123.0, 123.46), instrument) == D("123.1")


prices = st.integers(1, 10**7).map(lambda n: n / 1000)


@given(prices, prices, st.none() | st.floats(0, 500), st.none() | st.sampled_from(["0.001", "0.05", "1"]))
def test_no_limit_is_above_the_ask_or_off_the_tick(
    one: float, other: float, aggression: float | None, tick: str | None
) -> None:
    bid, ask = sorted((one, other))
    limit = entry_limit(BUY, (bid, ask), aggression, _instrument(tick))
    assert 0 <= limit <= to_decimal(ask)
    if tick is not None:
        assert limit % D(tick) == 0


@given(prices, prices, st.floats(0, 500))
def test_a_limit_is_less_than_one_printed_digit_below_its_formula(
    one: float, other: float, aggression: float
) -> None:
    bid, ask = sorted((one, other))
    mid = (bid + ask) / 2.0
    exact = min(mid + mid * aggression / 10_000.0, ask)
    assert 0 <= to_decimal(exact) - entry_limit(BUY, (bid, ask), aggression, _instrument()) < D("0.1")

"""Instruments: base and quote of a symbol, and the increments of its prices."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autohedge.core.instruments import Instrument, split_symbol
from autohedge.core.money import floor_to

D = Decimal
PERP = Instrument("SOL", tick=D("0.0001"), significant_figures=5)  # szDecimals 2


@pytest.mark.parametrize("symbol", ["BTC/USD", "BTC-USD", "BTC_USD", "btc/usd"])
def test_symbol_with_a_separator_has_base_and_quote(symbol: str) -> None:
    assert split_symbol(symbol) == ("BTC", "USD")


@pytest.mark.parametrize(
    "symbol",
    ["BTCUSDT", "AAPL", "BRK-B", "BRK.B", "SOL-USD-PERP", "BTC-PERP", "BTC-241227", "/USD", "BTC/", ""],
)
def test_symbol_without_a_clear_quote_has_no_currencies(symbol: str) -> None:
    assert split_symbol(symbol) == ("", "")


@pytest.mark.parametrize(
    ("price", "step"),
    [
        ("123456.7", "1"),  # whole prices are always valid
        ("12345.6", "1"),
        ("1234.56", "0.1"),
        ("99999.9", "1"),
        ("9.99999", "0.0001"),
        ("1", "0.0001"),
        ("0.123456", "0.0001"),  # the tick bounds it: 5 figures would allow 0.00001
    ],
)
def test_price_step_keeps_significant_figures_above_the_tick(price: str, step: str) -> None:
    assert PERP.price_step(D(price)) == D(step)


def test_price_step_without_figures_is_the_tick() -> None:
    assert Instrument("X").price_step(D(7)) is None
    assert Instrument("X", tick=D("0.5")).price_step(D(7)) == D("0.5")
    assert Instrument("X", significant_figures=3).price_step(D("0.0012345")) == D("0.00001")


@given(st.decimals(min_value=D("0.001"), max_value=D(10) ** 7, places=9))
def test_floored_price_has_at_most_its_figures_or_is_whole(price: Decimal) -> None:
    step = PERP.price_step(price)
    assert step is not None
    floored = floor_to(price, step)
    assert 0 <= price - floored < step
    assert floored == floored.to_integral_value() or len(floored.normalize().as_tuple().digits) <= 5

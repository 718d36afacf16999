"""The exact value of an account, in the engine and in what is computed from its record."""

from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

from autohedge.core.accounts import QuoteOf, Rates
from autohedge.core.money import ZERO, add, multiply, to_decimal


class Holding(NamedTuple):
    """The position of a lane."""

    quantity: Decimal
    cost: Decimal


FLAT = Holding(ZERO, ZERO)


def exact_value(holding: Holding, quote: tuple[float, float]) -> Decimal:
    """Returns what closing a position is worth at a quote, exactly; its cost if there was no quote yet.

    A long is sold at the bid, a short is covered at the ask.
    """
    price = quote[0] if holding.quantity > 0 else quote[1]
    return multiply(holding.quantity, to_decimal(price)) if price > 0.0 else holding.cost


def exact_equity(cash: Decimal, holdings: Mapping[int, Holding], quote_of: QuoteOf) -> Decimal:
    """Returns cash plus the value of all positions, by lane, exactly."""
    equity = cash
    for lane, holding in holdings.items():
        equity = add(equity, exact_value(holding, quote_of(lane)))
    return equity


def converted_equity(
    balances: Mapping[str, Decimal], holdings: Mapping[int, Holding], rates: Rates
) -> Decimal:
    """Returns the equity of an account in several currencies in the reporting one, at the last mids."""
    worth = dict(balances)
    for lane, holding in holdings.items():
        currency = rates.currencies.quotes[lane]
        worth[currency] = add(worth.get(currency, ZERO), exact_value(holding, rates.quote_of(lane)))
    return rates.value(worth)

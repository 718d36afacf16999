"""The exact value of an account, in the engine and in what is computed from its record."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import NamedTuple

from autohedge.core.money import ZERO, add, multiply, to_decimal

QuoteOf = Callable[[int], tuple[float, float]]
"""Returns bid and ask of a lane's last valid quote; NaN before the first."""


class Holding(NamedTuple):
    """The position of a lane."""

    quantity: Decimal
    cost: Decimal


FLAT = Holding(ZERO, ZERO)


def exact_value(holding: Holding, quote: tuple[float, float]) -> Decimal:
    """Returns the value of a position at a bid, exactly; its cost if there was no quote yet."""
    bid = quote[0]
    return multiply(holding.quantity, to_decimal(bid)) if bid > 0.0 else holding.cost


def exact_equity(cash: Decimal, holdings: Mapping[int, Holding], quote_of: QuoteOf) -> Decimal:
    """Returns cash plus the value of all positions, by lane, exactly."""
    equity = cash
    for lane, holding in holdings.items():
        equity = add(equity, exact_value(holding, quote_of(lane)))
    return equity

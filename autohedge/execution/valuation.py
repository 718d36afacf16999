"""The exact value of an account, in the engine and in what is computed from its record."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import reduce
from typing import NamedTuple

from autohedge.core.money import add, multiply, to_decimal

QuoteOf = Callable[[int], tuple[float, float]]
"""Returns bid and ask of a lane's last valid quote; NaN before the first."""


class Holding(NamedTuple):
    """The position of a lane that is not flat."""

    quantity: Decimal
    cost: Decimal


def exact_value(holding: Holding, quote: tuple[float, float]) -> Decimal:
    """Returns the value of a position at a bid, exactly; its cost if there was no quote yet."""
    bid = quote[0]
    return multiply(holding.quantity, to_decimal(bid)) if bid > 0.0 else holding.cost


def exact_equity(cash: Decimal, holdings: Mapping[int, Holding], quote_of: QuoteOf) -> Decimal:
    """Returns cash plus the value of all positions, by lane, exactly."""
    return reduce(add, (exact_value(holding, quote_of(lane)) for lane, holding in holdings.items()), cash)

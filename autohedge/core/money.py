"""Exact decimal arithmetic: sums and products never round, and raise `Inexact` if they would.

Divisions are the exception: a quantity is rounded down to its lot, a cost share is rounded once.
"""

from decimal import (
    Context,
    Decimal,
    DivisionByZero,
    Inexact,
    InvalidOperation,
    Overflow,
)
from functools import lru_cache

from autohedge.core.units import BPS

_TRAPS = [DivisionByZero, InvalidOperation, Overflow]
# 120 digits are far more than settings and prices need; an inexact result is a fault, hence the trap.
EXACT = Context(prec=120, traps=[*_TRAPS, Inexact])
ROUNDED = Context(prec=28, traps=_TRAPS)

add = EXACT.add
subtract = EXACT.subtract
multiply = EXACT.multiply

ZERO = Decimal(0)
PERCENT = Decimal("0.01")


# Prices repeat from quote to quote; the cache saves most conversions.
@lru_cache(maxsize=512)
def to_decimal(value: float) -> Decimal:
    """Returns the price as printed: the shortest decimal that round-trips the float64."""
    return Decimal(repr(float(value)))


def bps_of(amount: Decimal, bps: Decimal) -> Decimal:
    """Returns `bps` basis points of an amount, exactly."""
    return multiply(multiply(amount, bps), BPS)


def with_fee(amount: Decimal, fee_bps: Decimal) -> Decimal:
    """Returns an amount plus its fee, exactly."""
    return add(amount, bps_of(amount, fee_bps))


def floor_to(value: Decimal, step: Decimal) -> Decimal:
    """Returns `value` rounded down to a multiple of `step`, also below zero."""
    # divide_int truncates towards zero, so a negative value is mirrored and rounded up.
    return (
        multiply(EXACT.divide_int(value, step), step)
        if value >= 0
        else ceil_to(value.copy_negate(), step).copy_negate()
    )


def ceil_to(value: Decimal, step: Decimal) -> Decimal:
    """Returns `value` rounded up to a multiple of `step`."""
    down = floor_to(value, step)
    return down if down == value else add(down, step)


def divide_floor(numerator: Decimal, denominator: Decimal, step: Decimal) -> Decimal:
    """Returns `numerator / denominator` rounded down to a multiple of `step`, in one rounding."""
    return multiply(EXACT.divide_int(numerator, multiply(denominator, step)), step)


def divide(numerator: Decimal, denominator: Decimal) -> Decimal:
    """Returns `numerator / denominator` rounded once, to 28 digits."""
    return ROUNDED.divide(numerator, denominator)


def tick_of(price: Decimal) -> Decimal:
    """Returns the increment of the last printed digit: 61800.2 gives 0.1."""
    exponent = price.as_tuple().exponent
    return Decimal(1).scaleb(min(int(exponent), 0))

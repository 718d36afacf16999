"""Sizes and prices entries: the deterministic upper bound of every order."""

from dataclasses import dataclass
from decimal import Decimal

from autohedge.config import Settings
from autohedge.core.instruments import Instrument
from autohedge.core.money import (
    PERCENT,
    ZERO,
    divide_floor,
    floor_to,
    multiply,
    subtract,
    tick_of,
    to_decimal,
)
from autohedge.core.units import BPS

BUYING_POWER_MARGIN = Decimal("0.95")
BPS_PER_UNIT = 10_000.0
ONE = Decimal(1)


@dataclass(frozen=True, slots=True)
class Sizing:
    """The notional of an entry: a percentage of buying power between `min_notional` and `max_notional`."""

    target_pct: Decimal
    min_notional: Decimal
    max_notional: Decimal

    @classmethod
    def of(cls, settings: Settings) -> "Sizing":
        """The sizing that the settings ask for."""
        sizing = settings.sizing
        return cls(sizing.target_balance_pct, sizing.min_order_amount, sizing.max_order_amount)

    def notional(self, buying_power: Decimal) -> Decimal | None:
        """The notional of the next order; None if buying power does not cover the minimum.

        Five percent of buying power stays free for fees and slippage.
        """
        if buying_power <= 0:
            return None
        amount = multiply(multiply(buying_power, self.target_pct), PERCENT)
        amount = min(max(amount, self.min_notional), self.max_notional)
        cap = multiply(buying_power, BUYING_POWER_MARGIN)
        if amount <= cap:
            return amount
        return cap if cap >= self.min_notional else None


def quantity_for(notional: Decimal, price: Decimal, lot: Decimal) -> Decimal:
    """Notional over price, rounded down to the lot; may be zero."""
    return divide_floor(notional, price, lot)


def entry_limit(bid: float, ask: float, aggression_bps: float | None, instrument: Instrument) -> Decimal:
    """The limit of a buy: the ask, or the mid plus `aggression_bps` where that is lower.

    Rounds down to the price step. Without one it rounds to the last printed digit of the quote, and uses the ask
    as printed.
    """
    at_ask = to_decimal(ask)
    if aggression_bps is None:
        step = instrument.price_step(at_ask)
        return at_ask if step is None else floor_to(at_ask, step)
    mid = (bid + ask) / 2.0
    limit = to_decimal(min(mid + mid * aggression_bps / BPS_PER_UNIT, ask))
    step = instrument.price_step(limit) or min(tick_of(to_decimal(bid)), tick_of(at_ask))
    return max(floor_to(limit, step), ZERO)


def with_offset(limit: Decimal, offset_bps: int, bid: float, instrument: Instrument) -> Decimal:
    """`limit` lowered by `offset_bps`, rounded down to the price step or the last printed digit of the quote."""
    if not offset_bps:
        return limit
    share = subtract(ONE, multiply(Decimal(offset_bps), BPS))
    lowered = multiply(limit, share)
    step = instrument.price_step(lowered) or min(tick_of(to_decimal(bid)), tick_of(limit))
    return max(floor_to(lowered, step), ZERO)


def scaled(notional: Decimal, size_pct: int) -> Decimal:
    """`size_pct` percent of a notional, at most all of it."""
    # Proposals are checked before; the minimum keeps a missed one from buying more than sizing allows.
    return multiply(multiply(notional, Decimal(min(size_pct, 100))), PERCENT)

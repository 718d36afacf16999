"""Sizes and prices entries: the deterministic upper bound of every order."""

from dataclasses import dataclass
from decimal import Decimal

from autohedge.config import Settings
from autohedge.core.instruments import Instrument
from autohedge.core.money import (
    PERCENT,
    ZERO,
    add,
    ceil_to,
    divide_floor,
    floor_to,
    multiply,
    subtract,
    tick_of,
    to_decimal,
)
from autohedge.core.orders import BUY, Side
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


def entry_limit(
    side: Side, quote: tuple[float, float], aggression_bps: float | None, instrument: Instrument
) -> Decimal:
    """The limit of an entry at a bid and an ask.

    A buy: the ask, or the mid plus `aggression_bps` where that is lower. A short sale: the bid, or the mid less
    `aggression_bps` where that is higher. Rounds a buy down and a sale up to the price step. Without one it rounds
    to the last printed digit of the quote, and uses the ask or bid as printed.
    """
    bid, ask = quote
    touch = to_decimal(ask if side is BUY else bid)
    if aggression_bps is None:
        step = instrument.price_step(touch)
        return touch if step is None else rounded(side, touch, step)
    mid = (bid + ask) / 2.0
    distance = mid * aggression_bps / BPS_PER_UNIT
    limit = to_decimal(min(mid + distance, ask) if side is BUY else max(mid - distance, bid))
    step = instrument.price_step(limit) or min(tick_of(to_decimal(bid)), tick_of(to_decimal(ask)))
    return rounded(side, limit, step)


def with_offset(
    side: Side, limit: Decimal, offset_bps: int, quote: tuple[float, float], instrument: Instrument
) -> Decimal:
    """A limit that is `offset_bps` harder to reach: lower for a buy, higher for a short sale.

    Rounds like `entry_limit`.
    """
    if not offset_bps:
        return limit
    offset = multiply(Decimal(offset_bps), BPS)
    moved = multiply(limit, subtract(ONE, offset) if side is BUY else add(ONE, offset))
    other = quote[0] if side is BUY else quote[1]
    step = instrument.price_step(moved) or min(tick_of(to_decimal(other)), tick_of(limit))
    return rounded(side, moved, step)


def tightened(
    side: Side, limit: Decimal, wanted: Decimal, quote: tuple[float, float], instrument: Instrument
) -> Decimal:
    """The harder to reach of a limit and a wanted one, which is rounded like `entry_limit`."""
    step = instrument.price_step(wanted) or min(tick_of(to_decimal(price)) for price in quote)
    return (min if side is BUY else max)(limit, rounded(side, wanted, step))


def rounded(side: Side, limit: Decimal, step: Decimal) -> Decimal:
    """A limit rounded to the step, so that it is no easier to reach: down for a buy, up for a sale."""
    return max(floor_to(limit, step), ZERO) if side is BUY else ceil_to(limit, step)


def scaled(notional: Decimal, size_pct: int) -> Decimal:
    """`size_pct` percent of a notional, at most all of it."""
    # Proposals are checked before; the minimum keeps a missed one from buying more than sizing allows.
    return multiply(multiply(notional, Decimal(min(size_pct, 100))), PERCENT)

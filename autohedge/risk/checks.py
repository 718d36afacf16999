"""Pre-trade checks: each refuses with its own code; an intent that passes them all is `Approved`.

Orders that only reduce a position are checked for sanity, quantity ≤ position and duplicates only: an exit
never waits for a limit.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import final

import msgspec

from autohedge.config import Settings
from autohedge.core.money import PERCENT, ZERO, add, multiply, subtract, with_fee
from autohedge.core.orders import BUY, MARKET, SELL, Intent, Side, closable
from autohedge.core.reasons import Reason
from autohedge.core.units import BPS, NS_PER_MINUTE, NS_PER_MS
from autohedge.risk.rate import Throttler

ONE = Decimal(1)


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits as the checks use them; money in the reporting currency, times in ns.

    `venue_min_notional` is in the quote currency. `entry_sides` are the sides that an entry may have.
    """

    min_quantity: Decimal
    max_quantity: Decimal
    min_notional: Decimal
    max_notional: Decimal
    price_band_bps: Decimal
    max_position: Decimal
    max_exposure: Decimal
    max_daily_loss_pct: Decimal
    orders_per_minute: int
    stale_after_ns: int
    entry_interval_ns: int
    cooldown_ns: int
    fee_bps: Decimal = ZERO
    venue_min_notional: Decimal = ZERO
    entry_sides: frozenset[Side] = frozenset({BUY})
    price_band: Decimal = field(init=False)
    cost_factor: Decimal = field(init=False)

    def __post_init__(self) -> None:
        """Computes the derived factors once instead of at each check."""
        # The class is frozen; dataclasses allow this way of setting derived fields.
        object.__setattr__(self, "price_band", multiply(self.price_band_bps, BPS))
        object.__setattr__(self, "cost_factor", with_fee(ONE, self.fee_bps))

    @classmethod
    def of(cls, settings: Settings) -> "Limits":
        """Returns the limits of the settings."""
        risk, execution = settings.risk, settings.execution
        return cls(
            min_quantity=risk.min_order_quantity,
            max_quantity=risk.max_order_quantity,
            min_notional=risk.min_order_notional,
            max_notional=risk.max_order_notional,
            price_band_bps=risk.price_band_bps,
            max_position=risk.max_position_notional,
            max_exposure=risk.max_exposure_notional,
            max_daily_loss_pct=risk.max_daily_loss_pct,
            orders_per_minute=risk.max_orders_per_minute,
            stale_after_ns=round(risk.stale_after_ms * NS_PER_MS),
            entry_interval_ns=round(execution.min_order_interval_ms * NS_PER_MS),
            cooldown_ns=round(execution.cooldown_ms * NS_PER_MS),
            fee_bps=settings.account.fee_bps_max,
            entry_sides=settings.entry_sides,
        )

    def rate(self) -> Throttler:
        """Returns a new rate limiter for all orders of the account."""
        return Throttler(self.orders_per_minute, NS_PER_MINUTE)


class RiskContext(msgspec.Struct, frozen=True, gc=False):
    """The data that the checks of an entry use, from ledger and market, never from a model.

    Money is in the reporting currency, `mid` in the quote currency; `currency_rate` converts amounts of the intent,
    None if nothing does. `position_notional` and `exposure` include orders in flight. `last_entry_ns` and
    `last_exit_ns` are None before the first.
    """

    now_ns: int
    quote_ns: int
    mid: Decimal
    halted: bool
    buying_power: Decimal
    position_notional: Decimal
    exposure: Decimal
    equity: Decimal
    equity_at_midnight: Decimal
    last_entry_ns: int | None
    last_exit_ns: int | None
    duplicate: bool
    rate: Throttler
    reducing: bool = False
    currency_rate: Decimal | None = None


@final
class Approved:
    """An intent that passed every check; only this module can create one."""

    __slots__ = ("intent",)

    def __init__(self, intent: Intent, seal: object) -> None:
        if seal is not _TOKEN:
            msg = "only the risk checks can approve an intent; call check_entry or check_exit"
            raise TypeError(msg)
        self.intent = intent


# The seal of this module: without it no other code can construct an `Approved`, so no order skips the checks.
_TOKEN = object()

Check = Callable[[Intent, Decimal, RiskContext, Limits], bool]
"""A check returns whether it refuses, given the intent, its notional, the context and the limits."""


def _sane(intent: Intent) -> bool:
    """Whether price, quantity and limit are finite and prices positive; a limit order needs a limit."""
    price, limit = intent.price, intent.limit
    if not (price.is_finite() and price > 0 and intent.quantity.is_finite()):
        return False
    if limit is None:
        return intent.order_type is MARKET
    return limit.is_finite() and limit > 0


def _no_long(intent: Intent, notional: Decimal, context: RiskContext, limits: Limits) -> bool:
    return intent.side is BUY and BUY not in limits.entry_sides


def _no_short(intent: Intent, notional: Decimal, context: RiskContext, limits: Limits) -> bool:
    return intent.side is SELL and SELL not in limits.entry_sides


def _zero_quantity(intent: Intent, notional: Decimal, context: RiskContext, limits: Limits) -> bool:
    return intent.quantity <= 0


def _halted(intent: Intent, notional: Decimal, context: RiskContext, limits: Limits) -> bool:
    return context.halted


def _stale(intent: Intent, notional: Decimal, context: RiskContext, limits: Limits) -> bool:
    return context.now_ns - context.quote_ns > limits.stale_after_ns


def _rate_limited(intent: Intent, notional: Decimal, context: RiskContext, limits: Limits) -> bool:
    return _within(context.last_entry_ns, context.now_ns, limits.entry_interval_ns)


def _cooling_down(intent: Intent, notional: Decimal, context: RiskContext, limits: Limits) -> bool:
    return _within(context.last_exit_ns, context.now_ns, limits.cooldown_ns)


def _within(last_ns: int | None, now_ns: int, wait_ns: int) -> bool:
    return last_ns is not None and now_ns - last_ns < wait_ns


def _buying_power(intent: Intent, notional: Decimal, context: RiskContext, limits: Limits) -> bool:
    return multiply(notional, limits.cost_factor) > context.buying_power


def _min_quantity(intent: Intent, notional: Decimal, context: RiskContext, limits: Limits) -> bool:
    return intent.quantity < limits.min_quantity


def _max_quantity(intent: Intent, notional: Decimal, context: RiskContext, limits: Limits) -> bool:
    return intent.quantity > limits.max_quantity


def _min_notional(intent: Intent, notional: Decimal, context: RiskContext, limits: Limits) -> bool:
    if notional < limits.min_notional:
        return True
    quoted = notional if context.currency_rate is None else multiply(intent.quantity, intent.worst_price)
    return quoted < limits.venue_min_notional


def _max_notional(intent: Intent, notional: Decimal, context: RiskContext, limits: Limits) -> bool:
    return notional > limits.max_notional


def _price_band(intent: Intent, notional: Decimal, context: RiskContext, limits: Limits) -> bool:
    return subtract(intent.worst_price, context.mid).copy_abs() > multiply(context.mid, limits.price_band)


def _max_position(intent: Intent, notional: Decimal, context: RiskContext, limits: Limits) -> bool:
    return add(context.position_notional, notional) > limits.max_position


def _max_exposure(intent: Intent, notional: Decimal, context: RiskContext, limits: Limits) -> bool:
    return add(context.exposure, notional) > limits.max_exposure


def _daily_loss(intent: Intent, notional: Decimal, context: RiskContext, limits: Limits) -> bool:
    if context.equity >= context.equity_at_midnight:
        return False  # the common case, without exact arithmetic
    loss = subtract(context.equity_at_midnight, context.equity)
    return loss >= multiply(multiply(context.equity_at_midnight, limits.max_daily_loss_pct), PERCENT)


def _order_rate(intent: Intent, notional: Decimal, context: RiskContext, limits: Limits) -> bool:
    return not context.rate.has_room(context.now_ns)


def _reducing(intent: Intent, notional: Decimal, context: RiskContext, limits: Limits) -> bool:
    return context.reducing


def _duplicate(intent: Intent, notional: Decimal, context: RiskContext, limits: Limits) -> bool:
    return context.duplicate


# The order is part of the record: the first check that refuses names the reason. REDUCING is last, so that
# a specific reason, such as the daily loss that caused it, is counted instead.
ENTRY_CHECKS: tuple[tuple[Reason, Check], ...] = (
    (Reason.NO_LONG, _no_long),
    (Reason.NO_SHORT, _no_short),
    (Reason.HALTED, _halted),
    (Reason.STALE, _stale),
    (Reason.RATE_LIMITED, _rate_limited),
    (Reason.COOLING_DOWN, _cooling_down),
    (Reason.DUPLICATE, _duplicate),
    (Reason.ZERO_QUANTITY, _zero_quantity),
    (Reason.MIN_QUANTITY, _min_quantity),
    (Reason.MAX_QUANTITY, _max_quantity),
    (Reason.MIN_NOTIONAL, _min_notional),
    (Reason.MAX_NOTIONAL, _max_notional),
    (Reason.PRICE_BAND, _price_band),
    (Reason.BUYING_POWER, _buying_power),
    (Reason.MAX_POSITION, _max_position),
    (Reason.MAX_EXPOSURE, _max_exposure),
    (Reason.DAILY_LOSS, _daily_loss),
    (Reason.ORDER_RATE, _order_rate),
    (Reason.REDUCING, _reducing),
)


def check_entry(intent: Intent, context: RiskContext, limits: Limits) -> Approved | Reason:
    """Approves an entry, or returns the code of the first check that refuses it."""
    # First, because a comparison with a Decimal NaN raises.
    if not _sane(intent):
        return Reason.NOT_FINITE
    notional = multiply(intent.quantity, intent.worst_price)
    if context.currency_rate is not None:
        notional = multiply(notional, context.currency_rate)
    for code, refuses in ENTRY_CHECKS:
        if refuses(intent, notional, context, limits):
            return code
    return Approved(intent, _TOKEN)


def check_exit(intent: Intent, held: Decimal, *, duplicate: bool) -> Approved | Reason:
    """Approves an order that only reduces, or returns the code of the check that refuses it.

    Checks sanity, a positive quantity, that it closes no more than the position `held`, and duplicates only.
    Raises ValueError for an intent that would add exposure.
    """
    if not intent.reduce_only:
        msg = "an intent that enters needs check_entry, not check_exit"
        raise ValueError(msg)
    if not _sane(intent):
        return Reason.NOT_FINITE
    if intent.quantity <= 0:
        return Reason.ZERO_QUANTITY
    if intent.quantity > closable(held, intent.side):
        return Reason.EXCEEDS_POSITION
    return Reason.DUPLICATE if duplicate else Approved(intent, _TOKEN)

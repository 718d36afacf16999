"""An intent, a risk context and limits that pass every check, for tests that change one value."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import msgspec

from autohedge.core.orders import Intent, OrderType, Purpose, Side, TimeInForce
from autohedge.core.units import NS_PER_S
from autohedge.risk import Approved, Limits, RiskContext, check_entry, check_exit
from autohedge.risk.rate import Throttler

NOW_NS = 1_700_000_000_000_000_000

LIMITS = Limits(
    min_quantity=Decimal("0.5"),
    max_quantity=Decimal(2),
    min_notional=Decimal(50),
    max_notional=Decimal(200),
    price_band_bps=Decimal(100),
    max_position=Decimal(500),
    max_exposure=Decimal(1000),
    max_daily_loss_pct=Decimal(5),
    orders_per_minute=60,
    stale_after_ns=5 * NS_PER_S,
    entry_interval_ns=2 * NS_PER_S,
    cooldown_ns=3 * NS_PER_S,
)


def buy(**changes: Any) -> Intent:
    """Returns an intent for one unit at 100 that passes every check."""
    intent = Intent(
        lane=0,
        symbol="X",
        side=Side.BUY,
        purpose=Purpose.ENTER,
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.IOC,
        quantity=Decimal(1),
        price=Decimal(100),
        limit=Decimal(100),
        reason="entry",
        take_profit=101.0,
        stop_loss=99.0,
    )
    return msgspec.structs.replace(intent, **changes)


def sell(**changes: Any) -> Intent:
    """Returns an intent that sells one unit at the market."""
    intent = buy(
        side=Side.SELL, purpose=Purpose.LEAVE, order_type=OrderType.MARKET, limit=None, reason="stop_loss"
    )
    return msgspec.structs.replace(intent, **changes)


def risk_context(**changes: Any) -> RiskContext:
    """Returns a context with a fresh quote, ample cash and no position."""
    calm = RiskContext(
        now_ns=NOW_NS,
        quote_ns=NOW_NS,
        mid=Decimal(100),
        halted=False,
        buying_power=Decimal(10_000),
        position_notional=Decimal(0),
        exposure=Decimal(0),
        equity=Decimal(10_000),
        equity_at_midnight=Decimal(10_000),
        last_entry_ns=None,
        last_exit_ns=None,
        duplicate=False,
        rate=LIMITS.rate(),
    )
    return msgspec.structs.replace(calm, **changes)


def limits(**changes: Any) -> Limits:
    """Returns the limits with some changed."""
    return replace(LIMITS, **changes)


def exhausted() -> Throttler:
    """Returns a limiter whose window is full."""
    throttler = Throttler(1, NS_PER_S)
    throttler.record(NOW_NS)
    return throttler


def approved(intent: Intent) -> Approved:
    """Returns the intent as approved under limits that are wide enough."""
    if intent.reduce_only:
        verdict = check_exit(intent, intent.quantity, duplicate=False)
    else:
        wide = limits(
            min_quantity=Decimal(0),
            max_quantity=Decimal("1E+12"),
            min_notional=Decimal(0),
            max_notional=Decimal("1E+20"),
            max_position=Decimal("1E+20"),
            max_exposure=Decimal("1E+20"),
        )
        verdict = check_entry(intent, risk_context(mid=intent.price, buying_power=Decimal("1E+20")), wide)
    assert isinstance(verdict, Approved), verdict
    return verdict

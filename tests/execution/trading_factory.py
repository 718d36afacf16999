"""An engine that trades at every quote, and orders as the venue lists them, for tests of execution."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from autohedge.core.events import CancelOrder, Event, SubmitOrder, VenueOrderStatus
from autohedge.core.orders import BUY, GTC, IOC, LIMIT, MARKET, SELL, Side
from autohedge.core.units import NS_PER_S
from autohedge.execution.portfolio import PositionChange
from tests.engine.harness import START_NS, EngineHarness
from tests.run_harness import Quotes

EAGER: dict[str, Any] = {
    "momentum__evaluate_every_quotes": 1,
    "momentum__lookback": 1,
    "momentum__warmup_count": 0,
    "momentum__min_edge_bps": 0,
    "exits__take_profit_bps": 1000,
    "exits__stop_loss_bps": 1000,
}
FLAT: Quotes = [(START_NS + i * NS_PER_S, 100.0, 100.1) for i in range(60)]


def submitted(events: Iterable[Event]) -> list[SubmitOrder]:
    """Returns the orders that were sent."""
    return [event for event in events if isinstance(event, SubmitOrder)]


def cancelled(events: Iterable[Event]) -> list[str]:
    """Returns the ids of the orders whose cancel was requested."""
    return [event.order_id for event in events if isinstance(event, CancelOrder)]


def entered(quotes: Quotes = FLAT, **changes: Any) -> tuple[EngineHarness, SubmitOrder]:
    """Returns an engine that has just sent an entry, and the entry."""
    harness = EngineHarness(EAGER | changes, quotes)
    (entry,) = submitted(harness.quotes(2))
    return harness, entry


def listed(order_id: str, side: Side, quantity: Decimal) -> VenueOrderStatus:
    """Returns an open order as the venue lists it: a resting entry or an exit at the market."""
    none = Decimal(0)
    if side is BUY:
        return VenueOrderStatus(order_id, "X", BUY, LIMIT, GTC, Decimal("100.1"), quantity, none, "open")
    return VenueOrderStatus(order_id, "X", SELL, MARKET, IOC, None, quantity, none, "open")


def position_change(
    side: Side, quantity: Decimal, price: Decimal, realized: Decimal, held: Decimal
) -> PositionChange:
    """Returns a booked fill of the first lane with a fee of 0.5."""
    amounts = (quantity, price, Decimal("0.5"), realized, held, Decimal(0), Decimal(0), realized)
    return PositionChange(0, 1, side, *amounts, grew=side is BUY)

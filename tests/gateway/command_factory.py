"""Makes orders that differ by their id only."""

from decimal import Decimal

from autohedge.core.events import SubmitOrder
from autohedge.core.orders import OrderType, Purpose, Side, TimeInForce


def order(order_id: str) -> SubmitOrder:
    """A resting buy of one X at 100."""
    return SubmitOrder(
        at_ns=0,
        order_id=order_id,
        symbol="X",
        side=Side.BUY,
        purpose=Purpose.ENTER,
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.GTC,
        limit=Decimal(100),
        quantity=Decimal(1),
        reason="entry",
        take_profit=None,
        stop_loss=None,
    )

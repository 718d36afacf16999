"""An order as the simulated venue keeps it."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from autohedge.core.events import OrderEvent, SubmitOrder, VenueOrderStatus
from autohedge.core.money import ZERO


@dataclass(slots=True)
class OrderRecord:
    """An order at the venue, and all events that it has sent about it."""

    order: SubmitOrder
    events: list[OrderEvent]
    filled: Decimal = ZERO
    status: Literal["open", "filled", "canceled", "expired", "rejected"] = "open"

    def listed(self) -> VenueOrderStatus:
        """The order as an entry of the venue's list."""
        order = self.order
        return VenueOrderStatus(
            order_id=order.order_id,
            symbol=order.symbol,
            side=order.side,
            order_type=order.order_type,
            time_in_force=order.time_in_force,
            limit=order.limit,
            quantity=order.quantity,
            filled=self.filled,
            status=self.status,
            venue=order.venue,
            account=order.account,
        )

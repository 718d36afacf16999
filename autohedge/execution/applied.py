"""What an event of the venue has changed, as the execution manager returns it."""

from decimal import Decimal
from typing import NamedTuple

import msgspec

from autohedge.core.events import OrderEvent
from autohedge.execution.orders import Order
from autohedge.execution.portfolio import PositionChange


class Adjustment(NamedTuple):
    """An adopted difference: the lane of a position, -1 for cash, and the currency of its money."""

    lane: int
    amount: Decimal
    currency: str


class Applied(msgspec.Struct, frozen=True, gc=False):
    """What an event of the venue has changed.

    `order` is None for an order that is not in the record. `change` is a booked fill; `is_fill` tells it from
    the reversal of a busted one. With a `halt_reason` entries must halt. `adjustment` is what was adopted without
    a fill.
    """

    event: OrderEvent | None = None
    order: Order | None = None
    change: PositionChange | None = None
    is_fill: bool = False
    was_working: bool = False
    was_unknown: bool = False
    halt_reason: str = ""
    adjustment: Adjustment | None = None


NOTHING = Applied()

"""Compares the venue's list of orders with those of the run; returns what it finds as values.

An unknown order is one of the run whose record a crash took, or somebody else's. The execution manager applies
each finding before the next one is made, since a list may name an order twice.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from autohedge.core.events import ExecutionReport, OrderEvent, OrderMassStatus, VenueOrderStatus
from autohedge.execution.lost_orders import LostOrderIds
from autohedge.execution.orders import Order, OrderManager
from autohedge.execution.reconciliation import Policy
from autohedge.execution.tracking import OrderTracker

EXTERNAL_ORDERS_MAX = 1_000  # bounds memory and alerts if a venue keeps reporting unknown ids


@dataclass(slots=True)
class ExternalOrder:
    """An order id of the venue without an intent here, with its fills so far.

    `alerted` and `judged` are true once an alert was emitted and the `external` policy was applied, `listed` once
    a list of the venue has come that should have it.
    """

    fills: list[ExecutionReport]
    alerted: bool = False
    judged: bool = False
    listed: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """A listed order of the run; its listed status may be news."""

    found: VenueOrderStatus
    order: Order


@dataclass(frozen=True, slots=True)
class Lost:
    """A listed order of the run whose record a crash took, with the fills that were reported of it."""

    found: VenueOrderStatus
    lane: int
    fills: list[ExecutionReport]


@dataclass(frozen=True, slots=True)
class Adopt:
    """Somebody else's order, which the policy adopts, with the fills that were reported of it."""

    found: VenueOrderStatus
    lane: int
    fills: list[ExecutionReport]


@dataclass(frozen=True, slots=True)
class External:
    """Somebody else's order, which the policy leaves alone; `halts` is whether entries halt."""

    found: VenueOrderStatus
    halts: bool


@dataclass(frozen=True, slots=True)
class Missing:
    """A working order of the run that the list proves absent at the venue."""

    order: Order


OrderFinding: TypeAlias = Known | Lost | Adopt | External | Missing


class Reconciler:
    """Tells the run's own orders from lost, external and missing ones."""

    def __init__(
        self, policy: Policy, symbols: list[str], orders: OrderManager, tracker: OrderTracker
    ) -> None:
        self.lost_ids = LostOrderIds()
        self._policy = policy
        self._lane_of = {symbol: lane for lane, symbol in enumerate(symbols)}
        self._orders, self._tracker = orders, tracker
        self._external_orders: dict[str, ExternalOrder] = {}

    @property
    def has_unlisted_fills(self) -> bool:
        """Whether fills of an unknown order have come that may be a lost one, until a list shows what it is."""
        return any(order.fills and not order.listed for order in self._external_orders.values())

    def on_unknown_order(self, event: OrderEvent) -> bool:
        """Keeps the fills of an unknown order; returns whether its first event calls for an alert."""
        if event.order_id not in self._external_orders and len(self._external_orders) >= EXTERNAL_ORDERS_MAX:
            return False
        external_order = self._external_orders.setdefault(event.order_id, ExternalOrder([]))
        if isinstance(event, ExecutionReport):
            external_order.fills.append(event)
        is_new, external_order.alerted = not external_order.alerted, True
        return is_new

    def compare(self, listed: OrderMassStatus) -> Iterator[OrderFinding]:
        """Yields the findings of a list, and notes which unknown orders were judged and listed.

        Each finding must be applied before the next one is made.
        """
        for found in listed.orders:
            if order := self._orders.find(found.order_id):
                yield Known(found, order)
            elif finding := self._unknown(found):
                yield finding
        for order in self._tracker.absent_in(listed):
            yield Missing(order)
        for external_order in self._external_orders.values():
            external_order.listed = True

    def _unknown(self, found: VenueOrderStatus) -> Lost | Adopt | External | None:
        """The finding of a listed order that is unknown here; None for one that was judged or has ended."""
        external_order = self._external_orders.setdefault(found.order_id, ExternalOrder([]))
        lane = self._lane_of.get(found.symbol)
        if lane is not None and found.order_id in self.lost_ids:
            del self._external_orders[found.order_id]
            return Lost(found, lane, external_order.fills)
        if found.status != "open" or external_order.judged:
            return None
        external_order.alerted = external_order.judged = True
        if self._policy == "adopt" and lane is not None:
            del self._external_orders[found.order_id]
            return Adopt(found, lane, external_order.fills)
        return External(found, halts=self._policy == "halt")

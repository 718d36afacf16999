"""The mends of faults that the simulation once found, each reverted by a patch."""

import pytest

from autohedge.execution.orders import Order, OrderManager


def second_exit_forgotten(patch: pytest.MonkeyPatch) -> None:
    """A lane knows one working order per side: an adopted one is forgotten beside another."""
    original = OrderManager._finish

    def add(self: OrderManager, order: Order) -> None:
        self.working[order.id] = order
        side, lane = self._side(order.intent), order.intent.lane
        if order.command or not side.get(lane):
            side[lane] = (order,)
        self._reserve(order)

    def submit_order(self: OrderManager, order: Order) -> None:
        original(self, order)

    patch.setattr(OrderManager, "_add", add)
    patch.setattr(OrderManager, "_finish", submit_order)

"""Execution schedules: entries that are sent in slices. The only one is TWAP, equal slices at equal times.

A schedule says how much of an entry is due. Each slice becomes an order of its own at the current price and
passes every risk check. A refused slice is not made up for later.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from autohedge.core.money import ZERO, divide_floor, subtract


class ExecutionSchedule(Protocol):
    """The rest of an entry that is sent in slices."""

    @property
    def next_ns(self) -> int | None:
        """When the next slice is due; None if none is left."""
        ...

    @property
    def interval_ns(self) -> int:
        """How long to wait while the order of the previous slice still works."""
        ...

    def next_quantity(self, now_ns: int) -> Decimal:
        """Takes the quantity that is due now off the schedule and returns it."""
        ...


@dataclass(slots=True)
class Twap:
    """`parts` equal slices, `interval_ns` apart; the last one includes what rounding to lots left over."""

    left: Decimal
    part: Decimal
    parts: int
    interval_ns: int
    due_ns: int

    @classmethod
    def of(cls, quantity: Decimal, parts: int, over_ns: int, lot: Decimal, now_ns: int) -> "Twap":
        """A schedule of `quantity` over `over_ns` from now, with at least one lot per slice."""
        most = int(divide_floor(quantity, lot, Decimal(1)))
        parts = max(min(parts, most), 1)
        part = divide_floor(quantity, Decimal(parts), lot)
        return cls(quantity, part, parts, over_ns // parts, now_ns)

    @property
    def next_ns(self) -> int | None:
        """When the next slice is due; None if none is left."""
        return self.due_ns if self.parts and self.left > ZERO else None

    def next_quantity(self, now_ns: int) -> Decimal:
        """Takes the quantity that is due now off the schedule and returns it."""
        quantity = self.left if self.parts == 1 else self.part
        self.left = subtract(self.left, quantity)
        self.parts -= 1
        # From now, not from the planned time: after a delay the rest keeps its interval.
        self.due_ns = now_ns + self.interval_ns
        return quantity

"""Entries in parts: what is sent when; the first user is TWAP, equal parts at equal times.

A schedule only says how much of an entry is due. Each part becomes an order of its own, with
today's price, and passes every risk check; a part that is refused is not made up for.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

from autohedge.core.money import ZERO, divide_floor, subtract


class ExecutionSchedule(Protocol):
    """What is left of an entry that is sent in parts."""

    @property
    def next_ns(self) -> int | None:
        """When the next part is due; None if nothing is left."""
        ...

    @property
    def interval_ns(self) -> int:
        """How long to wait while the part before still works."""
        ...

    def next_quantity(self, now_ns: int) -> Decimal:
        """The quantity that is due now; the rest is left."""
        ...


@dataclass(slots=True)
class Twap:
    """`parts` equal parts, `interval_ns` apart; the last one takes what rounding to lots left over."""

    left: Decimal
    part: Decimal
    parts: int
    interval_ns: int
    due_ns: int

    @classmethod
    def of(cls, quantity: Decimal, parts: int, over_ns: int, lot: Decimal, now_ns: int) -> "Twap":
        """An entry of `quantity` over `over_ns` from now; in fewer parts where one would be no lot."""
        most = int(divide_floor(quantity, lot, Decimal(1)))
        parts = max(min(parts, most), 1)
        part = divide_floor(quantity, Decimal(parts), lot)
        return cls(quantity, part, parts, over_ns // parts, now_ns)

    @property
    def next_ns(self) -> int | None:
        """When the next part is due; None if nothing is left."""
        return self.due_ns if self.parts and self.left > ZERO else None

    def next_quantity(self, now_ns: int) -> Decimal:
        """The quantity that is due now."""
        quantity = self.left if self.parts == 1 else self.part
        self.left = subtract(self.left, quantity)
        self.parts -= 1
        self.due_ns = now_ns + self.interval_ns
        return quantity

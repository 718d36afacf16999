"""Fills as a record has them: the report of the venue, and its booking in the ledger."""

from collections import deque
from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import NamedTuple

from autohedge.core.events import AnyEvent, ExecutionReport, FillBooked, OrderAdopted, SubmitOrder
from autohedge.core.money import ZERO, subtract

# As many as the engine remembers. A fill of a forgotten order is still paired if it is booked at once.
ORDERS_MAX, UNKNOWN_ORDERS_MAX = 10_000, 1_000


class RecordedFill(NamedTuple):
    """A fill or a bust that was booked; `realized` is the profit of this booking, before fees.

    Its amounts are in the quote currency of its symbol.
    """

    report: ExecutionReport
    booked: FillBooked
    realized: Decimal

    @property
    def fee(self) -> Decimal:
        """The fee of the fill, converted if it was paid in another currency."""
        quoted = self.booked.quoted_fee
        return self.report.fee or ZERO if quoted is None else quoted


class FillBookings:
    """Pairs each `FillBooked` of a record with its report.

    The booking follows the report within one step. That of an order which was not in the record when the report
    came follows the order's adoption. Reports alone do not count: a venue may repeat one, and the bust of a fill
    may arrive before the fill.
    """

    def __init__(self) -> None:
        self._realized = ZERO
        self._unbooked: deque[ExecutionReport] = deque()
        self._orders: dict[str, None] = {}  # a dict, because it has an order: the oldest are forgotten
        self._of_unknown_orders: dict[str, list[ExecutionReport]] = {}

    def apply(self, event: AnyEvent | None) -> RecordedFill | None:
        """Takes the next event; returns the fill that it completes, else None."""
        match event:
            case FillBooked():
                return self._pair(event)
            case ExecutionReport(kind="fill" | "bust"):
                self._unbooked = deque((event,))
                self._keep_if_unknown(event)
            case SubmitOrder():
                self._remember(event.order_id)
            case OrderAdopted(order=found):
                self._remember(found.order_id)
                self._unbooked = deque(_booked_of(self._of_unknown_orders.pop(found.order_id, ())))
        return None

    def _pair(self, booked: FillBooked) -> RecordedFill | None:
        realized, self._realized = subtract(booked.realized, self._realized), booked.realized
        report = self._unbooked.popleft() if self._unbooked else None
        return (
            RecordedFill(report, booked, realized) if report and report.order_id == booked.order_id else None
        )

    def _keep_if_unknown(self, report: ExecutionReport) -> None:
        order_id, unknown = report.order_id, self._of_unknown_orders
        if order_id not in self._orders and (order_id in unknown or len(unknown) < UNKNOWN_ORDERS_MAX):
            unknown.setdefault(order_id, []).append(report)

    def _remember(self, order_id: str) -> None:
        self._orders[order_id] = None
        if len(self._orders) > ORDERS_MAX:
            del self._orders[next(iter(self._orders))]


def _booked_of(reports: Iterable[ExecutionReport]) -> Iterator[ExecutionReport]:
    """Yields the reports of an adopted order that are booked: no repeated one, and no fill busted before it came."""
    filled, busted = set[str | None](), set[str | None]()
    for report in reports:
        trade, is_fill = report.trade_id, report.kind == "fill"
        if trade not in busted and is_fill is (trade not in filled):
            yield report
        (filled if is_fill else busted).add(trade)

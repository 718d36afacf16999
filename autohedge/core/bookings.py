"""Fills as a record has them: the report of the venue, and its booking in the ledger."""

from decimal import Decimal
from typing import NamedTuple

from autohedge.core.events import AnyEvent, ExecutionReport, FillBooked
from autohedge.core.money import ZERO, subtract


class RecordedFill(NamedTuple):
    """A fill or a bust that was booked; `realized` is the profit of this booking, before fees."""

    report: ExecutionReport
    booked: FillBooked
    realized: Decimal


class FillBookings:
    """Pairs each `FillBooked` of a record with the report that it follows within one step.

    Reports alone do not count: a venue may repeat one, and the bust of a fill may arrive before the fill.
    """

    def __init__(self) -> None:
        self._report: ExecutionReport | None = None
        self._realized = ZERO

    def apply(self, event: AnyEvent | None) -> RecordedFill | None:
        """Takes the next event; returns the fill that it completes, else None."""
        if isinstance(event, ExecutionReport) and event.kind in {"fill", "bust"}:
            self._report = event
        if not isinstance(event, FillBooked):
            return None
        realized, self._realized = subtract(event.realized, self._realized), event.realized
        report, self._report = self._report, None
        return RecordedFill(report, event, realized) if report and report.order_id == event.order_id else None

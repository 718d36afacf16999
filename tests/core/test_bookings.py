"""Fills of a record: each counts once, when it is booked."""

from decimal import Decimal

from autohedge.core.bookings import FillBookings, RecordedFill
from autohedge.core.events import AnyEvent, ExecutionReport, FillBooked

D = Decimal
SALE = ExecutionReport(5, "a", "fill", 5, "t1", D(1), D(110), D(0))
BUST = ExecutionReport(6, "a", "bust", 6, "t1")


def _booked(realized: int, order_id: str = "a") -> FillBooked:
    return FillBooked(order_id, D(0), D(0), D(1000), D(realized))


def _fills(*events: AnyEvent) -> list[RecordedFill]:
    bookings = FillBookings()
    return [fill for event in events if (fill := bookings.apply(event))]


def test_a_repeated_report_counts_once() -> None:
    assert _fills(SALE, _booked(10), SALE) == [RecordedFill(SALE, _booked(10), D(10))]


def test_a_fill_whose_bust_came_first_is_not_counted() -> None:
    assert _fills(BUST, SALE) == []


def test_profit_of_each_booking_is_the_change_of_the_ledgers() -> None:
    fills = _fills(SALE, _booked(10), BUST, _booked(0), SALE, _booked(7))
    assert [(fill.report.kind, fill.realized) for fill in fills] == [
        ("fill", D(10)),
        ("bust", D(-10)),
        ("fill", D(7)),
    ]


def test_a_booking_of_another_order_has_no_report() -> None:
    fills = _fills(SALE, _booked(4, "b"), SALE, _booked(10))
    assert [fill.realized for fill in fills] == [D(6)]

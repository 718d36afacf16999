"""Fills of a record: each counts once, when it is booked."""

from decimal import Decimal
from typing import Literal

import pytest

from autohedge.core import bookings
from autohedge.core.bookings import FillBookings, RecordedFill
from autohedge.core.events import (
    AnyEvent,
    ExecutionReport,
    FillBooked,
    OrderAdopted,
    OrderMassStatus,
    SubmitOrder,
    VenueOrderStatus,
)
from autohedge.core.orders import BUY, ENTER, GTC, LEAVE, LIMIT, SELL

D = Decimal
SALE = ExecutionReport(5, "a", "fill", 5, "t1", D(1), D(110), D(0))
BUST = ExecutionReport(6, "a", "bust", 6, "t1")
FOUND = VenueOrderStatus("x", "X", BUY, LIMIT, GTC, D(110), D(2), D(0), "open")
LIST = OrderMassStatus(7, 7, (FOUND,))
ADOPTED = OrderAdopted(FOUND, "external", ENTER)


def _booked(realized: int, order_id: str = "a") -> FillBooked:
    return FillBooked(order_id, D(0), D(0), D(1000), D(realized))


def _theirs(kind: Literal["fill", "bust"], trade_id: str, order_id: str = "x") -> ExecutionReport:
    return ExecutionReport(5, order_id, kind, 5, trade_id, D(1), D(110), D(0))


def _paired(*events: AnyEvent) -> list[tuple[str, str | None]]:
    """Returns kind and trade of each report that was paired."""
    return [(fill.report.kind, fill.report.trade_id) for fill in _fills(*events)]


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


def test_fills_from_before_the_adoption_of_their_order_are_paired_in_turn() -> None:
    early = [_theirs("fill", "t1"), _theirs("fill", "t2")]
    fills = _fills(*early, LIST, ADOPTED, _booked(1, "x"), _booked(3, "x"))
    assert [(fill.report, fill.realized) for fill in fills] == [(early[0], D(1)), (early[1], D(2))]


def test_fill_of_an_unknown_order_is_paired_after_a_fill_of_another_was_booked() -> None:
    sent = SubmitOrder(1, "a", "X", SELL, LEAVE, LIMIT, GTC, D(110), D(1), "exit", None, None)
    early = _theirs("fill", "t9")
    fills = _fills(sent, early, SALE, _booked(1), LIST, ADOPTED, _booked(1, "x"))
    assert [fill.report for fill in fills] == [SALE, early]


def test_reports_that_the_engine_does_not_book_are_left_out_of_an_adoption() -> None:
    repeated = [_theirs("fill", "t1"), _theirs("fill", "t1")]
    busted_first = [_theirs("bust", "t2"), _theirs("fill", "t2"), _theirs("bust", "t2")]
    booked = [_booked(0, "x"), _booked(0, "x")]
    fills = _paired(*repeated, *busted_first, _theirs("fill", "t3"), ADOPTED, *booked)
    assert fills == [("fill", "t1"), ("fill", "t3")]


def test_a_fill_and_its_bust_from_before_the_adoption_are_both_paired() -> None:
    early = [_theirs("fill", "t1"), _theirs("bust", "t1"), _theirs("bust", "t1"), _theirs("fill", "t2")]
    fills = _paired(*early, ADOPTED, _booked(0, "x"), _booked(0, "x"), _booked(0, "x"))
    assert fills == [("fill", "t1"), ("bust", "t1"), ("fill", "t2")]


def test_fills_after_the_adoption_are_paired_with_the_report_before_them() -> None:
    fills = _paired(_theirs("fill", "t1"), ADOPTED, _booked(0, "x"), _theirs("fill", "t2"), _booked(0, "x"))
    assert fills == [("fill", "t1"), ("fill", "t2")]


def test_reports_of_too_many_unknown_orders_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bookings, "UNKNOWN_ORDERS_MAX", 1)
    first, second = _theirs("fill", "t1", "other"), _theirs("fill", "t1")
    assert _fills(first, second, ADOPTED, _booked(0, "x")) == []


def test_a_forgotten_order_has_its_fill_if_that_is_booked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bookings, "ORDERS_MAX", 1)
    sent = [
        SubmitOrder(1, name, "X", SELL, LEAVE, LIMIT, GTC, D(110), D(1), "exit", None, None) for name in "ab"
    ]
    assert _fills(*sent, SALE, _booked(1)) == [RecordedFill(SALE, _booked(1), D(1))]

"""The fills that results must repeat: those that were booked, with the order that they belong to."""

from decimal import Decimal

from autohedge.core.events import (
    AnyEvent,
    ExecutionReport,
    FillBooked,
    OrderAdopted,
    SubmitOrder,
    VenueOrderStatus,
)
from autohedge.core.orders import OrderType, Purpose, Side, TimeInForce
from autohedge.journal.chain import JournalLine
from autohedge.journal.verification import ResultProjection

D = Decimal
IOC, LIMIT = TimeInForce.IOC, OrderType.LIMIT
SENT = SubmitOrder(1, "a", "X", Side.SELL, Purpose.LEAVE, LIMIT, IOC, D(110), D(1), "take_profit", None, None)
FOUND = VenueOrderStatus("b", "Y", Side.BUY, LIMIT, IOC, D(5), D(2), D(0), "open")
BUST = ExecutionReport(3, "a", "bust", 3, "t1")


def _fill(order_id: str) -> ExecutionReport:
    return ExecutionReport(2, order_id, "fill", 2, "t1", D(1), D(110), D(0))


def _booked(order_id: str, realized: int) -> FillBooked:
    return FillBooked(order_id, D(0), D(0), D(1000), D(realized))


def _projection(*events: AnyEvent) -> ResultProjection:
    projection = ResultProjection()
    for event in events:
        projection.apply(JournalLine("", event=event))
    return projection


def test_a_bust_leaves_the_profit_of_the_fill_as_it_was_listed() -> None:
    found = _projection(SENT, _fill("a"), _booked("a", 10), BUST, _booked("a", 0))
    assert [(fill["order_id"], fill["realized"]) for fill in found.fills] == [("a", D(10))]


def test_a_fill_whose_bust_came_first_is_not_expected() -> None:
    assert _projection(SENT, BUST, _fill("a")).fills == []


def test_a_fill_of_an_adopted_order_has_its_symbol_and_side() -> None:
    (fill,) = _projection(OrderAdopted(FOUND, "external", Purpose.ENTER), _fill("b"), _booked("b", 0)).fills
    assert (fill["symbol"], fill["side"], fill["reason"]) == ("Y", "buy", "adopted")

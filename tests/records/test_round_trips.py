"""Round trips of a record whose entries may be lost."""

from decimal import Decimal

from autohedge.core.events import ExecutionReport, FillBooked, RequestUnknown, SubmitOrder
from autohedge.core.orders import BUY, ENTER, IOC, LEAVE, LIMIT, SELL, Side
from autohedge.records.round_trips import RoundTrips

D = Decimal


def _sent(trips: RoundTrips, order_id: str, side: Side) -> None:
    purpose = ENTER if side is BUY else LEAVE
    order = SubmitOrder(1, order_id, "X", side, purpose, LIMIT, IOC, D(100), D(1), "entry", None, None)
    trips.on_submit(order, 0, "group")


def _filled(trips: RoundTrips, order_id: str, position: str) -> None:
    trips.apply(ExecutionReport(1, order_id, "fill", 1, f"t-{order_id}", D(1), D(100), D(0)))
    trips.apply(FillBooked(order_id, D(position), D(0), D(0), D(0)))


def test_lost_entry_keeps_no_later_trips_together() -> None:
    trips = RoundTrips()
    _sent(trips, "lost", BUY)
    trips.apply(RequestUnknown(1, "lost", "timeout"))
    for number in range(3):
        _sent(trips, f"in-{number}", BUY)
        _filled(trips, f"in-{number}", "1")
        _sent(trips, f"out-{number}", SELL)
        _filled(trips, f"out-{number}", "0")
    trips.finish()
    assert (trips.groups["group"].closed, trips.groups["group"].unfilled) == (3, 1)

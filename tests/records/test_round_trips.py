"""Round trips of a record whose entries may be lost."""

from decimal import Decimal

import pytest

from autohedge.core.events import ExecutionReport, FillBooked, RequestUnknown, SubmitOrder
from autohedge.core.orders import BUY, ENTER, IOC, LEAVE, LIMIT, SELL, Purpose, Side
from autohedge.records.round_trips import RoundTrips, TripTotals

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


def _short_sent(trips: RoundTrips, order_id: str, side: Side, purpose: Purpose) -> None:
    order = SubmitOrder(1, order_id, "X", side, purpose, LIMIT, IOC, D(100), D(1), "entry", None, None)
    trips.on_submit(order, 0, "group")


def test_a_short_is_one_trip_from_its_sale_to_its_cover() -> None:
    trips = RoundTrips()
    for number in range(2):
        _short_sent(trips, f"in-{number}", SELL, ENTER)
        _filled(trips, f"in-{number}", "-1")
        _short_sent(trips, f"out-{number}", BUY, LEAVE)
        _filled(trips, f"out-{number}", "0")
    trips.finish()
    assert (trips.groups["group"].closed, trips.groups["group"].still_open) == (2, 0)


def test_an_entry_on_the_other_side_begins_a_trip_beside_what_the_last_one_left() -> None:
    trips = RoundTrips()
    _sent(trips, "long", BUY)
    _filled(trips, "long", "0.01")  # dust, too small to be sold
    _short_sent(trips, "short", SELL, ENTER)
    _filled(trips, "short", "-0.99")
    _short_sent(trips, "cover", BUY, LEAVE)
    _filled(trips, "cover", "0")
    trips.finish()
    assert (trips.groups["group"].closed, trips.groups["group"].still_open) == (1, 1)


@pytest.mark.parametrize(("side", "cost", "position"), [(BUY, "202", "2"), (SELL, "198", "-2")])
def test_totals_have_the_cost_of_a_long_and_the_proceeds_of_a_short(
    side: Side, cost: str, position: str
) -> None:
    totals = TripTotals()
    totals.enter(side, D(2), D(100), D(2), 7)
    assert (totals.cost, totals.position) == (D(cost), D(position))
    assert (totals.entry_price, totals.opened_ns) == (100.0, 7)
    assert totals.leave(D(1), D(90), D(1)) == D(cost) / 2
    assert (totals.held, totals.exit_price, totals.fees) == (D(1), 90.0, D(3))

"""Reserved money is what the working orders need, in any order of requests and answers."""

from collections.abc import Callable, Sequence
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from autohedge.core.events import (
    ChangeRejected,
    ExecutionReport,
    OrderAccepted,
    OrderEvent,
    OrderRejected,
    OrderReplaced,
    RequestThrottled,
    RequestUnknown,
)
from autohedge.core.orders import OrderState, TimeInForce
from autohedge.execution.orders import Order, OrderManager
from autohedge.execution.planner import RESTS
from tests.risk.intent_factory import approved, buy

D = Decimal
COST = D(100)
HIGHER, LOWER = D(110), D(90)
ACCEPTED = OrderAccepted(1, "a", "v")
REPLACED_HIGHER, REPLACED_LOWER = (OrderReplaced(1, "a", limit, D(1)) for limit in (HIGHER, LOWER))
REFUSED = ChangeRejected(1, "a", "no")
CANCELED, EXPIRED = (ExecutionReport(1, "a", kind, 1) for kind in ("canceled", "expired"))
REJECTED = OrderRejected(1, "a", "no")
HALF, REST, WHOLE = (
    ExecutionReport(1, "a", "fill", 1, trade, D(quantity), COST, D(0))
    for trade, quantity in (("t1", "0.4"), ("t2", "0.6"), ("t3", "1"))
)
ENDS: list[OrderEvent] = [CANCELED, EXPIRED, REJECTED, WHOLE]


def _resting() -> tuple[OrderManager, Order]:
    """A resting buy of one unit at 100, and a buy of three units at 7 in another lane."""
    orders = OrderManager(lambda _: None)
    order = orders.submit(approved(buy(time_in_force=TimeInForce.GTC)), "a", 7)
    orders.submit(approved(buy(lane=1, quantity=D(3), price=D(7), limit=D(7))), "b", 7)
    orders.apply(ACCEPTED, order)
    return orders, order


@pytest.mark.parametrize("answer", [None, REPLACED_HIGHER, REFUSED])
@pytest.mark.parametrize("end", ENDS)
def test_order_that_ends_during_a_replace_reserves_no_money_whatever_follows(
    end: OrderEvent, answer: OrderEvent | None
) -> None:
    orders, order = _resting()
    orders.replace(order, HIGHER, 9)
    assert orders.reserved_in(0) == HIGHER
    orders.apply(end, order)
    if answer:
        orders.apply(answer, order)
    assert (order.working, orders.reserved_in(0), orders.reserved) == (False, D(0), D(21))


def test_order_proven_absent_during_a_replace_reserves_no_money() -> None:
    orders, order = _resting()
    orders.replace(order, HIGHER, 9)
    orders.prove_absent(order)
    assert (orders.reserved_in(0), orders.reserved) == (D(0), D(21))


def test_repeated_answer_to_an_earlier_replace_keeps_the_pending_one_reserved() -> None:
    orders, order = _resting()
    orders.replace(order, LOWER, 9)
    orders.apply(REPLACED_LOWER, order)
    orders.replace(order, HIGHER, 10)
    orders.apply(REPLACED_LOWER, order)
    assert (order.state, orders.reserved_in(0)) == (OrderState.PENDING_REPLACE, HIGHER)
    orders.apply(REPLACED_HIGHER, order)
    assert (order.state, orders.reserved_in(0)) == (OrderState.OPEN, HIGHER)


Action = Callable[[OrderManager, Order], None]


def replace_higher(orders: OrderManager, order: Order) -> None:
    if order.state in RESTS and not order.cancel_requested:
        orders.replace(order, HIGHER, 9)


def replace_lower(orders: OrderManager, order: Order) -> None:
    if order.state in RESTS and not order.cancel_requested:
        orders.replace(order, LOWER, 9)


def cancel(orders: OrderManager, order: Order) -> None:
    if order.cancelable:
        orders.cancel(order, "too old", 9)


def prove_absent(orders: OrderManager, order: Order) -> None:
    if order.state is OrderState.UNKNOWN:
        orders.prove_absent(order)


def lose(orders: OrderManager, order: Order) -> None:
    if order.working:
        orders.mark_unknown(order)


ACTIONS: list[Action] = [replace_higher, replace_lower, cancel, prove_absent, lose]
CHANGES: list[OrderEvent] = [REPLACED_HIGHER, REPLACED_LOWER, REFUSED, HALF]
OTHERS: list[OrderEvent] = [
    *ENDS,
    ACCEPTED,
    REST,
    RequestUnknown(1, "a", "timeout", "replace"),
    RequestThrottled(1, "a", 9, "replace"),
    ExecutionReport(1, "a", "canceled", 1, filled=D("0.4")),
]
# Actions and changes two times in three: most sequences would end the order before a change is answered.
EVENTS = st.one_of(st.sampled_from(ACTIONS), st.sampled_from(CHANGES), st.sampled_from(OTHERS))


@budget(max_examples=200, deadline=None)
@given(st.lists(EVENTS, max_size=10))
def test_reserved_equals_what_working_orders_need_after_any_events(
    events: Sequence[Action | OrderEvent],
) -> None:
    orders, order = _resting()
    limit, requested, filled, superseded = COST, D(0), dict[str, Decimal](), set[Decimal]()
    for event in events:
        if callable(event):
            before = order.state
            event(orders, order)
            if order.state is not before and event in (replace_higher, replace_lower):
                requested = HIGHER if event is replace_higher else LOWER
        else:
            orders.apply(event, order)
            if isinstance(event, OrderReplaced) and event.limit in superseded - {requested}:
                pass  # the answer to an earlier request is repeated
            elif isinstance(event, OrderReplaced):
                is_known, earlier = event.limit in superseded, limit
                superseded, limit = (superseded | {earlier}) - {event.limit}, event.limit
                if requested in {D(0), limit}:
                    requested = earlier if is_known else D(0)
            elif event is REFUSED and not order.cancel_requested:  # else it may be the cancel that is refused
                requested = D(0)
            elif isinstance(event, ExecutionReport) and event.trade_id and event.quantity:
                filled[event.trade_id] = event.quantity
        left = max(1 - sum(filled.values()), D(0)) if order.working else D(0)
        assert orders.reserved_in(0) == left * max(limit, requested)
        assert orders.reserved == orders.reserved_in(0) + D(21)
        assert orders.entries_of(0) == ((order,) if order.working else ())

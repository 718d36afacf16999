"""The order manager: what each answer means, and that money stays reserved while it can be spent."""

from collections.abc import Sequence
from decimal import Decimal
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autohedge.core.errors import Corrupt, IllegalTransition
from autohedge.core.events import Accepted, Answer, CancelOrder, Rejected, Report, SubmitOrder, Unknown
from autohedge.core.orders import OrderState, OrderType, Side, TimeInForce
from autohedge.execution.orders import Order, OrderManager
from tests.risk.wishes import approved, buy, sell

D = Decimal
S = OrderState
COST = D(100)
ACCEPTED = Accepted(1, "a", "venue-1")
REJECTED = Rejected(1, "a", "no")
UNKNOWN = Unknown(1, "a", "timeout")
EXPIRED = Report(1, "a", "expired", 1)
CANCELED = Report(1, "a", "canceled", 1)


def _fill(trade_id: str, quantity: str, order_id: str = "a") -> Report:
    return Report(1, order_id, "fill", 1, trade_id, D(quantity), D(100), D(0))


HALF, REST, WHOLE = _fill("t1", "0.4"), _fill("t2", "0.6"), _fill("t3", "1")


def _sent(answers: Sequence[Answer] = (), *, gtc: bool = False) -> tuple[OrderManager, Order]:
    """A buy of one unit at 100 with the id "a", after these answers."""
    orders = OrderManager()
    orders.submit(approved(buy(time_in_force=TimeInForce.GTC if gtc else TimeInForce.IOC)), "a", 7)
    order = orders.entry(0)
    assert order is not None
    for answer in answers:
        orders.apply(answer)
    return orders, order


def test_a_command_says_all_that_the_venue_must_know() -> None:
    command = OrderManager().submit(approved(buy(quantity=D(2), limit=D(99))), "id-1", 7)
    assert command == SubmitOrder(
        7, "id-1", "X", Side.BUY, OrderType.LIMIT, TimeInForce.IOC, D(99), D(2), "entry", 101.0, 99.0
    )


def test_a_sell_carries_no_guards() -> None:
    command = OrderManager().submit(approved(sell()), "id-1", 7)
    assert (command.side, command.limit) == (Side.SELL, None)
    assert command.take_profit is command.stop_loss is None


# Answers, the state they lead to, and how much of the one unit can still be spent at 100.
LIVES: list[tuple[list[Answer], OrderState, str]] = [
    ([], S.SUBMITTED, "100"),
    ([ACCEPTED], S.OPEN, "100"),
    ([UNKNOWN], S.UNKNOWN, "100"),
    ([ACCEPTED, UNKNOWN], S.UNKNOWN, "100"),
    ([HALF], S.PARTIAL, "60"),
    ([HALF, ACCEPTED], S.PARTIAL, "60"),
    ([HALF, UNKNOWN], S.UNKNOWN, "60"),
    ([UNKNOWN, HALF], S.PARTIAL, "60"),
    ([UNKNOWN, ACCEPTED], S.OPEN, "100"),
    ([HALF, REST], S.FILLED, "0"),
    ([WHOLE], S.FILLED, "0"),
    ([UNKNOWN, WHOLE], S.FILLED, "0"),
    ([WHOLE, ACCEPTED], S.FILLED, "0"),
    ([REJECTED], S.REJECTED, "0"),
    ([UNKNOWN, REJECTED], S.REJECTED, "0"),
    ([ACCEPTED, EXPIRED], S.EXPIRED, "0"),
    ([HALF, EXPIRED], S.EXPIRED, "0"),
    ([UNKNOWN, EXPIRED], S.EXPIRED, "0"),
    ([HALF, CANCELED], S.CANCELED, "0"),
    ([EXPIRED, HALF], S.EXPIRED, "0"),
]


@pytest.mark.parametrize(("answers", "state", "reserved"), LIVES)
def test_an_order_lives_through_its_answers_with_its_money_reserved(
    answers: list[Answer], state: OrderState, reserved: str
) -> None:
    orders, order = _sent(answers)
    assert order.state is state
    assert orders.reserved == orders.reserved_in(0) == D(reserved)
    working = state in {S.SUBMITTED, S.OPEN, S.UNKNOWN, S.PARTIAL}
    assert (orders.entry(0) is order) is working is ("a" in orders.working)


def test_an_unknown_order_keeps_its_money_reserved_until_there_is_evidence() -> None:
    orders, order = _sent([UNKNOWN, UNKNOWN, HALF, UNKNOWN])
    assert (order.state, orders.reserved) == (S.UNKNOWN, D(60))
    orders.apply(EXPIRED)
    assert (order.state, orders.reserved) == (S.EXPIRED, D(0))


@given(
    st.lists(st.sampled_from([ACCEPTED, UNKNOWN, HALF, REST, WHOLE, EXPIRED, CANCELED, REJECTED]), max_size=8)
)
def test_reserved_money_always_covers_what_can_still_be_spent(answers: list[Answer]) -> None:
    orders, order = _sent()
    seen: dict[str, Decimal] = {}
    for answer in answers:
        try:
            orders.apply(answer)
        except IllegalTransition:
            break
        if isinstance(answer, Report) and answer.trade_id and answer.quantity:
            seen[answer.trade_id] = answer.quantity
        assert order.filled == sum(seen.values())
        open_rest = max(1 - order.filled, D(0)) if order.working else D(0)
        assert orders.reserved == open_rest * COST


@pytest.mark.parametrize(
    "news", [(ACCEPTED, HALF), (ACCEPTED, HALF, REST), (ACCEPTED, HALF, EXPIRED), (HALF, REST)]
)
def test_the_order_in_which_news_arrives_does_not_matter(news: tuple[Answer, ...]) -> None:
    ends = {(order.state, order.filled) for _, order in map(_sent, permutations(news))}
    assert len(ends) == 1


def test_a_fill_makes_an_order_partial_even_if_an_answer_was_lost_between() -> None:
    _, late_ack = _sent([HALF, UNKNOWN, ACCEPTED])
    _, early_ack = _sent([UNKNOWN, ACCEPTED, HALF])
    assert late_ack.state is early_ack.state is S.PARTIAL


def test_a_fill_that_comes_twice_counts_once() -> None:
    orders, order = _sent([ACCEPTED])
    assert orders.apply(HALF) == (order, True)
    assert orders.apply(HALF) == (order, False)
    assert (order.filled, order.state, orders.reserved) == (D("0.4"), S.PARTIAL, D(60))


def test_a_fill_that_comes_twice_counts_once_on_a_finished_order_too() -> None:
    orders, order = _sent([WHOLE])
    assert orders.apply(WHOLE) == (order, False)
    assert (order.filled, order.state) == (D(1), S.FILLED)


def test_a_late_fill_is_booked_but_wakes_no_finished_order() -> None:
    orders, order = _sent([CANCELED])
    assert orders.apply(HALF) == (order, True)
    assert (order.state, order.filled, orders.reserved) == (S.CANCELED, D("0.4"), D(0))
    assert orders.entry(0) is None and not orders.working


def test_a_late_fill_leaves_the_next_order_of_the_lane_alone() -> None:
    orders, _ = _sent([CANCELED])
    orders.submit(approved(buy()), "b", 7)
    orders.apply(HALF)
    second = orders.entry(0)
    assert second is not None and second.id == "b"
    assert (second.filled, orders.reserved) == (D(0), COST)


def test_an_overfill_reserves_nothing_and_is_not_hidden() -> None:
    orders, order = _sent([HALF, WHOLE])
    assert (order.state, order.filled, orders.reserved) == (S.FILLED, D("1.4"), D(0))


@pytest.mark.parametrize(("answers", "expired"), [([EXPIRED], 1), ([HALF, EXPIRED], 0), ([CANCELED], 0)])
def test_only_orders_without_a_fill_count_as_expired(answers: list[Answer], expired: int) -> None:
    orders, _ = _sent(answers)
    assert orders.expired == expired


def test_an_answer_for_an_order_that_was_never_sent_is_corrupt() -> None:
    orders, _ = _sent()
    with pytest.raises(Corrupt, match="order b, which this run never sent"):
        orders.apply(Accepted(1, "b", "venue-2"))


@pytest.mark.parametrize(
    "report", [Report(1, "a", "fill", 1, None, D(1)), Report(1, "a", "fill", 1, "t1", None)]
)
def test_a_fill_without_an_id_or_a_quantity_is_corrupt(report: Report) -> None:
    orders, order = _sent()
    with pytest.raises(Corrupt, match="an impossible fill"):
        orders.apply(report)
    assert order.filled == 0


def test_a_rejection_of_an_accepted_order_is_a_contradiction() -> None:
    orders, _ = _sent([ACCEPTED])
    with pytest.raises(IllegalTransition):
        orders.apply(REJECTED)


def test_a_cancelled_order_works_until_the_venue_says_that_it_is_gone() -> None:
    orders, order = _sent([ACCEPTED, HALF], gtc=True)
    assert order.cancelable
    assert orders.cancel(order, "too old", 9) == CancelOrder(9, "a", "too old")
    assert (order.state, order.cancelable, orders.reserved) == (S.PENDING_CANCEL, False, D(60))
    orders.apply(_fill("t9", "0.1"))
    assert (order.state, orders.reserved) == (S.PENDING_CANCEL, D(50))
    orders.apply(CANCELED)
    assert (order.state, order.filled, orders.reserved) == (S.CANCELED, D("0.5"), D(0))


def test_a_cancel_whose_answer_is_lost_keeps_the_money_reserved() -> None:
    orders, order = _sent([ACCEPTED], gtc=True)
    orders.cancel(order, "too old", 9)
    orders.apply(UNKNOWN)
    assert (order.state, orders.reserved) == (S.UNKNOWN, COST)


def test_an_immediate_order_is_never_asked_back() -> None:
    _, order = _sent([ACCEPTED])
    assert not order.cancelable


def test_a_sell_reserves_no_money_and_has_a_place_of_its_own() -> None:
    orders, entry = _sent()
    orders.submit(approved(sell()), "s", 7)
    assert orders.reserved == COST
    exit_order = orders.exit(0)
    assert exit_order is not None and exit_order.id == "s" and orders.entry(0) is entry
    orders.apply(_fill("t5", "1", "s"))
    assert orders.exit(0) is None and orders.entry(0) is entry


def test_reservations_of_several_lanes_add_up() -> None:
    orders, _ = _sent([HALF])
    orders.submit(approved(buy(lane=1, quantity=D(3), price=D(7), limit=D(7))), "b", 7)
    assert (orders.reserved_in(0), orders.reserved_in(1), orders.reserved) == (D(60), D(21), D(81))

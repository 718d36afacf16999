"""The order manager: the effect of each event, and money reserved as long as it can be spent."""

from collections.abc import Sequence
from decimal import Decimal
from itertools import permutations

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from autohedge.core.errors import Corrupt
from autohedge.core.events import (
    Alert,
    AnyOutput,
    CancelOrder,
    ChangeRejected,
    ExecutionReport,
    OrderAccepted,
    OrderEvent,
    OrderNotFound,
    OrderOverfilled,
    OrderRejected,
    OrderReplaced,
    ReplaceOrder,
    RequestThrottled,
    RequestUnknown,
    SubmitOrder,
    VenueOrderStatus,
)
from autohedge.core.orders import FINAL, OrderState, OrderType, Purpose, Side, TimeInForce
from autohedge.execution.orders import BookEffect, Order, OrderManager
from tests.risk.intent_factory import approved, buy, sell

D = Decimal
S = OrderState
COST = D(100)
ACCEPTED = OrderAccepted(1, "a", "venue-1")
REJECTED = OrderRejected(1, "a", "no")
UNKNOWN = RequestUnknown(1, "a", "timeout")
THROTTLED = RequestThrottled(1, "a", 9)
NOT_FOUND = OrderNotFound(1, "a", 1)
EXPIRED = ExecutionReport(1, "a", "expired", 1)
CANCELED = ExecutionReport(1, "a", "canceled", 1)


def _fill(trade_id: str, quantity: str, order_id: str = "a") -> ExecutionReport:
    return ExecutionReport(1, order_id, "fill", 1, trade_id, D(quantity), D(100), D(0))


def _bust(trade_id: str) -> ExecutionReport:
    return ExecutionReport(1, "a", "bust", 1, trade_id)


def _ended(report: ExecutionReport, filled: str) -> ExecutionReport:
    return msgspec.structs.replace(report, filled=D(filled))


HALF, REST, WHOLE = _fill("t1", "0.4"), _fill("t2", "0.6"), _fill("t3", "1")


def _discard(output: AnyOutput) -> None:
    """Discards outputs."""


def _sent(
    answers: Sequence[OrderEvent] = (), *, gtc: bool = False, outputs: list[AnyOutput] | None = None
) -> tuple[OrderManager, Order]:
    """A buy of one unit at 100 with the id "a" after these answers; `outputs` collects the outputs."""
    orders = OrderManager(_discard if outputs is None else outputs.append)
    intent = buy(time_in_force=TimeInForce.GTC if gtc else TimeInForce.IOC)
    order = orders.submit(approved(intent), "a", 7)
    for answer in answers:
        orders.apply(answer, order)
    return orders, order


def test_submit_command_carries_every_order_field() -> None:
    outputs: list[AnyOutput] = []
    order = OrderManager(outputs.append).submit(approved(buy(quantity=D(2), limit=D(99))), "id-1", 7)
    command = SubmitOrder(
        7,
        "id-1",
        "X",
        Side.BUY,
        Purpose.ENTER,
        OrderType.LIMIT,
        TimeInForce.IOC,
        D(99),
        D(2),
        "entry",
        101.0,
        99.0,
    )
    assert outputs == [command] and order.command == command


def test_sell_command_has_no_limit_and_no_exit_levels() -> None:
    command = OrderManager(_discard).submit(approved(sell()), "id-1", 7).command
    assert command is not None and (command.side, command.limit) == (Side.SELL, None)
    assert command.take_profit is command.stop_loss is None


# Answers, the state they lead to, and how much of the one unit can still be spent at 100.
LIFECYCLES: list[tuple[list[OrderEvent], OrderState, str]] = [
    ([], S.SUBMITTED, "100"),
    ([ACCEPTED], S.OPEN, "100"),
    ([UNKNOWN], S.UNKNOWN, "100"),
    ([ACCEPTED, UNKNOWN], S.OPEN, "100"),
    ([ACCEPTED, THROTTLED], S.OPEN, "100"),
    ([NOT_FOUND], S.SUBMITTED, "100"),
    ([UNKNOWN, NOT_FOUND], S.UNKNOWN, "100"),
    ([UNKNOWN, THROTTLED], S.UNKNOWN, "100"),
    ([THROTTLED], S.REJECTED, "0"),
    ([HALF], S.PARTIAL, "60"),
    ([HALF, ACCEPTED], S.PARTIAL, "60"),
    ([HALF, UNKNOWN], S.PARTIAL, "60"),
    ([UNKNOWN, HALF], S.PARTIAL, "60"),
    ([UNKNOWN, ACCEPTED], S.OPEN, "100"),
    ([HALF, REST], S.FILLED, "0"),
    ([WHOLE], S.FILLED, "0"),
    ([UNKNOWN, WHOLE], S.FILLED, "0"),
    ([WHOLE, ACCEPTED], S.FILLED, "0"),
    ([REJECTED], S.REJECTED, "0"),
    ([UNKNOWN, REJECTED], S.REJECTED, "0"),
    ([ACCEPTED, REJECTED], S.REJECTED, "0"),
    ([HALF, REJECTED], S.REJECTED, "0"),
    ([ACCEPTED, EXPIRED], S.EXPIRED, "0"),
    ([HALF, EXPIRED], S.EXPIRED, "0"),
    ([UNKNOWN, EXPIRED], S.EXPIRED, "0"),
    ([HALF, CANCELED], S.CANCELED, "0"),
    ([EXPIRED, HALF], S.EXPIRED, "0"),
    ([EXPIRED, CANCELED, REJECTED], S.CANCELED, "0"),
    ([_ended(EXPIRED, "0.4")], S.UNKNOWN, "100"),
    ([_ended(EXPIRED, "0.4"), ACCEPTED], S.UNKNOWN, "100"),
    ([_ended(EXPIRED, "0.4"), HALF], S.EXPIRED, "0"),
    ([_ended(EXPIRED, "1"), HALF], S.UNKNOWN, "60"),
    ([HALF, _ended(CANCELED, "0.4")], S.CANCELED, "0"),
    ([HALF, _bust("t1")], S.PARTIAL, "60"),
    ([HALF, REST, _bust("t1")], S.FILLED, "0"),
]


@pytest.mark.parametrize(("answers", "state", "reserved"), LIFECYCLES)
def test_order_after_its_events_has_expected_state_and_reservation(
    answers: list[OrderEvent], state: OrderState, reserved: str
) -> None:
    orders, order = _sent(answers)
    assert order.state is state
    assert orders.reserved == orders.reserved_in(0) == D(reserved)
    working = state not in FINAL
    assert (orders.entries_of(0) == (order,)) is working is ("a" in orders.working)
    assert orders.find("a") is order


def test_unknown_order_stays_reserved_until_evidence() -> None:
    orders, order = _sent([UNKNOWN, UNKNOWN, NOT_FOUND, UNKNOWN])
    assert (order.state, orders.reserved) == (S.UNKNOWN, COST)
    orders.apply(EXPIRED, order)
    assert (order.state, orders.reserved) == (S.EXPIRED, D(0))


def test_order_marked_unknown_recovers_its_state_when_accepted() -> None:
    orders, order = _sent([ACCEPTED, HALF])
    orders.mark_unknown(order)
    assert (order.state, orders.reserved) == (S.UNKNOWN, D(60))
    orders.apply(ACCEPTED, order)
    assert (order.state, orders.reserved) == (S.PARTIAL, D(60))


EVIDENCE: list[OrderEvent] = [
    ACCEPTED, UNKNOWN, HALF, REST, WHOLE, EXPIRED, CANCELED, REJECTED, _bust("t1"), _bust("t3"),
]  # fmt: skip
ALIKE: list[OrderEvent] = [
    ACCEPTED, UNKNOWN, HALF, REST, WHOLE, REJECTED, _bust("t1"), _ended(EXPIRED, "0.4"), _ended(CANCELED, "0.4"),
]  # fmt: skip
COUNTED: list[OrderEvent] = [
    *EVIDENCE,
    _ended(EXPIRED, "0.4"),
    _ended(CANCELED, "0.4"),
    _ended(CANCELED, "1"),
]


@budget(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(COUNTED), max_size=8))
def test_reserved_money_always_covers_what_can_still_be_spent(answers: list[OrderEvent]) -> None:
    orders, order = _sent()
    seen: dict[str, Decimal] = {}
    busted: set[str] = set()
    for answer in answers:
        orders.apply(answer, order)
        if isinstance(answer, ExecutionReport) and answer.kind == "bust":
            busted.add(answer.trade_id or "")
        elif isinstance(answer, ExecutionReport) and answer.trade_id and answer.quantity:
            seen[answer.trade_id] = answer.quantity
        assert order.executed == sum(seen.values())
        assert order.filled == sum(quantity for trade, quantity in seen.items() if trade not in busted)
        open_rest = max(1 - order.executed, D(0)) if order.working else D(0)
        assert orders.reserved == open_rest * COST


@st.composite
def _two_arrival_orders(draw: st.DrawFn, evidence: list[OrderEvent]) -> tuple[list[OrderEvent], ...]:
    """The same answers in two orders of arrival; in the second, some are repeated."""
    once = draw(st.lists(st.sampled_from(evidence), max_size=7))
    repeated = draw(st.lists(st.sampled_from(once), max_size=3)) if once else []
    return once, draw(st.permutations([*once, *repeated]))


@budget(max_examples=150, deadline=None)
@given(_two_arrival_orders(EVIDENCE))
def test_order_outcome_is_independent_of_event_order_and_repeats(
    sequences: tuple[list[OrderEvent], ...],
) -> None:
    first, second = (_sent(answers)[1] for answers in sequences)
    assert (first.state, first.filled, first.executed) == (second.state, second.filled, second.executed)
    assert (first.trades, first.busted, first.accepted) == (second.trades, second.busted, second.accepted)


@budget(max_examples=150, deadline=None)
@given(_two_arrival_orders(ALIKE))
def test_order_outcome_with_equal_end_counts_ignores_event_order(
    sequences: tuple[list[OrderEvent], ...],
) -> None:
    first, second = (_sent(answers)[1] for answers in sequences)
    assert (first.state, first.filled, first.executed) == (second.state, second.filled, second.executed)


@pytest.mark.parametrize(
    "events", [(ACCEPTED, HALF), (ACCEPTED, HALF, REST), (ACCEPTED, HALF, EXPIRED), (HALF, REST)]
)
def test_order_outcome_is_the_same_for_every_arrival_order(events: tuple[OrderEvent, ...]) -> None:
    ends = {(order.state, order.filled) for _, order in map(_sent, permutations(events))}
    assert len(ends) == 1


def test_a_fill_that_comes_twice_counts_once() -> None:
    orders, order = _sent([ACCEPTED])
    assert orders.apply(HALF, order) is BookEffect.FILL
    assert orders.apply(HALF, order) is BookEffect.NONE
    assert (order.filled, order.state, orders.reserved) == (D("0.4"), S.PARTIAL, D(60))


def test_a_fill_that_comes_twice_counts_once_on_a_finished_order_too() -> None:
    orders, order = _sent([WHOLE])
    assert orders.apply(WHOLE, order) is BookEffect.NONE
    assert (order.filled, order.state) == (D(1), S.FILLED)


def test_fill_repeated_with_other_figures_alerts_and_is_ignored() -> None:
    outputs: list[AnyOutput] = []
    orders, order = _sent([HALF], outputs=outputs)
    assert orders.apply(_fill("t1", "0.5"), order) is BookEffect.NONE
    assert order.filled == D("0.4")
    assert [alert.code for alert in outputs if isinstance(alert, Alert)] == ["fill_changed"]


def test_bust_reverses_its_fill_once() -> None:
    outputs: list[AnyOutput] = []
    orders, order = _sent([HALF], outputs=outputs)
    assert [orders.apply(_bust("t1"), order) for _ in range(2)] == [BookEffect.BUST, BookEffect.NONE]
    assert (order.filled, order.executed, order.state) == (D(0), D("0.4"), S.PARTIAL)
    assert [alert.code for alert in outputs if isinstance(alert, Alert)] == ["bust"]


def test_bust_arriving_before_its_fill_leaves_no_booking() -> None:
    orders, order = _sent()
    assert [orders.apply(answer, order) for answer in (_bust("t1"), HALF)] == [
        BookEffect.NONE,
        BookEffect.NONE,
    ]
    assert (order.filled, order.executed) == (D(0), D("0.4"))


def test_late_fill_is_booked_without_reopening_the_order() -> None:
    orders, order = _sent([CANCELED])
    assert orders.apply(HALF, order) is BookEffect.FILL
    assert (order.state, order.filled, orders.reserved) == (S.CANCELED, D("0.4"), D(0))
    assert orders.entries_of(0) == () and not orders.working


def test_a_late_fill_leaves_the_next_order_of_the_lane_alone() -> None:
    orders, first = _sent([CANCELED])
    second = orders.submit(approved(buy()), "b", 7)
    orders.apply(HALF, first)
    assert orders.entries_of(0) == (second,)
    assert (second.filled, orders.reserved) == (D(0), COST)


def test_overfill_reserves_no_cash_and_reports_each_excess() -> None:
    outputs: list[AnyOutput] = []
    orders, order = _sent([HALF, WHOLE, REST], outputs=outputs)
    assert (order.state, order.filled, orders.reserved) == (S.FILLED, D(2), D(0))
    assert outputs[1:] == [OrderOverfilled("a", D("0.4")), OrderOverfilled("a", D("0.6"))]


@pytest.mark.parametrize(("answers", "expired"), [([EXPIRED], 1), ([HALF, EXPIRED], 0), ([CANCELED], 0)])
def test_only_orders_without_a_fill_count_as_expired(answers: list[OrderEvent], expired: int) -> None:
    orders, _ = _sent(answers)
    assert orders.expired == expired


@pytest.mark.parametrize(
    "report",
    [
        ExecutionReport(1, "a", "fill", 1, None, D(1), D(100)),
        ExecutionReport(1, "a", "fill", 1, "t1", None, D(100)),
        ExecutionReport(1, "a", "fill", 1, "t1", D(0), D(100)),
        ExecutionReport(1, "a", "fill", 1, "t1", D(-1), D(100)),
        ExecutionReport(1, "a", "fill", 1, "t1", D("NaN"), D(100)),
        ExecutionReport(1, "a", "fill", 1, "t1", D(1), None),
        ExecutionReport(1, "a", "fill", 1, "t1", D(1), D(0)),
    ],
)
def test_fill_with_missing_or_impossible_fields_is_corrupt(report: ExecutionReport) -> None:
    orders, order = _sent()
    with pytest.raises(Corrupt, match="an impossible fill"):
        orders.apply(report, order)
    assert order.filled == 0


def test_cancelled_order_stays_pending_until_venue_confirms() -> None:
    outputs: list[AnyOutput] = []
    orders, order = _sent([ACCEPTED, HALF], gtc=True, outputs=outputs)
    assert order.cancelable
    orders.cancel(order, "too old", 9)
    assert outputs[-1] == CancelOrder(9, "a", "too old")
    assert (order.state, order.cancelable, orders.reserved) == (S.PENDING_CANCEL, False, D(60))
    orders.apply(_fill("t9", "0.1"), order)
    assert (order.state, orders.reserved) == (S.PENDING_CANCEL, D(50))
    orders.apply(CANCELED, order)
    assert (order.state, order.filled, orders.reserved) == (S.CANCELED, D("0.5"), D(0))


@pytest.mark.parametrize(
    "answer",
    [
        RequestUnknown(1, "a", "timeout", "cancel"),
        RequestThrottled(1, "a", 9, "cancel"),
        ChangeRejected(1, "a", "too late"),
        NOT_FOUND,
        ACCEPTED,
    ],
)
def test_unconfirmed_cancel_stays_pending_with_cash_reserved(
    answer: OrderEvent,
) -> None:
    orders, order = _sent([ACCEPTED], gtc=True)
    orders.cancel(order, "too old", 9)
    orders.apply(answer, order)
    assert (order.state, orders.reserved) == (S.PENDING_CANCEL, COST)


def test_cancel_requested_while_unknown_is_pending_once_accepted() -> None:
    orders, order = _sent([UNKNOWN], gtc=True)
    orders.cancel(order, "too old", 9)
    assert (order.state, order.cancel_requested) == (S.UNKNOWN, True)
    orders.apply(ACCEPTED, order)
    assert (order.state, order.cancelable) == (S.PENDING_CANCEL, False)


def test_immediate_order_is_not_cancelable() -> None:
    _, order = _sent([ACCEPTED])
    assert not order.cancelable


def test_pending_replace_reserves_the_higher_limit() -> None:
    outputs: list[AnyOutput] = []
    orders, order = _sent([ACCEPTED, HALF], gtc=True, outputs=outputs)
    orders.replace(order, D(110), 9)
    assert outputs[-1] == ReplaceOrder(9, "a", D(110), D(1))
    assert (order.state, orders.reserved) == (S.PENDING_REPLACE, D(66))
    orders.apply(OrderReplaced(9, "a", D(110), D(1)), order)
    assert (order.state, order.intent.limit, orders.reserved) == (S.PARTIAL, D(110), D(66))
    orders.replace(order, D(90), 9)
    assert orders.reserved == D(66)
    orders.apply(OrderReplaced(9, "a", D(90), D(1)), order)
    assert (order.intent.worst_price, orders.reserved) == (D(90), D(54))


def test_rejected_replace_leaves_the_order_unchanged() -> None:
    orders, order = _sent([ACCEPTED], gtc=True)
    orders.replace(order, D(110), 9)
    orders.apply(ChangeRejected(9, "a", "no"), order)
    assert (order.state, order.intent.limit, orders.reserved) == (S.OPEN, D(100), COST)


def test_rejected_cancel_leaves_an_earlier_replace_reserved() -> None:
    orders, order = _sent([ACCEPTED], gtc=True)
    orders.replace(order, D(110), 9)
    orders.cancel(order, "too old", 9)
    orders.apply(ChangeRejected(9, "a", "it cannot be cancelled now"), order)
    assert (order.state, orders.reserved) == (S.PENDING_CANCEL, D(110))


def test_replace_with_lost_answer_reserves_the_higher_limit() -> None:
    orders, order = _sent([ACCEPTED], gtc=True)
    orders.replace(order, D(110), 9)
    orders.apply(RequestUnknown(9, "a", "timeout", "replace"), order)
    assert (order.working, orders.reserved) == (True, D(110))


def test_an_order_that_is_proven_absent_frees_its_money() -> None:
    outputs: list[AnyOutput] = []
    orders, order = _sent([UNKNOWN], outputs=outputs)
    orders.prove_absent(order)
    assert (order.state, orders.reserved, orders.entries_of(0)) == (S.NOT_PLACED, D(0), ())
    assert len(outputs) == 1


@pytest.mark.parametrize("earlier_answer", [ACCEPTED, HALF])
def test_accepted_order_proven_absent_is_cancelled_with_alert(
    earlier_answer: OrderEvent,
) -> None:
    outputs: list[AnyOutput] = []
    orders, order = _sent([earlier_answer], outputs=outputs)
    orders.mark_unknown(order)
    orders.prove_absent(order)
    assert (order.state, orders.reserved) == (S.CANCELED, D(0))
    assert [alert.code for alert in outputs if isinstance(alert, Alert)] == ["vanished"]


def test_order_accepted_after_proven_absent_alerts_and_is_cancelled() -> None:
    outputs: list[AnyOutput] = []
    orders, order = _sent([UNKNOWN], outputs=outputs)
    orders.prove_absent(order)
    orders.apply(ACCEPTED, order)
    alert, cancel = outputs[1:]
    assert isinstance(alert, Alert) and alert.code == "alive"
    assert isinstance(cancel, CancelOrder) and cancel.order_id == "a"
    orders.apply(WHOLE, order)
    assert (order.state, order.filled) == (S.FILLED, D(1))


def test_throttled_exit_stays_submitted_for_resubmission() -> None:
    orders = OrderManager(_discard)
    order = orders.submit(approved(sell()), "a", 7)
    orders.apply(THROTTLED, order)
    assert order.state is S.SUBMITTED and orders.exits_of(0) == (order,)


def test_sell_reserves_no_cash_and_is_an_exit_of_its_lane() -> None:
    orders, entry = _sent()
    exit_order = orders.submit(approved(sell()), "s", 7)
    assert orders.reserved == COST
    assert (orders.exits_of(0), orders.entries_of(0)) == ((exit_order,), (entry,))
    orders.apply(_fill("t5", "1", "s"), exit_order)
    assert (orders.exits_of(0), orders.entries_of(0)) == ((), (entry,))


def test_reservations_of_several_lanes_add_up() -> None:
    orders, _ = _sent([HALF])
    orders.submit(approved(buy(lane=1, quantity=D(3), price=D(7), limit=D(7))), "b", 7)
    assert (orders.reserved_in(0), orders.reserved_in(1), orders.reserved) == (D(60), D(21), D(81))


def test_reserved_money_includes_fees() -> None:
    orders = OrderManager(_discard, D(10))
    order = orders.submit(approved(buy()), "a", 7)
    assert orders.reserved == D("100.1")
    orders.apply(HALF, order)
    assert orders.reserved == D("60.06")


FOUND = VenueOrderStatus("f", "X", Side.BUY, OrderType.LIMIT, TimeInForce.GTC, D(100), D(1), D(0), "open")


def test_adopted_entry_reserves_cash_beside_the_entry_of_the_run() -> None:
    orders, own = _sent()
    found = orders.adopt(FOUND, buy(), 9)
    assert (found.state, found.id, orders.reserved) == (S.UNKNOWN, "f", 2 * COST)
    assert orders.entries() == [own, found] and orders.find("f") is found
    assert orders.entries_of(0) == (own, found) and orders.reserved_in(0) == 2 * COST
    orders.apply(_fill("t7", "1", "f"), found)
    assert (orders.entries_of(0), orders.reserved_in(0), orders.reserved) == ((own,), COST, COST)


def test_adopted_exit_is_still_known_after_the_other_exit_has_ended() -> None:
    orders = OrderManager(_discard)
    own = orders.submit(approved(sell()), "a", 7)
    found = orders.adopt(msgspec.structs.replace(FOUND, side=Side.SELL), sell(), 9)
    assert orders.exits_of(0) == (own, found)
    orders.apply(WHOLE, own)
    assert orders.exits_of(0) == (found,)


def test_finished_orders_beyond_the_limit_drop_the_oldest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("autohedge.execution.orders.REMEMBERED_MAX", 2)
    orders = OrderManager(_discard)
    for name in "abc":
        orders.apply(OrderRejected(1, name, "no"), orders.submit(approved(buy()), name, 7))
    assert [orders.find(name) is not None for name in "abc"] == [False, True, True]

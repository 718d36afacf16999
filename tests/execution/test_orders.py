"""The order manager: what each answer means, and that money stays reserved while it can be spent."""

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
    Accepted,
    Alarm,
    AnyOutput,
    CancelOrder,
    ChangeRefused,
    NotFound,
    OrderAnswer,
    Overfilled,
    Rejected,
    Replaced,
    ReplaceOrder,
    Report,
    SubmitOrder,
    Throttled,
    Unknown,
    VenueOrder,
)
from autohedge.core.orders import FINAL, OrderState, OrderType, Side, TimeInForce
from autohedge.execution.orders import News, Order, OrderManager
from tests.risk.wishes import approved, buy, sell

D = Decimal
S = OrderState
COST = D(100)
ACCEPTED = Accepted(1, "a", "venue-1")
REJECTED = Rejected(1, "a", "no")
UNKNOWN = Unknown(1, "a", "timeout")
THROTTLED = Throttled(1, "a", 9)
NOT_FOUND = NotFound(1, "a", 1)
EXPIRED = Report(1, "a", "expired", 1)
CANCELED = Report(1, "a", "canceled", 1)


def _fill(trade_id: str, quantity: str, order_id: str = "a") -> Report:
    return Report(1, order_id, "fill", 1, trade_id, D(quantity), D(100), D(0))


def _bust(trade_id: str) -> Report:
    return Report(1, "a", "bust", 1, trade_id)


def _ended(report: Report, filled: str) -> Report:
    return msgspec.structs.replace(report, filled=D(filled))


HALF, REST, WHOLE = _fill("t1", "0.4"), _fill("t2", "0.6"), _fill("t3", "1")


def _quiet(output: AnyOutput) -> None:
    """Nobody listens."""


def _sent(
    answers: Sequence[OrderAnswer] = (), *, gtc: bool = False, said: list[AnyOutput] | None = None
) -> tuple[OrderManager, Order]:
    """A buy of one unit at 100 with the id "a", after these answers; `said` gets what is put out."""
    orders = OrderManager(_quiet if said is None else said.append)
    wish = buy(time_in_force=TimeInForce.GTC if gtc else TimeInForce.IOC)
    order = orders.submit(approved(wish), "a", 7)
    for answer in answers:
        orders.apply(answer, order)
    return orders, order


def test_a_command_says_all_that_the_venue_must_know() -> None:
    said: list[AnyOutput] = []
    order = OrderManager(said.append).submit(approved(buy(quantity=D(2), limit=D(99))), "id-1", 7)
    command = SubmitOrder(
        7, "id-1", "X", Side.BUY, OrderType.LIMIT, TimeInForce.IOC, D(99), D(2), "entry", 101.0, 99.0
    )
    assert said == [command] and order.sent == command


def test_a_sell_carries_no_guards() -> None:
    command = OrderManager(_quiet).submit(approved(sell()), "id-1", 7).sent
    assert command is not None and (command.side, command.limit) == (Side.SELL, None)
    assert command.take_profit is command.stop_loss is None


# Answers, the state they lead to, and how much of the one unit can still be spent at 100.
LIVES: list[tuple[list[OrderAnswer], OrderState, str]] = [
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


@pytest.mark.parametrize(("answers", "state", "reserved"), LIVES)
def test_an_order_lives_through_its_answers_with_its_money_reserved(
    answers: list[OrderAnswer], state: OrderState, reserved: str
) -> None:
    orders, order = _sent(answers)
    assert order.state is state
    assert orders.reserved == orders.reserved_in(0) == D(reserved)
    working = state not in FINAL
    assert (orders.entry(0) is order) is working is ("a" in orders.working)
    assert orders.find("a") is order


def test_an_unknown_order_keeps_its_money_reserved_until_there_is_evidence() -> None:
    orders, order = _sent([UNKNOWN, UNKNOWN, NOT_FOUND, UNKNOWN])
    assert (order.state, orders.reserved) == (S.UNKNOWN, COST)
    orders.apply(EXPIRED, order)
    assert (order.state, orders.reserved) == (S.EXPIRED, D(0))


def test_after_a_restart_an_order_is_lost_whatever_was_known_of_it() -> None:
    orders, order = _sent([ACCEPTED, HALF])
    orders.lose(order)
    assert (order.state, orders.reserved) == (S.UNKNOWN, D(60))
    orders.apply(ACCEPTED, order)
    assert (order.state, orders.reserved) == (S.PARTIAL, D(60))


EVIDENCE: list[OrderAnswer] = [
    ACCEPTED, UNKNOWN, HALF, REST, WHOLE, EXPIRED, CANCELED, REJECTED, _bust("t1"), _bust("t3"),
]  # fmt: skip
ALIKE: list[OrderAnswer] = [
    ACCEPTED, UNKNOWN, HALF, REST, WHOLE, REJECTED, _bust("t1"), _ended(EXPIRED, "0.4"), _ended(CANCELED, "0.4"),
]  # fmt: skip
COUNTED: list[OrderAnswer] = [
    *EVIDENCE,
    _ended(EXPIRED, "0.4"),
    _ended(CANCELED, "0.4"),
    _ended(CANCELED, "1"),
]


@budget(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(COUNTED), max_size=8))
def test_reserved_money_always_covers_what_can_still_be_spent(answers: list[OrderAnswer]) -> None:
    orders, order = _sent()
    seen: dict[str, Decimal] = {}
    busted: set[str] = set()
    for answer in answers:
        orders.apply(answer, order)
        if isinstance(answer, Report) and answer.kind == "bust":
            busted.add(answer.trade_id or "")
        elif isinstance(answer, Report) and answer.trade_id and answer.quantity:
            seen[answer.trade_id] = answer.quantity
        assert order.executed == sum(seen.values())
        assert order.filled == sum(quantity for trade, quantity in seen.items() if trade not in busted)
        open_rest = max(1 - order.executed, D(0)) if order.working else D(0)
        assert orders.reserved == open_rest * COST


@st.composite
def _two_orders_of(draw: st.DrawFn, evidence: list[OrderAnswer]) -> tuple[list[OrderAnswer], ...]:
    """The same answers in two orders of arrival; in the second, some come more than once."""
    once = draw(st.lists(st.sampled_from(evidence), max_size=7))
    again = draw(st.lists(st.sampled_from(once), max_size=3)) if once else []
    return once, draw(st.permutations([*once, *again]))


@budget(max_examples=150, deadline=None)
@given(_two_orders_of(EVIDENCE))
def test_what_an_order_came_to_follows_from_the_evidence_in_whatever_order_and_however_often_it_comes(
    told: tuple[list[OrderAnswer], ...],
) -> None:
    first, second = (_sent(answers)[1] for answers in told)
    assert (first.state, first.filled, first.executed) == (second.state, second.filled, second.executed)
    assert (first.trades, first.busted, first.accepted) == (second.trades, second.busted, second.accepted)


@budget(max_examples=150, deadline=None)
@given(_two_orders_of(ALIKE))
def test_ends_that_count_alike_are_evidence_like_any_other(
    told: tuple[list[OrderAnswer], ...],
) -> None:
    first, second = (_sent(answers)[1] for answers in told)
    assert (first.state, first.filled, first.executed) == (second.state, second.filled, second.executed)


@pytest.mark.parametrize(
    "news", [(ACCEPTED, HALF), (ACCEPTED, HALF, REST), (ACCEPTED, HALF, EXPIRED), (HALF, REST)]
)
def test_the_order_in_which_news_arrives_does_not_matter(news: tuple[OrderAnswer, ...]) -> None:
    ends = {(order.state, order.filled) for _, order in map(_sent, permutations(news))}
    assert len(ends) == 1


def test_a_fill_that_comes_twice_counts_once() -> None:
    orders, order = _sent([ACCEPTED])
    assert orders.apply(HALF, order) is News.FILL
    assert orders.apply(HALF, order) is News.NONE
    assert (order.filled, order.state, orders.reserved) == (D("0.4"), S.PARTIAL, D(60))


def test_a_fill_that_comes_twice_counts_once_on_a_finished_order_too() -> None:
    orders, order = _sent([WHOLE])
    assert orders.apply(WHOLE, order) is News.NONE
    assert (order.filled, order.state) == (D(1), S.FILLED)


def test_a_fill_that_is_told_again_with_other_figures_alarms_and_the_first_holds() -> None:
    said: list[AnyOutput] = []
    orders, order = _sent([HALF], said=said)
    assert orders.apply(_fill("t1", "0.5"), order) is News.NONE
    assert order.filled == D("0.4")
    assert [alarm.code for alarm in said if isinstance(alarm, Alarm)] == ["fill_changed"]


def test_a_bust_takes_a_fill_back_once() -> None:
    said: list[AnyOutput] = []
    orders, order = _sent([HALF], said=said)
    assert [orders.apply(_bust("t1"), order) for _ in range(2)] == [News.BUST, News.NONE]
    assert (order.filled, order.executed, order.state) == (D(0), D("0.4"), S.PARTIAL)
    assert [alarm.code for alarm in said if isinstance(alarm, Alarm)] == ["bust"]


def test_a_bust_that_overtakes_its_fill_leaves_nothing_to_book() -> None:
    orders, order = _sent()
    assert [orders.apply(answer, order) for answer in (_bust("t1"), HALF)] == [News.NONE, News.NONE]
    assert (order.filled, order.executed) == (D(0), D("0.4"))


def test_a_late_fill_is_booked_but_wakes_no_finished_order() -> None:
    orders, order = _sent([CANCELED])
    assert orders.apply(HALF, order) is News.FILL
    assert (order.state, order.filled, orders.reserved) == (S.CANCELED, D("0.4"), D(0))
    assert orders.entry(0) is None and not orders.working


def test_a_late_fill_leaves_the_next_order_of_the_lane_alone() -> None:
    orders, first = _sent([CANCELED])
    second = orders.submit(approved(buy()), "b", 7)
    orders.apply(HALF, first)
    assert orders.entry(0) is second
    assert (second.filled, orders.reserved) == (D(0), COST)


def test_an_overfill_reserves_nothing_and_each_excess_is_told() -> None:
    said: list[AnyOutput] = []
    orders, order = _sent([HALF, WHOLE, REST], said=said)
    assert (order.state, order.filled, orders.reserved) == (S.FILLED, D(2), D(0))
    assert said[1:] == [Overfilled("a", D("0.4")), Overfilled("a", D("0.6"))]


@pytest.mark.parametrize(("answers", "expired"), [([EXPIRED], 1), ([HALF, EXPIRED], 0), ([CANCELED], 0)])
def test_only_orders_without_a_fill_count_as_expired(answers: list[OrderAnswer], expired: int) -> None:
    orders, _ = _sent(answers)
    assert orders.expired == expired


@pytest.mark.parametrize(
    "report",
    [
        Report(1, "a", "fill", 1, None, D(1), D(100)),
        Report(1, "a", "fill", 1, "t1", None, D(100)),
        Report(1, "a", "fill", 1, "t1", D(0), D(100)),
        Report(1, "a", "fill", 1, "t1", D(-1), D(100)),
        Report(1, "a", "fill", 1, "t1", D("NaN"), D(100)),
        Report(1, "a", "fill", 1, "t1", D(1), None),
        Report(1, "a", "fill", 1, "t1", D(1), D(0)),
    ],
)
def test_a_fill_without_an_id_or_with_figures_that_are_none_is_corrupt(report: Report) -> None:
    orders, order = _sent()
    with pytest.raises(Corrupt, match="an impossible fill"):
        orders.apply(report, order)
    assert order.filled == 0


def test_a_cancelled_order_works_until_the_venue_says_that_it_is_gone() -> None:
    said: list[AnyOutput] = []
    orders, order = _sent([ACCEPTED, HALF], gtc=True, said=said)
    assert order.cancelable
    orders.cancel(order, "too old", 9)
    assert said[-1] == CancelOrder(9, "a", "too old")
    assert (order.state, order.cancelable, orders.reserved) == (S.PENDING_CANCEL, False, D(60))
    orders.apply(_fill("t9", "0.1"), order)
    assert (order.state, orders.reserved) == (S.PENDING_CANCEL, D(50))
    orders.apply(CANCELED, order)
    assert (order.state, order.filled, orders.reserved) == (S.CANCELED, D("0.5"), D(0))


@pytest.mark.parametrize(
    "answer",
    [
        Unknown(1, "a", "timeout", "cancel"),
        Throttled(1, "a", 9, "cancel"),
        ChangeRefused(1, "a", "too late"),
        NOT_FOUND,
        ACCEPTED,
    ],
)
def test_a_cancel_that_is_not_answered_by_an_end_stays_asked_for_with_the_money_reserved(
    answer: OrderAnswer,
) -> None:
    orders, order = _sent([ACCEPTED], gtc=True)
    orders.cancel(order, "too old", 9)
    orders.apply(answer, order)
    assert (order.state, orders.reserved) == (S.PENDING_CANCEL, COST)


def test_an_order_that_was_asked_back_is_still_asked_back_when_it_turns_up_again() -> None:
    orders, order = _sent([UNKNOWN], gtc=True)
    orders.cancel(order, "too old", 9)
    assert (order.state, order.asked_back) == (S.UNKNOWN, True)
    orders.apply(ACCEPTED, order)
    assert (order.state, order.cancelable) == (S.PENDING_CANCEL, False)


def test_an_immediate_order_is_never_asked_back() -> None:
    _, order = _sent([ACCEPTED])
    assert not order.cancelable


def test_while_a_new_limit_is_asked_for_the_dearer_of_both_is_reserved() -> None:
    said: list[AnyOutput] = []
    orders, order = _sent([ACCEPTED, HALF], gtc=True, said=said)
    orders.replace(order, D(110), 9)
    assert said[-1] == ReplaceOrder(9, "a", D(110), D(1))
    assert (order.state, orders.reserved) == (S.PENDING_REPLACE, D(66))
    orders.apply(Replaced(9, "a", D(110), D(1)), order)
    assert (order.state, order.intent.limit, orders.reserved) == (S.PARTIAL, D(110), D(66))
    orders.replace(order, D(90), 9)
    assert orders.reserved == D(66)
    orders.apply(Replaced(9, "a", D(90), D(1)), order)
    assert (order.intent.worst_price, orders.reserved) == (D(90), D(54))


def test_a_change_that_is_refused_leaves_the_order_as_it_was() -> None:
    orders, order = _sent([ACCEPTED], gtc=True)
    orders.replace(order, D(110), 9)
    orders.apply(ChangeRefused(9, "a", "no"), order)
    assert (order.state, order.intent.limit, orders.reserved) == (S.OPEN, D(100), COST)


def test_a_refused_cancel_says_nothing_of_a_new_limit_that_was_asked_for_before_it() -> None:
    orders, order = _sent([ACCEPTED], gtc=True)
    orders.replace(order, D(110), 9)
    orders.cancel(order, "too old", 9)
    orders.apply(ChangeRefused(9, "a", "it cannot be cancelled now"), order)
    assert (order.state, orders.reserved) == (S.PENDING_CANCEL, D(110))


def test_a_change_whose_answer_is_lost_reserves_the_dearer_of_both() -> None:
    orders, order = _sent([ACCEPTED], gtc=True)
    orders.replace(order, D(110), 9)
    orders.apply(Unknown(9, "a", "timeout", "replace"), order)
    assert (order.working, orders.reserved) == (True, D(110))


def test_an_order_that_is_proven_absent_frees_its_money() -> None:
    said: list[AnyOutput] = []
    orders, order = _sent([UNKNOWN], said=said)
    orders.prove_absent(order)
    assert (order.state, orders.reserved, orders.entry(0)) == (S.NOT_PLACED, D(0), None)
    assert len(said) == 1


@pytest.mark.parametrize("sign_of_life", [ACCEPTED, HALF])
def test_an_order_that_lived_and_is_gone_was_cancelled_and_a_person_is_told(
    sign_of_life: OrderAnswer,
) -> None:
    said: list[AnyOutput] = []
    orders, order = _sent([sign_of_life], said=said)
    orders.lose(order)
    orders.prove_absent(order)
    assert (order.state, orders.reserved) == (S.CANCELED, D(0))
    assert [alarm.code for alarm in said if isinstance(alarm, Alarm)] == ["vanished"]


def test_an_order_that_was_taken_for_absent_and_lives_is_asked_back() -> None:
    said: list[AnyOutput] = []
    orders, order = _sent([UNKNOWN], said=said)
    orders.prove_absent(order)
    orders.apply(ACCEPTED, order)
    alarm, cancel = said[1:]
    assert isinstance(alarm, Alarm) and alarm.code == "alive"
    assert isinstance(cancel, CancelOrder) and cancel.order_id == "a"
    orders.apply(WHOLE, order)
    assert (order.state, order.filled) == (S.FILLED, D(1))


def test_a_throttled_exit_waits_to_be_sent_again() -> None:
    orders = OrderManager(_quiet)
    order = orders.submit(approved(sell()), "a", 7)
    orders.apply(THROTTLED, order)
    assert order.state is S.SUBMITTED and orders.exit(0) is order


def test_a_sell_reserves_no_money_and_has_a_place_of_its_own() -> None:
    orders, entry = _sent()
    leaving = orders.submit(approved(sell()), "s", 7)
    assert orders.reserved == COST
    assert orders.exit(0) is leaving and orders.entry(0) is entry
    orders.apply(_fill("t5", "1", "s"), leaving)
    assert orders.exit(0) is None and orders.entry(0) is entry


def test_reservations_of_several_lanes_add_up() -> None:
    orders, _ = _sent([HALF])
    orders.submit(approved(buy(lane=1, quantity=D(3), price=D(7), limit=D(7))), "b", 7)
    assert (orders.reserved_in(0), orders.reserved_in(1), orders.reserved) == (D(60), D(21), D(81))


def test_reserved_money_includes_fees() -> None:
    orders = OrderManager(_quiet, D(10))
    order = orders.submit(approved(buy()), "a", 7)
    assert orders.reserved == D("100.1")
    orders.apply(HALF, order)
    assert orders.reserved == D("60.06")


FOUND = VenueOrder("f", "X", Side.BUY, OrderType.LIMIT, TimeInForce.GTC, D(100), D(1), D(0), "open")


def test_an_adopted_order_is_reserved_for_and_leaves_the_lane_s_own_entry_in_its_place() -> None:
    orders, own = _sent()
    found = orders.adopt(FOUND, buy(), 9)
    assert (found.state, found.id, orders.reserved) == (S.UNKNOWN, "f", 2 * COST)
    assert orders.entry(0) is own and orders.find("f") is found
    orders.apply(_fill("t7", "1", "f"), found)
    assert (orders.entry(0), orders.reserved) == (own, COST)


def test_of_the_orders_that_ended_the_oldest_is_forgotten_past_a_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("autohedge.execution.orders.REMEMBERED_MAX", 2)
    orders = OrderManager(_quiet)
    for name in "abc":
        orders.apply(Rejected(1, name, "no"), orders.submit(approved(buy()), name, 7))
    assert [orders.find(name) is not None for name in "abc"] == [False, True, True]

"""The request queue: one command per order at a time, and cancels first."""

from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from autohedge.core.events import (
    AnyTradingCommand,
    CancelOrder,
    QueryAccount,
    QueryFills,
    QueryOpenOrders,
    QueryOrder,
    ReplaceOrder,
)
from autohedge.gateway.request_queue import RequestQueue, order_id_of
from tests.gateway.command_factory import order


def _all_out(queue: RequestQueue) -> list[AnyTradingCommand]:
    taken = []
    while (ready := queue.next_ready()) is not None:
        taken.append(ready[0])
    return taken


def _filled(max_in_flight: int, *commands: AnyTradingCommand) -> RequestQueue:
    queue = RequestQueue(max_in_flight)
    for number, command in enumerate(commands):
        queue.add(command, number)
    return queue


def test_cancels_leave_before_questions_and_questions_before_exposure() -> None:
    submit, change = order("a"), ReplaceOrder(0, "b", Decimal(1), Decimal(1))
    questions: list[AnyTradingCommand] = [
        QueryOrder(0, "c"),
        QueryOpenOrders(0),
        QueryFills(0, 0),
        QueryAccount(0),
    ]
    cancel = CancelOrder(0, "d", "")
    queue = _filled(9, submit, change, *questions, cancel)
    assert _all_out(queue) == [cancel, *questions, submit, change]


def test_in_flight_limit_holds_back_further_requests() -> None:
    queue = _filled(2, *(order(name) for name in "abc"))
    first, second = _all_out(queue)
    assert len(queue) == 1
    queue.done(second)
    assert _all_out(queue) == [order("c")]
    queue.done(first)
    assert _all_out(queue) == [] and len(queue) == 0


def test_a_cancel_waits_for_its_submit_but_not_for_another_order() -> None:
    queue = _filled(9, order("a"), CancelOrder(0, "a", ""), CancelOrder(0, "b", ""))
    assert _all_out(queue) == [CancelOrder(0, "b", ""), order("a")]
    queue.done(order("a"))
    assert _all_out(queue) == [CancelOrder(0, "a", "")]


def test_drain_returns_waiting_requests_oldest_first() -> None:
    waiting: list[AnyTradingCommand] = [CancelOrder(0, "a", ""), QueryOrder(0, "b"), QueryOrder(0, "a")]
    queue = _filled(1, order("a"), *waiting)
    assert queue.next_ready() == (QueryOrder(0, "b"), 2)
    assert queue.drain() == [order("a"), waiting[0], waiting[2]]
    queue.add(waiting[0], 7)
    assert queue.next_ready() == (waiting[0], 7)


_orders = st.sampled_from("abc")
_commands = st.one_of(
    st.builds(order, _orders),
    st.builds(lambda name: CancelOrder(0, name, ""), _orders),
    st.builds(lambda name: QueryOrder(0, name), _orders),
    st.just(QueryOpenOrders(0)),
)


@given(st.lists(_commands, max_size=30), st.integers(1, 4), st.data())
def test_queue_sends_all_commands_in_sequence_per_order(
    commands: list[AnyTradingCommand], max_in_flight: int, data: st.DataObject
) -> None:
    queue, waiting = RequestQueue(max_in_flight), [*commands]
    out: list[AnyTradingCommand] = []
    left: list[AnyTradingCommand] = []
    while waiting or out or len(queue):
        more: bool = data.draw(st.booleans())
        if waiting and more:
            queue.add(waiting.pop(0), 0)
        elif out:
            queue.done(out.pop(data.draw(st.integers(0, len(out) - 1))))
        elif waiting:
            queue.add(waiting.pop(0), 0)
        taken = _all_out(queue)
        out, left = [*out, *taken], [*left, *taken]
        busy = [order_id_of(command) for command in out if order_id_of(command)]
        assert len(out) <= max_in_flight and len(busy) == len(set(busy))
    for name in "abc":
        assert _of(name, left) == _of(name, commands)
    assert len(left) == len(commands)


def _of(name: str, commands: list[Any]) -> list[Any]:
    return [command for command in commands if order_id_of(command) == name]

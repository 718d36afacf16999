"""Whose turn it is: one command of an order at a time, and what takes exposure back leaves first."""

from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from autohedge.core.events import (
    CancelOrder,
    Command,
    QueryAccount,
    QueryFills,
    QueryOpen,
    QueryOrder,
    ReplaceOrder,
)
from autohedge.engine.turns import Turns, order_of
from tests.engine.commands import order


def _all_out(turns: Turns) -> list[Command]:
    taken = []
    while (turn := turns.take()) is not None:
        taken.append(turn[0])
    return taken


def _filled(most: int, *commands: Command) -> Turns:
    turns = Turns(most)
    for number, command in enumerate(commands):
        turns.put(command, number)
    return turns


def test_cancels_leave_before_questions_and_questions_before_exposure() -> None:
    submit, change = order("a"), ReplaceOrder(0, "b", Decimal(1), Decimal(1))
    questions: list[Command] = [QueryOrder(0, "c"), QueryOpen(0), QueryFills(0, 0), QueryAccount(0)]
    cancel = CancelOrder(0, "d", "")
    turns = _filled(9, submit, change, *questions, cancel)
    assert _all_out(turns) == [cancel, *questions, submit, change]


def test_at_most_so_many_are_out_together() -> None:
    turns = _filled(2, *(order(name) for name in "abc"))
    first, second = _all_out(turns)
    assert len(turns) == 1
    turns.done(second)
    assert _all_out(turns) == [order("c")]
    turns.done(first)
    assert _all_out(turns) == [] and len(turns) == 0


def test_a_cancel_waits_for_its_submit_but_not_for_another_order() -> None:
    turns = _filled(9, order("a"), CancelOrder(0, "a", ""), CancelOrder(0, "b", ""))
    assert _all_out(turns) == [CancelOrder(0, "b", ""), order("a")]
    turns.done(order("a"))
    assert _all_out(turns) == [CancelOrder(0, "a", "")]


def test_giving_up_returns_all_that_wait_oldest_first() -> None:
    waiting: list[Command] = [CancelOrder(0, "a", ""), QueryOrder(0, "b"), QueryOrder(0, "a")]
    turns = _filled(1, order("a"), *waiting)
    assert turns.take() == (QueryOrder(0, "b"), 2)
    assert turns.clear() == [order("a"), waiting[0], waiting[2]]
    turns.put(waiting[0], 7)
    assert turns.take() == (waiting[0], 7)


_orders = st.sampled_from("abc")
_commands = st.one_of(
    st.builds(order, _orders),
    st.builds(lambda name: CancelOrder(0, name, ""), _orders),
    st.builds(lambda name: QueryOrder(0, name), _orders),
    st.just(QueryOpen(0)),
)


@given(st.lists(_commands, max_size=30), st.integers(1, 4), st.data())
def test_whatever_comes_all_leave_and_each_order_in_its_order(
    commands: list[Command], most: int, data: st.DataObject
) -> None:
    turns, waiting = Turns(most), [*commands]
    out: list[Command] = []
    left: list[Command] = []
    while waiting or out or len(turns):
        more: bool = data.draw(st.booleans())
        if waiting and more:
            turns.put(waiting.pop(0), 0)
        elif out:
            turns.done(out.pop(data.draw(st.integers(0, len(out) - 1))))
        elif waiting:
            turns.put(waiting.pop(0), 0)
        taken = _all_out(turns)
        out, left = [*out, *taken], [*left, *taken]
        busy = [order_of(command) for command in out if order_of(command)]
        assert len(out) <= most and len(busy) == len(set(busy))
    for name in "abc":
        assert _of(name, left) == _of(name, commands)
    assert len(left) == len(commands)


def _of(name: str, commands: list[Any]) -> list[Any]:
    return [command for command in commands if order_of(command) == name]

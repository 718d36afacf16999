"""After a restart nothing is certain: what the engine asks, and what each answer means."""

from decimal import Decimal
from typing import Any

import pytest

from autohedge.app import engine_for
from autohedge.core.events import (
    Accepted,
    Account,
    Active,
    Alarm,
    CancelOrder,
    Halted,
    NotFound,
    Operator,
    OrderList,
    QueryAccount,
    QueryFills,
    QueryOpen,
    QueryOrder,
    Reconciled,
    Reducing,
    Report,
    Restarted,
    Resumed,
    SubmitOrder,
    Timer,
    Trouble,
)
from autohedge.core.orders import OrderState
from autohedge.engine.engine import Engine
from autohedge.market import Rows
from tests.support import begun, quotes_tape, settings

START_NS = 1_700_000_000_000_000_000
SECOND_NS = 1_000_000_000
EAGER = {
    "momentum__evaluate_every_quotes": 1,
    "momentum__lookback": 1,
    "momentum__warmup_count": 0,
    "momentum__min_edge_bps": 0,
    "execution__time_in_force": "gtc",
    "execution__cancel_after_s": 2.5,
}
FLAT = [(START_NS + i * SECOND_NS, 100.0, 100.1) for i in range(40)]
LATER_NS = START_NS + 3 * SECOND_NS


def _engine(**changes: Any) -> tuple[Engine, Rows]:
    tape = quotes_tape(FLAT)
    return begun(engine_for(settings(**EAGER | changes), tape)), tape.rows


def _entered(engine: Engine, rows: Rows) -> SubmitOrder:
    while not engine.log:
        assert engine.pos < len(rows)
        engine.scan(rows, engine.pos, len(rows))
    order = engine.log.pop().event
    assert isinstance(order, SubmitOrder)
    engine.log.clear()
    return order


def _said(engine: Engine) -> list[Any]:
    """What the engine put out since it was last asked, its inputs left out."""
    events = [entry.event for entry in engine.log][1:]
    engine.log.clear()
    return events


def _restart(engine: Engine, pos: int | None = None) -> list[Any]:
    engine.step(Restarted(LATER_NS, engine.pos if pos is None else pos, "fresh"))
    return _said(engine)


def _reconciled(engine: Engine, at_ns: int = LATER_NS) -> list[Any]:
    """The venue has no orders, and holds what the engine thinks that it holds."""
    held = {s: position.quantity for s, position in engine.ledger.positions.items() if position.quantity}
    engine.step(OrderList(at_ns, at_ns, ()))
    engine.step(Account(at_ns, at_ns, engine.ledger.cash, held))
    engine.log.popleft()
    return _said(engine)


def _proven_absent(engine: Engine, order: SubmitOrder) -> None:
    """All that it takes: two denials, the second beyond the venue's visibility lag, and a list without it."""
    for asked_ns in (LATER_NS, LATER_NS + 6 * SECOND_NS):
        engine.step(NotFound(asked_ns, order.order_id, asked_ns))
    assert [entry.event for entry in engine.log][-1] == QueryOpen(engine.now_ns)
    engine.step(OrderList(engine.now_ns, engine.now_ns, ()))
    engine.log.clear()


def _report(order: SubmitOrder, kind: Any, quantity: str = "", trade_id: str | None = None) -> Report:
    if kind != "fill":
        return Report(LATER_NS, order.order_id, kind, LATER_NS)
    fee = Decimal("0.1")
    return Report(
        LATER_NS, order.order_id, kind, START_NS, trade_id, Decimal(quantity), Decimal("100.1"), fee
    )


def _asked(since_ns: int = 0) -> list[Any]:
    """How every restart begins: no entries until orders, fills and account are in."""
    questions = [QueryOpen(LATER_NS), QueryFills(LATER_NS, since_ns), QueryAccount(LATER_NS)]
    return [Reducing(("reconciling",)), *questions]


def test_everything_is_asked_for_and_entries_wait_for_the_answers() -> None:
    engine, rows = _engine()
    assert _restart(engine) == _asked()
    assert engine.result()["restarts"] == 1
    engine.scan(rows, engine.pos, len(rows))
    assert not engine.log
    assert _reconciled(engine) == [Reconciled(engine.now_ns, 0), Active()]
    assert engine.codes()["reducing"] > 0


def test_an_order_without_an_end_is_unknown_keeps_its_money_and_is_asked_for() -> None:
    engine, rows = _engine()
    order = _entered(engine, rows)
    reserved = engine.orders.reserved
    assert reserved > 0
    assert _restart(engine) == [*_asked(), QueryOrder(LATER_NS, order.order_id)]
    assert engine.orders.working[order.order_id].state is OrderState.UNKNOWN
    _reconciled(engine)
    assert engine.orders.working[order.order_id].state is OrderState.UNKNOWN
    assert engine.orders.reserved == reserved
    engine.scan(rows, engine.pos, len(rows))
    assert not engine.log
    assert engine.codes()["order_pending"] > 0


def test_an_order_that_the_venue_never_had_frees_its_money_and_its_lane() -> None:
    engine, rows = _engine()
    order = _entered(engine, rows)
    _restart(engine)
    _reconciled(engine)
    _proven_absent(engine, order)
    assert not engine.orders.working
    assert engine.orders.reserved == 0
    assert _entered(engine, rows).side == "buy"


def test_fills_that_were_missed_are_booked_and_those_known_are_not_booked_again() -> None:
    engine, rows = _engine()
    order = _entered(engine, rows)
    engine.step(Accepted(START_NS, order.order_id, "v"))
    engine.step(_report(order, "fill", "0.4", "t1"))
    engine.log.clear()
    assert _restart(engine)[:4] == _asked(START_NS - 10 * SECOND_NS)
    for answer in (
        _report(order, "fill", "0.4", "t1"),
        _report(order, "fill", "0.1", "t2"),
        Accepted(LATER_NS, order.order_id, "v"),
        _report(order, "fill", "0.4", "t1"),
        _report(order, "fill", "0.1", "t2"),
    ):
        engine.step(answer)
    assert engine.ledger.position("X").quantity == Decimal("0.5")
    assert engine.orders.working[order.order_id].state is OrderState.PARTIAL


@pytest.mark.parametrize("kind", ["expired", "canceled"])
def test_an_end_may_be_told_twice(kind: str) -> None:
    engine, rows = _engine()
    order = _entered(engine, rows)
    _restart(engine)
    for _ in range(2):
        engine.step(_report(order, kind))
    assert not engine.orders.working
    assert engine.orders.expired == (kind == "expired")


def test_a_cancel_that_may_not_have_left_is_sent_again() -> None:
    engine, rows = _engine()
    order = _entered(engine, rows)
    engine.step(Accepted(START_NS, order.order_id, "v"))
    engine.step(Timer(engine.next_deadline_ns))
    assert engine.orders.working[order.order_id].state is OrderState.PENDING_CANCEL
    engine.log.clear()
    asked = _restart(engine)
    assert [type(event) for event in asked[4:]] == [CancelOrder, QueryOrder]
    engine.step(_report(order, "canceled"))
    assert not engine.orders.working


def test_a_venue_that_forgot_an_order_it_filled_is_reported_and_the_fill_stays() -> None:
    engine, rows = _engine()
    order = _entered(engine, rows)
    engine.step(_report(order, "fill", "0.4", "t1"))
    _restart(engine)
    for asked_ns in (LATER_NS, LATER_NS + 6 * SECOND_NS):
        engine.step(NotFound(asked_ns, order.order_id, asked_ns))
    engine.log.clear()
    engine.step(OrderList(engine.now_ns, engine.now_ns, ()))
    alarm = _said(engine)[0]
    assert isinstance(alarm, Alarm) and (alarm.code, alarm.subject) == ("vanished", order.order_id)
    assert not engine.orders.working
    assert engine.ledger.position("X").quantity == Decimal("0.4")


def test_ids_after_a_restart_are_new_even_at_the_same_place() -> None:
    ids = set()
    for nonce in ("a", "b"):
        engine, rows = _engine()
        engine.step(Restarted(START_NS, 0, nonce))
        _reconciled(engine, START_NS)
        ids.add(_entered(engine, rows).order_id)
    assert len(ids) == 2


def test_rows_that_came_while_the_run_was_dead_are_missed() -> None:
    engine, rows = _engine()
    engine.scan(rows, 0, 1)
    _restart(engine, pos=5)
    assert engine.pos == 5
    engine.scan(rows, engine.pos, len(rows))
    assert sum(engine.codes().values()) + 4 <= len(rows)
    assert engine.first_ns == START_NS


@pytest.mark.parametrize(
    "late",
    [
        Timer(START_NS),
        Operator(START_NS, "resume", "back"),
        Trouble(START_NS, "full"),
        Restarted(START_NS, 0, "fresh"),
    ],
)
def test_a_clock_that_steps_back_moves_nothing_back(late: Any) -> None:
    engine, rows = _engine()
    engine.scan(rows, 0, 1)
    engine.step(Operator(LATER_NS, "halt", "lunch"))
    pos = engine.pos
    engine.step(late)
    assert engine.now_ns == LATER_NS
    assert engine.pos == pos


def test_a_halt_that_nobody_ordered_is_lifted_by_its_id_alone() -> None:
    engine, _ = _engine()
    engine.step(Trouble(START_NS, "disk full"))
    halted = engine.log[-1].event
    assert isinstance(halted, Halted) and halted.halt_id
    engine.step(Operator(START_NS, "halt", "me too"))
    for wrong in (None, "halt-0"):
        engine.log.clear()
        engine.step(Operator(START_NS, "resume", "try", wrong))
        assert _said(engine) == [] and engine.halted
    engine.log.clear()
    engine.step(Operator(START_NS, "resume", "made room", halted.halt_id))
    assert _said(engine) == [Resumed("made room")]
    assert not engine.halted


def test_a_halt_asks_resting_entries_back() -> None:
    engine, rows = _engine()
    order = _entered(engine, rows)
    engine.step(Accepted(START_NS, order.order_id, "v"))
    engine.log.clear()
    engine.step(Operator(engine.now_ns, "halt", "lunch"))
    assert [type(event) for event in _said(engine)] == [Halted, CancelOrder]


def test_flatten_sells_what_is_held_and_what_an_entry_in_flight_still_brings() -> None:
    engine, rows = _engine(execution__time_in_force="ioc")
    order = _entered(engine, rows)
    engine.step(Operator(engine.now_ns, "flatten", "storm"))
    assert _said(engine) == [Halted("storm")]
    engine.step(_report(order, "fill", str(order.quantity), "t1"))
    engine.log.clear()
    sell = _entered(engine, rows)
    assert (sell.side, sell.reason, sell.quantity) == ("sell", "flatten", order.quantity)
    engine.step(_report(sell, "fill", str(sell.quantity), "t2"))
    assert engine.ledger.position("X").quantity == 0
    engine.step(Operator(engine.now_ns, "resume", "calm"))
    engine.log.clear()
    again = _entered(engine, rows)
    engine.step(_report(again, "fill", str(again.quantity), "t3"))
    engine.log.clear()
    engine.scan(rows, engine.pos, len(rows))
    assert not engine.log


def test_an_order_asked_back_before_the_crash_is_still_asked_back_when_the_venue_has_it() -> None:
    engine, rows = _engine()
    order = _entered(engine, rows)
    engine.step(Timer(engine.next_deadline_ns))
    _restart(engine)
    engine.step(Accepted(LATER_NS, order.order_id, "v"))
    assert engine.orders.working[order.order_id].state is OrderState.PENDING_CANCEL
    engine.step(_report(order, "fill", "0.1", "t1"))
    assert engine.orders.working[order.order_id].state is OrderState.PENDING_CANCEL


def test_two_restarts_in_a_row_may_each_be_told_that_an_order_never_was() -> None:
    engine, rows = _engine()
    order = _entered(engine, rows)
    _restart(engine)
    _proven_absent(engine, order)
    assert order.order_id not in engine.orders.working
    engine.step(NotFound(engine.now_ns, order.order_id, LATER_NS))
    assert len(engine.log) == 1
    _restart(engine)
    assert order.order_id not in engine.orders.working

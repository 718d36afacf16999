"""The back office at work in an engine: exits that must get out, doubts that must end, finds at the venue."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from autohedge.app import engine_for
from autohedge.core.events import (
    Accepted,
    Account,
    Active,
    AnyInput,
    Event,
    Halted,
    Input,
    Link,
    NotFound,
    Operator,
    OrderList,
    QueryOrder,
    Reducing,
    Rejected,
    Report,
    Restarted,
    RunNonce,
    SubmitOrder,
    Throttled,
    Timer,
    VenueOrder,
)
from autohedge.core.ids import derive
from autohedge.core.orders import OrderState, OrderType, Side, TimeInForce
from autohedge.engine.engine import Engine
from autohedge.market import Rows
from tests.support import begun, play, quotes_tape, settings

D = Decimal
SECOND_NS = 1_000_000_000
START_NS = 1_700_000_000 * SECOND_NS
BAN_NS = 30 * SECOND_NS
EAGER: dict[str, Any] = {
    "momentum__evaluate_every_quotes": 1,
    "momentum__lookback": 1,
    "momentum__warmup_count": 0,
    "momentum__min_edge_bps": 0,
}
FLAT = [(START_NS + i * SECOND_NS, 100.0, 100.1) for i in range(400)]


def _engine(**changes: Any) -> tuple[Engine, Rows]:
    tape = quotes_tape(FLAT)
    return begun(engine_for(settings(**EAGER | changes), tape)), tape.rows


def _said(engine: Engine) -> list[Event]:
    """What the engine put out since it was last asked."""
    events: list[Event] = [entry.event for entry in engine.log if not isinstance(entry.event, Input)]
    engine.log.clear()
    return events


def _submitted(engine: Engine) -> SubmitOrder:
    """The only order among what the engine just said."""
    (order,) = (event for event in _said(engine) if isinstance(event, SubmitOrder))
    return order


def _filled(order: SubmitOrder, at_ns: int, price: str = "100") -> Report:
    trade = f"fill of {order.order_id}"
    return Report(at_ns, order.order_id, "fill", at_ns, trade, order.quantity, D(price), D(0))


def _leaving(**changes: Any) -> tuple[Engine, Rows, SubmitOrder]:
    """An engine that has just sent an exit."""
    engine, rows = _engine(**changes)
    while not engine.log:
        engine.scan(rows, engine.pos, len(rows))
    engine.step(_filled(_submitted(engine), engine.now_ns))
    engine.step(Operator(engine.now_ns, "flatten", "storm"))
    return engine, rows, _submitted(engine)


def _found(order_id: str, status: Any = "open", filled: str = "0") -> OrderList:
    order = VenueOrder(
        order_id, "X", Side.BUY, OrderType.LIMIT, TimeInForce.GTC, D(99), D(1), D(filled), status
    )
    return OrderList(START_NS + BAN_NS, START_NS + BAN_NS, (order,))


def test_a_throttled_exit_is_sent_again_under_its_id_at_the_time_given_and_never_twice() -> None:
    engine, _, order = _leaving()
    until_ns = engine.now_ns + BAN_NS
    engine.step(Throttled(engine.now_ns, order.order_id, until_ns))
    assert [type(event) for event in _said(engine)] == [Reducing]
    sent = []
    while engine.next_deadline_ns <= until_ns + 4 * SECOND_NS:
        engine.step(Timer(engine.next_deadline_ns))
        sent += [(engine.now_ns, event) for event in _said(engine) if isinstance(event, SubmitOrder)]
    assert sent == [(until_ns, order)]


def test_a_timer_that_comes_late_still_sends_a_throttled_exit_again() -> None:
    engine, _, order = _leaving()
    engine.step(Throttled(engine.now_ns, order.order_id, engine.now_ns + BAN_NS))
    engine.step(Timer(engine.now_ns + 2 * BAN_NS))
    assert order in _said(engine)


def test_an_order_that_was_sent_again_gets_the_venue_s_whole_time_to_see_it() -> None:
    engine, _, order = _leaving()
    engine.step(Throttled(engine.now_ns, order.order_id, engine.now_ns + BAN_NS))
    engine.step(Timer(engine.now_ns + BAN_NS))
    again_ns = engine.now_ns
    engine.step(Link(again_ns, "down"))
    engine.step(Link(again_ns, "up"))
    for asked_ns in (again_ns, again_ns + SECOND_NS):
        engine.step(NotFound(asked_ns, order.order_id, asked_ns))
    engine.step(OrderList(engine.now_ns, engine.now_ns, ()))
    assert engine.orders.working[order.order_id].state is OrderState.UNKNOWN


def test_a_refusal_that_is_told_again_does_not_put_the_next_exit_off_further() -> None:
    engine, _, order = _leaving()
    for _ in range(6):
        engine.step(Rejected(engine.now_ns, order.order_id, "no"))
    assert engine.agenda.due_ns(("exit", 0)) == engine.now_ns + SECOND_NS // 2


def test_an_intent_that_the_record_lost_is_adopted_and_asked_for_until_its_fills_are_told() -> None:
    engine, rows = _engine()
    engine.scan(rows, 0, 1)
    beyond = derive("n", engine.seq + 3)
    engine.step(Restarted(START_NS + BAN_NS, engine.pos, "m"))
    engine.step(_found(beyond, "filled", "1"))
    _said(engine)
    assert engine.orders.working[beyond].state is OrderState.UNKNOWN
    engine.step(Timer(engine.now_ns + SECOND_NS // 2))
    assert QueryOrder(engine.now_ns, beyond) in _said(engine)


def test_a_feed_that_falls_silent_twice_reduces_twice() -> None:
    gaps = [0, 1, 2, 400, 401, 900, 901]
    tape = quotes_tape([(START_NS + gap * SECOND_NS, 100.0, 100.1) for gap in gaps])
    played = play(settings(**EAGER, risk__silent_feed_s=300.0), tape)
    silent = [entry.pos for entry in played.record if entry.event == Reducing(("silent",))]
    heard = [entry.pos for entry in played.record if isinstance(entry.event, Active)]
    assert (silent, heard) == ([3, 5], [0, 4, 6])


def test_a_venue_whose_answers_take_longer_than_the_questions_are_repeated_is_heard_all_the_same() -> None:
    engine = engine_for(settings(**EAGER), quotes_tape(FLAT))
    engine.step(RunNonce("n"))
    for _ in range(2):
        engine.step(Timer(engine.next_deadline_ns))
    late_ns = engine.now_ns
    engine.step(OrderList(late_ns, 0, ()))
    engine.step(Account(late_ns, 0, engine.ledger.cash, {}))
    assert engine.state.name == "active"


@pytest.mark.parametrize("first", ["accepted", "fill", "listed"])
def test_an_order_of_someone_else_halts_once_however_it_is_heard_of(first: str) -> None:
    engine, rows = _engine()
    engine.scan(rows, 0, 1)
    now_ns = engine.now_ns
    told: dict[str, AnyInput] = {
        "accepted": Accepted(now_ns, "theirs", "v"),
        "fill": Report(now_ns, "theirs", "fill", now_ns, "t9", D(1), D(99), D(0)),
        "listed": _found("theirs"),
    }
    engine.step(told[first])
    for _ in range(3):
        engine.step(_found("theirs"))
    assert sum(isinstance(event, Halted) for event in _said(engine)) == 1


def test_an_order_that_shows_itself_after_all_must_be_denied_anew() -> None:
    engine, rows = _engine(execution__time_in_force="gtc")
    while not engine.log:
        engine.scan(rows, engine.pos, len(rows))
    order, sent_ns = _submitted(engine), engine.now_ns
    engine.step(Accepted(sent_ns, order.order_id, "v"))
    engine.step(Operator(sent_ns, "halt", "lunch"))
    for asked_ns in (sent_ns + SECOND_NS, sent_ns + 7 * SECOND_NS):
        engine.step(NotFound(asked_ns, order.order_id, asked_ns))
    listed_ns = engine.now_ns
    engine.step(Accepted(listed_ns + SECOND_NS, order.order_id, "v"))
    engine.step(OrderList(listed_ns + SECOND_NS, listed_ns, ()))
    assert engine.orders.working[order.order_id].state is OrderState.PENDING_CANCEL


def _pass(engine: Engine, at_ns: int, cash: Decimal, positions: dict[str, Decimal]) -> None:
    """One reconciliation pass, which a reconnection begins."""
    engine.step(Link(at_ns, "up"))
    engine.step(OrderList(at_ns, at_ns, ()))
    engine.step(Account(at_ns, at_ns, cash, positions))


def test_a_position_from_outside_that_is_adopted_is_guarded_by_the_exits() -> None:
    engine, rows = _engine(reconciliation__external="adopt")
    engine.scan(rows, 0, 1)
    for pause in (1, 7):
        _pass(engine, engine.now_ns + pause * SECOND_NS, engine.ledger.cash, {"X": D(1)})
    assert engine.ledger.position("X").quantity == 1
    assert engine._stop_loss[0] > 0


def test_money_that_is_taken_out_is_no_loss_of_the_day() -> None:
    engine, rows = _engine(reconciliation__external="adopt")
    engine.scan(rows, 0, 1)
    for pause in (1, 7):
        _pass(engine, engine.now_ns + pause * SECOND_NS, D(4000), {})
    assert engine.ledger.cash == 4000
    while engine.pos < len(rows):
        engine.scan(rows, engine.pos, len(rows))
    assert engine.codes()["daily_loss"] == 0


def test_a_short_position_is_a_debt_in_the_equity_that_limits_are_measured_by() -> None:
    engine, _, order = _leaving()
    for trade in ("t2", "t3"):
        engine.step(msgspec.structs.replace(_filled(order, engine.now_ns), trade_id=trade))
    assert engine.ledger.position("X").quantity == -order.quantity
    assert engine.dealer.equity() == D(engine.result()["equity"])

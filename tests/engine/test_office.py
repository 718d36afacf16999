"""The back office at work in an engine: exits that must get out, doubts that must end, finds at the venue."""

from decimal import Decimal
from typing import Any

from autohedge.app import engine_for
from autohedge.core.events import (
    Active,
    Event,
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
    played = play(settings(**EAGER, reconciliation__every_s=86_400), tape)
    silent = [entry.pos for entry in played.record if entry.event == Reducing(("silent",))]
    heard = [entry.pos for entry in played.record if isinstance(entry.event, Active)]
    assert (silent, heard) == ([3, 5], [0, 4, 6])

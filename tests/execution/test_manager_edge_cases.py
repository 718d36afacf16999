"""Edge cases of the execution manager: throttled exits, unknown orders, external orders."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from autohedge.app import engine_for
from autohedge.core.events import (
    AccountState,
    AnyInput,
    ConnectionStatus,
    Event,
    ExecutionReport,
    Input,
    OperatorCommand,
    OrderAccepted,
    OrderMassStatus,
    OrderNotFound,
    OrderRejected,
    QueryOpenOrders,
    QueryOrder,
    RequestThrottled,
    Restarted,
    RunStarted,
    SubmitOrder,
    Timer,
    TradingStateChanged,
    VenueOrderStatus,
)
from autohedge.core.ids import client_order_id
from autohedge.core.orders import OrderState, OrderType, Side, TimeInForce
from autohedge.core.units import NS_PER_S
from autohedge.engine.engine import Engine
from autohedge.market import Rows
from tests.run_harness import begun, play, quotes_tape, settings

D = Decimal
START_NS = 1_700_000_000 * NS_PER_S
BAN_NS = 30 * NS_PER_S
EAGER: dict[str, Any] = {
    "momentum__evaluate_every_quotes": 1,
    "momentum__lookback": 1,
    "momentum__warmup_count": 0,
    "momentum__min_edge_bps": 0,
}
FLAT = [(START_NS + i * NS_PER_S, 100.0, 100.1) for i in range(400)]


def _engine(**changes: Any) -> tuple[Engine, Rows]:
    tape = quotes_tape(FLAT)
    return begun(engine_for(settings(**EAGER | changes), tape)), tape.rows


def _drain_outputs(engine: Engine) -> list[Event]:
    """The outputs since the last call."""
    events: list[Event] = [entry.event for entry in engine.log if not isinstance(entry.event, Input)]
    engine.log.clear()
    return events


def _submitted(engine: Engine) -> SubmitOrder:
    """The only order among the new outputs."""
    (order,) = (event for event in _drain_outputs(engine) if isinstance(event, SubmitOrder))
    return order


def _filled(order: SubmitOrder, at_ns: int, price: str = "100") -> ExecutionReport:
    trade = f"fill of {order.order_id}"
    return ExecutionReport(at_ns, order.order_id, "fill", at_ns, trade, order.quantity, D(price), D(0))


def _exiting_engine(**changes: Any) -> tuple[Engine, Rows, SubmitOrder]:
    """An engine that has just sent an exit."""
    engine, rows = _engine(**changes)
    while not engine.log:
        engine.scan(rows, engine.pos, len(rows))
    engine.step(_filled(_submitted(engine), engine.now_ns))
    engine.step(OperatorCommand(engine.now_ns, "flatten", "storm"))
    return engine, rows, _submitted(engine)


def _found(order_id: str, status: Any = "open", filled: str = "0") -> OrderMassStatus:
    order = VenueOrderStatus(
        order_id, "X", Side.BUY, OrderType.LIMIT, TimeInForce.GTC, D(99), D(1), D(filled), status
    )
    return OrderMassStatus(START_NS + BAN_NS, START_NS + BAN_NS, (order,))


def test_throttled_exit_is_resubmitted_once_at_the_given_time() -> None:
    engine, _, order = _exiting_engine()
    until_ns = engine.now_ns + BAN_NS
    engine.step(RequestThrottled(engine.now_ns, order.order_id, until_ns))
    assert [type(event) for event in _drain_outputs(engine)] == [TradingStateChanged]
    sent = []
    while engine.next_deadline_ns <= until_ns + 4 * NS_PER_S:
        engine.step(Timer(engine.next_deadline_ns))
        sent += [(engine.now_ns, event) for event in _drain_outputs(engine) if isinstance(event, SubmitOrder)]
    assert sent == [(until_ns, order)]


def test_short_throttle_does_not_end_a_long_ban() -> None:
    engine, _, order = _exiting_engine()
    now_ns = engine.now_ns
    engine.step(RequestThrottled(now_ns, order.order_id, now_ns + BAN_NS))
    engine.step(RequestThrottled(now_ns, order.order_id, now_ns + NS_PER_S, "query"))
    engine.step(ConnectionStatus(now_ns + 2 * NS_PER_S, "up"))
    assert not [e for e in _drain_outputs(engine) if isinstance(e, QueryOrder | QueryOpenOrders)]
    assert engine.execution.tracker.hold_until_ns == now_ns + BAN_NS


def test_late_timer_still_resubmits_throttled_exit() -> None:
    engine, _, order = _exiting_engine()
    engine.step(RequestThrottled(engine.now_ns, order.order_id, engine.now_ns + BAN_NS))
    engine.step(Timer(engine.now_ns + 2 * BAN_NS))
    assert order in _drain_outputs(engine)


def test_resubmitted_order_gets_full_visibility_lag_before_absence() -> None:
    engine, _, order = _exiting_engine()
    engine.step(RequestThrottled(engine.now_ns, order.order_id, engine.now_ns + BAN_NS))
    engine.step(Timer(engine.now_ns + BAN_NS))
    resubmitted_ns = engine.now_ns
    engine.step(ConnectionStatus(resubmitted_ns, "down"))
    engine.step(ConnectionStatus(resubmitted_ns, "up"))
    for query_ns in (resubmitted_ns, resubmitted_ns + NS_PER_S):
        engine.step(OrderNotFound(query_ns, order.order_id, query_ns))
    engine.step(OrderMassStatus(engine.now_ns, engine.now_ns, ()))
    assert engine.orders.working[order.order_id].state is OrderState.UNKNOWN


def test_repeated_rejection_does_not_extend_the_exit_delay() -> None:
    engine, _, order = _exiting_engine()
    for _ in range(6):
        engine.step(OrderRejected(engine.now_ns, order.order_id, "no"))
    assert engine.timers.deadline_ns(("exit", 0)) == engine.now_ns + NS_PER_S // 2


def test_lost_intent_listed_as_filled_is_adopted_and_queried() -> None:
    engine, rows = _engine()
    engine.scan(rows, 0, 1)
    lost_id = client_order_id("n", engine.seq + 3)
    engine.step(Restarted(START_NS + BAN_NS, engine.pos, "m"))
    engine.step(_found(lost_id, "filled", "1"))
    _drain_outputs(engine)
    assert engine.orders.working[lost_id].state is OrderState.UNKNOWN
    engine.step(Timer(engine.now_ns + NS_PER_S // 2))
    assert QueryOrder(engine.now_ns, lost_id) in _drain_outputs(engine)


def test_feed_gap_twice_reduces_twice() -> None:
    gaps = [0, 1, 2, 400, 401, 900, 901]
    tape = quotes_tape([(START_NS + gap * NS_PER_S, 100.0, 100.1) for gap in gaps])
    played = play(settings(**EAGER, risk__silent_feed_s=300.0), tape)
    reduced_at = [
        entry.pos for entry in played.record if entry.event == TradingStateChanged("reducing", ("silent",))
    ]
    active_at = [entry.pos for entry in played.record if entry.event == TradingStateChanged("active")]
    assert (reduced_at, active_at) == ([3, 5], [0, 4, 6])


def test_late_reconciliation_answers_still_activate_the_engine() -> None:
    engine = engine_for(settings(**EAGER), quotes_tape(FLAT))
    engine.step(RunStarted("n"))
    for _ in range(2):
        engine.step(Timer(engine.next_deadline_ns))
    late_ns = engine.now_ns
    engine.step(OrderMassStatus(late_ns, 0, ()))
    engine.step(AccountState(late_ns, 0, engine.ledger.cash, {}))
    assert engine.state.name == "active"


@pytest.mark.parametrize("first", ["accepted", "fill", "listed"])
def test_external_order_halts_once_whichever_event_reports_it_first(first: str) -> None:
    engine, rows = _engine()
    engine.scan(rows, 0, 1)
    now_ns = engine.now_ns
    inputs: dict[str, AnyInput] = {
        "accepted": OrderAccepted(now_ns, "theirs", "v"),
        "fill": ExecutionReport(now_ns, "theirs", "fill", now_ns, "t9", D(1), D(99), D(0)),
        "listed": _found("theirs"),
    }
    engine.step(inputs[first])
    for _ in range(3):
        engine.step(_found("theirs"))
    assert (
        sum(isinstance(event, TradingStateChanged) and event.is_halt for event in _drain_outputs(engine)) == 1
    )


def test_order_seen_after_not_found_resets_absence_evidence() -> None:
    engine, rows = _engine(execution__time_in_force="gtc")
    while not engine.log:
        engine.scan(rows, engine.pos, len(rows))
    order, sent_ns = _submitted(engine), engine.now_ns
    engine.step(OrderAccepted(sent_ns, order.order_id, "v"))
    engine.step(OperatorCommand(sent_ns, "halt", "lunch"))
    for query_ns in (sent_ns + NS_PER_S, sent_ns + 7 * NS_PER_S):
        engine.step(OrderNotFound(query_ns, order.order_id, query_ns))
    listed_ns = engine.now_ns
    engine.step(OrderAccepted(listed_ns + NS_PER_S, order.order_id, "v"))
    engine.step(OrderMassStatus(listed_ns + NS_PER_S, listed_ns, ()))
    assert engine.orders.working[order.order_id].state is OrderState.PENDING_CANCEL


def _reconcile(engine: Engine, at_ns: int, cash: Decimal, positions: dict[str, Decimal]) -> None:
    """Runs one reconciliation pass, started by a reconnection."""
    engine.step(ConnectionStatus(at_ns, "up"))
    engine.step(OrderMassStatus(at_ns, at_ns, ()))
    engine.step(AccountState(at_ns, at_ns, cash, positions))


def test_adopted_external_position_gets_exit_levels() -> None:
    engine, rows = _engine(reconciliation__external="adopt")
    engine.scan(rows, 0, 1)
    for pause in (1, 7):
        _reconcile(engine, engine.now_ns + pause * NS_PER_S, engine.ledger.cash, {"X": D(1)})
    assert engine.ledger.position("X").quantity == 1
    assert engine.kernel_states["stop_loss"][0] > 0


def test_cash_withdrawal_is_not_a_daily_loss() -> None:
    engine, rows = _engine(reconciliation__external="adopt")
    engine.scan(rows, 0, 1)
    for pause in (1, 7):
        _reconcile(engine, engine.now_ns + pause * NS_PER_S, D(4000), {})
    assert engine.ledger.cash == 4000
    while engine.pos < len(rows):
        engine.scan(rows, engine.pos, len(rows))
    assert engine.codes()["daily_loss"] == 0


def test_equity_for_limits_with_short_position_matches_result() -> None:
    engine, _, order = _exiting_engine()
    for trade in ("t2", "t3"):
        engine.step(msgspec.structs.replace(_filled(order, engine.now_ns), trade_id=trade))
    assert engine.ledger.position("X").quantity == -order.quantity
    assert engine.portfolio.equity() == engine.result().equity

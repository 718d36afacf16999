"""Restarts: which queries the engine sends, and the effect of each answer."""

from decimal import Decimal
from typing import Any

import pytest

from autohedge.app import engine_for
from autohedge.core.events import (
    AccountState,
    Alert,
    CancelOrder,
    ExecutionReport,
    OperatorCommand,
    OrderAccepted,
    OrderMassStatus,
    OrderNotFound,
    QueryAccount,
    QueryFills,
    QueryOpenOrders,
    QueryOrder,
    Reconciled,
    Restarted,
    SubmitOrder,
    SystemFault,
    Timer,
    TradingStateChanged,
)
from autohedge.core.orders import OrderState
from autohedge.core.units import NS_PER_S
from autohedge.engine.engine import Engine
from autohedge.market import Rows
from tests.run_harness import begun, quotes_tape, settings

START_NS = 1_700_000_000_000_000_000
EAGER = {
    "momentum__evaluate_every_quotes": 1,
    "momentum__lookback": 1,
    "momentum__warmup_count": 0,
    "momentum__min_edge_bps": 0,
    "execution__time_in_force": "gtc",
    "execution__cancel_after_s": 2.5,
}
FLAT = [(START_NS + i * NS_PER_S, 100.0, 100.1) for i in range(40)]
LATER_NS = START_NS + 3 * NS_PER_S


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


def _drain_outputs(engine: Engine) -> list[Any]:
    """The outputs since the last call; the first entry, the input, is left out."""
    events = [entry.event for entry in engine.log][1:]
    engine.log.clear()
    return events


def _restart(engine: Engine, pos: int | None = None) -> list[Any]:
    engine.step(Restarted(LATER_NS, engine.pos if pos is None else pos, "fresh"))
    return _drain_outputs(engine)


def _reconciled(engine: Engine, at_ns: int = LATER_NS) -> list[Any]:
    """Completes a pass: the venue has no orders and the same account as the ledger."""
    held = {s: position.quantity for s, position in engine.ledger.positions.items() if position.quantity}
    engine.step(OrderMassStatus(at_ns, at_ns, ()))
    engine.step(AccountState(at_ns, at_ns, engine.ledger.cash, held))
    engine.log.popleft()
    return _drain_outputs(engine)


def _proven_absent(engine: Engine, order: SubmitOrder) -> None:
    """Proves absence: "not found" twice, the second after the visibility lag, then a list without it."""
    for query_ns in (LATER_NS, LATER_NS + 6 * NS_PER_S):
        engine.step(OrderNotFound(query_ns, order.order_id, query_ns))
    assert [entry.event for entry in engine.log][-1] == QueryOpenOrders(engine.now_ns)
    engine.step(OrderMassStatus(engine.now_ns, engine.now_ns, ()))
    engine.log.clear()


def _report(
    order: SubmitOrder, kind: Any, quantity: str = "", trade_id: str | None = None
) -> ExecutionReport:
    if kind != "fill":
        return ExecutionReport(LATER_NS, order.order_id, kind, LATER_NS)
    fee = Decimal("0.1")
    return ExecutionReport(
        LATER_NS, order.order_id, kind, START_NS, trade_id, Decimal(quantity), Decimal("100.1"), fee
    )


def _expected_requests(since_ns: int = 0) -> list[Any]:
    """The outputs of every restart: reducing, and queries of orders, fills and account."""
    questions = [QueryOpenOrders(LATER_NS), QueryFills(LATER_NS, since_ns), QueryAccount(LATER_NS)]
    return [TradingStateChanged("reducing", ("reconciling",)), *questions]


def test_restart_queries_venue_and_blocks_entries_until_answered() -> None:
    engine, rows = _engine()
    assert _restart(engine) == _expected_requests()
    assert engine.result().restarts == 1
    engine.scan(rows, engine.pos, len(rows))
    assert not engine.log
    assert _reconciled(engine) == [Reconciled(engine.now_ns, 0), TradingStateChanged("active")]
    assert engine.codes()["reducing"] > 0


def test_open_order_after_restart_is_unknown_reserved_and_queried() -> None:
    engine, rows = _engine()
    order = _entered(engine, rows)
    reserved = engine.orders.reserved
    assert reserved > 0
    assert _restart(engine) == [*_expected_requests(), QueryOrder(LATER_NS, order.order_id)]
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


def test_missed_fills_after_restart_are_booked_exactly_once() -> None:
    engine, rows = _engine()
    order = _entered(engine, rows)
    engine.step(OrderAccepted(START_NS, order.order_id, "v"))
    engine.step(_report(order, "fill", "0.4", "t1"))
    engine.log.clear()
    assert _restart(engine)[:4] == _expected_requests(START_NS - 10 * NS_PER_S)
    for answer in (
        _report(order, "fill", "0.4", "t1"),
        _report(order, "fill", "0.1", "t2"),
        OrderAccepted(LATER_NS, order.order_id, "v"),
        _report(order, "fill", "0.4", "t1"),
        _report(order, "fill", "0.1", "t2"),
    ):
        engine.step(answer)
    assert engine.ledger.position("X").quantity == Decimal("0.5")
    assert engine.orders.working[order.order_id].state is OrderState.PARTIAL


@pytest.mark.parametrize("kind", ["expired", "canceled"])
def test_order_end_after_restart_reported_twice_counts_once(kind: str) -> None:
    engine, rows = _engine()
    order = _entered(engine, rows)
    _restart(engine)
    for _ in range(2):
        engine.step(_report(order, kind))
    assert not engine.orders.working
    assert engine.orders.expired == (kind == "expired")


def test_pending_cancel_after_restart_is_resent() -> None:
    engine, rows = _engine()
    order = _entered(engine, rows)
    engine.step(OrderAccepted(START_NS, order.order_id, "v"))
    engine.step(Timer(engine.next_deadline_ns))
    assert engine.orders.working[order.order_id].state is OrderState.PENDING_CANCEL
    engine.log.clear()
    outputs = _restart(engine)
    assert [type(event) for event in outputs[4:]] == [CancelOrder, QueryOrder]
    engine.step(_report(order, "canceled"))
    assert not engine.orders.working


def test_partly_filled_order_absent_at_venue_alerts_and_retains_fill() -> None:
    engine, rows = _engine()
    order = _entered(engine, rows)
    engine.step(_report(order, "fill", "0.4", "t1"))
    _restart(engine)
    for query_ns in (LATER_NS, LATER_NS + 6 * NS_PER_S):
        engine.step(OrderNotFound(query_ns, order.order_id, query_ns))
    engine.log.clear()
    engine.step(OrderMassStatus(engine.now_ns, engine.now_ns, ()))
    alert = _drain_outputs(engine)[0]
    assert isinstance(alert, Alert) and (alert.code, alert.subject) == ("vanished", order.order_id)
    assert not engine.orders.working
    assert engine.ledger.position("X").quantity == Decimal("0.4")


def test_order_ids_after_restart_at_same_position_are_new() -> None:
    ids = set()
    for nonce in ("a", "b"):
        engine, rows = _engine()
        engine.step(Restarted(START_NS, 0, nonce))
        _reconciled(engine, START_NS)
        ids.add(_entered(engine, rows).order_id)
    assert len(ids) == 2


def test_rows_during_downtime_are_skipped() -> None:
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
        OperatorCommand(START_NS, "resume", "back"),
        SystemFault(START_NS, "full"),
        Restarted(START_NS, 0, "fresh"),
    ],
)
def test_input_with_earlier_time_moves_neither_clock_nor_position(late: Any) -> None:
    engine, rows = _engine()
    engine.scan(rows, 0, 1)
    engine.step(OperatorCommand(LATER_NS, "halt", "lunch"))
    pos = engine.pos
    engine.step(late)
    assert engine.now_ns == LATER_NS
    assert engine.pos == pos


def test_row_with_earlier_time_moves_position_but_not_clock() -> None:
    engine, rows = _engine()
    engine.step(OperatorCommand(LATER_NS, "halt", "lunch"))
    engine.scan(rows, 0, 1)
    assert (engine.now_ns, engine.pos) == (LATER_NS, 1)


def test_result_ends_at_the_last_event_after_the_last_row() -> None:
    engine, rows = _engine()
    engine.scan(rows, 0, 1)
    engine.step(OperatorCommand(LATER_NS, "halt", "lunch"))
    assert (engine.result().first_ns, engine.result().last_ns) == (START_NS, LATER_NS)


def test_automatic_halt_is_resumed_only_with_its_halt_id() -> None:
    engine, _ = _engine()
    engine.step(SystemFault(START_NS, "disk full"))
    halted = engine.log[-1].event
    assert isinstance(halted, TradingStateChanged) and halted.halt_id
    engine.step(OperatorCommand(START_NS, "halt", "me too"))
    for wrong in (None, "halt-0"):
        engine.log.clear()
        engine.step(OperatorCommand(START_NS, "resume", "try", wrong))
        assert _drain_outputs(engine) == [] and engine.halted
    engine.log.clear()
    engine.step(OperatorCommand(START_NS, "resume", "made room", halted.halt_id))
    assert _drain_outputs(engine) == [TradingStateChanged("active", reason="made room")]
    assert not engine.halted


def test_halt_cancels_resting_entries() -> None:
    engine, rows = _engine()
    order = _entered(engine, rows)
    engine.step(OrderAccepted(START_NS, order.order_id, "v"))
    engine.log.clear()
    engine.step(OperatorCommand(engine.now_ns, "halt", "lunch"))
    assert [type(event) for event in _drain_outputs(engine)] == [TradingStateChanged, CancelOrder]


def test_flatten_with_entry_in_flight_sells_its_fill() -> None:
    engine, rows = _engine(execution__time_in_force="ioc")
    order = _entered(engine, rows)
    engine.step(OperatorCommand(engine.now_ns, "flatten", "storm"))
    assert _drain_outputs(engine) == [TradingStateChanged("halted", reason="storm")]
    engine.step(_report(order, "fill", str(order.quantity), "t1"))
    engine.log.clear()
    sell = _entered(engine, rows)
    assert (sell.side, sell.reason, sell.quantity) == ("sell", "flatten", order.quantity)
    engine.step(_report(sell, "fill", str(sell.quantity), "t2"))
    assert engine.ledger.position("X").quantity == 0
    engine.step(OperatorCommand(engine.now_ns, "resume", "calm"))
    engine.log.clear()
    second_entry = _entered(engine, rows)
    engine.step(_report(second_entry, "fill", str(second_entry.quantity), "t3"))
    engine.log.clear()
    engine.scan(rows, engine.pos, len(rows))
    assert not engine.log


def test_cancel_requested_before_restart_stays_pending_afterwards() -> None:
    engine, rows = _engine()
    order = _entered(engine, rows)
    engine.step(Timer(engine.next_deadline_ns))
    _restart(engine)
    engine.step(OrderAccepted(LATER_NS, order.order_id, "v"))
    assert engine.orders.working[order.order_id].state is OrderState.PENDING_CANCEL
    engine.step(_report(order, "fill", "0.1", "t1"))
    assert engine.orders.working[order.order_id].state is OrderState.PENDING_CANCEL


def test_order_proven_absent_stays_absent_after_second_restart() -> None:
    engine, rows = _engine()
    order = _entered(engine, rows)
    _restart(engine)
    _proven_absent(engine, order)
    assert order.order_id not in engine.orders.working
    engine.step(OrderNotFound(engine.now_ns, order.order_id, LATER_NS))
    assert len(engine.log) == 1
    _restart(engine)
    assert order.order_id not in engine.orders.working

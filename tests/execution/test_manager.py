"""The execution manager through the engine: unknown orders, differences, exits, slices."""

from decimal import Decimal
from typing import Any

import pytest

from autohedge.app import engine_for
from autohedge.core.events import (
    AccountState,
    Alert,
    AnyInput,
    CancelOrder,
    ConnectionStatus,
    ExecutionReport,
    ExternalChange,
    LoopLag,
    OperatorCommand,
    OrderAccepted,
    OrderAdopted,
    OrderMassStatus,
    OrderNotFound,
    OrderRejected,
    OrderReplaced,
    QueryAccount,
    QueryFills,
    QueryOpenOrders,
    QueryOrder,
    Reconciled,
    ReplaceOrder,
    RequestThrottled,
    RequestUnknown,
    Restarted,
    SubmitOrder,
    Timer,
    TradingStateChanged,
    VenueOrderStatus,
)
from autohedge.core.ids import client_order_id
from autohedge.core.orders import BUY, GTC, LIMIT, OrderState
from autohedge.engine.engine import Engine
from autohedge.market import Rows
from tests.execution.trading_factory import entered
from tests.run_harness import begun, quotes_tape, settings

START_NS = 1_700_000_000_000_000_000
S = 1_000_000_000
D = Decimal
EAGER: dict[str, Any] = {
    "momentum__evaluate_every_quotes": 1,
    "momentum__lookback": 1,
    "momentum__warmup_count": 0,
    "momentum__min_edge_bps": 0,
    "exits__take_profit_bps": 1000,
    "exits__stop_loss_bps": 1000,
}
QUOTES = [(START_NS + i * S, 100.0, 100.1) for i in range(60)]


def _engine(quotes: Any = QUOTES, **changes: Any) -> tuple[Engine, Rows]:
    tape = quotes_tape(quotes)
    return begun(engine_for(settings(**EAGER | changes), tape)), tape.rows


def _ordered(engine: Engine, rows: Rows) -> SubmitOrder:
    """Scans to the next order and returns it."""
    while not engine.log:
        assert engine.pos < len(rows), "no order came"
        engine.scan(rows, engine.pos, len(rows))
    order = engine.log.popleft().event
    assert isinstance(order, SubmitOrder)
    engine.log.clear()
    return order


def _step(engine: Engine, *inputs: AnyInput) -> list[Any]:
    """The outputs that these inputs cause."""
    engine.log.clear()
    for each in inputs:
        engine.step(each)
    outputs = [entry.event for entry in engine.log if entry.event not in inputs]
    engine.log.clear()
    return outputs


def _fill(order: SubmitOrder, at_ns: int, quantity: str | None = None, trade: str = "t1") -> ExecutionReport:
    amount, price = D(quantity) if quantity else order.quantity, D("100.1")
    return ExecutionReport(at_ns, order.order_id, "fill", at_ns, trade, amount, price, D(0))


def _held(**changes: Any) -> tuple[Engine, Rows, SubmitOrder]:
    engine, rows = _engine(**changes)
    order = _ordered(engine, rows)
    _step(engine, _fill(order, engine.now_ns))
    return engine, rows, order


def _fire_timers_until(engine: Engine, at_ns: int) -> list[Any]:
    """Fires the engine's timers up to `at_ns`; returns the outputs."""
    outputs = []
    while engine.next_deadline_ns <= at_ns:
        outputs += _step(engine, Timer(engine.next_deadline_ns))
    return outputs


def _kinds(events: list[Any], *kinds: type) -> list[Any]:
    return [event for event in events if isinstance(event, kinds)]


def _halts(events: list[Any]) -> list[Any]:
    return [event for event in _kinds(events, TradingStateChanged) if event.is_halt]


def _listed(order: SubmitOrder, order_id: str | None = None, **facts: Any) -> VenueOrderStatus:
    fields: dict[str, Any] = {"filled": D(0), "status": "open"} | facts
    return VenueOrderStatus(
        order_id or order.order_id,
        order.symbol,
        order.side,
        LIMIT,
        GTC,
        order.limit,
        order.quantity,
        **fields,
    )


# unknown orders


def test_unanswered_order_is_queried_with_backoff_and_halts_entries() -> None:
    engine, rows = _engine(risk__unknown_halt_s=20)
    order = _ordered(engine, rows)
    events = _fire_timers_until(engine, engine.now_ns + 40 * S)
    assert engine.orders.working[order.order_id].state is OrderState.UNKNOWN
    query_delays_ns = [event.at_ns - order.at_ns for event in _kinds(events, QueryOrder)]
    assert query_delays_ns[:3] == [5 * S, 5 * S + S // 2, 6 * S + S // 2]
    (halted,) = _halts(events)
    assert order.order_id in halted.reason and engine.halt_id == halted.halt_id


def test_unknown_order_absent_twice_beyond_visibility_lag_is_lost() -> None:
    engine, rows = _engine()
    order = _ordered(engine, rows)
    at_ns = engine.now_ns
    _step(engine, RequestUnknown(at_ns, order.order_id, "timeout"))
    early = OrderNotFound(at_ns + S, order.order_id, at_ns + S)
    assert _step(engine, early, OrderNotFound(at_ns + 2 * S, order.order_id, at_ns + 2 * S)) == []
    assert _step(engine, OrderMassStatus(at_ns + 3 * S, at_ns + 3 * S, ())) == []
    slow = OrderNotFound(at_ns + 6 * S, order.order_id, at_ns + 3 * S)
    assert _step(engine, slow) == []
    late = OrderNotFound(at_ns + 6 * S, order.order_id, at_ns + 6 * S)
    assert _step(engine, late) == [QueryOpenOrders(at_ns + 6 * S)]
    _step(engine, OrderMassStatus(at_ns + 7 * S, at_ns + 5 * S, ()))
    assert order.order_id in engine.orders.working
    _step(engine, OrderMassStatus(at_ns + 8 * S, at_ns + 6 * S, ()))
    assert not engine.orders.working and engine.orders.reserved == 0


def test_order_end_with_missing_fill_stays_open_until_fill_arrives() -> None:
    engine, rows, _ = _held(exits__take_profit_bps=1, exits__stop_loss_bps=1)
    engine.scan(rows, engine.pos, engine.pos + 1)
    sell = engine.log.popleft().event
    assert isinstance(sell, SubmitOrder)
    at_ns = engine.now_ns
    _step(engine, ExecutionReport(at_ns, sell.order_id, "expired", at_ns, filled=D("0.3")))
    assert engine.orders.exits_of(0)
    _step(engine, _fill(sell, at_ns, "0.3"))
    assert not engine.orders.exits_of(0)
    assert engine.ledger.position("X").quantity == sell.quantity - D("0.3")


# exits


def test_throttled_exit_is_resubmitted_under_its_id_after_throttle() -> None:
    engine, rows, _ = _held(exits__stop_loss_bps=1)
    engine.scan(rows, engine.pos, engine.pos + 1)
    sell = engine.log.popleft().event
    assert isinstance(sell, SubmitOrder)
    until_ns = engine.now_ns + 3 * S
    assert _kinds(
        _step(engine, RequestThrottled(engine.now_ns, sell.order_id, until_ns)), TradingStateChanged
    )
    assert _kinds(_fire_timers_until(engine, until_ns - 1), SubmitOrder) == []
    events = _fire_timers_until(engine, until_ns)
    assert _kinds(events, SubmitOrder) == [sell]
    assert _kinds(events, TradingStateChanged) == [TradingStateChanged("active")]


def test_resubmitted_exit_without_an_answer_is_queried() -> None:
    engine, rows, _ = _held(exits__stop_loss_bps=1, execution__ack_timeout_s=2)
    engine.scan(rows, engine.pos, engine.pos + 1)
    (sell,) = engine.orders.exits_of(0)
    until_ns = engine.now_ns + 3 * S  # later than the first attempt's answer was due
    _step(engine, RequestThrottled(engine.now_ns, sell.id, until_ns))
    assert _kinds(_fire_timers_until(engine, until_ns), QueryOrder) == []
    (query,) = _kinds(_fire_timers_until(engine, until_ns + 2 * S), QueryOrder)
    assert (query.order_id, query.at_ns) == (sell.id, until_ns + 2 * S)


def test_throttled_entry_is_not_resubmitted() -> None:
    engine, rows = _engine()
    order = _ordered(engine, rows)
    _step(engine, RequestThrottled(engine.now_ns, order.order_id, engine.now_ns + S))
    assert not engine.orders.working
    assert _kinds(_fire_timers_until(engine, engine.now_ns + 2 * S), SubmitOrder) == []


def test_position_past_max_hold_is_sold_by_time_stop() -> None:
    engine, _, order = _held(exits__max_hold_s=10)
    events = _fire_timers_until(engine, order.at_ns + 10 * S)
    (sell,) = _kinds(events, SubmitOrder)
    assert (sell.reason, sell.at_ns, sell.quantity) == ("time_stop", order.at_ns + 10 * S, order.quantity)
    assert engine.instruments[0].pending_exit_reason == "time_stop"


def test_busted_entry_leaves_no_time_stop_to_the_next_position() -> None:
    engine, rows, order = _held(exits__max_hold_s=10)
    bought_ns = engine.now_ns
    _step(engine, ExecutionReport(bought_ns, order.order_id, "bust", bought_ns, "t1"))
    again = _ordered(engine, rows)
    _step(engine, _fill(again, engine.now_ns, trade="t2"))
    assert engine.now_ns > bought_ns
    assert not _kinds(_fire_timers_until(engine, engine.now_ns + 10 * S - 1), SubmitOrder)
    assert _kinds(_fire_timers_until(engine, engine.now_ns + 10 * S), SubmitOrder)


def test_busted_fill_leaves_the_exit_levels_of_later_purchases() -> None:
    rising = [(START_NS + i * S, 100.0 + i, 100.1 + i) for i in range(60)]
    engine, rows = _engine(rising, execution__twap_slices=2, execution__twap_s=4)
    first = _ordered(engine, rows)
    _step(engine, _fill(first, engine.now_ns))
    engine.scan(rows, engine.pos, engine.pos + 1)
    (second,) = _kinds(_fire_timers_until(engine, engine.now_ns + 4 * S), SubmitOrder)
    _step(engine, _fill(second, engine.now_ns, trade="t2"))
    _step(engine, ExecutionReport(engine.now_ns, first.order_id, "bust", engine.now_ns, "t1"))
    assert first.stop_loss != engine.instruments[0].stop_loss == second.stop_loss


def test_position_that_a_busted_sale_brings_back_is_sold_by_time_stop() -> None:
    engine, _, _ = _held(exits__max_hold_s=10)
    (sale,) = _kinds(_fire_timers_until(engine, engine.now_ns + 10 * S), SubmitOrder)
    now_ns = engine.now_ns
    _step(engine, _fill(sale, now_ns, trade="t2"))
    _step(engine, ExecutionReport(now_ns, sale.order_id, "bust", now_ns, "t2"))
    (again,) = _kinds(_fire_timers_until(engine, now_ns + 10 * S), SubmitOrder)
    assert (again.reason, again.quantity) == ("time_stop", sale.quantity)


def test_dust_position_is_sold_with_the_next_exit() -> None:
    rules = {"instruments": '{"X" = {min_notional = 20}}'}
    engine, rows = _engine(exits__stop_loss_bps=1, **rules)
    order = _ordered(engine, rows)
    at_ns = engine.now_ns
    _step(
        engine,
        _fill(order, at_ns, "0.1"),
        ExecutionReport(at_ns, order.order_id, "expired", at_ns, filled=D("0.1")),
    )
    second_entry = _ordered(engine, rows)
    assert second_entry.side is BUY and engine.stats.exit_refusals == {"dust": 1}
    _step(engine, _fill(second_entry, engine.now_ns, trade="t2"))
    assert _ordered(engine, rows).quantity == second_entry.quantity + D("0.1")


# slices and new limits


def test_twap_slice_with_stale_quote_is_refused() -> None:
    quotes = QUOTES[:5]
    engine, rows = _engine(quotes, execution__twap_slices=3, execution__twap_s=30)
    first = _ordered(engine, rows)
    at_ns = engine.now_ns
    _step(engine, ExecutionReport(at_ns, first.order_id, "expired", at_ns, filled=D(0)))
    events = _fire_timers_until(engine, first.at_ns + 10 * S)
    assert _kinds(events, SubmitOrder) == [], "the last quote is older than risk.stale_after_ms"
    assert engine.stats.slice_refusals == {"stale": 1}
    assert engine.result().slice_refusals == {"stale": 1}


def test_twap_slices_are_equal_and_evenly_spaced() -> None:
    engine, rows = _engine(execution__twap_slices=4, execution__twap_s=8)
    orders = [_ordered(engine, rows)]
    whole = D("0.999000")
    for _ in range(3):
        at_ns = engine.now_ns
        _step(engine, _fill(orders[-1], at_ns, trade=f"t{len(orders)}"))
        engine.scan(rows, engine.pos, engine.pos + 2)
        engine.log.clear()
        orders += _kinds(_fire_timers_until(engine, orders[-1].at_ns + 2 * S), SubmitOrder)
    assert [order.at_ns - orders[0].at_ns for order in orders] == [0, 2 * S, 4 * S, 6 * S]
    assert sum(order.quantity for order in orders) == whole
    assert len({order.quantity for order in orders[:-1]}) == 1


def test_resting_entry_is_queried_from_time_to_time() -> None:
    engine, rows = _engine(
        execution__time_in_force='"gtc"', execution__audit_s=7, execution__cancel_after_s=60
    )
    order = _ordered(engine, rows)
    _step(engine, OrderAccepted(engine.now_ns, order.order_id, "v"))
    query, *_ = _kinds(_fire_timers_until(engine, engine.now_ns + 8 * S), QueryOrder)
    assert (query.order_id, query.at_ns) == (order.order_id, order.at_ns + 7 * S)


def test_resting_entry_is_repriced_to_the_current_ask() -> None:
    quotes = [*QUOTES[:3], *((START_NS + i * S, 99.0, 99.1) for i in range(3, 20))]
    engine, rows = _engine(quotes, execution__time_in_force='"gtc"', execution__reprice_after_s=3)
    order = _ordered(engine, rows)
    _step(engine, OrderAccepted(engine.now_ns, order.order_id, "v"))
    engine.scan(rows, engine.pos, 5)
    engine.log.clear()
    (replace,) = _kinds(_fire_timers_until(engine, order.at_ns + 3 * S), ReplaceOrder)
    assert (replace.order_id, replace.limit, replace.quantity) == (order.order_id, D("99.1"), order.quantity)
    reserved = engine.orders.reserved
    _step(engine, OrderReplaced(engine.now_ns, order.order_id, replace.limit, replace.quantity))
    assert engine.orders.reserved < reserved
    assert engine.orders.working[order.order_id].state is OrderState.OPEN


# the venue's account


def _reconcile(engine: Engine, at_ns: int, cash: Decimal, held: dict[str, Decimal]) -> list[Any]:
    query_ns = _kinds(_fire_timers_until(engine, at_ns), QueryAccount)[-1].at_ns
    return _step(
        engine, OrderMassStatus(query_ns, query_ns, ()), AccountState(query_ns, query_ns, cash, held)
    )


@pytest.mark.parametrize("policy", ["adopt", "alert", "halt"])
def test_unexplained_position_seen_twice_follows_external_policy(policy: str) -> None:
    engine, _, order = _held(reconciliation__external=f'"{policy}"', reconciliation__every_s=20)
    there = {"X": order.quantity + 1}
    at_ns = engine.now_ns
    assert _reconcile(engine, at_ns + 21 * S, engine.ledger.cash, there) == [Reconciled(at_ns + 20 * S, 0)]
    events = _reconcile(engine, at_ns + 26 * S, engine.ledger.cash, there)
    assert _kinds(events, ExternalChange) == [ExternalChange("position", "X", D(1), policy)]  # type: ignore[arg-type]
    assert engine.ledger.position("X").quantity == order.quantity + (policy == "adopt")
    assert engine.halted is (policy == "halt")
    events = _reconcile(engine, at_ns + 90 * S, engine.ledger.cash, there)
    assert not _kinds(events, ExternalChange) and not _halts(events)


def test_position_is_not_adopted_before_a_quote_gives_its_price() -> None:
    engine, rows = _engine(reconciliation__external="adopt", momentum__min_edge_bps=10**6)
    there, cash = {"X": D(1)}, engine.ledger.cash
    for at_ns in (START_NS, START_NS + 6 * S):
        events = _step(engine, AccountState(at_ns, at_ns, cash, there))
        assert _kinds(events, ExternalChange) == []
    engine.scan(rows, 0, 1)
    at_ns = START_NS + 12 * S
    events = _step(engine, AccountState(at_ns, at_ns, cash, there))
    assert _kinds(events, ExternalChange) == [ExternalChange("position", "X", D(1), "adopt")]
    assert engine.ledger.position("X").cost == D(100)


def test_account_states_from_before_a_late_fill_prove_no_external_change() -> None:
    engine, rows = _engine(reconciliation__external="adopt")
    order, cash = _ordered(engine, rows), engine.ledger.cash
    ended_ns = engine.now_ns
    _step(engine, ExecutionReport(ended_ns, order.order_id, "expired", ended_ns, filled=D(0)))
    filled_ns = ended_ns + 60 * S
    _step(engine, _fill(order, filled_ns))
    for asked_ns in (ended_ns + 20 * S, ended_ns + 40 * S):
        events = _step(engine, AccountState(filled_ns + S, asked_ns, cash, {}))
        assert _kinds(events, ExternalChange) == []
    assert engine.ledger.position("X").quantity == order.quantity


def test_lost_intent_is_adopted_by_order_id_with_its_fills() -> None:
    engine, rows = _engine()
    engine.scan(rows, 0, 1)
    lost_id = client_order_id("n", engine.seq + 40)
    template = _ordered(_engine()[0], rows)
    engine.log.clear()
    _step(engine, Restarted(engine.now_ns, engine.pos, "fresh"))
    at_ns = engine.now_ns
    fill = ExecutionReport(at_ns, lost_id, "fill", at_ns, "t9", D("0.4"), D(100), D(0))
    assert [alert.code for alert in _kinds(_step(engine, fill), Alert)] == ["external_order"]
    events = _step(engine, OrderMassStatus(at_ns, at_ns, (_listed(template, lost_id, filled=D("0.4")),)))
    assert [adopted.why for adopted in _kinds(events, OrderAdopted)] == ["lost_intent"]
    assert engine.ledger.position("X").quantity == D("0.4")
    assert engine.orders.working[lost_id].state is OrderState.PARTIAL


def test_external_order_in_mass_status_alerts_and_halts_once() -> None:
    engine, rows = _engine()
    template = _ordered(_engine()[0], rows)
    mass_status = OrderMassStatus(START_NS, START_NS, (_listed(template, "theirs"),))
    events = _step(engine, mass_status)
    assert [type(event) for event in events] == [Alert, TradingStateChanged]
    assert _step(engine, mass_status) == []


# the account's state


def test_too_many_errors_halt() -> None:
    engine, rows = _engine(risk__max_errors_per_minute=2)
    for _ in range(3):
        order = _ordered(engine, rows)
        events = _step(engine, OrderRejected(engine.now_ns, order.order_id, "no"))
    assert _halts(events) and engine.halt_id


@pytest.mark.parametrize("cut", [1, 7])
def test_feed_gap_reduces_until_next_row_for_any_batch_size(cut: int) -> None:
    quotes = [*QUOTES[:3], *((START_NS + (100 + i) * S, 100.0, 100.1) for i in range(9))]
    engine, rows = _engine(quotes, risk__silent_feed_s=30)
    order = _ordered(engine, rows)
    _step(engine, _fill(order, engine.now_ns))
    engine.scan(rows, engine.pos, 3)
    events = _fire_timers_until(engine, START_NS + 99 * S)
    assert _kinds(events, TradingStateChanged) == [TradingStateChanged("reducing", ("silent",))]
    while engine.pos < len(rows):
        engine.scan(rows, engine.pos, min(engine.pos + cut, len(rows)))
    (active,) = [entry for entry in engine.log if entry.event == TradingStateChanged("active")]
    assert active.pos == 4


def test_feed_gap_after_an_event_in_the_first_gap_reduces_again() -> None:
    times_s = [0, 1, 2, 100, 101, 300]
    engine, rows = _engine([(START_NS + each * S, 100.0, 100.1) for each in times_s], risk__silent_feed_s=30)
    order = _ordered(engine, rows)
    _step(engine, _fill(order, engine.now_ns))
    engine.scan(rows, engine.pos, 3)
    _fire_timers_until(engine, START_NS + 50 * S)
    _step(engine, _fill(order, engine.now_ns))  # repeated
    while engine.pos < 5:
        engine.scan(rows, engine.pos, 5)
    events = _fire_timers_until(engine, START_NS + 299 * S)
    assert TradingStateChanged("reducing", ("silent",)) in events


def test_lost_link_reduces_until_reconciled_after_reconnection() -> None:
    engine, rows = _engine()
    order = _ordered(engine, rows)
    at_ns = engine.now_ns
    assert _step(engine, ConnectionStatus(at_ns, "down")) == [TradingStateChanged("reducing", ("link",))]
    events = _step(engine, ConnectionStatus(at_ns + S, "up"))
    assert {type(event) for event in events} >= {QueryOpenOrders, QueryFills, QueryAccount, QueryOrder}
    assert engine.state.name == "reducing"
    listed = OrderMassStatus(at_ns + S, at_ns + S, (_listed(order),))
    events = _step(engine, listed, AccountState(at_ns + S, at_ns + S, engine.ledger.cash, {}))
    assert events[-1] == TradingStateChanged("active")


def test_loop_lag_reduces_and_cancels_resting_entries() -> None:
    engine, rows = _engine(execution__time_in_force='"gtc"')
    order = _ordered(engine, rows)
    _step(engine, OrderAccepted(engine.now_ns, order.order_id, "v"))
    events = _step(engine, LoopLag(engine.now_ns, 5_000.0))
    assert [type(event) for event in events] == [TradingStateChanged, CancelOrder]
    assert _step(engine, LoopLag(engine.now_ns, 1.0)) == [TradingStateChanged("active")]


def test_position_that_was_sold_too_far_alerts_and_halts() -> None:
    engine, _, entry = _held()
    _step(engine, OperatorCommand(engine.now_ns, "flatten", "enough"))
    exit_ = next(iter(engine.orders.working.values()))
    assert exit_.command
    engine.step(OperatorCommand(engine.now_ns, "resume", "go on"))
    events = _step(engine, _fill(exit_.command, engine.now_ns, str(entry.quantity + 1), "t2"))
    assert [alert.code for alert in _kinds(events, Alert)] == ["short"]
    assert _halts(events) and engine.halt_id


def test_partly_filled_exit_forgets_earlier_refusals() -> None:
    engine, _, entry = _held()
    _step(engine, OperatorCommand(engine.now_ns, "flatten", "enough"))
    (exit_,) = engine.orders.exits_of(0)
    assert exit_.command
    engine.instruments[0].refused = 3
    _step(engine, _fill(exit_.command, engine.now_ns, str(entry.quantity / 2), "t2"))
    assert engine.instruments[0].refused == 0


def test_exit_by_time_stop_that_fills_in_part_starts_no_new_time_stop() -> None:
    engine, _, entry = _held(exits__max_hold_s=5)
    _fire_timers_until(engine, engine.now_ns + 6 * S)
    (exit_,) = engine.orders.exits_of(0)
    assert exit_.command and exit_.intent.reason == "time_stop"
    _step(engine, _fill(exit_.command, engine.now_ns, str(entry.quantity / 2), "t2"))
    assert ("time_stop", 0) not in engine.timers


def test_fee_in_a_currency_without_a_rate_is_alerted_and_booked_apart() -> None:
    harness, entry = entered()
    engine, at_ns = harness.engine, harness.engine.now_ns
    amounts = (entry.quantity, D(100), D("0.01"))
    report = ExecutionReport(at_ns, entry.order_id, "fill", at_ns, "t1", *amounts, fee_currency="BNB")
    (alert,) = [event for event in harness.step(report) if isinstance(event, Alert)]
    assert (alert.code, alert.subject) == ("no_rate", entry.order_id) and "0.01 BNB" in alert.text
    assert engine.ledger.fees == 0 and engine.ledger.balances["BNB"] == D("-0.01")

"""The engine step by step: orders, exits, timers, refusals, operator commands, lost answers."""

from decimal import Decimal
from typing import Any, get_args

import msgspec
import numpy as np
import pytest

from autohedge.app import engine_for
from autohedge.core.clock import NEVER
from autohedge.core.events import (
    AccountState,
    Alert,
    AnyInput,
    CancelOrder,
    ExecutionReport,
    FillBooked,
    OperatorCommand,
    OrderAccepted,
    OrderMassStatus,
    OrderRejected,
    Output,
    QueryAccount,
    QueryFills,
    QueryOpenOrders,
    RequestUnknown,
    SubmitOrder,
    Timer,
    TradingStateChanged,
)
from autohedge.core.orders import BUY, OrderState
from autohedge.core.units import NS_PER_DAY, NS_PER_S
from autohedge.engine.engine import Engine
from autohedge.engine.watchdogs import MIDNIGHT
from autohedge.exchanges.simulated import Fault
from autohedge.market import Rows
from tests.run_harness import Quotes, begun, columns_tape, play, quotes_tape, settings

START_NS = 1_700_000_000_000_000_000
EAGER = {
    "momentum__evaluate_every_quotes": 1,
    "momentum__lookback": 1,
    "momentum__warmup_count": 0,
    "momentum__min_edge_bps": 0,
    "exits__take_profit_bps": 100,
    "exits__stop_loss_bps": 100,
}
FLAT = [(START_NS + i * NS_PER_S, 100.0, 100.1) for i in range(4)]


def _engine(quotes: Quotes = FLAT, nonce: str = "n", **changes: Any) -> tuple[Engine, Rows]:
    tape = quotes_tape(quotes)
    return begun(engine_for(settings(**EAGER | changes), tape), nonce), tape.rows


def _submitted(engine: Engine, rows: Rows) -> SubmitOrder:
    """Scans to the first order and returns it."""
    while not engine.log:
        assert engine.pos < len(rows)
        engine.scan(rows, engine.pos, len(rows))
    order = engine.log.pop().event
    assert isinstance(order, SubmitOrder)
    return order


def _fill(order: SubmitOrder, at_ns: int, price: str, trade_id: str = "t1") -> ExecutionReport:
    return ExecutionReport(
        at_ns=at_ns,
        order_id=order.order_id,
        kind="fill",
        ts_ns=at_ns,
        trade_id=trade_id,
        quantity=order.quantity,
        price=Decimal(price),
        fee=Decimal(0),
    )


def _answer(engine: Engine) -> None:
    """Answers the engine's last queries as a venue without orders."""
    requests = [entry.event for entry in engine.log]
    engine.log.clear()
    for question in requests:
        if isinstance(question, QueryOpenOrders):
            engine.step(OrderMassStatus(engine.now_ns, question.at_ns, ()))
        elif isinstance(question, QueryAccount):
            held = {s: p.quantity for s, p in engine.ledger.positions.items() if p.quantity}
            engine.step(AccountState(engine.now_ns, question.at_ns, engine.ledger.cash, held))


def test_the_first_entry_is_an_intent_with_everything_a_venue_needs() -> None:
    engine, rows = _engine()
    order = _submitted(engine, rows)
    assert (order.side, order.order_type, order.time_in_force) == ("buy", "limit", "ioc")
    assert (order.limit, order.quantity) == (Decimal("100.1"), Decimal("0.999000"))
    assert (order.take_profit, order.stop_loss) == (100.05 * 1.01, 100.05 * 0.99)
    assert len(order.order_id) == 32


def test_order_ids_differ_by_nonce_and_position() -> None:
    ids = set()
    for nonce in ("a", "b"):
        engine, rows = _engine(nonce=nonce)
        order = _submitted(engine, rows)
        engine.step(OrderRejected(engine.now_ns, order.order_id, "no"))
        engine.log.clear()
        ids |= {order.order_id, _submitted(engine, rows).order_id}
    assert len(ids) == 4


def test_a_rejected_entry_frees_its_money_and_its_lane() -> None:
    engine, rows = _engine()
    order = _submitted(engine, rows)
    assert engine.orders.reserved == order.quantity * Decimal("100.1") * Decimal("1.001")
    engine.step(OrderRejected(engine.now_ns, order.order_id, "no"))
    engine.log.clear()
    assert engine.orders.reserved == 0
    assert _submitted(engine, rows).side == "buy"


def test_unknown_entry_reserves_cash_and_blocks_lane_until_fill() -> None:
    engine, rows = _engine()
    order = _submitted(engine, rows)
    engine.step(RequestUnknown(engine.now_ns, order.order_id, "timeout"))
    engine.log.clear()
    engine.scan(rows, engine.pos, len(rows))
    assert not engine.log
    assert engine.codes()["order_pending"] == 2
    assert engine.orders.working[order.order_id].state is OrderState.UNKNOWN
    assert engine.orders.reserved > 0
    engine.step(_fill(order, engine.now_ns, "100.1"))
    assert engine.orders.reserved == 0
    assert engine.ledger.position("X").quantity == order.quantity


def test_a_repeated_fill_is_booked_once() -> None:
    engine, rows = _engine()
    order = _submitted(engine, rows)
    for _ in range(2):
        engine.step(_fill(order, engine.now_ns, "100.1"))
    assert sum(isinstance(entry.event, FillBooked) for entry in engine.log) == 1
    assert engine.ledger.position("X").quantity == order.quantity


def test_unknown_order_rejected_twice_alerts_once_and_queries_venue() -> None:
    engine, _ = _engine()
    for _ in range(2):
        engine.step(OrderRejected(START_NS, "stranger", "no"))
    outputs = [entry.event for entry in engine.log if isinstance(entry.event, Output)]
    assert isinstance(outputs[0], Alert) and (outputs[0].code, outputs[0].subject) == (
        "external_order",
        "stranger",
    )
    assert outputs[1:] == [QueryOpenOrders(START_NS), QueryFills(START_NS, 0), QueryAccount(START_NS)]


def test_rejected_exit_is_retried_with_growing_delays() -> None:
    down = [*FLAT[:2], *((START_NS + (2 + i) * NS_PER_S, 90.0, 90.1) for i in range(12))]
    rejections = iter([None, *[Fault.REJECT] * 4, None])
    played = play(settings(**EAGER), quotes_tape(down), lambda order, at_ns: next(rejections, None))
    sells = [order for order in played.events(SubmitOrder) if order.side == "sell"]
    assert [(order.at_ns - START_NS) // NS_PER_S for order in sells] == [2, 3, 5, 8, 13]
    assert played.result.codes["stop_loss"] == 5
    assert played.result.stop_losses == 1
    assert played.result.open_position == 0


TRAILING: dict[str, Any] = {
    "exits__take_profit_bps": 900,
    "exits__trailing_activation_bps": 100,
    "exits__trailing_distance_bps": 100,
}


def _path(*bids: float) -> Quotes:
    return [(START_NS + i * NS_PER_S, bid, bid + 0.1) for i, bid in enumerate(bids)]


def test_trailing_stop_sells_at_its_distance_below_highest_bid() -> None:
    played = play(settings(**EAGER | TRAILING), quotes_tape(_path(100, 100, 101.1, 104, 103, 102.96)))
    sell = played.engine.stats.fills[-1]
    assert (sell.reason, sell.price) == ("trailing_stop", Decimal("102.96"))
    assert played.result.trailing_stops == played.result.codes["trailing_stop"] == 1
    assert played.result.open_position == 0


@pytest.mark.parametrize(
    ("bids", "changes", "reason"),
    [
        ((101.05, 100.0), {}, None),
        ((101.06, 100.04), {}, "trailing_stop"),
        ((101.06, 99.0), {}, "stop_loss"),
        ((101.06, 100.04), {"exits__trailing_activation_bps": 0}, None),
        ((104.0, 105.1), {"exits__take_profit_bps": 500}, "take_profit"),
        ((104.0, 102.9, 105.1), {"exits__take_profit_bps": 500}, "trailing_stop"),
        ((101.0,), {"exits__take_profit_bps": 90}, "take_profit"),
    ],
)
def test_trailing_stop_after_activation_works_beside_other_exits(
    bids: tuple[float, ...], changes: dict[str, Any], reason: str | None
) -> None:
    played = play(settings(**EAGER | TRAILING | changes), quotes_tape(_path(100, 100, *bids)))
    sold = [fill.reason for fill in played.engine.stats.fills[1:2]]
    assert sold == ([reason] if reason else [])


def test_trailing_stop_of_next_position_starts_fresh() -> None:
    bids = (100, 100, 104, 102.9, 102.9, 102.9, 102.0)
    codes = play(settings(**EAGER | TRAILING), quotes_tape(_path(*bids))).result.codes
    assert (codes["entry"], codes["trailing_stop"], codes["no_edge"]) == (2, 1, 2)


def test_trailing_stop_after_partial_exit_retains_highest_bid() -> None:
    engine, rows = _engine(_path(100, 100, 104, 102.9, 102.95, 102.95), **TRAILING)
    order = _submitted(engine, rows)
    engine.step(_fill(order, engine.now_ns, "100.1"))
    engine.log.clear()
    sell = _submitted(engine, rows)
    half = msgspec.structs.replace(_fill(sell, engine.now_ns, "102.9", "t2"), quantity=sell.quantity / 2)
    engine.step(half)
    engine.step(ExecutionReport(engine.now_ns, sell.order_id, "expired", engine.now_ns))
    engine.log.clear()
    engine.scan(rows, engine.pos, len(rows))
    second_sell = engine.log.pop().event
    assert isinstance(second_sell, SubmitOrder)
    assert (second_sell.reason, second_sell.quantity) == ("trailing_stop", sell.quantity / 2)
    assert engine.pos == 5


def test_trailing_stop_settings_apply_per_symbol() -> None:
    quotes: dict[str, Any] = {"ts": [START_NS], "bid": [100.0], "ask": [100.1]}
    own = {
        'symbol_overrides."X".trailing_distance_bps': 50,
        'symbol_overrides."X".trailing_activation_bps': 80,
    }
    engine = engine_for(settings(**EAGER | own), columns_tape({"X": quotes, "Y": quotes}))
    assert [instrument.terms.trail_distance for instrument in engine.instruments] == [0.005, 0.0]
    assert [instrument.terms.trailing_activation_bps for instrument in engine.instruments] == [80, np.inf]


def test_halted_engine_still_sends_stop_loss_exit() -> None:
    engine, rows = _engine([*FLAT, (START_NS + 9 * NS_PER_S, 90.0, 90.1)])
    order = _submitted(engine, rows)
    engine.step(_fill(order, engine.now_ns, "100.1"))
    engine.step(OperatorCommand(engine.now_ns, "halt", "lunch"))
    assert engine.log.pop().event == TradingStateChanged("halted", reason="lunch")
    engine.log.clear()
    sell = _submitted(engine, rows)
    assert (sell.side, sell.reason) == ("sell", "stop_loss")


def test_a_halted_engine_refuses_entries_until_it_is_resumed() -> None:
    engine, rows = _engine()
    engine.step(OperatorCommand(START_NS, "halt", "lunch"))
    engine.log.clear()
    for _ in range(3):
        engine.scan(rows, engine.pos, engine.pos + 1)
    assert engine.codes()["halted"] == 2
    engine.step(OperatorCommand(engine.now_ns, "resume", "back"))
    assert engine.log.pop().event == TradingStateChanged("active", reason="back")
    engine.log.clear()
    assert _submitted(engine, rows).side == "buy"


def test_resting_entry_after_cancel_timeout_is_cancelled() -> None:
    engine, rows = _engine(execution__time_in_force="gtc", execution__cancel_after_s=2.5)
    order = _submitted(engine, rows)
    deadline = engine.next_deadline_ns
    assert deadline == engine.now_ns + 2_500_000_000
    engine.step(Timer(deadline))
    cancel = engine.log.pop().event
    assert isinstance(cancel, CancelOrder)
    assert cancel.order_id == order.order_id
    engine.step(ExecutionReport(deadline, order.order_id, "canceled", deadline))
    assert not engine.orders.working
    assert engine.orders.reserved == 0


def test_position_exit_cancels_its_resting_entry() -> None:
    falling = [*FLAT[:2], *((START_NS + i * NS_PER_S, 90.0, 90.1) for i in (2, 3))]
    engine, rows = _engine(falling, execution__time_in_force="gtc")
    order = _submitted(engine, rows)
    half = _fill(order, engine.now_ns, "100.1")
    engine.step(msgspec.structs.replace(half, quantity=order.quantity / 2))
    engine.log.clear()
    while not engine.log:
        engine.scan(rows, engine.pos, len(rows))
    cancel, sell = (entry.event for entry in engine.log)
    assert isinstance(cancel, CancelOrder) and isinstance(sell, SubmitOrder)
    assert cancel.order_id == order.order_id
    assert (sell.side, sell.quantity) == ("sell", order.quantity / 2)


def test_midnight_timer_with_open_position_repeats_daily() -> None:
    engine, rows = _engine()
    order = _submitted(engine, rows)
    engine.step(_fill(order, engine.now_ns, "100.1"))
    first = engine.timers.deadline_ns(MIDNIGHT)
    assert first == (START_NS // NS_PER_DAY + 1) * NS_PER_DAY
    engine.step(Timer(first))
    assert engine.timers.deadline_ns(MIDNIGHT) == first + NS_PER_DAY


def test_the_interval_between_entries_counts_orders_not_refusals() -> None:
    quotes = [(START_NS + i * NS_PER_S, 100.0, 100.1) for i in range(8)]
    refused = play(
        settings(**EAGER, execution__min_order_interval_ms=2500),
        quotes_tape(quotes),
        lambda order, at_ns: Fault.REJECT,
    )
    codes = refused.result.codes
    assert (codes["entry"], codes["rate_limited"]) == (3, 4)


def test_after_an_exit_entries_cool_down() -> None:
    prices = [100.0, 100.0, 90.0, 90.0, 90.0, 90.0, 90.0]
    quotes = [(START_NS + i * NS_PER_S, p, p + 0.1) for i, p in enumerate(prices)]
    codes = play(settings(**EAGER, execution__cooldown_ms=2500), quotes_tape(quotes)).result.codes
    assert (codes["stop_loss"], codes["cooling_down"], codes["entry"]) == (1, 1, 2)


def test_the_daily_loss_counts_from_utc_midnight() -> None:
    late = (START_NS // NS_PER_DAY + 1) * NS_PER_DAY - 4 * NS_PER_S
    prices = [100.0, 100.0, 90.0, 90.0, 90.0, 90.0, 90.0, 90.0]
    quotes = [(late + i * NS_PER_S, p, p + 0.1) for i, p in enumerate(prices)]
    wanted = settings(**EAGER, risk__max_daily_loss_pct=0.05)
    played = play(wanted, quotes_tape(quotes))
    midnights = [event.at_ns for event in played.events(Timer)]
    assert midnights[0] % NS_PER_DAY == 0
    signals_before_midnight = sum(ts <= midnights[0] for ts, _, _ in quotes[4:])
    assert played.result.codes["daily_loss"] == signals_before_midnight == 1
    assert played.result.codes["entry"] == 2


def test_engine_without_orders_or_position_runs_out_of_deadlines() -> None:
    engine, rows = _engine()
    assert engine.next_deadline_ns == NEVER
    order = _submitted(engine, rows)
    assert engine.next_deadline_ns == engine.now_ns + 5 * NS_PER_S
    engine.step(OrderRejected(engine.now_ns, order.order_id, "no"))
    while (due_ns := engine.next_deadline_ns) < NEVER:
        assert due_ns <= (START_NS // NS_PER_DAY + 1) * NS_PER_DAY
        engine.step(Timer(due_ns))
        _answer(engine)
    assert engine.state.name == "active"


def test_entry_with_too_little_cash_is_refused_for_buying_power() -> None:
    played = play(settings(**EAGER, account__initial_cash=10), quotes_tape(FLAT))
    assert played.result.codes["buying_power"] == 3
    assert not played.events(SubmitOrder)


def test_an_order_of_less_than_a_lot_is_refused() -> None:
    wanted = settings(**EAGER, **{'instruments."X".lot': 5})
    assert play(wanted, quotes_tape(FLAT)).result.codes["zero_quantity"] == 3


def test_entry_below_instrument_min_quantity_is_refused() -> None:
    wanted = settings(**EAGER, **{'instruments."X".min_quantity': 500})
    assert play(wanted, quotes_tape(FLAT)).result.codes["min_quantity"] == 3


def test_entry_below_instrument_min_notional_is_refused() -> None:
    wanted = settings(**EAGER, **{'instruments."X".min_notional': 500})
    assert play(wanted, quotes_tape(FLAT)).result.codes["min_notional"] == 3


def test_an_open_position_is_valued_at_the_last_valid_bid() -> None:
    quotes = [*FLAT, (START_NS + 9 * NS_PER_S, 100.5, 100.6), (START_NS + 10 * NS_PER_S, None, 99.0)]
    played = play(settings(**EAGER, account__taker_bps=0), quotes_tape(quotes))
    quantity = Decimal("0.999000")
    assert played.result.equity == 10_000 + quantity * (Decimal("100.5") - Decimal("100.1"))


def test_without_a_valid_quote_equity_is_cash() -> None:
    played = play(settings(), quotes_tape([(START_NS, None, 1.0), (START_NS, 2.0, 1.0)]))
    assert played.result.equity == 10_000
    assert played.result.codes["bad_quote"] == 2
    assert np.isnan(played.engine.market.bids[0])


def test_venue_event_at_equal_time_precedes_engine_timer() -> None:
    wanted = settings(
        **EAGER,
        execution__time_in_force="gtc",
        execution__cancel_after_s=0.01,
        execution__aggression_bps=0,
        simulated__order_latency_ms=10,
    )
    record = play(wanted, quotes_tape(FLAT)).record
    first = {type(entry.event): i for i, entry in reversed(list(enumerate(record)))}
    accepted, timer = record[first[OrderAccepted]].event, record[first[Timer]].event
    assert isinstance(accepted, OrderAccepted) and isinstance(timer, Timer)
    assert accepted.at_ns == timer.at_ns
    assert first[OrderAccepted] < first[Timer]


def test_vwap_filter_with_price_equal_to_vwap_refuses_entry() -> None:
    columns: dict[str, Any] = {"ts": [ts for ts, _, _ in FLAT], "bid": [100.0] * 4, "ask": [100.5] * 4}
    sizes: dict[str, Any] = {"bid_size": [1.0] * 4, "ask_size": [1.0] * 4}
    wanted = settings(**EAGER, momentum__use_vwap_filter=True, momentum__max_spread_bps=100)
    codes = play(wanted, columns_tape({"X": columns | sizes})).result.codes
    assert (codes["below_vwap"], codes["entry"]) == (3, 0)


def test_a_look_at_the_result_changes_no_byte_of_a_later_one() -> None:
    columns: dict[str, Any] = {"ts": [1], "bid": [100.0], "ask": [100.02]}
    encoded = set()
    for looks in range(2):
        engine = begun(engine_for(settings(), columns_tape({"A": columns, "B": columns})))
        assert [engine.result().open_positions for _ in range(looks)] == [{}] * looks
        for symbol in ("B", "A"):
            engine.ledger.book_fill(symbol, BUY, Decimal(1), Decimal(100), Decimal(0))
        encoded.add(msgspec.json.encode(engine.result()))
    assert len(encoded) == 1


def test_every_input_has_a_handler() -> None:
    engine = engine_for(settings(), quotes_tape([(START_NS, 1.0, 1.1)]))
    assert set(get_args(AnyInput)) == set(engine._handlers)

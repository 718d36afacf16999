"""Orders that a crash took from the record and that are found at the venue, beside those that are known."""

from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pytest

from autohedge.app import engine_for
from autohedge.core.events import (
    AccountState,
    Event,
    ExecutionReport,
    ExternalChange,
    OperatorCommand,
    OrderMassStatus,
    RequestThrottled,
    Restarted,
    SettingsChanged,
    SubmitOrder,
    Timer,
    VenueOrderStatus,
)
from autohedge.core.ids import client_order_id
from autohedge.core.orders import BUY, SELL, OrderState, Side
from autohedge.core.units import NS_PER_S
from tests.engine.harness import START_NS, EngineHarness
from tests.execution.trading_factory import EAGER, cancelled, entered, listed, submitted
from tests.run_harness import begun, columns_tape, settings

D = Decimal
GTC: dict[str, Any] = {"execution__time_in_force": "gtc", "execution__cancel_after_s": 20}


def _exiting(**changes: Any) -> tuple[EngineHarness, SubmitOrder]:
    """An engine that has just sent an exit of its whole position, and the exit."""
    harness, entry = entered(**GTC | changes)
    harness.fill(entry)
    (exit_order,) = submitted(harness.step(OperatorCommand(harness.engine.now_ns, "flatten", "storm")))
    return harness, exit_order


def _restarted_with(
    harness: EngineHarness, side: Side, quantity: Decimal, *known: VenueOrderStatus
) -> tuple[str, list[Event]]:
    """Restarts; the venue lists the `known` orders and one that the record lost. Returns its id, the outputs."""
    engine = harness.engine
    lost_id = client_order_id("n", engine.seq + 7)
    harness.step(Restarted(engine.now_ns, engine.pos, "second"))
    return lost_id, _reconciled(harness, *known, listed(lost_id, side, quantity))


def _reconciled(harness: EngineHarness, *orders: VenueOrderStatus) -> list[Event]:
    engine, now_ns = harness.engine, harness.engine.now_ns
    held = {symbol: position.quantity for symbol, position in engine.ledger.positions.items()}
    events = harness.step(OrderMassStatus(now_ns, now_ns, orders))
    return events + harness.step(AccountState(now_ns, now_ns, engine.ledger.cash, held))


def _report(harness: EngineHarness, order_id: str, kind: Any, quantity: str) -> list[Event]:
    now_ns = harness.engine.now_ns
    if kind != "fill":
        return harness.step(ExecutionReport(now_ns, order_id, kind, now_ns, filled=D(quantity)))
    trade = f"trade of {order_id}"
    return harness.step(ExecutionReport(now_ns, order_id, "fill", now_ns, trade, D(quantity), D(100), D(0)))


@pytest.mark.parametrize("own_ends_first", [True, False])
def test_no_third_exit_leaves_while_either_of_two_works(own_ends_first: bool) -> None:
    harness, own = _exiting()
    lost_id, _ = _restarted_with(harness, SELL, D("0.5"), listed(own.order_id, SELL, own.quantity))
    first, second = (own.order_id, lost_id) if own_ends_first else (lost_id, own.order_id)
    _report(harness, first, "fill", "0.3")
    _report(harness, first, "expired", "0.3")
    assert first not in harness.engine.orders.working
    assert submitted(harness.quotes(5)) == []
    _report(harness, second, "expired", "0")
    (rest,) = submitted(harness.quotes(1))
    assert rest.quantity == harness.engine.ledger.position("X").quantity == own.quantity - D("0.3")


def test_quotes_after_an_exit_is_adopted_are_exit_pending() -> None:
    harness, entry = entered(**GTC, reconciliation__external="adopt")
    harness.fill(entry)
    _reconciled(harness, listed("theirs", SELL, D("0.5")))
    harness.quotes(5)
    assert harness.engine.codes()["exit_pending"] == 5


def test_throttled_exit_is_not_sent_again_beside_an_adopted_exit() -> None:
    harness, own = _exiting(reconciliation__external="adopt")
    now_ns = harness.engine.now_ns
    harness.step(RequestThrottled(now_ns, own.order_id, now_ns + NS_PER_S))
    _reconciled(harness, listed("theirs", SELL, D("0.5")))
    assert submitted(harness.fire_timers_until(now_ns + 3 * NS_PER_S)) == []
    assert harness.engine.orders.working[own.order_id].state is OrderState.UNKNOWN


def test_throttled_exit_is_not_sent_again_if_less_is_held_meanwhile() -> None:
    harness, own = _exiting(reconciliation__external="adopt")
    now_ns = harness.engine.now_ns
    harness.step(RequestThrottled(now_ns, own.order_id, now_ns + NS_PER_S))
    _reconciled(harness, listed("theirs", SELL, D("0.5")))
    _report(harness, "theirs", "fill", "0.5")
    assert submitted(harness.fire_timers_until(now_ns + 3 * NS_PER_S)) == []


def test_halt_cancels_an_adopted_entry_beside_the_entry_of_the_run() -> None:
    harness, own = entered(**GTC)
    lost_id, _ = _restarted_with(harness, BUY, D(1), listed(own.order_id, BUY, own.quantity))
    events = harness.step(OperatorCommand(harness.engine.now_ns, "halt", "lunch"))
    assert cancelled(events) == [own.order_id, lost_id]


def test_entry_adopted_while_halted_is_cancelled_at_once() -> None:
    harness, own = entered(**GTC)
    harness.step(OperatorCommand(harness.engine.now_ns, "halt", "lunch"))
    harness.confirm_cancel(own)
    lost_id, events = _restarted_with(harness, BUY, D(1))
    assert cancelled(events) == [lost_id]
    assert harness.engine.orders.working[lost_id].state is OrderState.PENDING_CANCEL


def test_lost_entry_is_cancelled_after_its_time_to_rest_since_adoption() -> None:
    harness, own = entered(**GTC)
    harness.confirm_cancel(own)
    lost_id, events = _restarted_with(harness, BUY, D(1))
    adopted_ns = harness.engine.now_ns
    events += harness.fire_timers_until(adopted_ns + 20 * NS_PER_S - 1)
    assert cancelled(events) == []
    assert cancelled(harness.fire_timers_until(adopted_ns + 20 * NS_PER_S)) == [lost_id]


def test_exit_cancels_every_entry_of_its_lane() -> None:
    harness, own = entered(**GTC)
    harness.fill(own, D("0.4"))
    lost_id, _ = _restarted_with(harness, BUY, D(1), listed(own.order_id, BUY, own.quantity))
    harness.engine.actions.exit_now(0, "stop_loss", harness.engine.now_ns)
    assert cancelled(harness.drain()) == [own.order_id, lost_id]


def test_both_entries_of_a_lane_count_against_its_position_limit() -> None:
    harness, own = entered(**GTC)
    _restarted_with(harness, BUY, D(1), listed(own.order_id, BUY, own.quantity))
    context = harness.engine.planner._risk_context(0, 0, D(0), 0)
    assert context.position_notional == harness.engine.orders.reserved > own.quantity * D("100.1") + D(100)


def test_all_fills_before_the_adoption_of_their_order_are_booked() -> None:
    harness, _ = entered(**GTC)
    engine, now_ns = harness.engine, harness.engine.now_ns
    lost_id = client_order_id("n", engine.seq + 7)
    harness.step(Restarted(now_ns, engine.pos, "second"))
    for trade, quantity in (("t8", "0.1"), ("t9", "0.2")):
        fill = ExecutionReport(now_ns, lost_id, "fill", now_ns, trade, D(quantity), D(100), D(0))
        harness.step(fill)
    _reconciled(harness, listed(lost_id, BUY, D(1)))
    assert engine.ledger.position("X").quantity == D("0.3")


@pytest.mark.parametrize(("slices", "force"), [(4, "ioc"), (1, "gtc")])
def test_purchase_adopted_while_flat_changes_no_slices_that_are_left(slices: int, force: str) -> None:
    sliced: dict[str, Any] = {"execution__twap_slices": slices, "execution__twap_s": 12 * (slices > 1)}
    harness, first = entered(**sliced, reconciliation__external="adopt")
    _report(harness, first.order_id, "expired", "0")
    engine = harness.engine
    harness.step(SettingsChanged(engine.now_ns, "old", "new", {"execution.time_in_force": "gtc"}))
    engine.execution.adopt_position(0, D(1), D(100), engine.now_ns)
    assert engine.instruments[0].terms.time_in_force == force


def _account(harness: EngineHarness, asked_ns: int, quantity: Decimal) -> list[Event]:
    """An account state that shows another position than the ledger; it was asked for at a time."""
    engine = harness.engine
    return harness.step(AccountState(engine.now_ns, asked_ns, engine.ledger.cash, {"X": quantity}))


@pytest.mark.parametrize("works", [True, False])
def test_difference_counts_only_while_no_order_works_and_none_moved_since(works: bool) -> None:
    harness, entry = entered(**GTC, reconciliation__external="adopt")
    engine = harness.engine
    if not works:
        harness.fill(entry)
    # After the last event while the order works, else before the fill.
    asked_s = (1, 61) if works else (-60, 0)
    times_ns = [engine.now_ns + each * NS_PER_S for each in asked_s]
    harness.step(Timer(engine.now_ns + 90 * NS_PER_S))
    for asked_ns in times_ns:
        assert not [event for event in _account(harness, asked_ns, D(9)) if isinstance(event, ExternalChange)]


def test_fill_of_a_lost_order_is_no_external_change_while_no_list_has_come() -> None:
    harness, _ = entered(**GTC, reconciliation__external="adopt")
    engine, now_ns = harness.engine, harness.engine.now_ns
    lost_id = client_order_id("n", engine.seq + 7)
    harness.step(Restarted(now_ns, engine.pos, "second"))
    harness.step(ExecutionReport(now_ns, lost_id, "canceled", now_ns, filled=D(0)))
    _report(harness, lost_id, "fill", "0.4")
    for each in list(engine.orders.working.values()):
        harness.step(ExecutionReport(now_ns, each.id, "canceled", now_ns, filled=D(0)))
    changes = []
    for late_s in (30, 60, 90):
        changes += _account(harness, now_ns + late_s * NS_PER_S, D("0.4"))
    assert not [event for event in changes if isinstance(event, ExternalChange)]
    _reconciled(harness, listed(lost_id, BUY, D(1)))
    assert engine.ledger.position("X").quantity == D("0.4")


def test_trailing_stop_ends_with_its_position_although_one_list_opens_the_next() -> None:
    path = (100.0, 100.0, 101.0, 101.0)
    quotes = [(START_NS + i * NS_PER_S, bid, bid + 0.1) for i, bid in enumerate(path)]
    trail = {"exits__trailing_activation_bps": 50, "exits__trailing_distance_bps": 500}
    harness, entry = entered(quotes, reconciliation__external="adopt", **trail)
    harness.fill(entry)
    harness.quotes(1)
    states = harness.engine.kernel_states
    assert states["trail_from"][0] == -np.inf, "the quote has activated the trailing stop"
    _report(harness, "their sale", "fill", str(entry.quantity))
    _report(harness, "their purchase", "fill", "1")
    now_ns = harness.engine.now_ns
    orders = (listed("their sale", SELL, entry.quantity + 1), listed("their purchase", BUY, D(2)))
    harness.step(OrderMassStatus(now_ns, now_ns, orders))
    assert harness.engine.ledger.position("X").quantity == 1
    assert states["trail_from"][0] > 100.0, "that of the new position is not active"


def test_adopted_fill_of_a_symbol_without_a_quote_is_worth_its_cost() -> None:
    quoted: dict[str, Any] = {
        "ts": [START_NS + i * NS_PER_S for i in range(5)],
        "bid": [100.0] * 5,
        "ask": [100.1] * 5,
    }
    later: dict[str, Any] = {"ts": [START_NS + 99 * NS_PER_S], "bid": [10.0], "ask": [10.1]}
    tape = columns_tape({"X": quoted, "Y": later})
    engine = begun(engine_for(settings(**EAGER, reconciliation__external="adopt"), tape))
    engine.scan(tape.rows, 0, 1)
    now_ns = engine.now_ns
    engine.step(ExecutionReport(now_ns, "theirs", "fill", now_ns, "t", D(1), D(10), D(0)))
    theirs = msgspec.structs.replace(listed("theirs", BUY, D(2)), symbol="Y")
    engine.step(OrderMassStatus(now_ns, now_ns, (theirs,)))
    engine.step(AccountState(now_ns, now_ns, engine.ledger.cash, {"Y": D(1)}))
    assert engine.result().equity == engine.portfolio.equity() == engine.ledger.initial_cash
    engine.log.clear()
    while engine.pos < 5:
        engine.scan(tape.rows, engine.pos, 5)
    assert [order.symbol for order in submitted(entry.event for entry in engine.log)] == ["X"]

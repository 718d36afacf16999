"""Exits of a position: they are armed again after whatever became of an earlier one, and never doubled."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from autohedge.core.events import (
    AccountState,
    ConnectionStatus,
    Event,
    ExecutionReport,
    OperatorCommand,
    OrderMassStatus,
    OrderNotFound,
    OrderRejected,
    RequestUnknown,
    SubmitOrder,
)
from autohedge.core.orders import BUY
from autohedge.core.units import NS_PER_S
from tests.engine.harness import START_NS, EngineHarness
from tests.execution.trading_factory import EAGER, entered, listed, submitted

D = Decimal
LEVELS: dict[str, Any] = {"exits__take_profit_bps": 100, "exits__stop_loss_bps": 100}
TRAIL: dict[str, Any] = LEVELS | {
    "exits__trailing_activation_bps": 50,
    "exits__trailing_distance_bps": 50,
}
# Settings, the two bids up to the exit, then one that does not meet its level, and one that does.
BIDS: dict[str, tuple[dict[str, Any], list[float], float, float]] = {
    "stop_loss": (LEVELS, [99.5, 99.0], 100.0, 99.0),
    "take_profit": (LEVELS, [100.8, 101.2], 100.0, 101.1),
    "trailing_stop": (TRAIL, [100.6, 100.0], 100.3, 100.09),
}
CAUSED = ["time_stop", "flatten", "exit_signal"]


def _bought(*bids: float, **changes: Any) -> tuple[EngineHarness, SubmitOrder]:
    """An engine that has just bought at 100.1, before quotes with these bids."""
    quotes = [(START_NS + i * NS_PER_S, bid, bid + 0.1) for i, bid in enumerate((100.0, 100.0, *bids))]
    harness, entry = entered(quotes, **changes)
    harness.fill(entry)
    return harness, entry


def _exiting(reason: str, *, more: int = 5) -> tuple[EngineHarness, SubmitOrder]:
    """An engine that has just sent an exit for this reason; for a level, the bids of `BIDS` are left."""
    if reason in BIDS:
        changes, path, calm, meeting = BIDS[reason]
        harness, _ = _bought(*path, calm, meeting, **changes)
        events = harness.quotes(2)
    else:
        harness, _ = _bought(*[100.0] * more, exits__max_hold_s=1 if reason == "time_stop" else 0)
        events = _caused(harness, reason)
    (exit_order,) = submitted(events)
    assert exit_order.reason == reason
    return harness, exit_order


def _caused(harness: EngineHarness, reason: str) -> list[Event]:
    """Lets an exit happen that no price level causes."""
    if reason == "time_stop":
        return harness.fire_timers_until(harness.engine.now_ns + NS_PER_S)
    if reason == "flatten":
        return harness.step(OperatorCommand(harness.engine.now_ns, "flatten", "storm"))
    harness.engine.actions.exit_position(0, reason, harness.engine.now_ns)
    harness.engine._settle()
    return harness.drain()


def _report(harness: EngineHarness, order: SubmitOrder, kind: Any, **facts: Any) -> list[Event]:
    now_ns = harness.engine.now_ns
    return harness.step(ExecutionReport(now_ns, order.order_id, kind, now_ns, **facts))


def partly_filled(harness: EngineHarness, order: SubmitOrder) -> None:
    harness.fill(order, D("0.4"))
    _report(harness, order, "expired", filled=D("0.4"))


def expired(harness: EngineHarness, order: SubmitOrder) -> None:
    _report(harness, order, "expired", filled=D(0))


def rejected(harness: EngineHarness, order: SubmitOrder) -> None:
    harness.step(OrderRejected(harness.engine.now_ns, order.order_id, "no"))
    harness.fire_timers_until(harness.engine.timers.deadline_ns(("exit", 0)))


def proven_absent(harness: EngineHarness, order: SubmitOrder) -> None:
    now_ns = harness.engine.now_ns
    harness.step(RequestUnknown(now_ns, order.order_id, "timeout"))
    for asked_ns in (now_ns + NS_PER_S, now_ns + 7 * NS_PER_S):
        harness.step(OrderNotFound(asked_ns, order.order_id, asked_ns))
    harness.step(OrderMassStatus(asked_ns, asked_ns, ()))


End = Callable[[EngineHarness, SubmitOrder], None]
ENDS: list[End] = [partly_filled, expired, rejected, proven_absent]


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("reason", BIDS)
def test_level_after_its_exit_fires_again_at_the_first_quote_that_meets_it(reason: str, end: End) -> None:
    harness, first = _exiting(reason)
    end(harness, first)
    assert submitted(harness.quotes(1)) == []
    (second,) = submitted(harness.quotes(1))
    assert (second.reason, second.quantity) == (reason, harness.engine.ledger.position("X").quantity)


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("reason", CAUSED)
def test_exit_without_a_level_is_repeated_at_the_next_quote_until_flat(reason: str, end: End) -> None:
    harness, exit_order = _exiting(reason)
    for _ in range(2):
        end(harness, exit_order)
        (exit_order,) = submitted(harness.quotes(1))
        assert exit_order.reason == reason
        assert exit_order.quantity == harness.engine.ledger.position("X").quantity


@pytest.mark.parametrize("again", ["time_stop", "flatten", "exit_signal", "stop_loss"])
@pytest.mark.parametrize("reason", [*BIDS, *CAUSED])
def test_no_second_exit_leaves_while_the_first_is_partly_filled(reason: str, again: str) -> None:
    harness, first = _exiting(reason)
    harness.fill(first, D("0.4"))
    if again == "stop_loss":
        harness.engine.actions.exit_now(0, again, harness.engine.now_ns)
        events = harness.drain()
    elif again == "time_stop":
        harness.engine._on_time_stop(0)
        events = harness.drain()
    else:
        events = _caused(harness, again)
    events += harness.quotes(2)
    assert submitted(events) == []
    assert harness.engine.codes()["exit_pending"] == 2


@pytest.mark.parametrize("reason", BIDS)
@pytest.mark.parametrize("amount", [D("-0.5"), D("0.5")])
def test_levels_stay_armed_after_the_position_is_changed_by_somebody_else(
    reason: str, amount: Decimal
) -> None:
    changes, path, *_ = BIDS[reason]
    harness, entry = _bought(*path, **changes, reconciliation__external="adopt")
    harness.quotes(1)
    _adopt(harness, entry.quantity + amount)
    (exit_order,) = submitted(harness.quotes(1))
    assert (exit_order.reason, exit_order.quantity) == (reason, entry.quantity + amount)


def _adopt(harness: EngineHarness, quantity: Decimal) -> None:
    """Shows the engine another position at the venue, twice and far enough apart to be adopted."""
    for _ in range(2):
        now_ns = harness.engine.now_ns + 6 * NS_PER_S
        harness.step(ConnectionStatus(now_ns, "up"))
        harness.step(OrderMassStatus(now_ns, now_ns, ()))
        harness.step(AccountState(now_ns, now_ns, harness.engine.ledger.cash, {"X": quantity}))
    assert harness.engine.ledger.position("X").quantity == quantity


def test_time_stop_after_adoption_of_a_part_still_sells_the_rest_in_time() -> None:
    harness, entry = _bought(*[100.0] * 5, exits__max_hold_s=20, reconciliation__external="adopt")
    due_ns = harness.engine.now_ns + 20 * NS_PER_S
    _adopt(harness, entry.quantity - D("0.5"))
    (exit_order,) = submitted(harness.fire_timers_until(due_ns))
    assert (exit_order.at_ns, exit_order.quantity) == (due_ns, entry.quantity - D("0.5"))


def test_busted_exit_gives_the_position_its_time_stop_back() -> None:
    harness, exit_order = _exiting("time_stop")
    harness.fill(exit_order)
    assert harness.engine.ledger.position("X").quantity == 0
    busted_ns = harness.engine.now_ns
    _report(harness, exit_order, "bust", trade_id="t2")
    (again,) = submitted(harness.fire_timers_until(busted_ns + NS_PER_S))
    assert (again.reason, again.quantity) == ("time_stop", exit_order.quantity)


def test_position_bought_back_over_a_short_one_has_exit_levels_of_its_own() -> None:
    harness, exit_order = _exiting("flatten")
    harness.fill(exit_order)
    harness.fill(exit_order, D(1))
    harness.engine.execution.adopt_position(0, D(2), D(200), harness.engine.now_ns)
    state = harness.engine.instruments[0]
    assert [state.take_profit, state.stop_loss] == pytest.approx([220.0, 180.0])


def test_position_closed_by_somebody_else_leaves_no_exit_for_the_next_one() -> None:
    harness, exit_order = _exiting("time_stop", more=9)
    expired(harness, exit_order)
    held = harness.engine.ledger.position("X").quantity
    harness.engine.execution.adopt_position(0, -held, D(100), harness.engine.now_ns)
    harness.engine.execution.adopt_position(0, held, D(100), harness.engine.now_ns)
    harness.engine._settle()
    assert submitted(harness.quotes(3)) == []


def test_flatten_sells_what_a_partly_filled_entry_still_fills_after_it_was_flat() -> None:
    harness = EngineHarness(EAGER, [(START_NS + i * NS_PER_S, 100.0, 100.1) for i in range(9)])
    (entry,) = submitted(harness.quotes(2))
    harness.fill(entry, D("0.4"))
    (first,) = submitted(harness.step(OperatorCommand(harness.engine.now_ns, "flatten", "storm")))
    harness.fill(first)
    harness.fill(entry, D("0.2"))
    (second,) = submitted(harness.quotes(1))
    assert (second.reason, second.quantity) == ("flatten", D("0.2"))


def test_position_from_an_order_adopted_in_a_later_pass_is_stopped() -> None:
    harness = EngineHarness(
        EAGER | LEVELS | {"reconciliation__external": "adopt", "momentum__warmup_count": 50},
        [(START_NS + i * NS_PER_S, bid, bid + 0.1) for i, bid in enumerate((100.0, 100.0, 98.0))],
    )
    harness.quotes(2)
    now_ns = harness.engine.now_ns
    harness.step(ExecutionReport(now_ns, "theirs", "fill", now_ns, "t9", D(1), D(100), D(0)))
    harness.step(OrderMassStatus(now_ns, now_ns, (listed("theirs", BUY, D(2)),)))
    (exit_order,) = submitted(harness.quotes(1))
    assert (exit_order.reason, exit_order.quantity) == ("stop_loss", D(1))

"""Entries in slices: no further slice after an exit of any kind, a sale by somebody else, or a halt."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import pytest

from autohedge.core.events import (
    AccountState,
    CancelOrder,
    ExecutionReport,
    OperatorCommand,
    OrderAccepted,
    OrderMassStatus,
    RequestUnknown,
    SubmitOrder,
    SystemFault,
    Timer,
)
from autohedge.core.orders import SELL
from autohedge.core.units import NS_PER_S
from autohedge.execution.entry_request import LONG
from tests.engine.harness import START_NS, EngineHarness
from tests.execution.trading_factory import EAGER, entered, listed, submitted

D = Decimal
SLICED: dict[str, Any] = {
    "execution__twap_slices": 4,
    "execution__twap_s": 40,
    "risk__stale_after_ms": 60_000,
    "execution__cooldown_ms": 0,
    "execution__min_order_interval_ms": 0,
    "reconciliation__external": "adopt",
    "exits__take_profit_bps": 100,
    "exits__stop_loss_bps": 100,
}
TRAIL: dict[str, Any] = {"exits__trailing_activation_bps": 50, "exits__trailing_distance_bps": 50}


def _slicing(
    *bids: float, more: Sequence[float] = (), filled: bool = True, **changes: Any
) -> tuple[EngineHarness, SubmitOrder]:
    """An engine after its first slice of four and quotes with these bids; quotes with `more` are left."""
    path = (100.0, 100.0, *bids, *more)
    quotes = [(START_NS + i * NS_PER_S, bid, bid + 0.1) for i, bid in enumerate(path)]
    harness, first = entered(quotes, **SLICED | changes)
    if filled:
        harness.fill(first)
    harness.quotes(len(bids))
    return harness, first


def _later(harness: EngineHarness) -> list[SubmitOrder]:
    """The orders that timers cause within a minute."""
    return submitted(harness.fire_timers_until(harness.engine.now_ns + 60 * NS_PER_S))


def test_second_slice_is_sent_while_the_entry_goes_on() -> None:
    harness, first = _slicing()
    (second,) = submitted(harness.fire_timers_until(first.at_ns + 10 * NS_PER_S))
    assert second.quantity == first.quantity


@pytest.mark.parametrize("filled", ["0", "0.1", "all"])
@pytest.mark.parametrize(
    ("reason", "bids"),
    [
        ("stop_loss", [99.0]),
        ("take_profit", [101.2]),
        ("trailing_stop", [100.6, 100.0]),
    ],
)
def test_slices_end_with_an_exit_at_a_level(reason: str, bids: list[float], filled: str) -> None:
    harness, first = _slicing(*bids[:-1], **TRAIL if reason == "trailing_stop" else {}, more=bids[-1:])
    (exit_order,) = submitted(harness.quotes(1))
    assert exit_order.reason == reason
    done, now_ns = first.quantity if filled == "all" else D(filled), harness.engine.now_ns
    if done:
        harness.fill(exit_order, done)
    harness.step(ExecutionReport(now_ns, exit_order.order_id, "expired", now_ns, filled=done))
    assert _later(harness) == []


def time_stop(harness: EngineHarness) -> None:
    (exit_order,) = submitted(harness.fire_timers_until(harness.engine.now_ns + 5 * NS_PER_S))
    harness.fill(exit_order)


def flatten(harness: EngineHarness) -> None:
    (exit_order,) = submitted(harness.step(OperatorCommand(harness.engine.now_ns, "flatten", "storm")))
    harness.fill(exit_order)
    harness.step(OperatorCommand(harness.engine.now_ns, "resume", "calm"))


def agents_exit(harness: EngineHarness) -> None:
    harness.engine.actions.exit_position(0, "exit_signal", harness.engine.now_ns)
    (exit_order,) = submitted(harness.drain())
    harness.fill(exit_order)


def adopted_exit(harness: EngineHarness) -> None:
    now_ns = harness.engine.now_ns
    harness.step(OrderMassStatus(now_ns, now_ns, (listed("theirs", SELL, D("0.1")),)))
    harness.step(ExecutionReport(now_ns, "theirs", "expired", now_ns, filled=D(0)))


def sale_by_somebody_else(harness: EngineHarness) -> None:
    engine, asked_ns = harness.engine, harness.engine.now_ns
    for _ in range(2):
        asked_ns += 6 * NS_PER_S
        cash = engine.ledger.cash
        list(engine.execution.on_account_state(AccountState(asked_ns, asked_ns, cash, {}), engine.now_ns))
    assert engine.ledger.position("X").quantity == 0


@pytest.mark.parametrize("sale", [time_stop, flatten, agents_exit, adopted_exit, sale_by_somebody_else])
def test_slices_end_with_a_sale_of_any_kind(sale: Callable[[EngineHarness], None]) -> None:
    harness, _ = _slicing(exits__max_hold_s=5 if sale is time_stop else 0)
    sale(harness)
    assert _later(harness) == []


def test_slices_end_while_an_exit_waits_for_the_venue() -> None:
    harness, _ = _slicing()
    harness.engine.execution.exits_wait = True
    assert harness.engine.actions.exit_position(0, "time_stop", harness.engine.now_ns)
    assert _later(harness) == []


def operator_halt(harness: EngineHarness) -> None:
    harness.step(OperatorCommand(harness.engine.now_ns, "halt", "lunch"))


def disk_fault(harness: EngineHarness) -> None:
    harness.step(SystemFault(harness.engine.now_ns, "the disk is full"))


def too_many_errors(harness: EngineHarness) -> None:
    (order,) = harness.engine.orders.entries()
    for _ in range(2):
        harness.step(RequestUnknown(harness.engine.now_ns, order.id, "timeout", "query"))


@pytest.mark.parametrize("halt", [operator_halt, disk_fault, too_many_errors])
def test_slices_do_not_go_on_after_a_halt_is_lifted(halt: Callable[[EngineHarness], None]) -> None:
    harness, first = _slicing(filled=False, risk__max_errors_per_minute=1)
    halt(harness)
    assert harness.engine.halted
    harness.fill(first)
    harness.step(OperatorCommand(harness.engine.now_ns, "resume", "calm", harness.engine.halt_id))
    assert not harness.engine.halted
    assert _later(harness) == []


def test_slice_refused_for_the_daily_loss_turns_entries_off_until_midnight() -> None:
    harness, first = _slicing(99.5, risk__max_daily_loss_pct=0.001)
    harness.fire_timers_until(first.at_ns + 10 * NS_PER_S)
    assert harness.engine.stats.slice_refusals == {"daily_loss": 1}
    assert harness.engine.state.causes == {"daily_loss"}


def test_feed_that_is_watched_again_goes_before_a_later_timer_of_the_same_time() -> None:
    minute_ns = 60 * NS_PER_S
    changes: dict[str, Any] = SLICED | {
        "execution__twap_slices": 3,
        "execution__twap_s": 120,
        "execution__time_in_force": "gtc",
        "execution__cancel_after_s": 60,
        "risk__silent_feed_s": 60,
        "momentum__min_edge_bps": 10**6,
    }
    quotes = [(START_NS + at_s * NS_PER_S, 100.0, 100.1) for at_s in (0, 20, 60)]
    harness = EngineHarness(EAGER | changes, quotes)
    engine = harness.engine
    harness.quotes(1)
    engine.execution.adopt_position(0, D(1), D(100), engine.now_ns)
    harness.step(OperatorCommand(engine.now_ns, "resume", "arms the watchdogs"))
    harness.quotes(1)
    engine.actions.enter(0, LONG, engine.now_ns, engine.now_ns)
    (first,) = submitted(harness.drain())
    harness.fill(first)
    harness.quotes(1)  # with the time at which the feed would be silent and the next slice is due
    (second,) = submitted(harness.step(Timer(START_NS + minute_ns)))
    harness.step(OrderAccepted(engine.now_ns, second.order_id, "v"))
    events = harness.fire_timers_until(START_NS + 2 * minute_ns)
    assert [e.reason for e in events if isinstance(e, CancelOrder)] == ["market data timeout"]

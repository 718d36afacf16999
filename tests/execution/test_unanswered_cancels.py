"""Cancels that the venue does not answer: repeated as long as the order works, reported after a bound."""

from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from autohedge.core.events import (
    Alert,
    AnyInput,
    CancelOrder,
    ConnectionStatus,
    Event,
    ExecutionReport,
    OperatorCommand,
    OrderAccepted,
    OrderMassStatus,
    QueryOrder,
    RequestThrottled,
    Restarted,
    SubmitOrder,
    TradingStateChanged,
    VenueOrderStatus,
)
from autohedge.core.units import NS_PER_S
from autohedge.execution.tracking import PAUSE_MAX_NS
from tests.engine.harness import START_NS, EngineHarness

HOUR_NS = 3_600 * NS_PER_S
RESTING: dict[str, Any] = {
    "momentum__evaluate_every_quotes": 1,
    "momentum__lookback": 1,
    "momentum__warmup_count": 0,
    "momentum__min_edge_bps": 0,
    "execution__time_in_force": "gtc",
    "execution__cancel_after_s": 5,
}
QUOTES = [(START_NS + i * NS_PER_S, 100.0, 100.1) for i in range(10)]
LOST = "cancel not acknowledged"


def _canceled(**changes: Any) -> tuple[EngineHarness, SubmitOrder]:
    """An entry that rests, and whose cancel has just been sent."""
    harness = EngineHarness(RESTING | changes, QUOTES)
    events: list[Event] = []
    while not events:
        events = harness.quotes(1)
    (order,) = events
    assert isinstance(order, SubmitOrder)
    harness.accept(order)
    harness.step(OperatorCommand(harness.engine.now_ns, "halt", "lunch"))
    harness.step(OperatorCommand(harness.engine.now_ns, "resume", "back"))
    return harness, order


def _only(events: list[Event], kind: type[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def _listed(order: SubmitOrder, at_ns: int) -> OrderMassStatus:
    found = VenueOrderStatus(
        order.order_id,
        order.symbol,
        order.side,
        order.order_type,
        order.time_in_force,
        order.limit,
        order.quantity,
        filled=Decimal(0),
        status="open",
    )
    return OrderMassStatus(at_ns, at_ns, (found,))


def test_unanswered_cancel_is_repeated_with_bounded_pauses_until_order_ends() -> None:
    harness, order = _canceled()
    sent_ns = harness.engine.now_ns
    cancels = _only(harness.fire_timers_until(sent_ns + 24 * HOUR_NS), CancelOrder)
    pauses = [later.at_ns - one.at_ns for one, later in pairwise(cancels)]
    assert max(pauses) == pauses[-1] == PAUSE_MAX_NS and pauses[0] == NS_PER_S // 2
    assert len(cancels) < 24 * HOUR_NS / PAUSE_MAX_NS + 30
    harness.confirm_cancel(order)
    assert not _only(harness.fire_timers_until(sent_ns + 48 * HOUR_NS), CancelOrder)


@pytest.mark.parametrize("command", ["halt", "flatten", "stop"])
def test_operator_command_repeats_unanswered_cancel_with_fresh_backoff(command: Any) -> None:
    harness, order = _canceled()
    harness.fire_timers_until(harness.engine.now_ns + 2 * HOUR_NS)
    at_ns = harness.engine.now_ns + NS_PER_S
    events = harness.step(OperatorCommand(at_ns, command, "out"))
    assert _only(events, CancelOrder) == [CancelOrder(at_ns, order.order_id, LOST)]
    (repeated,) = _only(harness.fire_timers_until(at_ns + NS_PER_S // 2), CancelOrder)
    assert repeated.at_ns == at_ns + NS_PER_S // 2


@pytest.mark.parametrize(
    "event",
    [Restarted(START_NS + 3 * HOUR_NS, 0, "fresh"), ConnectionStatus(START_NS + 3 * HOUR_NS, "up")],
    ids=["restart", "reconnect"],
)
def test_restart_and_reconnect_repeat_unanswered_cancel_with_fresh_backoff(event: AnyInput) -> None:
    harness, order = _canceled()
    harness.fire_timers_until(START_NS + 2 * HOUR_NS)
    at_ns = START_NS + 3 * HOUR_NS
    assert _only(harness.step(event), CancelOrder) == [CancelOrder(at_ns, order.order_id, LOST)]
    assert len(_only(harness.fire_timers_until(at_ns + NS_PER_S // 2), CancelOrder)) == 1


@pytest.mark.parametrize("listed", [False, True])
def test_order_that_rests_after_a_restart_gets_its_cancel_once_more(*, listed: bool) -> None:
    harness, order = _canceled()
    at_ns = harness.engine.now_ns + NS_PER_S // 10
    harness.step(Restarted(at_ns, 0, "fresh"))
    rests = _listed(order, at_ns) if listed else OrderAccepted(at_ns, order.order_id, "v")
    assert _only(harness.step(rests), CancelOrder) == [CancelOrder(at_ns, order.order_id, LOST)]
    assert not _only(harness.step(rests), CancelOrder)


def test_repeated_cancel_waits_while_the_venue_throttles() -> None:
    harness, order = _canceled()
    at_ns = harness.engine.now_ns
    until_ns = at_ns + 30 * NS_PER_S
    harness.step(RequestThrottled(at_ns, order.order_id, until_ns, about="cancel"))
    assert not _only(harness.step(OperatorCommand(at_ns, "halt", "out")), CancelOrder)
    assert not _only(harness.fire_timers_until(until_ns - 1), CancelOrder)
    assert len(_only(harness.fire_timers_until(until_ns), CancelOrder)) == 1


def test_cancel_unanswered_beyond_the_bound_alerts_once_and_halts() -> None:
    harness, order = _canceled(risk__unknown_halt_s=20)
    at_ns = harness.engine.now_ns
    assert not _only(harness.fire_timers_until(at_ns + 20 * NS_PER_S - 1), Alert)
    events = harness.fire_timers_until(at_ns + HOUR_NS)
    (alert,), (halted,) = _only(events, Alert), _only(events, TradingStateChanged)
    assert (alert.code, alert.subject) == ("cancel_unanswered", order.order_id)
    assert order.order_id in halted.reason and harness.engine.halt_id == halted.halt_id


def test_answered_cancel_neither_alerts_nor_halts() -> None:
    harness, order = _canceled(risk__unknown_halt_s=20)
    harness.confirm_cancel(order)
    assert not _only(harness.fire_timers_until(harness.engine.now_ns + HOUR_NS), Alert)
    assert not harness.engine.halted


def test_cancel_has_the_whole_bound_after_a_restart() -> None:
    harness, _ = _canceled(risk__unknown_halt_s=20)
    at_ns = harness.engine.now_ns + HOUR_NS
    harness.step(Restarted(at_ns, 0, "fresh"))
    assert not _only(harness.fire_timers_until(at_ns + 20 * NS_PER_S - 1), Alert)
    assert len(_only(harness.fire_timers_until(at_ns + 60 * NS_PER_S), Alert)) == 1


def test_reported_end_answers_the_cancel_while_its_fills_are_missing() -> None:
    harness, order = _canceled(risk__unknown_halt_s=20)
    at_ns = harness.engine.now_ns
    harness.step(ExecutionReport(at_ns, order.order_id, "canceled", at_ns, filled=order.quantity / 2))
    events = harness.fire_timers_until(at_ns + 10 * NS_PER_S)
    assert _only(events, QueryOrder) and not _only(events, CancelOrder)

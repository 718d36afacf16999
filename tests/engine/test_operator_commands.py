"""What a person's commands change: pause, cancel all, sync, resume, and a request that is sent twice."""

from decimal import Decimal
from typing import Any

import pytest

from autohedge.core.events import (
    AccountState,
    DeliberationRequested,
    ExecutionReport,
    GateChanged,
    OperatorCommand,
    OrderMassStatus,
    ProposalResolved,
    QueryAccount,
    QueryFills,
    QueryOpenOrders,
    QueryOrder,
    RequestThrottled,
    RequestUnknown,
    Restarted,
    SubmitOrder,
    SystemFault,
    VenueOrderStatus,
)
from autohedge.core.orders import BUY, GTC, LIMIT, SELL
from autohedge.core.units import NS_PER_S
from autohedge.engine.engine import REQUESTS_MAX
from tests.engine.deliberations.proposal_harness import ProposalHarness, events_of, resolution_codes
from tests.engine.harness import START_NS, EngineHarness
from tests.execution.trading_factory import EAGER, FLAT, cancelled, entered, submitted

RESTING: dict[str, Any] = {"execution__time_in_force": "gtc", "execution__cancel_after_s": 3_600}
HYBRID: dict[str, Any] = {
    "trading__mode": "hybrid",
    "hybrid__gate_refresh_quotes": 2,
    "hybrid__min_refresh_s": 0,
    "hybrid__starts_open": True,
}


def _command(harness: EngineHarness, command: Any, **changes: Any) -> list[Any]:
    return harness.step(OperatorCommand(harness.engine.now_ns, command, "lunch", **changes))


def _reconciled(harness: EngineHarness, *orders: VenueOrderStatus) -> list[Any]:
    """Lets the venue answer a pass of reconciliation, with these open orders."""
    engine, now_ns = harness.engine, harness.engine.now_ns
    held = {symbol: position.quantity for symbol, position in engine.ledger.positions.items()}
    events = harness.step(OrderMassStatus(now_ns, now_ns, orders))
    return events + harness.step(AccountState(now_ns, now_ns, engine.ledger.cash, held))


def _resting(**changes: Any) -> tuple[EngineHarness, SubmitOrder]:
    """An engine whose entry rests at the venue."""
    harness, entry = entered(**RESTING | changes)
    harness.accept(entry)
    return harness, entry


# pause


def test_pause_sends_no_entry_until_resume() -> None:
    harness = EngineHarness(EAGER, FLAT)
    _command(harness, "pause")
    assert submitted(harness.quotes(10)) == [] and harness.engine.codes()["reducing"] == 9
    _command(harness, "resume")
    assert [order.side for order in submitted(harness.quotes(2))] == [BUY]


def test_pause_keeps_resting_entries_which_may_fill() -> None:
    harness, entry = _resting()
    assert cancelled(_command(harness, "pause")) == []
    harness.fill(entry)
    assert harness.engine.ledger.position("X").quantity == entry.quantity


def test_pause_lets_take_profit_and_stop_loss_go_on() -> None:
    for price, reason in ((200.0, "take_profit"), (50.0, "stop_loss")):
        moved = [*FLAT[:5], (START_NS + 100 * NS_PER_S, price, price + 0.1)]
        harness, entry = entered(moved)
        harness.fill(entry)
        _command(harness, "pause")
        (exit_order,) = submitted(harness.quotes(4))
        assert (exit_order.side, exit_order.reason) == (SELL, reason)


def test_pause_drops_the_slices_that_fall_into_it() -> None:
    slices: dict[str, Any] = {
        "execution__twap_slices": 5,
        "execution__twap_s": 40,
        "risk__stale_after_ms": 1e9,
    }
    harness, first = entered(**slices)
    harness.fill(first)
    _command(harness, "pause")
    assert submitted(harness.fire_timers_until(harness.engine.now_ns + 15 * NS_PER_S)) == []
    assert harness.engine.result().slice_refusals == {"reducing": 1}
    _command(harness, "resume")
    assert len(submitted(harness.fire_timers_until(harness.engine.now_ns + 60 * NS_PER_S))) >= 1


def test_pause_does_not_move_a_resting_entry() -> None:
    rising = [(ts, 100.0 + i, 100.1 + i) for i, (ts, _, _) in enumerate(FLAT)]
    harness, entry = entered(rising, **RESTING, execution__reprice_after_s=1)
    harness.accept(entry)
    _command(harness, "pause")
    harness.quotes(5)
    assert harness.fire_timers_until(harness.engine.now_ns + 10 * NS_PER_S) == []


@pytest.mark.parametrize("mode", [HYBRID, {"trading__mode": "llm", "llm__min_interval_s": 0}])
def test_pause_asks_no_question_and_resume_asks_what_is_due(mode: dict[str, Any]) -> None:
    harness = EngineHarness({"momentum__warmup_count": 0} | mode, FLAT)
    _command(harness, "pause")
    assert not events_of(DeliberationRequested, harness.quotes(10))
    assert [type(event) for event in _command(harness, "resume")][-1] is DeliberationRequested


def test_pause_asks_for_no_lesson_and_the_next_trade_asks_for_both() -> None:
    harness = ProposalHarness(hybrid__learn_every_trades=1)
    harness.buy()
    question = harness.next_question()
    _command(harness, "pause")
    (sold,) = submitted(harness.decide("trade", question, direction="exit"))
    assert not events_of(DeliberationRequested, harness.fill(sold))
    (asked,) = events_of(DeliberationRequested, _command(harness, "resume") + harness.quotes(1))
    harness.buy(question=asked)
    (sold,) = submitted(_command(harness, "flatten"))
    (lesson,) = events_of(DeliberationRequested, harness.fill(sold))
    assert lesson.kind == "learning" and len(harness.engine.questions[-1].snapshot.closed_trades) == 2


def test_answer_during_a_pause_sends_no_entry_in_llm_mode() -> None:
    harness = ProposalHarness()
    question = harness.next_question()
    _command(harness, "pause")
    events = harness.propose(question)
    assert submitted(events) == [] and resolution_codes(events) == ["reducing"]
    assert harness.figures.verdicts == {"trade": 1}


def test_answer_during_a_pause_still_closes_a_position() -> None:
    harness = ProposalHarness()
    harness.buy()
    question = harness.next_question()
    _command(harness, "pause")
    events = harness.decide("trade", question, direction="exit")
    assert [order.side for order in submitted(events)] == [SELL]
    assert events_of(ProposalResolved, events)[0].code == "exit_signal"


def test_answer_during_a_pause_opens_a_gate_without_entries() -> None:
    harness = EngineHarness(EAGER | HYBRID | {"hybrid__starts_open": False}, FLAT)
    question = harness.next_question()
    _command(harness, "pause")
    assert [event.state for event in events_of(GateChanged, harness.decide("trade", question))] == ["open"]
    assert submitted(harness.quotes(10)) == [] and harness.engine.codes()["reducing"] > 0


def test_pause_outlives_a_restart() -> None:
    harness = EngineHarness(EAGER, FLAT)
    _command(harness, "pause")
    harness.step(Restarted(harness.engine.now_ns, 0, "second"))
    _reconciled(harness)
    assert submitted(harness.quotes(10)) == [] and harness.engine.state.paused


# resume


def test_resume_lifts_halt_and_pause_together() -> None:
    harness = EngineHarness(EAGER, FLAT)
    _command(harness, "pause")
    _command(harness, "halt")
    _command(harness, "resume")
    assert harness.engine.state.name == "active"
    assert not harness.engine.may_resume(None)


def test_resume_with_a_wrong_halt_id_lifts_neither_halt_nor_pause() -> None:
    harness = EngineHarness(EAGER, FLAT)
    _command(harness, "pause")
    harness.step(SystemFault(harness.engine.now_ns, "disk full"))
    for wrong in (None, "halt-0"):
        assert _command(harness, "resume", halt_id=wrong, request_id="r1") == []
        assert harness.engine.halted and harness.engine.state.paused
    # A refused request was not carried out: the same id may be sent again with the right halt.
    _command(harness, "resume", halt_id=harness.engine.halt_id, request_id="r1")
    assert harness.engine.state.name == "active"


# cancel all


def test_cancel_all_cancels_resting_entries_and_lets_entries_go_on() -> None:
    harness, entry = _resting()
    assert cancelled(_command(harness, "cancel_all")) == [entry.order_id]
    harness.confirm_cancel(entry)
    assert len(submitted(harness.quotes(3))) == 1


def test_cancel_all_drops_the_slices_that_are_left() -> None:
    harness, first = entered(execution__twap_slices=5, execution__twap_s=40)
    harness.fill(first)
    _command(harness, "cancel_all")
    assert submitted(harness.fire_timers_until(harness.engine.now_ns + 60 * NS_PER_S)) == []


def test_cancel_all_cancels_an_adopted_exit_and_stops_go_on() -> None:
    fallen = [*FLAT[:5], (START_NS + 100 * NS_PER_S, 50.0, 50.1)]
    harness, entry = entered(fallen, reconciliation__external="adopt")
    harness.fill(entry)
    limit, none = Decimal(200), Decimal(0)
    theirs = VenueOrderStatus("theirs", "X", SELL, LIMIT, GTC, limit, entry.quantity, none, "open")
    _reconciled(harness, theirs)
    assert cancelled(_command(harness, "cancel_all")) == ["theirs"]
    now_ns = harness.engine.now_ns
    harness.step(ExecutionReport(now_ns, "theirs", "canceled", now_ns, filled=none))
    assert [each.reason for each in submitted(harness.quotes(4))] == ["stop_loss"]


def test_cancel_all_requests_the_cancel_of_an_order_in_an_unknown_state() -> None:
    harness, entry = entered(**RESTING)
    harness.step(RequestUnknown(harness.engine.now_ns, entry.order_id, "timeout"))
    assert cancelled(_command(harness, "cancel_all")) == [entry.order_id]


def test_cancel_all_repeats_a_cancel_without_an_answer() -> None:
    harness, entry = _resting()
    _command(harness, "cancel_all")
    assert cancelled(_command(harness, "cancel_all")) == [entry.order_id]


# sync


def test_sync_compares_everything_with_the_venue_at_once() -> None:
    harness, _ = _resting()
    events = [type(event) for event in _command(harness, "sync")]
    assert events == [QueryOpenOrders, QueryFills, QueryAccount]


def test_sync_queries_an_order_in_an_unknown_state() -> None:
    harness, entry = entered(**RESTING)
    harness.step(RequestUnknown(harness.engine.now_ns, entry.order_id, "timeout"))
    asked = [event.order_id for event in events_of(QueryOrder, _command(harness, "sync"))]
    assert asked == [entry.order_id]


def test_sync_waits_until_a_ban_of_the_venue_ends() -> None:
    harness, entry = _resting()
    until_ns = harness.engine.now_ns + 5 * NS_PER_S
    harness.step(RequestThrottled(harness.engine.now_ns, entry.order_id, until_ns, "query"))
    assert _command(harness, "sync") == []
    sent = [type(event) for event in harness.fire_timers_until(until_ns)]
    assert QueryAccount in sent


def test_sync_while_exits_wait_after_a_restart_does_not_let_them_go() -> None:
    harness, entry = entered()
    harness.fill(entry)
    harness.step(Restarted(harness.engine.now_ns, harness.engine.pos, "second"))
    _command(harness, "sync")
    assert harness.engine.execution.exits_wait and submitted(_command(harness, "flatten")) == []
    assert len(submitted(_reconciled(harness) + harness.quotes(2))) == 1


# requests that come twice


@pytest.mark.parametrize("command", ["halt", "pause", "cancel_all", "sync", "flatten"])
def test_request_with_an_id_that_was_done_has_no_effect(command: Any) -> None:
    harness, _ = _resting()
    assert _command(harness, command, actor="alice", request_id="r1")
    _command(harness, "resume")
    before = harness.engine.result()
    assert _command(harness, command, actor="alice", request_id="r1") == []
    assert harness.engine.result() == before and harness.engine.state.name == "active"


def test_request_id_of_another_command_was_done_too() -> None:
    harness = EngineHarness(EAGER, FLAT)
    _command(harness, "sync", request_id="r1")
    assert _command(harness, "halt", request_id="r1") == [] and not harness.engine.halted


def test_commands_without_an_id_are_carried_out_each_time() -> None:
    harness = EngineHarness(EAGER, FLAT)
    assert _command(harness, "halt") and _command(harness, "halt")


def test_request_ids_are_forgotten_after_as_many_later_ones() -> None:
    harness = EngineHarness(EAGER, FLAT)
    for number in range(REQUESTS_MAX):
        _command(harness, "cancel_all", request_id=f"r{number}")
    assert harness.engine.was_done("r0")
    _command(harness, "cancel_all", request_id="one more")
    assert not harness.engine.was_done("r0") and harness.engine.was_done("r1")

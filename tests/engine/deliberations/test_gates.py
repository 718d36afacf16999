"""The gate's state table, cell by cell, in a real engine; only a verdict opens a gate."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from autohedge.core.events import (
    DeliberationRequested,
    Event,
    GateChanged,
    OperatorCommand,
    OrderRejected,
    RequestUnknown,
    Restarted,
    SubmitOrder,
)
from autohedge.core.units import NS_PER_S
from tests.engine import harness
from tests.engine.harness import START_NS

REFRESH, COOLDOWN = 5, 3
OVERRIDES: dict[str, Any] = {
    "trading__mode": "hybrid",
    "hybrid__gate_refresh_quotes": REFRESH,
    "hybrid__no_trade_cooldown_quotes": COOLDOWN,
    "hybrid__min_refresh_s": 0,
    "hybrid__verdict_ttl_s": 60,
    "hybrid__deadline_s": 30,
    "momentum__warmup_count": 0,
    "momentum__evaluate_every_quotes": 1,
    "momentum__lookback": 1,
    "momentum__min_edge_bps": 0,
}
FLAT = [(START_NS + i * NS_PER_S, 100.0, 100.1) for i in range(400)]


class GateHarness(harness.EngineHarness):
    """An engine in hybrid mode, which trades through a gate."""

    def __init__(self, **changes: Any) -> None:
        super().__init__(OVERRIDES | changes, FLAT)


def _gates(events: list[Event]) -> list[tuple[str, str]]:
    return [(event.state, event.why) for event in events if isinstance(event, GateChanged)]


def _orders(events: list[Event]) -> int:
    return sum(isinstance(event, SubmitOrder) for event in events)


def test_gate_starts_closed_and_requests_after_refresh_quotes() -> None:
    harness = GateHarness()
    assert _orders(harness.quotes(REFRESH - 1)) == 0
    assert harness.engine.codes()["gate_closed"] == REFRESH - 2
    (question,) = harness.quotes(1)
    assert isinstance(question, DeliberationRequested)
    assert (question.number, question.kind, question.symbol) == (1, "gate", "X")
    assert harness.engine.deliberations
    assert (
        harness.engine.deliberations.result().gated_signals
        == harness.engine.codes()["gate_closed"]
        == REFRESH - 1
    )
    assert harness.state == "closed"


def test_gate_waits_for_warmup_before_first_request() -> None:
    harness = GateHarness(momentum__warmup_count=12)
    assert not any(isinstance(event, DeliberationRequested) for event in harness.quotes(11))
    assert any(isinstance(event, DeliberationRequested) for event in harness.quotes(1))


def test_gate_request_fires_at_min_refresh_time_without_a_quote() -> None:
    harness = GateHarness(hybrid__min_refresh_s=20)
    first = harness.next_question()
    harness.decide("trade", first)
    assert not any(isinstance(event, DeliberationRequested) for event in harness.quotes(REFRESH))
    (second,) = (
        event
        for event in harness.fire_timers_until(first.at_ns + 20 * NS_PER_S)
        if isinstance(event, DeliberationRequested)
    )
    assert second.at_ns == first.at_ns + 20 * NS_PER_S


def test_gate_allows_one_pending_request() -> None:
    harness = GateHarness()
    harness.next_question()
    assert not any(isinstance(event, DeliberationRequested) for event in harness.quotes(4 * REFRESH))


@pytest.mark.parametrize(
    ("verdict", "changes", "state", "why"),
    [
        ("trade", {}, "open", "test"),
        ("trade", {"direction": "short"}, None, ""),
        ("trade", {"direction": "exit"}, None, ""),
        ("trade", {"direction": ""}, None, ""),
        ("no_trade", {}, "cooldown", "no_trade"),
        ("keep", {}, None, ""),
        ("abstain", {"code": "invalid"}, None, ""),
    ],
)
def test_closed_gate_follows_the_verdict(verdict: str, changes: Any, state: str | None, why: str) -> None:
    harness = GateHarness()
    events = harness.decide(verdict, **changes)
    assert _gates(events) == ([(state, why)] if state else [])
    assert harness.state == (state or "closed")


@pytest.mark.parametrize(
    ("verdict", "changes", "state", "why"),
    [
        ("trade", {}, "open", "test"),
        ("trade", {"direction": "short"}, "closed", "direction short"),
        ("no_trade", {}, "cooldown", "no_trade"),
        ("keep", {}, None, ""),
        ("abstain", {"code": "invalid"}, "closed", "invalid"),
        ("abstain", {}, "closed", "unexplained"),
    ],
)
def test_open_gate_follows_the_verdict(verdict: str, changes: Any, state: str | None, why: str) -> None:
    harness = GateHarness()
    harness.decide("trade")
    events = harness.decide(verdict, **changes)
    assert _gates(events) == ([(state, why)] if state else [])
    assert harness.state == (state or "open")


def test_entry_passes_open_gate_but_not_closed_gate() -> None:
    harness = GateHarness()
    assert _orders(harness.quotes(REFRESH)) == 0
    harness.decide("trade", DeliberationRequested(0, 1, "gate", "X", ""))
    assert _orders(harness.quotes(1)) == 1


def test_gate_with_unanswered_request_closes_at_deadline() -> None:
    harness = GateHarness()
    harness.decide("trade")
    question = harness.next_question()
    assert _gates(harness.fire_timers_until(question.at_ns + 30 * NS_PER_S)) == [("closed", "timeout")]
    assert harness.decide("trade", question) == []
    assert harness.engine.deliberations and harness.engine.deliberations.result().late == 1


def test_gate_verdict_past_ttl_expires_and_requests_a_new_one() -> None:
    harness = GateHarness(hybrid__gate_refresh_quotes=300, hybrid__starts_open=False)
    question = None
    while question is None:
        question = next((e for e in harness.quotes(1) if isinstance(e, DeliberationRequested)), None)
    harness.decide("trade", question)
    events = harness.fire_timers_until(question.at_ns + 60 * NS_PER_S)
    assert _gates(events) == [("expired", "the verdict's time is over")]
    assert any(isinstance(event, DeliberationRequested) for event in events)
    assert _orders(harness.quotes(2)) == 0
    assert harness.engine.codes()["gate_expired"] == 2


@pytest.mark.parametrize(("decided_s", "valid_s"), [(-20, 40), (None, 60), (3600, 60)])
def test_verdict_counts_from_its_own_request_but_never_later(decided_s: int | None, valid_s: int) -> None:
    harness = GateHarness()
    question = harness.next_question()
    decided_ns = 0 if decided_s is None else question.at_ns + decided_s * NS_PER_S
    (opened,) = harness.decide("trade", question, decided_ns=decided_ns)
    assert isinstance(opened, GateChanged)
    assert opened.valid_until_ns == question.at_ns + valid_s * NS_PER_S


def test_gate_verdict_arriving_after_its_ttl_is_stale() -> None:
    harness = GateHarness(hybrid__verdict_ttl_s=10, hybrid__deadline_s=1000)
    question = harness.next_question()
    harness.quotes(11)
    assert _gates(harness.decide("trade", question)) == []
    assert harness.engine.deliberations and harness.engine.deliberations.result().abstentions == {"stale": 1}


def test_gate_cooldown_lasts_its_quotes_then_refresh_count_resumes() -> None:
    harness = GateHarness()
    harness.decide("no_trade")
    assert _gates(harness.quotes(COOLDOWN - 1)) == []
    assert harness.engine.codes()["gate_cooldown"] == COOLDOWN - 1
    assert _gates(harness.quotes(1)) == [("closed", "the cooldown is over")]
    events = harness.quotes(REFRESH - COOLDOWN)
    assert [type(event) for event in events] == [DeliberationRequested]


def test_gate_cooldown_longer_than_refresh_delays_next_request() -> None:
    harness = GateHarness(hybrid__no_trade_cooldown_quotes=3 * REFRESH)
    harness.decide("no_trade")
    assert not any(isinstance(event, DeliberationRequested) for event in harness.quotes(3 * REFRESH - 1))
    assert [type(event) for event in harness.quotes(1)] == [GateChanged, DeliberationRequested]


def test_operator_halt_closes_gate_and_discards_pending_request() -> None:
    harness = GateHarness()
    harness.decide("trade")
    question = harness.next_question()
    harness.engine.step(OperatorCommand(harness.engine.now_ns, "halt", "lunch"))
    assert ("closed", "halted") in _gates(harness.drain())
    assert _gates(harness.decide("trade", question)) == []


def test_automatic_halt_closes_gate_and_discards_pending_request() -> None:
    harness = GateHarness(risk__max_errors_per_minute=1)
    harness.decide("trade")
    question = harness.next_question()
    for _ in range(3):
        harness.engine.step(RequestUnknown(harness.engine.now_ns, "an order", "timeout"))
    assert harness.engine.halted
    assert ("closed", "halted") in _gates(harness.drain())
    assert _gates(harness.decide("trade", question)) == []


def test_restart_closes_the_gate() -> None:
    harness = GateHarness()
    harness.decide("trade")
    harness.engine.step(Restarted(harness.engine.now_ns, harness.engine.pos, "m"))
    assert ("closed", "restarted") in _gates(harness.drain())


def test_questions_after_a_restart_skip_the_numbers_that_were_lost() -> None:
    harness = GateHarness()
    assert harness.next_question().number == 1
    now_ns, pos = harness.engine.now_ns, harness.engine.pos
    harness.step(Restarted(now_ns, pos, "m", last_number=3))
    assert harness.next_question().number == 4
    assert harness.engine.deliberations and harness.engine.deliberations.result().asked == 2


def test_closing_gate_cancels_the_resting_entry() -> None:
    harness = GateHarness(execution__time_in_force="gtc")
    harness.decide("trade")
    assert _orders(harness.quotes(1)) == 1
    events = harness.decide("abstain", code="garbage")
    assert [type(event).__name__ for event in events] == ["GateChanged", "CancelOrder"]


def test_decision_for_unrequested_symbol_or_number_is_ignored() -> None:
    harness = GateHarness()
    question = harness.next_question()
    for unrequested in (
        DeliberationRequested(0, 7, "gate", "X", ""),
        DeliberationRequested(0, question.number, "gate", "Y", ""),
    ):
        assert harness.decide("trade", unrequested) == []
    assert harness.state == "closed"


def test_decision_with_number_zero_does_not_open_a_gate_without_question() -> None:
    harness = GateHarness()
    harness.decide("keep")
    assert harness.decide("trade", DeliberationRequested(0, 0, "gate", "X", "")) == []
    assert harness.engine.deliberations and harness.engine.deliberations.result().late == 1


def test_decision_with_number_zero_is_ignored() -> None:
    harness = GateHarness(hybrid__learn_every_trades=1)
    harness.quotes(2)
    for kind in ("gate", "learning"):
        assert harness.decide("trade", DeliberationRequested(0, 0, kind, "X", "")) == []
    assert harness.decide("lesson", DeliberationRequested(0, 0, "learning", "X", "")) == []
    assert harness.state == "closed"
    assert harness.engine.deliberations and harness.engine.deliberations.result().lessons == 0


def test_gate_given_lesson_instead_of_verdict_closes() -> None:
    harness = GateHarness()
    harness.decide("trade")
    assert _gates(harness.decide("lesson")) == [("closed", "unexplained")]


def test_snapshot_contains_only_quotes_up_to_the_request() -> None:
    harness = GateHarness()
    question = harness.next_question()
    snapshot = harness.engine.questions[-1].snapshot
    assert snapshot.hash == question.snapshot
    assert [quote.ts_ns for quote in snapshot.quotes] == [ts for ts, _, _ in FLAT[:REFRESH]]
    assert (snapshot.valid_quotes, snapshot.at_ns, snapshot.gate) == (REFRESH, FLAT[REFRESH - 1][0], "closed")


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("quotes"), st.integers(1, 7)),
        st.tuples(st.just("decide"), st.sampled_from(["trade", "no_trade", "keep", "abstain"])),
        st.tuples(st.just("wait"), st.integers(1, 80)),
        st.tuples(st.just("operate"), st.sampled_from(["halt", "resume"])),
    ),
    max_size=30,
)


@limits(max_examples=60, deadline=None)
@given(STEPS)
def test_orders_leave_only_through_gate_opened_by_trade_verdict(steps: list[Any]) -> None:
    harness, question, open_ = GateHarness(), None, False
    for what, how in steps:
        match what:
            case "quotes":
                events = harness.quotes(min(how, len(FLAT) - harness.engine.pos))
            case "decide" if question:
                events, question = harness.decide(how, question), None
            case "wait":
                events = harness.fire_timers_until(harness.engine.now_ns + how * NS_PER_S)
            case "operate":
                harness.engine.step(OperatorCommand(harness.engine.now_ns, how, "why"))
                events = harness.drain()
            case _:
                events = []
        for event in events:
            if isinstance(event, GateChanged):
                assert event.state != "open" or (what, how) == ("decide", "trade")
                open_ = event.state == "open"
            elif isinstance(event, SubmitOrder):
                assert open_
            elif isinstance(event, DeliberationRequested):
                question = event


def test_automatic_halt_after_rejections_closes_gate() -> None:
    harness = GateHarness(risk__max_errors_per_minute=1)
    harness.decide("trade")
    for order in ("a", "b"):
        harness.engine.step(OrderRejected(harness.engine.now_ns, order, "no"))
    assert ("closed", "halted") in _gates(harness.drain())


def test_gate_after_halt_and_resume_requests_at_next_quote() -> None:
    harness = GateHarness()
    harness.next_question()
    harness.quotes(2 * REFRESH)
    harness.engine.step(OperatorCommand(harness.engine.now_ns, "halt", "lunch"))
    harness.engine.step(OperatorCommand(harness.engine.now_ns, "resume", "back"))
    harness.drain()
    assert [type(event) for event in harness.quotes(1)] == [DeliberationRequested]

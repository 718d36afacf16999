"""The gate's state table, cell by cell, in a real engine; and that nothing but a verdict opens it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from autohedge.core.events import (
    Deliberate,
    Event,
    GateChanged,
    Operator,
    Rejected,
    Restarted,
    SubmitOrder,
    Unknown,
)
from tests.engine import desk
from tests.engine.desk import SECOND_NS, START_NS

REFRESH, COOLDOWN = 5, 3
TERMS: dict[str, Any] = {
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
FLAT = [(START_NS + i * SECOND_NS, 100.0, 100.1) for i in range(400)]


class Desk(desk.Desk):
    """One that trades through a gate."""

    def __init__(self, **changes: Any) -> None:
        super().__init__(TERMS | changes, FLAT)


def _gates(said: list[Event]) -> list[tuple[str, str]]:
    return [(event.state, event.why) for event in said if isinstance(event, GateChanged)]


def _orders(said: list[Event]) -> int:
    return sum(isinstance(event, SubmitOrder) for event in said)


def test_it_starts_closed_and_asks_after_as_many_quotes_as_set() -> None:
    desk = Desk()
    assert _orders(desk.quotes(REFRESH - 1)) == 0
    assert desk.engine.codes()["gate_closed"] == REFRESH - 2
    (question,) = desk.quotes(1)
    assert isinstance(question, Deliberate)
    assert (question.number, question.kind, question.symbol) == (1, "gate", "X")
    assert desk.engine.slow
    assert desk.engine.slow.result()["wishes"] == desk.engine.codes()["gate_closed"] == REFRESH - 1
    assert desk.state == "closed"


def test_it_asks_no_sooner_than_there_is_history() -> None:
    desk = Desk(momentum__warmup_count=12)
    assert not any(isinstance(event, Deliberate) for event in desk.quotes(11))
    assert any(isinstance(event, Deliberate) for event in desk.quotes(1))


def test_it_asks_no_sooner_than_the_least_pause_and_then_without_a_quote() -> None:
    desk = Desk(hybrid__min_refresh_s=20)
    first = desk.asked()
    desk.decide("trade", first)
    assert not any(isinstance(event, Deliberate) for event in desk.quotes(REFRESH))
    (second,) = (event for event in desk.until(first.at_ns + 20 * SECOND_NS) if isinstance(event, Deliberate))
    assert second.at_ns == first.at_ns + 20 * SECOND_NS


def test_one_question_is_on_its_way_at_a_time() -> None:
    desk = Desk()
    desk.asked()
    assert not any(isinstance(event, Deliberate) for event in desk.quotes(4 * REFRESH))


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
def test_what_a_verdict_does_to_a_closed_gate(
    verdict: str, changes: Any, state: str | None, why: str
) -> None:
    desk = Desk()
    said = desk.decide(verdict, **changes)
    assert _gates(said) == ([(state, why)] if state else [])
    assert desk.state == (state or "closed")


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
def test_what_a_verdict_does_to_an_open_gate(verdict: str, changes: Any, state: str | None, why: str) -> None:
    desk = Desk()
    desk.decide("trade")
    said = desk.decide(verdict, **changes)
    assert _gates(said) == ([(state, why)] if state else [])
    assert desk.state == (state or "open")


def test_an_open_gate_lets_buy_and_a_closed_one_does_not() -> None:
    desk = Desk()
    assert _orders(desk.quotes(REFRESH)) == 0
    desk.decide("trade", Deliberate(0, 1, "gate", "X", ""))
    assert _orders(desk.quotes(1)) == 1


def test_an_answer_that_does_not_come_closes_the_gate_at_its_deadline() -> None:
    desk = Desk()
    desk.decide("trade")
    question = desk.asked()
    assert _gates(desk.until(question.at_ns + 30 * SECOND_NS)) == [("closed", "timeout")]
    assert desk.decide("trade", question) == []
    assert desk.engine.slow and desk.engine.slow.result()["late"] == 1


def test_a_verdict_expires_at_its_moment_and_a_new_one_is_asked_for() -> None:
    desk = Desk(hybrid__gate_refresh_quotes=300, hybrid__starts_open=False)
    question = None
    while question is None:
        question = next((e for e in desk.quotes(1) if isinstance(e, Deliberate)), None)
    desk.decide("trade", question)
    said = desk.until(question.at_ns + 60 * SECOND_NS)
    assert _gates(said) == [("expired", "the verdict's time is over")]
    assert any(isinstance(event, Deliberate) for event in said)
    assert _orders(desk.quotes(2)) == 0
    assert desk.engine.codes()["gate_expired"] == 2


def test_a_verdict_that_comes_after_its_time_is_stale() -> None:
    desk = Desk(hybrid__verdict_ttl_s=10, hybrid__deadline_s=1000)
    question = desk.asked()
    desk.quotes(11)
    assert _gates(desk.decide("trade", question)) == []
    assert desk.engine.slow and desk.engine.slow.result()["abstentions"] == {"stale": 1}


def test_a_cooldown_lasts_its_quotes_and_then_the_usual_count_goes_on() -> None:
    desk = Desk()
    desk.decide("no_trade")
    assert _gates(desk.quotes(COOLDOWN - 1)) == []
    assert desk.engine.codes()["gate_cooldown"] == COOLDOWN - 1
    assert _gates(desk.quotes(1)) == [("closed", "the cooldown is over")]
    said = desk.quotes(REFRESH - COOLDOWN)
    assert [type(event) for event in said] == [Deliberate]


def test_a_cooldown_longer_than_the_refresh_puts_the_next_question_off() -> None:
    desk = Desk(hybrid__no_trade_cooldown_quotes=3 * REFRESH)
    desk.decide("no_trade")
    assert not any(isinstance(event, Deliberate) for event in desk.quotes(3 * REFRESH - 1))
    assert [type(event) for event in desk.quotes(1)] == [GateChanged, Deliberate]


def test_a_person_who_halts_shuts_the_gate_and_what_was_asked_counts_no_more() -> None:
    desk = Desk()
    desk.decide("trade")
    question = desk.asked()
    desk.engine.step(Operator(desk.engine.now_ns, "halt", "lunch"))
    assert ("closed", "halted") in _gates(desk.said())
    assert _gates(desk.decide("trade", question)) == []


def test_an_engine_that_halts_by_itself_shuts_the_gate_too() -> None:
    desk = Desk(risk__max_errors_per_minute=1)
    desk.decide("trade")
    question = desk.asked()
    for _ in range(3):
        desk.engine.step(Unknown(desk.engine.now_ns, "an order", "timeout"))
    assert desk.engine.halted
    assert ("closed", "halted") in _gates(desk.said())
    assert _gates(desk.decide("trade", question)) == []


def test_a_restart_shuts_the_gate() -> None:
    desk = Desk()
    desk.decide("trade")
    desk.engine.step(Restarted(desk.engine.now_ns, desk.engine.pos, "m"))
    assert ("closed", "restarted") in _gates(desk.said())


def test_a_gate_that_shuts_takes_the_resting_entry_back() -> None:
    desk = Desk(execution__time_in_force="gtc")
    desk.decide("trade")
    assert _orders(desk.quotes(1)) == 1
    said = desk.decide("abstain", code="garbage")
    assert [type(event).__name__ for event in said] == ["GateChanged", "CancelOrder"]


def test_a_decision_about_a_symbol_or_a_number_that_was_not_asked_changes_nothing() -> None:
    desk = Desk()
    question = desk.asked()
    for stranger in (Deliberate(0, 7, "gate", "X", ""), Deliberate(0, question.number, "gate", "Y", "")):
        assert desk.decide("trade", stranger) == []
    assert desk.state == "closed"


def test_a_decision_with_the_number_of_no_question_changes_nothing() -> None:
    desk = Desk(hybrid__learn_every_trades=1)
    desk.quotes(2)
    for kind in ("gate", "learning"):
        assert desk.decide("trade", Deliberate(0, 0, kind, "X", "")) == []
    assert desk.decide("lesson", Deliberate(0, 0, "learning", "X", "")) == []
    assert desk.state == "closed"
    assert desk.engine.result()["deliberations"]["lessons"] == 0


def test_a_lesson_in_the_place_of_a_verdict_is_none() -> None:
    desk = Desk()
    desk.decide("trade")
    assert _gates(desk.decide("lesson")) == [("closed", "unexplained")]


def test_a_snapshot_knows_the_last_quotes_and_none_that_comes_later() -> None:
    desk = Desk()
    question = desk.asked()
    assert desk.engine.slow
    snapshot = desk.engine.slow.snapshots[question.number]
    assert snapshot.hash == question.snapshot
    assert [quote.ts_ns for quote in snapshot.quotes] == [ts for ts, _, _ in FLAT[:REFRESH]]
    assert (snapshot.seen, snapshot.at_ns, snapshot.gate) == (REFRESH, FLAT[REFRESH - 1][0], "closed")


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
def test_no_order_leaves_while_the_gate_is_not_open_and_only_trade_opens_it(steps: list[Any]) -> None:
    desk, question, open_ = Desk(), None, False
    for what, how in steps:
        match what:
            case "quotes":
                said = desk.quotes(min(how, len(FLAT) - desk.engine.pos))
            case "decide" if question:
                said, question = desk.decide(how, question), None
            case "wait":
                said = desk.until(desk.engine.now_ns + how * SECOND_NS)
            case "operate":
                desk.engine.step(Operator(desk.engine.now_ns, how, "why"))
                said = desk.said()
            case _:
                said = []
        for event in said:
            if isinstance(event, GateChanged):
                assert event.state != "open" or (what, how) == ("decide", "trade")
                open_ = event.state == "open"
            elif isinstance(event, SubmitOrder):
                assert open_
            elif isinstance(event, Deliberate):
                question = event


def test_a_halt_by_the_engine_itself_shuts_the_gate_too() -> None:
    desk = Desk(risk__max_errors_per_minute=1)
    desk.decide("trade")
    for order in ("a", "b"):
        desk.engine.step(Rejected(desk.engine.now_ns, order, "no"))
    assert ("closed", "halted") in _gates(desk.said())


def test_after_a_halt_it_asks_again_though_a_question_was_due_behind_one_on_its_way() -> None:
    desk = Desk()
    desk.asked()
    desk.quotes(2 * REFRESH)
    desk.engine.step(Operator(desk.engine.now_ns, "halt", "lunch"))
    desk.engine.step(Operator(desk.engine.now_ns, "resume", "back"))
    desk.said()
    assert [type(event) for event in desk.quotes(1)] == [Deliberate]

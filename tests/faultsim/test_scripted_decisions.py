"""Scripted decisions answer in turn; strikes make single answers late, absent or garbage."""

from collections import Counter
from functools import partial
from typing import cast

import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from autohedge.core.clock import NEVER
from autohedge.core.events import Decision, DeliberationRequested
from autohedge.core.ids import seeded_random
from autohedge.core.snapshots import DeliberationKind, Snapshot
from autohedge.core.units import NS_PER_S
from autohedge.engine.deliberations.coordinator import agent_limits
from autohedge.engine.deliberations.proposals import within_limits
from autohedge.faultsim.history import ScriptedAnswer
from autohedge.faultsim.random_answers import random_answers, random_decision_strikes
from autohedge.faultsim.random_history import random_history, settings_of
from autohedge.faultsim.random_market import TradingSessions
from autohedge.faultsim.scripted_decisions import GARBAGE, DecisionFault, FaultContext, ScriptedDecisions
from autohedge.faultsim.strikes import FaultSchedule, Strike

SYMBOLS = ("A/USD", "B/USD")
BUY, KEEP, REFUSE = (
    ScriptedAnswer(0.5, "trade", "long"),
    ScriptedAnswer(0.25, "keep"),
    ScriptedAnswer(0.5, "no_trade"),
)
ANSWERS = {
    "A/USD gate": [BUY, KEEP],
    "B/USD gate": [REFUSE],
    "A/USD learning": [ScriptedAnswer(0.1, "lesson")],
}
HYBRID = settings_of(
    next(h for h in map(random_history, range(40)) if h.settings["trading"]["mode"] == "hybrid")
)
DEADLINE_NS = round(HYBRID.hybrid.deadline_s * NS_PER_S)
NO_SNAPSHOT = cast("Snapshot", None)


def _source(*strikes: Strike, counts: Counter[str] | None = None) -> ScriptedDecisions:
    schedule = FaultSchedule(strikes, Counter() if counts is None else counts)
    return ScriptedDecisions(HYBRID, SYMBOLS, ANSWERS, schedule)


def _ask(
    source: ScriptedDecisions, number: int, symbol: str = "A/USD", kind: DeliberationKind = "gate"
) -> None:
    source.request(DeliberationRequested(number * NS_PER_S, number, kind, symbol, ""), NO_SNAPSHOT)


def _all(source: ScriptedDecisions) -> list[Decision]:
    return list(iter(partial(source.poll, NEVER - 1), None))


def test_answers_come_in_turn_per_symbol_and_kind_and_begin_again() -> None:
    source = _source()
    for number in (1, 2, 3):
        _ask(source, number)
    _ask(source, 4, "B/USD")
    _ask(source, 5, kind="learning")
    answers = {each.number: each.verdict for each in _all(source)}
    assert answers == {1: "trade", 2: "keep", 3: "trade", 4: "no_trade", 5: "lesson"}


def test_an_answer_is_due_after_its_share_of_the_deadline() -> None:
    source = _source()
    _ask(source, 1)
    assert source.next_due_ns == NS_PER_S + DEADLINE_NS // 2
    assert source.poll(source.next_due_ns - 1) is None
    decision = source.poll(source.next_due_ns)
    assert decision and (decision.symbol, decision.asked_ns) == ("A/USD", NS_PER_S)
    assert source.next_due_ns == NEVER


def test_a_question_without_answers_gets_none() -> None:
    source = _source()
    _ask(source, 1, "B/USD", "learning")
    assert source.next_due_ns == NEVER


def test_answers_in_transit_are_lost_with_the_process() -> None:
    source = _source()
    _ask(source, 1)
    source.disconnect()
    _ask(source, 2)
    assert [each.verdict for each in _all(source)] == ["keep"]


def test_a_late_answer_comes_after_the_deadline_and_asks_to_buy() -> None:
    source = _source(Strike("decision_late", 0, values=(0.5,)))
    _ask(source, 1, "B/USD")
    (late,) = _all(source)
    assert late.at_ns == NS_PER_S + DEADLINE_NS + 5 * NS_PER_S
    assert (late.verdict, late.direction) == ("trade", "long")


def test_an_absent_answer_never_comes_and_the_next_question_is_answered() -> None:
    counts: Counter[str] = Counter()
    source = _source(Strike("decision_absent", 0), counts=counts)
    _ask(source, 1)
    _ask(source, 2)
    assert [each.number for each in _all(source)] == [2]
    assert counts == {"decision_absent": 1}


@pytest.mark.parametrize("place", range(len(GARBAGE)))
def test_every_kind_of_garbage_differs_from_the_answer(place: int) -> None:
    sound, spoiled = _source(), _source(Strike("decision_garbage", 0, values=((place + 0.5) / len(GARBAGE),)))
    _ask(sound, 1)
    _ask(spoiled, 1)
    assert _all(spoiled) != _all(sound)


@pytest.mark.parametrize(
    ("directions", "entering", "refused"),
    [(("long",), "long", "short"), (("short",), "short", "long"), (("long", "short"), "long", "")],
)
def test_harm_is_done_in_a_direction_that_is_allowed(
    directions: tuple[str, ...], entering: str, refused: str
) -> None:
    context = FaultContext(SYMBOLS, "gate", directions)
    nothing = Decision(at_ns=0, number=1, kind="gate", symbol="A/USD", verdict="no_trade", asked_ns=0)
    assert (context.entering(nothing), context.refused) == (entering, refused)


strikes_of_decisions = st.lists(
    st.builds(
        lambda fault, at_s, values: Strike(fault, at_s * NS_PER_S, values=values),
        st.sampled_from([str(fault) for fault in DecisionFault]),
        st.integers(0, 20),
        st.tuples(*[st.floats(0, 1, exclude_max=True)] * 3),
    ),
    max_size=4,
    unique_by=lambda strike: strike.at_ns,
)


@budget(max_examples=50, deadline=None)
@given(strikes_of_decisions)
def test_a_fault_changes_the_answer_to_its_own_question_only(strikes: list[Strike]) -> None:
    """Each question comes before the next strike, so each strike has a question of its own."""
    sound, spoiled = _source(), _source(*strikes)
    for number in range(21):
        _ask(sound, number)
        _ask(spoiled, number)
    struck = {strike.at_ns // NS_PER_S for strike in strikes}
    kept = [each for each in _all(sound) if each.number not in struck]
    arrived = {(each.asked_ns, each.number): each for each in _all(spoiled)}
    assert all(arrived.get((each.asked_ns, each.number)) == each for each in kept)


def test_proposals_lie_within_the_bounds_and_outside() -> None:
    history = next(h for h in map(random_history, range(40)) if h.settings["trading"]["mode"] == "llm")
    settings = settings_of(history)
    answers = random_answers(seeded_random("1", "answers"), settings, SYMBOLS)["A/USD trade"]
    bounds = agent_limits(settings.for_symbol("A/USD"))
    inside = Counter(within_limits(each.proposal, bounds) for each in answers if each.proposal)
    assert inside[True] > inside[False] > 0


@pytest.mark.parametrize("mode", ["hft", "hybrid", "llm"])
def test_about_a_fifth_of_the_questions_is_struck(mode: str) -> None:
    plain = {"trading": {"mode": mode}, "hybrid": {"gate_refresh_quotes": 20, "min_refresh_s": 0.0}}
    plain["llm"] = {"min_interval_s": 2.0}
    settings = HYBRID.model_copy(
        update={name: getattr(HYBRID, name).model_copy(update=keys) for name, keys in plain.items()}
    )
    draw = seeded_random("1", "decisions")
    strikes = random_decision_strikes(draw, settings, SYMBOLS, TradingSessions(0, 200 * NS_PER_S))
    assert len(strikes) <= 40 and (len(strikes) > 10) is (mode != "hft")

"""The effect of each answer: it can end a deliberation or reduce its size, but not undo another answer."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autohedge.agents.director import Verdict
from autohedge.agents.execution import Placement
from autohedge.agents.learning import LessonAnswer
from autohedge.agents.quant import Finding
from autohedge.agents.risk import Assessment
from autohedge.agents.state import (
    Asked,
    DeliberationState,
    add_verdict,
    after_director,
    after_execution,
    after_learning,
    after_quant,
    after_risk,
)
from autohedge.core.events import Proposal
from autohedge.llm.outcome import Outcome
from autohedge.tools.claims import claims
from tests.graph.team_harness import ANSWERS
from tests.llm.backends.test_rules import HELD
from tests.snapshot_factory import BOTH_DIRECTIONS, snapshot

FLAT = snapshot(kind="trade")
EITHER_WAY = snapshot(kind="trade", limits=BOTH_DIRECTIONS)
ASKED = Asked(FLAT, "", 10, 50)
Changes = dict[str, Any]


def _outcome(model: Any, agent: str, changes: Changes) -> Outcome[Any]:
    return Outcome(model.model_validate(ANSWERS[agent] | changes), "accepted", ())


def _after_director(unsupported: tuple[str, ...] = (), least: int = 50, **changes: Any) -> DeliberationState:
    verdict = Verdict.model_validate(ANSWERS["director"] | changes)
    return add_verdict(DeliberationState(), verdict, least, claims(verdict.thesis), unsupported)


def _whole(
    quant: Changes | None = None, risk: Changes | None = None, execution: Changes | None = None
) -> DeliberationState:
    state = after_quant(_after_director(), _outcome(Finding, "quant", quant or {}), ASKED)
    state = after_risk(state, _outcome(Assessment, "risk", risk or {}), ASKED)
    return after_execution(state, _outcome(Placement, "execution", execution or {}), ASKED)


def test_proposal_combines_answers_of_all_agents() -> None:
    state = _whole(
        {"thesis": "uncertain"},
        {"size_pct": 70},
        {"order_type": "limit", "offset_bps": 7, "time_in_force": "gtc"},
    )
    assert state.proposal == Proposal(60, 150, 50, 7, "gtc")
    assert not state.finished


def test_proposal_is_absent_before_execution_agent_answers() -> None:
    state = _after_director()
    assert state.proposal is None and state.continues(FLAT)
    state = after_quant(state, _outcome(Finding, "quant", {}), ASKED)
    assert state.proposal is None and state.continues(FLAT)
    state = after_risk(state, _outcome(Assessment, "risk", {}), ASKED)
    assert state.proposal is None and state.continues(FLAT)


@pytest.mark.parametrize("kind", ["gate", "learning"])
def test_director_is_followed_only_for_a_new_entry_that_is_allowed(kind: Any) -> None:
    assert not _after_director().continues(snapshot(kind=kind))
    assert not _after_director().continues(snapshot(kind="trade", position=HELD))
    assert not _after_director(direction="exit").continues(FLAT)
    assert not _after_director(direction="short").continues(FLAT)
    assert _after_director(direction="short").continues(EITHER_WAY)
    assert not _after_director(direction="exit").continues(EITHER_WAY)
    assert not _after_director(decision="no_trade").continues(FLAT)


@pytest.mark.parametrize(
    ("state", "refusal"),
    [
        (_after_director(confidence_pct=49), "low_confidence"),
        (_after_director(confidence_pct=50), ""),
        (_after_director(confidence_pct=0, direction="exit"), ""),
        (_after_director(confidence_pct=0, decision="no_trade"), ""),
        (_whole({"thesis": "refuted"}), ""),
        (_whole(risk={"decision": "reject"}), "rejected"),
        (_whole({"thesis": "uncertain", "technical_score_pct": 0}), "no_size"),
    ],
)
def test_refusal_code_ends_the_deliberation(state: DeliberationState, refusal: str) -> None:
    assert state.refusal == refusal
    assert state.finished is bool(refusal)


def test_quant_refusal_ends_the_deliberation() -> None:
    state = after_quant(_after_director(), _outcome(Finding, "quant", {"volatility": "fail"}), ASKED)
    assert (state.refusal, state.continues(FLAT)) == ("too_volatile", False)


@pytest.mark.parametrize("follow", [after_quant, after_risk, after_execution, after_learning])
def test_missing_answer_of_any_agent_is_an_abstention(follow: Any) -> None:
    state = follow(_after_director(), Outcome(None, "no_json", ()), ASKED)
    assert (state.abstention, state.finished, state.proposal) == ("no_json", True, None)


def test_a_failure_of_the_director_leaves_no_verdict() -> None:
    state = after_director(
        DeliberationState(), Outcome(None, "no_agreement", ()), replace(ASKED, agreement_pct=50)
    )
    assert (state.verdict, state.abstention, state.agreement_pct) == (None, "no_agreement", 50)


@pytest.mark.parametrize(
    ("thesis", "unsupported", "confidence_pct"),
    [
        ("Up.", (), 90),
        ("At 1 and 2.", (), 90),
        ("At 1 and 2.", ("2",), 45),
        ("At 1, 2 and 3.", ("1", "3"), 30),
        ("At 7, 7, 7 and 2.", ("7",), 22),
        ("At 7.", ("7",), 0),
    ],
)
def test_unsupported_figures_lower_confidence_by_their_share(
    thesis: str, unsupported: tuple[str, ...], confidence_pct: int
) -> None:
    assert _after_director(unsupported, 0, thesis=thesis).confidence_pct == confidence_pct


def test_prior_answers_show_only_answers_given_so_far() -> None:
    prior_answers = _after_director(("777",), 0, thesis="At 777.").colleagues
    assert "confidence 0 %" in prior_answers.thesis and "not in the data: 777" in prior_answers.thesis
    assert (prior_answers.finding, prior_answers.assessment) == ("n/a", "n/a")
    prior_answers = _whole({"thesis": "uncertain"}).colleagues
    assert "technical score 60 %" in prior_answers.finding and prior_answers.assessment.startswith(
        "buy 60 % of the usual size"
    )


def test_learning_answer_is_stored_as_lesson() -> None:
    lesson = after_learning(DeliberationState(), _outcome(LessonAnswer, "learning", {}), ASKED).lesson
    assert lesson and lesson.lesson == "Patience pays."


@given(st.sampled_from(["supported", "uncertain"]), st.integers(1, 100), st.integers(1, 100))
def test_size_is_never_larger_than_any_agent_allowed(thesis: str, score_pct: int, size_pct: int) -> None:
    state = _whole({"thesis": thesis, "technical_score_pct": score_pct}, {"size_pct": size_pct})
    assert state.proposal
    assert state.proposal.size_pct == (size_pct if thesis == "supported" else min(size_pct, score_pct))

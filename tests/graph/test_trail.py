"""What each word makes of a deliberation: it can end it or make it smaller, and undo no other."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autohedge.agents.director import Verdict
from autohedge.agents.execution import Placement
from autohedge.agents.learning import Lesson
from autohedge.agents.quant import Finding
from autohedge.agents.risk import Assessment
from autohedge.core.events import Proposal
from autohedge.graph.trail import Trail, assessed, judged, learned, placed
from autohedge.graph.trail import tested as weighed
from autohedge.llm.outcome import Outcome
from autohedge.tools.claims import claims
from tests.graph.hybrid import TRADE
from tests.graph.team import ANSWERS
from tests.llm.test_rules import HELD
from tests.showing import snapshot

FLAT = snapshot(kind="trade")
Changes = dict[str, Any]


def _outcome(model: Any, agent: str, changes: Changes) -> Outcome[Any]:
    return Outcome(model.model_validate(ANSWERS[agent] | changes), "accepted", ())


def _judged(unsupported: tuple[str, ...] = (), least: int = 50, **changes: Any) -> Trail:
    outcome = _outcome(Verdict, "director", changes)
    made = claims(changes.get("thesis", TRADE["thesis"]))
    return judged(Trail(), outcome, 100, made, unsupported, least)


def _whole(
    quant: Changes | None = None, risk: Changes | None = None, execution: Changes | None = None
) -> Trail:
    trail = weighed(_judged(), _outcome(Finding, "quant", quant or {}))
    trail = assessed(trail, _outcome(Assessment, "risk", risk or {}))
    return placed(trail, _outcome(Placement, "execution", execution or {}))


def test_what_all_agree_to_is_the_proposal() -> None:
    trail = _whole(
        {"thesis": "uncertain"},
        {"size_pct": 70},
        {"order_type": "limit", "offset_bps": 7, "time_in_force": "gtc"},
    )
    assert trail.proposal == Proposal(40, 150, 50, 7, "gtc")
    assert not trail.over


def test_there_is_no_proposal_before_the_last_has_spoken() -> None:
    trail = _judged()
    assert trail.proposal is None and trail.goes_on(FLAT)
    trail = weighed(trail, _outcome(Finding, "quant", {}))
    assert trail.proposal is None and trail.goes_on(FLAT)
    trail = assessed(trail, _outcome(Assessment, "risk", {}))
    assert trail.proposal is None and trail.goes_on(FLAT)


@pytest.mark.parametrize("kind", ["gate", "learning"])
def test_nobody_follows_the_director_but_about_an_entry(kind: Any) -> None:
    assert not _judged().goes_on(snapshot(kind=kind))
    assert not _judged().goes_on(snapshot(kind="trade", held=HELD))
    assert not _judged(direction="exit").goes_on(FLAT)
    assert not _judged(direction="short").goes_on(FLAT)
    assert not _judged(decision="no_trade").goes_on(FLAT)


@pytest.mark.parametrize(
    ("trail", "refusal"),
    [
        (_judged(confidence_pct=49), "low_confidence"),
        (_judged(confidence_pct=50), ""),
        (_judged(confidence_pct=0, direction="exit"), ""),
        (_judged(confidence_pct=0, decision="no_trade"), ""),
        (_whole({"thesis": "refuted"}), ""),
        (_whole(risk={"decision": "reject"}), "rejected"),
        (_whole({"thesis": "uncertain", "technical_score_pct": 0}), "no_size"),
    ],
)
def test_the_code_of_a_no(trail: Trail, refusal: str) -> None:
    assert trail.refusal == refusal
    assert trail.over is bool(refusal)


def test_a_refusal_of_the_quant_ends_it() -> None:
    trail = weighed(_judged(), _outcome(Finding, "quant", {"volatility": "fail"}))
    assert (trail.refusal, trail.goes_on(FLAT)) == ("too_volatile", False)


@pytest.mark.parametrize("follow", [weighed, assessed, placed, learned])
def test_no_answer_of_any_agent_is_an_abstention(follow: Any) -> None:
    trail = follow(_judged(), Outcome(None, "no_json", ()))
    assert (trail.abstention, trail.over, trail.proposal) == ("no_json", True, None)


def test_a_failure_of_the_director_leaves_no_verdict() -> None:
    trail = judged(Trail(), Outcome(None, "no_agreement", ()), 50, [], (), 50)
    assert (trail.verdict, trail.abstention, trail.agreement_pct) == (None, "no_agreement", 50)


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
def test_what_nothing_bears_out_lowers_the_confidence_by_its_share(
    thesis: str, unsupported: tuple[str, ...], confidence_pct: int
) -> None:
    assert _judged(unsupported, 0, thesis=thesis).confidence_pct == confidence_pct


def test_a_colleague_is_told_what_was_said_so_far_and_no_more() -> None:
    told = _judged(("777",), 0, thesis="At 777.").colleagues
    assert "confidence 0 %" in told.thesis and "not in the data: 777" in told.thesis
    assert (told.finding, told.assessment) == ("n/a", "n/a")
    told = _whole({"thesis": "uncertain"}).colleagues
    assert "technical score 40 %" in told.finding and told.assessment.startswith("buy 40 % of the usual size")


def test_a_lesson_is_kept() -> None:
    lesson = learned(Trail(), _outcome(Lesson, "learning", {})).lesson
    assert lesson and lesson.lesson == "Patience pays."


@given(st.sampled_from(["supported", "uncertain"]), st.integers(1, 100), st.integers(1, 100))
def test_no_agent_makes_it_larger_than_another_allowed(thesis: str, score_pct: int, size_pct: int) -> None:
    trail = _whole({"thesis": thesis, "technical_score_pct": score_pct}, {"size_pct": size_pct})
    assert trail.proposal
    assert trail.proposal.size_pct == (size_pct if thesis == "supported" else min(size_pct, score_pct))

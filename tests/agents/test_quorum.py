"""Agreement needs the same vote from more than half of the wanted samples."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autohedge.agents.director import Verdict
from autohedge.agents.voting import majority
from autohedge.llm.outcome import Call, Outcome
from tests.graph.hybrid_harness import TRADE
from tests.llm.request_factory import make_request


def _sample(number: int, **changes: Any) -> Outcome[Verdict]:
    return Outcome(Verdict.model_validate(TRADE | changes), "accepted", (_call(number),))


def _failed(number: int, code: str) -> Outcome[Verdict]:
    return Outcome(None, code, (_call(number),))


def _call(number: int) -> Call:
    return Call(make_request(), None, "", "", "", number, 0.0)


def _votes(text: str) -> list[Outcome[Verdict]]:
    """One letter per sample: Long, Short, Exit, No trade, or `-` for a failure."""
    fields_by_vote: dict[str, dict[str, Any]] = {
        "L": {},
        "S": {"direction": "short"},
        "E": {"direction": "exit"},
        "N": {"decision": "no_trade"},
    }
    return [
        _failed(n, "empty") if vote == "-" else _sample(n, **fields_by_vote[vote])
        for n, vote in enumerate(text)
    ]


@pytest.mark.parametrize(
    ("votes", "wanted", "expected", "agreement_pct"),
    [
        ("L", 1, "long", 100),
        ("LL", 2, "long", 100),
        ("LN", 2, "no_agreement", 50),
        ("LLN", 3, "long", 66),
        ("LSE", 3, "no_agreement", 33),
        ("LL--", 4, "no_agreement", 50),
        ("LLL-", 4, "long", 75),
        ("NNL", 3, "no_trade", 66),
        ("EEL", 3, "exit", 66),
        ("L", 3, "no_agreement", 33),
        ("---", 3, "empty", 0),
        ("LL-", 5, "no_agreement", 40),
    ],
)
def test_majority_needs_more_than_half_of_wanted_samples(
    votes: str, wanted: int, expected: str, agreement_pct: int
) -> None:
    outcome, share = majority(_votes(votes), wanted)
    verdict = outcome.answer
    direction = "" if verdict is None else "no_trade" if verdict.decision == "no_trade" else verdict.direction
    assert (direction or outcome.code, share) == (expected, agreement_pct)
    assert [call.tries for call in outcome.calls] == list(range(len(votes)))


def test_direction_of_a_no_trade_is_ignored() -> None:
    samples = [_sample(0, decision="no_trade"), _sample(1, decision="no_trade", direction="short")]
    outcome, share = majority(samples, 2)
    assert outcome.answer and (outcome.answer.decision, share) == ("no_trade", 100)


def test_majority_answer_is_that_of_the_least_confident_sample() -> None:
    samples = [_sample(0, confidence_pct=80), _sample(1, confidence_pct=60), _sample(2, decision="no_trade")]
    outcome, _ = majority(samples, 3)
    assert outcome.answer and outcome.answer.confidence_pct == 60


@given(st.text("LSEN-", min_size=1, max_size=9))
def test_majority_answer_exists_only_above_half_of_the_votes(votes: str) -> None:
    outcome, share = majority(_votes(votes), len(votes))
    most = max((votes.count(vote) for vote in "LSEN"), default=0)
    assert (outcome.answer is not None) is (2 * most > len(votes))
    assert share == 100 * most // len(votes)

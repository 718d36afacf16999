"""More than half of the samples that were wanted must say the same, or there is no agreement."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autohedge.agents.director import Verdict
from autohedge.agents.quorum import agreed
from autohedge.llm.outcome import Call, Outcome
from tests.graph.hybrid import TRADE
from tests.llm.questions import asked


def _sample(number: int, **changes: Any) -> Outcome[Verdict]:
    return Outcome(Verdict.model_validate(TRADE | changes), "accepted", (_call(number),))


def _failed(number: int, code: str) -> Outcome[Verdict]:
    return Outcome(None, code, (_call(number),))


def _call(number: int) -> Call:
    return Call(asked(), None, "", "", "", number, 0.0)


def _votes(text: str) -> list[Outcome[Verdict]]:
    """Long, Short, Exit, No trade, or `-` for a failure."""
    said: dict[str, dict[str, Any]] = {
        "L": {},
        "S": {"direction": "short"},
        "E": {"direction": "exit"},
        "N": {"decision": "no_trade"},
    }
    return [_failed(n, "empty") if vote == "-" else _sample(n, **said[vote]) for n, vote in enumerate(text)]


@pytest.mark.parametrize(
    ("votes", "wanted", "said", "agreement_pct"),
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
def test_more_than_half_of_those_wanted_must_agree(
    votes: str, wanted: int, said: str, agreement_pct: int
) -> None:
    outcome, share = agreed(_votes(votes), wanted)
    verdict = outcome.answer
    direction = "" if verdict is None else "no_trade" if verdict.decision == "no_trade" else verdict.direction
    assert (direction or outcome.code, share) == (said, agreement_pct)
    assert [call.tries for call in outcome.calls] == list(range(len(votes)))


def test_the_direction_of_a_no_trade_does_not_matter() -> None:
    samples = [_sample(0, decision="no_trade"), _sample(1, decision="no_trade", direction="short")]
    outcome, share = agreed(samples, 2)
    assert outcome.answer and (outcome.answer.decision, share) == ("no_trade", 100)


def test_the_least_sure_of_those_that_agree_speaks_for_them() -> None:
    samples = [_sample(0, confidence_pct=80), _sample(1, confidence_pct=60), _sample(2, decision="no_trade")]
    outcome, _ = agreed(samples, 3)
    assert outcome.answer and outcome.answer.confidence_pct == 60


@given(st.text("LSEN-", min_size=1, max_size=9))
def test_there_is_an_answer_only_where_more_than_half_gave_it(votes: str) -> None:
    outcome, share = agreed(_votes(votes), len(votes))
    most = max((votes.count(vote) for vote in "LSEN"), default=0)
    assert (outcome.answer is not None) is (2 * most > len(votes))
    assert share == 100 * most // len(votes)

"""Several samples of one answer: what more than half of them say, or no agreement."""

from collections import Counter
from collections.abc import Sequence

from autohedge.agents.director import Verdict
from autohedge.llm.outcome import Call, Outcome

NO_AGREEMENT = "no_agreement"


def majority(samples: Sequence[Outcome[Verdict]], wanted: int) -> tuple[Outcome[Verdict], int]:
    """The least confident of the verdicts that agree, and the share of the `wanted` samples that do, in percent.

    Two agree if decision and direction are the same. One that failed agrees with none; where all failed the
    first failure stands. The outcome has the calls of all samples, in the order in which they were asked.
    """
    calls: tuple[Call, ...] = tuple(call for outcome in samples for call in outcome.calls)
    votes = Counter(_vote(each.answer) for each in samples if each.answer)
    if not votes:
        return Outcome(None, samples[0].code, calls), 0
    (most, count), *_ = votes.most_common()
    agreement_pct = 100 * count // wanted
    if 2 * count <= wanted:
        return Outcome(None, NO_AGREEMENT, calls), agreement_pct
    same = [each for each in samples if each.answer and _vote(each.answer) == most]
    weakest = min(same, key=_confidence_pct)
    return Outcome(weakest.answer, weakest.code, calls), agreement_pct


def _vote(verdict: Verdict) -> tuple[str, str]:
    """What a sample votes for; the direction of a no_trade does not matter."""
    return verdict.decision, verdict.direction if verdict.decision == "trade" else ""


def _confidence_pct(outcome: Outcome[Verdict]) -> int:
    return outcome.answer.confidence_pct if outcome.answer else 0

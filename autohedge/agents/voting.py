"""Majority vote over several samples of the Director's answer."""

from collections import Counter
from collections.abc import Sequence

from autohedge.agents.director import Verdict
from autohedge.llm.outcome import Call, Outcome

NO_AGREEMENT = "no_agreement"


def majority(samples: Sequence[Outcome[Verdict]], wanted: int) -> tuple[Outcome[Verdict], int]:
    """Returns the outcome of a vote, and the share of the `wanted` samples that agree, in percent.

    The outcome is the least confident verdict of those that agree, or `no_agreement` if they are not more
    than half of `wanted`. Two verdicts agree if decision and direction are equal. A failed sample agrees with
    none; if all failed, the code is that of the first failure. The outcome has the calls of all samples in
    order.
    """
    if wanted == 1:
        return samples[0], 100 if samples[0].answer else 0
    calls: tuple[Call, ...] = tuple(call for outcome in samples for call in outcome.calls)
    votes = Counter(_vote(each.answer) for each in samples if each.answer)
    if not votes:
        return Outcome(None, samples[0].code, calls), 0
    (most, count), *_ = votes.most_common()
    agreement_pct = 100 * count // wanted
    if 2 * count <= wanted:
        return Outcome(None, NO_AGREEMENT, calls), agreement_pct
    # The least confident one: the vote must not make a verdict more certain than its samples.
    same = [each for each in samples if each.answer and _vote(each.answer) == most]
    weakest = min(same, key=_confidence_pct)
    return Outcome(weakest.answer, weakest.code, calls), agreement_pct


def _vote(verdict: Verdict) -> tuple[str, str]:
    """Returns a sample's vote; the direction of a `no_trade` does not count."""
    return verdict.decision, verdict.direction if verdict.decision == "trade" else ""


def _confidence_pct(outcome: Outcome[Verdict]) -> int:
    return outcome.answer.confidence_pct if outcome.answer else 0

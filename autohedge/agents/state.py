"""The accumulated answers of one deliberation, and the effect of each answer.

This module makes no requests. An agent can end a deliberation, reduce the size of an entry, set its exits and
lower its limit; no agent can undo another's refusal.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from autohedge.agents.director import Verdict
from autohedge.agents.execution import Placement
from autohedge.agents.learning import LessonAnswer
from autohedge.agents.quant import Finding
from autohedge.agents.risk import Assessment
from autohedge.core.events import Proposal
from autohedge.core.snapshots import Snapshot
from autohedge.llm.outcome import Call, Outcome
from autohedge.tools.claims import Claim, claims, implausible_levels, unsupported
from autohedge.tools.prior_answers import PriorAnswers, assessment_text, finding_text, thesis_text


@dataclass(frozen=True, slots=True)
class DeliberationState:
    """The answers so far; `refusal` is the code of a refusal, `abstention` that of a missing answer.

    `unsupported` are figures of the thesis, `implausible_levels` key levels far from the market.
    """

    calls: tuple[Call, ...] = ()
    verdict: Verdict | None = None
    confidence_pct: int = 0
    agreement_pct: int = 100
    unsupported: tuple[str, ...] = ()
    implausible_levels: tuple[str, ...] = ()
    finding: Finding | None = None
    assessment: Assessment | None = None
    placement: Placement | None = None
    lesson: LessonAnswer | None = None
    refusal: str = ""
    abstention: str = ""

    @property
    def finished(self) -> bool:
        """Whether no further agent is asked."""
        return bool(self.refusal or self.abstention)

    def wants_entry(self, snapshot: Snapshot) -> bool:
        """Whether the Director wants an entry in a direction that is allowed, and no agent has refused."""
        verdict = self.verdict
        if verdict is None or verdict.decision != "trade" or self.finished:
            return False
        return verdict.direction in snapshot.limits.directions

    def continues(self, snapshot: Snapshot) -> bool:
        """Whether the next agent is asked: only about an entry, not about a gate or a held position."""
        return self.wants_entry(snapshot) and snapshot.kind == "trade" and not snapshot.position.quantity

    @property
    def colleagues(self) -> PriorAnswers:
        """The answers so far as texts for the next agent's prompt."""
        prior_answers = PriorAnswers()
        if (verdict := self.verdict) is not None:
            text = thesis_text(verdict.direction, self.confidence_pct, verdict.thesis, self.unsupported)
            prior_answers = prior_answers._replace(thesis=text)
        if (found := self.finding) is not None:
            levels = (found.support, found.resistance)
            prior_answers = prior_answers._replace(
                finding=finding_text(found.thesis, found.technical_score_pct, *levels, found.volatility)
            )
        if (allowed := self.assessment) is not None:
            exits = (allowed.take_profit_bps, allowed.stop_loss_bps)
            is_short = verdict is not None and verdict.direction == "short"
            text = assessment_text(self.size_pct, *exits, is_short=is_short)
            prior_answers = prior_answers._replace(assessment=text)
        return prior_answers

    @property
    def size_pct(self) -> int:
        """The size that Quant and Risk allow, in percent of the computed size."""
        most = self.finding.max_size_pct if self.finding else 100
        return min(most, self.assessment.size_pct if self.assessment else 0)

    @property
    def proposal(self) -> Proposal | None:
        """The entry that all agents agreed to; None until the last agent has answered."""
        allowed, placed = self.assessment, self.placement
        if self.finished or allowed is None or placed is None:
            return None
        return Proposal(
            size_pct=self.size_pct,
            take_profit_bps=allowed.take_profit_bps,
            stop_loss_bps=allowed.stop_loss_bps,
            offset_bps=placed.limit_offset_bps,
            time_in_force=placed.time_in_force,
        )


@dataclass(frozen=True, slots=True)
class Asked:
    """What an agent was asked, and how its answer is judged.

    `shown` is the text of the prompt, with the last `table_rows` quotes. `agreement_pct` is the share of the
    samples that agreed.
    """

    snapshot: Snapshot
    shown: str
    table_rows: int
    min_confidence_pct: int
    agreement_pct: int = 100


def after_director(state: DeliberationState, outcome: Outcome[Verdict], asked: Asked) -> DeliberationState:
    """Adds the Director's answer, judged by the claims that neither the data nor the prompt support.

    The Director chooses confidence and horizon itself, so these count as supported; its price levels do not.
    """
    state = replace(_with_calls(state, outcome), agreement_pct=asked.agreement_pct)
    verdict = outcome.answer
    if verdict is None:
        return state
    own = f"{verdict.confidence_pct}% {verdict.horizon_minutes}"
    wrong = unsupported(verdict.thesis, asked.snapshot, asked.table_rows, (asked.shown, own))
    state = add_verdict(state, verdict, asked.min_confidence_pct, claims(verdict.thesis), wrong)
    return replace(state, implausible_levels=implausible_levels(verdict.key_levels, asked.snapshot))


def add_verdict(
    state: DeliberationState,
    verdict: Verdict,
    min_confidence_pct: int,
    made: Sequence[Claim] = (),
    wrong: tuple[str, ...] = (),
) -> DeliberationState:
    """Adds a verdict; the unsupported claims `wrong` lower the confidence by their share of those `made`."""
    confidence_pct = verdict.confidence_pct
    if wrong:
        supported = sum(claim.text not in wrong for claim in made)
        confidence_pct = confidence_pct * supported // len(made)
    # Low confidence must not prevent an exit.
    buys = verdict.decision == "trade" and verdict.direction != "exit"
    return replace(
        state,
        verdict=verdict,
        confidence_pct=confidence_pct,
        unsupported=wrong,
        refusal="low_confidence" if buys and confidence_pct < min_confidence_pct else "",
    )


def after_quant(state: DeliberationState, outcome: Outcome[Finding], asked: Asked) -> DeliberationState:
    """Adds the Quant's answer."""
    refusal = outcome.answer.refusal if outcome.answer else ""
    return replace(_with_calls(state, outcome), finding=outcome.answer, refusal=refusal)


def after_risk(state: DeliberationState, outcome: Outcome[Assessment], asked: Asked) -> DeliberationState:
    """Adds Risk's answer; a combined size of zero is a refusal."""
    updated = replace(_with_calls(state, outcome), assessment=outcome.answer)
    if outcome.answer is None:
        return updated
    return replace(updated, refusal=outcome.answer.refusal or ("" if updated.size_pct else "no_size"))


def after_execution(state: DeliberationState, outcome: Outcome[Placement], asked: Asked) -> DeliberationState:
    """Adds Execution's answer."""
    return replace(_with_calls(state, outcome), placement=outcome.answer)


def after_learning(
    state: DeliberationState, outcome: Outcome[LessonAnswer], asked: Asked
) -> DeliberationState:
    """Adds Learning's answer."""
    return replace(_with_calls(state, outcome), lesson=outcome.answer)


def _with_calls(state: DeliberationState, outcome: Outcome[Any]) -> DeliberationState:
    abstention = "" if outcome.answer is not None else outcome.code
    return replace(state, calls=(*state.calls, *outcome.calls), abstention=abstention)

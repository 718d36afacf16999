"""A decision as it is compared: what was decided with which figures, and in one line why."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from autohedge.agents import director
from autohedge.core.abstentions import describe
from autohedge.core.events import Decision, Proposal
from autohedge.llm.errors import one_line
from autohedge.llm.outcome import ACCEPTED, REPAIRED
from autohedge.llm.parsing import extract
from autohedge.llm.transcript import TranscriptEntry

LONGEST = 400
SURE = frozenset({"trade", "no_trade"})


@dataclass(frozen=True, slots=True)
class DecisionView:
    """What a question came to; two are the same if all but the reason is. `why` is printable, on one line."""

    verdict: str
    direction: str
    confidence_pct: int
    code: str
    proposal: Proposal | None
    why: str = field(default="", compare=False)

    @property
    def label(self) -> str:
        """The verdict without figures: `trade long`."""
        return f"{self.verdict} {self.direction}".strip()

    @property
    def figures(self) -> str:
        """What was proposed, empty if nothing: `size 50 %, take 30, stop 15 bps, 2 below, gtc`."""
        if (proposal := self.proposal) is None:
            return ""
        exits = f"take {proposal.take_profit_bps}, stop {proposal.stop_loss_bps} bps"
        return f"size {proposal.size_pct} %, {exits}, {proposal.offset_bps} below, {proposal.time_in_force}"

    def __str__(self) -> str:
        """The verdict with its code and how sure it was: `trade long 76 %`."""
        sure = f"{self.confidence_pct} %" if self.verdict in SURE else ""
        return " ".join(part for part in (self.label, sure, one_line(self.code)) if part)

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return {
            "verdict": self.verdict,
            "direction": self.direction,
            "confidence_pct": self.confidence_pct,
            "code": self.code,
            "proposal": self.proposal,
            "why": self.why,
        }


def view_of(decision: Decision, lines: Sequence[TranscriptEntry] = ()) -> DecisionView:
    """A decision, with the reason that its lines give; of a direction or a confidence only where it counts."""
    traded = decision.verdict == "trade"
    return DecisionView(
        verdict=decision.verdict,
        direction=decision.direction if traded else "",
        confidence_pct=decision.confidence_pct if decision.verdict in SURE else 0,
        code=decision.code,
        proposal=decision.proposal,
        why=_why(decision, lines),
    )


def _why(decision: Decision, lines: Sequence[TranscriptEntry]) -> str:
    """The Director's thesis; for an abstention, or without one, what was wrong."""
    theses = (_thesis(line) for line in lines if line.agent == director.NAME)
    thesis = "" if decision.verdict == "abstain" else next(filter(None, theses), "")
    if thesis:
        return thesis
    failures = [line.failure for line in lines if line.failure]
    return one_line(failures[-1] if failures else describe(decision.code), longest=LONGEST)


def _thesis(line: TranscriptEntry) -> str:
    if line.response is None or line.outcome not in {ACCEPTED, REPAIRED}:
        return ""
    found = extract(line.response.text)
    return one_line(str(found.value.get("thesis", "")), longest=LONGEST) if found else ""


def transition(was: DecisionView, now: DecisionView) -> str:
    """Which way a decision changed: `trade long → no_trade`, or that only its figures or its code did."""
    if was.label != now.label:
        return f"{was.label} → {now.label}"
    return f"{was.label}, another code" if was.code != now.code else f"{was.label}, other figures"

"""A decision in comparable form: verdict, figures, and the reason in a line."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from autohedge.agents.specs import DIRECTOR
from autohedge.core.abstentions import describe
from autohedge.core.events import Decision, Proposal
from autohedge.llm.errors import one_line
from autohedge.llm.outcome import ACCEPTED, REPAIRED
from autohedge.llm.parsing import read_answer
from autohedge.llm.transcript import TranscriptEntry

LONGEST = 400
SURE = frozenset({"trade", "no_trade"})


@dataclass(frozen=True, slots=True)
class DecisionView:
    """The outcome of a question. `why` is the reason in a printable line, and does not count for equality."""

    verdict: str
    direction: str
    confidence_pct: int
    code: str
    proposal: Proposal | None
    why: str = field(default="", compare=False)

    @property
    def label(self) -> str:
        """The verdict without figures, such as `trade long`."""
        return f"{self.verdict} {self.direction}".strip()

    @property
    def figures(self) -> str:
        """The proposal, such as `size 50 %, take 30, stop 15 bps, 2 below, gtc`; empty without one."""
        if (proposal := self.proposal) is None:
            return ""
        exits = f"take {proposal.take_profit_bps}, stop {proposal.stop_loss_bps} bps"
        return f"size {proposal.size_pct} %, {exits}, {proposal.offset_bps} below, {proposal.time_in_force}"

    def __str__(self) -> str:
        """The verdict with its confidence and code, such as `trade long 76 %`."""
        sure = f"{self.confidence_pct} %" if self.verdict in SURE else ""
        return " ".join(part for part in (self.label, sure, one_line(self.code)) if part)

    def as_dict(self) -> dict[str, Any]:
        """Returns all fields as JSON values."""
        return {
            "verdict": self.verdict,
            "direction": self.direction,
            "confidence_pct": self.confidence_pct,
            "code": self.code,
            "proposal": self.proposal,
            "why": self.why,
        }


def view_of(decision: Decision, lines: Sequence[TranscriptEntry] = ()) -> DecisionView:
    """Returns the view of a decision, with the reason from its transcript `lines`."""
    # Where the engine ignores direction or confidence they are dropped: they would show as differences.
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
    """Returns the Director's thesis; for an abstention or without one, the failure or the code's text."""
    theses = (_thesis(line) for line in lines if line.agent == DIRECTOR.name)
    thesis = "" if decision.verdict == "abstain" else next(filter(None, theses), "")
    if thesis:
        return thesis
    failures = [line.failure for line in lines if line.failure]
    return one_line(failures[-1] if failures else describe(decision.code), longest=LONGEST)


def _thesis(line: TranscriptEntry) -> str:
    if line.request is None or line.response is None or line.outcome not in {ACCEPTED, REPAIRED}:
        return ""
    found = read_answer(line.response.text, line.request)
    return one_line(str(found.value.get("thesis", "")), longest=LONGEST) if found else ""


def transition(was: DecisionView, now: DecisionView) -> str:
    """Describes how a decision changed: `trade long → no_trade`, or that only its code or figures differ."""
    if was.label != now.label:
        return f"{was.label} → {now.label}"
    return f"{was.label}, another code" if was.code != now.code else f"{was.label}, other figures"

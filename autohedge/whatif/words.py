"""A decision as it is compared: what was decided with which figures, and in one line why."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from autohedge.agents import director
from autohedge.core.abstentions import told
from autohedge.core.events import Decision, Proposal
from autohedge.llm.answers import extract
from autohedge.llm.failures import plain
from autohedge.llm.outcome import ACCEPTED, REPAIRED
from autohedge.llm.transcript import Line

LONGEST = 400


@dataclass(frozen=True, slots=True)
class Word:
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

    def __str__(self) -> str:
        """All of it but the reason: `trade long 76 %, size 50 %, take 30, stop 15, 2 below, gtc`."""
        parts = [self.label]
        if self.verdict in {"trade", "no_trade"}:
            parts.append(f"{self.confidence_pct} %")
        parts.append(plain(self.code))
        said = " ".join(part for part in parts if part)
        return said if self.proposal is None else f"{said}, {_figures(self.proposal)}"

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


def _figures(proposal: Proposal) -> str:
    exits = f"take {proposal.take_profit_bps}, stop {proposal.stop_loss_bps} bps"
    return f"size {proposal.size_pct} %, {exits}, {proposal.offset_bps} below, {proposal.time_in_force}"


def word(decision: Decision, lines: Sequence[Line] = ()) -> Word:
    """A decision, with the reason that its lines give."""
    traded = decision.verdict == "trade"
    return Word(
        verdict=decision.verdict,
        direction=decision.direction if traded else "",
        confidence_pct=decision.confidence_pct,
        code=decision.code,
        proposal=decision.proposal,
        why=_why(decision, lines),
    )


def _why(decision: Decision, lines: Sequence[Line]) -> str:
    """The Director's thesis; without one, what was wrong."""
    for line in lines:
        if line.agent == director.NAME and (said := _thesis(line)):
            return said
    failures = [line.failure for line in lines if line.failure]
    return plain(failures[-1] if failures else told(decision.code), longest=LONGEST)


def _thesis(line: Line) -> str:
    if line.response is None or line.outcome not in {ACCEPTED, REPAIRED}:
        return ""
    found = extract(line.response.text)
    return plain(str(found.value.get("thesis", "")), longest=LONGEST) if found else ""


def way(was: Word, now: Word) -> str:
    """Which way a decision changed: `trade long → no_trade`, or that only its figures or its code did."""
    if was.label != now.label:
        return f"{was.label} → {now.label}"
    return f"{was.label}, another code" if was.code != now.code else f"{was.label}, other figures"

"""The Director's verdicts, found again: what one is about, and the flight of who asks for it.

Only verdicts about gates are kept. A proposal is about one moment.
"""

from dataclasses import dataclass

from pydantic import ValidationError

from autohedge.agents import director
from autohedge.agents.director import Verdict
from autohedge.config.sections import Agents
from autohedge.core.regimes import UNKNOWN, regime
from autohedge.core.snapshots import Snapshot
from autohedge.llm.verdicts import Kept, Key, Verdicts
from autohedge.prompts.library import Prompt

VENUE = "simulated"


def key_of(snapshot: Snapshot, prompt: Prompt, agents: Agents, model: str, market: str) -> str:
    """What a verdict is found by; empty where it is not to be kept.

    `market` tells tapes apart: on the simulated venue each of them is a market of its own.
    """
    terms = agents.director
    if snapshot.kind != "gate" or (band := regime(snapshot.quotes)) == UNKNOWN:
        return ""
    asked = f"{terms.model or model} temperature={terms.temperature} samples={terms.samples}"
    version = str(director.SCHEMA_VERSION)
    return Key(f"{VENUE} {market}", snapshot.symbol, prompt.hash, asked, version, band).text


@dataclass(slots=True)
class Flight:
    """One deliberation's hold on a key: empty unless it must say what it came to."""

    verdicts: Verdicts | None = None
    key: str = ""

    async def find(self, key: str, at_ns: int, left_s: float) -> Kept | None:
        """A verdict that holds at `at_ns`; None: ask, for the flight is this deliberation's now.

        What is kept may have been written by a stranger: an answer that is none is as good as nothing.
        """
        if self.verdicts is None or not key:
            return None
        kept = await self.verdicts.find(key, at_ns, left_s)
        if kept is None:
            self.key = key
        return kept if kept and verdict_in(kept) else None

    async def leave(self) -> None:
        """End it without a verdict, if it is this deliberation's."""
        key, self.key = self.key, ""
        if self.verdicts is not None and key:
            await self.verdicts.leave(key)


def verdict_in(kept: Kept) -> Verdict | None:
    """The verdict that was kept, if it is one and nothing else: what is kept goes into the record as it stands."""
    if not kept.answer.keys() <= Verdict.model_fields.keys():
        return None
    try:
        return Verdict.model_validate(kept.answer, strict=True)
    except ValidationError:
        return None

"""The Director's verdicts, found again: what one is about, and the flight of who asks for it.

Only verdicts about gates are kept. A proposal is about one moment.
"""

from dataclasses import dataclass

from pydantic import ValidationError

from autohedge.agents import director
from autohedge.agents.director import Verdict
from autohedge.config.sections import AgentsSettings
from autohedge.core.regimes import UNKNOWN, regime
from autohedge.core.snapshots import Snapshot
from autohedge.llm.cache.memory import CachedVerdict, VerdictCache, VerdictKey
from autohedge.prompts.library import Prompt

VENUE = "simulated"


def verdict_key(snapshot: Snapshot, prompt: Prompt, agents: AgentsSettings, model: str, market: str) -> str:
    """What a verdict is found by; empty where it is not to be kept.

    `market` tells tapes apart: on the simulated venue each of them is a market of its own.
    """
    terms = agents.director
    if snapshot.kind != "gate" or (band := regime(snapshot.quotes)) == UNKNOWN:
        return ""
    model_settings = f"{terms.model or model} temperature={terms.temperature} samples={terms.samples}"
    version = str(director.SCHEMA_VERSION)
    return VerdictKey(f"{VENUE} {market}", snapshot.symbol, prompt.hash, model_settings, version, band).text


@dataclass(slots=True)
class SingleFlight:
    """One deliberation's hold on a key: empty unless it must say what it came to."""

    verdicts: VerdictCache | None = None
    key: str = ""

    async def get(self, key: str, at_ns: int, left_s: float) -> CachedVerdict | None:
        """A verdict that holds at `at_ns`; None: ask, for the flight is this deliberation's now.

        What is kept may have been written by a stranger: an answer that is none is as good as nothing.
        """
        if self.verdicts is None or not key:
            return None
        cached = await self.verdicts.get(key, at_ns, left_s)
        if cached is None:
            self.key = key
        return cached if cached and decode_verdict(cached) else None

    async def abandon(self) -> None:
        """End it without a verdict, if it is this deliberation's."""
        key, self.key = self.key, ""
        if self.verdicts is not None and key:
            await self.verdicts.abandon(key)


def decode_verdict(cached: CachedVerdict) -> Verdict | None:
    """The verdict that was kept, if it is one and nothing else: what is kept goes into the record as it stands."""
    if not cached.answer.keys() <= Verdict.model_fields.keys():
        return None
    try:
        return Verdict.model_validate(cached.answer, strict=True)
    except ValidationError:
        return None

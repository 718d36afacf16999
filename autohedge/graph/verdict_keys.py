"""The cache key of a Director's verdict, and a deliberation's part in single flight.

Only verdicts about gates are cached. A proposal is valid for its snapshot only.
"""

from dataclasses import dataclass

from pydantic import ValidationError

from autohedge.agents.director import SCHEMA_VERSION, Verdict
from autohedge.config.sections import AgentsSettings
from autohedge.core.regimes import UNKNOWN, regime
from autohedge.core.snapshots import Snapshot
from autohedge.llm.cache.memory import CachedVerdict, VerdictCache, VerdictKey
from autohedge.prompts.library import Prompt

# Settings of the Director's answers that its verdicts depend on; absent from a key where they are unset.
OF_ANSWERS = ("max_answer_tokens", "reasoning", "extra_body")


def verdict_key(snapshot: Snapshot, prompt: Prompt, agents: AgentsSettings, model: str, market: str) -> str:
    """Returns the cache key of a verdict; empty if it must not be cached.

    `market` distinguishes tapes: on the simulated venue each tape is a market of its own.
    """
    terms = agents.director
    if snapshot.kind != "gate" or (band := regime(snapshot.quotes)) == UNKNOWN:
        return ""
    model_settings = f"{terms.model or model} temperature={terms.temperature} samples={terms.samples}"
    own = {name: getattr(terms, name) for name in OF_ANSWERS}
    model_settings += "".join(f" {name}={value}" for name, value in own.items() if value and value != "auto")
    directions = snapshot.limits.directions
    model_settings += "" if directions == ("long",) else f" directions={','.join(directions)}"
    version = str(SCHEMA_VERSION)
    return VerdictKey(
        f"{snapshot.venue} {market}", snapshot.symbol, prompt.hash, model_settings, version, band
    ).text


@dataclass(slots=True)
class SingleFlight:
    """The flight of one deliberation; `key` is set while it must publish a verdict or abandon the flight."""

    verdicts: VerdictCache | None = None
    key: str = ""

    async def get(self, key: str, at_ns: int, left_s: float) -> CachedVerdict | None:
        """Returns a verdict that is valid at `at_ns`; None if a model must be asked.

        An invalid cached answer counts as none: any program with access to Redis may have written it.
        """
        if self.verdicts is None or not key:
            return None
        cached = await self.verdicts.get(key, at_ns, left_s)
        if cached is None:
            self.key = key
        return cached if cached and decode_verdict(cached) else None

    async def abandon(self) -> None:
        """Ends the flight without a verdict, if this deliberation holds one."""
        # Cleared first, so that a second call does nothing.
        key, self.key = self.key, ""
        if self.verdicts is not None and key:
            await self.verdicts.abandon(key)


def decode_verdict(cached: CachedVerdict) -> Verdict | None:
    """Returns the verdict of a cached answer; None if it is invalid or has unknown keys."""
    # The cached answer is recorded unchanged, so it must not carry anything else.
    if not cached.answer.keys() <= Verdict.model_fields.keys():
        return None
    try:
        return Verdict.model_validate(cached.answer, strict=True)
    except ValidationError:
        return None

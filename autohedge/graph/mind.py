"""Everything that answers questions in one process: backend, queue, prompts, graph."""

from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import msgspec

from autohedge import config
from autohedge.config import Settings
from autohedge.config.sections import LLM
from autohedge.core.errors import Unavailable
from autohedge.core.events import Deliberate
from autohedge.core.log import warn
from autohedge.core.snapshots import Snapshot
from autohedge.graph.deliberator import Deliberator, Resolution
from autohedge.graph.materials import Materials, Sources
from autohedge.llm.asking import Asker
from autohedge.llm.backend import LLMBackend, ModelFailure
from autohedge.llm.providers import open_backend
from autohedge.llm.rules import RulesBackend
from autohedge.llm.shared import Shared, open_shared
from autohedge.llm.spending import Spent
from autohedge.llm.verdicts import Kept
from autohedge.tools.lessons import Lesson

NS_PER_S = 10**9


class Ready(msgspec.Struct, frozen=True, tag=True):
    """Who answers in this run; or why nobody can, and whether that is because a server is `away`."""

    provider: str = ""
    model: str = ""
    server: str = ""
    failure: str = ""
    away: bool = False


class Mind:
    """Deliberates; made by `open`, in the loop that it is used in."""

    def __init__(
        self,
        asker: Asker,
        materials: Materials,
        shown: dict[str, Snapshot],
        deadline_s: float | None = None,
        shared: Shared | None = None,
        ttl_s: float = 0.0,
    ) -> None:
        backend, verdicts = asker.backend, shared.verdicts if shared and ttl_s else None
        self._asker = asker
        self._shown = shown
        self._shared, self._verdicts, self._ttl_ns = shared, verdicts, round(ttl_s * NS_PER_S)
        self._deadline_s = deadline_s
        self._deliberator = self._with(materials)
        self._materials = materials
        self.ready = Ready(backend.name, backend.model, backend.server)

    @classmethod
    async def open(cls, settings: Settings, sources: Sources, *, on_tape: bool) -> "Mind":
        """Reach what the settings name.

        Raises Misconfigured for a prompt or a provider that cannot work, Unavailable for a server that does not answer.
        """
        materials, shown = Materials.of(sources, settings.tools, settings.agents), dict[str, Snapshot]()
        rules = RulesBackend(shown.__getitem__)
        try:
            key = config.secrets().llm_api_key
            backend = await open_backend(settings, key, on_tape=on_tape, rules=rules)
        except ModelFailure as failure:
            raise Unavailable(f"{failure}; or choose llm.provider=rules") from None
        shared = await shared_of(settings, backend, on_tape=on_tape)
        asker = Asker(backend, _part(settings, on_tape=on_tape), slots=shared.slots)
        return cls(asker, materials, shown, settings.hybrid.deadline_s, shared, ttl_s(settings))

    def edit(self, prompts: Mapping[str, tuple[str, str]]) -> None:
        """Deliberate with these prompts from now on; what has begun goes on with those that it began with.

        Raises Misconfigured with file and line.
        """
        self._materials = self._materials.edited(prompts)
        self._deliberator = self._with(self._materials)

    def _with(self, materials: Materials) -> Deliberator:
        backend = self._asker.backend
        terms = (self._deadline_s, self._verdicts, backend.model)
        return Deliberator(self._asker, materials, backend.name, *terms)

    def deliberate(
        self, question: Deliberate, snapshot: Snapshot, lessons: Sequence[Lesson]
    ) -> Coroutine[Any, Any, Resolution]:
        """Come to a resolution, with the prompts of this moment; nothing that a model or a prompt does raises."""
        return self._deliberate(self._deliberator, question, snapshot, lessons)

    async def _deliberate(
        self, deliberator: Deliberator, question: Deliberate, snapshot: Snapshot, lessons: Sequence[Lesson]
    ) -> Resolution:
        """Come to a resolution, to be settled by who takes it."""
        self._shown[question.snapshot] = snapshot
        try:
            return await deliberator.deliberate(snapshot, lessons)
        finally:
            del self._shown[question.snapshot]

    async def settle(self, snapshot: Snapshot, resolution: Resolution, known_ns: int) -> None:
        """Keep a verdict for those who ask alike, from `known_ns` on; or let them ask themselves."""
        if not resolution.flight or self._verdicts is None:
            return
        if resolution.answer is None or resolution.verdict == "abstain":
            await self._verdicts.leave(resolution.flight)
            return
        kept = Kept(
            key=resolution.flight,
            answer=resolution.answer | {"confidence_pct": resolution.confidence_pct},
            decided_ns=snapshot.at_ns,
            valid_until_ns=snapshot.at_ns + self._ttl_ns,
            known_ns=known_ns,
            source=resolution.source,
        )
        await self._verdicts.keep(kept)

    def counts(self) -> dict[str, Any]:
        """What came of all calls, and of looking for verdicts that were kept."""
        return asdict(self._asker.counts) | {"kept": self.kept()}

    def spent_before(self, spent: Spent) -> None:
        """Count what the run spent before this process."""
        self._asker.spent_before(spent)

    def kept(self) -> dict[str, int]:
        """What came of looking for verdicts that were kept, and how often Redis was away."""
        return self._shared.counts if self._shared else {}

    async def close(self) -> None:
        """End what waits, and let go of the server."""
        await self._asker.close()
        if self._shared:
            await self._shared.close()


def ttl_s(settings: Settings) -> float:
    """How long a verdict is kept for those who ask alike; 0 keeps none."""
    return settings.hybrid.verdict_ttl_s if settings.hybrid.cache_verdicts else 0.0


async def shared_of(settings: Settings, backend: LLMBackend, *, on_tape: bool) -> Shared:
    """What this process has together with others: on a tape nothing, so that the same tape gives the same record."""
    if on_tape:
        settings = settings.model_copy(update={"redis": settings.redis.model_copy(update={"url": ""})})
    server = settings.llm.base_url or backend.server
    return await open_shared(settings, f"{backend.name} {server}", warn)


def _part(settings: Settings, *, on_tape: bool) -> LLM:
    """The model as this process may ask it: without Redis its part of the places, for others are not seen."""
    llm = settings.llm
    if on_tape or settings.redis.url:
        return llm
    return llm.model_copy(update={"max_concurrent": max(1, llm.max_concurrent // llm.expected_processes)})

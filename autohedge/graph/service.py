"""Everything that answers questions in one process: backend, queue, prompts, graph."""

from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import msgspec

from autohedge import config
from autohedge.config import Settings
from autohedge.config.sections import LLMSettings
from autohedge.core.errors import Unavailable
from autohedge.core.events import DeliberationRequested
from autohedge.core.log import warn
from autohedge.core.snapshots import Snapshot
from autohedge.core.units import NS_PER_S
from autohedge.graph.prompt_builder import PromptBuilder, PromptFiles
from autohedge.graph.runner import DeliberationResult, GraphRunner
from autohedge.llm.backend import LLMBackend, LLMError
from autohedge.llm.backends.factory import open_backend
from autohedge.llm.backends.rules import RulesBackend
from autohedge.llm.cache.memory import CachedVerdict
from autohedge.llm.cache.shared import SharedResources, open_shared_resources
from autohedge.llm.client import LLMClient
from autohedge.llm.usage import TokenUsage
from autohedge.tools.lessons import Lesson


class BackendInfo(msgspec.Struct, frozen=True, tag=True):
    """Who answers in this run; or why nobody can, and whether that is because a server is `away`."""

    provider: str = ""
    model: str = ""
    server: str = ""
    failure: str = ""
    away: bool = False


class DeliberationService:
    """Deliberates; made by `open`, in the loop that it is used in."""

    def __init__(
        self,
        client: LLMClient,
        prompt_builder: PromptBuilder,
        shown: dict[str, Snapshot],
        deadline_s: float | None = None,
        shared: SharedResources | None = None,
        ttl_s: float = 0.0,
    ) -> None:
        backend, verdicts = client.backend, shared.verdicts if shared and ttl_s else None
        self._client = client
        self._shown = shown
        self._shared, self._verdicts, self._ttl_ns = shared, verdicts, round(ttl_s * NS_PER_S)
        self._deadline_s = deadline_s
        self._graph_runner = self._with(prompt_builder)
        self._prompt_builder = prompt_builder
        self.ready = BackendInfo(backend.name, backend.model, backend.server)

    @classmethod
    async def open(cls, settings: Settings, sources: PromptFiles, *, on_tape: bool) -> "DeliberationService":
        """Reach what the settings name.

        Raises Misconfigured for a prompt or a provider that cannot work, Unavailable for a server that does not answer.
        """
        prompt_builder, shown = (
            PromptBuilder.of(sources, settings.tools, settings.agents),
            dict[str, Snapshot](),
        )
        rules = RulesBackend(shown.__getitem__)
        try:
            key = config.load_secrets().llm_api_key
            backend = await open_backend(settings, key, on_tape=on_tape, rules=rules)
        except LLMError as failure:
            raise Unavailable(f"{failure}; or choose llm.provider=rules") from None
        shared = await open_shared_for(settings, backend, on_tape=on_tape)
        client = LLMClient(backend, _process_share(settings, on_tape=on_tape), slots=shared.slots)
        return cls(client, prompt_builder, shown, settings.hybrid.deadline_s, shared, ttl_s(settings))

    def update_prompts(self, prompts: Mapping[str, tuple[str, str]]) -> None:
        """DeliberationRequested with these prompts from now on; what has begun goes on with those that it began with.

        Raises Misconfigured with file and line.
        """
        self._prompt_builder = self._prompt_builder.with_prompts(prompts)
        self._graph_runner = self._with(self._prompt_builder)

    def _with(self, prompt_builder: PromptBuilder) -> GraphRunner:
        backend = self._client.backend
        terms = (self._deadline_s, self._verdicts, backend.model)
        return GraphRunner(self._client, prompt_builder, backend.name, *terms)

    def deliberate(
        self, question: DeliberationRequested, snapshot: Snapshot, lessons: Sequence[Lesson]
    ) -> Coroutine[Any, Any, DeliberationResult]:
        """Come to a resolution, with the prompts of this moment; nothing that a model or a prompt does raises."""
        return self._deliberate(self._graph_runner, question, snapshot, lessons)

    async def _deliberate(
        self,
        graph_runner: GraphRunner,
        question: DeliberationRequested,
        snapshot: Snapshot,
        lessons: Sequence[Lesson],
    ) -> DeliberationResult:
        """Come to a resolution, to be settled by who takes it."""
        self._shown[question.snapshot] = snapshot
        try:
            return await graph_runner.run(snapshot, lessons)
        finally:
            del self._shown[question.snapshot]

    async def publish_verdict(self, snapshot: Snapshot, result: DeliberationResult, known_ns: int) -> None:
        """Keep a verdict for those who ask alike, from `known_ns` on; or let them ask themselves."""
        if not result.flight or self._verdicts is None:
            return
        if result.answer is None or result.verdict == "abstain":
            await self._verdicts.abandon(result.flight)
            return
        cached = CachedVerdict(
            key=result.flight,
            answer=result.answer | {"confidence_pct": result.confidence_pct},
            decided_ns=snapshot.at_ns,
            valid_until_ns=snapshot.at_ns + self._ttl_ns,
            known_ns=known_ns,
            source=result.source,
        )
        await self._verdicts.put(cached)

    def counts(self) -> dict[str, Any]:
        """What came of all calls, and of looking for verdicts that were kept."""
        return asdict(self._client.counts) | {"kept": self.cache_counts()}

    def carry_usage(self, spent: TokenUsage) -> None:
        """Count what the run spent before this process."""
        self._client.carry_usage(spent)

    def cache_counts(self) -> dict[str, int]:
        """What came of looking for verdicts that were kept, and how often Redis was away."""
        return self._shared.counts if self._shared else {}

    async def close(self) -> None:
        """End what waits, and let go of the server."""
        await self._client.close()
        if self._shared:
            await self._shared.close()


def ttl_s(settings: Settings) -> float:
    """How long a verdict is kept for those who ask alike; 0 keeps none."""
    return settings.hybrid.verdict_ttl_s if settings.hybrid.cache_verdicts else 0.0


async def open_shared_for(settings: Settings, backend: LLMBackend, *, on_tape: bool) -> SharedResources:
    """What this process has together with others: on a tape nothing, so that the same tape gives the same record."""
    if on_tape:
        settings = settings.model_copy(update={"redis": settings.redis.model_copy(update={"url": ""})})
    server = settings.llm.base_url or backend.server
    return await open_shared_resources(settings, f"{backend.name} {server}", warn)


def _process_share(settings: Settings, *, on_tape: bool) -> LLMSettings:
    """The model as this process may ask it: without Redis its part of the places, for others are not seen."""
    llm = settings.llm
    if on_tape or settings.redis.url:
        return llm
    return llm.model_copy(update={"max_concurrent": max(1, llm.max_concurrent // llm.expected_processes)})

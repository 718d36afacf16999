"""The deliberation service of one process: backend, queue, prompts and graph."""

from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import msgspec

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
from autohedge.llm.backends.api_keys import key_for_server
from autohedge.llm.backends.factory import open_backend
from autohedge.llm.backends.rules import RulesBackend
from autohedge.llm.cache.memory import CachedVerdict, VerdictCache
from autohedge.llm.cache.shared import SharedResources, open_shared_resources
from autohedge.llm.client import LLMClient
from autohedge.llm.prices import PriceTable
from autohedge.llm.senders import ServerSender, TapeSender
from autohedge.llm.usage import TokenUsage
from autohedge.tools.lessons import Lesson


class BackendInfo(msgspec.Struct, frozen=True, tag=True):
    """The backend of a run, or why there is none; `away` marks a server that could not be reached."""

    provider: str = ""
    model: str = ""
    server: str = ""
    failure: str = ""
    away: bool = False


class DeliberationService:
    """Runs deliberations; to be created by `open` in the event loop that uses it."""

    def __init__(
        self, graph_runner: GraphRunner, shared: SharedResources | None = None, ttl_s: float = 0.0
    ) -> None:
        """Takes over the client of `graph_runner`; a cached verdict is valid for `ttl_s`."""
        self._graph_runner, self._client = graph_runner, graph_runner.client
        self._shared, self._verdicts = shared, graph_runner.verdicts
        self._ttl_ns = round(ttl_s * NS_PER_S)
        backend = self._client.backend
        self.ready = BackendInfo(backend.name, backend.model, backend.server)

    @classmethod
    async def open(cls, settings: Settings, sources: PromptFiles, *, on_tape: bool) -> "DeliberationService":
        """Opens the backend and the shared resources of the settings.

        Raises Misconfigured for an invalid prompt or provider, and Unavailable for a server that does not
        answer.
        """
        backend, prompt_builder, shown = await open_model(settings, sources, on_tape=on_tape)
        shared = await open_shared_for(settings, backend, on_tape=on_tape)
        prices = PriceTable.of(settings, backend.name, backend.model)
        client = (
            LLMClient(TapeSender(backend, settings.llm), settings.llm, prices=prices)
            if on_tape
            else LLMClient(
                ServerSender(backend, settings.llm), _process_share(settings), shared.slots, prices
            )
        )
        verdicts, hybrid = kept_verdicts(settings, shared), settings.hybrid
        graph_runner = GraphRunner(client, prompt_builder, hybrid.deadline_s, verdicts, shown)
        return cls(graph_runner, shared, hybrid.verdict_ttl_s)

    def update_prompts(self, prompts: Mapping[str, tuple[str, str]]) -> None:
        """Uses these prompts from now on; deliberations that have started keep theirs.

        Raises Misconfigured with file and line.
        """
        self._graph_runner = self._graph_runner.with_prompts(prompts)

    def deliberate(
        self,
        question: DeliberationRequested,  # noqa: ARG002  a service that answers from a record needs it
        snapshot: Snapshot,
        lessons: Sequence[Lesson],
    ) -> Coroutine[Any, Any, DeliberationResult]:
        """Returns a coroutine that deliberates with the prompts in force at this call.

        Failures of models and prompts never raise. The caller must then call `publish_verdict`.
        """
        # Not a coroutine function: one that starts after `update_prompts` would use the new prompts.
        return self._graph_runner.run(snapshot, lessons)

    async def publish_verdict(self, snapshot: Snapshot, result: DeliberationResult, known_ns: int) -> None:
        """Caches a verdict from `known_ns` on; without a verdict, ends the flight so that others may ask."""
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
        """Returns counts of all calls, and of cache lookups under `cache`."""
        return asdict(self._client.counts) | {"cache": self.cache_counts()}

    def carry_usage(self, spent: TokenUsage) -> None:
        """Adds the usage of the run before this process."""
        self._client.carry_usage(spent)

    def cache_counts(self) -> dict[str, int]:
        """Returns counts of cache lookups, and of outages of Redis."""
        return self._shared.counts if self._shared else {}

    async def close(self) -> None:
        """Ends waiting requests, and closes the backend and the shared resources."""
        await self._client.close()
        if self._shared:
            await self._shared.close()


async def open_model(
    settings: Settings, sources: PromptFiles, *, on_tape: bool
) -> tuple[LLMBackend, PromptBuilder, dict[str, Snapshot]]:
    """Opens the backend; returns it with the prompts and the snapshots that are shown to agents, none yet.

    Raises Misconfigured for an invalid prompt or provider, and Unavailable for a server that does not answer.
    """
    prompt_builder, shown = (
        PromptBuilder.of(sources, settings.tools, settings.resolved_agents),
        dict[str, Snapshot](),
    )
    try:
        key, rules = key_for_server(settings.llm, on_tape=on_tape), RulesBackend(shown.__getitem__)
        backend = await open_backend(settings, key, on_tape=on_tape, rules=rules)
    except LLMError as failure:
        raise Unavailable(f"{failure}; or choose llm.provider=rules") from None
    return backend, prompt_builder, shown


def kept_verdicts(settings: Settings, shared: SharedResources) -> VerdictCache | None:
    """Returns the cache of verdicts; None if the settings disable it."""
    return shared.verdicts if settings.hybrid.cache_verdicts else None


async def open_shared_for(settings: Settings, backend: LLMBackend, *, on_tape: bool) -> SharedResources:
    """Opens the resources shared with other processes.

    On a tape nothing is shared, so that the same tape gives the same record.
    """
    if on_tape:
        settings = settings.model_copy(update={"redis": settings.redis.model_copy(update={"url": ""})})
    server = settings.llm.base_url or backend.server
    return await open_shared_resources(settings, f"{backend.name} {server}", warn)


def _process_share(settings: Settings) -> LLMSettings:
    """Returns the LLM settings of this process; without Redis it uses only its share of the slots.

    Without Redis the processes do not know of each other's calls.
    """
    llm = settings.llm
    if settings.redis.url:
        return llm
    return llm.model_copy(update={"max_concurrent": max(1, llm.max_concurrent // llm.expected_processes)})

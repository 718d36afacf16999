"""What is answered before the graph is entered, and the failures on the way."""

import asyncio
from typing import Any

import pytest

from autohedge.core.snapshots import Snapshot
from autohedge.graph.prompt_builder import PromptBuilder, PromptFiles
from autohedge.graph.runner import DeliberationResult, GraphRunner
from autohedge.llm.backends.scripted import ScriptedBackend
from autohedge.llm.cache.memory import CachedVerdict, MemoryVerdictCache
from autohedge.llm.client import LLMClient
from autohedge.llm.senders import ServerSender
from tests.graph.hybrid_harness import answer
from tests.graph.team_harness import RecordingBackend, agent_answer
from tests.run_harness import settings
from tests.snapshot_factory import rows, snapshot

RISING = rows([100 + 0.01 * (step % 5) + 0.01 * step for step in range(50)])

pytestmark = pytest.mark.usefixtures("workplace")


class FailingCache(MemoryVerdictCache):
    """A cache whose lookups fail."""

    async def get(self, key: str, at_ns: int, deadline_s: float | None = None) -> CachedVerdict | None:
        raise ConnectionError("no cache")


class Shown(dict[str, Snapshot]):
    """The snapshots that the graph shows to agents; `count` counts them."""

    count = 0

    def __setitem__(self, key: str, value: Snapshot) -> None:
        self.count += 1
        super().__setitem__(key, value)


def _ran(
    seen: Snapshot, reply: str = answer(symbol="BTC/USD"), **how: Any
) -> tuple[DeliberationResult, RecordingBackend]:
    wanted = settings(trading__mode="hybrid")
    backend = RecordingBackend(ScriptedBackend([reply]))
    client = LLMClient(ServerSender(backend, wanted.llm), wanted.llm)
    builder = PromptBuilder.of(PromptFiles.of(wanted), wanted.tools, wanted.agents)
    return asyncio.run(GraphRunner(client, builder, **how).run(seen, ())), backend


def test_bypass_and_cached_verdict_do_not_enter_the_graph() -> None:
    shown, verdicts = Shown(), MemoryVerdictCache()
    first, _ = _ran(snapshot(RISING), verdicts=verdicts, shown=shown)
    assert (first.verdict, shown.count, dict(shown)) == ("trade", 1, {})
    assert first.answer
    at_ns = snapshot(RISING).at_ns
    cached = CachedVerdict(first.flight, first.answer, at_ns, at_ns + 10**9, at_ns, "scripted")
    asyncio.run(verdicts.put(cached))
    second, backend = _ran(snapshot(RISING), verdicts=verdicts, shown=shown)
    bypassed, _ = _ran(snapshot(RISING, state="halted"), verdicts=verdicts, shown=shown)
    assert (second.source, second.cached_verdict, bypassed.source) == ("cache", cached, "bypass")
    assert (shown.count, backend.requests) == (1, [])


def test_learning_question_is_asked_even_where_a_gate_would_be_bypassed() -> None:
    seen = snapshot(RISING, kind="learning", state="halted")
    result, _ = _ran(seen, agent_answer("learning"))
    assert (result.verdict, result.source) == ("lesson", "scripted")


def test_failing_cache_abstains_like_a_failing_node_without_a_request() -> None:
    result, backend = _ran(snapshot(RISING), verdicts=FailingCache())
    assert (result.verdict, result.code, result.failure) == (
        "abstain",
        "node_error",
        "ConnectionError: no cache",
    )
    assert backend.requests == []

"""A cancelled deliberation ends its flight, so that equal requests in other processes do not wait for it."""

import asyncio
from typing import Any

import pytest

from autohedge.core.snapshots import Snapshot
from autohedge.graph.prompt_builder import PromptBuilder, PromptFiles
from autohedge.graph.runner import GraphRunner
from autohedge.llm.backend import LLMRequest, LLMResponse
from autohedge.llm.cache.memory import MemoryVerdictCache
from autohedge.llm.client import LLMClient
from autohedge.llm.senders import ServerSender
from tests.run_harness import settings
from tests.snapshot_factory import rows, snapshot

RISING = rows([100 + 0.01 * (step % 5) + 0.01 * step for step in range(50)])


class Cut:
    """A model that never answers, or whose client cancels the request."""

    name = model = server = "cut"

    def __init__(self, *, cuts: bool) -> None:
        self.requested, self._cuts = asyncio.Event(), cuts

    async def complete(self, request: LLMRequest) -> LLMResponse:
        self.requested.set()
        if self._cuts:
            raise asyncio.CancelledError
        await asyncio.Event().wait()
        raise AssertionError

    async def close(self) -> None:
        """Does nothing."""


@pytest.mark.parametrize("cuts", [False, True])
def test_cancelled_deliberation_releases_its_flight_and_queue_slot(
    workplace: Any,
    *,
    cuts: bool,
) -> None:
    async def play() -> None:
        wanted, seen = settings(trading__mode="hybrid"), snapshot(RISING)
        memory, model = MemoryVerdictCache(), Cut(cuts=cuts)
        client = LLMClient(ServerSender(model, wanted.llm), wanted.llm)
        prompt_builder = PromptBuilder.of(PromptFiles.of(wanted), wanted.tools, wanted.agents)
        runner = GraphRunner(client, prompt_builder, 60.0, memory)
        task = asyncio.ensure_future(_deliberated(runner, seen))
        await model.requested.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert memory.stats.flights == 1
        assert client.queue.running == 0
        second = asyncio.ensure_future(_deliberated(runner, seen))
        model.requested.clear()
        async with asyncio.timeout(20):
            await model.requested.wait()
        second.cancel()
        assert memory.stats.flights == 2 and memory.stats.waited == 0

    asyncio.run(play())


async def _deliberated(runner: GraphRunner, seen: Snapshot) -> None:
    await runner.run(seen, ())

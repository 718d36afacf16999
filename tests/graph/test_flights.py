"""A deliberation that is cut off lets go of its flight: whoever asks alike would wait for it else, in every process."""

import asyncio
from typing import Any

import pytest

from autohedge.core.snapshots import Snapshot
from autohedge.graph.deliberator import Deliberator
from autohedge.graph.materials import Materials, Sources
from autohedge.llm.asking import Asker
from autohedge.llm.backend import Request, Response
from autohedge.llm.verdicts import InMemory
from tests.showing import rows, snapshot
from tests.support import settings

RISING = rows([100 + 0.01 * (step % 5) + 0.01 * step for step in range(50)])


class Cut:
    """A model that is asked and never answers; or whose client cuts the asker off."""

    name = model = server = "cut"

    def __init__(self, *, cuts: bool) -> None:
        self.asked, self._cuts = asyncio.Event(), cuts

    async def complete(self, request: Request) -> Response:
        self.asked.set()
        if self._cuts:
            raise asyncio.CancelledError
        await asyncio.Event().wait()
        raise AssertionError

    async def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize("cuts", [False, True])
def test_a_deliberation_that_is_cut_off_leaves_its_flight_and_its_place(
    workplace: Any,
    *,
    cuts: bool,
) -> None:
    async def play() -> None:
        wanted, seen = settings(trading__mode="hybrid"), snapshot(RISING)
        memory, model = InMemory(), Cut(cuts=cuts)
        asker = Asker(model, wanted.llm)
        materials = Materials.of(Sources.of(wanted), wanted.tools, wanted.agents)
        deliberator = Deliberator(asker, materials, "cut", 60.0, memory)
        task = asyncio.ensure_future(_deliberated(deliberator, seen))
        await model.asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert memory.tally.flights == 1
        assert asker.queue.running == 0
        again = asyncio.ensure_future(_deliberated(deliberator, seen))
        model.asked.clear()
        async with asyncio.timeout(20):
            await model.asked.wait()
        again.cancel()
        assert memory.tally.flights == 2 and memory.tally.waited == 0

    asyncio.run(play())


async def _deliberated(deliberator: Deliberator, seen: Snapshot) -> None:
    await deliberator.deliberate(seen, ())

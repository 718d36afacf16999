"""A machine that has no process to give for a while costs answers, and not the agents of the whole run."""

import asyncio
import contextlib
import socket
from pathlib import Path
from threading import Event

from autohedge.core.events import Deliberate
from autohedge.graph.materials import Sources
from autohedge.graph.worker import Process, Worker
from autohedge.llm.policy import pause
from tests.graph.fake_worker import FakeWorker
from tests.showing import snapshot
from tests.support import settings

REFUSED = (2, 3)
IN_TIME_S = 30.0


def test_a_worker_that_cannot_be_started_again_is_tried_until_it_can(workplace: Path) -> None:
    starts: list[int] = []
    awake = Event()
    awake.set()

    def launch(theirs: socket.socket) -> Process:
        starts.append(len(starts) + 1)
        if starts[-1] in REFUSED:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return FakeWorker(theirs, awake)

    async def play(worker: Worker) -> list[int]:
        heard: list[int] = []
        serving = asyncio.ensure_future(worker.serve(lambda question, *_: heard.append(question.number)))
        worker._process.kill()
        async with asyncio.timeout(IN_TIME_S):
            while worker.deaths < 1 + len(REFUSED) or len(starts) != 2 + len(REFUSED):
                await pause(0.01)
            shown = snapshot(number=7, symbol="A")
            worker.ask(Deliberate(0, 7, "gate", "A", shown.hash), shown)
            while worker.waiting:
                await pause(0.01)
        assert not serving.done()
        serving.cancel()
        return heard

    wanted = settings(trading__mode="hybrid", llm__provider='"rules"')
    with contextlib.closing(Worker(wanted, Sources.of(wanted), launch, pauses_s=(0.0,))) as worker:
        assert asyncio.run(play(worker)) == [7]

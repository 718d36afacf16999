"""A machine that cannot start a process for a while costs answers, but not the agents of the whole run."""

import asyncio
import contextlib
import socket
from pathlib import Path
from threading import Event

from autohedge.core.events import DeliberationRequested
from autohedge.graph.prompt_builder import PromptFiles
from autohedge.graph.worker import Process, Worker
from autohedge.llm.policy import sleep
from tests.graph.fake_worker import FakeWorker
from tests.run_harness import settings
from tests.snapshot_factory import snapshot

REFUSED = (2, 3)
IN_TIME_S = 30.0


def test_worker_respawn_is_retried_until_it_succeeds(workplace: Path) -> None:
    starts: list[int] = []
    awake = Event()
    awake.set()

    def launch(theirs: socket.socket) -> Process:
        starts.append(len(starts) + 1)
        if starts[-1] in REFUSED:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return FakeWorker(theirs, awake)

    async def play(worker: Worker) -> list[int]:
        answered: list[int] = []
        serving = asyncio.ensure_future(worker.serve(lambda question, *_: answered.append(question.number)))
        worker._process.kill()
        async with asyncio.timeout(IN_TIME_S):
            while worker.deaths < 1 + len(REFUSED) or len(starts) != 2 + len(REFUSED):
                await sleep(0.01)
            shown = snapshot(number=7, symbol="A")
            worker.request(DeliberationRequested(0, 7, "gate", "A", shown.hash), shown)
            while worker.waiting:
                await sleep(0.01)
        assert not serving.done()
        serving.cancel()
        return answered

    wanted = settings(trading__mode="hybrid", llm__provider='"rules"')
    with contextlib.closing(Worker(wanted, PromptFiles.of(wanted), launch, pauses_s=(0.0,))) as worker:
        assert asyncio.run(play(worker)) == [7]

"""Eight worker processes with one Redis and one model: one call per verdict, and the limit of calls holds."""

import asyncio
import contextlib
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from autohedge.core.clock import monotonic_s
from autohedge.core.events import DeliberationRequested
from autohedge.core.snapshots import Snapshot
from autohedge.graph.prompt_builder import PromptFiles
from autohedge.graph.runner import DeliberationResult
from autohedge.graph.worker import Worker
from tests.fork_server import fork_worker
from tests.graph.hybrid_harness import answer
from tests.llm.imitation_server import Imitation, ReceivedRequest, Reply, completion, json_reply, llama_cpp
from tests.llm.redis_server import Server, at_a_socket
from tests.run_harness import settings
from tests.snapshot_factory import rows, snapshot

pytestmark = pytest.mark.process

EIGHT, PLACES, LEASE_S, IN_TIME_S = 8, 3, 1.0, 60.0
RISE = rows([100 + 0.01 * (step % 7) + 0.02 * step for step in range(50)])


class Counting:
    """A model that answers `trade`, and counts its concurrent calls."""

    def __init__(self, server: Imitation) -> None:
        self.server = server
        self.now = self.most = self.calls = 0
        self._lock = threading.Lock()
        self.takes_s = 0.0
        server.pages["/v1/chat/completions"] = self.chat

    def chat(self, request: ReceivedRequest) -> Reply:
        with self._lock:
            self.now, self.calls = self.now + 1, self.calls + 1
            self.most = max(self.most, self.now)
        self.server.over.wait(self.takes_s)
        with self._lock:
            self.now -= 1
        about = re.search(r"^Symbol: (\S+)$", request.body["messages"][-1]["content"], re.MULTILINE)
        return json_reply(completion(answer(symbol=about[1] if about else "?"), usage=None))


class Team:
    """Workers, and the answers of each."""

    def __init__(self, workers: Sequence[Worker]) -> None:
        self.workers = workers
        self.answers: list[DeliberationResult] = []
        self._number = 0
        self._serving = [asyncio.ensure_future(worker.serve(self._on_result)) for worker in workers]

    def _on_result(
        self, question: DeliberationRequested, snapshot: Snapshot, result: DeliberationResult
    ) -> None:
        self.answers.append(result)

    def ask(self, worker: Worker, symbol: str) -> None:
        self._number += 1
        shot = snapshot(RISE, number=self._number, symbol=symbol)
        worker.request(DeliberationRequested(shot.at_ns, self._number, "gate", symbol, shot.hash), shot)

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(IN_TIME_S):
            while not true():
                turn = asyncio.Event()
                asyncio.get_running_loop().call_later(0.02, turn.set)
                await turn.wait()

    async def answered(self, count: int) -> list[DeliberationResult]:
        """Waits for `count` new answers and returns them."""
        await self.until(lambda: len(self.answers) >= count)
        came, self.answers = self.answers, []
        return came

    def end(self) -> None:
        for each in self._serving:
            each.cancel()


@pytest.fixture
def model() -> Iterator[Counting]:
    with llama_cpp() as server:
        yield Counting(server)


@pytest.fixture
def redis() -> Iterator[Server]:
    with at_a_socket() as server:
        yield server


def test_eight_workers_share_verdicts_and_slots_despite_a_killed_one(
    workplace: Path, model: Counting, redis: Server
) -> None:
    wanted = settings(
        trading__mode="hybrid",
        hybrid__cache_verdicts=True,
        llm__provider='"openai"',
        llm__base_url=f'"{model.server.base_url}"',
        llm__max_concurrent=PLACES,
        redis__url=f'"{redis.url}"',
        redis__lease_s=LEASE_S,
        redis__timeout_s=5.0,
    )
    prompt_files = PromptFiles.of(wanted)
    with ThreadPoolExecutor(EIGHT) as pool, contextlib.ExitStack() as stack:
        workers = list(pool.map(lambda _: Worker(wanted, prompt_files, fork_worker), range(EIGHT)))
        for worker in workers:
            stack.callback(worker.close)
        asyncio.run(_shared(workers, model))


async def _shared(workers: list[Worker], model: Counting) -> None:
    team = Team(workers)
    try:
        await _one_call_a_verdict(team, model)
        await _no_more_than_the_places(team, model)
        await _a_killed_one_frees_its_places(team, model)
    finally:
        team.end()


async def _one_call_a_verdict(team: Team, model: Counting) -> None:
    before, model.takes_s = model.calls, 0.3
    for worker in team.workers:
        team.ask(worker, "SAME")
    came = await team.answered(EIGHT)
    assert {(each.verdict, each.direction) for each in came} == {("trade", "long")}
    assert sorted(each.source for each in came) == ["cache"] * (EIGHT - 1) + ["openai"]
    assert model.calls - before == 1


async def _no_more_than_the_places(team: Team, model: Counting) -> None:
    model.most, model.takes_s = 0, 0.1
    for at, worker in enumerate(team.workers):
        for own in range(3):
            team.ask(worker, f"S{at}-{own}")
    came = await team.answered(EIGHT * 3)
    assert {each.verdict for each in came} == {"trade"}
    assert model.most == PLACES


async def _a_killed_one_frees_its_places(team: Team, model: Counting) -> None:
    first, other, model.takes_s = team.workers[0], team.workers[1], 600.0
    for own in range(PLACES):
        team.ask(first, f"HELD{own}")
    await team.until(lambda: model.now == PLACES)
    model.takes_s = 0.0
    os.kill(first.pid, signal.SIGKILL)
    killed_s = monotonic_s()
    team.ask(other, "AFTER")
    came = await team.answered(PLACES + 1)
    assert sorted(each.code or each.verdict for each in came) == ["trade"] + ["worker_died"] * PLACES
    assert monotonic_s() - killed_s < LEASE_S + 20
    assert first.deaths == 1

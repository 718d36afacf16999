"""Decisions in virtual time: computed at once, delivered after the latency that they would have."""

import asyncio
import heapq
from collections.abc import Callable, Coroutine, Sequence
from threading import Thread
from typing import Any, Literal

from autohedge.config import Settings
from autohedge.core.clock import NEVER
from autohedge.core.events import Decision, DeliberationRequested
from autohedge.core.snapshots import Snapshot
from autohedge.core.units import NS_PER_MS, NS_PER_S
from autohedge.graph.result_recording import RecordedResult
from autohedge.graph.runner import DeliberationResult, abstention
from autohedge.graph.service import DeliberationService
from autohedge.tools.lessons import Lesson, drop_expired

Record = Callable[[DeliberationRequested, Snapshot, DeliberationResult], RecordedResult]


class LoopThread:
    """An event loop in its own thread, for callers that block until a coroutine is done."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="agents runtime", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Returns the result of a coroutine; blocks until it is done."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def close(self) -> None:
        """Cancels what an interrupt has left, and stops the loop and its thread."""
        self.run(_cancel_others())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


class LatencyModel:
    """The queueing model of a model server: parallel servers and a bounded queue, in tape time."""

    def __init__(self, servers: int, queue_size: int, patience_ns: int) -> None:
        # Two heaps: when each server is free, and when each request that waits will start.
        self._free_ns = [0] * servers
        self._starts_ns: list[int] = []
        self._queue_size = queue_size
        self._patience_ns = patience_ns

    def admit(self, now_ns: int) -> tuple[int, Literal["", "queue_full", "deadline"]]:
        """Returns the start of service of a request at `now_ns`, or the time and code of its rejection."""
        while self._starts_ns and self._starts_ns[0] <= now_ns:
            heapq.heappop(self._starts_ns)
        start_ns = max(now_ns, self._free_ns[0])
        if start_ns > now_ns and len(self._starts_ns) >= self._queue_size:
            return now_ns, "queue_full"
        if start_ns - now_ns > self._patience_ns:
            return now_ns + self._patience_ns, "deadline"
        return start_ns, ""

    def serve(self, start_ns: int, service_ns: int) -> int:
        """Occupies the server that is free first; returns the time at which it is done."""
        heapq.heapreplace(self._free_ns, start_ns + service_ns)
        heapq.heappush(self._starts_ns, start_ns)
        return start_ns + service_ns


class SimulatedDecisions:
    """Computes each decision at its request, and delivers it when it is due.

    `first` is called once with the duration of the first answer in ms; `lessons` are the lessons so far.
    """

    def __init__(
        self,
        service: DeliberationService,
        settings: Settings,
        loop: LoopThread,
        record: Record,
        first: Callable[[float], None] = lambda _: None,
        lessons: Sequence[Lesson] = (),
    ) -> None:
        llm = settings.llm
        self._first: Callable[[float], None] | None = first
        self._service = service
        self._loop = loop
        self._record = record
        self._measured = llm.latency == "measured"
        self._latency_ns = round(llm.virtual_latency_s * NS_PER_S)
        patience_ns = round(settings.hybrid.deadline_s * NS_PER_S)
        self._servers = LatencyModel(llm.max_concurrent, llm.queue_size, patience_ns)
        self._due: list[tuple[int, int, Decision]] = []
        self._lessons = list(lessons)

    @property
    def next_due_ns(self) -> int:
        """The timestamp of the next decision."""
        return self._due[0][0] if self._due else NEVER

    def request(self, question: DeliberationRequested, snapshot: Snapshot) -> None:
        """Deliberates now, in this process; tape time stands still meanwhile."""
        start_ns, refused = self._servers.admit(question.at_ns)
        if refused:
            result, due_ns = abstention(refused), start_ns
        else:
            drop_expired(self._lessons, question.at_ns)
            result = self._loop.run(self._service.deliberate(question, snapshot, self._lessons))
            due_ns = self._done_ns(question.at_ns, start_ns, result)
        if self._first and result.service_ms:
            self._first(result.service_ms)
            self._first = None
        # Published with the virtual time of its end, so that no reader uses it earlier.
        self._loop.run(self._service.publish_verdict(snapshot, result, due_ns))
        decision = self._record(question, snapshot, result).decision(due_ns, self._lessons)
        heapq.heappush(self._due, (due_ns, question.number, decision))

    def poll(self, by_ns: int) -> Decision | None:
        """Returns the next decision that is due by `by_ns`, or None."""
        return heapq.heappop(self._due)[2] if self.next_due_ns <= by_ns else None

    def _done_ns(self, now_ns: int, start_ns: int, result: DeliberationResult) -> int:
        """Returns when an answer is done; without calls at once, as no server is needed."""
        if not result.sent:
            return now_ns
        fixed_ns = result.sent * self._latency_ns
        measured_ns = round(result.service_ms * NS_PER_MS)
        return self._servers.serve(start_ns, measured_ns if self._measured else fixed_ns)

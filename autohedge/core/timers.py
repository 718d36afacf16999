"""What is due when: at most one time per matter, in the order of time, then of entry."""

import heapq
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

from autohedge.core.clock import NEVER

TimerKey = TypeVar("TimerKey", bound=Hashable)


class TimerQueue(Generic[TimerKey]):
    """Times to come; a matter that is set again moves, one that is dropped leaves nothing behind."""

    __slots__ = ("_count", "_heap", "_held", "next_ns")

    def __init__(self) -> None:
        self.next_ns = NEVER
        self._heap: list[tuple[int, int, TimerKey]] = []
        self._held: dict[TimerKey, tuple[int, int, TimerKey]] = {}
        self._count = 0

    def __contains__(self, key: TimerKey) -> bool:
        """Whether a matter is due some time."""
        return key in self._held

    def deadline_ns(self, key: TimerKey) -> int:
        """When a matter is due; NEVER if it is not on the agenda."""
        time = self._held.get(key)
        return time[0] if time else NEVER

    def schedule(self, key: TimerKey, due_ns: int) -> None:
        """Set when a matter is due, instead of any time set before."""
        if key in self._held:
            self.cancel(key)
        self._count += 1
        self._held[key] = time = (due_ns, self._count, key)
        heapq.heappush(self._heap, time)
        self.next_ns = min(self.next_ns, due_ns)
        if len(self._heap) > 4 * len(self._held) + 64:
            self._compact()

    def cancel(self, key: TimerKey) -> None:
        """Take a matter off."""
        time = self._held.pop(key, None)
        if time and time[0] == self.next_ns:
            self._prune()

    def pop_due(self, now_ns: int) -> Iterator[TimerKey]:
        """Take off and give what is due by now, oldest first, with what becomes due meanwhile."""
        while self.next_ns <= now_ns:
            _, _, key = self._heap[0]
            self.cancel(key)
            yield key

    def _prune(self) -> None:
        """Forget times that were moved or dropped, once they stand first."""
        heap, held = self._heap, self._held
        while heap and held.get(heap[0][2]) is not heap[0]:
            heapq.heappop(heap)
        self.next_ns = heap[0][0] if heap else NEVER

    def _compact(self) -> None:
        """Forget all times that were moved or dropped."""
        self._heap[:] = self._held.values()
        heapq.heapify(self._heap)

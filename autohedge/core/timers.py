"""A timer queue with at most one deadline per key, ordered by time, then by the order of scheduling."""

import heapq
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

from autohedge.core.clock import NEVER

TimerKey = TypeVar("TimerKey", bound=Hashable)


class TimerQueue(Generic[TimerKey]):
    """Pending deadlines; scheduling a key again moves its deadline."""

    __slots__ = ("_count", "_heap", "_held", "next_ns")

    def __init__(self) -> None:
        self.next_ns = NEVER
        # (deadline, count, key): the count breaks ties, so keys themselves are never compared.
        self._heap: list[tuple[int, int, TimerKey]] = []
        self._held: dict[TimerKey, tuple[int, int, TimerKey]] = {}
        self._count = 0

    def __contains__(self, key: TimerKey) -> bool:
        """Whether the key has a deadline."""
        return key in self._held

    def deadline_ns(self, key: TimerKey) -> int:
        """Returns the deadline of a key; NEVER if it has none."""
        time = self._held.get(key)
        return time[0] if time else NEVER

    def schedule(self, key: TimerKey, due_ns: int) -> None:
        """Sets the deadline of a key, replacing an earlier one."""
        if key in self._held:
            self.cancel(key)
        self._count += 1
        self._held[key] = time = (due_ns, self._count, key)
        heapq.heappush(self._heap, time)
        self.next_ns = min(self.next_ns, due_ns)
        # A moved deadline leaves its old entry in the heap; this bound keeps the heap from growing.
        if len(self._heap) > 4 * len(self._held) + 64:
            self._compact()

    def cancel(self, key: TimerKey) -> None:
        """Removes the deadline of a key, if it has one."""
        time = self._held.pop(key, None)
        if time and time[0] == self.next_ns:
            self._prune()

    def pop_due(self, now_ns: int) -> Iterator[TimerKey]:
        """Removes and yields the keys due by `now_ns`, oldest first, including those scheduled meanwhile."""
        while self.next_ns <= now_ns:
            _, _, key = self._heap[0]
            self.cancel(key)
            yield key

    def _prune(self) -> None:
        """Removes cancelled and moved entries from the top of the heap, and updates `next_ns`."""
        heap, held = self._heap, self._held
        while heap and held.get(heap[0][2]) is not heap[0]:
            heapq.heappop(heap)
        self.next_ns = heap[0][0] if heap else NEVER

    def _compact(self) -> None:
        """Removes all cancelled and moved entries."""
        self._heap[:] = self._held.values()
        heapq.heapify(self._heap)

"""What is due when: at most one time per matter, in the order of time, then of entry."""

import heapq
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

from autohedge.core.clock import NEVER

Matter = TypeVar("Matter", bound=Hashable)


class Agenda(Generic[Matter]):
    """Times to come; a matter that is set again moves, one that is dropped leaves nothing behind."""

    __slots__ = ("_count", "_heap", "_held", "next_ns")

    def __init__(self) -> None:
        self.next_ns = NEVER
        self._heap: list[tuple[int, int, Matter]] = []
        self._held: dict[Matter, tuple[int, int, Matter]] = {}
        self._count = 0

    def __contains__(self, matter: Matter) -> bool:
        """Whether a matter is due some time."""
        return matter in self._held

    def due_ns(self, matter: Matter) -> int:
        """When a matter is due; NEVER if it is not on the agenda."""
        time = self._held.get(matter)
        return time[0] if time else NEVER

    def put(self, matter: Matter, due_ns: int) -> None:
        """Set when a matter is due, instead of any time set before."""
        if matter in self._held:
            self.drop(matter)
        self._count += 1
        self._held[matter] = time = (due_ns, self._count, matter)
        heapq.heappush(self._heap, time)
        self.next_ns = min(self.next_ns, due_ns)
        if len(self._heap) > 4 * len(self._held) + 64:
            self._tidy()

    def drop(self, matter: Matter) -> None:
        """Take a matter off."""
        time = self._held.pop(matter, None)
        if time and time[0] == self.next_ns:
            self._forget()

    def due(self, now_ns: int) -> Iterator[Matter]:
        """Take off and give what is due by now, oldest first, with what becomes due meanwhile."""
        while self.next_ns <= now_ns:
            _, _, matter = self._heap[0]
            self.drop(matter)
            yield matter

    def _forget(self) -> None:
        """Forget times that were moved or dropped, once they stand first."""
        heap, held = self._heap, self._held
        while heap and held.get(heap[0][2]) is not heap[0]:
            heapq.heappop(heap)
        self.next_ns = heap[0][0] if heap else NEVER

    def _tidy(self) -> None:
        """Forget all times that were moved or dropped."""
        self._heap[:] = self._held.values()
        heapq.heapify(self._heap)

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
        self._held: dict[Matter, tuple[int, int]] = {}
        self._count = 0

    def __contains__(self, matter: Matter) -> bool:
        """Whether a matter is due some time."""
        return matter in self._held

    def due_ns(self, matter: Matter) -> int:
        """When a matter is due; NEVER if it is not on the agenda."""
        return self._held.get(matter, (NEVER, 0))[0]

    def put(self, matter: Matter, due_ns: int) -> None:
        """Set when a matter is due, instead of any time set before."""
        self._count += 1
        self._held[matter] = (due_ns, self._count)
        heapq.heappush(self._heap, (due_ns, self._count, matter))
        self._prune()

    def drop(self, matter: Matter) -> None:
        """Take a matter off."""
        if self._held.pop(matter, None):
            self._prune()

    def due(self, now_ns: int) -> Iterator[Matter]:
        """Take off and give what is due by now, oldest first, with what becomes due meanwhile."""
        while self.next_ns <= now_ns:
            _, _, matter = self._heap[0]
            self.drop(matter)
            yield matter

    def _prune(self) -> None:
        """Forget times that were moved or dropped, once they stand first, or prevail."""
        heap, held = self._heap, self._held
        if len(heap) > 64 and len(heap) > 4 * len(held):
            heap[:] = [(due_ns, count, matter) for matter, (due_ns, count) in held.items()]
            heapq.heapify(heap)
        while heap and held.get(heap[0][2]) != heap[0][:2]:
            heapq.heappop(heap)
        self.next_ns = heap[0][0] if heap else NEVER

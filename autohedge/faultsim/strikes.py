"""Strikes: which fault happens when, as data that does not depend on what the run does.

A strike waits for the first opportunity of its fault at or after its time. So leaving one strike out changes
nothing about the others.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Sequence
from typing import TypeVar

import msgspec

from autohedge.core.clock import NEVER

T = TypeVar("T")


class Strike(msgspec.Struct, frozen=True, omit_defaults=True):
    """One fault: it passes `skip` opportunities at or after `at_ns`, then happens.

    `values` are numbers in [0, 1) that decide its details, such as the length of a delay.
    """

    fault: str
    at_ns: int
    skip: int = 0
    values: tuple[float, ...] = ()

    def between(self, least: float, most: float, place: int = 0) -> float:
        """The number between two limits that the value at `place` means; the middle without that value."""
        share = self.values[place] if place < len(self.values) else 0.5
        return least + (most - least) * share

    def choose(self, choices: Sequence[T], place: int = 0) -> T:
        """The element that the value at `place` means."""
        return choices[min(int(self.between(0, len(choices), place)), len(choices) - 1)]


class FaultSchedule:
    """The strikes of one run that are still to come, by fault; counts those that happened."""

    def __init__(self, strikes: Iterable[Strike], fault_counts: Counter[str]) -> None:
        self.fault_counts = fault_counts
        self._pending: defaultdict[str, deque[Strike]] = defaultdict(deque)
        self._waiting: defaultdict[str, list[tuple[int, Strike]]] = defaultdict(list)
        for strike in sorted(strikes, key=lambda strike: strike.at_ns):
            self._pending[strike.fault].append(strike)
        self._next_ns = {fault: pending[0].at_ns for fault, pending in self._pending.items()}

    def due(self, fault: str, now_ns: int) -> Strike | None:
        """Takes the strike of `fault` that happens at this opportunity; None without one.

        Each strike counts its own opportunities. Of several that happen at the same one, the first counts.
        """
        waiting = self._waiting.get(fault)
        if not waiting and now_ns < self._next_ns.get(fault, NEVER):  # most often
            return None
        due, pending = list(waiting or ()), self._pending[fault]
        while pending and pending[0].at_ns <= now_ns:
            strike = pending.popleft()
            due.append((strike.skip, strike))
        waiting = self._waiting[fault] = [(skip - 1, strike) for skip, strike in due if skip]
        first = waiting[0][1] if waiting else pending[0] if pending else None
        self._next_ns[fault] = first.at_ns if first else NEVER
        return next((strike for skip, strike in due if not skip), None)

    def take(self, fault: str, now_ns: int) -> Strike | None:
        """Like `due`, and counts the strike."""
        strike = self.due(fault, now_ns)
        if strike:
            self.fault_counts[fault] += 1
        return strike

    def next_of(self, faults: Iterable[str]) -> int:
        """When the next strike of these faults may happen; NEVER without one."""
        return min([self._next_ns.get(fault, NEVER) for fault in faults])

    def clear(self) -> None:
        """Drops the strikes that are still to come."""
        self._pending.clear()
        self._waiting.clear()
        self._next_ns.clear()

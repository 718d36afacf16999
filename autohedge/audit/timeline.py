"""States over time: of a gate, or of what was going on about a symbol; nine bytes a change."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

GATES = ("closed", "open", "cooldown", "expired")
ACTIVITIES = ("holding", "deliberating", "cooldown")
IDLE = "idle"
STATES = (*dict.fromkeys((*GATES, *ACTIVITIES)), IDLE)


@dataclass(slots=True)
class Timeline:
    """When something changed, and to which of STATES."""

    times_ns: "array[int]" = field(default_factory=lambda: array("q"))
    states: bytearray = field(default_factory=bytearray)

    def add(self, at_ns: int, state: str) -> None:
        """Note a change."""
        self.times_ns.append(at_ns)
        self.states.append(STATES.index(state))

    @property
    def last(self) -> str:
        """Where it stands; empty before the first change."""
        return STATES[self.states[-1]] if self.states else ""

    def __iter__(self) -> Iterator[tuple[int, str]]:
        return ((at_ns, STATES[state]) for at_ns, state in zip(self.times_ns, self.states, strict=True))


class Activity:
    """What was going on about each symbol where agents alone decide; of several things, the first of ACTIVITIES."""

    def __init__(self) -> None:
        self.lines: dict[str, Timeline] = {}
        self._going_on: dict[str, set[str]] = {}

    def note(self, symbol: str, at_ns: int, what: str, *, on: bool) -> None:
        """Something of ACTIVITIES begins or ends."""
        going_on = self._going_on.setdefault(symbol, set())
        (going_on.add if on else going_on.discard)(what)
        state = next((each for each in ACTIVITIES if each in going_on), IDLE)
        line = self.lines.setdefault(symbol, Timeline())
        if state != line.last:
            line.add(at_ns, state)

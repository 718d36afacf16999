"""States over time: of a gate, or of what happens with a symbol in llm mode; nine bytes per change."""

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

GATES = ("closed", "open", "cooldown", "expired")
ACTIVITIES = ("holding", "deliberating", "cooldown")
IDLE = "idle"
STATES = (*dict.fromkeys((*GATES, *ACTIVITIES)), IDLE)


@dataclass(slots=True)
class Timeline:
    """The times of changes, each with the new one of STATES."""

    times_ns: "array[int]" = field(default_factory=lambda: array("q"))
    states: bytearray = field(default_factory=bytearray)

    def add(self, at_ns: int, state: str) -> None:
        """Appends a change."""
        self.times_ns.append(at_ns)
        self.states.append(STATES.index(state))

    @property
    def last(self) -> str:
        """The current state; empty before the first change."""
        return STATES[self.states[-1]] if self.states else ""

    def __iter__(self) -> Iterator[tuple[int, str]]:
        return ((at_ns, STATES[state]) for at_ns, state in zip(self.times_ns, self.states, strict=True))


class Activity:
    """What happens with each symbol in llm mode; of several activities, the first of ACTIVITIES counts."""

    def __init__(self) -> None:
        self.lines: dict[str, Timeline] = {}
        self._going_on: dict[str, set[str]] = {}

    def note(self, symbol: str, at_ns: int, what: str, *, on: bool) -> None:
        """Records that one of ACTIVITIES begins or ends."""
        going_on = self._going_on.setdefault(symbol, set())
        (going_on.add if on else going_on.discard)(what)
        state = next((each for each in ACTIVITIES if each in going_on), IDLE)
        line = self.lines.setdefault(symbol, Timeline())
        if state != line.last:
            line.add(at_ns, state)


def spans(
    changes: Iterable[tuple[int, str]], first: str, first_ns: int, last_ns: int
) -> Iterator[tuple[int, int, str]]:
    """Yields each state with its begin and end; `first` is the state before the changes."""
    state, since_ns = first, first_ns
    for at_ns, following in changes:
        if at_ns > since_ns:
            yield since_ns, min(at_ns, last_ns), state
        # Changes at or before the first time only set the state that the first span has.
        state, since_ns = following, max(at_ns, since_ns)
    yield since_ns, last_ns, state


def shares(changes: Iterable[tuple[int, str]], first: str, first_ns: int, last_ns: int) -> dict[str, float]:
    """Returns each state's share of the time, the largest first."""
    last_ns = max(last_ns, first_ns + 1)
    totals: dict[str, int] = {}
    for begin_ns, end_ns, state in spans(changes, first, first_ns, last_ns):
        totals[state] = totals.get(state, 0) + max(end_ns - begin_ns, 0)
    largest_first = sorted(totals.items(), key=lambda item: -item[1])
    return {state: total / (last_ns - first_ns) for state, total in largest_first}

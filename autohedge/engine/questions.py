"""When the slow plane is asked about a symbol: by quotes and by time, never twice at once.

What an answer changes is the business of those who extend this: a gate, or a proposal of the agents.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from autohedge.core.agenda import Agenda
from autohedge.core.clock import NEVER
from autohedge.core.events import AnyOutput, Decision, Deliberate
from autohedge.core.reasons import Reason
from autohedge.core.snapshots import Kind
from autohedge.execution.inquiry import NS_PER_S, Matter
from autohedge.kernels.lane import Lanes

BYPASS, CACHE = "bypass", "cache"
VERDICTS = frozenset({"trade", "no_trade", "keep"})
ASK, DEADLINE = "ask", "answer"


@dataclass(slots=True)
class Asking:
    """When one lane is asked about.

    `ripe` says that it is time to ask, as quotes go; `later` counts the quotes until then that follow a
    cooldown, `cooling` that there is one. `waits_for` is the number of the question on its way, 0 without one.
    """

    asked_ns: int | None = None
    waits_for: int = 0
    ripe: bool = False
    later: int = 0
    cooling: bool = False


@dataclass(slots=True)
class Tally:
    """What became of all questions: verdicts and abstentions by code, openings.

    `late` are answers that nobody waited for any more, `given_up` questions that a halt or a restart ended.
    """

    opened: int = 0
    closed: int = 0
    late: int = 0
    given_up: int = 0
    bypassed: int = 0
    cached: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    abstentions: Counter[str] = field(default_factory=Counter)
    disposed: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Pace:
    """How often: after so many quotes, but not before so long; and how long an answer may take."""

    every_quotes: int
    least_pause_s: float
    deadline_s: float


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What questions need of the engine; `shoot` takes the snapshot of a question, and gives its hash."""

    symbols: Sequence[str]
    warmups: Sequence[int]
    lanes: Lanes
    agenda: Agenda[Matter]
    emit: Callable[[AnyOutput], None]
    number: Callable[[], int]
    shoot: Callable[[int, int, int], str]


class Questions:
    """One question at a time for each lane, as often as `pace` says."""

    kind: Kind = "gate"

    def __init__(self, pace: Pace, around: Surroundings, asking: Sequence[Asking]) -> None:
        self._pace = pace
        self._least_pause_ns = round(pace.least_pause_s * NS_PER_S)
        self._deadline_ns = round(pace.deadline_s * NS_PER_S)
        self._symbols, self._warmups = around.symbols, around.warmups
        self._lane_of = {symbol: lane for lane, symbol in enumerate(around.symbols)}
        self._code, self._refresh_in = around.lanes["gate"], around.lanes["refresh_in"]
        self._counts = around.lanes["counts"]
        self._agenda, self._emit = around.agenda, around.emit
        self._number, self._shoot = around.number, around.shoot
        self._asking = asking
        self.tally = Tally()
        self._refresh_in[:] = pace.every_quotes

    def hush(self) -> None:
        """Ask nothing of one's own accord, so that a person can `ask` instead."""
        self._refresh_in[:] = NEVER

    def ask(self, lane: int, now_ns: int) -> None:
        """Ask about a lane now, whether it is time or not."""
        self._ask(lane, now_ns)

    def seen(self, lane: int) -> int:
        """Valid quotes of a lane so far."""
        return int(self._counts[lane].sum() - self._counts[lane, Reason.BAD_QUOTE])

    def waits_for(self, symbol: str) -> int:
        """The number of the question about a symbol that is on its way; 0 without one."""
        return self._asking[self._lane_of[symbol]].waits_for

    def counted_down(self, lane: int, now_ns: int) -> None:
        """As many quotes came as were waited for."""
        asking = self._asking[lane]
        self._refresh_in[lane] = asking.later or NEVER
        asking.ripe = asking.ripe or not asking.later
        asking.later = 0
        if asking.cooling:
            asking.cooling = False
            self._cooled(lane, now_ns)
        self._try(lane, now_ns)

    def _cooled(self, lane: int, now_ns: int) -> None:
        """A cooldown is over."""

    def _heard(self, decision: Decision) -> int:
        """The lane of an answer that is waited for; negative for one that is not."""
        lane = self._lane_of.get(decision.symbol, -1)
        if lane < 0 or not 0 < self._asking[lane].waits_for == decision.number:
            self.tally.late += 1
            return -1
        self.tally.bypassed += decision.source == BYPASS
        self.tally.cached += decision.source == CACHE
        return lane

    def _answered(self, lane: int) -> None:
        self._asking[lane].waits_for = 0
        self._agenda.drop((DEADLINE, lane))

    def _given_up(self, lane: int) -> None:
        """A question on its way counts no more; the next quote may ask anew, or the end of a cooldown."""
        asking = self._asking[lane]
        self.tally.given_up += bool(asking.waits_for)
        self._answered(lane)
        asking.ripe = True
        if not asking.cooling:
            self._refresh_in[lane] = 1

    def _cool(self, lane: int, quotes: int) -> None:
        """No question before so many more quotes."""
        asking = self._asking[lane]
        left = 0 if asking.ripe else int(self._refresh_in[lane])
        asking.later = max(left - quotes, 0)
        asking.cooling = True
        self._refresh_in[lane] = quotes

    def _try(self, lane: int, now_ns: int) -> None:
        """Ask, once it is time: quotes enough, no question on its way, not too soon after the last."""
        asking = self._asking[lane]
        if not asking.ripe or asking.waits_for or asking.cooling:
            return
        short = self._warmups[lane] - self.seen(lane)
        if short > 0:
            asking.ripe = False
            self._refresh_in[lane] = short
            return
        soonest_ns = 0 if asking.asked_ns is None else asking.asked_ns + self._least_pause_ns
        if now_ns < soonest_ns:
            self._agenda.put((ASK, lane), soonest_ns)
        else:
            self._ask(lane, now_ns)

    def _ask(self, lane: int, now_ns: int) -> None:
        asking = self._asking[lane]
        number = self._number()
        asking.waits_for, asking.asked_ns, asking.ripe, asking.later = number, now_ns, False, 0
        self._refresh_in[lane] = self._pace.every_quotes
        self._agenda.drop((ASK, lane))
        self._agenda.put((DEADLINE, lane), now_ns + self._deadline_ns)
        snapshot = self._shoot(lane, number, now_ns)
        self._emit(Deliberate(now_ns, number, self.kind, self._symbols[lane], snapshot))

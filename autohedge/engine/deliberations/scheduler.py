"""When the slow plane is asked about a symbol: by quotes and by time, never twice at once.

What an answer changes is the business of those who extend this: a gate, or a proposal of the agents.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from autohedge.core.clock import NEVER
from autohedge.core.events import AnyOutput, Decision, DeliberationRequested
from autohedge.core.reasons import Reason
from autohedge.core.snapshots import DeliberationKind
from autohedge.core.timers import TimerQueue
from autohedge.core.units import NS_PER_S
from autohedge.execution.tracking import TimerKey
from autohedge.kernels.state import KernelStates

BYPASS, CACHE = "bypass", "cache"
VERDICTS = frozenset({"trade", "no_trade", "keep"})
REQUEST, DEADLINE = "ask", "answer"


@dataclass(slots=True)
class RequestState:
    """When one lane is asked about.

    `due` says that it is time to ask, as quotes go; `quotes_after_cooldown` counts the quotes until then that follow a
    cooldown, `cooling` that there is one. `pending_id` is the number of the question on its way, 0 without one.
    """

    requested_ns: int | None = None
    pending_id: int = 0
    due: bool = False
    quotes_after_cooldown: int = 0
    cooling: bool = False


@dataclass(slots=True)
class DeliberationStats:
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
class Cadence:
    """How often: after so many quotes, but not before so long; and how long an answer may take."""

    every_quotes: int
    least_pause_s: float
    deadline_s: float


@dataclass(frozen=True, slots=True)
class SchedulerContext:
    """What questions need of the engine; `take_snapshot` takes the snapshot of a question, and gives its hash."""

    symbols: Sequence[str]
    warmups: Sequence[int]
    lanes: KernelStates
    timers: TimerQueue[TimerKey]
    emit: Callable[[AnyOutput], None]
    number: Callable[[], int]
    take_snapshot: Callable[[int, int, int], str]


class DeliberationScheduler:
    """One question at a time for each lane, as often as `cadence` says."""

    kind: DeliberationKind = "gate"

    def __init__(self, cadence: Cadence, context: SchedulerContext, states: Sequence[RequestState]) -> None:
        self._cadence = cadence
        self._least_pause_ns = round(cadence.least_pause_s * NS_PER_S)
        self._deadline_ns = round(cadence.deadline_s * NS_PER_S)
        self._symbols, self._warmups = context.symbols, context.warmups
        self._lane_of = {symbol: lane for lane, symbol in enumerate(context.symbols)}
        self._code, self._refresh_in = context.lanes["gate"], context.lanes["refresh_in"]
        self._counts = context.lanes["counts"]
        self._timers, self._emit = context.timers, context.emit
        self._number, self._take_snapshot = context.number, context.take_snapshot
        self._states = states
        self.stats = DeliberationStats()
        self._refresh_in[:] = cadence.every_quotes

    def pause(self) -> None:
        """Ask nothing of one's own accord, so that a person can `request_now` instead."""
        self._refresh_in[:] = NEVER

    def request_now(self, lane: int, now_ns: int) -> None:
        """Ask about a lane now, whether it is time or not."""
        self._request(lane, now_ns)

    def valid_quotes(self, lane: int) -> int:
        """Valid quotes of a lane so far."""
        return int(self._counts[lane].sum() - self._counts[lane, Reason.BAD_QUOTE])

    def pending_id(self, symbol: str) -> int:
        """The number of the question about a symbol that is on its way; 0 without one."""
        return self._states[self._lane_of[symbol]].pending_id

    def on_refresh_due(self, lane: int, now_ns: int) -> None:
        """As many quotes came as were waited for."""
        state = self._states[lane]
        self._refresh_in[lane] = state.quotes_after_cooldown or NEVER
        state.due = state.due or not state.quotes_after_cooldown
        state.quotes_after_cooldown = 0
        if state.cooling:
            state.cooling = False
            self._on_cooldown_over(lane, now_ns)
        self._request_if_due(lane, now_ns)

    def _on_cooldown_over(self, lane: int, now_ns: int) -> None:
        """A cooldown is over."""

    def _match(self, decision: Decision) -> int:
        """The lane of an answer that is waited for; negative for one that is not."""
        lane = self._lane_of.get(decision.symbol, -1)
        if lane < 0 or not 0 < self._states[lane].pending_id == decision.number:
            self.stats.late += 1
            return -1
        self.stats.bypassed += decision.source == BYPASS
        self.stats.cached += decision.source == CACHE
        return lane

    def _clear_pending(self, lane: int) -> None:
        self._states[lane].pending_id = 0
        self._timers.cancel((DEADLINE, lane))

    def _cancel_pending(self, lane: int) -> None:
        """A question on its way counts no more; the next quote may ask anew, or the end of a cooldown."""
        state = self._states[lane]
        self.stats.given_up += bool(state.pending_id)
        self._clear_pending(lane)
        state.due = True
        if not state.cooling:
            self._refresh_in[lane] = 1

    def _start_cooldown(self, lane: int, quotes: int) -> None:
        """No question before so many more quotes."""
        state = self._states[lane]
        left = 0 if state.due else int(self._refresh_in[lane])
        state.quotes_after_cooldown = max(left - quotes, 0)
        state.cooling = True
        self._refresh_in[lane] = quotes

    def _request_if_due(self, lane: int, now_ns: int) -> None:
        """Ask, once it is time: quotes enough, no question on its way, not too soon after the last."""
        state = self._states[lane]
        if not state.due or state.pending_id or state.cooling:
            return
        short = self._warmups[lane] - self.valid_quotes(lane)
        if short > 0:
            state.due = False
            self._refresh_in[lane] = short
            return
        soonest_ns = 0 if state.requested_ns is None else state.requested_ns + self._least_pause_ns
        if now_ns < soonest_ns:
            self._timers.schedule((REQUEST, lane), soonest_ns)
        else:
            self._request(lane, now_ns)

    def _request(self, lane: int, now_ns: int) -> None:
        state = self._states[lane]
        number = self._number()
        state.pending_id, state.requested_ns, state.due, state.quotes_after_cooldown = (
            number,
            now_ns,
            False,
            0,
        )
        self._refresh_in[lane] = self._cadence.every_quotes
        self._timers.cancel((REQUEST, lane))
        self._timers.schedule((DEADLINE, lane), now_ns + self._deadline_ns)
        snapshot = self._take_snapshot(lane, number, now_ns)
        self._emit(DeliberationRequested(now_ns, number, self.kind, self._symbols[lane], snapshot))

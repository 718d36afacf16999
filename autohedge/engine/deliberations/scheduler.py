"""Schedules deliberations per symbol, by quotes and by time, with one pending question at most.

The subclasses apply the answers: `EntryGates` in hybrid mode, `ProposalHandler` in llm mode.
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
    """The schedule of one lane.

    `due` is true once enough quotes have come. `cooling` is true during a cooldown; after it,
    `quotes_after_cooldown` quotes of the refresh interval remain. `pending_id` is the number of the pending
    question, 0 without one. `requested_ns` is the time of the last request.
    """

    requested_ns: int | None = None
    pending_id: int = 0
    due: bool = False
    quotes_after_cooldown: int = 0
    cooling: bool = False


@dataclass(slots=True)
class DeliberationStats:
    """Counts of questions and answers: verdicts, abstentions and resolutions by code, gate changes.

    `late` counts answers to no pending question, `given_up` questions that a halt or a restart ended.
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
    """How often to ask: after `every_quotes`, with `least_pause_s` in between; `deadline_s` for an answer."""

    every_quotes: int
    least_pause_s: float
    deadline_s: float


@dataclass(frozen=True, slots=True)
class SchedulerContext:
    """What the scheduler needs of the engine.

    `number` gives the number of the next question; `take_snapshot(lane, number, now_ns)` returns its hash.
    """

    symbols: Sequence[str]
    warmups: Sequence[int]
    lanes: KernelStates
    timers: TimerQueue[TimerKey]
    emit: Callable[[AnyOutput], None]
    number: Callable[[], int]
    take_snapshot: Callable[[int, int, int], str]


class DeliberationScheduler:
    """Requests deliberations, one at a time per lane, as often as `cadence` allows."""

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
        """Stops scheduled questions, so that only `request_now` asks."""
        self._refresh_in[:] = NEVER

    def request_now(self, lane: int, now_ns: int) -> None:
        """Requests a deliberation about a lane now, outside the schedule."""
        self._request(lane, now_ns)

    def valid_quotes(self, lane: int) -> int:
        """The number of valid quotes of a lane so far."""
        return int(self._counts[lane].sum() - self._counts[lane, Reason.BAD_QUOTE])

    def pending_id(self, symbol: str) -> int:
        """The number of a symbol's pending question; 0 without one."""
        return self._states[self._lane_of[symbol]].pending_id

    def on_refresh_due(self, lane: int, now_ns: int) -> None:
        """Handles the quote at which the kernel's count reached 0: ends a cooldown, or asks."""
        state = self._states[lane]
        # NEVER: the kernel stops again only after the next request has set the count.
        self._refresh_in[lane] = state.quotes_after_cooldown or NEVER
        state.due = state.due or not state.quotes_after_cooldown
        state.quotes_after_cooldown = 0
        if state.cooling:
            state.cooling = False
            self._on_cooldown_over(lane, now_ns)
        self._request_if_due(lane, now_ns)

    def _on_cooldown_over(self, lane: int, now_ns: int) -> None:
        """Hook for subclasses, called when a cooldown has ended."""

    def _match(self, decision: Decision) -> int:
        """The lane whose pending question the decision answers; -1 if there is none."""
        lane = self._lane_of.get(decision.symbol, -1)
        # 0 is "no question": without the comparison, a decision with number 0 would match an idle lane.
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
        """Drops the pending question; the next quote, or the end of a cooldown, asks again."""
        state = self._states[lane]
        self.stats.given_up += bool(state.pending_id)
        self._clear_pending(lane)
        state.due = True
        if not state.cooling:
            self._refresh_in[lane] = 1

    def _start_cooldown(self, lane: int, quotes: int) -> None:
        """Allows no question for the next `quotes` valid quotes."""
        state = self._states[lane]
        # Quotes of the cooldown count towards the refresh interval too.
        left = 0 if state.due else int(self._refresh_in[lane])
        state.quotes_after_cooldown = max(left - quotes, 0)
        state.cooling = True
        self._refresh_in[lane] = quotes

    def _request_if_due(self, lane: int, now_ns: int) -> None:
        """Requests a deliberation if it is due, none is pending, and the last one is long enough ago."""
        state = self._states[lane]
        if not state.due or state.pending_id or state.cooling:
            return
        short = self._warmups[lane] - self.valid_quotes(lane)
        if short > 0:  # let the kernel count the missing quotes of the warm-up
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
        # Before the event: the runtime looks the snapshot up by number when it forwards the request.
        snapshot = self._take_snapshot(lane, number, now_ns)
        self._emit(DeliberationRequested(now_ns, number, self.kind, self._symbols[lane], snapshot))

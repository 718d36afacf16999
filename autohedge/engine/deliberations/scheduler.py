"""Schedules deliberations per symbol, by quotes and by time, with one pending question at most.

What an answer changes is decided elsewhere: by `EntryGates` in hybrid mode, by `ProposalHandler` in llm mode.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from autohedge.config import Settings
from autohedge.core.clock import NEVER
from autohedge.core.events import Decision
from autohedge.core.reasons import Reason
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
    proposals: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Cadence:
    """How often to ask: after `every_quotes`, with `least_pause_ns` in between; `deadline_ns` for an answer.

    After a `no_trade` no question comes for `cooldown_quotes`.
    """

    every_quotes: int
    least_pause_ns: int
    deadline_ns: int
    cooldown_quotes: int

    @classmethod
    def of(cls, settings: Settings) -> "Cadence":
        """The cadence of the settings, for their mode."""
        hybrid, llm = settings.hybrid, settings.llm
        deadline_ns = round(hybrid.deadline_s * NS_PER_S)
        if settings.trading.mode == "llm":
            return cls(1, round(llm.min_interval_s * NS_PER_S), deadline_ns, llm.no_trade_cooldown_quotes)
        pause_ns = round(hybrid.min_refresh_s * NS_PER_S)
        return cls(hybrid.gate_refresh_quotes, pause_ns, deadline_ns, hybrid.no_trade_cooldown_quotes)


class DeliberationScheduler:
    """Decides when to ask, as often as `cadence` allows; `warmups` are the first quotes without a question."""

    def __init__(
        self,
        cadence: Cadence,
        symbols: Sequence[str],
        warmups: Sequence[int],
        lanes: KernelStates,
        timers: TimerQueue[TimerKey],
    ) -> None:
        self.cadence = cadence
        self._warmups = warmups
        self._lane_of = {symbol: lane for lane, symbol in enumerate(symbols)}
        self._refresh_in, self._counts = lanes["refresh_in"], lanes["counts"]
        self._timers = timers
        self.states = [RequestState() for _ in symbols]
        self.stats = DeliberationStats()
        self._refresh_in[:] = cadence.every_quotes

    def pause(self) -> None:
        """Stops scheduled questions."""
        self._refresh_in[:] = NEVER

    def valid_quotes(self, lane: int) -> int:
        """The number of valid quotes of a lane so far."""
        return int(self._counts[lane].sum() - self._counts[lane, Reason.BAD_QUOTE])

    def count(self, codes: list[int]) -> int:
        """The number of quotes of all lanes that ended in one of these reason codes."""
        return int(self._counts[:, codes].sum())

    def pending_id(self, symbol: str) -> int:
        """The number of a symbol's pending question; 0 without one."""
        return self.states[self._lane_of[symbol]].pending_id

    def on_refresh_due(self, lane: int) -> bool:
        """Handles the quote at which the kernel's count reached 0; returns whether it ends a cooldown."""
        state = self.states[lane]
        # NEVER: the kernel stops again only after the next request has set the count.
        self._refresh_in[lane] = state.quotes_after_cooldown or NEVER
        state.due = state.due or not state.quotes_after_cooldown
        state.quotes_after_cooldown = 0
        was_cooling, state.cooling = state.cooling, False
        return was_cooling

    def match(self, decision: Decision) -> int:
        """The lane whose pending question the decision answers, which it ends; -1 if there is none."""
        lane = self._lane_of.get(decision.symbol, -1)
        # 0 is "no question": without the comparison, a decision with number 0 would match an idle lane.
        if lane < 0 or not 0 < self.states[lane].pending_id == decision.number:
            self.stats.late += 1
            return -1
        self.stats.bypassed += decision.source == BYPASS
        self.stats.cached += decision.source == CACHE
        self.clear_pending(lane)
        return lane

    def clear_pending(self, lane: int) -> None:
        """Ends the pending question of a lane."""
        self.states[lane].pending_id = 0
        self._timers.cancel((DEADLINE, lane))

    def cancel_pending(self, lane: int) -> None:
        """Drops the pending question; the next quote, or the end of a cooldown, asks again."""
        state = self.states[lane]
        self.stats.given_up += bool(state.pending_id)
        self.clear_pending(lane)
        state.due = True
        if not state.cooling:
            self._refresh_in[lane] = 1

    def start_cooldown(self, lane: int, quotes: int) -> None:
        """Allows no question for the next `quotes` valid quotes."""
        state = self.states[lane]
        # Quotes of the cooldown count towards the refresh interval too.
        left = 0 if state.due else int(self._refresh_in[lane])
        state.quotes_after_cooldown = max(left - quotes, 0)
        state.cooling = True
        self._refresh_in[lane] = quotes

    def may_ask(self, lane: int, now_ns: int) -> bool:
        """Whether a question is due, none is pending, and the last one is long enough ago.

        Otherwise sets what the question waits for: a timer, or the quotes of the warm-up.
        """
        state = self.states[lane]
        if not state.due or state.pending_id or state.cooling:
            return False
        missing = self._warmups[lane] - self.valid_quotes(lane)
        if missing > 0:  # let the kernel count the missing quotes of the warm-up
            state.due = False
            self._refresh_in[lane] = missing
            return False
        soonest_ns = 0 if state.requested_ns is None else state.requested_ns + self.cadence.least_pause_ns
        if now_ns < soonest_ns:
            self._timers.schedule((REQUEST, lane), soonest_ns)
            return False
        return True

    def on_asked(self, lane: int, number: int, now_ns: int) -> None:
        """Notes the question `number` as pending, until its deadline."""
        state = self.states[lane]
        state.pending_id, state.requested_ns = number, now_ns
        state.due, state.quotes_after_cooldown = False, 0
        self._refresh_in[lane] = self.cadence.every_quotes
        self._timers.cancel((REQUEST, lane))
        self._timers.schedule((DEADLINE, lane), now_ns + self.cadence.deadline_ns)

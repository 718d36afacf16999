"""Collects closed round trips until there are enough to learn from."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from autohedge.core.events import Decision
from autohedge.core.money import ZERO, add
from autohedge.core.orders import ENTER, SELL, Intent
from autohedge.core.snapshots import ClosedTrade
from autohedge.core.timers import TimerQueue
from autohedge.execution.portfolio import PositionChange
from autohedge.execution.tracking import TimerKey
from autohedge.records.round_trips import TripTotals

LEARNED = "learned"
CLOSED_TRADES_MAX = 20  # each is a row of the prompt


@dataclass(slots=True)
class _SymbolLessons:
    """One lane: the open round trip, the closed ones, and the number of the pending question (0: none)."""

    trip: TripTotals = field(default_factory=TripTotals)
    closed: list[ClosedTrade] = field(default_factory=list)
    waits_for: int = 0


class LessonScheduler:
    """Decides when a lesson is due: after `every_trades` round trips of a symbol, one question at a time."""

    def __init__(
        self, symbols: Sequence[str], every_trades: int, deadline_ns: int, timers: TimerQueue[TimerKey]
    ) -> None:
        self._symbols = symbols
        self._every = every_trades
        self._deadline_ns = deadline_ns
        self._timers = timers
        self._symbol_states = [_SymbolLessons() for _ in symbols]
        self.lessons = 0

    def on_fill(self, change: PositionChange, intent: Intent, now_ns: int) -> tuple[ClosedTrade, ...]:
        """Follows one booked fill of an order; returns the trades to learn from if a lesson is due, else none."""
        symbol_state = self._symbol_states[change.lane]
        trip = symbol_state.trip
        if intent.purpose is ENTER and trip.entered and trip.side is not intent.side:
            # What the last trip left is too small to be closed; it is none of this one's.
            trip = symbol_state.trip = TripTotals()
        trip.realized = add(trip.realized, change.realized)
        if intent.purpose is ENTER:
            trip.enter(intent.side, change.quantity, change.price, change.fee_in_quote, now_ns)
            return ()
        trip.leave(change.quantity, change.price, change.fee_in_quote)
        # An adopted position was not entered here: it has no entry price to learn from.
        if change.held != ZERO or trip.entered <= ZERO:
            return ()
        closed = [*symbol_state.closed, self._closed_trade(change.lane, trip, intent, now_ns)]
        symbol_state.closed = closed[-CLOSED_TRADES_MAX:]
        symbol_state.trip = TripTotals()
        is_due = not symbol_state.waits_for and len(symbol_state.closed) >= self._every
        return tuple(symbol_state.closed) if is_due else ()

    def on_asked(self, lane: int, number: int, now_ns: int) -> None:
        """Notes the question `number` as pending, until its deadline."""
        # A failed request is not repeated: the next lesson comes after as many new round trips.
        self._symbol_states[lane].waits_for, self._symbol_states[lane].closed = number, []
        self._timers.schedule((LEARNED, lane), now_ns + self._deadline_ns)

    def on_decision(self, decision: Decision, lane: int) -> None:
        """Counts a lesson if the decision answers the pending question."""
        if 0 < self._symbol_states[lane].waits_for == decision.number:
            self.lessons += decision.verdict == "lesson"
            self.cancel(lane)

    def cancel(self, lane: int) -> None:
        """Drops the pending question of a lane."""
        self._symbol_states[lane].waits_for = 0
        self._timers.cancel((LEARNED, lane))

    def _closed_trade(self, lane: int, trip: TripTotals, intent: Intent, now_ns: int) -> ClosedTrade:
        return ClosedTrade(
            symbol=self._symbols[lane],
            opened_ns=trip.opened_ns,
            closed_ns=now_ns,
            quantity=trip.entered,
            entry_price=trip.entry_price,
            exit_price=trip.exit_price,
            realized=trip.realized,
            fees=trip.fees,
            reason=intent.reason,
            direction="long" if intent.side is SELL else "short",
        )

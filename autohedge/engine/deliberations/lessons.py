"""Requests lessons: collects closed round trips until there are enough to learn from."""

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal

from autohedge.core.events import AnyOutput, Decision, DeliberationRequested
from autohedge.core.money import ZERO, add
from autohedge.core.orders import BUY, Side
from autohedge.core.snapshots import ClosedTrade
from autohedge.core.timers import TimerQueue
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
    """Requests a lesson after `every_trades` round trips of a symbol, one question at a time."""

    def __init__(
        self,
        symbols: list[str],
        every_trades: int,
        deadline_ns: int,
        timers: TimerQueue[TimerKey],
        emit: Callable[[AnyOutput], None],
        number: Callable[[], int],
        take_snapshot: Callable[[int, int, int, tuple[ClosedTrade, ...]], str],
    ) -> None:
        self._symbols = symbols
        self._every = every_trades
        self._deadline_ns = deadline_ns
        self._timers = timers
        self._emit = emit
        self._number = number
        self._take_snapshot = take_snapshot
        self._symbol_states = [_SymbolLessons() for _ in symbols]
        self.lessons = 0

    def on_fill(
        self,
        lane: int,
        side: Side,
        quantity: Decimal,
        price: Decimal,
        fee: Decimal,
        realized: Decimal,
        held: Decimal,
        reason: str,
        now_ns: int,
    ) -> None:
        """Follows one booked fill; `held` is the position after it."""
        symbol_state = self._symbol_states[lane]
        trip = symbol_state.trip
        trip.realized = add(trip.realized, realized)
        if side is BUY:
            trip.buy(quantity, price, fee, now_ns)
        else:
            trip.sell(quantity, price, fee)
        # An adopted position was not bought here: it has no entry price to learn from.
        if side is not BUY and held == ZERO and trip.bought > ZERO:
            symbol_state.closed = [*symbol_state.closed, self._closed_trade(lane, trip, reason, now_ns)][
                -CLOSED_TRADES_MAX:
            ]
            symbol_state.trip = TripTotals()
            self._request_if_due(lane, now_ns)

    def on_decision(self, decision: Decision, lane: int) -> None:
        """Counts a lesson if the decision answers the pending question."""
        if 0 < self._symbol_states[lane].waits_for == decision.number:
            self.lessons += decision.verdict == "lesson"
            self.cancel(lane)

    def cancel(self, lane: int) -> None:
        """Drops the pending question of a lane."""
        self._symbol_states[lane].waits_for = 0
        self._timers.cancel((LEARNED, lane))

    def _closed_trade(self, lane: int, trip: TripTotals, reason: str, now_ns: int) -> ClosedTrade:
        return ClosedTrade(
            symbol=self._symbols[lane],
            opened_ns=trip.opened_ns,
            closed_ns=now_ns,
            quantity=trip.bought,
            entry_price=trip.entry_price,
            exit_price=trip.exit_price,
            realized=trip.realized,
            fees=trip.fees,
            reason=reason,
        )

    def _request_if_due(self, lane: int, now_ns: int) -> None:
        symbol_state = self._symbol_states[lane]
        if symbol_state.waits_for or len(symbol_state.closed) < self._every:
            return
        symbol_state.waits_for = number = self._number()
        snapshot = self._take_snapshot(lane, number, now_ns, tuple(symbol_state.closed))
        # A failed request is not repeated: the next lesson comes after as many new round trips.
        symbol_state.closed = []
        self._timers.schedule((LEARNED, lane), now_ns + self._deadline_ns)
        self._emit(DeliberationRequested(now_ns, number, "learning", self._symbols[lane], snapshot))

"""Invariant 20: trading state, order rate, questions, cooldowns and lessons are what the record says.

A restart loses none of them: what holds after it follows from the record and the quotes received alone.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from autohedge.core.events import (
    CooldownChanged,
    Decision,
    DeliberationRequested,
    GateChanged,
    Input,
    JournalEntry,
    ReplaceOrder,
    Restarted,
    SubmitOrder,
    TradingStateChanged,
)
from autohedge.core.money import ZERO
from autohedge.core.units import NS_PER_MINUTE, NS_PER_S
from autohedge.engine.deliberations.coordinator import DeliberationCoordinator
from autohedge.engine.engine import Engine
from autohedge.faultsim.question_checks import InvariantViolation, QuestionChecker
from autohedge.faultsim.recorded_account import BookedFill, RecordedAccount
from autohedge.faultsim.settings_in_force import SettingsInForce


class StateChecker:
    """Compares the engine's trading state and order rate with the record; raises InvariantViolation."""

    def __init__(self, settings: SettingsInForce, account: RecordedAccount) -> None:
        self._account, self._settings = account, settings
        self._sent_ns: deque[int] = deque()

    def apply(self, entry: JournalEntry) -> None:
        """Follows one recorded event, after the account has."""
        event = entry.event
        if isinstance(event, ReplaceOrder) or (isinstance(event, SubmitOrder) and not self._account.resent):
            self._sent_ns.append(event.at_ns)

    def step(self, engine: Engine) -> None:
        """Checks the state after a step."""
        account, state = self._account, engine.state
        here = (state.halted, state.halt_id, tuple(sorted(state.causes)))
        recorded = (account.halted, account.halt_id, account.causes)
        if here != recorded:
            raise InvariantViolation(f"20: halted and reducing are {here}, in the record {recorded}")
        soonest_ns = now_ns = engine.now_ns
        most = self._settings.now.risk.max_orders_per_minute
        while self._sent_ns and self._sent_ns[0] <= now_ns - NS_PER_MINUTE:
            self._sent_ns.popleft()
        if len(self._sent_ns) >= most:
            soonest_ns = self._sent_ns[-most] + NS_PER_MINUTE
        available_ns = engine.planner.order_rate.available_at_ns(now_ns)
        if available_ns != soonest_ns:
            raise InvariantViolation(
                f"20: the order rate allows the next order at {available_ns}, by the record at {soonest_ns}"
            )


@dataclass(slots=True)
class _Schedule:
    """The questions of one symbol: `every` quotes from row `since` on make the next one due.

    `dropped` is whether a halt or a restart ended the last question, so that the next quote asks again.
    `cooling_from` is the row at which a cooldown began, -1 outside one.
    """

    every: int
    asked_ns: int | None = None
    since: int = 0
    dropped: bool = False
    cooling_from: int = -1
    cooldown_quotes: int = 0
    entered: bool = False
    closed: int = 0
    lesson_due: bool = False


class BudgetChecker:
    """Follows questions, cooldowns and lessons of one record; every method raises InvariantViolation."""

    def __init__(
        self,
        settings: SettingsInForce,
        symbols: tuple[str, ...],
        account: RecordedAccount,
        questions: QuestionChecker,
    ) -> None:
        self._proposes = settings.now.trading.mode == "llm"
        self._settings, self._account, self._questions = settings, account, questions
        self._trades = settings.now.hybrid.learn_every_trades
        self._warmups = {symbol: settings.of(symbol).momentum.warmup_count for symbol in symbols}
        self._schedules = {symbol: _Schedule(self._every) for symbol in symbols}
        self._lessons = 0

    def apply(self, entry: JournalEntry) -> None:
        """Follows one recorded event, after the account and the questions have."""
        event = entry.event
        if isinstance(event, Input):
            self._require_lessons()
        if isinstance(event, DeliberationRequested):
            self._asked(event, entry.pos)
        elif isinstance(event, Decision):
            self._answered()
        elif isinstance(event, Restarted) or (isinstance(event, TradingStateChanged) and event.is_halt):
            self._dropped(entry.pos)
        elif isinstance(event, GateChanged) and event.symbol in self._schedules:
            in_cooldown = event.state == "cooldown"
            quotes = self._settings.now.hybrid.no_trade_cooldown_quotes if in_cooldown else 0
            self._cooldown(event.symbol, quotes, entry.pos)
        elif isinstance(event, CooldownChanged):
            self._cooldown(event.symbol, event.quotes, entry.pos)
        for booking in self._account.bookings:
            self._booked(booking)

    def step(self, deliberations: DeliberationCoordinator, pos: int) -> None:
        """Checks after a step that every question that was due was asked, and counts lessons."""
        self._require_lessons()
        scheduler = deliberations.lesson_scheduler
        if scheduler and scheduler.lessons != self._lessons:
            raise InvariantViolation(f"20: {scheduler.lessons} lessons, in the record {self._lessons}")
        if self._questions.over:
            return
        for symbol, schedule in self._schedules.items():
            if schedule.cooling_from >= 0:
                if self._quotes(symbol, schedule.cooling_from, pos) >= schedule.cooldown_quotes:
                    raise InvariantViolation(f"20: the cooldown of {symbol} goes on after its quotes")
            elif not self._questions.waits_for(symbol) and self._is_due(symbol, schedule, pos):
                raise InvariantViolation(f"20: {symbol} has not been asked about, and it is due")

    @property
    def _every(self) -> int:
        """The quotes from one question to the next."""
        return 1 if self._proposes else self._settings.now.hybrid.gate_refresh_quotes

    @property
    def _pause_ns(self) -> int:
        """The least time between two questions."""
        settings = self._settings.now
        pause_s = settings.llm.min_interval_s if self._proposes else settings.hybrid.min_refresh_s
        return round(pause_s * NS_PER_S)

    def _is_due(self, symbol: str, schedule: _Schedule, pos: int) -> bool:
        """Whether the quotes since the last question and its pause make the next one due for certain."""
        needed = 1 if schedule.dropped else schedule.every
        rested = schedule.asked_ns is None or self._account.now_ns > schedule.asked_ns + self._pause_ns
        return (
            rested
            and not self._account.paused
            and self._quotes(symbol, schedule.since, pos) >= needed
            and self._quotes(symbol, 0, pos) >= self._warmups[symbol]
        )

    def _quotes(self, symbol: str, start: int, end: int) -> int:
        return self._account.quotes.count(symbol, start, end)

    # questions

    def _answered(self) -> None:
        for decision, question in self._questions.taken.values():
            self._lessons += question.kind == "learning" and decision.verdict == "lesson"

    def _dropped(self, pos: int) -> None:
        """Notes that a halt or a restart ended all questions."""
        for schedule in self._schedules.values():
            schedule.dropped, schedule.since = True, pos

    def _asked(self, question: DeliberationRequested, pos: int) -> None:
        schedule = self._schedules[question.symbol]
        if question.kind == "learning":
            if not schedule.lesson_due:
                raise InvariantViolation(f"20: a lesson about {question.symbol} is requested too soon")
            schedule.lesson_due, schedule.closed = False, 0
            return
        if schedule.cooling_from >= 0:
            raise InvariantViolation(f"20: {question.symbol} is asked about during its cooldown")
        if schedule.asked_ns is not None and question.at_ns < schedule.asked_ns + self._pause_ns:
            raise InvariantViolation(f"20: {question.symbol} is asked about again before its pause is over")
        schedule.asked_ns, schedule.since, schedule.dropped = question.at_ns, pos, False
        schedule.every = self._every

    def _cooldown(self, symbol: str, quotes: int, pos: int) -> None:
        """Begins a cooldown of so many quotes, or ends one with 0."""
        schedule = self._schedules[symbol]
        if schedule.cooling_from >= 0:
            seen = self._quotes(symbol, schedule.cooling_from, pos)
            if seen != schedule.cooldown_quotes:
                raise InvariantViolation(
                    f"20: the cooldown of {symbol} ends after {seen} of {schedule.cooldown_quotes} quotes"
                )
        schedule.cooling_from, schedule.cooldown_quotes = pos if quotes else -1, quotes

    # lessons

    def _booked(self, booking: BookedFill) -> None:
        """Counts a closed round trip; requires a lesson after enough of them."""
        if booking.bust:
            return
        schedule = self._schedules[booking.order.symbol]
        if booking.order.enters:
            schedule.entered = True
        elif booking.held == ZERO and schedule.entered:
            schedule.entered = False
            schedule.closed += 1
            is_pending = self._questions.is_pending(booking.order.symbol, "learning")
            may_ask = bool(self._trades) and not is_pending and not self._account.paused
            schedule.lesson_due = may_ask and schedule.closed >= self._trades

    def _require_lessons(self) -> None:
        for symbol in self._due_lessons():
            raise InvariantViolation(f"20: a lesson about {symbol} is due and is not requested")

    def _due_lessons(self) -> Iterator[str]:
        return (symbol for symbol, schedule in self._schedules.items() if schedule.lesson_due)

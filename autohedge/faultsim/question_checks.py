"""Checks the questions of one record: which are pending, and that each ends exactly once."""

from collections import Counter

from autohedge.core.events import (
    AnyEvent,
    Decision,
    DeliberationRequested,
    EndOfTape,
    Restarted,
    SystemFault,
    Timer,
    TradingStateChanged,
)
from autohedge.core.snapshots import DeliberationKind
from autohedge.engine.deliberations.coordinator import DeliberationCoordinator


class InvariantViolation(Exception):
    """An invariant does not hold; the message starts with its number and says what was observed."""


class QuestionChecker:
    """Follows the questions of one `kind` and those of Learning; every method raises InvariantViolation.

    `taken` holds the answers that the last input brought, and `expired` the questions that it ended without
    an answer. `cut` is true if it ended all questions. `over` is true once the tape has ended.
    """

    def __init__(self, kind: DeliberationKind, deadline_ns: int, symbols: tuple[str, ...]) -> None:
        self._kind = kind
        self._deadline_ns = deadline_ns
        self._pending: dict[str, dict[str, DeliberationRequested]] = {symbol: {} for symbol in symbols}
        self._numbers: set[int] = set()
        self._ended: Counter[str] = Counter()
        self._late = 0
        self.over = False
        self.taken: dict[str, tuple[Decision, DeliberationRequested]] = {}
        self.expired: list[DeliberationRequested] = []
        self.cut = False

    def apply(self, event: AnyEvent) -> None:
        """Follows one recorded event."""
        match event:
            case Decision():
                self._forget()
                self._decided(event)
            case Timer():
                self._forget()
                self._pass_deadlines(event.at_ns)
            case DeliberationRequested():
                self._put(event)
            case Restarted():
                self._end_all("restart")
            case TradingStateChanged(is_halt=True) | SystemFault():
                self._end_all("halt")
            case EndOfTape():
                self.over = True
                self._end_all("end of tape")

    def waits_for(self, symbol: str) -> int:
        """The number of a symbol's pending question; 0 without one."""
        question = self._pending[symbol].get(self._kind)
        return question.number if question else 0

    def is_pending(self, symbol: str, kind: DeliberationKind) -> bool:
        """Whether a symbol has a pending question of a kind."""
        return kind in self._pending[symbol]

    def step(self, deliberations: DeliberationCoordinator) -> None:
        """Checks that the engine's pending questions are those of the record."""
        for symbol in self._pending:
            waits_for = deliberations.scheduler.pending_id(symbol)
            if waits_for != self.waits_for(symbol) and not self.over:
                raise InvariantViolation(
                    f"11: {symbol} waits for {waits_for}, in the record for {self.waits_for(symbol)}"
                )

    def settled(self, deliberations: DeliberationCoordinator) -> None:
        """Checks at the end that each question ended once, and that the engine's counts agree."""
        result = deliberations.result()
        abstained = Counter(result.abstentions)
        # A timeout has no answer, and a stale verdict is counted as a verdict too.
        taken = sum(result.verdicts.values()) + abstained.total() - abstained["timeout"] - abstained["stale"]
        timeouts = self._ended[f"{self._kind} deadline"]
        ours = {"asked": self._ended.total(), "late": self._late, "timeout": timeouts}
        theirs = {"asked": result.asked, "late": result.late, "timeout": abstained["timeout"]}
        ours["taken"], theirs["taken"] = self._ended[f"{self._kind} decision"], taken
        if ours != theirs:
            raise InvariantViolation(f"11: the engine counts {theirs}, the record {ours}")

    def _forget(self) -> None:
        self.taken, self.expired, self.cut = {}, [], False

    def _put(self, question: DeliberationRequested) -> None:
        pending = self._pending[question.symbol]
        if question.kind not in {self._kind, "learning"}:
            raise InvariantViolation(f"11: {question.symbol} requests a {question.kind} in this mode")
        if question.kind in pending:
            raise InvariantViolation(f"11: {question.symbol} has two pending questions: {question.number}")
        if question.number in self._numbers:
            raise InvariantViolation(f"11: number {question.number} is used twice")
        self._numbers.add(question.number)
        pending[question.kind] = question

    def _decided(self, decision: Decision) -> None:
        pending = self._pending.get(decision.symbol, {})
        question = pending.get(decision.kind)
        if question and question.number == decision.number:
            self._ended[f"{decision.kind} decision"] += 1
            self.taken[decision.symbol] = (decision, pending.pop(decision.kind))
        else:
            self._late += decision.kind == self._kind

    def _pass_deadlines(self, now_ns: int) -> None:
        for pending in self._pending.values():
            for kind, question in list(pending.items()):
                if question.at_ns + self._deadline_ns <= now_ns:
                    self._ended[f"{kind} deadline"] += 1
                    self.expired.append(pending.pop(kind))

    def _end_all(self, why: str) -> None:
        self._forget()
        self.cut = True
        for pending in self._pending.values():
            self._ended[why] += len(pending)
            pending.clear()

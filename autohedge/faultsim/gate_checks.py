"""Invariant 11 in hybrid mode: every entry passes an open gate.

`GateChecker` uses the record alone: questions, decisions and gate changes.
"""

from dataclasses import dataclass

from autohedge.config import Settings
from autohedge.core.clock import NEVER
from autohedge.core.events import Decision, GateChanged, JournalEntry, ReplaceOrder, SubmitOrder
from autohedge.core.units import NS_PER_S
from autohedge.engine.deliberations.coordinator import DeliberationCoordinator
from autohedge.engine.deliberations.gates import EntryGates
from autohedge.faultsim.question_checks import InvariantViolation, QuestionChecker
from autohedge.faultsim.recorded_account import RecordedAccount, RecordedOrder
from autohedge.faultsim.settings_in_force import directions_of


@dataclass(slots=True)
class _GateState:
    """The gate of one symbol according to the record; one that starts open has no direction and admits both."""

    state: str
    valid_until_ns: int
    direction: str = ""


class GateChecker:
    """Follows the gates of one record; every method raises InvariantViolation."""

    def __init__(self, settings: Settings, symbols: tuple[str, ...], account: RecordedAccount) -> None:
        self._account = account
        self._changed: set[str] = set()
        hybrid = settings.hybrid
        self._ttl_ns = round(hybrid.verdict_ttl_s * NS_PER_S)
        first = "open" if hybrid.starts_open else "closed"
        self._directions = directions_of(settings)
        self._gates = {symbol: _GateState(first, NEVER) for symbol in symbols}
        self.questions = QuestionChecker("gate", round(hybrid.deadline_s * NS_PER_S), symbols)

    def note(self, entry: JournalEntry) -> None:
        """Follows one recorded event."""
        self.questions.apply(entry.event)
        if isinstance(entry.event, GateChanged):
            self._moved(entry.event)

    def on_entry(
        self,
        order: RecordedOrder,
        entry: JournalEntry,  # noqa: ARG002 - one signature with ProposalChecker
        command: SubmitOrder | ReplaceOrder,
    ) -> None:
        """Checks an entry that is sent or replaced: its gate is open for it, and its verdict has not expired."""
        symbol, gate = order.symbol, self._gates[order.symbol]
        if gate.state != "open":
            raise InvariantViolation(f"11: {symbol} is entered while its gate is {gate.state}")
        if gate.direction not in {"", order.direction}:
            raise InvariantViolation(f"11: {symbol} is entered against its gate, open for a {gate.direction}")
        if command.at_ns > gate.valid_until_ns:
            late_s = (command.at_ns - gate.valid_until_ns) / NS_PER_S
            raise InvariantViolation(f"11: {symbol} is entered {late_s:.3f} s after its verdict expired")

    def step(self, deliberations: DeliberationCoordinator) -> None:
        """Checks that the engine's gates and pending questions are those of the record."""
        if not isinstance(deliberations.gates, EntryGates):
            return
        self.questions.step(deliberations)
        while self._changed:
            self._cancelled(self._changed.pop())
        for (symbol, expected), gate in zip(self._gates.items(), deliberations.gates.gates, strict=True):
            if gate.state != expected.state:
                raise InvariantViolation(
                    f"11: {symbol}'s gate is {gate.state}, in the record {expected.state}"
                )
            if expected.state == "open" and gate.direction != expected.direction:
                raise InvariantViolation(
                    f"11: {symbol}'s gate is open {gate.direction}, in the record {expected.direction}"
                )
            if expected.state == "open" and symbol in self.questions.taken:
                _check_obeyed(symbol, expected.direction, self.questions.taken[symbol][0])

    def _cancelled(self, symbol: str) -> None:
        """Checks that a gate that has changed leaves no entry to rest that it would not admit."""
        gate = self._gates[symbol]
        for order in self._account.uncancelled(symbol):
            if gate.state != "open" or gate.direction not in {"", order.direction}:
                state = f"{gate.state} {gate.direction}".strip()
                raise InvariantViolation(
                    f"11: {order.direction} {order.order_id} may rest while its gate is {state}"
                )

    def settled(self, deliberations: DeliberationCoordinator) -> None:
        """Checks at the end that each question ended once, and that the engine's counts agree."""
        self.questions.settled(deliberations)

    def _moved(self, change: GateChanged) -> None:
        gate = self._gates[change.symbol]
        self._changed.add(change.symbol)
        gate.state, gate.valid_until_ns = change.state, change.valid_until_ns
        gate.direction = change.direction
        if change.state != "open":
            return
        if change.symbol not in self.questions.taken:
            raise InvariantViolation(f"11: {change.symbol}'s gate opens without an answer to a question")
        decision, question = self.questions.taken[change.symbol]
        wanted = (decision.kind, decision.verdict, decision.direction)
        if wanted != ("gate", "trade", change.direction) or change.direction not in self._directions:
            verdict = f"{decision.verdict} {decision.direction}".strip()
            raise InvariantViolation(f"11: {change.symbol}'s gate opens on the verdict {verdict}")
        until_ns = question.at_ns + self._ttl_ns
        if change.valid_until_ns != until_ns or until_ns <= change.at_ns:
            raise InvariantViolation(f"11: {change.symbol}'s gate opens for longer than its verdict is valid")


def _check_obeyed(symbol: str, direction: str, decision: Decision) -> None:
    """Raises InvariantViolation if a gate is open after an answer that is neither its verdict nor `keep`."""
    unchanged = decision.kind != "gate" or decision.verdict == "keep"
    if not unchanged and (decision.verdict, decision.direction) != ("trade", direction):
        raise InvariantViolation(f"11: {symbol}'s gate is open after {decision.verdict} {decision.direction}")

"""Invariant 11 in hybrid mode: nothing is bought but through an open gate.

The doorkeeper knows the record alone: which questions it asks, what it hears, which gates it moves.
"""

from dataclasses import dataclass

from autohedge.backtest.asked import Asked
from autohedge.backtest.violated import Violated
from autohedge.config import Settings
from autohedge.core.clock import NEVER
from autohedge.core.events import Decision, Entry, GateChanged, ReplaceOrder, SubmitOrder
from autohedge.engine.gate import Gates
from autohedge.engine.slow import SlowPlane

NS_PER_S = 10**9


@dataclass(slots=True)
class _Door:
    """One symbol's gate as last told."""

    state: str
    valid_until_ns: int


class Doorkeeper:
    """Follows the gates of one record; every method raises Violated."""

    def __init__(self, settings: Settings, symbols: tuple[str, ...]) -> None:
        hybrid = settings.hybrid
        self._ttl_ns = round(hybrid.verdict_ttl_s * NS_PER_S)
        first = "open" if hybrid.starts_open else "closed"
        self._doors = {symbol: _Door(first, NEVER) for symbol in symbols}
        self._questions = Asked("gate", round(hybrid.deadline_s * NS_PER_S), symbols)

    def note(self, entry: Entry) -> None:
        """Follow one recorded event."""
        self._questions.note(entry.event)
        if isinstance(entry.event, GateChanged):
            self._moved(entry.event)

    def bought(self, symbol: str, entry: Entry, command: SubmitOrder | ReplaceOrder) -> None:  # noqa: ARG002
        """An entry of this symbol leaves, or is changed."""
        door = self._doors[symbol]
        if door.state != "open":
            raise Violated(f"11: {symbol} is bought while its gate is {door.state}")
        if command.at_ns > door.valid_until_ns:
            late_s = (command.at_ns - door.valid_until_ns) / NS_PER_S
            raise Violated(f"11: {symbol} is bought {late_s:.3f} s after the end of its verdict")

    def step(self, slow: SlowPlane) -> None:
        """The engine stands where its record says: gates, and questions on their way."""
        if not isinstance(slow.gates, Gates):
            return
        self._questions.step(slow)
        for (symbol, door), gate in zip(self._doors.items(), slow.gates.gates, strict=True):
            if gate.state != door.state:
                raise Violated(f"11: {symbol}'s gate is {gate.state}, the record says {door.state}")
            if door.state == "open" and symbol in self._questions.taken:
                _heeded(symbol, self._questions.taken[symbol][0])

    def settled(self, slow: SlowPlane) -> None:
        """At the end every question has one end, and the engine counted the same ones."""
        self._questions.settled(slow)

    def _moved(self, change: GateChanged) -> None:
        door = self._doors[change.symbol]
        door.state, door.valid_until_ns = change.state, change.valid_until_ns
        if change.state != "open":
            return
        if change.symbol not in self._questions.taken:
            raise Violated(f"11: {change.symbol}'s gate opens, and nothing that was asked was answered")
        decision, question = self._questions.taken[change.symbol]
        if (decision.kind, decision.verdict, decision.direction) != ("gate", "trade", "long"):
            said = f"{decision.verdict} {decision.direction}".strip()
            raise Violated(f"11: {change.symbol}'s gate opens at the verdict {said}")
        until_ns = question.at_ns + self._ttl_ns
        if change.valid_until_ns != until_ns or until_ns <= change.at_ns:
            raise Violated(f"11: {change.symbol}'s gate opens for longer than its verdict holds")


def _heeded(symbol: str, decision: Decision) -> None:
    """An answer that is neither a verdict to buy nor `keep` leaves no gate open."""
    kept = decision.kind != "gate" or decision.verdict == "keep"
    if not kept and (decision.verdict, decision.direction) != ("trade", "long"):
        raise Violated(f"11: {symbol}'s gate is open after {decision.verdict} {decision.direction}")

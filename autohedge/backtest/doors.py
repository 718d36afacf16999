"""Invariant 11: nothing is bought but through an open gate, and every question has one end.

The doorkeeper knows the record alone: which questions it asks, what it hears, which gates it moves.
"""

from collections import Counter
from dataclasses import dataclass

from autohedge.backtest.violated import Violated
from autohedge.config import Settings
from autohedge.core.clock import NEVER
from autohedge.core.events import (
    AnyEvent,
    Decision,
    Deliberate,
    EndOfTape,
    GateChanged,
    Halted,
    Operator,
    Restarted,
    Timer,
    Trouble,
)
from autohedge.engine.gate import Gates
from autohedge.engine.slow import SlowPlane

NS_PER_S = 10**9


@dataclass(slots=True)
class _Door:
    """One symbol: its gate as last told, and the questions on their way, by kind."""

    state: str
    valid_until_ns: int
    asked: dict[str, Deliberate]
    taken: tuple[Decision, Deliberate] | None = None


class Doorkeeper:
    """Follows the gates of one record; every method raises Violated."""

    def __init__(self, settings: Settings, symbols: tuple[str, ...]) -> None:
        hybrid = settings.hybrid
        self._deadline_ns = round(hybrid.deadline_s * NS_PER_S)
        self._ttl_ns = round(hybrid.verdict_ttl_s * NS_PER_S)
        first = "open" if hybrid.starts_open else "closed"
        self._doors = {symbol: _Door(first, NEVER, {}) for symbol in symbols}
        self._numbers: set[int] = set()
        self._ended: Counter[str] = Counter()
        self._late = 0
        self._over = False

    def note(self, event: AnyEvent) -> None:
        """Follow one recorded event."""
        match event:
            case Decision():
                self._forget()
                self._decided(event)
            case Timer():
                self._forget()
                self._pass_deadlines(event.at_ns)
            case Deliberate():
                self._asked(event)
            case GateChanged():
                self._moved(event)
            case Restarted():
                self._end_all("restart")
            case Halted() | Trouble():
                self._end_all("halt")
            case Operator() if event.command != "resume":
                self._end_all("halt")
            case EndOfTape():
                self._over = True
                self._end_all("end of tape")

    def bought(self, symbol: str, at_ns: int) -> None:
        """An entry of this symbol leaves, or is changed."""
        door = self._doors[symbol]
        if door.state != "open":
            raise Violated(f"11: {symbol} is bought while its gate is {door.state}")
        if at_ns > door.valid_until_ns:
            late_s = (at_ns - door.valid_until_ns) / NS_PER_S
            raise Violated(f"11: {symbol} is bought {late_s:.3f} s after the end of its verdict")

    def step(self, slow: SlowPlane) -> None:
        """The engine stands where its record says: gates, and questions on their way."""
        if not isinstance(slow.gates, Gates):
            return
        for (symbol, door), gate in zip(self._doors.items(), slow.gates.gates, strict=True):
            if gate.state != door.state:
                raise Violated(f"11: {symbol}'s gate is {gate.state}, the record says {door.state}")
            on_its_way = door.asked["gate"].number if "gate" in door.asked else 0
            if gate.waits_for != on_its_way and not self._over:
                raise Violated(f"11: {symbol} waits for {gate.waits_for}, the record for {on_its_way}")
            self._heeded(symbol, door)

    def settled(self, slow: SlowPlane) -> None:
        """At the end every question has one end, and the engine counted the same ones."""
        told = slow.result()
        abstained = Counter(told["abstentions"])
        taken = sum(told["verdicts"].values()) + abstained.total() - abstained["timeout"] - abstained["stale"]
        ours = {"asked": self._ended.total(), "late": self._late, "timeout": self._ended["gate deadline"]}
        theirs = {"asked": told["asked"], "late": told["late"], "timeout": abstained["timeout"]}
        ours["taken"], theirs["taken"] = self._ended["gate decision"], taken
        if ours != theirs:
            raise Violated(f"11: questions came to {theirs}, the record to {ours}")

    def _forget(self) -> None:
        for door in self._doors.values():
            door.taken = None

    def _asked(self, question: Deliberate) -> None:
        asked = self._doors[question.symbol].asked
        if question.kind in asked:
            raise Violated(f"11: {question.symbol} asks twice at a time: {question.number}")
        if question.number in self._numbers:
            raise Violated(f"11: number {question.number} is given twice")
        self._numbers.add(question.number)
        asked[question.kind] = question

    def _decided(self, decision: Decision) -> None:
        door = self._doors.get(decision.symbol)
        question = door.asked.get(decision.kind) if door else None
        if door and question and question.number == decision.number:
            self._ended[f"{decision.kind} decision"] += 1
            door.taken = (decision, door.asked.pop(decision.kind))
        else:
            self._late += decision.kind == "gate"

    def _pass_deadlines(self, now_ns: int) -> None:
        for door in self._doors.values():
            for kind, question in list(door.asked.items()):
                if question.at_ns + self._deadline_ns <= now_ns:
                    self._ended[f"{kind} deadline"] += 1
                    del door.asked[kind]

    def _end_all(self, why: str) -> None:
        self._forget()
        for door in self._doors.values():
            self._ended[why] += len(door.asked)
            door.asked.clear()

    def _moved(self, change: GateChanged) -> None:
        door = self._doors[change.symbol]
        door.state, door.valid_until_ns = change.state, change.valid_until_ns
        if change.state != "open":
            return
        if door.taken is None:
            raise Violated(f"11: {change.symbol}'s gate opens, and nothing that was asked was answered")
        decision, question = door.taken
        if (decision.kind, decision.verdict, decision.direction) != ("gate", "trade", "long"):
            said = f"{decision.verdict} {decision.direction}".strip()
            raise Violated(f"11: {change.symbol}'s gate opens at the verdict {said}")
        until_ns = question.at_ns + self._ttl_ns
        if change.valid_until_ns != until_ns or until_ns <= change.at_ns:
            raise Violated(f"11: {change.symbol}'s gate opens for longer than its verdict holds")

    def _heeded(self, symbol: str, door: _Door) -> None:
        """An answer that is neither a verdict to buy nor `keep` leaves no gate open."""
        if door.state == "open" and door.taken and door.taken[0].kind == "gate":
            decision = door.taken[0]
            if decision.verdict != "keep" and (decision.verdict, decision.direction) != ("trade", "long"):
                raise Violated(f"11: {symbol}'s gate is open after {decision.verdict} {decision.direction}")

"""The questions of one record: which are on their way, and that each has one end."""

from collections import Counter

from autohedge.backtest.violated import Violated
from autohedge.core.events import (
    AnyEvent,
    Decision,
    Deliberate,
    EndOfTape,
    Halted,
    Operator,
    Restarted,
    Timer,
    Trouble,
)
from autohedge.core.snapshots import Kind
from autohedge.engine.slow import SlowPlane


class Asked:
    """Follows questions of a `kind`, and those of Learning; every method raises Violated.

    `taken` are the answers that the last input brought, `expired` the questions that it ended without one; `cut`
    says that it ended all.
    """

    def __init__(self, kind: Kind, deadline_ns: int, symbols: tuple[str, ...]) -> None:
        self._kind = kind
        self._deadline_ns = deadline_ns
        self._asked: dict[str, dict[str, Deliberate]] = {symbol: {} for symbol in symbols}
        self._numbers: set[int] = set()
        self._ended: Counter[str] = Counter()
        self._late = 0
        self._over = False
        self.taken: dict[str, tuple[Decision, Deliberate]] = {}
        self.expired: list[Deliberate] = []
        self.cut = False

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
                self._put(event)
            case Restarted():
                self._end_all("restart")
            case Halted() | Trouble():
                self._end_all("halt")
            case Operator() if event.command != "resume":
                self._end_all("halt")
            case EndOfTape():
                self._over = True
                self._end_all("end of tape")

    def waits_for(self, symbol: str) -> int:
        """The number of the question about a symbol that is on its way; 0 without one."""
        question = self._asked[symbol].get(self._kind)
        return question.number if question else 0

    def step(self, slow: SlowPlane) -> None:
        """The engine waits for what its record says that it waits for."""
        for symbol in self._asked:
            waits_for = slow.gates.waits_for(symbol)
            if waits_for != self.waits_for(symbol) and not self._over:
                raise Violated(f"11: {symbol} waits for {waits_for}, the record for {self.waits_for(symbol)}")

    def settled(self, slow: SlowPlane) -> None:
        """At the end every question has one end, and the engine counted the same ones."""
        told = slow.result()
        abstained = Counter(told["abstentions"])
        taken = sum(told["verdicts"].values()) + abstained.total() - abstained["timeout"] - abstained["stale"]
        timeouts = self._ended[f"{self._kind} deadline"]
        ours = {"asked": self._ended.total(), "late": self._late, "timeout": timeouts}
        theirs = {"asked": told["asked"], "late": told["late"], "timeout": abstained["timeout"]}
        ours["taken"], theirs["taken"] = self._ended[f"{self._kind} decision"], taken
        if ours != theirs:
            raise Violated(f"11: questions came to {theirs}, the record to {ours}")

    def _forget(self) -> None:
        self.taken, self.expired, self.cut = {}, [], False

    def _put(self, question: Deliberate) -> None:
        asked = self._asked[question.symbol]
        if question.kind not in {self._kind, "learning"}:
            raise Violated(f"11: {question.symbol} asks for a {question.kind} in this mode")
        if question.kind in asked:
            raise Violated(f"11: {question.symbol} asks twice at a time: {question.number}")
        if question.number in self._numbers:
            raise Violated(f"11: number {question.number} is given twice")
        self._numbers.add(question.number)
        asked[question.kind] = question

    def _decided(self, decision: Decision) -> None:
        asked = self._asked.get(decision.symbol, {})
        question = asked.get(decision.kind)
        if question and question.number == decision.number:
            self._ended[f"{decision.kind} decision"] += 1
            self.taken[decision.symbol] = (decision, asked.pop(decision.kind))
        else:
            self._late += decision.kind == self._kind

    def _pass_deadlines(self, now_ns: int) -> None:
        for asked in self._asked.values():
            for kind, question in list(asked.items()):
                if question.at_ns + self._deadline_ns <= now_ns:
                    self._ended[f"{kind} deadline"] += 1
                    self.expired.append(asked.pop(kind))

    def _end_all(self, why: str) -> None:
        self._forget()
        self.cut = True
        for asked in self._asked.values():
            self._ended[why] += len(asked)
            asked.clear()

"""The agents of a history: its answers after their delays, some late, some missing, some garbage."""

import heapq
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum, auto, unique
from typing import Any, NamedTuple

import msgspec

from autohedge.config import Settings
from autohedge.core.clock import NEVER
from autohedge.core.events import Decision, DeliberationRequested, Proposal
from autohedge.core.snapshots import DeliberationKind, Snapshot
from autohedge.core.units import NS_PER_S
from autohedge.faultsim.history import ScriptedAnswer
from autohedge.faultsim.settings_in_force import directions_of
from autohedge.faultsim.strikes import FaultSchedule, Strike


@unique
class DecisionFault(StrEnum):
    """A fault of the answer to a question."""

    DECISION_LATE = auto()
    DECISION_ABSENT = auto()
    DECISION_GARBAGE = auto()


def answers_of(symbol: str, kind: DeliberationKind) -> str:
    """The key of the answers to the questions of a symbol and kind."""
    return f"{symbol} {kind}"


class ScriptedDecisions:
    """Answers each question with the next answer of its symbol and kind, unless a fault strikes.

    After the last answer it begins again with the first; a question without any gets none. Answers in transit
    are lost with the process that asked.
    """

    def __init__(
        self,
        settings: Settings,
        symbols: tuple[str, ...],
        answers: Mapping[str, Sequence[ScriptedAnswer]],
        schedule: FaultSchedule,
    ) -> None:
        self._deadline_ns = round(settings.hybrid.deadline_s * NS_PER_S)
        kind: DeliberationKind = "trade" if settings.trading.mode == "llm" else "gate"
        self._context = FaultContext(symbols, kind, directions_of(settings))
        self._answers = answers
        self._schedule = schedule
        self._asked: Counter[str] = Counter()
        self._due: list[tuple[int, int, Decision]] = []
        self._count = 0

    @property
    def next_due_ns(self) -> int:
        """When the next decision is known; NEVER if none is pending."""
        return self._due[0][0] if self._due else NEVER

    def request(self, question: DeliberationRequested, snapshot: Snapshot) -> None:  # noqa: ARG002
        """Takes a question and schedules its answer, unless a fault drops it."""
        key = answers_of(question.symbol, question.kind)
        answers = self._answers.get(key)
        if not answers:
            return
        answer = answers[self._asked[key] % len(answers)]
        self._asked[key] += 1
        for decision in self._after_fault(self._decision(question, answer)):
            self._count += 1
            heapq.heappush(self._due, (decision.at_ns, self._count, decision))

    def poll(self, by_ns: int) -> Decision | None:
        """The next decision that is known by `by_ns`, or None."""
        return heapq.heappop(self._due)[2] if self.next_due_ns <= by_ns else None

    def disconnect(self) -> None:
        """Drops the pending answers: the process that asked is gone."""
        self._due.clear()

    def _decision(self, question: DeliberationRequested, answer: ScriptedAnswer) -> Decision:
        verdict_fields = msgspec.structs.asdict(answer)
        delay_ns = int(verdict_fields.pop("delay") * self._deadline_ns)
        return Decision(
            at_ns=question.at_ns + delay_ns,
            number=question.number,
            kind=question.kind,
            symbol=question.symbol,
            asked_ns=question.at_ns,
            source="scripted",
            **verdict_fields,
        )

    def _after_fault(self, answer: Decision) -> tuple[Decision, ...]:
        """What arrives in place of an answer: usually the answer itself."""
        for fault in DecisionFault:
            if strike := self._schedule.take(str(fault), answer.asked_ns):
                return self._failed(fault, strike, answer)
        return (answer,)

    def _failed(self, fault: DecisionFault, strike: Strike, answer: Decision) -> tuple[Decision, ...]:
        if fault is DecisionFault.DECISION_ABSENT:
            return ()
        if fault is DecisionFault.DECISION_GARBAGE:
            return strike.choose(GARBAGE)(answer, self._context, strike)
        late_ns = self._deadline_ns + int(strike.between(0.0, 10.0) * NS_PER_S)
        return (_most_harmful(answer, self._context, at_ns=answer.asked_ns + late_ns),)


class FaultContext(NamedTuple):
    """The symbols of the run, and the kind and the directions of answers that can cause an entry."""

    symbols: tuple[str, ...]
    kind: DeliberationKind
    directions: tuple[str, ...] = ("long",)

    def entering(self, answer: Decision) -> str:
        """The direction of an answer, or if that can cause no entry one that can."""
        return answer.direction if answer.direction in self.directions else self.directions[0]

    @property
    def refused(self) -> str:
        """A direction that must cause no entry; empty if both may cause one."""
        return next((each for each in ("short", "long") if each not in self.directions), "")


# Exits beyond every limit that agents may ask for.
MOST = Proposal(size_pct=100, take_profit_bps=10**6, stop_loss_bps=10**6, offset_bps=0, time_in_force="gtc")


def _most_harmful(answer: Decision, context: FaultContext, **changes: Any) -> Decision:
    """The answer that would do most harm if it were accepted: an entry, with a proposal in llm mode."""
    direction = context.entering(answer)
    harm: dict[str, Any] = {"kind": context.kind, "verdict": "trade", "direction": direction, "code": ""}
    if context.kind == "trade":
        harm["proposal"] = answer.proposal or MOST
    return msgspec.structs.replace(answer, **(harm | changes))


Garbage = tuple[Decision, ...]
Garble = Callable[[Decision, FaultContext, Strike], Garbage]
# The first value of a strike chooses among GARBAGE, the second and the third are for the functions here.


def _wrong_number(answer: Decision, context: FaultContext, strike: Strike) -> Garbage:
    return (_most_harmful(answer, context, number=answer.number + strike.choose([-1, 1, 1_000], 1)),)


def _wrong_symbol(answer: Decision, context: FaultContext, strike: Strike) -> Garbage:
    others = [symbol for symbol in (*context.symbols, "", "Z/USD") if symbol != answer.symbol]
    return (_most_harmful(answer, context, symbol=strike.choose(others, 1)),)


def _no_code(answer: Decision, context: FaultContext, _: Strike) -> Garbage:
    direction = context.entering(answer)
    return (msgspec.structs.replace(answer, verdict="abstain", code="", direction=direction),)


def _wrong_direction(answer: Decision, context: FaultContext, strike: Strike) -> Garbage:
    return (_most_harmful(answer, context, direction=strike.choose([context.refused, ""], 1)),)


def _unknown_source(answer: Decision, _: FaultContext, __: Strike) -> Garbage:
    return (msgspec.structs.replace(answer, source="unknown", calls=("f" * 64,)),)


def _other_kind(answer: Decision, context: FaultContext, __: Strike) -> Garbage:
    """A lesson in answer to a verdict question, and a verdict in answer to a lesson question."""
    if answer.kind == context.kind:
        return (msgspec.structs.replace(answer, verdict="lesson", direction=context.entering(answer)),)
    return (_most_harmful(answer, context),)


def _twice(answer: Decision, context: FaultContext, strike: Strike) -> Garbage:
    later_ns = answer.at_ns + int(strike.between(0.0, 20.0, 1) * NS_PER_S)
    return answer, _most_harmful(answer, context, kind=answer.kind, at_ns=later_ns)


def _unsolicited(answer: Decision, context: FaultContext, strike: Strike) -> Garbage:
    """An answer with number 0, which no question has, besides the right one."""
    later_ns = answer.at_ns + int(strike.between(0.0, 5.0, 1) * NS_PER_S)
    symbol = strike.choose(context.symbols, 2)
    return answer, _most_harmful(answer, context, number=0, symbol=symbol, at_ns=later_ns)


GARBAGE: tuple[Garble, ...] = (
    _wrong_number,
    _wrong_symbol,
    _no_code,
    _wrong_direction,
    _unknown_source,
    _other_kind,
    _twice,
    _unsolicited,
)

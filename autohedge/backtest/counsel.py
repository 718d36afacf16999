"""The slow plane of a fault history: seeded verdicts after seeded delays, some late, some never, some garbage."""

import heapq
from collections import Counter
from collections.abc import Callable
from enum import StrEnum, auto, unique
from typing import Any

import msgspec

from autohedge.config.sections import Hybrid
from autohedge.core.clock import NEVER
from autohedge.core.events import Decision, Deliberate
from autohedge.core.ids import Randomness
from autohedge.core.snapshots import Snapshot

NS_PER_S = 10**9
MIND_FAULT_RATE = 0.2
VERDICTS: tuple[dict[str, Any], ...] = (
    {"verdict": "trade", "direction": "long"},
    {"verdict": "trade", "direction": "exit"},
    {"verdict": "no_trade"},
    {"verdict": "keep", "code": "no_edge"},
    {"verdict": "abstain", "code": "parse_failure"},
)
WEIGHTS = (80, 3, 6, 8, 3)
LESSONS: tuple[dict[str, Any], ...] = ({"verdict": "lesson"}, {"verdict": "abstain", "code": "parse_failure"})


@unique
class MindFault(StrEnum):
    """What can be wrong with the answer to a question."""

    DECISION_LATE = auto()
    DECISION_ABSENT = auto()
    DECISION_GARBAGE = auto()


class SeededCounsel:
    """Answers as `chance` says and fails as `luck` says; what is on its way dies with the process that asked."""

    def __init__(
        self,
        terms: Hybrid,
        symbols: tuple[str, ...],
        faults: frozenset[MindFault],
        chance: Randomness,
        luck: Randomness,
        struck: Counter[str],
    ) -> None:
        self._deadline_ns = round(terms.deadline_s * NS_PER_S)
        self._symbols = symbols
        self._faults = sorted(faults)
        self._chance, self._luck = chance, luck
        self._struck = struck
        self._due: list[tuple[int, int, Decision]] = []
        self._count = 0

    @property
    def next_due_ns(self) -> int:
        """When the next decision is known; NEVER if none is on its way."""
        return self._due[0][0] if self._due else NEVER

    def ask(self, question: Deliberate, snapshot: Snapshot) -> None:  # noqa: ARG002
        """Take a question; its answer, if any comes, is under way from here on."""
        answer = self._answer(question)
        if self._faults and self._luck.random() < MIND_FAULT_RATE:
            fault = self._luck.choice(self._faults)
            self._struck[str(fault)] += 1
            self._fail(fault, answer)
        else:
            self._send(answer)

    def decision(self, by_ns: int) -> Decision | None:
        """The next decision that is known by `by_ns`, or None."""
        return heapq.heappop(self._due)[2] if self.next_due_ns <= by_ns else None

    def hang_up(self) -> None:
        """The process that asked is gone."""
        self._due.clear()

    def _answer(self, question: Deliberate) -> Decision:
        delay_ns = int(self._chance.uniform(0.05, 0.6) * self._deadline_ns)
        if question.kind == "gate":
            (said,) = self._chance.choices(VERDICTS, WEIGHTS)
        else:
            said = self._chance.choice(LESSONS)
        return Decision(
            at_ns=question.at_ns + delay_ns,
            number=question.number,
            kind=question.kind,
            symbol=question.symbol,
            asked_ns=question.at_ns,
            source="seeded",
            **said,
        )

    def _fail(self, fault: MindFault, answer: Decision) -> None:
        if fault is MindFault.DECISION_LATE:
            late_ns = int(self._luck.uniform(0.0, 10.0) * NS_PER_S)
            self._send(_opening(answer, at_ns=answer.asked_ns + self._deadline_ns + late_ns))
        elif fault is MindFault.DECISION_GARBAGE:
            garble = self._luck.choice(GARBAGE)
            for each in garble(answer, self._symbols, self._luck):
                self._send(each)

    def _send(self, decision: Decision) -> None:
        self._count += 1
        heapq.heappush(self._due, (decision.at_ns, self._count, decision))


def _opening(answer: Decision, **changes: Any) -> Decision:
    """The answer that would do most harm, were it believed."""
    harm: dict[str, Any] = {"kind": "gate", "verdict": "trade", "direction": "long", "code": ""}
    return msgspec.structs.replace(answer, **(harm | changes))


Garbage = tuple[Decision, ...]
Garble = Callable[[Decision, tuple[str, ...], Randomness], Garbage]


def _wrong_number(answer: Decision, _: tuple[str, ...], luck: Randomness) -> Garbage:
    return (_opening(answer, number=answer.number + luck.choice([-1, 1, 1_000])),)


def _wrong_symbol(answer: Decision, symbols: tuple[str, ...], luck: Randomness) -> Garbage:
    others = [symbol for symbol in (*symbols, "", "Z/USD") if symbol != answer.symbol]
    return (_opening(answer, symbol=luck.choice(others)),)


def _no_code(answer: Decision, _: tuple[str, ...], __: Randomness) -> Garbage:
    return (msgspec.structs.replace(answer, verdict="abstain", code="", direction="long"),)


def _short(answer: Decision, _: tuple[str, ...], luck: Randomness) -> Garbage:
    return (_opening(answer, direction=luck.choice(["short", ""])),)


def _stranger(answer: Decision, _: tuple[str, ...], __: Randomness) -> Garbage:
    return (msgspec.structs.replace(answer, source="a stranger", calls=("f" * 64,)),)


def _other_kind(answer: Decision, _: tuple[str, ...], __: Randomness) -> Garbage:
    """A lesson where a verdict was asked for; the other way round it is a verdict that was not asked for."""
    if answer.kind == "gate":
        return (msgspec.structs.replace(answer, verdict="lesson", direction="long"),)
    return (_opening(answer),)


def _twice(answer: Decision, _: tuple[str, ...], luck: Randomness) -> Garbage:
    later_ns = answer.at_ns + int(luck.uniform(0.0, 20.0) * NS_PER_S)
    return answer, _opening(answer, kind=answer.kind, at_ns=later_ns)


def _never_asked(answer: Decision, symbols: tuple[str, ...], luck: Randomness) -> Garbage:
    """With number 0, which no question has."""
    later_ns = answer.at_ns + int(luck.uniform(0.0, 5.0) * NS_PER_S)
    return answer, _opening(answer, number=0, symbol=luck.choice(symbols), at_ns=later_ns)


GARBAGE: tuple[Garble, ...] = (
    _wrong_number,
    _wrong_symbol,
    _no_code,
    _short,
    _stranger,
    _other_kind,
    _twice,
    _never_asked,
)

"""The agents of a scenario: seeded decisions after seeded delays, some late, some missing, some garbage."""

import heapq
from collections import Counter
from collections.abc import Callable
from enum import StrEnum, auto, unique
from math import ceil
from typing import Any, NamedTuple

import msgspec

from autohedge.config import Settings
from autohedge.core.clock import NEVER
from autohedge.core.events import Decision, DeliberationRequested, Proposal
from autohedge.core.ids import Randomness
from autohedge.core.snapshots import AgentLimits, DeliberationKind, Snapshot
from autohedge.core.units import NS_PER_S

DECISION_FAULT_RATE = 0.2
VERDICTS: tuple[dict[str, Any], ...] = (
    {"verdict": "trade", "direction": "long"},
    {"verdict": "trade", "direction": "exit"},
    {"verdict": "no_trade"},
    {"verdict": "keep", "code": "no_edge"},
    {"verdict": "abstain", "code": "parse_failure"},
)
WEIGHTS = (80, 3, 6, 8, 3)  # mostly buys: without entries a scenario tests nothing
LESSONS: tuple[dict[str, Any], ...] = ({"verdict": "lesson"}, {"verdict": "abstain", "code": "parse_failure"})


@unique
class DecisionFault(StrEnum):
    """A fault of the answer to a question."""

    DECISION_LATE = auto()
    DECISION_ABSENT = auto()
    DECISION_GARBAGE = auto()


class SeededDecisions:
    """Draws answers from `chance` and their faults from `luck`.

    Two streams, so that switching faults off leaves the answers as they were. Answers in transit are lost
    with the process that asked.
    """

    def __init__(
        self,
        settings: Settings,
        symbols: tuple[str, ...],
        faults: frozenset[DecisionFault],
        chance: Randomness,
        luck: Randomness,
        fault_counts: Counter[str],
    ) -> None:
        self._deadline_ns = round(settings.hybrid.deadline_s * NS_PER_S)
        self._context = FaultContext(symbols, "trade" if settings.trading.mode == "llm" else "gate")
        self._faults = sorted(faults)
        self._chance, self._luck = chance, luck
        self._fault_counts = fault_counts
        self._due: list[tuple[int, int, Decision]] = []
        self._count = 0

    @property
    def next_due_ns(self) -> int:
        """When the next decision is known; NEVER if none is pending."""
        return self._due[0][0] if self._due else NEVER

    def request(self, question: DeliberationRequested, snapshot: Snapshot) -> None:
        """Takes a question and schedules its answer, unless a fault drops it."""
        answer = self._answer(question, snapshot.bounds)
        if self._faults and self._luck.random() < DECISION_FAULT_RATE:
            fault = self._luck.choice(self._faults)
            self._fault_counts[str(fault)] += 1
            self._fail(fault, answer)
        else:
            self._send(answer)

    def poll(self, by_ns: int) -> Decision | None:
        """The next decision that is known by `by_ns`, or None."""
        return heapq.heappop(self._due)[2] if self.next_due_ns <= by_ns else None

    def disconnect(self) -> None:
        """Drops the pending answers: the process that asked is gone."""
        self._due.clear()

    def _answer(self, question: DeliberationRequested, bounds: AgentLimits) -> Decision:
        delay_ns = int(self._chance.uniform(0.05, 0.6) * self._deadline_ns)
        if question.kind == "learning":
            verdict_fields = self._chance.choice(LESSONS)
        else:
            (verdict_fields,) = self._chance.choices(VERDICTS, WEIGHTS)
        if question.kind == "trade":
            verdict_fields = verdict_fields | {"proposal": _proposal(bounds, self._chance)}
        return Decision(
            at_ns=question.at_ns + delay_ns,
            number=question.number,
            kind=question.kind,
            symbol=question.symbol,
            asked_ns=question.at_ns,
            source="seeded",
            **verdict_fields,
        )

    def _fail(self, fault: DecisionFault, answer: Decision) -> None:
        if fault is DecisionFault.DECISION_LATE:
            late_ns = int(self._luck.uniform(0.0, 10.0) * NS_PER_S)
            late = _most_harmful(answer, self._context, at_ns=answer.asked_ns + self._deadline_ns + late_ns)
            self._send(late)
        elif fault is DecisionFault.DECISION_GARBAGE:
            garble = self._luck.choice(GARBAGE)
            for each in garble(answer, self._context, self._luck):
                self._send(each)

    def _send(self, decision: Decision) -> None:
        self._count += 1
        heapq.heappush(self._due, (decision.at_ns, self._count, decision))


class FaultContext(NamedTuple):
    """The symbols of the run, and the kind of answers that can cause an entry."""

    symbols: tuple[str, ...]
    kind: DeliberationKind


# Exits beyond every limit that agents may ask for.
MOST = Proposal(size_pct=100, take_profit_bps=10**6, stop_loss_bps=10**6, offset_bps=0, time_in_force="gtc")
OUTSIDE: tuple[dict[str, Any], ...] = (
    {"size_pct": 0},
    {"size_pct": 101},
    {"size_pct": -(10**9)},
    {"take_profit_bps": 10**9},
    {"take_profit_bps": 1},
    {"stop_loss_bps": 10**9},
    {"stop_loss_bps": 0},
    {"offset_bps": -50},
    {"offset_bps": 10**9},
)


def _proposal(bounds: AgentLimits, chance: Randomness) -> Proposal | None:
    """Draws a proposal: mostly within the bounds, sometimes outside, sometimes None."""
    stop_bps = chance.randint(*bounds.stop_losses_bps)
    least, most = bounds.take_profits_bps
    least = min(max(least, ceil(bounds.least_reward_to_risk * stop_bps)), most)
    inside = Proposal(
        size_pct=chance.randint(1, 100),
        take_profit_bps=chance.randint(least, most),
        stop_loss_bps=stop_bps,
        offset_bps=chance.randint(0, bounds.most_offset_bps),
        time_in_force=chance.choice(["ioc", "gtc"]),
    )
    sample = chance.random()
    if sample < 0.05:
        return None
    return inside if sample < 0.88 else msgspec.structs.replace(inside, **chance.choice(OUTSIDE))


def _most_harmful(answer: Decision, context: FaultContext, **changes: Any) -> Decision:
    """The answer that would do most harm if it were accepted: a buy, with a proposal in llm mode."""
    harm: dict[str, Any] = {"kind": context.kind, "verdict": "trade", "direction": "long", "code": ""}
    if context.kind == "trade":
        harm["proposal"] = answer.proposal or MOST
    return msgspec.structs.replace(answer, **(harm | changes))


Garbage = tuple[Decision, ...]
Garble = Callable[[Decision, FaultContext, Randomness], Garbage]


def _wrong_number(answer: Decision, context: FaultContext, luck: Randomness) -> Garbage:
    return (_most_harmful(answer, context, number=answer.number + luck.choice([-1, 1, 1_000])),)


def _wrong_symbol(answer: Decision, context: FaultContext, luck: Randomness) -> Garbage:
    others = [symbol for symbol in (*context.symbols, "", "Z/USD") if symbol != answer.symbol]
    return (_most_harmful(answer, context, symbol=luck.choice(others)),)


def _no_code(answer: Decision, _: FaultContext, __: Randomness) -> Garbage:
    return (msgspec.structs.replace(answer, verdict="abstain", code="", direction="long"),)


def _short(answer: Decision, context: FaultContext, luck: Randomness) -> Garbage:
    return (_most_harmful(answer, context, direction=luck.choice(["short", ""])),)


def _unknown_source(answer: Decision, _: FaultContext, __: Randomness) -> Garbage:
    return (msgspec.structs.replace(answer, source="a stranger", calls=("f" * 64,)),)


def _other_kind(answer: Decision, context: FaultContext, __: Randomness) -> Garbage:
    """A lesson in answer to a verdict question, and a verdict in answer to a lesson question."""
    if answer.kind == context.kind:
        return (msgspec.structs.replace(answer, verdict="lesson", direction="long"),)
    return (_most_harmful(answer, context),)


def _twice(answer: Decision, context: FaultContext, luck: Randomness) -> Garbage:
    later_ns = answer.at_ns + int(luck.uniform(0.0, 20.0) * NS_PER_S)
    return answer, _most_harmful(answer, context, kind=answer.kind, at_ns=later_ns)


def _unsolicited(answer: Decision, context: FaultContext, luck: Randomness) -> Garbage:
    """An answer with number 0, which no question has, besides the right one."""
    later_ns = answer.at_ns + int(luck.uniform(0.0, 5.0) * NS_PER_S)
    return answer, _most_harmful(
        answer, context, number=0, symbol=luck.choice(context.symbols), at_ns=later_ns
    )


GARBAGE: tuple[Garble, ...] = (
    _wrong_number,
    _wrong_symbol,
    _no_code,
    _short,
    _unknown_source,
    _other_kind,
    _twice,
    _unsolicited,
)

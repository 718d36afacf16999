"""A journal's questions, each with its decision, what the engine made of it, and the orders that it let through.

The journal is followed line by line. What is kept are the conversations that are wanted, those that may
still become one, and some bytes for each call that the transcript must have.
"""

import heapq
from collections import Counter
from dataclasses import dataclass, field
from typing import Literal, get_args

from autohedge.audit.timeline import Activity, Timeline
from autohedge.config import Settings
from autohedge.core.events import (
    AnyEvent,
    CooldownChanged,
    Decision,
    DeliberationRequested,
    FillBooked,
    GateChanged,
    Halted,
    Input,
    ProposalResolved,
    Restarted,
    SubmitOrder,
    Timer,
)
from autohedge.core.orders import BUY
from autohedge.core.snapshots import DeliberationKind
from autohedge.core.units import NS_PER_S
from autohedge.journal import JournalLine
from autohedge.llm.transcript import TranscriptEntry as Call
from autohedge.records.round_trips import NO_VERDICT, RoundTrip, RoundTrips, TrackedOrder

OutcomeFilter = Literal["trade", "no_trade", "keep", "abstain", "lesson", "late", "unanswered"]
ONLY: tuple[OutcomeFilter, ...] = get_args(OutcomeFilter)
ANSWERS_WITHOUT_A_CALL = frozenset({"bypass", "cache"})
LESSON: DeliberationKind = "learning"
DIGEST_BYTES = 16
BAND_PCT = 10


@dataclass(slots=True)
class Conversation:
    """One question and all that came of it.

    `why` it was asked; `given_up` says why an answer counts no more: `timeout`, `halted`, `restarted`. `gate` is
    the change that followed, `state` where the gate stood then, `ended` what ended or prolonged an opening; where
    agents alone decide, `disposed` is the code that the engine ended it with, and `sent` its order. `trips` are the
    round trips that the verdict let in. `calls` are the transcript's lines, where they are wanted.
    """

    question: DeliberationRequested
    why: str
    decision: Decision | None = None
    given_up: str = ""
    state: str = ""
    gate: GateChanged | None = None
    ended: GateChanged | None = None
    disposed: str = ""
    sent: TrackedOrder | None = None
    trips: list[RoundTrip] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)

    @property
    def number(self) -> int:
        """The question's number in its run."""
        return self.question.number

    @property
    def symbol(self) -> str:
        """What it was about."""
        return self.question.symbol

    @property
    def outcome(self) -> OutcomeFilter:
        """What it came to, in one word."""
        if self.decision is None:
            return "unanswered"
        return "late" if self.given_up else self.decision.verdict

    @property
    def group(self) -> str:
        """Under what its round trips are summed: who answered, how sure."""
        if self.decision is None:
            return NO_VERDICT
        least = min(self.decision.confidence_pct, 99) // BAND_PCT * BAND_PCT
        return f"{self.decision.source or 'unnamed'}, {least} to {least + BAND_PCT} % sure"


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which conversations: one number, or the `last` that fit; the last `whole` of them with every word."""

    number: int | None = None
    symbol: str | None = None
    only: OutcomeFilter | None = None
    last: int = 20
    whole: int = 500

    def fits(self, conversation: Conversation) -> bool:
        """Whether this is one of them."""
        return (
            self.number in (None, conversation.number)
            and self.symbol in (None, conversation.symbol)
            and self.only in (None, conversation.outcome)
        )


@dataclass(slots=True)
class ConversationStats:
    """What all questions came to, wanted or not."""

    asked: int = 0
    fitting: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    abstentions: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    disposed: Counter[str] = field(default_factory=Counter)
    saved: int = 0
    strays: int = 0


class ConversationProjection:
    """Follows a journal."""

    def __init__(self, wanted: AuditFilter, settings: Settings) -> None:
        self.stats = ConversationStats()
        self.trips = RoundTrips()
        self.activity = Activity()
        self.gates: dict[str, Timeline] = {}
        self.named: dict[bytes, int] = {}
        self.snapshots: dict[int, str] = {}
        self.first_ns = self.last_ns = 0
        self._wanted = wanted
        self._settings = settings
        self._deadline_ns = round(settings.hybrid.deadline_s * NS_PER_S)
        self._first_state = "open" if settings.hybrid.starts_open else "closed"
        self._selected: list[tuple[int, int, Conversation]] = []
        self._unanswered: dict[int, Conversation] = {}
        self._waiting: dict[tuple[str, str], Conversation] = {}
        self._last_question: dict[str, int] = {}
        self._opener: dict[str, Conversation] = {}
        self._interrupted_by: dict[str, str] = {}
        self._seq = 0
        self._input: AnyEvent | None = None
        self._causes: dict[str, Conversation] = {}
        self._notes: dict[str, str] = {}

    def apply(self, line: JournalLine) -> None:
        """Follow one line of the journal."""
        event = line.event
        if event is None:
            return
        self._begin_step(line.seq, event)
        self.trips.apply(event)
        match event:
            case DeliberationRequested():
                self._on_requested(event)
            case Decision():
                self._decide(event)
            case GateChanged():
                self._change(event)
            case SubmitOrder():
                self._order(event)
            case Timer():
                self._time(event.at_ns)
            case Halted() | Restarted():
                self._on_interruption(event)
            case ProposalResolved() | CooldownChanged() | FillBooked():
                self._propose(event)

    def finish(self) -> list[Conversation]:
        """The conversations that are wanted, by number; nothing more will come."""
        for conversation in self._unanswered.values():
            self._finish(conversation)
        self._unanswered.clear()
        self.trips.finish()
        return [conversation for _, _, conversation in sorted(self._selected, key=lambda entry: entry[:2])]

    def state(self, symbol: str) -> str:
        """Where a symbol's gate stands."""
        line = self.gates.get(symbol)
        return line.last if line else self._first_state

    def _begin_step(self, seq: int, event: AnyEvent) -> None:
        """What follows an input, or a row, without one in between is caused by it."""
        given = isinstance(event, Input)
        if given or seq != self._seq + 1:
            self._input = event if given else None
            self._causes.clear()
            self._notes.clear()
        self._seq = seq
        at_ns = getattr(event, "at_ns", 0)
        self.first_ns = self.first_ns or at_ns
        self.last_ns = max(self.last_ns, at_ns)

    def _on_requested(self, question: DeliberationRequested) -> None:
        conversation = Conversation(question, self._reason(question), state=self._gate_state(question))
        self.stats.asked += 1
        self.snapshots[question.number] = question.snapshot
        self._unanswered[question.number] = conversation
        self._waiting[question.kind, question.symbol] = conversation
        if question.kind != LESSON:
            self._last_question[question.symbol] = question.number
            self._interrupted_by.pop(question.symbol, None)
        self._mark_deliberating(conversation, on=True)

    def _gate_state(self, question: DeliberationRequested) -> str:
        """Where the gate stands that a question is about; empty where there are none."""
        return "" if question.kind == "trade" else self.state(question.symbol)

    def _mark_deliberating(self, conversation: Conversation, *, on: bool) -> None:
        if conversation.question.kind == "trade":
            self.activity.note(conversation.symbol, self.last_ns, "deliberating", on=on)

    def _reason(self, question: DeliberationRequested) -> str:
        symbol, before = question.symbol, self._last_question.get(question.symbol)
        if question.kind == LESSON:
            return f"{self._settings.hybrid.learn_every_trades} round trips had ended"
        if before is None:
            return "it was the symbol's first question, enough quotes being known"
        if symbol in self._notes:
            return self._notes[symbol]
        if symbol in self._interrupted_by:
            return f"{_GIVEN_UP[question.kind]} ({self._interrupted_by[symbol]}), and quotes came again"
        return self._cadence_reason(question, before)

    def _cadence_reason(self, question: DeliberationRequested, before: int) -> str:
        """Why it was time for another question, as quotes and seconds go."""
        hybrid, pause_s = self._settings.hybrid, self._settings.llm.min_interval_s
        if question.kind == "trade":
            return f"a quote had come, and {pause_s:g} s passed, since question {before}"
        if isinstance(self._input, Timer):
            return f"quotes enough had come, and {hybrid.min_refresh_s:g} s passed, since question {before}"
        return f"{hybrid.gate_refresh_quotes} quotes had come since question {before}"

    def _decide(self, decision: Decision) -> None:
        for call in decision.calls:
            self.named[digest(call)] = decision.number
        conversation = self._unanswered.pop(decision.number, None)
        if conversation is None:
            self.stats.strays += 1
            return
        conversation.decision = decision
        conversation.state = self._gate_state(conversation.question)
        key = (conversation.question.kind, conversation.symbol)
        if self._waiting.get(key) is conversation:
            del self._waiting[key]
            self._caused_by(conversation, f"the answer to question {decision.number} had been waited for")
            self._mark_deliberating(conversation, on=False)
        self._finish(conversation)

    def _caused_by(self, conversation: Conversation, note: str) -> None:
        if conversation.question.kind != LESSON:
            self._causes[conversation.symbol] = conversation
            self._notes[conversation.symbol] = note

    def _change(self, change: GateChanged) -> None:
        symbol = change.symbol
        was = self.state(symbol)
        self.gates.setdefault(symbol, Timeline()).add(change.at_ns, change.state)
        opener = self._opener.get(symbol)
        if opener and was == "open":
            opener.ended = change
        cause = self._causes.pop(symbol, None)
        if cause:
            cause.gate, cause.state = change, change.state
            if change.why == "stale":
                self.stats.abstentions["stale"] += 1
        elif change.state == "expired":
            self._notes[symbol] = "the time of the verdict before was over"
        elif was == "cooldown":
            self._notes[symbol] = f"the cooldown after question {self._last_question.get(symbol, 0)} was over"
        if cause and change.state == "open":
            self._opener[symbol] = cause

    def _propose(self, event: ProposalResolved | CooldownChanged | FillBooked) -> None:
        """What happens where agents alone decide."""
        match event:
            case ProposalResolved():
                self._dispose(event)
            case CooldownChanged():
                self._cool(event)
            case FillBooked():
                self._on_fill_booked(event)

    def _dispose(self, disposed: ProposalResolved) -> None:
        self.stats.disposed[disposed.code] += 1
        cause = self._causes.get(disposed.symbol)
        if cause and cause.number == disposed.number:
            cause.disposed = disposed.code

    def _cool(self, cooldown: CooldownChanged) -> None:
        symbol, begins = cooldown.symbol, bool(cooldown.quotes)
        self.activity.note(symbol, cooldown.at_ns, "cooldown", on=begins)
        if not begins:
            self._notes[symbol] = f"the cooldown after question {self._last_question.get(symbol, 0)} was over"

    def _on_fill_booked(self, booked: FillBooked) -> None:
        symbol = self.trips.symbol_of(booked.order_id)
        if symbol and self._settings.trading.mode == "llm":
            self.activity.note(symbol, self.last_ns, "holding", on=bool(booked.position))

    def _order(self, order: SubmitOrder) -> None:
        proposer = self._proposer(order.symbol)
        if proposer and order.side is BUY:
            self._opener[order.symbol] = proposer
        opener = self._opener.get(order.symbol)
        number, group = (opener.number, opener.group) if opener else (0, NO_VERDICT)
        trip = self.trips.on_submit(order, number, group)
        if proposer:
            proposer.sent = trip.orders[-1]
        if opener and order.side is BUY and trip.verdict == number and trip not in opener.trips[-1:]:
            opener.trips.append(trip)

    def _proposer(self, symbol: str) -> Conversation | None:
        """Whose answer is being carried out in this step, where agents alone decide."""
        cause = self._causes.get(symbol)
        return cause if cause and cause.question.kind == "trade" else None

    def _time(self, at_ns: int) -> None:
        """The engine's own deadlines of answers: it tells of one only where a gate changes by it."""
        for key, conversation in list(self._waiting.items()):
            if conversation.question.at_ns + self._deadline_ns <= at_ns:
                del self._waiting[key]
                conversation.given_up = "timeout"
                conversation.state = self._gate_state(conversation.question)
                if conversation.question.kind != LESSON:
                    self.stats.abstentions["timeout"] += 1
                self._mark_deliberating(conversation, on=False)
                note = f"question {conversation.number} had timed out"
                self._caused_by(conversation, note)

    def _on_interruption(self, event: Halted | Restarted) -> None:
        why = "restarted" if isinstance(event, Restarted) else "halted"
        for conversation in self._waiting.values():
            conversation.given_up = why
            self._mark_deliberating(conversation, on=False)
        self._waiting.clear()
        self._interrupted_by = dict.fromkeys(self._last_question, why)

    def _finish(self, conversation: Conversation) -> None:
        decision, outcome = conversation.decision, conversation.outcome
        self.stats.outcomes[outcome] += 1
        if decision and not conversation.given_up:
            self.stats.saved += decision.source in ANSWERS_WITHOUT_A_CALL
            if outcome == "no_trade":
                self.stats.refusals[decision.code or "no_trade"] += 1
            if outcome == "abstain":
                self.stats.abstentions[decision.code or "unexplained"] += 1
        if not self._wanted.fits(conversation):
            return
        self.stats.fitting += 1
        heapq.heappush(self._selected, (conversation.number, self._seq, conversation))
        if len(self._selected) > self._wanted.last:
            heapq.heappop(self._selected)


_GIVEN_UP = {
    "gate": "all gates had been shut",
    "trade": "all questions had been given up",
}


def digest(call: str) -> bytes:
    """As much of a call's hash as tells it from all others."""
    return call.encode()[: 2 * DIGEST_BYTES]

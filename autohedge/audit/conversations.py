"""The questions of a journal, each with its decision, the engine's reaction to it, and the orders it allowed.

The journal is read line by line. Memory holds the selected conversations, those still without an answer, and
a short digest for each call that the transcript must have.
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
    Input,
    OperatorCommand,
    ProposalResolved,
    Restarted,
    SettingsChanged,
    SubmitOrder,
    Timer,
    TradingStateChanged,
)
from autohedge.core.orders import ENTER
from autohedge.core.snapshots import DeliberationKind
from autohedge.core.spend import NO_SPEND, Spend
from autohedge.core.units import NS_PER_S
from autohedge.journal import JournalLine
from autohedge.llm.transcript import TranscriptEntry as Call
from autohedge.records.round_trips import NO_VERDICT, RoundTrip, RoundTrips, TrackedOrder

OutcomeFilter = Literal["trade", "no_trade", "keep", "abstain", "lesson", "late", "unanswered"]
ONLY: tuple[OutcomeFilter, ...] = get_args(OutcomeFilter)
ANSWERS_WITHOUT_A_CALL = frozenset({"bypass", "cache"})
LESSON: DeliberationKind = "learning"
DIGEST_BYTES = 16  # 128 bits: no two calls of a run share them, in half the memory of a whole hash
BAND_PCT = 10


@dataclass(slots=True)
class Conversation:
    """One question with its decision and everything that followed.

    `why` is why it was asked, `given_up` why its answer counts no more: `timeout`, `halted` or `restarted`.
    In hybrid mode `gate` is the change that followed, `state` the state of the gate after it, and `ended` the
    change that ended or prolonged an opening. In llm mode `resolution` is the code of how its proposal ended,
    and `sent` is its order. `trips` are the round trips that the verdict allowed. `calls` are the entries of
    the transcript, if they were requested; `lost` is whether a restart found some of them missing.
    """

    question: DeliberationRequested
    why: str
    decision: Decision | None = None
    given_up: str = ""
    state: str = ""
    gate: GateChanged | None = None
    ended: GateChanged | None = None
    resolution: str = ""
    sent: TrackedOrder | None = None
    trips: list[RoundTrip] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    lost: bool = False

    @property
    def number(self) -> int:
        """The question's number in its run."""
        return self.question.number

    @property
    def symbol(self) -> str:
        """The symbol that the question is about."""
        return self.question.symbol

    @property
    def outcome(self) -> OutcomeFilter:
        """The outcome: a verdict, or `late` or `unanswered`."""
        if self.decision is None:
            return "unanswered"
        return "late" if self.given_up else self.decision.verdict

    @property
    def group(self) -> str:
        """The group of its round trips in the statistics: the source of the answer and a confidence band."""
        if self.decision is None:
            return NO_VERDICT
        # 100 % belongs to the highest band.
        least = min(self.decision.confidence_pct, 99) // BAND_PCT * BAND_PCT
        return f"{self.decision.source or 'unnamed'}, {least} to {least + BAND_PCT} % sure"


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Selects conversations: one by `number`, or the `last` matches; the last `whole` of them with calls."""

    number: int | None = None
    symbol: str | None = None
    only: OutcomeFilter | None = None
    last: int = 20
    whole: int = 500

    def fits(self, conversation: Conversation) -> bool:
        """Returns whether a conversation matches."""
        return (
            self.number in (None, conversation.number)
            and self.symbol in (None, conversation.symbol)
            and self.only in (None, conversation.outcome)
        )


@dataclass(slots=True)
class ConversationStats:
    """Statistics of all questions of a run, whatever the filter selects."""

    asked: int = 0
    fitting: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    abstentions: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    proposals: Counter[str] = field(default_factory=Counter)
    saved: int = 0
    strays: int = 0
    spend: Spend = NO_SPEND


class ConversationProjection:
    """Folds a journal into conversations, statistics, round trips and timelines; `settings` are those in force."""

    def __init__(self, wanted: AuditFilter, settings: Settings) -> None:
        self.stats = ConversationStats()
        self.sources: Counter[str] = Counter()
        self.trips = RoundTrips()
        self.activity = Activity()
        self.gates: dict[str, Timeline] = {}
        self.named: dict[bytes, int] = {}
        self.snapshots: dict[int, str] = {}
        self.lost: set[int] = set()
        self.first_ns = self.last_ns = 0
        self._wanted = wanted
        self.settings = settings
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
        """Takes in the next line of the journal."""
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
            case TradingStateChanged(is_halt=True):
                self._on_interruption("halted")
            case Restarted():
                self.lost.update(event.missing_answers)
                self._on_interruption("restarted")
            case ProposalResolved() | CooldownChanged() | FillBooked():
                self._propose(event)

    def finish(self) -> list[Conversation]:
        """Closes the projection; returns the selected conversations by number."""
        for conversation in self._unanswered.values():
            self._finish(conversation)
        self._unanswered.clear()
        self.trips.finish()
        return [conversation for _, _, conversation in sorted(self._selected, key=lambda entry: entry[:2])]

    def state(self, symbol: str) -> str:
        """Returns the state of a symbol's gate."""
        line = self.gates.get(symbol)
        return line.last if line else self._first_state

    def _begin_step(self, seq: int, event: AnyEvent) -> None:
        """Begins a new step at each input or row; all events up to the next one are caused by it."""
        given = isinstance(event, Input)
        # Rows are not journaled but counted in `seq`, so a gap means that a row came in between.
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
        """Returns the state of the gate that a question is about; empty in llm mode, which has none."""
        return "" if question.kind == "trade" else self.state(question.symbol)

    def _mark_deliberating(self, conversation: Conversation, *, on: bool) -> None:
        if conversation.question.kind == "trade":
            self.activity.note(conversation.symbol, self.last_ns, "deliberating", on=on)

    def _reason(self, question: DeliberationRequested) -> str:
        symbol, before = question.symbol, self._last_question.get(question.symbol)
        if question.kind == LESSON:
            return f"{self.settings.hybrid.learn_every_trades} round trips had closed"
        if before is None:
            return "first question for the symbol, once enough quotes were known"
        if symbol in self._notes:
            return self._notes[symbol]
        if symbol in self._interrupted_by:
            return f"{_GIVEN_UP[question.kind]} ({self._interrupted_by[symbol]}), then quotes resumed"
        return self._cadence_reason(question, before)

    def _cadence_reason(self, question: DeliberationRequested, before: int) -> str:
        """Returns which quote count, pause or operator made the question due."""
        match self._input:
            case OperatorCommand():
                return "the operator's pause was over"
            case SettingsChanged():
                return "a changed setting let it be asked sooner"
        hybrid, pause_s = self.settings.hybrid, self.settings.llm.min_interval_s
        if question.kind == "trade":
            return f"a new quote, at least {pause_s:g} s after question {before}"
        if isinstance(self._input, Timer):
            return f"enough new quotes, at least {hybrid.min_refresh_s:g} s after question {before}"
        return f"{hybrid.gate_refresh_quotes} quotes since question {before}"

    def _decide(self, decision: Decision) -> None:
        # Also of a decision that answers no question: the transcript must have its calls.
        for call in decision.calls:
            self.named[digest(call)] = decision.number
        self.stats.spend = self.stats.spend.plus(decision.spend)
        # A sound journal has one decision for each question. A further one is counted, and changes nothing.
        conversation = self._unanswered.pop(decision.number, None)
        if conversation is None:
            self.stats.strays += 1
            return
        conversation.decision = decision
        conversation.state = self._gate_state(conversation.question)
        key = (conversation.question.kind, conversation.symbol)
        if self._waiting.get(key) is conversation:
            del self._waiting[key]
            self._caused_by(conversation, f"question {decision.number}, which was pending, was answered")
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
            self._notes[symbol] = "the previous verdict expired"
        elif was == "cooldown":
            self._notes[symbol] = f"the cooldown after question {self._last_question.get(symbol, 0)} ended"
        if cause and change.state == "open":
            self._opener[symbol] = cause

    def _propose(self, event: ProposalResolved | CooldownChanged | FillBooked) -> None:
        """Takes in the events that llm mode has: outcomes of proposals, cooldowns, fills."""
        match event:
            case ProposalResolved():
                self._on_resolved(event)
            case CooldownChanged():
                self._cool(event)
            case FillBooked():
                self._on_fill_booked(event)

    def _on_resolved(self, event: ProposalResolved) -> None:
        self.stats.proposals[event.code] += 1
        cause = self._causes.get(event.symbol)
        if cause and cause.number == event.number:
            cause.resolution = event.code

    def _cool(self, cooldown: CooldownChanged) -> None:
        symbol, begins = cooldown.symbol, bool(cooldown.quotes)
        self.activity.note(symbol, cooldown.at_ns, "cooldown", on=begins)
        if not begins:
            self._notes[symbol] = f"the cooldown after question {self._last_question.get(symbol, 0)} ended"

    def _on_fill_booked(self, booked: FillBooked) -> None:
        symbol = self.trips.symbol_of(booked.order_id)
        if symbol and self.settings.trading.mode == "llm":
            self.activity.note(symbol, self.last_ns, "holding", on=bool(booked.position))

    def _order(self, order: SubmitOrder) -> None:
        proposer = self._proposer(order.symbol)
        if proposer and order.purpose is ENTER:
            self._opener[order.symbol] = proposer
        opener = self._opener.get(order.symbol)
        number, group = (opener.number, opener.group) if opener else (0, NO_VERDICT)
        trip = self.trips.on_submit(order, number, group)
        if proposer:
            proposer.sent = trip.orders[-1]
        # A trip can have several purchases, but is listed once.
        if opener and order.purpose is ENTER and trip.verdict == number and trip not in opener.trips[-1:]:
            opener.trips.append(trip)

    def _proposer(self, symbol: str) -> Conversation | None:
        """Returns the conversation whose proposal is carried out in this step; None outside of llm mode."""
        cause = self._causes.get(symbol)
        return cause if cause and cause.question.kind == "trade" else None

    def _time(self, at_ns: int) -> None:
        """Applies the answer deadlines of the engine, which journals one only if it changes a gate."""
        for key, conversation in list(self._waiting.items()):
            if conversation.question.at_ns + self._deadline_ns <= at_ns:
                del self._waiting[key]
                conversation.given_up = "timeout"
                conversation.state = self._gate_state(conversation.question)
                if conversation.question.kind != LESSON:
                    self.stats.abstentions["timeout"] += 1
                self._mark_deliberating(conversation, on=False)
                note = f"question {conversation.number} timed out"
                self._caused_by(conversation, note)

    def _on_interruption(self, why: str) -> None:
        for conversation in self._waiting.values():
            conversation.given_up = why
            self._mark_deliberating(conversation, on=False)
        self._waiting.clear()
        self._interrupted_by = dict.fromkeys(self._last_question, why)

    def _finish(self, conversation: Conversation) -> None:
        decision, outcome = conversation.decision, conversation.outcome
        self.stats.outcomes[outcome] += 1
        if decision and not conversation.given_up:
            self.sources[decision.source] += 1
            self.stats.saved += decision.source in ANSWERS_WITHOUT_A_CALL
            if outcome == "no_trade":
                self.stats.refusals[decision.code or "no_trade"] += 1
            if outcome == "abstain":
                self.stats.abstentions[decision.code or "unexplained"] += 1
        if not self._wanted.fits(conversation):
            return
        self.stats.fitting += 1
        # A heap of the newest `last`; `_seq` breaks ties, as conversations themselves cannot be compared.
        heapq.heappush(self._selected, (conversation.number, self._seq, conversation))
        if len(self._selected) > self._wanted.last:
            heapq.heappop(self._selected)


_GIVEN_UP = {
    "gate": "all gates were closed",
    "trade": "all questions were cancelled",
}


def digest(call: str) -> bytes:
    """Returns the first `DIGEST_BYTES` of a call's hash, in hex digits, as the key of the call."""
    return call.encode()[: 2 * DIGEST_BYTES]

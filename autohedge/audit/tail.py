"""The last conversations of a long record, read from its end.

The part must be long enough to show them as the whole record would: the tail has what came before each of them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice
from pathlib import Path

from autohedge.audit.conversations import LESSON, Conversation, digest
from autohedge.core.errors import Corrupt
from autohedge.core.events import DeliberationRequested, ExecutionReport, FillBooked, GateChanged, SubmitOrder
from autohedge.core.money import ZERO, subtract
from autohedge.core.orders import ENTER
from autohedge.journal import JournalLine, RunFolder
from autohedge.journal.chain import read_tail
from autohedge.llm.transcript import TranscriptEntry as Call
from autohedge.llm.transcript import read_backwards

JOURNAL_BYTES = 4 << 20
TRANSCRIPT_PARTS = 64


def is_long(folder: RunFolder) -> bool:
    """Returns whether the tail of a journal is less than half of it; a shorter one is quickly read whole."""
    return folder.journal.stat().st_size > 2 * JOURNAL_BYTES


def tail_lines(folder: RunFolder) -> Iterator[JournalLine]:
    """Yields the lines of a journal's tail, checking their chain and the end that `results.json` names.

    Raises Corrupt at the first mismatch; for the end, after the last line.
    """
    results = folder.read_results()
    head = ""
    for line in read_tail(folder.journal, JOURNAL_BYTES):
        head = line.hash
        yield line
    if results is not None and results.get("journal_head") != head:
        raise Corrupt(
            f"{folder.journal} does not end where {folder.results} requires: lines were cut off or added"
        )


def last_calls(path: Path, named: Mapping[bytes, int]) -> list[Call] | None:
    """Returns the calls with these hashes from the end of a transcript; None if they are not all there."""
    calls: list[Call] = []
    for part in islice(read_backwards(path), TRANSCRIPT_PARTS):
        calls = [call for call in part if digest(call.hash) in named] + calls
        if len(calls) == len(named):
            return calls
    return None


@dataclass(slots=True)
class TailContext:
    """What a tail knows of the time before a conversation: whether that is all that the conversation needs."""

    has_gates: bool
    first_number: int = 0
    _first_asked: dict[str, int] = field(default_factory=dict)
    _gate_known_ns: dict[str, int] = field(default_factory=dict)
    _flat_ns: dict[str, int] = field(default_factory=dict)
    _orders: dict[str, SubmitOrder] = field(default_factory=dict)
    _held: set[str] = field(default_factory=set)
    _filled: dict[str, Decimal] = field(default_factory=dict)
    _booked_ns: int = 0
    _at_ns: int = 0

    def take(self, line: JournalLine) -> None:
        """Takes in the next line."""
        event = line.event
        self._at_ns = max(self._at_ns, getattr(event, "at_ns", 0))
        match event:
            case DeliberationRequested(number=number, symbol=symbol, kind=kind):
                self.first_number = self.first_number or number
                if kind != LESSON:
                    self._first_asked.setdefault(symbol, number)
            case GateChanged(symbol=symbol, at_ns=at_ns):
                self._gate_known_ns.setdefault(symbol, at_ns)
            case SubmitOrder(order_id=order_id):
                self._orders[order_id] = event
            case ExecutionReport(kind="fill", order_id=order_id, quantity=quantity):
                self._filled[order_id] = quantity or ZERO
            case FillBooked():
                self._book(event)

    def _book(self, booked: FillBooked) -> None:
        self._booked_ns = self._booked_ns or self._at_ns
        order = self._orders.get(booked.order_id)
        if order is None:
            return
        quantity = self._filled.get(booked.order_id, ZERO)
        began_flat = order.purpose is ENTER and subtract(booked.position, quantity) == ZERO
        if booked.position == ZERO or began_flat:
            self._flat_ns.setdefault(order.symbol, self._at_ns)
        elif order.symbol not in self._flat_ns:
            self._held.add(order.symbol)

    def suffices(self, shown: list[Conversation], wanted: int) -> bool:
        """Returns whether all of the wanted conversations are shown as the whole record would show them."""
        return len(shown) == wanted and all(map(self._suffices_for, shown))

    def _suffices_for(self, conversation: Conversation) -> bool:
        symbol, at_ns = conversation.symbol, conversation.question.at_ns
        if conversation.question.kind != LESSON and conversation.number <= self._first_asked.get(symbol, 0):
            return False
        if self.has_gates and self._gate_known_ns.get(symbol, at_ns + 1) > at_ns:
            return False
        if symbol in self._held and self._flat_ns.get(symbol, at_ns + 1) > at_ns:
            return False
        # The ledger's profits are sums: that of a fill is known from the second one on.
        return not conversation.trips or 0 < self._booked_ns < at_ns

"""The outbox of an engine: its inputs and outputs in order, until the runtime takes them."""

from collections import deque
from typing import NamedTuple

from autohedge.core.events import AnyInput, AnyOutput, DeliberationRequested, JournalEntry
from autohedge.core.ids import client_order_id
from autohedge.core.snapshots import Snapshot


class DeliberationQuestion(NamedTuple):
    """A deliberation request and the snapshot that it is about; the journal has the snapshot's hash."""

    request: DeliberationRequested
    snapshot: Snapshot


class Outbox:
    """Numbers inputs and outputs in one sequence, which counts rows too.

    `log` has the entries for the journal, `questions` those for the agents. `pos` is the number of rows taken,
    `nonce` what the ids of orders derive from.
    """

    __slots__ = ("input_seq", "log", "nonce", "pos", "questions", "seq")

    def __init__(self) -> None:
        self.log: deque[JournalEntry] = deque()
        self.questions: deque[DeliberationQuestion] = deque()
        self.seq = 1  # 0 is the genesis, the first line of the journal
        self.pos = 0
        self.input_seq = 0
        self.nonce = ""

    def count_rows(self, rows: int) -> None:
        """Counts rows that were taken; they have no entries of their own."""
        self.seq += rows
        self.pos += rows

    def record(self, event: AnyInput) -> None:
        """Adds an input, before any output that follows from it."""
        self.input_seq = self.seq
        self.emit(event)

    def emit(self, event: AnyInput | AnyOutput) -> None:
        """Adds an event."""
        self.log.append(JournalEntry(self.seq, self.pos, event))
        self.seq += 1

    def ask(self, request: DeliberationRequested, snapshot: Snapshot) -> None:
        """Adds a request for the agents."""
        self.emit(request)
        self.questions.append(DeliberationQuestion(request, snapshot))

    def new_order_id(self) -> str:
        """The id of an order that is submitted next; it derives from the nonce and the sequence number."""
        return client_order_id(self.nonce, self.seq)

    def new_halt_id(self) -> str:
        """The id of an automatic halt, which a person must name to resume."""
        return f"halt-{self.input_seq}"

"""A run made once more, up to where its record ends: how a restart gets engine and venue back.

With a simulated venue in the same process both are functions of tape, nonce and commands, so
running again brings both back; every event must equal the recorded one. With a venue elsewhere
only the engine is rebuilt, from the record alone, and nothing is sent.
"""

from collections import deque
from collections.abc import Iterable, Sequence

from autohedge.core.clock import NEVER
from autohedge.core.errors import Corrupt
from autohedge.core.events import (
    Decision,
    DeliberationRequested,
    EndOfTape,
    JournalEntry,
    LoopLag,
    OperatorCommand,
    PromptsChanged,
    Restarted,
    RunStarted,
    SubmitOrder,
    SystemFault,
)
from autohedge.core.snapshots import Snapshot
from autohedge.engine.engine import Engine
from autohedge.market.tape import Rows
from autohedge.runtime.replay import replay
from autohedge.runtime.virtual import Recorder, VirtualRuntime


class VerifyingRecorder:
    """A recorder that holds each event against the record and, past its end, goes on recording."""

    def __init__(self, record: Iterable[JournalEntry], recorder: Recorder) -> None:
        self._record = iter(record)
        self._recorder = recorder
        self.expected = next(self._record, None)

    def require_end(self) -> None:
        """Raises Corrupt if the run came to less than was recorded."""
        if self.expected is not None:
            raise self._diverged(self.expected.seq)

    def append(self, entry: JournalEntry) -> None:
        """Check an event, or record it.

        Raises Corrupt where the run does not come out as it was recorded.
        """
        if self.expected is None:
            self._recorder.append(entry)
        elif entry == self.expected:
            self.expected = next(self._record, None)
        else:
            raise self._diverged(self.expected.seq)

    def _diverged(self, seq: int) -> Corrupt:
        return Corrupt(f"the record cannot be made again, it parts at seq {seq}: autohedge replay says how")


class RecordedDecisions:
    """The slow plane of a run that is made again: each decision of its record, when it was due.

    One that came when no more rows did is known among what was still on its way, as it was then.
    """

    def __init__(self) -> None:
        self._due: deque[Decision] = deque()

    @property
    def next_due_ns(self) -> int:
        """When the next decision was known."""
        return self._due[0].at_ns if self._due else NEVER

    def add(self, decision: Decision) -> None:
        """Take the next decision of the record."""
        self._due.append(decision)

    def request(self, question: DeliberationRequested, snapshot: Snapshot) -> None:
        """Hear nothing: the answer, if any came, is in the record."""

    def poll(self, by_ns: int) -> Decision | None:
        """The next decision that was known by `by_ns`."""
        return self._due.popleft() if self.next_due_ns <= by_ns else None


def rerun(runtime: VirtualRuntime, record: Sequence[JournalEntry], rows: Rows) -> tuple[bool, int]:
    """Run again to the end of a record that is not empty; return if that ended the run, and its time.

    What the same inputs bring beyond the record's end is recorded and done.
    """
    runtime.decisions = recorded_decisions = RecordedDecisions()
    stopped = False
    for entry in record:
        match entry.event:
            case RunStarted(nonce):
                runtime.begin(nonce)
            case Decision() as decision:
                recorded_decisions.add(decision)
                if not stopped:
                    runtime.advance(decision.at_ns)
            case OperatorCommand() | SystemFault() | LoopLag() | Restarted() | PromptsChanged():
                runtime.advance(entry.event.at_ns)
                runtime.inject(entry.event)
                stopped = stopped or _is_stop(entry)
    end_ns = last_ns(record, rows)
    if not stopped:
        runtime.advance(NEVER if ended(record) else end_ns)
    over = stopped or runtime.next_ns == NEVER
    if over:
        runtime.finish()
    return over, end_ns


def rehydrate(
    engine: Engine, record: Sequence[JournalEntry], rows: Rows, recorder: Recorder
) -> tuple[str, ...]:
    """Feed a record to a fresh engine; return the ids of orders that come out beyond its end.

    Those are recorded and not sent. Raises Corrupt where an output differs.
    """
    if difference := replay(engine, rows, record):
        raise Corrupt(f"the record cannot be replayed, so the run cannot go on: {difference}")
    lost = []
    while engine.log:
        entry = engine.log.popleft()
        recorder.append(entry)
        if isinstance(entry.event, SubmitOrder):
            lost.append(entry.event.order_id)
    return tuple(lost)


def last_ns(record: Sequence[JournalEntry], rows: Rows) -> int:
    """The latest time that a record speaks of; the moment before the first row, if of none."""
    spoken_ns = max((getattr(entry.event, "at_ns", 0) for entry in record), default=0)
    pos = min(record[-1].pos, len(rows)) if record else 0
    row_ns = int(rows.ts[pos - 1]) if pos else int(rows.ts[0]) - 1
    return max(spoken_ns, row_ns)


def was_stopped(record: Sequence[JournalEntry]) -> bool:
    """Whether a person had stopped the run when its record ends: it takes no more rows then."""
    return any(map(_is_stop, record))


def _is_stop(entry: JournalEntry) -> bool:
    return isinstance(entry.event, OperatorCommand) and entry.event.command == "stop"


def ended(record: Sequence[JournalEntry]) -> bool:
    """Whether the record is whole: only the results are missing."""
    return any(isinstance(entry.event, EndOfTape) for entry in record)

"""Recovery after a crash: rebuilds engine and venue up to the end of a record.

With a simulated venue in the same process, both are functions of tape, nonce and commands. `rerun` runs them
again, and every event must equal the recorded one. With a remote venue, `rehydrate` rebuilds the engine alone
from the record and sends nothing.
"""

from collections.abc import Iterable, Sequence

from autohedge.core.clock import NEVER
from autohedge.core.errors import Corrupt
from autohedge.core.events import (
    AnyEvent,
    ClockReached,
    Continued,
    Decision,
    EndOfTape,
    JournalEntry,
    LoopLag,
    OperatorCommand,
    PromptsChanged,
    Restarted,
    RunStarted,
    SettingsChanged,
    SubmitOrder,
    SystemFault,
)
from autohedge.core.ports import Recorder
from autohedge.engine.engine import Engine
from autohedge.market.cursor import MarketCursor
from autohedge.market.rows import Rows
from autohedge.runtime.replay import replay, same_entry
from autohedge.runtime.virtual import VirtualRuntime

OUTSIDE = (OperatorCommand, SettingsChanged, SystemFault, LoopLag, Restarted, PromptsChanged, ClockReached)
"""Inputs that a repeated tape run does not produce, as a run on a clock has them."""


class VerifyingRecorder:
    """Compares each event with a record; after the record's end it appends to `recorder`."""

    def __init__(
        self, record: Iterable[JournalEntry], recorder: Recorder, *, compare_texts: bool = True
    ) -> None:
        self._record = iter(record)
        self._recorder = recorder
        self._compare_texts = compare_texts
        self.expected = next(self._record, None)

    def require_end(self) -> None:
        """Raises Corrupt if the run produced fewer events than were recorded."""
        if self.expected is not None:
            raise self._diverged(self.expected.seq)

    def append(self, entry: JournalEntry) -> None:
        """Compares an event with the record, or records it.

        Raises Corrupt where the event differs from the recorded one.
        """
        if self.expected is None:
            self._recorder.append(entry)
        elif same_entry(self.expected, entry, compare_texts=self._compare_texts):
            self.expected = next(self._record, None)
        else:
            raise self._diverged(self.expected.seq)

    def _diverged(self, seq: int) -> Corrupt:
        return Corrupt(f"the run does not reproduce its record at seq {seq}: see `autohedge replay`")


def rerun(runtime: VirtualRuntime, record: Sequence[JournalEntry], market: MarketCursor) -> tuple[bool, int]:
    """Runs to the end of a record that is not empty; returns whether that ended the run, and its time.

    Events that follow from these inputs beyond the record's end are recorded, and their commands are sent. Of
    the agents only the recorded decisions are used, so the runtime must have no source of its own.
    """
    for entry in record:
        match entry.event:
            case RunStarted(nonce):
                runtime.begin(nonce)
            case event if isinstance(event, (Decision, Continued, *OUTSIDE)):
                # The rows before it count, not its time: rows of the same time may have come later.
                runtime.advance_to(entry.pos, event.at_ns)
                runtime.interrupt(event)
    # After a stop no more rows are taken: what came later belongs to the finish.
    stopped, end_ns = was_stopped(record), last_ns(record, market.rows)
    if not stopped:
        runtime.advance(NEVER if ended(record) else end_ns)
    over = stopped or runtime.ended
    if over:
        runtime.finish()
    return over, end_ns


def repeat(runtime: VirtualRuntime, record: Sequence[JournalEntry], market: MarketCursor) -> tuple[bool, int]:
    """Runs a tape again to the end of a record, not empty; returns whether that ended the run, and its time.

    Unlike `rerun`, the runtime's own source decides, so that it knows the answers that are still due.
    """
    for entry in record:
        match entry.event:
            case RunStarted(nonce):
                runtime.begin(nonce)
            case Continued() as continued:
                runtime.advance(continued.at_ns)
                runtime.inject(continued)
    end_ns = last_ns(record, market.rows)
    runtime.advance(NEVER if ended(record) else end_ns)
    over = runtime.ended
    if over:
        runtime.finish()
    return over, end_ns


def rehydrate(
    engine: Engine,
    record: Sequence[JournalEntry],
    rows: Rows,
    recorder: Recorder,
    *,
    compare_texts: bool = True,
) -> tuple[str, ...]:
    """Replays a record into a fresh engine; returns the ids of the orders produced beyond its end.

    Those are recorded but not sent. Raises Corrupt where an output differs.
    """
    if difference := replay(engine, rows, record, compare_texts=compare_texts):
        raise Corrupt(f"the record cannot be replayed, so the run cannot go on: {difference}")
    # The last recorded input may have had outputs that the crash kept out of the journal.
    lost = []
    while engine.log:
        entry = engine.log.popleft()
        recorder.append(entry)
        if isinstance(entry.event, SubmitOrder):
            lost.append(entry.event.order_id)
    return tuple(lost)


def reached_in(events: Iterable[AnyEvent | None]) -> list[tuple[int, int]]:
    """Returns when a clock has finished bars, as `StoreCursor` takes it: the rows that had come, and the time."""
    return [(event.rows, event.at_ns) for event in events if isinstance(event, ClockReached)]


def nonce_of(record: Sequence[JournalEntry]) -> str | None:
    """Returns the nonce of a record, None for an empty one. Raises Corrupt without a RunStarted."""
    if not record:
        return None
    if not isinstance(record[0].event, RunStarted):
        raise Corrupt("the record does not begin with RunStarted; restore the journal")
    return record[0].event.nonce


def last_ns(record: Sequence[JournalEntry], rows: Rows) -> int:
    """The latest time in a record; the nanosecond before the first row if it has none."""
    spoken_ns = max((getattr(entry.event, "at_ns", 0) for entry in record), default=0)
    pos = min(record[-1].pos, len(rows)) if record else 0
    return max(spoken_ns, rows.next_ts(pos - 1) if pos else before_first_ns(rows))


def before_first_ns(rows: Rows) -> int:
    """The nanosecond before the first row; 0 if none has come."""
    return rows.next_ts(0) - 1 if len(rows) else 0


def has_outside_inputs(record: Sequence[JournalEntry]) -> bool:
    """Whether a record has inputs that a repeated tape run does not produce."""
    return any(isinstance(entry.event, OUTSIDE) for entry in record)


def was_stopped(record: Sequence[JournalEntry]) -> bool:
    """Whether the record contains a `stop` command, after which the run takes no more rows."""
    return any(map(_is_stop, record))


def _is_stop(entry: JournalEntry) -> bool:
    return isinstance(entry.event, OperatorCommand) and entry.event.command == "stop"


def ended(record: Sequence[JournalEntry]) -> bool:
    """Whether the record is complete, so that only the results are missing."""
    return any(isinstance(entry.event, EndOfTape) for entry in record)

"""The protocols that the engine's surroundings implement."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from autohedge.core.events import (
    AnyTradingCommand,
    Decision,
    DeliberationRequested,
    JournalEntry,
    VenueEvent,
)
from autohedge.core.snapshots import Snapshot


class Gateway(Protocol):
    """Carries commands to one venue and brings its answers back as inputs.

    A definite refusal is `OrderRejected` or `ChangeRejected`. A timeout, a 5xx or a dropped socket is
    `RequestUnknown`, never a refusal.
    """

    def send(self, command: AnyTradingCommand, now_ns: int) -> None:
        """Accepts a command that is already in the journal."""
        ...

    def poll(self) -> VenueEvent | None:
        """Returns the next answer that has arrived, or None."""
        ...


class VenueClock(Protocol):
    """The clock of a simulated venue in this process: its messages and fills follow from the rows."""

    @property
    def next_due_ns(self) -> int:
        """When the next message arrives, at the venue or at the engine; NEVER if none is in transit."""
        ...

    def first_touch(self, stop: int) -> int:
        """Returns the first row before `stop` that fills a resting order; `stop` if none does.

        The rows before `stop` must have come.
        """
        ...

    def on_position(self, pos: int) -> None:
        """Makes the rows before `pos` known to the venue."""
        ...

    def advance(self) -> None:
        """Delivers the earliest message in transit."""
        ...

    def fill_resting(self, row: int) -> None:
        """Fills the resting orders that this row touches."""
        ...


class ExecutionClient(Protocol):
    """The client of one venue: it speaks the venue's protocol and keeps no state about requests.

    The gateway gives each request a deadline, stamps answers with its clock, and decides when to reconnect.
    """

    async def connect(self) -> None:
        """Connects and logs in, the first time and after each loss.

        Raises Refused where reconnecting cannot help; any other error may be temporary.
        """
        ...

    async def request(self, command: AnyTradingCommand) -> Sequence[VenueEvent]:
        """Sends a command and returns the venue's immediate answers, which may be none.

        Raises Rejected for a definite refusal, Duplicate if the venue already has the order id, Retryable if
        the venue did not process the request. Any other error leaves the outcome unknown.
        """
        ...

    def events(self) -> AsyncIterator[VenueEvent]:
        """Yields the venue's unsolicited messages until the connection is lost; the gateway reads all."""
        ...

    def close(self) -> None:
        """Closes the connection."""
        ...


class DecisionSource(Protocol):
    """The agents as a runtime sees them: takes questions, returns decisions when they are due."""

    @property
    def next_due_ns(self) -> int:
        """When the next decision is known; NEVER if none is pending in this process."""
        ...

    def request(self, question: DeliberationRequested, snapshot: Snapshot) -> None:
        """Takes a question that is already in the journal."""
        ...

    def poll(self, by_ns: int) -> Decision | None:
        """Returns the next decision that is known by `by_ns`, or None."""
        ...


class Recorder(Protocol):
    """Takes the record, event by event; a journal is one."""

    def append(self, entry: JournalEntry) -> None:
        """Appends one event; on return it is as durable as this recorder promises."""
        ...


class RunObserver(Protocol):
    """Displays and logs a run: receives the events of the types in `wants`, and rows if `wants_rows`.

    It changes nothing, so the record is the same with and without it.
    """

    wants: frozenset[type]
    wants_rows: bool

    def on_event(self, entry: JournalEntry) -> None:
        """Handles a recorded event of a wanted type."""
        ...

    def on_row(self, row: int) -> None:
        """Handles a row that was taken. `wants_rows` requests this; it slows the run."""
        ...

    def on_progress(self) -> None:
        """Handles a wake of the run's loop."""
        ...

    def notify(self, line: str) -> None:
        """Shows a person a message that is not an event."""
        ...

    def close(self) -> None:
        """Handles the end of the run, successful or not."""
        ...

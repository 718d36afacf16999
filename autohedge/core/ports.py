"""The protocols that the engine's surroundings implement."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from autohedge.core.events import AnyTradingCommand, VenueEvent


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

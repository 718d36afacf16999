"""What the engine's surroundings must offer: protocols only, no behaviour."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from autohedge.core.events import AnyTradingCommand, VenueEvent


class Gateway(Protocol):
    """Carries commands to one venue and brings its answers back as inputs.

    A definite no is `OrderRejected` or `ChangeRejected`; a timeout, a 5xx or a dropped socket is
    `RequestUnknown`, never a no.
    """

    def send(self, command: AnyTradingCommand, now_ns: int) -> None:
        """Take a command that is already in the journal."""
        ...

    def poll(self) -> VenueEvent | None:
        """The next answer that has arrived, or None."""
        ...


class ExecutionClient(Protocol):
    """One venue's module: its protocol and its dialect, without patience or memory of requests.

    The gateway gives each request a deadline, stamps what comes back with its clock, and decides
    when to knock again.
    """

    async def connect(self) -> None:
        """Reach the venue and be let in, the first time and after each loss.

        Raises Refused where knocking again cannot help; any other error may pass.
        """
        ...

    async def request(self, command: AnyTradingCommand) -> Sequence[VenueEvent]:
        """Do what a command asks; return what the venue says to it at once, which may be nothing.

        Raises Rejected for a definite no, Duplicate for an order id that the venue has already,
        Retryable where the venue did not look at it. Every other error leaves the outcome open.
        """
        ...

    def events(self) -> AsyncIterator[VenueEvent]:
        """What the venue says unasked, until the connection is lost; the gateway always listens."""
        ...

    def close(self) -> None:
        """End the connection."""
        ...

"""What the engine's surroundings must offer: protocols only, no behaviour."""

from typing import Protocol

from autohedge.core.events import Answer, Command


class Gateway(Protocol):
    """Carries commands to one venue and brings its answers back as inputs.

    Every answer is `Accepted`, `Rejected`, `Unknown`, `NotFound` or `Report`: a timeout, a 5xx or a
    dropped socket is `Unknown`, never `Rejected`.
    """

    def send(self, command: Command, now_ns: int) -> None:
        """Take a command that is already in the journal."""
        ...

    def answer(self) -> Answer | None:
        """The next answer that has arrived, or None."""
        ...

"""Asking a record instead of a model: what was said comes from the transcript, all else is done again.

Rendering, judging and the one repair are those of a run. Taken from the record are what the model said or how
it failed, and what kept a request from leaving or its answer from being in time: those rest on a clock, on
other requests and on a server, and none of these is there any more.
"""

import math
from collections.abc import Sequence

from autohedge.config.sections import LLM
from autohedge.llm import context
from autohedge.llm.asking import LATE, Asker, Sent
from autohedge.llm.backend import ModelFailure, Request, Response
from autohedge.llm.transcript import Line
from autohedge.llm.verdicts import Kept

UNRECORDED = "unrecorded"
OVERFLOW = "context_overflow"


class Nobody:
    """The backend of who asks nobody."""

    def __init__(self, name: str = "replay", model: str = "replay", server: str = "replay") -> None:
        self.name, self.model, self.server = name, model, server

    async def complete(self, request: Request) -> Response:  # noqa: ARG002
        """Never answers. Raises ModelFailure."""
        raise ModelFailure("unreachable", "a replay asks nobody")

    async def close(self) -> None:
        """Nothing is open."""


class Replaying(Asker):
    """Answers each request of a deliberation with what its lines say; the n-th request with the n-th line.

    Whether the requests are those of the record is for the caller to compare. Its time stands still, and ends
    where the record says that an answer came too late. `instead_of` names whose answers these are.
    """

    def __init__(self, settings: LLM, instead_of: Nobody | None = None) -> None:
        unlimited = {"max_calls": 0, "max_tokens": 0, "context_tokens": 1 << 62}
        super().__init__(instead_of or Nobody(), settings.model_copy(update=unlimited), self._time)
        self._tokens = settings.context_tokens
        self._lines: Sequence[Line] = ()
        self._turn = 0
        self._late = False

    def begin(self, lines: Sequence[Line]) -> None:
        """The next deliberation is the one that these lines record."""
        self._lines, self._turn, self._late = lines, 0, False

    async def sent(self, request: Request, deadline: float) -> Sent:  # noqa: ARG002
        """What the record says; the code `unrecorded` for more requests than it has."""
        if self._turn >= len(self._lines):
            return Sent(None, UNRECORDED, "the record holds no such request")
        line = self._lines[self._turn]
        self._turn += 1
        self._late = line.response is not None and line.outcome == LATE
        too_long = context.overflow(request, self._tokens)
        if too_long and (line.tries or line.outcome == OVERFLOW):
            return Sent(None, OVERFLOW, too_long)
        if line.outcome == OVERFLOW and not (too_long or line.tries):
            return Sent(None, UNRECORDED, "the request fits the context")
        return Sent(line.response, line.outcome, line.failure, line.tries)

    def _time(self) -> float:
        return math.inf if self._late else 0.0


class Recorded:
    """A cache that holds what the line of one deliberation says: nothing, or the verdict that was found.

    That it was there is believed, as what a model said is; not that it was about this question, or still held.
    """

    def __init__(self) -> None:
        self.kept: Kept | None = None

    async def find(self, key: str, at_ns: int, deadline_s: float | None = None) -> Kept | None:  # noqa: ARG002
        """The recorded verdict, if it is about this."""
        found = self.kept
        return found if found and found.key == key and found.serves(at_ns) else None

    async def keep(self, kept: Kept) -> None:
        """Nobody else reads."""

    async def leave(self, key: str) -> None:
        """Nobody else waits."""

    async def close(self) -> None:
        """Nothing is open."""

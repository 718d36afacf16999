"""Asking a record instead of a model: what was said comes from the transcript, all else is done again.

Rendering, judging and the one repair are those of a run. Taken from the record are what the model said or how
it failed, and what kept a request from leaving or its answer from being in time: those rest on a clock, on
other requests and on a server, and none of these is there any more.
"""

import math
from collections.abc import Sequence

from autohedge.config.sections import LLMSettings
from autohedge.core.clock import monotonic_ns
from autohedge.llm import context_window
from autohedge.llm.backend import LLMBackend, LLMError, LLMRequest, LLMResponse
from autohedge.llm.cache.memory import CachedVerdict
from autohedge.llm.client import DEADLINE, Attempt, LLMClient
from autohedge.llm.transcript import TranscriptEntry, request_bytes

UNRECORDED = "unrecorded"
OVERFLOW = "context_overflow"


class NullBackend:
    """The backend of who asks nobody."""

    def __init__(self, name: str = "replay", model: str = "replay", server: str = "replay") -> None:
        self.name, self.model, self.server = name, model, server

    async def complete(self, request: LLMRequest) -> LLMResponse:  # noqa: ARG002
        """Never answers. Raises LLMError."""
        raise LLMError("unreachable", "a replay asks nobody")

    async def close(self) -> None:
        """Nothing is open."""


class ReplayClient(LLMClient):
    """Answers each request of a deliberation with what its lines say; the n-th request with the n-th line.

    Whether the requests are those of the record is for the caller to compare. Its time stands still, and ends
    where the record says that an answer came too late. `instead_of` names whose answers these are.
    """

    def __init__(self, settings: LLMSettings, instead_of: NullBackend | None = None) -> None:
        unlimited = {"max_calls": 0, "max_tokens": 0, "context_tokens": 1 << 62}
        super().__init__(instead_of or NullBackend(), settings.model_copy(update=unlimited), self._time)
        self._tokens = settings.context_tokens
        self._lines: Sequence[TranscriptEntry] = ()
        self._turn = 0
        self._late = False

    def begin(self, lines: Sequence[TranscriptEntry]) -> None:
        """The next deliberation is the one that these lines record."""
        self._lines, self._turn, self._late = lines, 0, False

    async def send(self, request: LLMRequest, deadline: float) -> Attempt:  # noqa: ARG002
        """What the record says; the code `unrecorded` for more requests than it has."""
        if self._turn >= len(self._lines):
            return Attempt(None, UNRECORDED, "the record holds no such request")
        line = self._lines[self._turn]
        self._turn += 1
        self._late = line.response is not None and line.outcome == DEADLINE
        too_long = context_window.overflow_error(request, self._tokens)
        if too_long and (line.tries or line.outcome == OVERFLOW):
            return Attempt(None, OVERFLOW, too_long)
        if line.outcome == OVERFLOW and not (too_long or line.tries):
            return Attempt(None, UNRECORDED, "the request fits the context")
        return Attempt(line.response, line.outcome, line.failure, line.tries)

    def _time(self) -> float:
        return math.inf if self._late else 0.0


class RecordFirstClient(LLMClient):
    """Answers a request with the first line of its deliberation that asks the same and was not taken yet, else asks.

    `reused` counts requests that were known, `sent_count` those that were not; their answers took `service_ms`. Where a line says that its answer came too
    late, the time of this deliberation ends, as it did then.
    """

    def __init__(self, backend: LLMBackend, settings: LLMSettings) -> None:
        super().__init__(backend, settings, self._time)
        self._lines: list[TranscriptEntry] = []
        self._late = False
        self.reused = self.sent_count = 0
        self.service_ms = 0.0

    def begin(self, lines: Sequence[TranscriptEntry]) -> None:
        """The next deliberation is one of which these lines are known."""
        self._lines, self._late = [line for line in lines if line.request], False

    async def send(self, request: LLMRequest, deadline: float) -> Attempt:
        """What is known; else what the model says."""
        line = self._known(request_bytes(request))
        if line is None:
            self.sent_count += 1
            sent = await super().send(request, deadline)
            self.service_ms += sent.response.service_ms if sent.response else 0.0
            return sent
        self.reused += 1
        self._lines.remove(line)
        self._late = line.response is not None and line.outcome == DEADLINE
        return Attempt(line.response, line.outcome, line.failure, line.tries)

    def _known(self, wanted: bytes) -> TranscriptEntry | None:
        return next((line for line in self._lines if request_bytes(line) == wanted), None)

    def _time(self) -> float:
        return math.inf if self._late else monotonic_ns() / 1e9


class RecordedVerdicts:
    """A cache that holds what the line of one deliberation says: nothing, or the verdict that was found.

    That it was there is believed, as what a model said is; not that it was about this question, or still held.
    """

    def __init__(self) -> None:
        self.verdict: CachedVerdict | None = None

    async def get(self, key: str, at_ns: int, deadline_s: float | None = None) -> CachedVerdict | None:  # noqa: ARG002
        """The recorded verdict, if it is about this."""
        found = self.verdict
        return found if found and found.key == key and found.valid_at(at_ns) else None

    async def put(self, verdict: CachedVerdict) -> None:
        """Nobody else reads."""

    async def abandon(self, key: str) -> None:
        """Nobody else waits."""

    async def close(self) -> None:
        """Nothing is open."""

"""Senders that take a model's answers from a transcript and repeat all other steps.

Rendering, validation and the one repair run as in a live run. Taken from the record are the model's answers
and failures, and the reasons why a request was not sent or its answer came too late: these depend on a clock,
on other requests and on a server, which a replay does not have.
"""

import math
from collections.abc import Sequence

from autohedge.llm import context_window
from autohedge.llm.backend import LLMBackend, LLMError, LLMRequest, LLMResponse
from autohedge.llm.cache.memory import CachedVerdict
from autohedge.llm.policy import Budget
from autohedge.llm.senders import DEADLINE, Attempt, Sender
from autohedge.llm.transcript import TranscriptEntry, request_bytes

UNRECORDED = "unrecorded"
OVERFLOW = "context_overflow"


class NullBackend:
    """A backend that never answers, for senders that send no requests."""

    def __init__(self, name: str = "replay", model: str = "replay", server: str = "replay") -> None:
        self.name, self.model, self.server = name, model, server

    async def complete(self, request: LLMRequest) -> LLMResponse:  # noqa: ARG002
        """Always raises LLMError."""
        raise LLMError("unreachable", "a replay sends no requests")

    async def close(self) -> None:
        """Does nothing: there is no connection."""


class ReplaySender:
    """Answers the n-th request of a deliberation from the n-th recorded line.

    The caller compares the requests with those of the record. The sender's time stands still; it becomes
    infinite where the record has an answer that came too late. `backend` names the one that gave the answers.
    """

    def __init__(self, context_tokens: int, backend: NullBackend | None = None) -> None:
        self.backend = backend or NullBackend()
        self.budget = Budget(0, 0)
        self._context_tokens = context_tokens
        self._lines: Sequence[TranscriptEntry] = ()
        self._turn = 0
        self._late = False

    def begin(self, lines: Sequence[TranscriptEntry]) -> None:
        """Starts the deliberation that these lines record."""
        self._lines, self._turn, self._late = lines, 0, False

    def now(self) -> float:
        """Returns 0 until a recorded answer came too late."""
        return math.inf if self._late else 0.0

    def refusal(self, request: LLMRequest) -> Attempt | None:  # noqa: ARG002
        """Returns None: the record shows which limits applied."""
        return None

    async def send(self, request: LLMRequest, deadline: float) -> Attempt:  # noqa: ARG002
        """Returns the recorded result; code `unrecorded` if the record has no such request."""
        if self._turn >= len(self._lines):
            return Attempt(None, UNRECORDED, "the record holds no such request")
        line = self._lines[self._turn]
        self._turn += 1
        self._late = line.response is not None and line.outcome == DEADLINE
        # Of the reasons for not sending, only the context check can be repeated. A line without tries may
        # have been refused before it (budget, breaker, deadline): then the recorded reason is returned.
        too_long = context_window.overflow_error(request, self._context_tokens)
        if too_long and (line.tries or line.outcome == OVERFLOW):
            return Attempt(None, OVERFLOW, too_long)
        if line.outcome == OVERFLOW and not (too_long or line.tries):
            return Attempt(None, UNRECORDED, "the request fits the context")
        return Attempt(line.response, line.outcome, line.failure, line.tries)


class RecordFirstSender:
    """Answers a request from the first unused recorded line with an equal request, else sends it.

    `reused` counts requests that were in the record, `sent_count` those that were sent, whose answers took
    `service_ms`. Where a line has an answer that came too late, the time of the deliberation ends, as it did
    in the record.
    """

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._lines: list[TranscriptEntry] = []
        self._late = False
        self.reused = self.sent_count = 0
        self.service_ms = 0.0

    @property
    def backend(self) -> LLMBackend:
        """The backend of requests that are not in the record."""
        return self._sender.backend

    @property
    def budget(self) -> Budget:
        """The budget of the requests that are sent."""
        return self._sender.budget

    def begin(self, lines: Sequence[TranscriptEntry]) -> None:
        """Starts a deliberation whose recorded lines are these."""
        self._lines, self._late = [line for line in lines if line.request], False

    def now(self) -> float:
        """Returns the time of the sender, infinite once a recorded answer came too late."""
        return math.inf if self._late else self._sender.now()

    def refusal(self, request: LLMRequest) -> Attempt | None:
        """Returns why a request must not be sent, or None; the record has the answer to one that it knows."""
        # The budget and the breaker are those of requests that are sent.
        return None if self._known(request_bytes(request)) else self._sender.refusal(request)

    async def send(self, request: LLMRequest, deadline: float) -> Attempt:
        """Returns the recorded result of an equal request, else the model's."""
        line = self._known(request_bytes(request))
        if line is None:
            self.sent_count += 1
            sent = await self._sender.send(request, deadline)
            self.service_ms += sent.response.service_ms if sent.response else 0.0
            return sent
        self.reused += 1
        self._lines.remove(line)
        self._late = line.response is not None and line.outcome == DEADLINE
        return Attempt(line.response, line.outcome, line.failure, line.tries)

    def _known(self, wanted: bytes) -> TranscriptEntry | None:
        return next((line for line in self._lines if request_bytes(line) == wanted), None)


class RecordedVerdicts:
    """A verdict cache with the recorded cache hit of one deliberation, if it had one.

    The content of the verdict is trusted like a recorded answer. Its key and its validity are checked; the key
    is not with `checks_keys` false, for a record of another schema, whose version is part of each key.
    """

    def __init__(self, *, checks_keys: bool = True) -> None:
        self.verdict: CachedVerdict | None = None
        self._checks_keys = checks_keys

    async def get(
        self,
        key: str,
        at_ns: int,
        deadline_s: float | None = None,  # noqa: ARG002
    ) -> CachedVerdict | None:
        """Returns the recorded verdict if its key matches and it is valid at `at_ns`."""
        found = self.verdict
        if found is None or (self._checks_keys and found.key != key):
            return None
        return found if found.valid_at(at_ns) else None

    async def put(self, verdict: CachedVerdict) -> None:
        """Does nothing: there are no other readers."""

    async def abandon(self, key: str) -> None:
        """Does nothing: there are no other readers."""

    async def close(self) -> None:
        """Does nothing: there is no connection."""

"""How a client's requests are sent: `Sender`, and the senders to a server, on a clock and on a tape."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from autohedge.config.sections import NO_MODELS, LLMSettings
from autohedge.core.clock import monotonic_s
from autohedge.core.ids import Randomness, fresh_nonce, seeded_random
from autohedge.core.log import warn
from autohedge.core.redaction import redacted
from autohedge.llm import context_window
from autohedge.llm.backend import LLMBackend, LLMError, LLMRequest, LLMResponse, Usage, answer_tokens
from autohedge.llm.parsing import one_line
from autohedge.llm.policy import OF_THE_REQUEST, Breaker, Budget, Retries, sleep
from autohedge.llm.redaction import clean_response
from autohedge.llm.usage import usage_of

FAILURE_CHARS = 300
DEADLINE = "deadline"
LATE_TEXT = "the deadline passed before the answer came"


@dataclass(slots=True)
class Attempt:
    """The result of sending a request: the response, or the code and the description of the failure."""

    response: LLMResponse | None = None
    code: str = ""
    text: str = ""
    tries: int = 0


class Sender(Protocol):
    """Sends the requests of a client: to a server, or to a record in its place.

    `budget` counts what was sent. Deadlines are in the sender's own time.
    """

    @property
    def backend(self) -> LLMBackend:
        """The backend that the answers come from."""
        ...

    @property
    def budget(self) -> Budget:
        """The budget of the run, and its usage so far."""
        ...

    def now(self) -> float:
        """Returns the sender's monotonic time in seconds."""
        ...

    def refusal(self, request: LLMRequest) -> Attempt | None:
        """Returns why a request must not be sent, or None."""
        ...

    async def send(self, request: LLMRequest, deadline: float) -> Attempt:
        """Sends a request; failures of model and server never raise."""
        ...


class _Broken(Exception):
    """A backend raised an exception other than LLMError."""


class _Spent(Exception):
    """The budget does not allow a further try."""


class ServerSender:
    """Sends requests to a backend within budget, circuit breaker, context window and retries.

    `now` is monotonic, in seconds; `pause` waits between tries. `breaker` replaces that of the settings.
    """

    def __init__(
        self,
        backend: LLMBackend,
        settings: LLMSettings,
        now: Callable[[], float] = monotonic_s,
        *,
        pause: Callable[[float], Awaitable[None]] = sleep,
        jitter: Randomness | None = None,
        breaker: Breaker | None = None,
    ) -> None:
        self.backend = backend
        self.budget = Budget(settings.max_calls, settings.max_tokens, settings.max_cost_usd)
        self.now = now
        self._context_tokens = settings.context_tokens
        jitter = jitter or seeded_random(fresh_nonce(), "retries")
        self._retries = Retries(settings.retries, now, jitter, pause)
        self._breaker = breaker or Breaker(settings.breaker_failures, settings.breaker_pause_s, now)
        self._read_prompts = context_window.ReadPrompts()

    def refusal(self, request: LLMRequest, *, waits: bool = False) -> Attempt | None:
        """Returns why a request must not be sent, or None.

        An open breaker is no reason for a caller that `waits` for the server.
        """
        # In this order: the first reason is the one that is reported.
        reasons = {
            "budget": self.budget.reason_blocked(self._worst_usage(request), request.model),
            "breaker_open": "" if waits else self._breaker.reason_blocked(),
            "context_overflow": context_window.overflow_error(request, self._context_tokens),
        }
        return next((Attempt(None, code, text) for code, text in reasons.items() if text), None)

    async def send(self, request: LLMRequest, deadline: float, *, waits: bool = False) -> Attempt:
        """Sends a request under budget, breaker and retries; `waits` is as in `refusal`."""
        if self.now() >= deadline:
            return Attempt(None, DEADLINE, LATE_TEXT)
        refused = self.refusal(request, waits=waits)
        if refused is not None:
            return refused
        # Every way out must leave the breaker: a trial that stays open would block all calls for ever.
        sent, trial = Attempt(), self._breaker.enter()
        try:
            await self._send_with_retries(request, sent, deadline)
        finally:
            self._breaker.leave(trial=trial)
        self._notify_breaker(sent, trial=trial)
        return sent

    def _worst_usage(self, request: LLMRequest) -> Usage:
        return Usage(context_window.prompt_tokens(request), answer_tokens(self.backend, request))

    def _notify_breaker(self, sent: Attempt, *, trial: bool) -> None:
        """Reports to the breaker what a call showed about the server."""
        # A deadline or budget of our own shows nothing about the server.
        if sent.response is not None or sent.code in OF_THE_REQUEST:
            self._breaker.on_success()
        elif sent.code not in {DEADLINE, "budget"}:
            self._breaker.on_failure(trial=trial)

    async def _send_with_retries(self, request: LLMRequest, sent: Attempt, deadline: float) -> None:
        async def once() -> LLMResponse:
            # Each try by itself: the sender's time may stand still during the pauses between them.
            async with asyncio.timeout(None if math.isinf(deadline) else deadline - self.now()):
                return await self._attempt(request, sent)

        try:
            sent.response = await self._retries.run(once, deadline)
        except LLMError as failure:
            sent.code, sent.text = failure.code, _error_line(failure)
        except _Broken as broken:
            sent.code, sent.text = "backend_error", _error_line(broken)
        except _Spent as spent:
            sent.code, sent.text = "budget", str(spent)
        except TimeoutError:
            sent.code, sent.text = DEADLINE, LATE_TEXT

    async def _attempt(self, request: LLMRequest, sent: Attempt) -> LLMResponse:
        # Checked for each try: other calls may have used up the budget during the pause.
        worst = self._worst_usage(request)
        spent = self.budget.reason_blocked(worst, request.model)
        if spent:
            raise _Spent(spent)
        sent.tries += 1
        self.budget.reserve(worst, request.model)
        response: LLMResponse | None = None
        try:
            response = await self._complete(request)
        finally:
            self.budget.settle(worst, usage_of(request, response), request.model)
        return response

    async def _complete(self, request: LLMRequest) -> LLMResponse:
        try:
            async with asyncio.timeout(request.timeout_s or None) as limit:
                response = clean_response(await self.backend.complete(request))
                return self._read_prompts.counted(request, response)
        except LLMError:
            raise
        except Exception as error:
            # A backend may raise a TimeoutError of its own, which is an error in the backend.
            if isinstance(error, TimeoutError) and limit.expired():
                raise LLMError("timeout", _over_time(request)) from None
            raise _Broken(f"{type(error).__name__}: {error}") from error


class TapeSender:
    """A sender to a server that waits while the circuit breaker is open, at most `llm.max_wait_s` in all.

    The tape stands still meanwhile, so that an outage costs time and not the rest of the tape. Pauses of the
    breaker and before retries do not count towards the deadline of a deliberation.
    """

    def __init__(
        self, backend: LLMBackend, settings: LLMSettings, notify: Callable[[str], None] = warn
    ) -> None:
        self.backend = backend
        # Its pause must end while the sender's own time stands still.
        self._breaker = Breaker(settings.breaker_failures, settings.breaker_pause_s, monotonic_s)
        self._server = ServerSender(backend, settings, self.now, pause=self._rest, breaker=self._breaker)
        self._notify = notify
        self._max_wait_s = self._left_s = 0.0 if backend.name in NO_MODELS else settings.max_wait_s
        self._rested_s = 0.0
        self._outage = asyncio.Lock()

    @property
    def budget(self) -> Budget:
        """The budget of the run, and its usage so far."""
        return self._server.budget

    def now(self) -> float:
        """Returns the monotonic time in seconds, less all pauses."""
        return monotonic_s() - self._rested_s

    def refusal(self, request: LLMRequest) -> Attempt | None:
        """Returns why a request must not be sent, or None."""
        return self._server.refusal(request, waits=self._left_s > 0)

    async def send(self, request: LLMRequest, deadline: float) -> Attempt:
        """Sends a request, after the breaker's pause if there is one."""
        if not self._breaker.reason_blocked():
            return await self._server.send(request, deadline)
        # One at a time, until the trial call of the first has shown whether the server is back.
        async with self._outage:
            await self._wait_for_trial()
            return await self._server.send(request, deadline, waits=self._left_s > 0)

    async def _wait_for_trial(self) -> None:
        wait_s = min(self._breaker.wait_s, self._left_s)
        if not wait_s:
            return
        so_far = f"{self._max_wait_s - self._left_s:.0f} of llm.max_wait_s = {self._max_wait_s:g} s so far"
        self._notify(f"{self._breaker.reason_blocked()}; the tape waits meanwhile ({so_far})")
        await self._rest(wait_s)
        self._left_s -= wait_s

    async def _rest(self, seconds: float) -> None:
        began_s = monotonic_s()
        await sleep(seconds)
        self._rested_s += monotonic_s() - began_s


def _over_time(request: LLMRequest) -> str:
    return (
        f"{request.agent} had no answer in {request.timeout_s:g} s; "
        "raise its timeout_s or name it a smaller model"
    )


def _error_line(error: Exception) -> str:
    return one_line(redacted(str(error)), FAILURE_CHARS)

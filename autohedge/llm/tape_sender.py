"""The sender of a run on a tape, which waits for a server that has failed."""

import asyncio
from collections.abc import Callable

from autohedge.config.sections import NO_MODELS, LLMSettings
from autohedge.core.clock import monotonic_s
from autohedge.core.log import warn
from autohedge.llm.backend import LLMBackend, LLMRequest
from autohedge.llm.policy import Breaker, Budget, sleep
from autohedge.llm.senders import Attempt, ServerSender


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

"""How often a model is asked: retries of what may pass, a breaker for a server that is down, a budget."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from autohedge.core.ids import Randomness
from autohedge.llm.backend import RETRYABLE, LLMError, Usage
from autohedge.llm.usage import TokenUsage

if TYPE_CHECKING:
    from tenacity import RetryCallState

Reply = TypeVar("Reply")
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 60.0
OF_THE_REQUEST = frozenset({"bad_request", "context_overflow"})


async def sleep(seconds: float) -> None:
    """Let `seconds` of the machine's clock pass."""
    over = asyncio.Event()
    alarm = asyncio.get_running_loop().call_later(seconds, over.set)
    try:
        await over.wait()
    finally:
        alarm.cancel()


class Retries:
    """Asks again after what may pass: `retries` times, each pause about twice as long, or as the server says.

    A pause that would end after the deadline, or last over a minute, is not begun: the failure stands.
    """

    def __init__(
        self,
        retries: int,
        now: Callable[[], float],
        jitter: Randomness,
        pause: Callable[[float], Awaitable[None]] = sleep,
    ) -> None:
        self._retries, self._now, self._jitter, self._pause = retries, now, jitter, pause

    async def run(self, once: Callable[[], Awaitable[Reply]], deadline: float) -> Reply:
        """The first reply that comes. Raises what the last try raised."""
        from tenacity import AsyncRetrying, retry_if_exception

        def given_up(state: "RetryCallState") -> bool:
            wait_s = state.upcoming_sleep
            late = self._now() + wait_s >= deadline or wait_s > LONGEST_PAUSE_S
            return late or state.attempt_number > self._retries

        retrying = AsyncRetrying(
            retry=retry_if_exception(_may_pass),
            wait=self._wait_s,
            stop=given_up,
            sleep=self._pause,
            reraise=True,
        )
        return await retrying(once)

    def _wait_s(self, state: "RetryCallState") -> float:
        failure = state.outcome.exception() if state.outcome else None
        after_s = failure.after_s if isinstance(failure, LLMError) else 0.0
        own_s = FIRST_PAUSE_S * 2.0 ** (state.attempt_number - 1) * self._jitter.uniform(0.5, 1.0)
        return max(own_s, after_s)


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, LLMError) and error.code in RETRYABLE


class Breaker:
    """Stops calls to a server after `failures` in a row, for `pause_s`; then one trial call decides.

    Only what speaks against the server counts, not a bad answer or a request that it rightly refused.
    """

    def __init__(self, failures: int, pause_s: float, now: Callable[[], float]) -> None:
        self._limit, self._pause_s, self._now = failures, pause_s, now
        self._failures = 0
        self._until: float | None = None
        self._trial = False

    def reason_blocked(self) -> str:
        """Why no call may leave now; empty if one may."""
        if self._until is None or (self._now() >= self._until and not self._trial):
            return ""
        if self._trial:
            return f"the model failed {self._failures} times in a row; one call tries whether it is back"
        wait_s = self._until - self._now()
        return f"the model failed {self._failures} times in a row; no call for another {wait_s:.1f} s"

    def enter(self) -> bool:
        """A call leaves; true if it is the trial, which every end of the call must be told."""
        trial = self._until is not None and not self._trial
        self._trial = self._trial or trial
        return trial

    def on_success(self) -> None:
        """The server does its work."""
        self._failures, self._until, self._trial = 0, None, False

    def on_failure(self, *, trial: bool) -> None:
        """The server did not do its work."""
        self._failures += 1
        if trial or (self._until is None and self._failures >= self._limit):
            self._until = self._now() + self._pause_s
        self.leave(trial=trial)

    def leave(self, *, trial: bool) -> None:
        """A call ended without showing anything about the server."""
        self._trial = self._trial and not trial


class Budget:
    """What one run may ask for: requests, retries included, and tokens read and written; 0 is no limit.

    What a request may cost at most is set aside before it leaves, so that no limit is passed by calls that
    run at the same time.
    """

    def __init__(self, max_calls: int, max_tokens: int) -> None:
        self._max_calls, self._max_tokens = max_calls, max_tokens
        self._aside = 0
        self.calls = 0
        self.prompt_tokens = 0
        self.completion_tokens = 0

    def reason_blocked(self, worst_tokens: int) -> str:
        """Why a request that may cost so many tokens may not leave; empty if it may."""
        if self._max_calls and self.calls >= self._max_calls:
            return f"all {self._max_calls} calls of this run are spent: raise llm.max_calls"
        spent = self.prompt_tokens + self.completion_tokens + self._aside
        if self._max_tokens and spent + worst_tokens > self._max_tokens:
            return f"{spent} of {self._max_tokens} tokens are spent, this may take {worst_tokens}: raise llm.max_tokens"
        return ""

    def add_usage(self, spent: TokenUsage) -> None:
        """Go on with what was spent before."""
        self.calls += spent.calls
        self.prompt_tokens += spent.prompt_tokens
        self.completion_tokens += spent.completion_tokens

    def reserve(self, worst_tokens: int) -> None:
        """A request leaves: set aside what it may cost."""
        self.calls += 1
        self._aside += worst_tokens

    def settle(self, worst_tokens: int, used: Usage) -> None:
        """It came to an end, and cost this."""
        self._aside -= worst_tokens
        self.prompt_tokens += used.prompt_tokens
        self.completion_tokens += used.completion_tokens

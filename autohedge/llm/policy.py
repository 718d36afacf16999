"""Limits of calls to a model: retries of temporary failures, a circuit breaker, and a budget."""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import TYPE_CHECKING, TypeVar

from autohedge.core.ids import Randomness
from autohedge.core.money import ZERO, add, subtract
from autohedge.llm.backend import RETRYABLE, LLMError, Usage
from autohedge.llm.prices import NO_PRICES
from autohedge.llm.usage import NO_USAGE, TokenUsage

if TYPE_CHECKING:
    from tenacity import RetryCallState

Reply = TypeVar("Reply")
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 60.0
OF_THE_REQUEST = frozenset({"bad_request", "context_overflow"})


async def sleep(seconds: float) -> None:
    """Waits for `seconds` of the machine's clock."""
    # `asyncio.sleep` is banned by the linter, so that no engine code waits on it by accident.
    over = asyncio.Event()
    alarm = asyncio.get_running_loop().call_later(seconds, over.set)
    try:
        await over.wait()
    finally:
        alarm.cancel()


class Retries:
    """Retries temporary failures up to `retries` times.

    Each pause is about twice as long as the one before, or as long as the server's Retry-After. A pause that
    would end after the deadline or last longer than a minute is not started: the failure is final.
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
        """Returns the first reply. Raises the exception of the last try."""
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
        # Jitter, so that requests that failed together are not retried together.
        own_s = FIRST_PAUSE_S * 2.0 ** (state.attempt_number - 1) * self._jitter.uniform(0.5, 1.0)
        return max(own_s, after_s)


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, LLMError) and error.code in RETRYABLE


class Breaker:
    """A circuit breaker: blocks calls for `pause_s` after `failures` in a row; then one trial call decides.

    Only failures of the server count, not invalid answers or requests that it rejected for good reason.
    """

    def __init__(self, failures: int, pause_s: float, now: Callable[[], float]) -> None:
        self._limit, self._pause_s, self._now = failures, pause_s, now
        self._failures = 0
        self._until: float | None = None
        self._trial = False

    def reason_blocked(self) -> str:
        """Returns why no call may be sent now, or an empty string."""
        if self._until is None or (self._now() >= self._until and not self._trial):
            return ""
        if self._trial:
            return f"the model failed {self._failures} times in a row; one call tries whether it is back"
        return f"the model failed {self._failures} times in a row; no call for another {self.wait_s:.1f} s"

    @property
    def wait_s(self) -> float:
        """The seconds until a trial call may be sent; 0 if it may be sent now."""
        return max(self._until - self._now(), 0.0) if self._until is not None else 0.0

    def enter(self) -> bool:
        """Registers a call; returns whether it is the trial call, to be passed on when the call ends."""
        trial = self._until is not None and not self._trial
        self._trial = self._trial or trial
        return trial

    def on_success(self) -> None:
        """Records a call that the server handled, which closes the breaker."""
        self._failures, self._until, self._trial = 0, None, False

    def on_failure(self, *, trial: bool) -> None:
        """Records a call that the server failed to handle."""
        self._failures += 1
        # While the breaker is open only the trial prolongs it, not calls that were sent before it opened.
        if trial or (self._until is None and self._failures >= self._limit):
            self._until = self._now() + self._pause_s
        self.leave(trial=trial)

    def leave(self, *, trial: bool) -> None:
        """Ends a call that showed nothing about the server; only after the trial may another trial start."""
        self._trial = self._trial and not trial


class Budget:
    """The budget of one run: requests including retries, tokens read and written, and money; 0 means no limit.

    The largest possible usage of a request is reserved before it is sent, so that concurrent calls cannot
    exceed a limit together. `prices` turn usage into money.
    """

    def __init__(self, max_calls: int, max_tokens: int, max_cost_usd: Decimal = ZERO) -> None:
        self._max_calls, self._max_tokens, self._max_cost_usd = max_calls, max_tokens, max_cost_usd
        self._aside, self._aside_usd = 0, ZERO
        self.prices = NO_PRICES
        self.spent = NO_USAGE

    def reason_blocked(self, worst: Usage, model: str = "") -> str:
        """Returns why a request of up to `worst` tokens may not be sent, or an empty string."""
        if self._max_calls and self.spent.calls >= self._max_calls:
            return f"all {self._max_calls} calls of this run are spent: raise llm.max_calls"
        return self._tokens_blocked(_tokens(worst)) or self._cost_blocked(model, worst)

    def _tokens_blocked(self, worst_tokens: int) -> str:
        spent = self.spent.prompt_tokens + self.spent.completion_tokens + self._aside
        if self._max_tokens and spent + worst_tokens > self._max_tokens:
            return (
                f"{spent} of {self._max_tokens} tokens are spent, this may take {worst_tokens}: "
                "raise llm.max_tokens"
            )
        return ""

    def _cost_blocked(self, model: str, worst: Usage) -> str:
        if not self._max_cost_usd:
            return ""
        spent, worst_usd = add(self.spent.cost_usd, self._aside_usd), self.prices.largest_cost(model, worst)
        if spent < self._max_cost_usd and add(spent, worst_usd) <= self._max_cost_usd:
            return ""
        return (
            f"{spent:f} of {self._max_cost_usd:f} USD are spent, this may cost {worst_usd:f}: "
            "raise llm.max_cost_usd"
        )

    def add_usage(self, spent: TokenUsage) -> None:
        """Adds earlier usage of the same run."""
        self.spent += spent

    def reserve(self, worst: Usage, model: str = "") -> None:
        """Counts a request that is about to be sent, and reserves its largest possible usage."""
        self.spent += TokenUsage(calls=1)
        self._aside += _tokens(worst)
        self._aside_usd = add(self._aside_usd, self.prices.largest_cost(model, worst))

    def settle(self, worst: Usage, used: Usage, model: str = "") -> None:
        """Replaces a reservation by the actual usage."""
        self._aside -= _tokens(worst)
        self._aside_usd = subtract(self._aside_usd, self.prices.largest_cost(model, worst))
        cost_usd = self.prices.cost(model, used) or ZERO
        self.spent += TokenUsage(0, used.prompt_tokens, used.completion_tokens, cost_usd)


def _tokens(usage: Usage) -> int:
    return usage.prompt_tokens + usage.completion_tokens

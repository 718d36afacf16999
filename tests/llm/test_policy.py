"""Retries, breaker and budget: limits of the calls to a server, whatever it answers."""

import asyncio
from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import astuple

from autohedge.config.model_settings import ModelSettings
from autohedge.core.ids import seeded_random
from autohedge.llm.backend import RETRYABLE, FailureCode, LLMError, Usage
from autohedge.llm.policy import LONGEST_PAUSE_S, Breaker, Budget, Retries, sleep
from autohedge.llm.prices import PriceTable
from autohedge.llm.usage import TokenUsage
from tests.llm.request_factory import Clock

FINAL: tuple[FailureCode, ...] = (
    "bad_request",
    "certificate",
    "unauthorized",
    "quota",
    "model_gone",
    "context_overflow",
    "garbage_reply",
)


class Tries:
    """Fails in turn as specified, then answers; records the times of the tries."""

    def __init__(self, clock: Clock, failures: Sequence[Exception]) -> None:
        self._clock, self._failures = clock, list(failures)
        self.at_s: list[float] = []

    async def __call__(self) -> str:
        self.at_s.append(self._clock())
        if self._failures:
            raise self._failures.pop(0)
        return "reply"


def tried(
    failures: Sequence[Exception], retries: int = 2, deadline: float = float("inf")
) -> tuple[str, list[float]]:
    clock = Clock()
    tries = Tries(clock, failures)
    policy = Retries(retries, clock, seeded_random("n", "jitter"), clock.pause)

    async def once() -> str:
        return await tries()

    try:
        return asyncio.run(policy.run(once, deadline)), tries.at_s
    except LLMError as failure:
        return failure.code, tries.at_s


@pytest.mark.parametrize("code", sorted(RETRYABLE))
def test_retryable_failure_is_retried(code: FailureCode) -> None:
    reply, at_s = tried([LLMError(code, "busy")])
    assert reply == "reply" and len(at_s) == 2


@pytest.mark.parametrize("code", FINAL)
def test_final_failure_is_not_retried(code: FailureCode) -> None:
    assert tried([LLMError(code, "no")]) == (code, [0.0])


def test_other_exception_is_not_retried() -> None:
    with pytest.raises(ValueError, match="ours"):
        tried([ValueError("ours")])


@settings(deadline=None)
@given(st.integers(0, 5), st.integers(0, 8))
def test_retries_are_limited_to_allowed_number(retries: int, failures: int) -> None:
    reply, at_s = tried([LLMError("timeout", "slow")] * failures, retries)
    assert len(at_s) == min(failures, retries) + 1
    assert reply == ("timeout" if failures > retries else "reply")


def test_pauses_grow_and_are_jittered() -> None:
    _, at_s = tried([LLMError("timeout", "slow")] * 4, retries=4)
    for number, (before, after) in enumerate(pairwise(at_s)):
        assert 0.25 * 2**number <= after - before <= 0.5 * 2**number


def test_retry_waits_as_long_as_server_requests() -> None:
    _, at_s = tried([LLMError("rate_limited", "slow down", after_s=7.0)])
    assert at_s == [0.0, 7.0]


@pytest.mark.parametrize(
    ("after_s", "deadline"), [(7.0, 7.0), (0.0, 0.1), (LONGEST_PAUSE_S + 1, float("inf"))]
)
def test_no_pause_goes_beyond_the_deadline_or_a_minute(after_s: float, deadline: float) -> None:
    assert tried([LLMError("rate_limited", "no", after_s)], deadline=deadline) == ("rate_limited", [0.0])


def test_sleep_returns_within_timeout() -> None:
    asyncio.run(asyncio.wait_for(sleep(0.001), 5.0))


def broken(clock: Callable[[], float], failures: int = 3) -> Breaker:
    breaker = Breaker(3, 10.0, clock)
    for _ in range(failures):
        breaker.on_failure(trial=breaker.enter())
    return breaker


def test_failures_in_a_row_open_the_breaker() -> None:
    assert not broken(Clock(), 2).reason_blocked()
    assert "no call for another 10.0 s" in broken(Clock(), 3).reason_blocked()


def test_answer_between_failures_leaves_breaker_closed() -> None:
    breaker = broken(Clock(), 2)
    breaker.on_success()
    breaker.on_failure(trial=False)
    assert not breaker.reason_blocked()


def test_breaker_after_pause_admits_one_call() -> None:
    clock = Clock()
    breaker = broken(clock)
    clock.now_s = 10.0
    assert not breaker.reason_blocked()
    assert breaker.enter()
    assert "one call tries" in breaker.reason_blocked()


def test_half_open_call_answered_closes_breaker() -> None:
    clock = Clock()
    breaker = broken(clock)
    clock.now_s = 10.0
    breaker.enter()
    breaker.on_success()
    assert not breaker.reason_blocked() and not breaker.enter()


def test_half_open_call_failed_reopens_breaker_for_another_pause() -> None:
    clock = Clock()
    breaker = broken(clock)
    clock.now_s = 10.0
    breaker.on_failure(trial=breaker.enter())
    clock.now_s = 19.9
    assert breaker.reason_blocked()
    clock.now_s = 20.0
    assert not breaker.reason_blocked()


def test_half_open_call_abandoned_admits_another_call() -> None:
    clock = Clock()
    breaker = broken(clock)
    clock.now_s = 10.0
    breaker.leave(trial=breaker.enter())
    assert not breaker.reason_blocked() and breaker.enter()


def test_late_failure_of_old_call_does_not_end_half_open_call() -> None:
    clock = Clock()
    breaker = broken(clock)
    clock.now_s = 10.0
    breaker.enter()
    breaker.on_failure(trial=False)
    assert "one call tries" in breaker.reason_blocked()


def test_budget_of_zero_is_unlimited() -> None:
    budget = Budget(0, 0)
    budget.reserve(Usage(10**9, 0))
    assert not budget.reason_blocked(Usage(10**9, 0))


def test_calls_are_limited() -> None:
    budget = Budget(1, 0)
    assert not budget.reason_blocked(Usage(4, 1))
    budget.reserve(Usage(4, 1))
    assert "llm.max_calls" in budget.reason_blocked(Usage(4, 1))


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 50), st.booleans())), st.integers(1, 300))
def test_token_budget_with_concurrent_calls_is_never_exceeded(
    calls: list[tuple[int, int, bool]], limit: int
) -> None:
    budget, running = Budget(0, limit), []
    for most, used, wait in calls:
        worst = Usage(most, 0)
        if not budget.reason_blocked(worst):
            budget.reserve(worst)
            running.append((worst, Usage(min(used, most), 0)))
        while running and not wait:
            budget.settle(*running.pop())
        spent = budget.spent.prompt_tokens + budget.spent.completion_tokens
        assert spent + sum(worst.prompt_tokens for worst, _ in running) <= limit


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 50), st.booleans())), st.integers(1, 300))
def test_cost_budget_with_concurrent_calls_is_never_exceeded(
    calls: list[tuple[int, int, bool]], limit: int
) -> None:
    """One token costs one dollar."""
    budget, running = Budget(0, 0, Decimal(limit)), list[tuple[Usage, Usage]]()
    budget.prices = PriceTable({"m": ModelSettings(price_in=Decimal(10**6), price_out=Decimal(10**6))}, "m")
    for most, used, wait in calls:
        worst = Usage(most - 1, 1)
        if not budget.reason_blocked(worst):
            budget.reserve(worst)
            running.append((worst, Usage(min(used, most), 0)))
        while running and not wait:
            budget.settle(*running.pop())
        assert budget.spent.cost_usd + sum(sum(astuple(worst)) for worst, _ in running) <= limit


def test_a_spent_cost_budget_names_its_setting() -> None:
    budget = Budget(0, 0, Decimal("0.01"))
    budget.add_usage(TokenUsage(cost_usd=Decimal("0.01")))
    assert budget.reason_blocked(Usage(5, 5)) == (
        "0.01 of 0.01 USD are spent, this may cost 0: raise llm.max_cost_usd"
    )

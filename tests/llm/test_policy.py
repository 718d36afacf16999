"""Retries, breaker and budget: how often a server is asked, whatever it does."""

import asyncio
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autohedge.core.ids import randomness
from autohedge.llm.backend import RETRIED, Code, ModelFailure, Usage
from autohedge.llm.policy import LONGEST_PAUSE_S, Breaker, Budget, Retries, pause
from tests.llm.questions import Clock

FINAL: tuple[Code, ...] = ("bad_request", "unauthorized", "model_gone", "context_overflow", "garbage_reply")


class Tries:
    """Fails in turn as told, then answers; keeps when it was tried."""

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
    policy = Retries(retries, clock, randomness("n", "jitter"), clock.pause)

    async def once() -> str:
        return await tries()

    try:
        return asyncio.run(policy.run(once, deadline)), tries.at_s
    except ModelFailure as failure:
        return failure.code, tries.at_s


@pytest.mark.parametrize("code", sorted(RETRIED))
def test_what_may_pass_is_tried_again(code: Code) -> None:
    reply, at_s = tried([ModelFailure(code, "busy")])
    assert reply == "reply" and len(at_s) == 2


@pytest.mark.parametrize("code", FINAL)
def test_what_will_not_pass_is_not_tried_again(code: Code) -> None:
    assert tried([ModelFailure(code, "no")]) == (code, [0.0])


def test_other_errors_are_not_tried_again() -> None:
    with pytest.raises(ValueError, match="ours"):
        tried([ValueError("ours")])


@settings(deadline=None)
@given(st.integers(0, 5), st.integers(0, 8))
def test_it_is_tried_once_and_then_as_often_as_allowed(retries: int, failures: int) -> None:
    reply, at_s = tried([ModelFailure("timeout", "slow")] * failures, retries)
    assert len(at_s) == min(failures, retries) + 1
    assert reply == ("timeout" if failures > retries else "reply")


def test_pauses_grow_and_are_jittered() -> None:
    _, at_s = tried([ModelFailure("timeout", "slow")] * 4, retries=4)
    for number, (before, after) in enumerate(pairwise(at_s)):
        assert 0.25 * 2**number <= after - before <= 0.5 * 2**number


def test_a_server_that_says_when_is_believed() -> None:
    _, at_s = tried([ModelFailure("rate_limited", "slow down", after_s=7.0)])
    assert at_s == [0.0, 7.0]


@pytest.mark.parametrize(
    ("after_s", "deadline"), [(7.0, 7.0), (0.0, 0.1), (LONGEST_PAUSE_S + 1, float("inf"))]
)
def test_no_pause_goes_beyond_the_deadline_or_a_minute(after_s: float, deadline: float) -> None:
    assert tried([ModelFailure("rate_limited", "no", after_s)], deadline=deadline) == ("rate_limited", [0.0])


def test_a_pause_lets_time_pass() -> None:
    asyncio.run(asyncio.wait_for(pause(0.001), 5.0))


def broken(clock: Callable[[], float], failures: int = 3) -> Breaker:
    breaker = Breaker(3, 10.0, clock)
    for _ in range(failures):
        breaker.failed(trial=breaker.begin())
    return breaker


def test_failures_in_a_row_open_the_breaker() -> None:
    assert not broken(Clock(), 2).refusal()
    assert "no call for another 10.0 s" in broken(Clock(), 3).refusal()


def test_an_answer_between_failures_keeps_it_closed() -> None:
    breaker = broken(Clock(), 2)
    breaker.answered()
    breaker.failed(trial=False)
    assert not breaker.refusal()


def test_after_the_pause_one_call_may_try() -> None:
    clock = Clock()
    breaker = broken(clock)
    clock.now_s = 10.0
    assert not breaker.refusal()
    assert breaker.begin()
    assert "one call tries" in breaker.refusal()


def test_a_trial_that_is_answered_closes_the_breaker() -> None:
    clock = Clock()
    breaker = broken(clock)
    clock.now_s = 10.0
    breaker.begin()
    breaker.answered()
    assert not breaker.refusal() and not breaker.begin()


def test_a_trial_that_fails_opens_it_for_another_pause() -> None:
    clock = Clock()
    breaker = broken(clock)
    clock.now_s = 10.0
    breaker.failed(trial=breaker.begin())
    clock.now_s = 19.9
    assert breaker.refusal()
    clock.now_s = 20.0
    assert not breaker.refusal()


def test_a_trial_that_ends_without_a_verdict_lets_another_try() -> None:
    clock = Clock()
    breaker = broken(clock)
    clock.now_s = 10.0
    breaker.left(trial=breaker.begin())
    assert not breaker.refusal() and breaker.begin()


def test_an_old_call_that_fails_late_does_not_end_the_trial() -> None:
    clock = Clock()
    breaker = broken(clock)
    clock.now_s = 10.0
    breaker.begin()
    breaker.failed(trial=False)
    assert "one call tries" in breaker.refusal()


def test_no_budget_is_no_limit() -> None:
    budget = Budget(0, 0)
    budget.take(10**9)
    assert not budget.refusal(10**9)


def test_calls_are_limited() -> None:
    budget = Budget(1, 0)
    assert not budget.refusal(5)
    budget.take(5)
    assert "llm.max_calls" in budget.refusal(5)


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 50), st.booleans())), st.integers(1, 300))
def test_tokens_never_pass_their_limit_whoever_runs_at_the_same_time(
    calls: list[tuple[int, int, bool]], limit: int
) -> None:
    budget, running = Budget(0, limit), []
    for worst, used, wait in calls:
        if not budget.refusal(worst):
            budget.take(worst)
            running.append((worst, Usage(min(used, worst), 0)))
        while running and not wait:
            budget.settle(*running.pop())
        assert budget.prompt_tokens + budget.completion_tokens + sum(worst for worst, _ in running) <= limit

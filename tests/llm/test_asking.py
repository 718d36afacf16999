"""Asking: one test for each way in which no answer comes, and none of them raises."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autohedge.llm.asking import QUOTED_CHARS, Asker
from autohedge.llm.backend import Code, ModelFailure, Request, Response, Usage
from autohedge.llm.context import certain_tokens, cut, overflow, prompt_tokens
from autohedge.llm.outcome import Outcome
from tests.llm.questions import GOOD, Clock, Reply, Script, Stuck, Verdict, asked, llm, said

PROSE = said("I would rather not say.")


class Desk:
    """An asker over a script, with a clock of its own."""

    def __init__(self, *replies: Reply, backend: Script | None = None, **changed: Any) -> None:
        self.clock = Clock()
        self.script = backend or Script(*replies)
        self.asker = Asker(self.script, llm(**changed), self.clock, pause=self.clock.pause)

    async def ask(self, **how: Any) -> Outcome[Verdict]:
        request = how.pop("request", asked())
        return await self.asker.ask(request, Verdict, lane=how.pop("lane", "gate"), **how)


def outcome(*replies: Reply, desk: Desk | None = None, **how: Any) -> Outcome[Verdict]:
    return asyncio.run((desk or Desk(*replies)).ask(**how))


def codes(got: Outcome[Verdict]) -> list[str]:
    return [call.outcome for call in got.calls]


def test_a_good_answer_is_accepted() -> None:
    got = outcome(said(GOOD))
    assert got.answer == Verdict(symbol="BTC/USD", action="trade", confidence=70)
    assert (got.code, codes(got)) == ("accepted", ["accepted"])
    assert (got.calls[0].parse, got.calls[0].tries) == ("direct", 1)


def test_a_bad_answer_is_sent_back_once_with_its_fault() -> None:
    desk = Desk(said("<think>hm</think>Buy!"), said(GOOD))
    got = outcome(desk=desk)
    assert got.answer and got.code == "repaired" and codes(got) == ["no_json", "repaired"]
    first, second = desk.script.requests
    assert second.messages[: len(first.messages)] == first.messages
    assert [(each.role, each.content) for each in second.messages[-2:-1]] == [("assistant", "Buy!")]
    assert second.messages[-1].role == "user" and got.calls[0].failure in second.messages[-1].content


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (PROSE, "no_json"),
        (said(GOOD, "length"), "truncated"),
        (said(""), "empty"),
        (said("{}"), "invalid"),
    ],
)
def test_an_answer_that_stays_bad_is_an_abstention(reply: Response, code: str) -> None:
    got = outcome(reply, reply)
    assert got.answer is None and got.code == code and codes(got) == [code, code]


def test_a_refusal_is_not_argued_with() -> None:
    got = outcome(said("", refusal="I cannot advise."))
    assert got.answer is None and got.code == "refusal" and codes(got) == ["refusal"]


def test_the_callers_check_has_codes_of_its_own() -> None:
    def check(verdict: Verdict) -> tuple[str, str]:
        return "wrong_symbol", f"{verdict.symbol} was not asked for"

    got = outcome(said(GOOD), said(GOOD), check=check)
    assert got.answer is None and got.code == "wrong_symbol"
    assert got.calls[0].failure == "BTC/USD was not asked for"


def test_a_long_bad_answer_is_quoted_in_part() -> None:
    desk = Desk(said("z" * 5000), PROSE)
    outcome(desk=desk)
    assert len(desk.script.requests[1].messages[-2].content) == QUOTED_CHARS


def test_an_answer_that_is_nothing_but_thought_is_quoted_as_nothing() -> None:
    desk = Desk(said("<think>so much"), PROSE)
    outcome(desk=desk)
    assert desk.script.requests[1].messages[-2].content == "(nothing)"


FAILURES: tuple[Code, ...] = (
    "timeout",
    "unreachable",
    "bad_request",
    "unauthorized",
    "model_gone",
    "rate_limited",
    "server_error",
    "context_overflow",
    "garbage_reply",
)


@pytest.mark.parametrize("code", FAILURES)
def test_a_server_that_fails_is_an_abstention_and_not_repaired(code: Code) -> None:
    failure = ModelFailure(code, "as it is\nwith sk-abcdefghij1234567890")
    got = outcome(failure, failure)
    assert got.answer is None and got.code == code and codes(got) == [code]
    assert got.calls[0].failure == "as it is with [redacted]" and got.calls[0].response is None


def test_tries_are_counted_in_their_call() -> None:
    desk = Desk(ModelFailure("timeout", "slow"), said(GOOD))
    got = outcome(desk=desk)
    assert got.code == "accepted" and got.calls[0].tries == 2 and desk.asker.counts.calls == 2


def test_whatever_else_a_backend_raises_is_a_backend_error() -> None:
    got = outcome(ZeroDivisionError("division by zero"))
    assert got.code == "backend_error" and got.calls[0].failure == "ZeroDivisionError: division by zero"


def test_a_timeout_error_of_a_backend_is_not_the_deadline() -> None:
    assert outcome(TimeoutError(), deadline_s=60.0).code == "backend_error"


def test_what_does_not_fit_the_context_is_not_sent() -> None:
    desk = Desk(context_tokens=512)
    got = outcome(desk=desk, request=asked("1" * 600))
    assert got.code == "context_overflow" and got.calls[0].tries == 0 and not desk.script.requests


def test_an_answer_to_a_prompt_that_was_cut_does_not_count() -> None:
    got = outcome(said(GOOD, usage=Usage(100, 20)), request=asked("word " * 2000))
    assert got.answer is None and got.code == "prompt_cut" and codes(got) == ["prompt_cut"]
    assert got.calls[0].response is not None


def test_a_full_queue_refuses() -> None:
    async def act() -> None:
        desk = Desk(backend=Stuck(said(GOOD)), max_concurrent=1, queue_size=1)
        running = asyncio.create_task(desk.ask())
        await _stuck(desk).asked.wait()
        waiting = asyncio.create_task(desk.ask())
        await asyncio.wait({waiting}, timeout=0)
        assert (await desk.ask()).code == "queue_full"
        assert desk.asker.counts.drops == {"queue_full": 1}
        await _stop(running, waiting)

    asyncio.run(act())


def test_a_newer_question_takes_the_place_of_the_older() -> None:
    async def act() -> None:
        desk = Desk(backend=Stuck(said(GOOD), said(GOOD)), max_concurrent=1)
        running = asyncio.create_task(desk.ask(key="BTC"))
        await _stuck(desk).asked.wait()
        older, newer = (asyncio.create_task(desk.ask(key="BTC")) for _ in range(2))
        assert (await older).code == "superseded"
        _stuck(desk).free.set()
        assert [(await task).code for task in (running, newer)] == ["accepted", "accepted"]

    asyncio.run(act())


def test_who_waited_too_long_is_not_asked() -> None:
    async def act() -> None:
        desk = Desk(backend=Stuck(said(GOOD)), max_concurrent=1)
        running = asyncio.create_task(desk.ask())
        await _stuck(desk).asked.wait()
        late = asyncio.create_task(desk.ask(deadline_s=0.01))
        got = await late
        assert got.code == "deadline" and got.calls[0].tries == 0
        await _stop(running)

    asyncio.run(act())


def test_a_call_still_running_at_the_deadline_is_given_up() -> None:
    async def act() -> None:
        desk = Desk(backend=Stuck(said(GOOD)))
        got = await desk.ask(deadline_s=0.01)
        assert got.code == "deadline" and got.calls[0].tries == 1 and got.calls[0].response is None
        assert desk.asker.queue.running == 0

    asyncio.run(act())


def test_an_answer_after_the_deadline_is_kept_but_does_not_count() -> None:
    desk = Desk()
    desk.script.replies = [_after(desk.clock, 10.0, said(GOOD))]
    got = outcome(desk=desk, deadline_s=10.0)
    assert got.answer is None and got.code == "deadline"
    assert got.calls[0].response and got.calls[0].response.text == GOOD


def test_a_repair_after_the_deadline_is_not_begun() -> None:
    desk = Desk(said(GOOD))

    def check(_: Verdict) -> tuple[str, str]:
        desk.clock.now_s = 10.0
        return "wrong_symbol", "it is another"

    got = outcome(desk=desk, deadline_s=10.0, check=check)
    assert got.code == "wrong_symbol" and codes(got) == ["wrong_symbol", "deadline"]
    assert len(desk.script.requests) == 1


def test_closing_ends_all_that_wait() -> None:
    async def act() -> None:
        desk = Desk(backend=Stuck(said(GOOD)), max_concurrent=1)
        running = asyncio.create_task(desk.ask())
        await _stuck(desk).asked.wait()
        waiting = asyncio.create_task(desk.ask())
        await asyncio.wait({waiting}, timeout=0)
        await desk.asker.close()
        assert (await waiting).code == "cancelled" and desk.script.closed
        await _stop(running)

    asyncio.run(act())


def test_being_cancelled_is_the_one_thing_that_raises() -> None:
    async def act() -> None:
        desk = Desk(backend=Stuck(said(GOOD)))
        running = asyncio.create_task(desk.ask())
        await _stuck(desk).asked.wait()
        await _stop(running)
        assert running.cancelled() and desk.asker.queue.running == 0

    asyncio.run(act())


def test_a_spent_budget_of_calls_refuses() -> None:
    desk = Desk(said(GOOD), max_calls=1)
    assert outcome(desk=desk).code == "accepted"
    got = outcome(desk=desk)
    assert got.code == "budget" and "llm.max_calls" in got.calls[0].failure


def test_a_budget_that_ends_before_the_repair_leaves_the_first_fault_standing() -> None:
    got = outcome(desk=Desk(PROSE, max_calls=1))
    assert got.code == "no_json" and codes(got) == ["no_json", "budget"]


def test_a_budget_that_ends_before_a_retry_says_so() -> None:
    got = outcome(desk=Desk(ModelFailure("timeout", "slow"), max_calls=1))
    assert got.code == "budget" and got.calls[0].tries == 1


def test_a_server_that_does_not_count_tokens_is_counted_by_the_estimate() -> None:
    desk = Desk(said(GOOD), max_tokens=100_000)
    outcome(desk=desk)
    assert desk.asker.counts.prompt_tokens == prompt_tokens(asked())
    assert desk.asker.counts.completion_tokens > 0


def test_tokens_are_counted_as_the_server_does_where_it_does() -> None:
    desk = Desk(said(GOOD, usage=Usage(40, 12)))
    outcome(desk=desk)
    assert (desk.asker.counts.prompt_tokens, desk.asker.counts.completion_tokens) == (40, 12)


def test_a_spent_budget_of_tokens_refuses() -> None:
    desk = Desk(said(GOOD, usage=Usage(400, 120)), max_tokens=600)
    assert outcome(desk=desk).code == "accepted"
    assert outcome(desk=desk).code == "budget"


def test_a_server_that_keeps_failing_is_left_alone_for_a_while() -> None:
    desk = Desk(ModelFailure("unauthorized", "no key"), ZeroDivisionError(), said(GOOD), breaker_failures=2)
    seen = [outcome(desk=desk).code for _ in range(3)]
    assert seen == ["unauthorized", "backend_error", "breaker_open"]
    desk.clock.now_s = 30.0
    assert outcome(desk=desk).code == "accepted"


def test_bad_answers_and_bad_requests_do_not_open_the_breaker() -> None:
    desk = Desk(PROSE, PROSE, ModelFailure("bad_request", "no"), PROSE, PROSE, said(GOOD), breaker_failures=1)
    assert [outcome(desk=desk).code for _ in range(4)] == ["no_json", "bad_request", "no_json", "accepted"]


def test_counts_add_up() -> None:
    desk = Desk(said(GOOD), PROSE, said(GOOD), PROSE, PROSE, said("", refusal="no"))
    for _ in range(4):
        outcome(desk=desk)
    counts = desk.asker.counts
    assert (counts.asked, counts.accepted, counts.repaired, counts.repairs) == (4, 1, 1, 2)
    assert counts.abstentions == {"no_json": 1, "refusal": 1} and counts.calls == 6


def test_secrets_are_neither_sent_nor_kept() -> None:
    desk = Desk(said("your key is sk-abcdefghij1234567890"), said(GOOD))
    got = outcome(desk=desk, request=asked("key sk-abcdefghij1234567890"))
    assert "sk-abc" not in repr(got) and "sk-abc" not in repr(desk.script.requests)


WILD = st.one_of(
    st.builds(said, st.text(), st.sampled_from(["stop", "length", "", "?"])),
    st.builds(said, st.sampled_from([GOOD, "{}", "<think>", "```", '{"a":' * 5000, "\ud800"])),
    st.sampled_from([ModelFailure(code, "x", after_s) for code in FAILURES for after_s in (0.0, 1.0, -1.0)]),
    st.sampled_from([ValueError("v"), KeyError(1), OSError(), RecursionError(), TimeoutError()]),
)


@settings(deadline=None)
@given(st.lists(WILD, min_size=4, max_size=4))
def test_nothing_that_a_model_or_server_does_raises(replies: list[Reply]) -> None:
    got = outcome(desk=Desk(*replies), deadline_s=100.0)
    assert got.calls and (got.answer is not None) == (got.code in {"accepted", "repaired"})


def test_estimates_bracket_what_real_tokenizers_count() -> None:
    for text, tokens in (
        ("The quick brown fox jumps over the lazy dog.", 10),
        ("64123.50 64124.10 1.25", 12),
    ):
        request = asked(text)
        assert certain_tokens(request) < tokens + 20 < prompt_tokens(request)


@given(st.text())
def test_no_text_is_certain_to_have_more_tokens_than_it_can_have(text: str) -> None:
    assert certain_tokens(asked(text)) <= prompt_tokens(asked(text))


def test_a_request_fits_up_to_the_last_token() -> None:
    request = asked("word " * 100)
    wanted = prompt_tokens(request) + request.max_tokens
    assert not overflow(request, wanted) and str(wanted) in overflow(request, wanted - 1)


@pytest.mark.parametrize("usage", [None, Usage(0, 5), Usage(300, 5)])
def test_a_server_that_does_not_say_or_counts_enough_did_not_cut(usage: Usage | None) -> None:
    assert not cut(asked("word " * 400), said(GOOD, usage=usage))


def _stuck(desk: Desk) -> Stuck:
    assert isinstance(desk.script, Stuck)
    return desk.script


async def _stop(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _after(clock: Clock, seconds: float, reply: Response) -> Callable[[Request], Response]:
    def answer(_: Request) -> Response:
        clock.now_s += seconds
        return reply

    return answer


def hurried(timeout_s: float = 0.05) -> Request:
    return msgspec.structs.replace(asked(agent="quant"), timeout_s=timeout_s)


def test_a_call_ends_after_its_own_timeout_and_is_tried_again_as_one_that_timed_out() -> None:
    desk = Desk(backend=Stuck(), retries=2)
    got = outcome(desk=desk, request=hurried())
    [call] = got.calls
    assert (got.code, call.tries) == ("timeout", 3)
    assert call.failure.startswith("quant had no answer in 0.05 s")


def test_the_timeout_of_one_agent_cuts_only_its_own_call() -> None:
    stuck = Stuck(said(GOOD))

    async def run() -> tuple[str, str]:
        desk = Desk(backend=stuck, retries=0, max_concurrent=2)
        patient = asyncio.create_task(desk.ask())
        await stuck.asked.wait()
        cut_short = await desk.ask(request=hurried())
        stuck.free.set()
        return cut_short.code, (await patient).code

    assert asyncio.run(run()) == ("timeout", "accepted")


def test_an_answer_within_the_timeout_is_an_answer() -> None:
    assert outcome(said(GOOD), request=hurried(60.0)).code == "accepted"


def test_the_deadline_that_passes_within_the_timeout_is_the_deadline() -> None:
    got = asyncio.run(Asker(Stuck(), llm()).ask(hurried(60.0), Verdict, lane="gate", deadline_s=0.05))
    assert got.code == "deadline"


def test_a_backend_s_own_time_error_is_not_the_request_s_timeout() -> None:
    assert outcome(TimeoutError("of its own"), request=hurried(60.0)).code == "backend_error"

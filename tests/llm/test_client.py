"""The client: one test for each way in which there is no answer; none of them raises."""

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autohedge.llm.backend import FailureCode, LLMError, LLMRequest, LLMResponse, Usage
from autohedge.llm.client import QUOTED_CHARS, LLMClient
from autohedge.llm.context_window import min_tokens, overflow_error, prompt_tokens, truncation_error
from autohedge.llm.outcome import Outcome
from autohedge.llm.senders import ServerSender
from tests.llm.request_factory import (
    GOOD,
    Clock,
    Reply,
    Script,
    Stuck,
    Verdict,
    llm,
    make_request,
    make_response,
)

PROSE = make_response("I would rather not say.")


class ClientHarness:
    """A client over a script, with a clock of its own."""

    def __init__(self, *replies: Reply, backend: Script | None = None, **changed: Any) -> None:
        self.clock = Clock()
        self.script = backend or Script(*replies)
        terms = llm(**changed)
        self.client = LLMClient(ServerSender(self.script, terms, self.clock, pause=self.clock.pause), terms)

    async def ask(self, **how: Any) -> Outcome[Verdict]:
        request = how.pop("request", make_request())
        return await self.client.ask(request, Verdict, lane=how.pop("lane", "gate"), **how)


def outcome(*replies: Reply, harness: ClientHarness | None = None, **how: Any) -> Outcome[Verdict]:
    return asyncio.run((harness or ClientHarness(*replies)).ask(**how))


def codes(got: Outcome[Verdict]) -> list[str]:
    return [call.outcome for call in got.calls]


def test_a_good_answer_is_accepted() -> None:
    got = outcome(make_response(GOOD))
    assert got.answer == Verdict(symbol="BTC/USD", action="trade", confidence=70)
    assert (got.code, codes(got)) == ("accepted", ["accepted"])
    assert (got.calls[0].parse, got.calls[0].tries) == ("direct", 1)


def test_a_bad_answer_is_sent_back_once_with_its_fault() -> None:
    harness = ClientHarness(make_response("<think>hm</think>Buy!"), make_response(GOOD))
    got = outcome(harness=harness)
    assert got.answer and got.code == "repaired" and codes(got) == ["no_json", "repaired"]
    first, second = harness.script.requests
    assert second.messages[: len(first.messages)] == first.messages
    assert [(each.role, each.content) for each in second.messages[-2:-1]] == [("assistant", "Buy!")]
    assert second.messages[-1].role == "user" and got.calls[0].failure in second.messages[-1].content


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (PROSE, "no_json"),
        (make_response(GOOD, "length"), "truncated"),
        (make_response(""), "empty"),
        (make_response("{}"), "invalid"),
    ],
)
def test_an_answer_that_stays_bad_is_an_abstention(reply: LLMResponse, code: str) -> None:
    got = outcome(reply, reply)
    assert got.answer is None and got.code == code and codes(got) == [code, code]


@pytest.mark.parametrize(
    ("reply", "quoted", "error"),
    [
        (f"{GOOD} No, wait.", f"{GOOD} No, wait.", "text follows the JSON object at character 55"),
        (f"[{GOOD}]", f"[{GOOD}]", "the answer is a list, which begins at character 1"),
        (f"[THINK]{GOOD}", "(nothing)", "inside unfinished reasoning, which begins at character 1"),
        (f"<thought>{GOOD}</thought>", "(nothing)", "nothing follows the reasoning"),
        (f"<think>{GOOD}</think>Buy!", "Buy!", "there is no JSON object in the answer"),
    ],
)
def test_repair_names_what_is_wrong_and_quotes_no_reasoning(reply: str, quoted: str, error: str) -> None:
    harness = ClientHarness(make_response(reply), make_response(GOOD))
    assert codes(outcome(harness=harness)) == ["no_json", "repaired"]
    bad, repair = harness.script.requests[1].messages[-2:]
    assert bad.content == quoted and error in repair.content


def test_lossless_reading_takes_one_call_and_is_recorded() -> None:
    schema = {"properties": {"confidence": {"type": "integer"}, "action": {"enum": ["no_trade", "trade"]}}}
    request = msgspec.structs.replace(make_request(), schema=schema)
    got = outcome(make_response('{"symbol":"X","action":"Trade","confidence":"70"}'), request=request)
    assert got.answer and codes(got) == ["accepted"]
    assert got.calls[0].parse == "direct+literal_spelling+number_as_string"


def test_refusal_is_not_repaired() -> None:
    got = outcome(make_response("", refusal="I cannot advise."))
    assert got.answer is None and got.code == "refusal" and codes(got) == ["refusal"]


def test_the_callers_check_has_codes_of_its_own() -> None:
    def check(verdict: Verdict) -> tuple[str, str]:
        return "wrong_symbol", f"{verdict.symbol} was not asked for"

    got = outcome(make_response(GOOD), make_response(GOOD), check=check)
    assert got.answer is None and got.code == "wrong_symbol"
    assert got.calls[0].failure == "BTC/USD was not asked for"


def test_a_long_bad_answer_is_quoted_in_part() -> None:
    harness = ClientHarness(make_response("z" * 5000), PROSE)
    outcome(harness=harness)
    assert len(harness.script.requests[1].messages[-2].content) == QUOTED_CHARS


def test_answer_of_reasoning_only_is_quoted_as_placeholder() -> None:
    harness = ClientHarness(make_response("<think>so much"), PROSE)
    outcome(harness=harness)
    assert harness.script.requests[1].messages[-2].content == "(nothing)"


FAILURES: tuple[FailureCode, ...] = (
    "timeout",
    "unreachable",
    "bad_request",
    "certificate",
    "unauthorized",
    "quota",
    "model_gone",
    "rate_limited",
    "server_error",
    "context_overflow",
    "garbage_reply",
)


@pytest.mark.parametrize("code", FAILURES)
def test_a_server_that_fails_is_an_abstention_and_not_repaired(code: FailureCode) -> None:
    failure = LLMError(code, "as it is\nwith sk-abcdefghij1234567890")
    got = outcome(failure, failure)
    assert got.answer is None and got.code == code and codes(got) == [code]
    assert got.calls[0].failure == "as it is with [redacted]" and got.calls[0].response is None


def test_tries_are_counted_in_their_call() -> None:
    harness = ClientHarness(LLMError("timeout", "slow"), make_response(GOOD))
    got = outcome(harness=harness)
    assert got.code == "accepted" and got.calls[0].tries == 2 and harness.client.counts.calls == 2


def test_unexpected_backend_exception_is_backend_error() -> None:
    got = outcome(ZeroDivisionError("division by zero"))
    assert got.code == "backend_error" and got.calls[0].failure == "ZeroDivisionError: division by zero"


def test_a_timeout_error_of_a_backend_is_not_the_deadline() -> None:
    assert outcome(TimeoutError(), deadline_s=60.0).code == "backend_error"


def test_request_beyond_context_window_is_not_sent() -> None:
    harness = ClientHarness(context_tokens=512)
    got = outcome(harness=harness, request=make_request("1" * 600))
    assert got.code == "context_overflow" and got.calls[0].tries == 0 and not harness.script.requests


def test_answer_to_prompt_truncated_by_server_does_not_count() -> None:
    got = outcome(make_response(GOOD, usage=Usage(100, 20)), request=make_request("word " * 2000))
    assert got.answer is None and got.code == "prompt_cut" and codes(got) == ["prompt_cut"]
    assert got.calls[0].response is not None


def test_a_full_queue_refuses() -> None:
    async def act() -> None:
        harness = ClientHarness(backend=Stuck(make_response(GOOD)), max_concurrent=1, queue_size=1)
        running = asyncio.create_task(harness.ask())
        await _stuck(harness).requested.wait()
        waiting = asyncio.create_task(harness.ask())
        await asyncio.wait({waiting}, timeout=0)
        assert (await harness.ask()).code == "queue_full"
        assert harness.client.counts.drops == {"queue_full": 1}
        await _stop(running, waiting)

    asyncio.run(act())


def test_newer_request_with_same_key_supersedes_waiting_one() -> None:
    async def act() -> None:
        harness = ClientHarness(backend=Stuck(make_response(GOOD), make_response(GOOD)), max_concurrent=1)
        running = asyncio.create_task(harness.ask(key="BTC"))
        await _stuck(harness).requested.wait()
        older, newer = (asyncio.create_task(harness.ask(key="BTC")) for _ in range(2))
        assert (await older).code == "superseded"
        _stuck(harness).free.set()
        assert [(await task).code for task in (running, newer)] == ["accepted", "accepted"]

    asyncio.run(act())


def test_request_waiting_past_deadline_is_not_sent() -> None:
    async def act() -> None:
        harness = ClientHarness(backend=Stuck(make_response(GOOD)), max_concurrent=1)
        running = asyncio.create_task(harness.ask())
        await _stuck(harness).requested.wait()
        late = asyncio.create_task(harness.ask(deadline_s=0.01))
        got = await late
        assert got.code == "deadline" and got.calls[0].tries == 0
        await _stop(running)

    asyncio.run(act())


def test_a_call_still_running_at_the_deadline_is_given_up() -> None:
    async def act() -> None:
        harness = ClientHarness(backend=Stuck(make_response(GOOD)))
        got = await harness.ask(deadline_s=0.01)
        assert got.code == "deadline" and got.calls[0].tries == 1 and got.calls[0].response is None
        assert harness.client.queue.running == 0

    asyncio.run(act())


def test_answer_after_deadline_is_recorded_but_does_not_count() -> None:
    harness = ClientHarness()
    harness.script.replies = [_after(harness.clock, 10.0, make_response(GOOD))]
    got = outcome(harness=harness, deadline_s=10.0)
    assert got.answer is None and got.code == "deadline"
    assert got.calls[0].response and got.calls[0].response.text == GOOD


def test_a_repair_after_the_deadline_is_not_begun() -> None:
    harness = ClientHarness(make_response(GOOD))

    def check(_: Verdict) -> tuple[str, str]:
        harness.clock.now_s = 10.0
        return "wrong_symbol", "it is another"

    got = outcome(harness=harness, deadline_s=10.0, check=check)
    assert got.code == "wrong_symbol" and codes(got) == ["wrong_symbol", "deadline"]
    assert len(harness.script.requests) == 1


def test_close_cancels_waiting_requests_and_closes_backend() -> None:
    async def act() -> None:
        harness = ClientHarness(backend=Stuck(make_response(GOOD)), max_concurrent=1)
        running = asyncio.create_task(harness.ask())
        await _stuck(harness).requested.wait()
        waiting = asyncio.create_task(harness.ask())
        await asyncio.wait({waiting}, timeout=0)
        await harness.client.close()
        assert (await waiting).code == "cancelled" and harness.script.closed
        await _stop(running)

    asyncio.run(act())


def test_cancelled_task_raises_and_frees_its_slot() -> None:
    async def act() -> None:
        harness = ClientHarness(backend=Stuck(make_response(GOOD)))
        running = asyncio.create_task(harness.ask())
        await _stuck(harness).requested.wait()
        await _stop(running)
        assert running.cancelled() and harness.client.queue.running == 0

    asyncio.run(act())


def test_exhausted_call_budget_refuses_request() -> None:
    harness = ClientHarness(make_response(GOOD), max_calls=1)
    assert outcome(harness=harness).code == "accepted"
    got = outcome(harness=harness)
    assert got.code == "budget" and "llm.max_calls" in got.calls[0].failure


def test_budget_exhausted_before_repair_keeps_code_of_first_fault() -> None:
    got = outcome(harness=ClientHarness(PROSE, max_calls=1))
    assert got.code == "no_json" and codes(got) == ["no_json", "budget"]


def test_budget_exhausted_before_retry_yields_code_budget() -> None:
    got = outcome(harness=ClientHarness(LLMError("timeout", "slow"), max_calls=1))
    assert got.code == "budget" and got.calls[0].tries == 1


def test_tokens_not_counted_by_server_are_estimated() -> None:
    harness = ClientHarness(make_response(GOOD), max_tokens=100_000)
    outcome(harness=harness)
    assert harness.client.counts.prompt_tokens == prompt_tokens(make_request())
    assert harness.client.counts.completion_tokens > 0


def test_tokens_counted_by_server_are_used() -> None:
    harness = ClientHarness(make_response(GOOD, usage=Usage(40, 12)))
    outcome(harness=harness)
    assert (harness.client.counts.prompt_tokens, harness.client.counts.completion_tokens) == (40, 12)


def test_exhausted_token_budget_refuses_request() -> None:
    harness = ClientHarness(make_response(GOOD, usage=Usage(400, 120)), max_tokens=600)
    assert outcome(harness=harness).code == "accepted"
    assert outcome(harness=harness).code == "budget"


class Thinker(Script):
    """A backend whose model needs long answers."""

    def answer_tokens(self, request: LLMRequest) -> int:
        return max(request.max_tokens, 4000)


def test_token_budget_reserves_the_longest_answer_of_the_backend() -> None:
    assert outcome(harness=ClientHarness(make_response(GOOD), max_tokens=3000)).code == "accepted"
    harness = ClientHarness(backend=Thinker(make_response(GOOD)), max_tokens=3000)
    assert outcome(harness=harness).code == "budget"


def test_breaker_after_repeated_failures_blocks_until_pause_ends() -> None:
    harness = ClientHarness(
        LLMError("unauthorized", "no key"), ZeroDivisionError(), make_response(GOOD), breaker_failures=2
    )
    seen = [outcome(harness=harness).code for _ in range(3)]
    assert seen == ["unauthorized", "backend_error", "breaker_open"]
    harness.clock.now_s = 30.0
    assert outcome(harness=harness).code == "accepted"


def test_bad_answers_and_bad_requests_do_not_open_the_breaker() -> None:
    harness = ClientHarness(
        PROSE, PROSE, LLMError("bad_request", "no"), PROSE, PROSE, make_response(GOOD), breaker_failures=1
    )
    assert [outcome(harness=harness).code for _ in range(4)] == [
        "no_json",
        "bad_request",
        "no_json",
        "accepted",
    ]


def test_client_stats_add_up() -> None:
    harness = ClientHarness(
        make_response(GOOD), PROSE, make_response(GOOD), PROSE, PROSE, make_response("", refusal="no")
    )
    for _ in range(4):
        outcome(harness=harness)
    counts = harness.client.counts
    assert (counts.asked, counts.accepted, counts.repaired, counts.repairs) == (4, 1, 1, 2)
    assert counts.abstentions == {"no_json": 1, "refusal": 1} and counts.calls == 6


def test_secrets_are_neither_sent_nor_recorded() -> None:
    harness = ClientHarness(make_response("your key is sk-abcdefghij1234567890"), make_response(GOOD))
    got = outcome(harness=harness, request=make_request("key sk-abcdefghij1234567890"))
    assert "sk-abc" not in repr(got) and "sk-abc" not in repr(harness.script.requests)


WILD = st.one_of(
    st.builds(make_response, st.text(), st.sampled_from(["stop", "length", "", "?"])),
    st.builds(make_response, st.sampled_from([GOOD, "{}", "<think>", "```", '{"a":' * 5000, "\ud800"])),
    st.sampled_from([LLMError(code, "x", after_s) for code in FAILURES for after_s in (0.0, 1.0, -1.0)]),
    st.sampled_from([ValueError("v"), KeyError(1), OSError(), RecursionError(), TimeoutError()]),
)


@settings(deadline=None)
@given(st.lists(WILD, min_size=4, max_size=4))
def test_client_with_any_reply_or_error_returns_an_outcome(replies: list[Reply]) -> None:
    got = outcome(harness=ClientHarness(*replies), deadline_s=100.0)
    assert got.calls and (got.answer is not None) == (got.code in {"accepted", "repaired"})


def test_estimates_bracket_what_real_tokenizers_count() -> None:
    for text, tokens in (
        ("The quick brown fox jumps over the lazy dog.", 10),
        ("64123.50 64124.10 1.25", 12),
    ):
        request = make_request(text)
        assert min_tokens(request) < tokens + 20 < prompt_tokens(request)


@given(st.text())
def test_min_tokens_never_exceed_estimated_prompt_tokens(text: str) -> None:
    assert min_tokens(make_request(text)) <= prompt_tokens(make_request(text))


def test_a_request_fits_up_to_the_last_token() -> None:
    request = make_request("word " * 100)
    wanted = prompt_tokens(request) + request.max_tokens
    assert not overflow_error(request, wanted) and str(wanted) in overflow_error(request, wanted - 1)


@pytest.mark.parametrize("usage", [None, Usage(0, 5), Usage(300, 5)])
def test_missing_or_sufficient_token_count_is_no_truncation(usage: Usage | None) -> None:
    assert not truncation_error(make_request("word " * 400), make_response(GOOD, usage=usage))


def _stuck(harness: ClientHarness) -> Stuck:
    assert isinstance(harness.script, Stuck)
    return harness.script


async def _stop(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _after(clock: Clock, seconds: float, reply: LLMResponse) -> Callable[[LLMRequest], LLMResponse]:
    def answer(_: LLMRequest) -> LLMResponse:
        clock.now_s += seconds
        return reply

    return answer


def hurried(timeout_s: float = 0.05) -> LLMRequest:
    return msgspec.structs.replace(make_request(agent="quant"), timeout_s=timeout_s)


def test_call_past_its_own_timeout_is_retried_as_timeout() -> None:
    harness = ClientHarness(backend=Stuck(), retries=2)
    got = outcome(harness=harness, request=hurried())
    [call] = got.calls
    assert (got.code, call.tries) == ("timeout", 3)
    assert call.failure.startswith("quant had no answer in 0.05 s")


def test_the_timeout_of_one_agent_cuts_only_its_own_call() -> None:
    stuck = Stuck(make_response(GOOD))

    async def run() -> tuple[str, str]:
        harness = ClientHarness(backend=stuck, retries=0, max_concurrent=2)
        patient = asyncio.create_task(harness.ask())
        await stuck.requested.wait()
        cut_short = await harness.ask(request=hurried())
        stuck.free.set()
        return cut_short.code, (await patient).code

    assert asyncio.run(run()) == ("timeout", "accepted")


def test_answer_within_timeout_is_accepted() -> None:
    assert outcome(make_response(GOOD), request=hurried(60.0)).code == "accepted"


def test_deadline_within_timeout_ends_call_as_deadline() -> None:
    client = LLMClient(ServerSender(Stuck(), llm()), llm())
    got = asyncio.run(client.ask(hurried(60.0), Verdict, lane="gate", deadline_s=0.05))
    assert got.code == "deadline"


def test_timeout_error_of_backend_within_timeout_is_backend_error() -> None:
    assert outcome(TimeoutError("of its own"), request=hurried(60.0)).code == "backend_error"

"""From a record the same request has the same outcome, also if the recorded call failed."""

import asyncio
from typing import Any

import pytest

from autohedge.llm.backend import LLMError, LLMRequest, LLMResponse, Usage
from autohedge.llm.client import LLMClient
from autohedge.llm.outcome import Call, Outcome
from autohedge.llm.replay_senders import NullBackend, ReplaySender
from autohedge.llm.senders import ServerSender
from autohedge.llm.transcript import line_of
from tests.llm.request_factory import GOOD, Clock, Reply, Script, Verdict, llm, make_request, make_response

DEADLINE_S = 10.0
CLOCK = Clock()


def _late(_: LLMRequest) -> LLMResponse:
    CLOCK.now_s += 2 * DEADLINE_S
    return make_response(GOOD)


def _outcome(client: LLMClient, request: LLMRequest) -> Outcome[Verdict]:
    return asyncio.run(client.ask(request, Verdict, lane="gate", deadline_s=DEADLINE_S))


def _replayed(calls: tuple[Call, ...], request: LLMRequest, **changed: Any) -> Outcome[Verdict]:
    terms = llm(**changed)
    sender = ReplaySender(terms.context_tokens)
    sender.begin([line_of(1, number, call, 0) for number, call in enumerate(calls)])
    return _outcome(LLMClient(sender, terms), request)


@pytest.mark.parametrize(
    ("replies", "changed", "code"),
    [
        ([make_response(GOOD)], {}, "accepted"),
        ([make_response("Buy!"), make_response(GOOD)], {}, "repaired"),
        ([make_response("Buy!"), make_response("Buy!!")], {}, "no_json"),
        ([make_response("", refusal="No.")], {}, "refusal"),
        ([make_response(GOOD, usage=Usage(1, 9))], {}, "prompt_cut"),
        ([_late], {}, "deadline"),
        ([make_response("Buy!"), _late], {}, "deadline"),
        ([LLMError("bad_request", "no")], {}, "bad_request"),
        ([LLMError("context_overflow", "too long")], {}, "context_overflow"),
        ([OSError("gone")], {}, "backend_error"),
        ([make_response("Buy!"), LLMError("unauthorized", "no")], {}, "unauthorized"),
        ([make_response("Buy!")], {"max_calls": 1}, "no_json"),
        ([], {"context_tokens": 512}, "context_overflow"),
        ([], {"context_tokens": 512, "max_tokens": 1}, "budget"),
    ],
)
def test_replayed_request_yields_same_outcome(
    replies: list[Reply], changed: dict[str, Any], code: str
) -> None:
    CLOCK.now_s = 0.0
    request = make_request("Trade BTC/USD? " * 200 if "context_tokens" in changed else "Trade?" * 20)
    terms = llm(retries=0, **changed)
    then = _outcome(LLMClient(ServerSender(Script(*replies), terms, CLOCK), terms), request)
    assert then.code == code
    assert _replayed(then.calls, request, **changed) == then


def test_replay_of_a_cached_prompt_needs_no_memory_of_the_one_before() -> None:
    request = make_request("Trade BTC/USD or not? " * 30)
    full, cached = Usage(200, 9), Usage(1, 9)
    script = Script(*(make_response(GOOD, usage=each) for each in (full, cached)))
    client = LLMClient(ServerSender(script, llm(), CLOCK), llm())
    assert _outcome(client, request).code == "accepted"
    again = _outcome(client, request)
    assert again.code == "accepted" and _replayed(again.calls, request) == again


def test_request_beyond_recording_is_unrecorded() -> None:
    bad = Call(make_request(), make_response("Buy!"), "no_json", "", "", 1, 0.0)
    found = _replayed((bad,), make_request())
    assert [call.outcome for call in found.calls] == ["no_json", "unrecorded"]


def test_replay_checks_context_window_regardless_of_record() -> None:
    left = Call(make_request("x " * 5000), make_response(GOOD), "accepted", "", "direct", 1, 0.0)
    assert _replayed((left,), left.request, context_tokens=512).code == "context_overflow"
    unsent = Call(make_request(), None, "context_overflow", "too long", "", 0, 0.0)
    assert _replayed((unsent,), unsent.request).code == "unrecorded"


def test_null_backend_raises_on_complete() -> None:
    with pytest.raises(LLMError, match="sends no requests"):
        asyncio.run(NullBackend().complete(make_request()))

"""A request with the same bytes as a recorded one is not sent again, and has the same outcome."""

import asyncio

import msgspec
import pytest

from autohedge.llm.backend import LLMError, LLMRequest, LLMResponse
from autohedge.llm.client import LLMClient
from autohedge.llm.outcome import Call, Outcome
from autohedge.llm.replay_senders import RecordFirstSender
from autohedge.llm.senders import ServerSender, TapeSender
from autohedge.llm.transcript import TranscriptEntry, line_of
from autohedge.llm.usage import TokenUsage
from tests.llm.request_factory import GOOD, Clock, Reply, Script, Verdict, llm, make_request, make_response

DEADLINE_S = 10.0
CLOCK = Clock()


def _late(_: LLMRequest) -> LLMResponse:
    CLOCK.now_s += 2 * DEADLINE_S
    return make_response(GOOD)


def _outcome(client: LLMClient, request: LLMRequest) -> Outcome[Verdict]:
    return asyncio.run(client.ask(request, Verdict, lane="gate", deadline_s=DEADLINE_S))


def _record_first(backend: Script) -> tuple[RecordFirstSender, LLMClient]:
    sender = RecordFirstSender(TapeSender(backend, llm(retries=0)))
    return sender, LLMClient(sender, llm(retries=0))


def _untimed(outcome: Outcome[Verdict]) -> list[Call]:
    return [msgspec.structs.replace(call, queue_ms=0.0) for call in outcome.calls]


def _lines(*replies: Reply) -> tuple[Outcome[Verdict], list[TranscriptEntry]]:
    CLOCK.now_s = 0.0
    then = _outcome(
        LLMClient(ServerSender(Script(*replies), llm(retries=0), CLOCK), llm(retries=0)), make_request()
    )
    return then, [line_of(1, number, call, 0) for number, call in enumerate(then.calls)]


@pytest.mark.parametrize(
    ("replies", "code"),
    [
        ([make_response(GOOD)], "accepted"),
        ([make_response("Buy!"), make_response(GOOD)], "repaired"),
        ([make_response("Buy!"), make_response("Buy!!")], "no_json"),
        ([_late], "deadline"),
        ([make_response("Buy!"), _late], "deadline"),
        ([LLMError("server_error", "no")], "server_error"),
        ([make_response("Buy!"), LLMError("unauthorized", "no")], "unauthorized"),
    ],
)
def test_recorded_request_yields_same_outcome_without_sending(replies: list[Reply], code: str) -> None:
    then, lines = _lines(*replies)
    backend = Script()
    sender, client = _record_first(backend)
    sender.begin(lines)
    now = _outcome(client, make_request())
    assert (now.answer, now.code, _untimed(now)) == (then.answer, code, _untimed(then))
    assert (backend.requests, sender.reused, sender.sent_count, sender.service_ms) == ([], len(lines), 0, 0.0)


def test_a_spent_budget_refuses_only_requests_that_are_not_recorded() -> None:
    _, lines = _lines(make_response(GOOD))
    terms = llm(max_calls=1)
    sender = RecordFirstSender(TapeSender(Script(), terms))
    client = LLMClient(sender, terms)
    client.carry_usage(TokenUsage(calls=1))
    sender.begin(lines)
    assert _outcome(client, make_request()).code == "accepted"
    assert _outcome(client, make_request("Another question")).code == "budget"


def test_unrecorded_request_is_sent() -> None:
    _, lines = _lines(make_response(GOOD))
    backend = Script(make_response(GOOD))
    sender, client = _record_first(backend)
    sender.begin(lines)
    assert _outcome(client, make_request("Another question")).code == "accepted"
    assert (len(backend.requests), sender.reused, sender.sent_count, sender.service_ms) == (1, 0, 1, 12.5)


def test_recorded_answer_is_reused_once_and_only_in_its_deliberation() -> None:
    _, lines = _lines(make_response(GOOD))
    backend = Script(make_response(GOOD), make_response(GOOD))
    sender, client = _record_first(backend)
    sender.begin(lines)
    for _ in range(2):
        assert _outcome(client, make_request()).code == "accepted"
    sender.begin([])
    assert _outcome(client, make_request()).code == "accepted"
    assert (sender.reused, sender.sent_count) == (1, 2)


def test_recorded_late_answer_expires_only_its_own_deliberation() -> None:
    _, lines = _lines(_late)
    sender, client = _record_first(Script(make_response(GOOD)))
    sender.begin(lines)
    assert _outcome(client, make_request()).code == "deadline"
    sender.begin([])
    assert _outcome(client, make_request()).code == "accepted"

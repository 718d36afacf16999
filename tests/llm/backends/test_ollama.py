"""Ollama's native protocol over real connections."""

import asyncio
import json

import msgspec
import pytest

from autohedge.config.sections import Reasoning
from autohedge.llm.backend import Usage
from autohedge.llm.backends.ollama import OllamaBackend, open_ollama
from tests.llm.backend_harness import (
    FITTING,
    SCHEMA,
    a_request,
    by_ollama,
    complete_all,
    complete_sync,
    fails,
)
from tests.llm.imitation_server import CLOSED, Reply, json_reply, ollama


def test_the_schema_the_context_and_the_limits_go_out_natively() -> None:
    with ollama() as server:
        answer = complete_sync(lambda: OllamaBackend(server.root, "llama3:8b", context_tokens=4096))
    [request] = server.received
    assert request.body["format"] == SCHEMA and request.body["stream"] is False
    assert request.body["options"] == {"num_ctx": 4096, "num_predict": 160, "temperature": 0.25}
    assert request.body["messages"][1] == {"role": "user", "content": "Trade?"}
    assert (answer.text, answer.finish_reason, answer.model) == (FITTING, "stop", "llama3:8b")
    assert (answer.usage, answer.server, answer.sent_as) == (Usage(11, 7), "ollama", "native")


@pytest.mark.parametrize(("keep_alive", "sent"), [("30m", "30m"), ("-1", -1), ("1h30m", "1h30m"), ("", None)])
def test_keep_alive_and_extra_body_go_out_with_each_request(keep_alive: str, sent: object) -> None:
    extra = {"options": {"num_gpu": 0}, "logprobs": True}
    request = msgspec.structs.replace(a_request(), keep_alive=keep_alive, extra_body=extra)
    with ollama() as server:
        complete_sync(lambda: by_ollama(server), request)
    [received] = server.received
    assert received.body.get("keep_alive") == sent and received.body["logprobs"] is True
    assert received.body["options"]["num_gpu"] == 0 and received.body["options"]["num_predict"] == 160


@pytest.mark.parametrize(
    ("reasoning", "think"), [("off", False), ("low", "low"), ("high", "high"), ("auto", None)]
)
def test_reasoning_is_sent_as_think(reasoning: Reasoning, think: object) -> None:
    with ollama() as server:
        complete_sync(lambda: by_ollama(server), msgspec.structs.replace(a_request(), reasoning=reasoning))
    assert server.received[0].body.get("think") == think


def test_model_that_cannot_think_is_asked_without_it() -> None:
    with ollama() as server:
        answers = server.pages["/api/chat"]
        refusal = json_reply({"error": '"llama3:8b" does not support thinking'}, 400)
        server.pages["/api/chat"] = lambda request: refusal if request.body.get("think") else answers(request)
        request = msgspec.structs.replace(a_request(), reasoning="medium")
        answer = complete_sync(lambda: by_ollama(server), request, request)
        assert [each.body.get("think") for each in server.chats()] == ["medium", True, None, None]
    assert answer.text == FITTING


def test_thoughts_are_recorded_apart_from_the_answer() -> None:
    reply = {"message": {"content": FITTING, "thinking": "It rises."}, "done_reason": "stop"}
    with ollama().failing(json_reply(reply)) as server:
        answer = complete_sync(lambda: by_ollama(server))
    assert (answer.text, answer.reasoning) == (FITTING, "It rises.")


def test_response_without_both_token_counts_has_no_usage() -> None:
    with ollama().failing(
        json_reply({"message": {"content": "{"}, "done_reason": "length", "eval_count": 3})
    ) as server:
        answer = complete_sync(lambda: by_ollama(server))
    assert (answer.text, answer.finish_reason, answer.usage, answer.model) == (
        "{",
        "length",
        None,
        "llama3:8b",
    )


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (json_reply({"error": "invalid format"}, 400), "bad_request"),
        (json_reply({"error": "unauthorized"}, 401), "unauthorized"),
        (json_reply({"error": "model 'x' not found"}, 404), "model_gone"),
        (json_reply({"error": "busy"}, 429, Retry_After="3"), "rate_limited"),
        (json_reply({"error": "llama runner process has terminated"}, 500), "server_error"),
        (json_reply({"error": "the prompt exceeds the context length"}, 400), "context_overflow"),
        (json_reply({"error": "loading"}), "server_error"),
        (json_reply({"message": "Hello"}), "garbage_reply"),
        (json_reply({"message": {"content": None}}), "garbage_reply"),
        (json_reply({"message": {"content": "{}"}, "eval_count": "many"}), "garbage_reply"),
        (json_reply({"response": "{}"}), "garbage_reply"),
        (Reply(b"Ollama is running"), "garbage_reply"),
        (CLOSED, "unreachable"),
    ],
)
def test_each_way_to_fail_has_its_code(reply: Reply, code: str) -> None:
    with ollama().failing(reply) as server:
        failure = fails(lambda: complete_all(by_ollama(server)))
    assert failure.code == code and str(failure).startswith(server.root)
    assert failure.after_s == (3 if code == "rate_limited" else 0)


def test_a_model_that_is_not_pulled_is_gone() -> None:
    with ollama() as server:
        failure = fails(lambda: complete_all(OllamaBackend(server.root, "mistral")))
    assert failure.code == "model_gone" and "mistral" in str(failure)


@pytest.mark.parametrize("dripping", [True, False])
def test_hanging_or_dripping_server_ends_at_timeout(dripping: bool) -> None:
    reply = Reply(json.dumps({"message": {"content": "x" * 500}}).encode(), dripping=True)
    with ollama().failing(reply) if dripping else ollama().hanging() as server:
        assert fails(lambda: complete_all(by_ollama(server, 0.3))).code == "timeout"


def test_an_unnamed_model_is_the_first_that_can_answer() -> None:
    async def run(root: str) -> str:
        backend = await open_ollama(root, "", 8192, 10.0)
        [answer] = await complete_all(backend, a_request())
        return answer.model

    with ollama() as server:
        assert asyncio.run(run(server.root)) == "llama3:8b"


def test_server_without_models_fails_with_pull_hint() -> None:
    with ollama() as server:
        server.pages["/api/tags"] = lambda _: json_reply({"models": []})
        failure = fails(lambda: open_ollama(server.root, "", 8192, 10.0))
    assert failure.code == "model_gone" and "ollama pull" in str(failure)


def test_a_request_that_may_take_longer_than_usual_is_waited_for() -> None:
    with ollama() as server:
        server.delayed(0.6)
        answer = complete_sync(
            lambda: by_ollama(server, 0.1), msgspec.structs.replace(a_request(), timeout_s=60.0)
        )
    assert answer.text == FITTING


def test_a_request_that_may_take_less_than_usual_is_cut() -> None:
    with ollama().hanging() as server:
        request = msgspec.structs.replace(a_request(), timeout_s=0.1)
        failure = fails(lambda: complete_all(by_ollama(server, 60.0), request))
    assert failure.code == "timeout" and "no answer in 0.1 s" in str(failure)

"""Ollama's native protocol over real connections."""

import asyncio
import json

import msgspec
import pytest

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
        (json_reply({"error": "loading"}), "garbage_reply"),
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

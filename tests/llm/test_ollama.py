"""Ollama by its native protocol, over real connections."""

import asyncio
import json

import msgspec
import pytest

from autohedge.llm.backend import Usage
from autohedge.llm.ollama import Ollama, open_ollama
from tests.llm.asking import FITTING, SCHEMA, a_request, ask, asked, by_ollama, fails
from tests.llm.servers import CLOSED, Reply, ollama, said


def test_the_schema_the_context_and_the_limits_go_out_natively() -> None:
    with ollama() as server:
        answer = ask(lambda: Ollama(server.root, "llama3:8b", context_tokens=4096))
    [heard] = server.heard
    assert heard.body["format"] == SCHEMA and heard.body["stream"] is False
    assert heard.body["options"] == {"num_ctx": 4096, "num_predict": 160, "temperature": 0.25}
    assert heard.body["messages"][1] == {"role": "user", "content": "Trade?"}
    assert (answer.text, answer.finish_reason, answer.model) == (FITTING, "stop", "llama3:8b")
    assert (answer.usage, answer.server, answer.sent_as) == (Usage(11, 7), "ollama", "native")


def test_without_both_counts_there_is_no_usage() -> None:
    with ollama().failing(
        said({"message": {"content": "{"}, "done_reason": "length", "eval_count": 3})
    ) as server:
        answer = ask(lambda: by_ollama(server))
    assert (answer.text, answer.finish_reason, answer.usage, answer.model) == (
        "{",
        "length",
        None,
        "llama3:8b",
    )


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (said({"error": "invalid format"}, 400), "bad_request"),
        (said({"error": "unauthorized"}, 401), "unauthorized"),
        (said({"error": "model 'x' not found"}, 404), "model_gone"),
        (said({"error": "busy"}, 429, Retry_After="3"), "rate_limited"),
        (said({"error": "llama runner process has terminated"}, 500), "server_error"),
        (said({"error": "the prompt exceeds the context length"}, 400), "context_overflow"),
        (said({"error": "loading"}), "garbage_reply"),
        (said({"message": "Hello"}), "garbage_reply"),
        (said({"message": {"content": None}}), "garbage_reply"),
        (said({"message": {"content": "{}"}, "eval_count": "many"}), "garbage_reply"),
        (said({"response": "{}"}), "garbage_reply"),
        (Reply(b"Ollama is running"), "garbage_reply"),
        (CLOSED, "unreachable"),
    ],
)
def test_each_way_to_fail_has_its_code(reply: Reply, code: str) -> None:
    with ollama().failing(reply) as server:
        failure = fails(lambda: asked(by_ollama(server)))
    assert failure.code == code and str(failure).startswith(server.root)
    assert failure.after_s == (3 if code == "rate_limited" else 0)


def test_a_model_that_is_not_pulled_is_gone() -> None:
    with ollama() as server:
        failure = fails(lambda: asked(Ollama(server.root, "mistral")))
    assert failure.code == "model_gone" and "mistral" in str(failure)


@pytest.mark.parametrize("dripping", [True, False])
def test_neither_silence_nor_a_drip_is_waited_for_longer_than_the_timeout(dripping: bool) -> None:
    reply = Reply(json.dumps({"message": {"content": "x" * 500}}).encode(), dripping=True)
    with ollama().failing(reply) if dripping else ollama().hanging() as server:
        assert fails(lambda: asked(by_ollama(server, 0.3))).code == "timeout"


def test_an_unnamed_model_is_the_first_that_can_answer() -> None:
    async def run(root: str) -> str:
        backend = await open_ollama(root, "", 8192, 10.0)
        [answer] = await asked(backend, a_request())
        return answer.model

    with ollama() as server:
        assert asyncio.run(run(server.root)) == "llama3:8b"


def test_a_server_without_models_is_told_what_to_do() -> None:
    with ollama() as server:
        server.pages["/api/tags"] = lambda _: said({"models": []})
        failure = fails(lambda: open_ollama(server.root, "", 8192, 10.0))
    assert failure.code == "model_gone" and "ollama pull" in str(failure)


def test_a_request_that_may_take_longer_than_usual_is_waited_for() -> None:
    with ollama() as server:
        server.delayed(0.6)
        answer = ask(lambda: by_ollama(server, 0.1), msgspec.structs.replace(a_request(), timeout_s=60.0))
    assert answer.text == FITTING


def test_a_request_that_may_take_less_than_usual_is_cut() -> None:
    with ollama().hanging() as server:
        request = msgspec.structs.replace(a_request(), timeout_s=0.1)
        failure = fails(lambda: asked(by_ollama(server, 60.0), request))
    assert failure.code == "timeout" and "no answer in 0.1 s" in str(failure)

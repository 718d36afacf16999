"""Servers with OpenAI's protocol and their differences, over real connections."""

import asyncio
import json
import socket
from collections.abc import Callable
from contextlib import closing
from typing import Any

import msgspec
import pytest

from autohedge.llm.backend import RETRYABLE, Usage
from autohedge.llm.backends import capabilities
from autohedge.llm.backends.capabilities import ModelCapability
from autohedge.llm.backends.openai_compatible import OpenAICompatible, open_openai_compatible
from tests.llm.backend_harness import (
    FITTING,
    KEY,
    SCHEMA,
    a_request,
    by_openai,
    complete_all,
    complete_sync,
    fails,
)
from tests.llm.imitation_server import (
    CLOSED,
    Imitation,
    ReceivedRequest,
    Reply,
    completion,
    json_reply,
    llama_cpp,
    lm_studio,
    vllm,
)


def _asked(at: Imitation, *, model: str = "m", **known: Any) -> OpenAICompatible:
    """A backend that begins in this way."""
    way = ModelCapability(at.base_url, model, **known)
    return OpenAICompatible(at.base_url, model, known=way)


def test_response_carries_text_metadata_and_usage() -> None:
    with llama_cpp() as server:
        answer = complete_sync(lambda: by_openai(server))
    assert (answer.text, answer.finish_reason, answer.model) == (FITTING, "stop", "m-1")
    assert (answer.usage, answer.refusal, answer.sent_as) == (Usage(11, 7), None, "json_schema")
    assert answer.service_ms > 0


def test_request_body_holds_schema_limit_and_temperature_once() -> None:
    with vllm() as server:
        complete_sync(lambda: by_openai(server))
    [request] = server.received
    named = {"name": "gate", "strict": True, "schema": SCHEMA}
    assert request.body["response_format"] == {"type": "json_schema", "json_schema": named}
    assert (request.body["max_tokens"], request.body["temperature"], request.body["model"]) == (
        160,
        0.25,
        "m",
    )
    assert [each["role"] for each in request.body["messages"]] == ["system", "user"]
    assert "max_completion_tokens" not in request.body and "tools" not in request.body
    assert request.headers["authorization"] == f"Bearer {KEY.get_secret_value()}"


def test_openai_server_gets_limit_as_max_completion_tokens() -> None:
    with vllm() as server:
        complete_sync(lambda: _asked(server, limit="max_completion_tokens"))
    assert (
        server.received[0].body["max_completion_tokens"] == 160
        and "max_tokens" not in server.received[0].body
    )


def test_a_limit_cuts_the_answer_on_a_server_that_knows_only_max_tokens() -> None:
    with lm_studio() as server:
        answer = complete_sync(lambda: by_openai(server), a_request(max_tokens=9))
    assert (answer.text, answer.finish_reason) == (FITTING[:9], "length")


@pytest.mark.parametrize(
    "text", ["I would buy.", f"```json\n{FITTING}\n```", "<think>?</think>{}", '{"action"', ""]
)
def test_text_that_fits_no_schema_is_returned_unchanged(text: str) -> None:
    with vllm().failing(json_reply(completion(text))) as server:
        assert complete_sync(lambda: by_openai(server)).text == text


def test_an_answer_without_usage_or_text_has_none() -> None:
    with vllm().failing(json_reply(completion(None, usage=None, refusal="I cannot advise."))) as server:
        answer = complete_sync(lambda: by_openai(server))
    assert (answer.text, answer.usage, answer.refusal) == ("", None, "I cannot advise.")


HTML = Reply(b"<html>It works!</html>", headers={"Content-Type": "text/html"})
HUGE = Reply(b'{"choices": [], "filler": "' + b"x" * (1 << 20) + b'"}')


@pytest.mark.parametrize(
    ("reply", "code", "expected"),
    [
        (json_reply({"error": {"message": "bad seed"}}, 400), "bad_request", "bad seed"),
        (json_reply({"error": "Invalid tool_choice type: 'object'"}, 400), "bad_request", "tool_choice"),
        (json_reply({"error": {"message": "wrong key"}}, 401), "unauthorized", "set AUTOHEDGE_LLM_API_KEY"),
        (json_reply({"error": {"message": "not yours"}}, 403), "unauthorized", "not yours"),
        (json_reply({"error": {"message": "no such model"}}, 404), "model_gone", "llm.model"),
        (json_reply({"error": "Model 'm' not found"}, 400), "model_gone", "set llm.model"),
        (json_reply({"error": {"message": "slow down"}}, 429), "rate_limited", "slow down"),
        (json_reply({"error": "Loading model"}, 503), "server_error", "Loading model"),
        (Reply(b"<h1>Oops</h1>", 500), "server_error", "Oops"),
        (json_reply({"error": {"code": "context_length_exceeded", "message": "context length"}}, 400),
         "context_overflow", "tools.table_rows"),
        (json_reply({"error": "Unexpected endpoint or method"}), "garbage_reply", "Unexpected endpoint"),
        (json_reply({"choices": []}), "garbage_reply", "no chat completion"),
        (json_reply({"choices": None}), "garbage_reply", "no chat completion"),
        (json_reply({"choices": [{"message": 5}]}), "garbage_reply", "no chat completion"),
        (json_reply({"object": "list"}), "garbage_reply", "no chat completion"),
        (json_reply([1]), "garbage_reply", "no JSON object"),
        (HTML, "garbage_reply", "It works!"),
        (Reply(b""), "garbage_reply", "no JSON object"),
        (Reply(b"[" * 100_000), "garbage_reply", "no JSON object"),
        (HUGE, "garbage_reply", "longer than 1048576 bytes"),
        (Reply(b"\x1f\x8b", headers={"Content-Encoding": "gzip"}), "garbage_reply", "compressed"),
        (Reply(b"", 302, {"Location": "http://127.0.0.1:1/elsewhere"}), "garbage_reply", "302"),
        (CLOSED, "unreachable", "set llm.base_url"),
    ],
)  # fmt: skip
def test_each_failure_has_its_code_and_message(reply: Reply, code: str, expected: str) -> None:
    with vllm().failing(reply) as server:
        failure = fails(lambda: complete_all(by_openai(server)))
        assert len(server.chats()) == 1
    assert failure.code == code and expected in str(failure)
    assert str(failure).startswith(server.base_url)


def test_a_server_that_is_not_there_is_unreachable() -> None:
    failure = fails(lambda: complete_all(OpenAICompatible(f"http://127.0.0.1:{_free_port()}/v1", "m")))
    assert failure.code == "unreachable"


def _free_port() -> int:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


DRIPPING = Reply(json.dumps(completion(FITTING)).encode(), dripping=True)


@pytest.mark.parametrize("open_server", [lambda: vllm().hanging(), lambda: vllm().failing(DRIPPING)])
def test_hanging_or_dripping_server_ends_at_timeout(
    open_server: Callable[[], Imitation],
) -> None:
    with open_server() as server:
        failure = fails(lambda: complete_all(by_openai(server, 0.3)))
    assert failure.code == "timeout" and "raise llm.timeout_s" in str(failure)


@pytest.mark.parametrize(
    ("value", "least_s", "most_s"),
    [("7", 7, 7), ("0.5", 0.5, 0.5), ("Wed, 21 Oct 2065 07:28:00 GMT", 3600, 3600), ("99999999", 3600, 3600),
     ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0), ("-3", 0, 0), ("nan", 0, 0), ("soon", 0, 0)],
)  # fmt: skip
def test_retry_after_header_of_busy_server_sets_bounded_delay(
    value: str, least_s: float, most_s: float
) -> None:
    with vllm().failing(json_reply({"error": "busy"}, 429, Retry_After=value)) as server:
        failure = fails(lambda: complete_all(by_openai(server)))
    assert failure.code == "rate_limited" and least_s <= failure.after_s <= most_s


def test_prompt_beyond_context_is_context_overflow_and_not_retryable() -> None:
    with llama_cpp(context_tokens=500) as server:
        failure = fails(lambda: complete_all(by_openai(server), a_request("x" * 600)))
    assert failure.code == "context_overflow" and failure.code not in RETRYABLE


NASTY = f"\x1b[31m{KEY.get_secret_value()}\n\u202e{KEY.get_secret_value()} \x00" + "A" * 5000


@pytest.mark.parametrize("body", [{"error": {"message": NASTY}}, {"detail": NASTY}, {"odd": NASTY}, NASTY])
@pytest.mark.parametrize("status", [200, 400, 500])
def test_a_hostile_error_is_one_short_printable_line_without_the_key(status: int, body: object) -> None:
    with vllm().failing(json_reply(body, status)) as server:
        failure = fails(lambda: complete_all(by_openai(server)))
    assert failure.code in {"garbage_reply", "bad_request", "server_error"}


def test_a_key_that_a_server_repeats_reaches_no_record() -> None:
    secret = KEY.get_secret_value()
    escaped = "".join(f"\\u{ord(each):04x}" for each in secret)
    body = json.dumps(completion(f"{secret} ESCAPED", finish_reason=secret, refusal=secret))
    reply = Reply(body.replace("ESCAPED", escaped).replace("m-1", escaped).encode())
    with vllm().failing(reply) as server:
        answer = complete_sync(lambda: by_openai(server))
    recorded = msgspec.json.encode((a_request(), answer))
    assert secret.encode() not in recorded and recorded.count(b"[key]") == 5
    assert secret not in repr(by_openai(server).__dict__)


def test_rejected_output_mode_falls_back_for_all_later_calls() -> None:
    with lm_studio() as server:
        backend = lambda: _asked(server, model="qwen", form="json_object", probed_ns=1)  # noqa: E731
        answer = complete_sync(backend, a_request(), a_request())
    output_modes = [request.body.get("response_format", {}).get("type") for request in server.chats()]
    assert output_modes == ["json_object", None, None] and answer.sent_as == "text"
    stored = capabilities.load(server.base_url, "qwen")
    assert stored and stored.form == "text"


def test_concurrent_calls_fall_back_to_same_output_mode() -> None:
    async def run(server: Imitation) -> tuple[list[str], str]:
        backend = _asked(server, model="qwen", form="json_object", probed_ns=1)
        answers = await asyncio.gather(*(backend.complete(a_request()) for _ in range(5)))
        await backend.close()
        return [answer.sent_as for answer in answers], backend.known.form

    with lm_studio() as server:
        assert asyncio.run(run(server)) == (["text"] * 5, "text")


@pytest.mark.parametrize(
    ("refused", "reply", "kept"),
    [
        ("temperature", json_reply({"error": {"message": "Unsupported value", "param": "temperature"}}, 400),
         {"temperature": False}),
        ("max_tokens", json_reply({"error": {"message": "max_tokens: use max_completion_tokens"}}, 400),
         {"limit": "max_completion_tokens"}),
        ("reasoning_effort", json_reply({"detail": [{"loc": ["body", "reasoning_effort"], "input": "low"}]}, 422),
         {"thinking": {"low": {}}}),
        ("response_format", json_reply({"error": "failed to parse grammar"}, 500), {"form": "text"}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("probed_ns", [0, 1])
def test_parameter_refused_during_a_run_is_dropped_for_all_later_calls(
    refused: str, reply: Reply, kept: dict[str, object], probed_ns: int
) -> None:
    async def run(server: Imitation) -> OpenAICompatible:
        backend = _asked(server, probed_ns=probed_ns)
        request = msgspec.structs.replace(a_request(), reasoning="low")
        assert [each.finish_reason for each in await complete_all(backend, request, request)] == ["stop"] * 2
        return backend

    with vllm() as server:
        answers = server.pages["/v1/chat/completions"]
        server.pages["/v1/chat/completions"] = lambda request: (
            reply if refused in request.body else answers(request)
        )
        known = asyncio.run(run(server)).known
        assert refused not in server.chats()[-1].body and refused not in server.chats()[-2].body
    assert {name: getattr(known, name) for name in kept} == kept
    # What was never measured is not taken for measured.
    assert capabilities.load(server.base_url, "m") == (known if probed_ns else None)


def test_failure_that_names_no_parameter_is_sent_once() -> None:
    with vllm().failing(json_reply({"error": "crashed"}, 500)) as server:
        assert fails(lambda: complete_all(by_openai(server))).code == "server_error"
        assert len(server.chats()) == 1


def test_limit_refused_under_both_names_ends_with_the_first_message() -> None:
    def refuse(request: ReceivedRequest) -> Reply:
        sent = "max_tokens" if "max_tokens" in request.body else "max_completion_tokens"
        return json_reply({"error": f"{sent} is out of range"}, 400)

    with vllm() as server:
        server.pages["/v1/chat/completions"] = refuse
        failure = fails(lambda: complete_all(by_openai(server)))
        assert len(server.chats()) == 2
    assert "max_tokens is out of range" in str(failure)


@pytest.mark.parametrize(
    "message",
    [
        {"content": FITTING, "reasoning_content": "It rises."},
        {"content": FITTING, "reasoning": "It rises."},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "It rises."}]},
                     {"type": "text", "text": FITTING}]},
    ],
)  # fmt: skip
def test_thoughts_are_recorded_apart_from_the_answer(
    message: dict[str, object], capfd: pytest.CaptureFixture[str]
) -> None:
    body = completion(FITTING)
    body["choices"][0]["message"] |= message
    with vllm().failing(json_reply(body)) as server:
        answer = complete_sync(lambda: by_openai(server))
    assert (answer.text, answer.reasoning) == (FITTING, "It rises.")
    assert capfd.readouterr().err == ""


def test_extra_body_is_merged_into_the_request() -> None:
    extra = {"top_k": 20, "chat_template_kwargs": {"thinking": True}}
    request = msgspec.structs.replace(a_request(), reasoning="off", extra_body=extra)
    with vllm() as server:
        complete_sync(lambda: _asked(server, server="vllm"), request)
    sent = server.chats()[0].body
    assert sent["top_k"] == 20
    assert sent["chat_template_kwargs"] == {"enable_thinking": False, "thinking": True}


def test_text_output_mode_appends_schema_to_last_message() -> None:
    with llama_cpp() as server:
        complete_sync(lambda: _asked(server, form="text"))
    messages = server.chats()[0].body["messages"]
    assert '"confidence_pct"' in messages[-1]["content"] and messages[-1]["content"].startswith("Trade?")


def test_schema_rejected_in_every_output_mode_is_bad_request() -> None:
    with vllm().failing(json_reply({"error": "Invalid schema for response_format"}, 400)) as server:
        failure = fails(lambda: complete_all(by_openai(server)))
    assert (failure.code, len(server.chats())) == ("bad_request", 3)


def test_two_event_loops_in_one_process_both_work() -> None:
    with vllm() as server:
        texts = [complete_sync(lambda: by_openai(server)).text for _ in range(2)]
    assert texts == [FITTING, FITTING]


def test_proxies_and_tracers_of_the_environment_are_never_contacted(monkeypatch: pytest.MonkeyPatch) -> None:
    with vllm() as server, vllm() as other:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "OPENAI_PROXY", "OPENAI_BASE_URL"):
            monkeypatch.setenv(name, other.root)
        monkeypatch.setenv("LANGSMITH_TRACING", "true")
        monkeypatch.setenv("LANGSMITH_ENDPOINT", other.root)
        monkeypatch.setenv("NO_PROXY", "")
        complete_sync(lambda: by_openai(server))
        assert (len(server.received), len(other.received)) == (1, 0)


@pytest.mark.parametrize("counted", [11.0, 11, "11"])
def test_counts_of_tokens_are_whole_numbers_whatever_the_server_writes(counted: object) -> None:
    usage = {"prompt_tokens": counted, "completion_tokens": counted, "total_tokens": counted}
    with vllm().failing(json_reply(completion(FITTING, usage=usage))) as server:
        counts = complete_sync(lambda: by_openai(server)).usage
    assert counts is not None
    assert {type(each) for each in msgspec.structs.astuple(counts)} == {int}


@pytest.mark.parametrize(("reported", "apart", "among_them"), [(3200, 3200, 0), (40, 0, 40), (None, 0, 0)])
def test_cached_tokens_are_counted_apart_or_among_those_of_the_prompt(
    reported: int | None, apart: int, among_them: int
) -> None:
    usage = {"prompt_tokens": 50, "completion_tokens": 7, "total_tokens": 57}
    details = {"prompt_tokens_details": {"cached_tokens": reported}}
    with vllm().failing(json_reply(completion(FITTING, usage=usage | details))) as server:
        assert complete_sync(lambda: by_openai(server)).usage == Usage(50, 7, apart, among_them)


def test_an_unnamed_model_is_the_first_listed_that_can_answer() -> None:
    async def run(server: Imitation) -> tuple[str, str, str]:
        backend = await open_openai_compatible(server.base_url, "", None, 10.0)
        await backend.close()
        return backend.model, backend.server, backend.known.form

    with lm_studio() as server:
        assert asyncio.run(run(server)) == ("qwen", "lm_studio", "json_schema")
    with llama_cpp() as server:
        assert asyncio.run(run(server)) == ("smollm2", "llama_cpp", "json_schema")


def test_named_model_of_unreachable_server_is_used_without_storing() -> None:
    base_url = f"http://127.0.0.1:{_free_port()}/v1"
    backend = asyncio.run(_opened(base_url, "m"))
    assert (backend.model, backend.known.form, capabilities.load(base_url, "m")) == (
        "m",
        "json_schema",
        None,
    )
    assert fails(lambda: _opened(base_url, "")).code == "unreachable"


async def _opened(base_url: str, model: str) -> OpenAICompatible:
    backend = await open_openai_compatible(base_url, model, None, 10.0)
    await backend.close()
    return backend


@pytest.mark.parametrize(("status", "code"), [(503, "server_error"), (429, "rate_limited")])
def test_a_busy_server_is_not_taken_for_one_without_models(status: int, code: str) -> None:
    with vllm() as server:
        server.pages["/v1/models"] = lambda _: json_reply({"error": "busy"}, status)
        assert fails(lambda: open_openai_compatible(server.base_url, "", None, 0.3)).code == code


def test_server_without_models_fails_as_model_gone() -> None:
    with vllm() as server:
        server.pages["/v1/models"] = lambda _: json_reply({"object": "list", "data": []})
        failure = fails(lambda: _opened(server.base_url, ""))
    assert failure.code == "model_gone" and "lists no model" in str(failure)


def test_rejected_key_fails_when_backend_is_opened() -> None:
    with vllm() as server:
        server.failing(json_reply({"error": "who are you?"}, 401))
        assert fails(lambda: _opened(server.base_url, "m")).code == "unauthorized"


def test_a_request_that_may_take_longer_than_usual_is_waited_for() -> None:
    with vllm() as server:
        server.delayed(0.6)
        answer = complete_sync(
            lambda: by_openai(server, 0.1), msgspec.structs.replace(a_request(), timeout_s=60.0)
        )
    assert answer.text == FITTING


def test_a_request_that_may_take_less_than_usual_is_cut() -> None:
    with vllm().hanging() as server:
        request = msgspec.structs.replace(a_request(), timeout_s=0.1)
        failure = fails(lambda: complete_all(by_openai(server, 60.0), request))
    assert failure.code == "timeout" and "no answer in 0.1 s" in str(failure)

"""How a model answers is found by a few requests, and kept."""

import asyncio
from collections.abc import Callable

import pytest

from autohedge.llm.backends import capabilities
from autohedge.llm.backends.capabilities import AnswerSettings, ModelCapability
from autohedge.llm.backends.ollama import open_ollama
from autohedge.llm.backends.openai_compatible import open_openai_compatible
from tests.llm.backend_harness import FITTING, a_request, complete_all, fails
from tests.llm.imitation_server import (
    Imitation,
    JsonObject,
    Reply,
    completion,
    json_reply,
    llama_cpp,
    lm_studio,
    ollama,
    vllm,
)
from tests.llm.thinking_server import THOUGHT, refusing, thinking, thinking_ollama, with_chat


def _known(server: Imitation, model: str = "m", **settings: object) -> ModelCapability:
    async def run() -> ModelCapability:
        terms = AnswerSettings(**settings)  # type: ignore[arg-type]
        backend = await open_openai_compatible(server.base_url, model, None, 10.0, terms)
        await backend.close()
        return backend.known

    return asyncio.run(run())


def _ollama_known(server: Imitation, **settings: object) -> ModelCapability:
    async def run() -> ModelCapability:
        terms = AnswerSettings(**settings)  # type: ignore[arg-type]
        backend = await open_ollama(server.root, "llama3:8b", 8192, 10.0, terms)
        [answer] = await complete_all(backend, a_request())
        assert answer.text == FITTING
        return backend.known

    return asyncio.run(run())


def _effort_is_none(body: JsonObject) -> bool:
    return body.get("reasoning_effort") == "none"


def _template_is_off(body: JsonObject) -> bool:
    return body.get("chat_template_kwargs", {}).get("enable_thinking") is False


@pytest.mark.parametrize(
    ("imitation", "stops"),
    [
        (lm_studio, _effort_is_none),
        (llama_cpp, _template_is_off),
        (vllm, _template_is_off),
        (vllm, lambda body: body.get("reasoning_effort") == "low"),
        (lambda: Imitation({}, lambda _: Reply(b"", 404)), lambda body: body.get("enable_thinking") is False),
    ],
)
@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_thinking_model_is_asked_with_what_stops_it(
    imitation: Callable[[], Imitation], stops: Callable[[JsonObject], bool], field: str
) -> None:
    with imitation() as server:
        server.pages["/v1/chat/completions"] = thinking(stops, field=field)
        known = _known(server)
        backend = asyncio.run(_open_and_ask(server))
    assert stops(known.thinking["auto"]) and known.form == "json_schema"
    assert backend == FITTING and stops(server.chats()[-1].body)


async def _open_and_ask(server: Imitation) -> str:
    backend = await open_openai_compatible(server.base_url, "m", None, 10.0)
    return (await complete_all(backend, a_request()))[0].text


def test_model_that_cannot_stop_thinking_gets_a_larger_limit() -> None:
    with with_chat(vllm(), thinking(lambda _: False, enough=1000)) as server:
        known = _known(server)
        assert (known.least_tokens, known.thinking) == (1200, {})
        assert asyncio.run(_open_and_ask(server)) == FITTING
        assert server.chats()[-1].body["max_tokens"] == 1200


def test_larger_limit_leaves_room_for_the_prompt() -> None:
    known = ModelCapability("http://a/v1", "m", least_tokens=4096)
    request = a_request("x" * 3000)
    assert known.answer_tokens(request, 100_000) == 4096
    assert 160 < known.answer_tokens(request, 2048) < 2048 - 1000
    assert known.answer_tokens(request, 512) == request.max_tokens


def test_limit_of_the_user_is_never_raised() -> None:
    with with_chat(vllm(), thinking(_template_is_off, enough=1000)) as server:
        known = _known(server, max_answer_tokens=500)
        assert _template_is_off(known.thinking["auto"]) and known.least_tokens == 0
        limits = {request.body["max_tokens"] for request in server.chats()}
        assert limits == {500}
        assert _known(server, max_answer_tokens=1500).thinking == {}


def test_schema_that_lands_in_the_thoughts_falls_to_text() -> None:
    def chat(body: JsonObject) -> Reply | None:
        form = body.get("response_format", {}).get("type")
        if form == "json_schema":
            return json_reply(completion("", reasoning_content='{"blue": 1}'))
        return json_reply({"error": "json_object is not known"}, 400) if form else None

    with with_chat(lm_studio(), refusing(thinking(_effort_is_none), chat)) as server:
        known = _known(server, "qwen")
    assert (known.form, known.thinking) == ("text", {"auto": {"reasoning_effort": "none"}})


def test_refused_way_to_stop_thinking_is_passed_over() -> None:
    def refuse(body: JsonObject) -> Reply | None:
        unknown = "Unrecognized request argument supplied: reasoning_effort"
        return json_reply({"error": {"message": unknown}}, 400) if "reasoning_effort" in body else None

    with with_chat(lm_studio(), refusing(thinking(_template_is_off), refuse)) as server:
        assert _template_is_off(_known(server, "qwen").thinking["auto"])


def test_thoughts_in_the_text_are_seen_when_it_is_cut() -> None:
    page = refusing(
        thinking(_template_is_off),
        lambda body: (
            None if _template_is_off(body) else json_reply(completion(f"<think>{THOUGHT}", "length"))
        ),
    )
    with with_chat(llama_cpp(), page) as server:
        assert _template_is_off(_known(server).thinking["auto"])


@pytest.mark.parametrize(
    ("reasoning", "part"),
    [
        ("off", {"chat_template_kwargs": {"enable_thinking": False, "thinking": False}}),
        (
            "low",
            {"reasoning_effort": "low", "chat_template_kwargs": {"enable_thinking": True, "thinking": True}},
        ),
    ],
)
def test_reasoning_of_the_user_is_sent_from_the_first_request(reasoning: str, part: JsonObject) -> None:
    with vllm() as server:
        _known(server, reasoning=reasoning)
        [probed] = server.chats()
    assert part.items() <= probed.body.items()


def test_reasoning_that_a_server_does_not_know_is_not_sent() -> None:
    def refuse(body: JsonObject) -> Reply | None:
        fault = {"type": "extra_forbidden", "loc": ["body", "reasoning_effort"], "msg": "Not permitted"}
        return json_reply({"detail": [fault]}, 422) if "reasoning_effort" in body else None

    with with_chat(lm_studio(), refusing(thinking(lambda _: True), refuse)) as server:
        assert _known(server, "qwen", reasoning="high").thinking == {"high": {}}


def test_off_is_not_satisfied_by_an_answer_with_thoughts() -> None:
    page = thinking(_template_is_off, enough=1)  # answers in any case, and thinks unless the template is off
    with with_chat(lm_studio(), page) as server:
        assert _template_is_off(_known(server, "qwen", reasoning="off").thinking["off"])
        assert _known(server, "qwen").thinking == {}


def test_model_that_never_answers_is_warned_about_and_not_stored(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with with_chat(vllm(), thinking(lambda _: False)) as server:
        assert _known(server).form == "json_schema"
        assert capabilities.load(server.base_url, "m") is None
    warned = capsys.readouterr().err
    assert "thinks" in warned and "llm.reasoning=off" in warned and "llm.max_answer_tokens" in warned


@pytest.mark.parametrize("off", [False, "low"])
def test_ollama_is_asked_not_to_think_if_its_model_is_silent(off: object) -> None:
    with with_chat(ollama(), thinking_ollama(lambda body: body.get("think") == off)) as server:
        assert _ollama_known(server).thinking == {"auto": {"think": off}}
        asked = len(server.chats())
        _ollama_known(server)
        assert len(server.chats()) == asked + 1  # the second time only the request itself


def test_ollama_gets_a_larger_limit_if_its_model_must_think() -> None:
    with with_chat(ollama(), thinking_ollama(lambda _: False, enough=4000)) as server:
        assert _ollama_known(server).least_tokens == 4096


def test_ollama_that_fails_with_a_schema_is_asked_in_text() -> None:
    fails_on_format = lambda body: json_reply({"error": "oops"}, 500) if "format" in body else None  # noqa: E731
    with with_chat(ollama(), refusing(thinking_ollama(lambda _: True), fails_on_format)) as server:
        assert _ollama_known(server).form == "text"


def test_failure_of_an_output_mode_falls_to_a_weaker_one() -> None:
    fails_on_form = lambda body: json_reply({"error": "crash"}, 502) if "response_format" in body else None  # noqa: E731
    with with_chat(vllm(), refusing(thinking(lambda _: True), fails_on_form)) as server:
        known = _known(server)
        assert known.form == "text" and capabilities.load(server.base_url, "m") == known


def test_failure_that_passes_does_not_weaken_the_output_mode() -> None:
    replies = iter([json_reply({"error": "hiccup"}, 500)])
    page = refusing(thinking(lambda _: True), lambda _: next(replies, None))
    with with_chat(vllm(), page) as server:
        assert _known(server).form == "json_schema"


def _refused(field: str, message: str, value: object = None) -> Callable[[JsonObject], Reply | None]:
    def refuse(body: JsonObject) -> Reply | None:
        wrong = field in body and body[field] != value
        return (
            json_reply({"error": {"message": message, "type": "invalid_request_error"}}, 400)
            if wrong
            else None
        )

    return refuse


TEMPERATURE = "Only the default temperature of 1 can be used with this model."
NEW_LIMIT = "'max_tokens' is deprecated; use 'max_completion_tokens'."


@pytest.mark.parametrize(
    ("field", "message", "expected"),
    [
        ("temperature", TEMPERATURE, {"temperature": False, "limit": "max_tokens"}),
        ("temperature", "Bad request", {"temperature": False, "limit": "max_tokens"}),
        ("max_tokens", NEW_LIMIT, {"temperature": True, "limit": "max_completion_tokens"}),
        ("max_tokens", "", {"temperature": True, "limit": "max_completion_tokens"}),
    ],
)
def test_refused_parameter_is_left_out_or_renamed(field: str, message: str, expected: JsonObject) -> None:
    with with_chat(vllm(), refusing(thinking(lambda _: True), _refused(field, message))) as server:
        known = _known(server)
        assert {name: getattr(known, name) for name in expected} == expected
        assert known.form == "json_schema"
        stored = capabilities.load(server.base_url, "m")
    assert stored == known and stored.probed_ns > 0


def test_server_of_openai_that_knows_only_max_tokens_gets_it() -> None:
    with with_chat(vllm(), refusing(thinking(lambda _: True), _refused("max_completion_tokens", "Unknown: max_completion_tokens"))) as server:  # fmt: skip
        rows = [{"id": "m", "object": "model", "owned_by": "system"}]
        server.pages["/v1/models"] = lambda _: json_reply({"object": "list", "data": rows})
        known = _known(server)
    assert (known.server, known.limit) == ("openai", "max_tokens")


def test_everything_refused_ends_with_the_first_message() -> None:
    with vllm().failing(json_reply({"error": "no such endpoint for you"}, 400)) as server:
        failure = fails(lambda: open_openai_compatible(server.base_url, "m", None, 10.0))
    assert failure.code == "bad_request" and "no such endpoint for you" in str(failure)


def test_capability_of_another_version_or_setting_is_measured_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with vllm() as server:
        _known(server)
        _known(server, extra_body={"top_k": 20})
        assert server.chats()[-1].body["top_k"] == 20
        assert len(server.chats()) == 2
        monkeypatch.setattr("autohedge.__version__", "0.0.0")
        _known(server)
        assert len(server.chats()) == 3

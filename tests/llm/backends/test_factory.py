"""The backend that each provider setting creates."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from pydantic import SecretStr

from autohedge.config import Settings, load
from autohedge.config.sections import LLMSettings
from autohedge.core.errors import Misconfigured
from autohedge.llm.backend import LLMBackend, LLMError
from autohedge.llm.backends.factory import _by_model, address, open_backend
from autohedge.llm.backends.router import ModelRouter
from autohedge.llm.backends.scripted import ScriptedBackend
from tests.llm.backend_harness import FITTING, KEY, a_request, complete_all, fails
from tests.llm.imitation_server import (
    Imitation,
    ReceivedRequest,
    Reply,
    json_reply,
    llama_cpp,
    lm_studio,
    ollama,
    vllm,
)
from tests.llm.request_factory import Script

RULES = ScriptedBackend([FITTING])


pytestmark = pytest.mark.usefixtures("workplace")


def _settings(**llm: str) -> Settings:
    return load(overrides=[f"llm.{key}={value!r}" for key, value in llm.items()])


def _opened(
    settings: Settings, *ports: int, key: SecretStr | None = None, on_tape: bool = False
) -> LLMBackend:
    async def run() -> LLMBackend:
        backend = await open_backend(settings, key, on_tape=on_tape, rules=RULES, ports=ports)
        await backend.close()
        return backend

    return asyncio.run(run())


def test_rules_provider_or_tape_uses_given_rules_without_server() -> None:
    assert _opened(_settings(provider="rules")) is RULES
    with lm_studio() as server:
        assert _opened(_settings(base_url=server.base_url), server.port, on_tape=True) is RULES
        assert not server.received


def test_auto_takes_the_rules_where_no_server_runs() -> None:
    assert _opened(_settings()) is RULES


@pytest.mark.parametrize(
    ("imitation", "kind"), [(lm_studio, "lm_studio"), (llama_cpp, "llama_cpp"), (vllm, "vllm")]
)
def test_auto_uses_local_server_and_sends_it_no_key(imitation: Callable[[], Imitation], kind: str) -> None:
    with imitation() as server:
        backend = _opened(_settings(), server.port, key=KEY)
        assert (backend.name, backend.server) == ("openai", kind)
        assert not any(KEY.get_secret_value() in str(request.headers) for request in server.received)


def test_auto_uses_native_protocol_of_ollama() -> None:
    with ollama() as server:
        assert _opened(_settings(), server.port).name == "ollama"


def test_auto_uses_configured_base_url_with_key() -> None:
    with vllm() as server:
        backend = _opened(_settings(base_url=server.base_url, model="mine"), key=KEY)
        assert (backend.name, backend.model, backend.server) == ("openai", "mine", "vllm")
        assert server.received[0].headers["authorization"] == f"Bearer {KEY.get_secret_value()}"


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/"])
def test_an_address_may_be_given_with_or_without_its_usual_path(path: str) -> None:
    with lm_studio() as server:
        assert _opened(_settings(provider="openai", base_url=server.root + path)).model == "qwen"
    with ollama() as server:
        assert _opened(_settings(provider="ollama", base_url=server.root + path)).model == "llama3:8b"


def test_scripted_and_chaos_providers_replace_model() -> None:
    Path("script.jsonl").write_text('"one"\n')

    async def texts(**llm: str) -> list[str]:
        backend = await open_backend(_settings(**llm), None, on_tape=True, rules=RULES)
        return [answer.text for answer in await complete_all(backend, a_request())]

    assert asyncio.run(texts(provider="scripted", script="script.jsonl")) == ["one"]
    assert _opened(_settings(provider="chaos")).name == "chaos"


@pytest.mark.parametrize(
    ("llm", "expected"),
    [
        ({"provider": "scripted"}, "set llm.script"),
        ({"provider": "scripted", "script": "gone.jsonl"}, "cannot read the script gone.jsonl"),
        ({"provider": "openai"}, "set AUTOHEDGE_LLM_API_KEY"),
        ({"provider": "openai", "base_url": "ftp://host"}, "http://127.0.0.1:1234/v1"),
        ({"provider": "ollama", "base_url": "127.0.0.1:11434"}, "llm.base_url is '127.0.0.1:11434'"),
        ({"base_url": "http://host:99999"}, "llm.base_url is"),
        ({"base_url": "http://"}, "llm.base_url is"),
        ({"base_url": "http://me:sk-1@host/v1"}, "a key goes into AUTOHEDGE_LLM_API_KEY"),
        ({"base_url": "http://host/v1?key=sk-1"}, "a key goes into AUTOHEDGE_LLM_API_KEY"),
    ],
)
def test_invalid_llm_settings_are_refused_with_remedy(llm: dict[str, str], expected: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        _opened(_settings(**llm))
    text = str(caught.value)
    assert expected in text and text.isprintable() and "sk-1" not in text


def test_openai_provider_without_model_is_misconfigured() -> None:
    with pytest.raises(Misconfigured, match="set llm.model"):
        _opened(_settings(provider="openai"), key=KEY)


def test_an_address_with_a_line_break_is_refused() -> None:
    with pytest.raises(Misconfigured):
        address("http://host/v1\n")


def test_configured_server_that_is_down_is_unreachable() -> None:
    with vllm() as server:
        pass
    settings = _settings(provider="openai", base_url=server.base_url)
    assert fails(lambda: open_backend(settings, KEY, on_tape=False, rules=RULES)).code == "unreachable"


def _answering(server: Imitation, *models: str) -> Imitation:
    """A server that has only these models, and answers under their names."""
    chat = server.pages["/v1/chat/completions"]

    def by_name(request: ReceivedRequest) -> Reply:
        model = request.body["model"]
        if model not in models:
            return json_reply({"error": f"The model `{model}` does not exist."}, 404)
        reply = chat(request)
        return Reply(reply.body.replace(b'"m-1"', json.dumps(model).encode()))

    server.pages["/v1/chat/completions"] = by_name
    return server


def _with_agents(llm: dict[str, str], **models: str) -> Settings:
    named = [f"agents.{agent}.model={model!r}" for agent, model in models.items()]
    return load(overrides=[*(f"llm.{key}={value!r}" for key, value in llm.items()), *named])


def test_two_models_of_one_server_are_probed_and_called_by_name() -> None:
    requests = [msgspec.structs.replace(a_request(), model=model) for model in ("", "small", "large")]

    async def run(settings: Settings) -> tuple[LLMBackend, list[str]]:
        backend = await open_backend(settings, None, on_tape=False, rules=RULES)
        return backend, [answer.model for answer in await complete_all(backend, *requests)]

    with _answering(vllm(), "large", "small") as server:
        llm = {"provider": "openai", "base_url": server.base_url, "model": "large"}
        backend, answered = asyncio.run(run(_with_agents(llm, quant="small", risk="large", learning="small")))
        probed, requested = server.chats()[:2], server.chats()[2:]
    assert answered == ["large", "small", "large"] == [request.body["model"] for request in requested]
    assert [request.body["model"] for request in probed] == ["large", "small"]
    assert (backend.name, backend.model, backend.server) == ("openai", "large", "vllm")


def test_model_of_an_agent_is_measured_under_the_settings_of_that_agent() -> None:
    given = ["agents.quant.model=small", "agents.quant.reasoning=off", "llm.extra_body={top_k=7}"]
    with _answering(vllm(), "large", "small") as server:
        where = [f"llm.base_url={server.base_url}", "llm.provider=openai", "llm.model=large"]
        _opened(load(overrides=[*where, *given]))
        large, small = server.chats()
    assert large.body["top_k"] == small.body["top_k"] == 7
    assert "chat_template_kwargs" in small.body and "chat_template_kwargs" not in large.body


def test_two_models_of_an_ollama_server_are_called_by_name() -> None:
    requests = [msgspec.structs.replace(a_request(), model=model) for model in ("", "nomic-embed-text")]

    async def run(root: str) -> list[str]:
        settings = _with_agents({"provider": "ollama", "base_url": root}, director="nomic-embed-text")
        backend = await open_backend(settings, None, on_tape=False, rules=RULES)
        return [answer.model for answer in await complete_all(backend, *requests)]

    with ollama() as server:
        assert asyncio.run(run(server.root)) == ["llama3:8b", "nomic-embed-text"]


def test_local_server_with_agent_models_opens_model_router() -> None:
    with _answering(lm_studio(), "qwen", "small") as server:
        assert isinstance(_opened(_with_agents({}, quant="small"), server.port), ModelRouter)


def test_agents_that_name_the_default_model_need_no_second_backend() -> None:
    with _answering(vllm(), "meta/llama") as server:
        llm = {"provider": "openai", "base_url": server.base_url}
        assert _opened(_with_agents(llm, risk="meta/llama")).name == "openai"
        assert not isinstance(_opened(_with_agents(llm, risk="meta/llama")), ModelRouter)


def test_model_missing_at_server_is_reported_with_its_agents() -> None:
    with _answering(vllm(), "large") as server:
        llm = {"provider": "openai", "base_url": server.base_url, "model": "large"}
        with pytest.raises(LLMError) as caught:
            _opened(_with_agents(llm, quant="gone", risk="gone"))
    assert caught.value.code == "model_gone"
    assert str(caught.value).startswith("model 'gone' (agents.quant.model, agents.risk.model): http")
    assert len(str(caught.value)) <= 300 and "set llm.model" in str(caught.value)


@pytest.mark.parametrize("provider", ["rules", "chaos", "scripted", "auto"])
def test_provider_without_model_warns_once_about_agent_models(
    provider: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("script.jsonl").write_text('"one"\n')
    llm = {"provider": provider, "script": "script.jsonl"}
    assert not isinstance(_opened(_with_agents(llm, quant="small", risk="other"), on_tape=True), ModelRouter)
    error_output = capsys.readouterr().err
    assert error_output.count("models of agents are ignored") == 1
    assert "agents.quant.model, agents.risk.model" in error_output and "llm.provider=openai" in error_output


def test_settings_without_agent_models_print_no_warning(capsys: pytest.CaptureFixture[str]) -> None:
    _opened(_settings(provider="rules"))
    assert capsys.readouterr().err == ""


def test_opened_backends_are_closed_when_a_later_model_fails() -> None:
    backends = [Script(), Script()]

    async def opening(llm: LLMSettings) -> LLMBackend:
        if llm.model == "gone":
            raise LLMError("model_gone", "it lists no such model")
        backend = backends[bool(llm.model)]
        backend.model = llm.model or "large"
        return backend

    with pytest.raises(LLMError, match=r"'gone' \(agents.risk.model\): it lists no such model"):
        asyncio.run(_by_model(_with_agents({}, quant="small", risk="gone"), opening))
    assert [backend.closed for backend in backends] == [True, True]

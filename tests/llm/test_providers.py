"""From settings to the backend that answers."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from pydantic import SecretStr

from autohedge.config import Settings, load
from autohedge.config.sections import LLM
from autohedge.core.errors import Misconfigured
from autohedge.llm.backend import LLMBackend, ModelFailure
from autohedge.llm.by_model import ByModel
from autohedge.llm.providers import _by_model, address, open_backend
from autohedge.llm.scripted import Scripted
from tests.llm.asking import FITTING, KEY, a_request, asked, fails
from tests.llm.questions import Script
from tests.llm.servers import Heard, Imitation, Reply, llama_cpp, lm_studio, ollama, said, vllm

RULES = Scripted([FITTING])


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


def test_rules_are_the_given_ones_and_a_tape_asks_no_server() -> None:
    assert _opened(_settings(provider="rules")) is RULES
    with lm_studio() as server:
        assert _opened(_settings(base_url=server.base_url), server.port, on_tape=True) is RULES
        assert not server.heard


def test_auto_takes_the_rules_where_no_server_runs() -> None:
    assert _opened(_settings()) is RULES


@pytest.mark.parametrize(
    ("imitation", "kind"), [(lm_studio, "lm_studio"), (llama_cpp, "llama_cpp"), (vllm, "vllm")]
)
def test_auto_takes_a_server_of_this_machine_and_tells_it_no_key(
    imitation: Callable[[], Imitation], kind: str
) -> None:
    with imitation() as server:
        backend = _opened(_settings(), server.port, key=KEY)
        assert (backend.name, backend.server) == ("openai", kind)
        assert not any(KEY.get_secret_value() in str(heard.headers) for heard in server.heard)


def test_auto_speaks_ollamas_own_protocol() -> None:
    with ollama() as server:
        assert _opened(_settings(), server.port).name == "ollama"


def test_auto_takes_an_address_that_is_named_with_the_key() -> None:
    with vllm() as server:
        backend = _opened(_settings(base_url=server.base_url, model="mine"), key=KEY)
        assert (backend.name, backend.model, backend.server) == ("openai", "mine", "vllm")
        assert server.heard[0].headers["authorization"] == f"Bearer {KEY.get_secret_value()}"


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/"])
def test_an_address_may_be_given_with_or_without_its_usual_path(path: str) -> None:
    with lm_studio() as server:
        assert _opened(_settings(provider="openai", base_url=server.root + path)).model == "qwen"
    with ollama() as server:
        assert _opened(_settings(provider="ollama", base_url=server.root + path)).model == "llama3:8b"


def test_a_script_and_chaos_answer_in_a_models_place() -> None:
    Path("script.jsonl").write_text('"one"\n')

    async def texts(**llm: str) -> list[str]:
        backend = await open_backend(_settings(**llm), None, on_tape=True, rules=RULES)
        return [answer.text for answer in await asked(backend, a_request())]

    assert asyncio.run(texts(provider="scripted", script="script.jsonl")) == ["one"]
    assert _opened(_settings(provider="chaos")).name == "chaos"


@pytest.mark.parametrize(
    ("llm", "told"),
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
def test_settings_that_cannot_work_are_told_with_the_cure(llm: dict[str, str], told: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        _opened(_settings(**llm))
    text = str(caught.value)
    assert told in text and text.isprintable() and "sk-1" not in text


def test_openai_itself_wants_a_model_named() -> None:
    with pytest.raises(Misconfigured, match="set llm.model"):
        _opened(_settings(provider="openai"), key=KEY)


def test_an_address_with_a_line_break_is_refused() -> None:
    with pytest.raises(Misconfigured):
        address("http://host/v1\n")


def test_a_named_server_that_is_down_is_told_if_it_must_be_asked() -> None:
    with vllm() as server:
        pass
    settings = _settings(provider="openai", base_url=server.base_url)
    assert fails(lambda: open_backend(settings, KEY, on_tape=False, rules=RULES)).code == "unreachable"


def _answering(server: Imitation, *models: str) -> Imitation:
    """Knows these models and no others, and answers under their names."""
    chat = server.pages["/v1/chat/completions"]

    def by_name(heard: Heard) -> Reply:
        model = heard.body["model"]
        if model not in models:
            return said({"error": f"The model `{model}` does not exist."}, 404)
        reply = chat(heard)
        return Reply(reply.body.replace(b'"m-1"', json.dumps(model).encode()))

    server.pages["/v1/chat/completions"] = by_name
    return server


def _with_agents(llm: dict[str, str], **models: str) -> Settings:
    named = [f"agents.{agent}.model={model!r}" for agent, model in models.items()]
    return load(overrides=[*(f"llm.{key}={value!r}" for key, value in llm.items()), *named])


def test_two_models_of_one_server_are_asked_by_name_each_in_its_form() -> None:
    requests = [msgspec.structs.replace(a_request(), model=model) for model in ("", "small", "large")]

    async def run(settings: Settings) -> tuple[LLMBackend, list[str]]:
        backend = await open_backend(settings, None, on_tape=False, rules=RULES)
        return backend, [answer.model for answer in await asked(backend, *requests)]

    with _answering(vllm(), "large", "small") as server:
        llm = {"provider": "openai", "base_url": server.base_url, "model": "large"}
        backend, answered = asyncio.run(run(_with_agents(llm, quant="small", risk="large", learning="small")))
        probed, asked_for = server.chats()[:2], server.chats()[2:]
    assert answered == ["large", "small", "large"] == [heard.body["model"] for heard in asked_for]
    assert [heard.body["model"] for heard in probed] == ["large", "small"]
    assert (backend.name, backend.model, backend.server) == ("openai", "large", "vllm")


def test_two_models_of_an_ollama_server_are_asked_by_name() -> None:
    requests = [msgspec.structs.replace(a_request(), model=model) for model in ("", "nomic-embed-text")]

    async def run(root: str) -> list[str]:
        settings = _with_agents({"provider": "ollama", "base_url": root}, director="nomic-embed-text")
        backend = await open_backend(settings, None, on_tape=False, rules=RULES)
        return [answer.model for answer in await asked(backend, *requests)]

    with ollama() as server:
        assert asyncio.run(run(server.root)) == ["llama3:8b", "nomic-embed-text"]


def test_a_local_server_is_asked_for_the_models_of_agents_too() -> None:
    with _answering(lm_studio(), "qwen", "small") as server:
        assert isinstance(_opened(_with_agents({}, quant="small"), server.port), ByModel)


def test_agents_that_name_the_default_model_need_no_second_backend() -> None:
    with _answering(vllm(), "meta/llama") as server:
        llm = {"provider": "openai", "base_url": server.base_url}
        assert _opened(_with_agents(llm, risk="meta/llama")).name == "openai"
        assert not isinstance(_opened(_with_agents(llm, risk="meta/llama")), ByModel)


def test_a_model_that_the_server_lacks_is_told_with_the_agents_that_name_it() -> None:
    with _answering(vllm(), "large") as server:
        llm = {"provider": "openai", "base_url": server.base_url, "model": "large"}
        with pytest.raises(ModelFailure) as caught:
            _opened(_with_agents(llm, quant="gone", risk="gone"))
    assert caught.value.code == "model_gone"
    assert str(caught.value).startswith("model 'gone' (agents.quant.model, agents.risk.model): http")
    assert len(str(caught.value)) <= 300 and "set llm.model" in str(caught.value)


@pytest.mark.parametrize("provider", ["rules", "chaos", "scripted", "auto"])
def test_what_answers_in_a_models_place_says_once_that_it_answers_for_all(
    provider: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("script.jsonl").write_text('"one"\n')
    llm = {"provider": provider, "script": "script.jsonl"}
    assert not isinstance(_opened(_with_agents(llm, quant="small", risk="other"), on_tape=True), ByModel)
    told = capsys.readouterr().err
    assert told.count("models of agents are not asked") == 1
    assert "agents.quant.model, agents.risk.model" in told and "llm.provider=openai" in told


def test_nothing_is_said_where_no_agent_names_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    _opened(_settings(provider="rules"))
    assert capsys.readouterr().err == ""


def test_what_was_opened_is_closed_if_a_later_model_cannot_be() -> None:
    backends = [Script(), Script()]

    async def opening(llm: LLM) -> LLMBackend:
        if llm.model == "gone":
            raise ModelFailure("model_gone", "it lists no such model")
        backend = backends[bool(llm.model)]
        backend.model = llm.model or "large"
        return backend

    with pytest.raises(ModelFailure, match=r"'gone' \(agents.risk.model\): it lists no such model"):
        asyncio.run(_by_model(_with_agents({}, quant="small", risk="gone"), opening))
    assert [backend.closed for backend in backends] == [True, True]

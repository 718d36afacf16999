"""From settings to the backend that answers."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from autohedge.config import Settings, load
from autohedge.core.errors import Misconfigured
from autohedge.llm.backend import LLMBackend
from autohedge.llm.providers import address, open_backend
from autohedge.llm.scripted import Scripted
from tests.llm.asking import FITTING, KEY, a_request, asked, fails
from tests.llm.servers import Imitation, llama_cpp, lm_studio, ollama, vllm

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

"""Which key a model server gets, and which headers go with it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from autohedge.config import load
from autohedge.core.errors import Misconfigured
from autohedge.llm.backends.api_keys import is_openai, key_for_server

pytestmark = pytest.mark.usefixtures("workplace")
ELSEWHERE = "https://models.example/v1"


def _key(*, on_tape: bool = False, **llm: str) -> str | None:
    settings = load(overrides=[f"llm.{name}={value!r}" for name, value in llm.items()])
    key = key_for_server(settings.llm, on_tape=on_tape)
    return key.get_secret_value() if key else None


@pytest.mark.parametrize(
    "url", ["https://api.openai.com/v1", "https://API.openai.com", "https://eu.api.openai.com/v1"]
)
def test_openai_is_known_by_its_host_over_tls(url: str) -> None:
    assert is_openai(url)


@pytest.mark.parametrize(
    "url",
    ["http://api.openai.com/v1", "https://api.openai.com.example/v1", "https://notapi.openai.com/v1",
     "https://example/api.openai.com", "https://[/", ""],
)  # fmt: skip
def test_a_host_that_resembles_openai_is_another(url: str) -> None:
    assert not is_openai(url)


def test_the_openai_key_goes_to_openai(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-general")
    assert _key(provider="openai") == "sk-general"
    assert _key(provider="openai", base_url="https://us.api.openai.com/v1") == "sk-general"


def test_the_openai_key_is_held_back_from_others_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-general")
    assert _key(provider="openai", base_url=ELSEWHERE) is None
    [line] = capsys.readouterr().err.splitlines()
    assert ELSEWHERE in line and "no key is sent" in line
    assert "set AUTOHEDGE_LLM_API_KEY" in line and "sk-general" not in line


@pytest.mark.parametrize("spelt", [ELSEWHERE, f"{ELSEWHERE}/"])
def test_the_openai_key_goes_to_the_address_in_openai_base_url(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], spelt: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-general")
    monkeypatch.setenv("OPENAI_BASE_URL", spelt)
    assert _key(provider="openai") == "sk-general"
    assert _key(provider="openai", base_url="https://third.example/v1") is None
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_named_key_goes_to_the_chosen_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-general")
    monkeypatch.setenv("AUTOHEDGE_LLM_API_KEY", "sk-own")
    Path(".env").write_text("OTHER_KEY=sk-other\n")
    assert _key(provider="openai", base_url=ELSEWHERE, key="OPENAI_API_KEY") == "sk-general"
    assert _key(provider="auto", base_url=ELSEWHERE, key="OTHER_KEY") == "sk-other"
    with pytest.raises(Misconfigured, match="llm.key names NO_KEY, which is not set"):
        _key(provider="openai", key="NO_KEY")


def test_the_own_key_goes_to_any_chosen_server_and_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-general")
    Path(".env").write_text("AUTOHEDGE_LLM_API_KEY=sk-own\n")
    assert _key(provider="openai", base_url=ELSEWHERE) == _key(provider="openai") == "sk-own"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "ask",
    [
        lambda: _key(provider="auto"),
        lambda: _key(provider="auto", base_url=ELSEWHERE, on_tape=True),
        lambda: _key(provider="ollama", base_url=ELSEWHERE),
        lambda: _key(provider="rules", key="NO_KEY"),
    ],
)
def test_no_key_is_read_where_no_chosen_server_takes_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], ask: Callable[[], str | None]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-general")
    monkeypatch.setenv("AUTOHEDGE_LLM_API_KEY", "sk-own")
    assert ask() is None
    assert capsys.readouterr().err == ""

"""`autohedge agents probe`: its text and its JSON, its exit code, and what it leaves behind."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from autohedge import cli
from autohedge.config.secrets import KEY_NAMES
from tests.audit.run_factory import agent_answer, team
from tests.llm.imitation_server import completion, json_reply, llama_cpp

Call = Callable[..., tuple[int, str, str]]
SHORT = ("synthetic.hours=0.1", "tools.table_rows=5")


@pytest.fixture
def call(workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Call the command line in an empty working directory: exit code, stdout, stderr."""
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("AUTOHEDGE_CACHE_DIR", str(workplace / "cache"))
    for name in KEY_NAMES:
        monkeypatch.delenv(name, raising=False)

    def autohedge(*args: str, settings: list[str] | tuple[str, ...] = ()) -> tuple[int, str, str]:
        overrides = [part for each in settings for part in ("--set", each)]
        monkeypatch.setattr(sys, "argv", ["autohedge", *args, *overrides])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0), *capsys.readouterr()

    return autohedge


def test_probe_of_the_rules_reads_and_leaves_no_record(call: Call, workplace: Path) -> None:
    code, out, err = call("agents", "probe", settings=SHORT)
    assert code == 0 and "\nverdict      reads: " in out
    assert "\nanswers      rules, a fixed formula: no LLM is called" in out
    assert re.findall(r"^round (\d) of 3: BTC/USD at 2025-", err, re.MULTILINE) == ["1", "2", "3"]
    assert not (workplace / "runs").exists() and not (workplace / "cache/probes").exists()


@pytest.mark.parametrize("agent", ["quant", "risk"])
def test_probe_asks_the_question_of_another_agent(call: Call, agent: str) -> None:
    answers = [agent_answer(agent)]
    code, out, _ = call("agents", "probe", "--agent", agent, "--json", settings=[*SHORT, *team(*answers)])
    found = json.loads(out)
    assert (code, found["agent"], found["verdict"]) == (1, agent, "ignores the figures")
    assert found["acts_on_empty"] == {"count": 3, "of": 3}


def test_probe_as_json_has_all_figures(call: Call) -> None:
    settings = [*SHORT, *team(agent_answer("director"))]
    code, out, _ = call("agents", "probe", "--rounds", "2", "--json", settings=settings)
    found = json.loads(out)
    assert (code, found["verdict"]) == (1, "ignores the figures")
    assert (found["model"], found["agent"], found["rounds"], found["recorded"]) == (
        "script",
        "director",
        2,
        False,
    )
    assert list(found["variants"]) == ["as_is", "swapped", "reversed", "empty", "repeat"]
    plain, swapped = found["variants"]["as_is"], found["variants"]["swapped"]
    assert plain["answers"] == swapped["answers"] == {"trade long": 2}
    assert (plain["first_named"], swapped["first_named"]) == (2, 0)
    assert found["repeats_agree"] == {"count": 2, "of": 2} and len(found["at_ns"]) == 2


def test_invalid_answers_are_shown_by_code(call: Call) -> None:
    code, out, _ = call("agents", "probe", settings=[*SHORT, *team("I would wait.")])
    assert code == 1 and "\nas is        0 of 3 valid\n" in out and "\ninvalid      no_json 15\n" in out
    assert "\nverdict      no valid answers: no answer can be used" in out


def test_failed_probe_of_a_configured_model_is_shown_by_doctor(call: Call, workplace: Path) -> None:
    answer = json.dumps(agent_answer("director"))
    counted = {"prompt_tokens": 5000, "completion_tokens": 7, "total_tokens": 5007}
    with llama_cpp().failing(json_reply(completion(answer, usage=counted))) as server:
        Path("config.toml").write_text(f'[llm]\nprovider = "openai"\nbase_url = "{server.base_url}"\n')
        assert "probe:" not in call("doctor")[1]
        code, out, _ = call("agents", "probe", settings=SHORT)
    assert code == 1 and "\nanswers      openai · smollm2 · llama_cpp" in out
    assert "5,000 tokens read, 7 written" in out
    shown = call("doctor")
    assert shown[0] == 1
    assert re.search(
        r"^BAD  probe: smollm2 as director: ignores the figures \(probed at ", shown[1], re.MULTILINE
    )
    Path("config.toml").write_text('[llm]\nprovider = "rules"\n')
    assert "probe:" not in call("doctor")[1]


def test_server_that_is_away_gives_no_verdict_on_its_model(call: Call, workplace: Path) -> None:
    with llama_cpp() as server:
        base_url = server.base_url
    own = ['llm.provider="openai"', f'llm.base_url="{base_url}"', 'llm.model="m"', "llm.retries=0"]
    code, out, _ = call("agents", "probe", settings=[*SHORT, *own])
    assert code == 1 and "\ninvalid      breaker_open 10, unreachable 5\n" in out
    assert "\ncause        the model's server cannot be reached" in out
    assert "\nmedian       0.0 s, 0 tokens read" in out and not (workplace / "cache/probes").exists()


def test_agent_that_cannot_be_probed_is_refused_in_one_line(call: Call) -> None:
    code, out, err = call("agents", "probe", "--agent", "execution", settings=SHORT)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "--agent execution: choose director, quant, risk" in err

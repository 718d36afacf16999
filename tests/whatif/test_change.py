"""Tests which changes a study accepts, and how it refuses the others."""

from pathlib import Path
from typing import Any

import pytest

from autohedge.core.errors import Misconfigured, Unavailable
from autohedge.journal import RunFolder
from autohedge.journal.folder import RUNS
from autohedge.prompts.library import builtin_path
from autohedge.whatif import Change, study
from autohedge.whatif.change import plan
from autohedge.whatif.recorded_run import read_record
from tests.forged_record_factory import rewrite_settings
from tests.whatif.study_factory import obeying, prompts, recorded, server_settings

SHORT = {"synthetic__hours": 0.03}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, r"no change is given: add --prompts DIR, --model, --provider, --mode or --set"),
        ({"overrides": ("seed=3",)}, r"--set seed: a study keeps the tape, seed .* of its record"),
        ({"overrides": ("synthetic.hours=3",)}, r"--set synthetic: a study keeps the tape"),
        ({"overrides": ("trading.live=true",)}, r"--set trading.live: a study keeps the tape"),
        ({"overrides": ("llm=3",)}, r"^llm: "),
        ({"overrides": ("momentum.lookbak=3",)}, r"unknown setting momentum.lookbak; did you mean"),
        ({"overrides": ("llm.model=m", "models.o3.price_in=1")}, r"no effect for o3: the agents ask m$"),
        ({"mode": "hft", "model": "m"}, r"--model: hft mode uses no agents; omit it"),
        ({"mode": "fast"}, r"trading.mode: "),
        ({"provider": "nobody"}, r"llm.provider: "),
        ({"model": "m"}, r"--model m: provider rules calls no model; add --provider openai or ollama"),
        ({"prompts": Path("nowhere")}, r"--prompts nowhere: it contains none of director.md, .*; copy one"),
    ],
    ids=str,
)
def test_impossible_change_is_refused_in_one_line_with_the_remedy(
    change: dict[str, Any], message: str
) -> None:
    folder = recorded(**SHORT)
    with pytest.raises(Misconfigured, match=message) as refused:
        study(folder, Change(**change))
    assert "\n" not in str(refused.value)
    assert [path.name for path in RUNS.iterdir()] == [folder.id]


def test_prompts_for_a_run_without_agents_need_another_mode() -> None:
    folder = recorded(trading__mode='"hft"', **SHORT)
    with pytest.raises(Misconfigured, match=r"--prompts: hft mode uses no agents; add --mode hybrid"):
        study(folder, Change(prompts=prompts()))


def test_a_broken_prompt_is_named_with_its_line() -> None:
    folder, own = recorded(**SHORT), prompts()
    text = builtin_path("director").read_text().replace("{symbol}", "{symbl}")
    (own / "director.md").write_text(text)
    number = text[: text.index("{symbl}")].count("\n") + 1
    with pytest.raises(Misconfigured, match=rf"own/director.md, line {number}: there is no field {{symbl}}"):
        study(folder, Change(prompts=own))
    assert [path.name for path in RUNS.iterdir()] == [folder.id]


def test_a_prompt_that_no_agent_reads_is_refused() -> None:
    folder, own = recorded(**SHORT), prompts()
    (own / "directr.md").write_text("x")
    with pytest.raises(Misconfigured, match=r"own/directr.md: no agent reads it \(did you mean director\?\)"):
        study(folder, Change(prompts=own))


def test_other_prompts_stay_the_recorded_ones() -> None:
    folder = recorded(**SHORT)
    prompt_files = plan(read_record(folder), Change(prompts=prompts("quant", "One word more."))).sources
    assert prompt_files
    assert prompt_files.prompts["quant"] == ((Path("own") / "quant.md").read_text(), "own/quant.md")
    assert prompt_files.prompts["director"][1].startswith(str(folder.path))


def test_untrusted_record_does_not_choose_the_key_that_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = recorded(**SHORT)
    rewrite_settings(folder, lambda values: values["llm"].update({"provider": "openai", "key": "BANK_KEY"}))
    record = read_record(folder)
    with pytest.raises(Misconfigured, match=r"the record names the key BANK_KEY; .* --set llm.key=BANK_KEY"):
        plan(record, Change(model="m"))
    assert plan(record, Change(model="m", overrides=("llm.key=BANK_KEY",))).settings.llm.key == "BANK_KEY"
    monkeypatch.setenv("AUTOHEDGE__LLM__KEY", "BANK_KEY")
    assert plan(record, Change(model="m")).settings.llm.key == "BANK_KEY"


def test_untrusted_record_does_not_choose_who_gets_the_key() -> None:
    folder = recorded(**SHORT)
    away = "http://models.example:8000/v1"

    def use_remote_server(values: dict[str, Any]) -> None:
        values["llm"] |= {"provider": "openai", "base_url": away, "model": "m"}

    rewrite_settings(folder, use_remote_server)
    record = read_record(folder)
    with pytest.raises(
        Misconfigured, match=rf"the record names a server at '{away}'; .* --set llm.base_url="
    ):
        plan(record, Change(overrides=("exits.stop_loss_bps=3",)))
    assert plan(record, Change(overrides=(f'llm.base_url="{away}"',))).settings.llm.base_url == away
    assert not plan(record, Change(mode="hft")).uses_agents
    Path("config.toml").write_text(f'[llm]\nbase_url = "{away}"\n')
    assert plan(record, Change(overrides=("exits.stop_loss_bps=3",))).settings.llm.base_url == away


def test_other_provider_uses_current_base_url_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = recorded(**SHORT)
    monkeypatch.setenv("AUTOHEDGE__LLM__BASE_URL", "http://127.0.0.1:9/v1")
    record = read_record(folder)
    changed = plan(record, Change(provider="openai"))
    assert changed.settings.llm.base_url == "http://127.0.0.1:9/v1"
    assert not changed.answers_reusable
    same = plan(record, Change(overrides=("exits.stop_loss_bps=3",)))
    assert same.settings.llm.base_url == "" and same.failures_reusable


def test_a_model_that_is_not_the_recorded_one_does_not_answer_in_its_name() -> None:
    with obeying() as server:
        folder = recorded(**server_settings(server) | SHORT | {"llm__model": '""'})
        server.pages["/v1/models"] = lambda _: _listing("another")
        with pytest.raises(
            Unavailable, match=r"recorded run used openai · meta/llama, but now there is openai · another"
        ):
            study(folder, Change(prompts=prompts()))


def _listing(name: str) -> Any:
    from tests.llm.imitation_server import json_reply

    return json_reply({"object": "list", "data": [{"id": name, "object": "model", "owned_by": "vllm"}]})


def test_a_damaged_record_is_refused() -> None:
    folder = recorded(**SHORT)
    folder.journal.write_bytes(folder.journal.read_bytes().replace(b'"pos":', b'"pos": ', 1))
    with pytest.raises(Exception, match="journal.jsonl"):
        study(RunFolder(folder.path), Change(mode="hft"))

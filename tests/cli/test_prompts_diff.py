"""The verb that holds a run's prompts against those of today."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from autohedge import cli
from autohedge.prompts import builtin_names, builtin_path, load
from tests.forged_record_factory import Lines, first, rewrite
from tests.graph.record_factory import edited, hybrid

Call = Callable[..., tuple[int, str, str]]
PACKAGED = builtin_path("director").read_text()
EDITED = PACKAGED.replace("You ", "Today you ", 1)
SMALL = {"synthetic__hours": 0.1}


@pytest.fixture
def call(workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Call `autohedge` in an empty working directory: exit code, stdout, stderr."""

    def run(*args: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["autohedge", *args])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0), *capsys.readouterr()

    return run


def own(text: str) -> Path:
    """A prompt of today that replaces the packaged one."""
    path = Path("prompts", "director.md")
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text.encode())
    return path


def test_a_run_with_the_prompts_of_today_is_one_line_each_and_code_0(call: Call) -> None:
    run = hybrid(**SMALL).id
    code, out, err = call("prompts", "diff", run)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert len(lines) == len(builtin_names())
    hash_now = load("director").hash
    assert f"director: hash {hash_now}, from question 1 on; the same as {builtin_path('director')}" in lines


def test_another_prompt_of_today_is_a_unified_diff_and_code_1(call: Call) -> None:
    folder, path = hybrid(**SMALL), own(EDITED)
    code, out, _ = call("prompts", "diff", folder.id)
    assert code == 1
    old, new = load("director").hash, load("director", Path("nowhere")).hash
    assert f"director: hash {new}, from question 1 on; {path} has hash {old}" in out
    assert f"--- {folder.id}/files/{new}.md\n+++ {path}\n@@ " in out
    assert [line[0] for line in out.splitlines() if "you watch" in line.lower()] == ["-", "+"]
    assert out.count("the same as") == len(builtin_names()) - 1


def test_each_version_that_a_run_had_is_compared_the_last_first(call: Call) -> None:
    run = edited(EDITED, **SMALL).id
    code, out, _ = call("prompts", "diff", run)
    versions = [line for line in out.splitlines() if line.startswith("director: ")]
    assert code == 1 and len(versions) == 2
    assert "from question 1 on, changed later; the same as" in versions[1]
    assert "changed later" not in versions[0]
    own(EDITED)
    assert call("prompts", "diff", run)[0] == 1
    shown = json.loads(call("prompts", "diff", run, "--json")[1])
    last, before = (each for each in shown["prompts"] if each["used"]["name"] == "director")
    assert (shown["run"], shown["same"]) == (run, False)
    assert last["same"] and last["last"] and not last["diff"] and last["used"]["since"] > 1
    assert not before["same"] and not before["last"] and any("-You" in line for line in before["diff"])


@pytest.mark.parametrize("text", [PACKAGED.replace("\n", "\r\n"), PACKAGED + "\u202e\x1b[2J"])
def test_invisible_characters_are_escaped_in_the_diff(call: Call, text: str) -> None:
    run = hybrid(**SMALL).id
    own(text)
    code, out, _ = call("prompts", "diff", run)
    assert code == 1
    assert "\\x0d" in out or ("\\u202e" in out and "\\x1b[2J" in out)
    assert all(each.isprintable() or each == "\n" for each in out)


def test_a_prompt_of_today_need_not_be_sound(call: Call) -> None:
    run = hybrid(**SMALL).id
    own("{broken")
    code, out, _ = call("prompts", "diff", run)
    assert code == 1 and "+{broken" in out


def test_prompt_that_no_agent_reads_any_more_is_reported(call: Call) -> None:
    folder = hybrid(**SMALL)

    def rename(lines: Lines) -> None:
        prompts = lines[0]["genesis"]["agents"]["prompts"]
        prompts["oracle"] = prompts["director"]

    rewrite(folder, rename)
    code, out, _ = call("prompts", "diff", folder.id)
    assert code == 1 and "oracle: hash" in out and "no agent of this release reads it" in out


def test_run_without_agents_used_no_prompts(call: Call) -> None:
    run = hybrid(trading__mode='"hft"', **SMALL).id
    assert call("prompts", "diff", run) == (0, f"{run}: no agents, so no prompts\n", "")
    assert json.loads(call("prompts", "diff", run, "--json")[1]) == {"run": run, "same": True, "prompts": []}


def test_damage_is_one_line_and_code_1(call: Call) -> None:
    folder = edited(EDITED, **SMALL)
    names: list[str] = []
    rewrite(
        folder,
        lambda lines: names.append(first(lines, type="prompts_changed")["event"]["prompts"]["director"]),
    )
    folder.stored_file(names[0]).unlink()
    code, out, err = call("prompts", "diff", folder.id)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "is missing" in err
    assert call("prompts", "diff", "no-such-run")[0] == 2


def test_an_audit_names_each_change_and_the_prompt_of_each_question(call: Call) -> None:
    folder = edited(EDITED, **SMALL)
    found = json.loads(call("audit", folder.id, "--json", "--last", "1000")[1])
    old, new = (each for each in found["prompts"] if each["name"] == "director")
    assert (old["since"], old["at_ns"]) == (1, 0)
    assert new["since"] > 1 and new["at_ns"] > 0
    for each in found["conversations"]:
        for call_ in each["calls"]:
            if request := call_["request"]:
                expected = new if each["number"] >= new["since"] else old
                assert request["prompt_hash"] == expected["hash"]
    out = " ".join(call("audit", folder.id)[1].split())
    assert f"director version {new['version']} ({new['hash'][:8]}), from question {new['since']} on" in out
    shutil.rmtree(folder.path / "files")
    assert call("audit", folder.id)[0] == 1

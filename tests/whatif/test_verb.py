"""Tests the command `autohedge whatif`: output, exit codes, messages."""

import json
import re
import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest

from autohedge import cli
from autohedge.journal import RunFolder
from tests.whatif.study_factory import CAREFUL, obeying, prompts, recorded, server_settings

SHORT = {"synthetic__hours": 0.05}


class Done(NamedTuple):
    """The exit code and the output of one call."""

    code: int
    out: str
    err: str


Call = Callable[..., Done]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    monkeypatch.setenv("COLUMNS", "100")

    def run(*args: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["autohedge", "whatif", *args])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capsys.readouterr()
        return Done(int(ended.value.code or 0), captured.out, captured.err)

    return run


def test_whatif_prints_reasked_and_simulated_results(call: Call) -> None:
    with obeying() as server:
        folder = recorded(**server_settings(server))
        done = call(folder.id, "--prompts", str(prompts(adding=CAREFUL)))
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[:3] == [f"What if · {folder.id} · hybrid", "  prompt director", ""]
    assert re.search(r"^  \d+ questions re-asked: \d+ unchanged, \d+ changed$", done.out, re.MULTILINE)
    assert re.search(r"^ +\d+  trade long → no_trade$", done.out, re.MULTILINE)
    assert re.search(
        r"^  #\d+ +2025-\S+ \S+  ETH/USD   trade long 80 % → no_trade 40 %$", done.out, re.MULTILINE
    )
    assert "        was  It always rises." in lines and "        now  I was told to be careful." in lines
    assert "(reproduces the recorded result, fill by fill)" in done.out
    assert lines[-1] == "  One pair of runs on one tape is no evidence of future results."
    assert max(map(len, lines)) <= 100
    assert done.err.count("[LLM]") == 3


def _runs_list(monkeypatch: pytest.MonkeyPatch, *options: str) -> None:
    monkeypatch.setattr(sys, "argv", ["autohedge", "runs", "list", *options])
    with pytest.raises(SystemExit):
        cli.main()


def test_runs_of_a_what_if_are_marked_in_the_list_and_are_not_the_last(
    call: Call, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    folder = recorded(**SHORT)
    assert call("last", "--mode", "hft", "-q").code == 0
    assert RunFolder.find("last").id == folder.id
    assert call("last", "--mode", "hft", "-q").code == 0
    marks = [each.study for each in RunFolder.all() if each.study]
    assert {mark.run for mark in marks} == {folder.id}
    assert [mark.part for mark in marks].count("variant") == 2
    _runs_list(monkeypatch)
    text = capsys.readouterr().out
    assert text.count(f"variant of {folder.id}") == text.count(f"baseline of {folder.id}") == 2
    _runs_list(monkeypatch, "--json")
    listed = {each["run"]: each["study"] for each in json.loads(capsys.readouterr().out)["runs"]}
    assert listed.pop(folder.id) is None
    assert {study["part"] for study in listed.values()} == {"baseline", "variant"}


def test_json_is_alone_on_stdout_and_has_every_question(call: Call) -> None:
    folder = recorded(**SHORT)
    done = call(folder.id, "--provider", "chaos", "--json")
    output = json.loads(done.out)
    assert (done.code, done.err) == (0, "")
    assert output["run"] == folder.id and output["change"] == ["llm.provider: 'rules' → 'chaos'"]
    assert len(output["again"]["questions"]) == output["again"]["same"] + output["again"]["changed"]
    runs = output["runs"]
    assert runs["reproduced"] is True
    assert float(runs["difference"]["equity"]) == pytest.approx(
        float(runs["variant"]["equity"]) - float(runs["baseline"]["equity"])
    )


def test_whatif_without_agents_reports_no_questions(call: Call) -> None:
    done = call(recorded(**SHORT).id, "--mode", "hft")
    assert "  no question is asked: hft mode uses no agents\n" in done.out
    assert (done.code, done.err) == (0, "")


def test_quiet_prints_no_output(call: Call) -> None:
    assert call(recorded(**SHORT).id, "--mode", "hft", "--quiet") == (0, "", "")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            (),
            "autohedge: no change is given: add --prompts DIR, --model, --provider, --mode or --set",
        ),
        (("--model", "m"), "autohedge: --model m: provider rules calls no model"),
    ],
    ids=["nothing", "model"],
)
def test_impossible_change_is_one_line_and_exit_code_2(
    call: Call, args: tuple[str, ...], message: str
) -> None:
    done = call(recorded(**SHORT).id, *args)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert done.err.startswith(message)


def test_an_unknown_run_is_one_line(call: Call) -> None:
    done = call("nowhere", "--mode", "hft")
    assert (done.code, done.err) == (2, "autohedge: there is no run nowhere; there are no runs here yet\n")

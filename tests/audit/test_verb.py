"""Tests the command `autohedge audit`: its output, its refusals, and that control characters are escaped."""

import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from autohedge import cli
from autohedge.journal import RunFolder
from tests.audit.run_factory import HOSTILE, recorded, scripted, yes

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Returns a function that runs `autohedge audit`, 80 columns wide: exit code, stdout, stderr."""
    monkeypatch.setenv("COLUMNS", "80")

    def run(*args: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["autohedge", "audit", *map(str, args)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0), *capsys.readouterr()

    return run


def test_the_last_decisions_are_listed_newest_last_within_80_columns(call: Call, run: RunFolder) -> None:
    code, out, err = call(run.path)
    numbers = [int(number) for number in re.findall(r"^#(\d+)", out, re.MULTILINE)]
    assert (code, err) == (0, "")
    assert len(numbers) == 20 and numbers == sorted(numbers)
    listed = out.split("\n\n")[1]
    assert max(map(len, listed.splitlines())) <= 80 and "\x1b" not in out
    assert f"--number {numbers[-1]}" in out and "The last 20 of" in out


def test_single_conversation_is_shown_with_prompts_and_answers(call: Call, run: RunFolder) -> None:
    code, out, err = call(run.path, "--number", 1)
    assert (code, err) == (0, "")
    for fragment in (
        "Question 1 · ",
        "first question",
        "director, version 1, files/",
        "── system ──",
        "Most of the time",
        "── user ──",
        "AskSz",
        "── answer 1 ──",
        '  "decision": ',
        "finish reason stop",
        "UTC",
    ):
        assert fragment in out


def test_a_verdicts_orders_fills_and_result_are_shown(call: Call, run: RunFolder) -> None:
    found = json.loads(call(run.path, "--json", "--last", 999)[1])["conversations"]
    number = next(each["number"] for each in found if any(trip["closed_ns"] for trip in each["trips"]))
    out = call(run.path, "--number", number)[1]
    assert re.search(r"round trip +net P&L [+-]\d+\.\d{2} \(gross ", out)
    assert re.search(r"entry: buy [\d.]+ at [\d,.]+, ioc · filled at [\d,.]+, fee", out)
    assert re.search(r"(take_profit|stop_loss): sell [\d.]+ at market", out)


def test_json_is_one_object_with_money_as_text(call: Call, run: RunFolder) -> None:
    code, out, err = call(run.path, "--json", "--only", "trade", "--last", 3)
    document = json.loads(out)
    assert (code, err, len(document["conversations"])) == (0, "", 3)
    assert {each["outcome"] for each in document["conversations"]} == {"trade"}
    assert all(isinstance(group["net"], str) for group in document["trips"].values())
    assert document["conversations"][0]["calls"][0]["request"]["messages"][0]["role"] == "system"


def test_terminal_output_shows_hostile_answers_escaped(
    call: Call, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [HOSTILE, yes(thesis=HOSTILE)]
    folder = scripted(workplace / "said.jsonl", answers, 'synthetic.symbols=["BTC/USD"]')
    for args in (("--number", 1), ()):
        out = call(folder.id, *args)[1]
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", out)
    out = call(folder.id, "--number", 1)[1]
    assert "\\x1b[2J" in out and "[bold red]" in out and "<script>" in out and "── assistant ──" in out
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[2J" not in call(folder.id, "--number", 1)[1]


def test_no_color_is_respected(call: Call, run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[32m" in call(run.path, "--only", "trade")[1]
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[32m" not in call(run.path, "--only", "trade")[1]


def test_a_page_is_written_and_named(call: Call, run: RunFolder) -> None:
    code, out, err = call(run.path, "--html", "audit.html")
    assert (code, err) == (0, "") and out.startswith("audit.html: ")
    assert Path("audit.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_run_without_agents_prints_one_line_and_empty_json(call: Call) -> None:
    folder = recorded('trading.mode="hft"')
    code, out, err = call(folder.id)
    assert (code, err, out.count("\n")) == (0, "", 1) and "nothing was asked" in out
    assert json.loads(call(folder.id, "--json")[1])["conversations"] == []


def test_invalid_filter_or_missing_transcript_prints_one_line_error(
    call: Call, run: RunFolder, workplace: Path
) -> None:
    for args, fragment in (
        (("--only", "maybe"), "write one of trade, no_trade"),
        (("--number", 99_999), "choose one from 1 to"),
        (("--symbol", "DOGE"), "no DOGE, only"),
    ):
        code, out, err = call(run.path, *args)
        assert (code, out, err.count("\n")) == (2, "", 1) and fragment in err
    copy = RunFolder(Path(shutil.copytree(run.path, workplace / "copy")))
    copy.transcript.unlink()
    code, out, err = call("copy")
    assert (code, out, err.count("\n")) == (1, "", 1) and "transcript.jsonl is missing" in err

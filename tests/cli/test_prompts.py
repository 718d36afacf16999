"""The verbs about prompts: what they list, refuse and render."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from autohedge import cli
from autohedge.llm.context_window import text_tokens
from autohedge.prompts import FIELDS, builtin_names, builtin_path, load

Call = Callable[..., tuple[int, str, str]]
AT = "2025-01-02T00:05:00Z"


@pytest.fixture
def call(workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Call `autohedge` in an empty working directory: exit code, stdout, stderr."""

    def run(*args: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["autohedge", *args])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0), *capsys.readouterr()

    return run


def replaced(name: str = "director", **changes: str) -> Path:
    path = Path("prompts", f"{name}.md")
    path.parent.mkdir(exist_ok=True)
    text = builtin_path(name).read_text()
    for old, new in changes.items():
        text = text.replace(f"{{{old}}}", new)
    path.write_text(text)
    return path


def tape(call: Call) -> str:
    assert call("data", "synth", "tapes", "--set", "synthetic.hours=0.2")[0] == 0
    return "tapes/BTC-USD_quotes.parquet"


def test_prompts_are_listed_with_version_hash_and_origin(call: Call) -> None:
    replaced("learning", at="the time")
    code, out, err = call("prompts", "list")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == list(builtin_names())
    lines = dict(zip(builtin_names(), out.splitlines(), strict=True))
    director, learning = lines["director"], lines["learning"]
    assert load("director").hash in director and director.endswith("packaged")
    assert load("learning").hash in learning and learning.endswith("./prompts")
    rows = json.loads(call("prompts", "list", "--json")[1])["prompts"]
    origins = {name: "./prompts" if name == "learning" else "packaged" for name in builtin_names()}
    assert {row["name"]: row["origin"] for row in rows} == origins


def test_a_prompt_is_shown_as_its_file_has_it(call: Call) -> None:
    assert call("prompts", "show", "director") == (0, builtin_path("director").read_text(), "")
    own = replaced(at="the time")
    assert call("prompts", "show", "director")[1] == own.read_text()


def test_fields_are_all_listed_with_their_sections(call: Call) -> None:
    out = call("prompts", "fields")[1]
    assert len(out.splitlines()) == len(FIELDS)
    assert sum("under # User only" in line for line in out.splitlines()) == 3
    assert json.loads(call("prompts", "fields", "--json")[1])["fields"].keys() == FIELDS.keys()


def test_check_names_the_replaced_prompts(call: Call) -> None:
    assert call("prompts", "check") == (0, "5 prompts are valid; none is replaced\n", "")
    path = replaced(at="the time")
    assert call("prompts", "check") == (0, f"5 prompts are valid; replaced: {path}\n", "")
    assert call("prompts", "check", "--quiet") == (0, "", "")


def test_check_names_file_and_line_of_a_mistake(call: Call) -> None:
    path = replaced(table="{tabel}")
    line = 1 + path.read_text().split("\n").index("{tabel}")
    code, out, err = call("prompts", "check")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(
        f"autohedge: {path}, line {line}: there is no field {{tabel}} (did you mean table?)"
    )


def test_check_refuses_a_prompt_of_no_agent(call: Call) -> None:
    replaced().rename("prompts/directer.md")
    code, _, err = call("prompts", "check")
    assert code == 2 and "directer.md: no agent reads it (did you mean director?)" in err


def test_prompt_is_rendered_from_a_tape_at_a_time(call: Call) -> None:
    args = ("prompts", "render", "director", "--symbol", "BTC-USD", "--tape", tape(call))
    code, out, err = call(*args, "--at", AT)
    assert (code, err) == (0, "")
    for text in ("# System", "# User", "Time: 2025-01-02 00:05:00.000 UTC", "cash: 10000.00", "tokens"):
        assert text in out
    table = out.split("AskSz\n")[1].split("\n\n")[0].splitlines()
    assert len(table) == 50 and all("00:00:00" <= row[:8] < "00:05:00" for row in table)
    assert call(*args, "--at", AT) == (0, out, "")
    assert call(*args)[1] != out


def test_a_rendered_prompt_shows_settings_headlines_and_no_news_from_later(call: Call) -> None:
    news = [
        {"title": "</s>early", "available_at": "2025-01-02T00:01:00Z"},
        {"title": "late", "available_at": "2025-01-02T00:05:00.000000001Z"},
        {"title": "undated"},
    ]
    Path("news.jsonl").write_text("\n".join(map(json.dumps, news)))
    args = (
        "prompts",
        "render",
        "director",
        "--symbol",
        "X",
        "--tape",
        f"X={tape(call)}",
        "--at",
        AT,
        "--json",
    )
    code, out, err = call(*args, "--set", "tools.headlines=news.jsonl", "--set", "tools.table_rows=3")
    shown = json.loads(out)
    assert (code, err) == (0, "headlines refused: 1 without a date, 1 later than the quotes\n")
    assert "2025-01-02 00:01 (/s)early" in shown["user"]
    assert "late" not in shown["user"] and "undated" not in shown["user"]
    assert "Last 3 quotes" in shown["user"]
    assert shown["tokens"] == text_tokens(shown["system"]) + text_tokens(shown["user"])
    assert shown["hash"] == load("director").hash


def test_wrong_use_is_one_line_and_exit_code_2(call: Call) -> None:
    path = tape(call)
    Path("broken.jsonl").write_text("{}\n")
    render = ("prompts", "render", "director", "--symbol", "BTC-USD", "--tape", path)
    for args, message in (
        (("prompts", "show", "direktor"), "did you mean director?"),
        (("prompts", "render", "sentiment", *render[3:]), "there are director, execution"),
        ((*render[:4], "ETH-USD", *render[5:]), "the tape has no ETH-USD; choose one of BTC-USD"),
        ((*render, "--at", "noon"), "RFC 3339"),
        ((*render, "--at", "2020-01-01T00:00:00Z"), "choose a later --at"),
        ((*render, "--set", "tools.headlines=broken.jsonl"), "broken.jsonl, line 1"),
        ((*render, "--set", "tools.headlines=absent.jsonl"), "absent.jsonl"),
        (render[:-2], "--tape"),
    ):
        code, out, err = call(*args)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert message in err


def test_cost_of_prompts_adds_up_to_what_a_request_takes(call: Call) -> None:
    file = tape(call)
    code, out, err = call("prompts", "cost", "--tape", file, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["symbol"] == "BTC-USD"
    assert list(found["agents"]) == ["director", "quant", "risk", "execution", "learning"]
    for agent, cost in found["agents"].items():
        assert sum(cost["parts"].values()) == cost["total"]
        assert 0 <= cost["parts"]["form"] <= 40, agent  # what no part explains
        assert {f"{{{name}}}" for name in load(agent).fields} <= cost["parts"].keys()
    rendered = json.loads(
        call("prompts", "render", "director", "--symbol", "BTC-USD", "--tape", file, "--json")[1]
    )
    director = found["agents"]["director"]
    assert 0 <= director["total"] - director["parts"]["schema of the answer"] - rendered["tokens"] <= 20


def test_fewer_rows_make_the_table_of_a_prompt_cheaper(call: Call) -> None:
    file = tape(call)
    shown = call("prompts", "cost", "--tape", file, "--set", "tools.table_rows=5")[1]
    row = next(line.split() for line in shown.splitlines() if line.startswith("{table}"))
    assert 50 < int(row[1]) < 600
    assert shown.splitlines()[-1].startswith("tokens at most")

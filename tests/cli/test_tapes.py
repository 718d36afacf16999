"""Tapes on the command line: bad rows that a run counts as `data check` does, and a changed cache."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.process_harness import ProcessHarness

START_NS = 1_700_000_000_000_000_000
NS_PER_MINUTE = 60 * 10**9
HEADERS = {"quotes": "ts_ns,bid,ask", "bars": "ts_ns,open,high,low,close"}
GOOD = {"quotes": "100.0,100.1", "bars": "100,102,99,101"}
BAD = {
    "quotes": ["inf,inf", "100,inf", "-inf,100", "nan,100", ",100", "0,100", "-1,100", "100,99.9"],
    "bars": [
        ",102,99,101",
        "100,inf,99,101",
        "100,102,99,",
        "0,102,0,101",
        "100,98,99,98.5",
        "100,102,99,103",
        "98,102,99,101",
    ],
}


@pytest.fixture
def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProcessHarness:
    monkeypatch.setenv("AUTOHEDGE_CACHE_DIR", str(tmp_path / "cache"))
    return ProcessHarness(tmp_path, {"momentum__min_edge_bps": 0.1})


def tape(folder: Path, kind: str, rows: list[str]) -> str:
    path = folder / f"A_{kind}.csv"
    lines = [f"{START_NS + number * NS_PER_MINUTE},{row}" for number, row in enumerate(rows)]
    path.write_text("\n".join([HEADERS[kind], *lines, ""]))
    return str(path)


def answer(harness: ProcessHarness, *args: str) -> dict[str, Any]:
    ended = harness.call(*args, "--json")
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


@pytest.mark.parametrize("kind", ["quotes", "bars"])
def test_run_counts_the_bad_rows_that_data_check_counts(harness: ProcessHarness, kind: str) -> None:
    strategy = ["--set", "strategy.name=crossover"] if kind == "bars" else []
    good = [GOOD[kind]] * 30
    path = tape(harness.path, kind, [*good, *BAD[kind], *good])
    counted = answer(harness, "data", "check", path)["streams"][0]
    run = answer(harness, "run", "--tape", path, *strategy)
    assert run["codes"]["bad_quote"] == counted["bad_quote"] == len(BAD[kind])
    assert harness.call("replay", run["run"]).returncode == 0


@pytest.mark.parametrize("files", [1, 2])
def test_run_on_a_changed_cache_trades_the_prices_of_the_tape(harness: ProcessHarness, files: int) -> None:
    rows = [f"{100 + number % 7 / 10:.1f},{100.1 + number % 7 / 10:.1f}" for number in range(300)]
    paths = [Path(tape(harness.path, "quotes", rows)).rename(harness.path / f"{n}.csv") for n in range(files)]
    args = ["run", *(f"--tape={path}" for path in paths)]
    before = answer(harness, *args)
    for columns in (harness.path / "cache").rglob("columns"):
        content = bytearray(columns.read_bytes())
        content[len(content) // 2] ^= 64
        columns.write_bytes(content)
    ended = harness.call(*args, "--json")
    assert "a cached tape was changed or damaged" in ended.stderr
    after = json.loads(ended.stdout)
    assert (after["equity"], after["buys"]) == (before["equity"], before["buys"])

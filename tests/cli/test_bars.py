"""`data bars` on the command line: what it prints and writes, and what it refuses."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from autohedge.market import TapeSource, open_streams
from tests.process_harness import ProcessHarness

S = 10**9
START_NS = 1_704_067_200 * S
FIELDS = [
    "start_ns",
    "end_ns",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "notional",
    "vwap",
    "count",
    "buy_volume",
    "sell_volume",
    "partial",
]
PRICES = [100.0, 101.0, 99.5, 100.5, 100.25, 103.0]


@pytest.fixture
def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProcessHarness:
    monkeypatch.setenv("AUTOHEDGE_CACHE_DIR", str(tmp_path / "cache"))
    ts = START_NS + 30 * S * np.arange(len(PRICES))
    trades = {"price": PRICES, "size": [1.0] * 5 + [None], "aggressor_side": ["buy", "sell"] * 3}
    pl.DataFrame({"ts_ns": ts, **trades}).write_parquet(tmp_path / "A_20240101_trades.parquet")
    quotes = {"bid": PRICES, "ask": [price + 0.5 for price in PRICES]}
    pl.DataFrame({"ts_ns": ts, **quotes}).write_parquet(tmp_path / "A_20240101_quotes.parquet")
    bars = dict.fromkeys(("open", "high", "low", "close"), PRICES)
    pl.DataFrame({"ts_ns": START_NS + 300 * S * np.arange(6), **bars}).write_parquet(
        tmp_path / "A_5m_bars.parquet"
    )
    return ProcessHarness(tmp_path, {})


def answer(harness: ProcessHarness, *args: str) -> dict[str, Any]:
    ended = harness.call("data", "bars", *args, "--json")
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def test_bars_are_printed_as_json_with_all_fields(harness: ProcessHarness) -> None:
    found = answer(harness, "--tape", "A_20240101_trades.parquet", "--every", "1m")
    assert list(found) == ["from", "every", "bars", "forming", "skipped"]
    assert (found["from"], found["every"], len(found["bars"]), found["skipped"]) == ("trades", "1m", 2, 1)
    assert list(found["bars"][0]) == FIELDS
    assert list(found["bars"][0].values()) == [
        *(START_NS, START_NS + 60 * S, 100.0, 101.0, 100.0, 101.0, 2.0, 201.0, 100.5, 2, 1.0, 1.0, False)
    ]
    assert found["forming"]["close"] == 100.25


def test_finest_rows_of_the_tape_are_taken_unless_others_are_wanted(harness: ProcessHarness) -> None:
    tapes = [f"--tape={name}" for name in ("A_5m_bars.parquet", "A_20240101_quotes.parquet")]
    assert answer(harness, *tapes, "--every", "10m")["from"] == "quotes"
    assert answer(harness, *tapes, "--tape=A_20240101_trades.parquet", "--every", "10m")["from"] == "trades"
    found = answer(harness, *tapes, "--every", "10m", "--from", "bars")
    assert found["from"] == "bars" and len(found["bars"]) == 2 and found["bars"][0]["count"] is None


def test_bars_are_written_for_a_tape_with_or_without_json(harness: ProcessHarness) -> None:
    args = ("--tape", "A_20240101_trades.parquet", "--every", "1m", "--out")
    answer(harness, *args, "one_1m_bars.parquet")
    ended = harness.call("data", "bars", *args, "two_1m_bars.parquet")
    assert "2 bars of 1m from trades" in ended.stdout and "forming" in ended.stdout
    assert (
        "rows in no bar: 1 missing" in ended.stdout and "two_1m_bars.parquet: 2 bars written" in ended.stdout
    )
    one, two = (pl.read_parquet(harness.path / f"{name}_1m_bars.parquet") for name in ("one", "two"))
    assert one.equals(two)
    checked = json.loads(harness.call("data", "check", "one_1m_bars.parquet", "--json").stdout)
    assert checked["streams"][0]["kind"] == "bars" and checked["streams"][0]["bad_quote"] == 0
    (read,) = open_streams([TapeSource(harness.path / "one_1m_bars.parquet")])
    assert [read.columns[name].tolist() for name in ("buy_volume", "sell_volume")] == [[1.0, 1.0]] * 2


def test_table_of_many_bars_shows_the_first_and_the_last(harness: ProcessHarness) -> None:
    args = ("--tape", "A_20240101_quotes.parquet", "--every", "1s", "--fill", "carry")
    lines = harness.call("data", "bars", *args).stdout.splitlines()
    assert lines[0] == "150 bars of 1s from quotes" and len(lines) == 15
    assert any(line.startswith("…") for line in lines)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["A_5m_bars.parquet", "--every", "7m"], "7m cannot be made of 5m bars"),
        (["A_20240101_trades.parquet", "--every", "5 lightyears"], "is not an interval"),
        (
            ["A_20240101_trades.parquet", "--every", "1h", "--session", "09:30-16:00 Mars/X"],
            "unknown time zone",
        ),
        (
            ["A_20240101_trades.parquet", "--every", "1d", "--session", "09:30-16:00 UTC"],
            "longer than a session",
        ),
        (["A_20240101_quotes.parquet", "--every", "1m", "--from", "trades"], "the tape has quotes only"),
        (["A_20240101_quotes.parquet", "--every", "25 volume"], "they have no sizes"),
        (
            ["A_5m_bars.parquet", "--every", "25 volume"],
            "25 volume cannot be made of the bars of A: they have no sizes",
        ),
        (["A_20240101_trades.parquet", "--every", "1m", "--from", "ticks"], "write trades, quotes or bars"),
        (["A_20240101_trades.parquet", "--every", "1m", "--fill", "zero"], "write none or carry"),
        (["A_20240101_trades.parquet", "--every", "1M"], "no bar is finished"),
        (["none.parquet", "--every", "1m"], "no such file"),
        (
            ["B=A_20240101_quotes.parquet", "--tape", "A_5m_bars.parquet", "--every", "1h"],
            "the tape has B and A",
        ),
    ],
)
def test_bad_input_is_refused_in_one_line_and_leaves_no_file(
    harness: ProcessHarness, args: list[str], message: str
) -> None:
    before = {path.name for path in harness.path.iterdir()}
    ended = harness.call("data", "bars", "--tape", *args, "--out", "out.parquet", "--json")
    assert ended.returncode == 2 and ended.stdout == ""
    assert message in ended.stderr and ended.stderr.count("\n") == 1
    assert {path.name for path in harness.path.iterdir()} - before <= {"cache"}


def test_two_files_of_trades_are_refused(harness: ProcessHarness) -> None:
    tapes = ["--tape=A_20240101_trades.parquet"] * 2
    ended = harness.call("data", "bars", *tapes, "--every", "1m")
    assert ended.returncode == 2 and "two files of trades" in ended.stderr

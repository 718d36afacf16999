"""`features` on the command line: what it prints and writes, and what it refuses."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from autohedge.strategies.feature_table import DEFAULT
from tests.process_harness import ProcessHarness

S = 10**9
START_NS = 1_704_067_200 * S
TRADES, QUOTES = "--tape=A_20240101_trades.parquet", "--tape=A_20240101_quotes.parquet"


@pytest.fixture
def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProcessHarness:
    monkeypatch.setenv("AUTOHEDGE_CACHE_DIR", str(tmp_path / "cache"))
    prices = [100.0, 101.0, 99.5, 100.5, 100.25, 103.0]
    ts = START_NS + 30 * S * np.arange(len(prices))
    trades = {"price": prices, "size": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]}
    pl.DataFrame({"ts_ns": ts, **trades}).write_parquet(tmp_path / "A_20240101_trades.parquet")
    quotes = {"bid": prices, "ask": [price + 0.5 for price in prices]}
    pl.DataFrame({"ts_ns": ts + 1, **quotes}).write_parquet(tmp_path / "A_20240101_quotes.parquet")
    bars = dict.fromkeys(("open", "high", "low", "close"), prices)
    for length, name in ((300, "5m"), (60, "1m")):
        stamps = START_NS + length * S * np.arange(6)
        pl.DataFrame({"ts_ns": stamps, **bars}).write_parquet(tmp_path / f"B_{name}_bars.parquet")
    return ProcessHarness(tmp_path, {})


def test_features_are_printed_as_json_with_null_for_undefined(harness: ProcessHarness) -> None:
    ended = harness.call("features", TRADES, QUOTES, "--every", "1m", "--json")
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert list(found) == ["bars", "end_ns", "features"]
    assert (found["bars"], found["end_ns"]) == (2, [START_NS + 60 * S, START_NS + 120 * S])
    features = found["features"]
    assert tuple(features) == DEFAULT
    assert (features["close"], features["bid"]) == ([101.0, 100.5], [101.0, 100.5])
    assert features["volume_change"] == [None, pytest.approx(7 / 3 - 1)]
    assert features["rsi14"] == features["bid_depth5"] == [None, None]


def test_change_from_no_volume_is_null_in_all_forms(harness: ProcessHarness) -> None:
    ts = START_NS + 60 * S * np.arange(4)
    bars = dict.fromkeys(("open", "high", "low", "close"), 10.0) | {"volume": [0.0, 0.0, 2.0, 1.0]}
    pl.DataFrame({"ts_ns": ts, **bars}).write_parquet(harness.path / "C_1m_bars.parquet")
    args = ("--tape=C_1m_bars.parquet", "--feature=volume_change", "--json", "--out=c.parquet")
    ended = harness.call("features", *args)
    assert json.loads(ended.stdout)["features"]["volume_change"] == [None, None, None, -0.5]
    frame = pl.read_parquet(harness.path / "c.parquet")
    assert frame["volume_change"].to_list() == [None, None, None, -0.5]


def test_bars_that_are_left_out_are_counted_on_stderr(harness: ProcessHarness) -> None:
    prices = [10.0, 10.0, -1.0, 10.0]
    bars = {
        "ts_ns": START_NS + 60 * S * np.arange(4),
        **dict.fromkeys(("open", "high", "low", "close"), prices),
    }
    pl.DataFrame(bars).write_parquet(harness.path / "C_1m_bars.parquet")
    for command, name in (("features", "--feature=close"), ("indicators", "--name=sma(1)")):
        ended = harness.call(command, "--tape=C_1m_bars.parquet", name, "--json")
        assert json.loads(ended.stdout)["bars"] == 3
        assert ended.stderr.startswith("C: bars left out, because they contradict themselves"), ended.stderr
        assert ended.stderr.endswith(": 1\n")


def test_table_is_written_with_the_time_of_each_row(harness: ProcessHarness) -> None:
    names = ("--feature=close", "--feature=sma(2)", "--feature=imbalance(3)")
    ended = harness.call("features", TRADES, "--every", "1m", *names, "--out", "a.parquet")
    assert (ended.returncode, ended.stdout) == (0, "a.parquet: 2 bars written\n")
    frame = pl.read_parquet(harness.path / "a.parquet")
    assert frame.columns == ["end_ns", "close", "sma(2)", "imbalance(3)"]
    assert frame["end_ns"].to_list() == [START_NS + 60 * S, START_NS + 120 * S]
    assert frame["close"].to_list() == [101.0, 100.5]
    assert frame["sma(2)"].to_list() == [None, 100.75]
    assert frame["imbalance(3)"].to_list() == [None, None]
    again = harness.call("features", TRADES, "--every", "1m", "--out", "a.parquet")
    assert (again.returncode, again.stdout) == (2, "")
    assert again.stderr == "autohedge: a.parquet: exists already; name another file\n"


def test_text_shows_the_last_row_of_the_shortest_bars(harness: ProcessHarness) -> None:
    tapes = [f"--tape=B_{name}_bars.parquet" for name in ("5m", "1m")]
    ended = harness.call("features", *tapes, "--feature", "close", "--feature", "sma(4)", "--feature", "bid")
    assert ended.returncode == 0, ended.stderr
    lines = [" ".join(line.split()) for line in ended.stdout.splitlines()]
    assert lines[0].startswith("6 bars of B, the last one until 2024-01-01 00:06:00")
    assert lines[1:] == ["feature last value undefined", "close 103 0", "sma(4) 100.8125 3", "bid n/a 6"]


@pytest.mark.parametrize(
    ("args", "named"),
    [
        ((TRADES, "--every=1m", "--feature=rsi15"), "feature rsi15: not known; did you mean rsi14?"),
        ((TRADES, "--every=1m", "--feature=bid_depth(0)"), "feature bid_depth: write bid_depth(N), with N"),
        ((TRADES, "--every=1m", "--feature=close", "--feature=close"), "feature close: named twice"),
        ((TRADES, QUOTES), "the tape has no bars; add --every, such as 1m"),
        ((TRADES, "--every=1x"), "1x"),
        ((TRADES, "--session=09:30-16:00"), "--session says how bars are made, but not of which length"),
        ((TRADES, "--tape=B_1m_bars.parquet", "--every=1m"), "the tape has A and B; bars are made of one"),
        ((TRADES, "--every=1m", "--out=no/a.parquet"), "no/a.parquet: its folder does not exist; create it"),
        ((TRADES, "--every=1m", f"--out={'a' * 300}.parquet"), "name another file"),
        ((TRADES, "--every=1m", f"--out={'a' * 240}.parquet"), "cannot be written (File name too long)"),
        ((TRADES, "--every=1m", "--feature=close", "--feature= close "), "feature close: named twice"),
        (
            (TRADES, "--every=1m", "--feature=rsi(period=14"),
            "not known; write a name of docs/features.md, or an",
        ),
        ((TRADES, "--every=1d"), "no bar of 1d is finished on this tape"),
        (("--tape=none.parquet", "--every=1m"), "none.parquet"),
    ],
)
def test_what_makes_no_table_ends_with_2(harness: ProcessHarness, args: tuple[str, ...], named: str) -> None:
    ended = harness.call("features", *args)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("autohedge: ") and ended.stderr.count("\n") == 1
    assert named in ended.stderr

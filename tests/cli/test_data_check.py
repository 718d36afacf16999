"""`data check` with files of every kind: its JSON, its text, and what it refuses."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.process_harness import ProcessHarness

START_NS = 1_700_000_000_000_000_000
COMMON = ["symbol", "kind", "rows", "first_ns", "last_ns", "equal_stamps", "longest_gap_ns"]
GOOD: dict[str, dict[str, list[Any]]] = {
    "quotes": {"bid": [9.0, 9.0, 9.0], "ask": [9.1, 9.1, 9.1]},
    "trades": {"price": [9.0, 9.1, 9.0], "size": [1.0, 2.0, 1.0], "exch_ts_ns": [1, 1, 2]},
    "1m_bars": {name: [9.0, 9.1, 9.0] for name in ("open", "high", "low", "close")},
    "funding": {"funding_rate": [0.0001, -0.0001, 0.0]},
    "liquidations": {"side": ["long", "short", "long"], "price": [9.0, 9.1, 9.0], "size": [1, 2, 1]},
    "l2": {
        "event": [1, 1, 2],
        "is_snapshot": [True, True, False],
        "side": ["bid", "ask", "bid"],
        "price": [9.0, 9.1, 9.0],
        "size": [1.0, 1.0, 0.0],
    },
}
BAD: dict[str, dict[str, list[Any]]] = {
    "quotes": {"bid": [9.0, 9.2, None]},
    "trades": {"price": [9.0, -1.0, None], "exch_ts_ns": [2, 3, 1]},
    "1m_bars": {"low": [9.0, 9.2, -1.0]},
    "funding": {"funding_rate": [0.0001, None, float("inf")]},
    "liquidations": {"side": ["long", None, "long"], "size": [0, 2, None]},
    "l2": {"side": ["bid", "mid", "bid"], "price": [9.0, 9.1, 0.0]},
}
CODES = {
    "quotes": {"missing": 1, "non_positive": 0, "crossed": 1},
    "trades": {"missing": 1, "non_positive": 1, "late_print": 1},
    "1m_bars": {"missing": 0, "non_positive": 1, "crossed": 1, "outside": 0},
    "funding": {"missing": 2},
    "liquidations": {"missing": 1, "non_positive": 1, "no_side": 1},
    "l2": {
        "bad_side": 1,
        "bad_price": 1,
        "bad_size": 0,
        "unsorted": 0,
        "book_gap": 0,
        "crossed_book": 0,
        "dropped": 0,
    },
}


@pytest.fixture
def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProcessHarness:
    monkeypatch.setenv("AUTOHEDGE_CACHE_DIR", str(tmp_path / "cache"))
    for kind, good in GOOD.items():
        times = {"ts_ns": [START_NS + row * 60 * 10**9 for row in range(3)]}
        pl.DataFrame(times | good).write_parquet(tmp_path / f"GOOD_{kind}.parquet")
        pl.DataFrame(times | good | BAD[kind]).write_parquet(tmp_path / f"BAD_{kind}.parquet")
    return ProcessHarness(tmp_path, {})


def streams(harness: ProcessHarness, *files: str) -> list[dict[str, Any]]:
    done = harness.call("data", "check", *files, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found: list[dict[str, Any]] = json.loads(done.stdout)["streams"]
    return found


@pytest.mark.parametrize("kind", GOOD)
def test_file_of_each_kind_alone_has_its_rows_by_code(harness: ProcessHarness, kind: str) -> None:
    (good,) = streams(harness, f"GOOD_{kind}.parquet")
    (bad,) = streams(harness, f"BAD_{kind}.parquet")
    assert good["symbol"] == "GOOD" and set(good["codes"].values()) == {0}
    assert (bad["codes"], list(good["codes"])) == (CODES[kind], list(CODES[kind]))
    if kind in ("quotes", "1m_bars"):
        assert {code: bad[code] for code in CODES[kind]} == CODES[kind]
        assert bad["bad_quote"] == 2 and list(bad)[-1] == "codes"
    else:
        assert list(bad) == [*COMMON, "codes"]


def test_trades_without_exchange_times_have_no_count_of_late_prints(harness: ProcessHarness) -> None:
    path = harness.path / "BAD_trades.parquet"
    pl.read_parquet(path).drop("exch_ts_ns").write_parquet(path)
    assert streams(harness, path.name)[0]["codes"] == {"missing": 1, "non_positive": 1}
    lines = harness.call("data", "check", path.name).stdout.splitlines()
    assert "late_print unknown; the file has no exchange times" in [" ".join(line.split()) for line in lines]


def test_text_ends_with_a_line_per_stream_in_columns(harness: ProcessHarness) -> None:
    files = [f"{symbol}_{kind}.parquet" for kind in GOOD for symbol in ("GOOD", "BAD")]
    done = harness.call("data", "check", *files)
    assert done.returncode == 0
    table = [line.rstrip() for line in done.stdout.splitlines()[-13:]]
    assert table == [
        "symbol  kind          rows  codes",
        "GOOD    quotes           3  none",
        "BAD     quotes           3  missing 1, crossed 1",
        "GOOD    trades           3  none",
        "BAD     trades           3  missing 1, non_positive 1, late_print 1",
        "GOOD    bars             3  none",
        "BAD     bars             3  non_positive 1, crossed 1",
        "GOOD    funding          3  none",
        "BAD     funding          3  missing 2",
        "GOOD    liquidations     3  none",
        "BAD     liquidations     3  missing 1, non_positive 1, no_side 1",
        "GOOD    book             2  none",
        "BAD     book             2  bad_side 1, bad_price 1",
    ]
    assert max(len(line) for line in done.stdout.splitlines()) <= 80


def test_two_files_of_one_symbol_are_checked_together(harness: ProcessHarness) -> None:
    assert len(streams(harness, "GOOD_trades.parquet", "GOOD=BAD_trades.parquet")) == 2


def test_symbol_of_a_file_with_others_is_refused_in_one_line(harness: ProcessHarness) -> None:
    path = harness.path / "GOOD_trades.parquet"
    pl.read_parquet(path).with_columns(symbol=pl.Series(["A", "B", "A"])).write_parquet(path)
    assert streams(harness, f"A={path.name}")[0]["rows"] == 2
    done = harness.call("data", "check", path.name)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "holds 2 symbols (A, B)" in done.stderr

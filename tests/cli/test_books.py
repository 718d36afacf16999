"""`data book`: its JSON, its text, and what it refuses."""

import json
from pathlib import Path

import polars as pl
import pytest

from tests.process_harness import ProcessHarness

START_NS = 1_700_000_000_000_000_000
KEYS = [
    *("ts_ns", "valid", "seq", "bids", "asks", "bid", "bid_size", "ask", "ask_size", "mid", "microprice"),
    *("spread_bps", "bid_depth", "ask_depth", "imbalance", "weighted_imbalance", "buy", "sell"),
]
ROWS = {
    "ts_ns": [START_NS, START_NS, START_NS + 10, START_NS + 20, START_NS + 20],
    "event": [1, 1, 2, 3, 3],
    "is_snapshot": [True, True, False, False, False],
    "side": ["bid", "ask", "bid", "ask", "bid"],
    "price": [99.5, 100.5, 99.8, 99.6, -1.0],
    "size": [2.0, 1.0, 3.0, 1.0, 1.0],
    "first_seq": [5, 5, 6, 7, 7],
    "last_seq": [5, 5, 6, 9, 9],
}


@pytest.fixture
def harness(tmp_path: Path) -> ProcessHarness:
    pl.DataFrame(ROWS).write_parquet(tmp_path / "A_l2.parquet")
    return ProcessHarness(tmp_path, {})


def test_json_has_the_states_of_the_asked_times(harness: ProcessHarness) -> None:
    at = f"{START_NS + 15},{START_NS + 20}"
    done = harness.call("data", "book", "--tape", "A_l2.parquet", "--at", at, "--walk", "2", "--json")
    assert (done.returncode, done.stderr) == (0, "bad rows: bad_price 1\n")
    found = json.loads(done.stdout)
    first, crossed = found.pop("states")
    assert found == {"events": 3, "dropped": 0, "gaps": 0}
    assert list(first) == list(crossed) == KEYS
    assert [first[key] for key in KEYS[:5]] == [START_NS + 10, True, 6, 2, 1]
    assert (first["bid"], first["bid_depth"], first["imbalance"]) == (99.8, 5.0, pytest.approx(4 / 6))
    assert list(first["buy"]) == ["average", "filled", "remaining", "worst", "slippage_bps"]
    assert (first["buy"]["filled"], first["buy"]["remaining"], first["sell"]["average"]) == (1.0, 1.0, 99.8)
    assert [crossed[key] for key in KEYS[:3]] == [START_NS + 20, False, 9]
    assert {crossed[key] for key in KEYS[3:-2]} == {None} == set(crossed["sell"].values())


def test_text_shows_counts_and_the_last_state(harness: ProcessHarness) -> None:
    pl.DataFrame(ROWS)[:3].write_parquet(harness.path / "B_l2.parquet")
    done = harness.call("data", "book", "--tape", "B_l2.parquet")
    assert done.returncode == 0
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert "messages 2" in lines and "tick 0.1" in lines and "at the end valid" in lines
    assert "bid 3 at 99.8, 2 levels" in lines
    whole = harness.call("data", "book", "--tape", "A_l2.parquet").stdout
    assert "no figures  crossed" in whole and "bad_price" in whole


@pytest.mark.parametrize(
    ("args", "cause"),
    [
        (["--tape", "A_l2.parquet", "--at", str(START_NS - 1)], "before the first message of A_l2.parquet"),
        (["--tape", "A_l2.parquet", "--at", f"{START_NS},noon"], "--at noon: write"),
        (["--tape", "A_l2.parquet", "--walk", "0"], "--walk 0: write a quantity above 0"),
        (["--tape", "A_l2.parquet", "--walk", "nan"], "--walk nan: write a quantity above 0"),
        (["--tape", "A_l2.parquet", "--levels", "0"], "'--levels'"),
        (["--tape", "A_l2.parquet", "--tape", "A_l2.parquet"], "named more than once"),
        (["--tape", "half.parquet"], "has last_seq, but sequences need first_seq and last_seq"),
        (["--tape", "quotes.parquet"], "column event of a book"),
        (["--tape", "text.parquet"], "column ts_ns of a book"),
        (["--tape", "cut.parquet"], "cut.parquet: cannot be read"),
        (["--tape", "absent.parquet"], "absent.parquet: no such file"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(harness: ProcessHarness, args: list[str], cause: str) -> None:
    pl.DataFrame(ROWS).drop("first_seq").write_parquet(harness.path / "half.parquet")
    pl.DataFrame({"ts_ns": [START_NS], "bid": [1.0], "ask": [2.0]}).write_parquet(
        harness.path / "quotes.parquet"
    )
    (harness.path / "text.parquet").write_text("no table\n")
    whole = (harness.path / "A_l2.parquet").read_bytes()
    (harness.path / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    done = harness.call("data", "book", *args, "--json")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert cause in done.stderr

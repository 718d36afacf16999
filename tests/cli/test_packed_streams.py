"""Runs of several streams: packed and replayed in another place, and what is said of a file that was changed."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from tests.process_harness import ProcessHarness

S = 10**9
START_NS = 1_704_067_200 * S
ROWS = 600
PRICES = [100.0 + abs(row % 120 - 60) / 10 for row in range(ROWS)]
STRATEGY = """
from autohedge.market import Kind
from autohedge.strategies import Signal, Strategy

class Everything(Strategy):
    reads = (Kind.BARS, Kind.TRADES, Kind.BOOK, Kind.FUNDING, Kind.LIQUIDATIONS)

    def on_bar(self, bar):
        return Signal.BUY if bar.close > bar.open else Signal.SELL

    def on_trade(self, trade):
        return None

    def on_book(self, book):
        return Signal.BUY if book.bid_size > 4.0 else None

    def on_funding(self, funding):
        return Signal.SELL if funding.rate > 0.0 else None

    def on_liquidation(self, liquidation):
        return None
"""


@pytest.fixture
def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProcessHarness:
    monkeypatch.setenv("AUTOHEDGE_CACHE_DIR", str(tmp_path / "cache"))
    place = tmp_path / "here"
    (place / "data").mkdir(parents=True)
    times = {"ts_ns": [START_NS + row * S // 2 for row in range(ROWS)]}
    tables: dict[str, dict[str, object]] = {
        "A_l2": {
            "event": [row // 2 for row in range(ROWS)],
            "is_snapshot": [True] * ROWS,
            "side": ["bid", "ask"] * (ROWS // 2),
            "price": [PRICES[row // 2] + row % 2 / 10 for row in range(ROWS)],
            "size": [float(row % 7 + 1) for row in range(ROWS)],
        },
        "A_trades": {"price": PRICES, "size": [1.0] * ROWS, "aggressor_side": ["buy", "sell"] * (ROWS // 2)},
        "A_funding": {"funding_rate": [(row % 3 - 1) / 1e4 for row in range(ROWS)]},
        "A_liquidations": {"side": ["long", "short"] * (ROWS // 2), "price": PRICES, "size": [1.0] * ROWS},
        "many": {"symbol": ["B", "C"] * (ROWS // 2), "bid": PRICES, "ask": [each + 0.1 for each in PRICES]},
    }
    for name, columns in tables.items():
        pl.DataFrame(times | columns).write_parquet(place / f"data/{name}.parquet")
    (place / "data/many.parquet").rename(place / "data/many")  # the content decides, not the suffix
    (place / "mine.py").write_text(STRATEGY)
    return ProcessHarness(place, {"bars__every": "5s", "crossover__fast": 2, "crossover__slow": 4})


def recorded(harness: ProcessHarness, strategy: str, *tapes: str) -> str:
    """Returns the id of a run with fills."""
    done = harness.call(
        "run", *(f"--tape={tape}" for tape in tapes), f"--set=strategy.name={strategy}", "--json"
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["fills"]
    return str(found["run"])


CROSSOVER = ("crossover", "data/A_l2.parquet", "data/A_trades.parquet", "B=data/many", "C=data/many")
EVERYTHING = ("mine.py:Everything", *(f"data/A_{kind}.parquet" for kind in ("l2", "trades")))
EVERYTHING += tuple(f"data/A_{kind}.parquet" for kind in ("funding", "liquidations"))


@pytest.mark.parametrize(("args", "files"), [(CROSSOVER, 3), (EVERYTHING, 4)])
def test_packed_run_of_several_streams_replays_in_another_place(
    harness: ProcessHarness, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], files: int
) -> None:
    run = recorded(harness, *args)
    genesis = json.loads((harness.path / "runs" / run / "journal.jsonl").read_text().partition("\n")[0])
    kinds = [(origin["symbol"], origin["kind"], "derived" in origin) for origin in genesis["genesis"]["tape"]]
    assert ("A", "book", False) in kinds and ("A", "quotes", True) in kinds and ("A", "bars", True) in kinds
    assert f"{files} tape files copied" in harness.call("runs", "pack", run).stdout
    target = harness.path.parent / "target"
    target.mkdir()
    (harness.path / "runs" / run).rename(target / "moved")
    shutil.rmtree(harness.path)
    monkeypatch.setenv("AUTOHEDGE_CACHE_DIR", str(target / "cache"))
    there = replace(harness, path=target)
    for command in (
        ("replay", "moved", "--trust"),
        ("journal", "verify", "moved"),
        ("runs", "pack", "moved"),
    ):
        done = there.call(*command)
        assert done.returncode == 0, (command, done.stderr)
    assert "0 tape files copied" in done.stdout


@pytest.mark.parametrize(
    ("name", "column", "text"),
    [
        ("A_trades.parquet", "price", "trades row 17: price 7.0, recorded"),
        ("A_l2.parquet", "price", "book row 17: price 7.0, recorded"),
        ("many", "bid", "quotes row 8 of C: bid 7.0, recorded"),
    ],
)
def test_replay_names_the_first_row_of_a_changed_file(
    harness: ProcessHarness, name: str, column: str, text: str
) -> None:
    run = recorded(harness, *CROSSOVER)
    path = harness.path / "data" / name
    frame = pl.read_parquet(path)
    frame[17, column] = 7.0
    frame.write_parquet(path)
    done = harness.call("replay", run)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert text in done.stderr and "restore that version" in done.stderr
    assert not (harness.path / "runs" / run / "tape").exists()
    assert harness.call("runs", "pack", run).returncode == 1
    assert not (harness.path / "runs" / run / "tape").exists()

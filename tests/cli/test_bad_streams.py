"""Streams that a run refuses: one line, exit code 2, and nothing written."""

from pathlib import Path

import polars as pl
import pytest

from tests.process_harness import ProcessHarness

S = 10**9
START_NS = 1_704_067_200 * S
ROWS = 40
PRICES = [100.0 + row % 7 / 10 for row in range(ROWS)]
STRATEGY = """
from autohedge.market import Kind
from autohedge.strategies import Strategy

class Prints(Strategy):
    reads = (Kind.QUOTES, Kind.TRADES)

    def on_quote(self, quote):
        return None

    def on_trade(self, trade):
        return None
"""
QUOTES, TRADES, BARS = "--tape=A_quotes.parquet", "--tape=A_trades.parquet", "--tape=A_5m_bars.parquet"
CASES: list[tuple[list[str], list[str], str]] = [
    ([BARS], ["bars.every=7m"], "7m cannot be made of 5m bars; take a multiple of 5m"),
    ([BARS], ["bars.every=1s"], "1s cannot be made of 5m bars"),
    ([QUOTES], ["bars.every=5 lightyears"], "[bars] 5 lightyears is not an interval; write 1s, 5m"),
    ([QUOTES], ["bars.every=banana", "strategy.name=momentum"], "[bars] banana is not an interval; write 1s"),
    ([QUOTES], ["bars.session=09:30-16:00 Mars/X", "strategy.name=momentum"], "Mars/X: unknown time zone"),
    ([QUOTES], ["bars.every=0m"], "[bars] 0m: the number must be more than 0"),
    ([QUOTES], ["bars.every=1m", "bars.session=09:30-16:00 Mars/X"], "Mars/X: unknown time zone; write one"),
    (
        [QUOTES],
        ["bars.every=1d", "bars.session=09:30-16:00 UTC"],
        "1d are longer than a session; leave it out",
    ),
    ([QUOTES], ["bars.every=1w", "bars.session=09:30-16:00 UTC"], "1w are longer than a session"),
    ([QUOTES], ["bars.every=1M", "bars.session=09:30-16:00 UTC"], "1M are longer than a session"),
    ([QUOTES], ["bars.session=09:30-16:00 UTC"], "but not of which length; set bars.every, such as 1m"),
    ([QUOTES], ["bars.every=1m", "bars.source=trades"], "the tape of A has no trades; add them, or use auto"),
    ([BARS], ["bars.every=1h", "bars.source=quotes"], "the tape of A has no quotes; add them, or use auto"),
    (
        [QUOTES, TRADES],
        ["bars.every=25 volume"],
        "25 volume cannot be made of the trades of A: they have no s",
    ),
    ([QUOTES, TRADES], ["bars.every=2e6 dollars"], "cannot be made of the trades of A: they have no sizes"),
    ([BARS], ["bars.every=25 volume"], "25 volume cannot be made of the bars of A: they have no sizes"),
    ([QUOTES], ["bars.every=25 volume"], "25 volume cannot be made of quotes: they have no sizes of trades"),
    ([QUOTES], ["bars.every=1h"], "A: no bar of 1h is finished on this tape; take shorter bars"),
    ([QUOTES, TRADES], ["bars.every=5s"], "or other rows: of its trades, in no bar are 40 non_positive"),
    ([QUOTES, "--tape=A=A_quotes.parquet"], [], "A: two sources of quotes for one symbol; keep one"),
    ([QUOTES, TRADES, "--tape=A=A_trades.parquet"], [], "A: two sources of trades for one symbol"),
    ([BARS, "--tape=A=A_5m_bars.parquet"], [], "A: two sources of 5m bars for one symbol"),
    (
        [QUOTES, "--tape=A_l2.parquet"],
        [],
        "has last_seq, but sequences need first_seq and last_seq; add what",
    ),
    ([TRADES], [], "no prices for A: add quotes, l2 or bars of it to the tape"),
    ([QUOTES, "--tape=B=A_trades.parquet"], [], "no prices for B: add quotes, l2 or bars of it to the tape"),
    (
        [QUOTES],
        ["strategy.name=mine.py:Prints"],
        "reads trades, but the tape of A holds none; add its file with --tape",
    ),
]


@pytest.fixture
def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ProcessHarness:
    monkeypatch.setenv("AUTOHEDGE_CACHE_DIR", str(tmp_path / "cache"))
    ts = [START_NS + row * S for row in range(ROWS)]
    tables: dict[str, dict[str, object]] = {
        "quotes": {"bid": PRICES, "ask": [price + 0.1 for price in PRICES]},
        "trades": {"price": PRICES, "size": [0.0] * ROWS},
        "l2": {"event": ts, "side": ["bid"] * ROWS, "price": PRICES, "size": [1.0] * ROWS, "last_seq": ts},
        "5m_bars": {"open": PRICES, "high": PRICES, "low": PRICES, "close": PRICES},
    }
    for name, columns in tables.items():
        times = {"ts_ns": [ns * 300 - 299 * START_NS for ns in ts] if name == "5m_bars" else ts}
        pl.DataFrame(times | columns).write_parquet(tmp_path / f"A_{name}.parquet")
    (tmp_path / "mine.py").write_text(STRATEGY)
    return ProcessHarness(tmp_path, {"strategy__name": "crossover"})


@pytest.mark.parametrize(("tapes", "settings", "message"), CASES)
def test_run_refuses_streams_in_one_line_and_leaves_no_file(
    harness: ProcessHarness, tapes: list[str], settings: list[str], message: str
) -> None:
    before = {path.name for path in harness.path.iterdir()}
    done = harness.call("run", *tapes, *(part for each in settings for part in ("--set", each)), "--json")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert message in done.stderr
    assert {path.name for path in harness.path.iterdir()} - before <= {"cache"}


def test_run_takes_the_same_files_with_sound_settings(harness: ProcessHarness) -> None:
    # So that the cases above fail for the reasons that they name.
    made_of_quotes = ["bars.every=5s", "bars.source=quotes"]
    for tapes, settings in (([QUOTES, TRADES], made_of_quotes), ([BARS], ["bars.every=15m"])):
        sets = [part for each in settings for part in ("--set", each)]
        assert harness.call("run", *tapes, *sets, "--json").returncode == 0
    named = ["--set", "strategy.name=mine.py:Prints"]
    assert harness.call("run", QUOTES, TRADES, *named, "--json").returncode == 0

"""Rows by code: those of each kind that are bad, each once, and none on recorded tapes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from autohedge.market import Kind, Stream, TapeSource, open_streams
from autohedge.market.bar_aggregator import BarAggregator
from autohedge.market.bar_spec import BarSpec
from autohedge.market.row_codes import count_codes
from autohedge.market.stream import COLUMNS
from tests.market.book_factory import BINANCE, batch, message
from tests.market.trade_factory import TRADES, trades

NAN, INF = float("nan"), float("inf")
GOOD: dict[Kind, dict[str, float]] = {
    Kind.TRADES: {"price": 10.0, "size": 1.0, "side": 0},
    Kind.FUNDING: {"rate": -0.0001},
    Kind.LIQUIDATIONS: {"side": -1, "price": 10.0, "size": 1.0},
}
BAD: list[tuple[Kind, str, dict[str, float]]] = [
    (Kind.TRADES, "missing", {"price": NAN}),
    (Kind.TRADES, "missing", {"size": INF, "price": 0.0}),
    (Kind.TRADES, "non_positive", {"price": 0.0}),
    (Kind.TRADES, "non_positive", {"size": -1.0}),
    (Kind.FUNDING, "missing", {"rate": NAN}),
    (Kind.FUNDING, "missing", {"rate": -INF}),
    (Kind.LIQUIDATIONS, "missing", {"size": NAN}),
    (Kind.LIQUIDATIONS, "non_positive", {"price": -1.0, "side": 0}),
    (Kind.LIQUIDATIONS, "no_side", {"side": 0}),
]
CODES = {
    Kind.TRADES: ["missing", "non_positive"],
    Kind.FUNDING: ["missing"],
    Kind.LIQUIDATIONS: ["missing", "non_positive", "no_side"],
}


@pytest.mark.parametrize(("kind", "code", "change"), BAD)
def test_bad_row_counts_once_under_the_first_code_that_fits(
    kind: Kind, code: str, change: dict[str, float]
) -> None:
    rows = [GOOD[kind], GOOD[kind] | change, GOOD[kind]]
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in COLUMNS[kind][1:]}
    found = count_codes(Stream.of("A", {"ts": [1, 2, 3], **columns}, kind=kind))
    assert found == dict.fromkeys(CODES[kind], 0) | {code: 1}


@given(trades())
@settings(deadline=None)
def test_bad_trades_are_those_that_are_in_no_bar(columns: dict[str, Any]) -> None:
    if not len(columns["ts"]):
        return
    aggregator = BarAggregator(BarSpec.of("1m"), TRADES)
    aggregator.add(columns)
    found = count_codes(Stream.of("A", columns, kind=Kind.TRADES))
    assert found == {code: aggregator.skipped[code] for code in CODES[Kind.TRADES]}


def test_rows_of_all_blocks_count() -> None:
    rates = np.zeros(600_000)
    rates[[0, 249_999, 250_000, 599_999]] = NAN
    stream = Stream.of("A", {"ts": np.arange(600_000), "rate": rates}, kind=Kind.FUNDING)
    assert count_codes(stream) == {"missing": 4}


def test_codes_of_a_book_are_of_its_rows_and_of_its_messages() -> None:
    levels = [("bid", 9.0, 1.0), ("bid", 9.5, 1.0), ("ask", 11.0, 1.0)]
    bad = [("mid", 10.0, 1.0), ("bid", NAN, 1.0), ("ask", 12.0, -1.0)]
    found = [
        message([("bid", 9.0, 1.0)], first_seq=3, last_seq=4),
        message(levels, is_snapshot=1, first_seq=5, last_seq=5),
        message(bad, first_seq=6, last_seq=6),
        message([("ask", 9.2, 1.0)], first_seq=7, last_seq=7),
        message([("ask", 12.0, 1.0)], first_seq=9, last_seq=9),
    ]
    stream = Stream.of_book("A", batch(found, tick=0.1, sequenced=True))
    assert count_codes(stream) == {
        "bad_side": 1,
        "bad_price": 1,
        "bad_size": 1,
        "unsorted": 1,
        "book_gap": 1,
        "crossed_book": 1,
        "dropped": 1,
    }


@pytest.mark.parametrize("name", BINANCE)
def test_recorded_streams_have_no_bad_rows(shared: Path, name: str) -> None:
    paths = [shared / "data" / f"{name}_{kind}.parquet" for kind in ("quotes", "trades", "l2")]
    quotes, prints, book = (count_codes(each) for each in open_streams([TapeSource(path) for path in paths]))
    assert set(quotes.values()) == {0}
    assert prints == {"missing": 0, "non_positive": 0, "late_print": 0}
    del book["dropped"]  # the messages before the snapshot that it already holds
    assert set(book.values()) == {0}


def test_recorded_funding_has_no_bad_rows(shared: Path) -> None:
    path = shared / "data/hyperliquid/BTC-USD-PERP_funding.parquet"
    assert count_codes(open_streams([TapeSource(path)])[0]) == {"missing": 0}

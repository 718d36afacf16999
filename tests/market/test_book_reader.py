"""Files of book messages: columns, ticks, symbols, blocks, and what is refused."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from autohedge.core.errors import Misconfigured
from autohedge.kernels.book_codes import NO_SEQ
from autohedge.market import BookMessages, TapeSource, csv_reader, read_messages, readers
from tests.market.conftest import START_NS, Write

ROWS = {
    "ts_ns": [START_NS, START_NS, START_NS + 5, START_NS + 7, START_NS + 7],
    "event": [1, 1, 2, 4, 4],
    "is_snapshot": [True, True, False, False, None],
    "side": ["bid", "ask", "bid", "ask", None],
    "price": [99.5, 101.25, 99.0, 101.0, 100.0],
    "size": [1.0, 2.0, 0.0, None, 1.0],
}
NUMBERS = {"first_seq": [5, 5, 6, 8, 8], "last_seq": [5, 5, 7, 9, 9]}


def read(path: Path, symbol: str | None = None) -> BookMessages:
    return read_messages(TapeSource(path, symbol))


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
@pytest.mark.parametrize("block_rows", [1, 2, 3, 100])
def test_messages_are_read_whatever_the_format_and_its_blocks(
    write: Write, monkeypatch: pytest.MonkeyPatch, suffix: str, block_rows: int
) -> None:
    monkeypatch.setattr(readers, "BLOCK_ROWS", block_rows)
    monkeypatch.setattr(csv_reader, "BLOCK_ROWS", block_rows)
    found = read(write(f"A_l2.{suffix}", **ROWS, **NUMBERS, prev_seq=[None] * 5))
    assert (found.tick, found.sequenced, len(found)) == (0.01, True, 3)
    assert found.start.tolist() == [0, 2, 3, 5]
    assert (found.ts - START_NS).tolist() == [0, 5, 7]
    assert found.is_snapshot.tolist() == [1, 0, 0]
    assert found.side.tolist() == [1, -1, 1, -1, 0]
    assert found.price.tolist() == ROWS["price"]
    assert np.isnan(found.size[3]) and found.size[:3].tolist() == [1.0, 2.0, 0.0]
    assert (found.first_seq.tolist(), found.last_seq.tolist()) == ([5, 6, 8], [5, 7, 9])
    assert found.prev_seq.tolist() == [NO_SEQ] * 3


def test_message_is_complete_at_the_time_of_its_last_row(write: Write) -> None:
    rows = ROWS | {"ts_ns": [START_NS + number for number in range(5)]}
    assert (read(write("A_l2.parquet", **rows)).ts - START_NS).tolist() == [1, 2, 4]


def test_columns_of_snapshots_and_numbers_may_be_absent(write: Write) -> None:
    rows = {name: values for name, values in ROWS.items() if name != "is_snapshot"}
    found = read(write("A_l2.parquet", **rows))
    assert (found.sequenced, found.is_snapshot.tolist()) == (False, [0, 0, 0])


@pytest.mark.parametrize("absent", ["first_seq", "last_seq"])
@pytest.mark.parametrize("empty", [False, True])
def test_half_of_the_sequence_numbers_is_refused(write: Write, absent: str, empty: bool) -> None:
    numbers = NUMBERS | {absent: [None] * 5}
    if not empty:
        del numbers[absent]
    with pytest.raises(Misconfigured, match="but sequences need first_seq and last_seq"):
        read(write("A_l2.parquet", **ROWS, **numbers, prev_seq=[4, 4, 5, 7, 7]))


@pytest.mark.parametrize("absent", ["ts_ns", "event", "side", "price", "size"])
def test_absent_column_is_named(write: Write, absent: str) -> None:
    rows = {name: values for name, values in ROWS.items() if name != absent}
    with pytest.raises(Misconfigured, match=f"column {absent} of a book"):
        read(write("A_l2.parquet", **rows))


@pytest.mark.parametrize(
    ("prices", "tick"),
    [
        ([100.0, 110190.0], 1.0),
        ([61813.9, 61800.0], 0.1),
        ([0.1 + 0.2, 60000.5], 0.1),
        ([2.29e-05, 1e-08, 1.0], 1e-08),
        ([1e10, 0.01], 0.01),
        ([1.23456789012345e-05, 60000.0], 1e-13),
        ([float("nan"), float("inf"), -0.123, 0.5], 0.1),
    ],
)
def test_tick_is_the_finest_decimal_that_is_printed(write: Write, prices: list[float], tick: float) -> None:
    count = len(prices)
    rows = {"ts_ns": [START_NS] * count, "event": [1] * count, "side": ["bid"] * count, "size": [1.0] * count}
    assert read(write("A_l2.parquet", **rows, price=prices)).tick == tick


def test_rule_of_the_instrument_gives_the_tick(write: Write) -> None:
    assert read_messages(TapeSource(write("A_l2.parquet", **ROWS)), tick=0.25).tick == 0.25


def test_symbol_of_a_file_with_several_is_selected(write: Write) -> None:
    path = write("A_l2.parquet", **ROWS, symbol=["A", "A", "B", "B", "B"])
    assert read(path, "B").price.tolist() == [99.0, 101.0, 100.0]
    with pytest.raises(Misconfigured, match="holds 2 symbols"):
        read(path)


def test_recorded_book_of_one_symbol_of_ten_never_crosses(shared: Path) -> None:
    from tests.market.book_factory import built

    path = shared / "data/coinbase/exchange_ten_pairs_20210417_l2.parquet"
    symbols = pl.read_parquet(path)["symbol"].unique().sort().to_list()
    for symbol in symbols:
        book = built(read(path, symbol))
        assert (book.code, book.count("crossed")) == ("valid", 0)


@pytest.mark.parametrize(
    ("changed", "cause"),
    [
        ({"ts_ns": [START_NS, START_NS - 1, START_NS, START_NS, START_NS]}, "time decreases at row 1"),
        ({"ts_ns": [1, 2, 3, 4, 5]}, "is not a time between"),
        ({"event": [1, 1, None, 4, 4]}, "event is missing at row 2; give the rows of each message one value"),
        ({"price": ["99.5", "x", "1", "1", "1"]}, "column price: x at row 1 is no number"),
        ({"first_seq": ["a"] * 5, "last_seq": [1] * 5}, "column first_seq is String; make it integers"),
    ],
)
def test_values_without_meaning_are_refused(write: Write, changed: dict[str, object], cause: str) -> None:
    with pytest.raises(Misconfigured, match=cause):
        read(write("A_l2.parquet", **{**ROWS, **changed}))


def test_file_without_rows_is_refused(write: Write) -> None:
    with pytest.raises(Misconfigured, match="has no rows"):
        read(write("A_l2.parquet", **{name: [] for name in ROWS}))

"""Importing files: the columns read, and the errors for invalid files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from autohedge.core.errors import Misconfigured
from autohedge.market import Kind, Tape, TapeSource, csv_reader, open_streams, open_tape, readers
from autohedge.market.tape_file import hash_file

Write = Callable[..., Path]

START_NS = 1_700_000_000_000_000_000

GOOD = {"bid": [1.0, 2.0], "ask": [1.5, 2.5]}
TIMES = [START_NS, START_NS + 1]
PRICES = ("open", "high", "low", "close")
THREE = [START_NS, START_NS + 60, START_NS + 60]


def opened(path: Path, select: str | None = None) -> Tape:
    return open_tape([TapeSource(path, select)])


def refusal(path: Path, select: str | None = None) -> str:
    with pytest.raises(Misconfigured) as caught:
        opened(path, select)
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    return text


def test_imported_quotes_preserve_values_and_mark_missing_ones(quotes_file: Path) -> None:
    rows = opened(quotes_file).rows
    assert rows.ts.tolist() == [START_NS, START_NS, START_NS + 5]
    assert np.array_equal(rows.bid, [100.0, np.nan, 100.5], equal_nan=True)
    assert rows.ask.tolist() == [100.1, 100.2, 100.4]
    assert rows.bid_size.tolist() == [1, 0, 3]
    assert rows.ask_size.tolist() == [2, 2, 0]


def test_a_bar_is_known_at_its_end(bars_file: Path) -> None:
    tape = opened(bars_file)
    day_ns = 86_400_000_000_000
    assert tape.streams[0].kind is Kind.BARS
    assert tape.origins[0].interval_ns == day_ns
    assert tape.rows.ts.tolist() == [START_NS + day_ns, START_NS + 2 * day_ns]
    assert tape.rows.bid.tolist() == tape.rows.ask.tolist() == [11.0, 12.0]
    assert tape.rows.ask_size.tolist() == [1000, 2000]


def test_bar_length_absent_from_file_name_is_most_common_gap(write: Write) -> None:
    starts = [START_NS + 60 * minute for minute in (0, 1, 2, 9)]
    prices = dict.fromkeys(("open", "high", "low", "close"), [1.0] * 4)
    tape = opened(write("XBTUSDT_ohlc_bars.parquet", ts_ns=starts, **prices))
    assert tape.origins[0].interval_ns == 60
    assert tape.rows.bid_size.tolist() == [0, 0, 0, 0]


def test_single_bar_without_length_in_file_name_is_refused(write: Write) -> None:
    bar = {key: [1.0] for key in ("open", "high", "low", "close")}
    assert "name the file" in refusal(write("A_bars.parquet", ts_ns=[START_NS], **bar))
    assert len(opened(write("A_1h_bars.parquet", ts_ns=[START_NS], **bar))) == 1


def test_csv_and_parquet_of_the_same_quotes_agree(write: Write) -> None:
    columns = {
        "ts_ns": TIMES,
        "bid": [1.25, None],
        "note": ["a", "b"],
        "ask": [1.5, float("nan")],
        "bid_size": [None, None],
    }
    parquet, csv = write("A.parquet", **columns), write("A.csv", **columns)
    first, second = opened(parquet).rows, opened(csv).rows
    for name in ("ts", "bid", "ask", "bid_size", "ask_size"):
        assert np.array_equal(getattr(first, name), getattr(second, name), equal_nan=True)


@pytest.mark.parametrize("name", ["A.parquet", "A.csv"])
def test_block_size_does_not_change_imported_rows(
    write: Write, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    ts = START_NS + np.arange(1_000)
    bid = np.arange(1_000) + 1.0
    monkeypatch.setattr(readers, "BLOCK_ROWS", 7)
    monkeypatch.setattr(csv_reader, "BLOCK_ROWS", 7)
    rows = opened(write(name, ts_ns=ts, bid=bid, ask=bid + 1)).rows
    assert np.array_equal(rows.ts, ts)
    assert np.array_equal(rows.ask, bid + 1)


def test_a_decrease_between_blocks_is_found(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers, "BLOCK_ROWS", 2)
    path = write(ts_ns=[START_NS, START_NS + 5, START_NS + 4], bid=[1.0] * 3, ask=[2.0] * 3)
    assert "decreases at row 2" in refusal(path)


def test_a_second_run_reads_the_cache_without_the_reader(
    quotes_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = opened(quotes_file)
    monkeypatch.delattr(pl, "scan_parquet")
    assert np.array_equal(opened(quotes_file).rows.ts, first.rows.ts)


def test_changed_file_is_reimported(write: Write) -> None:
    opened(write(ts_ns=TIMES, **GOOD))
    changed = write(ts_ns=TIMES, bid=[7.0, 8.0], ask=[7.5, 8.5])
    assert opened(changed).rows.bid.tolist() == [7.0, 8.0]


def test_a_symbol_is_chosen_from_a_file_of_several(write: Write) -> None:
    for name in ("ten.parquet", "ten.csv"):
        path = write(
            name,
            ts_ns=[START_NS, START_NS + 1, START_NS + 1],
            symbol=["A/X", "B/X", "A/X"],
            bid=[1.0, 5.0, 2.0],
            ask=[2.0, 6.0, 3.0],
        )
        tape = opened(path, "A/X")
        assert tape.rows.bid.tolist() == [1.0, 2.0]
        assert (tape.symbols, tape.origins[0].select) == (("A/X",), "A/X")
        assert "2 symbols (A/X, B/X); name one with SYMBOL=FILE" in refusal(path)
        assert "2 symbols" in refusal(path, "C/X")


@pytest.mark.parametrize("name", ["A.parquet", "A.csv"])
def test_symbol_column_must_not_contradict_the_wanted_symbol(write: Write, name: str) -> None:
    path = write(name, ts_ns=TIMES, symbol=["ETH/USD", "ETH/USD"], **GOOD)
    for _ in ("cold", "warm"):
        assert "column symbol says ETH/USD, not BTC/USD" in refusal(path, "BTC/USD")
        tape = opened(path, "eth-usd")
        assert (tape.symbols, tape.origins[0].select) == (("eth-usd",), None)
        assert opened(path).symbols == ("A",)


def test_one_of_several_symbols_is_found_in_another_spelling(write: Write) -> None:
    path = write(ts_ns=TIMES, symbol=["ETH/USD", "BTC/USD"], **GOOD)
    for _ in ("cold", "warm"):
        tape = opened(path, "BTC-USD")
        assert (tape.rows.bid.tolist(), tape.origins[0].select) == ([2.0], "BTC/USD")


def test_names_of_parquet_columns_are_read_like_those_of_csv(write: Write) -> None:
    columns = {"TS_NS": TIMES, " Bid": GOOD["bid"], "Ask ": GOOD["ask"]}
    assert opened(write(**columns)).rows.bid.tolist() == GOOD["bid"]
    assert "column bid is named twice" in refusal(write(**columns, bid=GOOD["bid"]))


def test_bad_quotes_are_not_refused(write: Write) -> None:
    path = write(ts_ns=[START_NS] * 4, bid=[0.0, -1.0, 3.0, 2.0], ask=[1.0, 1.0, 2.0, 2.0])
    assert len(opened(path)) == 4


@pytest.mark.parametrize("name", ["A_trades.parquet", "A_trades.csv"])
def test_trades_are_read_with_sides_and_missing_values(write: Write, name: str) -> None:
    sides = ["buy", "Sell", None]
    path = write(name, ts_ns=THREE, price=[1.0, None, 3.0], size=[1, 2, None], aggressor_side=sides)
    columns = open_streams([TapeSource(path)])[0].columns
    assert columns["ts"].tolist() == THREE and columns["side"].tolist() == [1, -1, 0]
    assert str(columns["price"].tolist()) == "[1.0, nan, 3.0]"
    assert str(columns["size"].tolist()) == "[1.0, 2.0, nan]"


@pytest.mark.parametrize("sides", [{}, {"aggressor_side": [None] * 3}])
def test_trades_without_sides_have_side_0(write: Write, sides: dict[str, object]) -> None:
    path = write(ts_ns=THREE, price=[1.0] * 3, size=[1] * 3, **sides)
    assert open_streams([TapeSource(path)])[0].columns["side"].tolist() == [0, 0, 0]


@pytest.mark.parametrize("partial", [[True, False, None], ["True", "false", ""], [1, 0, 0]])
def test_bars_with_ends_keep_their_starts_and_which_are_partial(write: Write, partial: list[object]) -> None:
    prices = {name: [1.0] * 3 for name in ("open", "high", "low", "close")}
    ends = [time + 9 for time in THREE]
    path = write("A_bars.parquet", ts_ns=THREE, end_ns=ends, partial=partial, **prices)
    for _ in ("cold", "warm"):
        columns = open_streams([TapeSource(path)])[0].columns
        assert (columns["ts"].tolist(), columns["start"].tolist()) == (ends, THREE)
        assert columns["partial"].tolist() == [1, 0, 0]
    plain = write("B_1m_bars.parquet", ts_ns=[START_NS], **{name: [1.0] for name in prices})
    assert not {"start", "partial"} & set(open_streams([TapeSource(plain)])[0].columns)


@pytest.mark.parametrize("name", ["A_1m_bars.parquet", "A_1m_bars.csv"])
def test_bars_keep_the_volumes_by_side_that_a_file_has(write: Write, name: str) -> None:
    bars = dict.fromkeys(PRICES, [1.0] * 3)
    times = {"ts_ns": [START_NS + row * 60 * 10**9 for row in range(3)]}
    path = write(name, **times, **bars, buy_volume=[0.1 + 0.2, None, 0], sell_volume=[None] * 3)
    for _ in ("cold", "warm"):
        columns = open_streams([TapeSource(path)])[0].columns
        np.testing.assert_array_equal(columns["buy_volume"], [0.1 + 0.2, np.nan, 0.0])
        assert np.isnan(columns["sell_volume"]).all()
    (one,) = open_streams([TapeSource(write(name, **times, **bars, sell_volume=[3, 2, 1]))])
    assert one.columns["sell_volume"].tolist() == [3.0, 2.0, 1.0] and "buy_volume" not in one.columns
    (none,) = open_streams([TapeSource(write(name, **times, **bars, count=[1] * 3))])
    assert set(none.columns) == {"ts", *bars, "volume"}


def test_bars_with_volumes_by_side_have_the_rows_of_bars_without(write: Write, bars_file: Path) -> None:
    more = pl.read_parquet(bars_file).with_columns(buy_volume=1.0, sell_volume=2.0)
    path = write("B_1d_bars.parquet", **more.to_dict())
    plain, sided = opened(bars_file), opened(path)
    assert plain.rows.block_hash(0, 2) == sided.rows.block_hash(0, 2)
    assert sided.origins[0].content_hash == hash_file(path)


def test_a_table_without_rows_is_refused(quotes_file: Path) -> None:
    pl.read_parquet(quotes_file).clear().write_parquet(quotes_file)
    assert "no rows" in refusal(quotes_file)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "none.parquet")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    assert "not a file" in refusal(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.parquet", b"", "empty"),
        ("a.csv", b"", "empty"),
        ("a.parquet", b"ts_ns,bid,ask\n", "no rows"),
        ("a.json", b'{"price": 1}\n', 'found {"price": 1}'),
        ("a.bin", bytes(range(256)), "neither a Parquet file nor CSV"),
        ("a.parquet", b"PAR1 and then nothing of the kind", "cannot be read"),
        ("a.csv", b"ts_ns,bid,ask\n", "no rows"),
        ("a.csv", b"ts_ns,bid,ask\n\xff\xfe\x00,1,2\n", "column ts_ns"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert message in refusal(path)


def test_a_truncated_parquet_file_is_refused(quotes_file: Path) -> None:
    quotes_file.write_bytes(quotes_file.read_bytes()[:-20])
    assert "cannot be read" in refusal(quotes_file)


def test_damage_within_a_parquet_file_is_refused(write: Write) -> None:
    rows = 5_000
    path = write(ts_ns=START_NS + np.arange(rows), bid=np.ones(rows), ask=np.arange(rows) * 1.7)
    content = bytearray(path.read_bytes())
    content[50:3_000] = bytes(2_950)
    path.write_bytes(content)
    refusal(path)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"ts_ns": TIMES, "bid": [1, 2]}, "column ask is missing; found ts_ns, bid"),
        ({"bid": [1], "ask": [2]}, "column ts_ns is missing"),
        ({"ts_ns": TIMES, "open": [1, 2], "close": [1, 2]}, "column high is missing"),
        ({"ts_ns": TIMES, "vix": [1, 2]}, "found ts_ns, vix"),
        (
            {"ts_ns": TIMES, "price": [1, 2], "size": [1, 2], "aggressor_side": ["buy", "b"]},
            "aggressor_side is b at row 1; write buy or sell",
        ),
        (
            {"ts_ns": TIMES, "price": [1, 2], "size": [1, 2], "side": ["long", "buy"]},
            "side is buy at row 1; write long or short",
        ),
        ({"ts_ns": TIMES, "order_id": [1, 2], "side": [1, 2], "price": [1, 2], "size": [1, 2]}, "no columns"),
        ({"price": [1, 2], "size": [1, 2]}, "column ts_ns is missing"),
        ({"ts_ns": TIMES, "event": [1, 2], "price": [1, 2], "size": [1, 2]}, "column side is missing"),
        ({"ts_ns": TIMES, "bid": ["1", "2"], "ask": [1, 2]}, "column bid is String"),
        ({"ts_ns": TIMES, "price": ["1", "2"], "size": [1, 2]}, "column price is String"),
        (
            {"ts_ns": TIMES, **{name: [1, 2] for name in PRICES}, "buy_volume": ["1", "2"]},
            "column buy_volume is String",
        ),
        ({"ts_ns": [1.5, 2.5], **GOOD}, "ts_ns is Float64"),
        ({"ts_ns": [START_NS, None], **GOOD}, "ts_ns is missing at row 1"),
        ({"ts_ns": [START_NS, START_NS - 1], **GOOD}, "time decreases at row 1"),
        ({"ts_ns": [1_700_000_000, 1_700_000_001], **GOOD}, "looks like seconds"),
        ({"ts_ns": [1_700_000_000_000, 1_700_000_000_001], **GOOD}, "looks like milliseconds"),
        ({"ts_ns": [1_700_000_000_000_000] * 2, **GOOD}, "looks like microseconds"),
        ({"ts_ns": [START_NS, START_NS * 3], **GOOD}, "at row 1 is not a time"),
        ({"ts_ns": [-5, 5], **GOOD}, "-5 at row 0 is not a time"),
    ],
)
def test_a_table_that_is_no_tape_is_refused(
    write: Write, columns: dict[str, list[object]], message: str
) -> None:
    assert message in refusal(write(**columns))

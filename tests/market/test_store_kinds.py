"""A live store of all kinds: rows come in the order in which they were appended, whatever reads them and when."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from autohedge.config.sections import BarsSettings
from autohedge.core.clock import NEVER
from autohedge.core.errors import Corrupt, Misconfigured
from autohedge.market import (
    Kind,
    LiveStore,
    LiveStoreWriter,
    Reads,
    Rows,
    StoreCursor,
    StoreStream,
    Stream,
    Tape,
    open_tape,
    parse_source,
    read_by,
    reopen,
    tape_of,
)
from autohedge.market.store_tape import open_store
from tests.market.store_factory import book_of, rows_at, store_of, stream_part

S = 10**9
ALL = frozenset(Kind)


def _streams(times: Sequence[int]) -> list[Stream]:
    """Streams of all kinds of A, which has quotes, and a book and trades of B, which has none."""
    count, ts = len(times), np.array(times, np.int64)
    near = 100.0 + np.arange(count) % 7
    values: dict[Kind, dict[str, Any]] = {
        Kind.QUOTES: {"bid": near, "ask": near + 0.5},
        Kind.TRADES: {"price": near + 0.25, "size": np.ones(count), "side": np.arange(count) % 3 - 1},
        Kind.FUNDING: {"rate": near / 1e6},
        Kind.LIQUIDATIONS: {"side": np.ones(count), "price": near, "size": np.ones(count)},
        Kind.BARS: {"open": near, "high": near + 1, "low": near - 1, "close": near},
    }
    own = [
        Stream.of("A", {"ts": ts, **columns}, kind=kind, interval_ns=S if kind is Kind.BARS else 0)
        for kind, columns in values.items()
    ]
    later = (ts + S // 3).tolist()
    trades = Stream.of("B", {"ts": later, **values[Kind.TRADES]}, kind=Kind.TRADES)
    return [*own, book_of("A", times, near.tolist()), book_of("B", later, near.tolist()), trades]


def _writer(folder: Path, streams: Sequence[Stream]) -> LiveStoreWriter:
    return LiveStoreWriter(folder, ["A"], streams=[StoreStream.of(each) for each in streams[1:]])


READS = [
    Reads(),
    Reads(frozenset({Kind.TRADES})),
    Reads(frozenset({Kind.TRADES, Kind.BOOK, Kind.QUOTES})),
    Reads(ALL),
    Reads(frozenset({Kind.BARS}), lambda _: BarsSettings(every="2s")),
    Reads(frozenset({Kind.BARS}), lambda _: BarsSettings(every="2s", source="quotes", fill="carry")),
    Reads(frozenset({Kind.BARS, Kind.TRADES}), lambda _: BarsSettings(every="2s", delay_ms=1_500.0)),
    Reads(frozenset({Kind.BARS}), lambda _: BarsSettings(every="3 ticks")),
]


def _append_some(writer: LiveStoreWriter, streams: Sequence[Stream], data: st.DataObject) -> bool:
    """Appends drawn rows of a drawn stream; returns whether there were any."""
    left = [each for each in streams if writer.rows_of(*each.key) < len(each)]
    if left:
        stream = data.draw(st.sampled_from(left))
        start = writer.rows_of(*stream.key)
        writer.append(stream_part(stream, start, start + data.draw(st.integers(1, len(stream) - start))))
    return bool(left)


def _require_same(first: Tape, second: Tape) -> None:
    mine, its = first.cursor.rows, second.cursor.rows
    assert (mine.kinds is None, mine.row is None) == (its.kinds is None, its.row is None)
    for name, column in mine.columns().items():
        np.testing.assert_array_equal(column, its.columns()[name], err_msg=name)
    if mine.row is not None:
        np.testing.assert_array_equal(mine.row, its.row)
    assert first.origins == second.origins or not first.origins[0].content_hash
    for one, other in zip(first.streams, second.streams, strict=True):
        for name, column in one.columns.items():
            np.testing.assert_array_equal(column, other.columns[name], err_msg=name)


@budget(max_examples=25, deadline=None)
@given(data=st.data(), which=st.sampled_from(range(len(READS))))
def test_any_interleaving_and_any_cut_give_the_rows_of_the_finished_store(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, which: int
) -> None:
    gaps = data.draw(st.lists(st.sampled_from([0, 0, S // 4, S, 5 * S]), min_size=1, max_size=12))
    streams, reads = _streams(np.cumsum([S, *gaps]).tolist()), READS[which]
    folder = tmp_path_factory.mktemp("store") / "market"
    hashes: list[str] = []
    with _writer(folder, streams) as writer:
        tape = open_store(folder, growing=True, reads=reads)
        other = read_by(open_store(folder, growing=True, reads=Reads()), reads)
        while _append_some(writer, streams, data):
            if data.draw(st.booleans()):
                tape.cursor.refresh()
                if count := len(tape.cursor.rows):
                    hashes.append(tape.cursor.block_hash(0, count))
            if data.draw(st.booleans()):
                other.cursor.refresh()
    tape.cursor.refresh()
    other.cursor.refresh()
    assert tape.cursor.closed
    whole = open_store(folder, growing=False, reads=reads)
    ts = whole.rows.ts
    assert np.all(ts[1:] >= ts[:-1])
    for growing in (tape, other, reopen(tape.origins)):
        _require_same(growing, whole)
    _require_same(reopen(whole.origins), whole)
    assert read_by(whole, reads) is whole
    seals = {whole.cursor.block_hash(0, count) for count in range(1, len(whole) + 1)}
    assert set(hashes) <= seals


@pytest.mark.parametrize("reads", [*READS[:6], READS[7]])
def test_rows_appended_in_time_order_are_those_of_files(tmp_path: Path, reads: Reads) -> None:
    streams = _streams([*range(S, 20 * S, S // 2), *range(40 * S, 60 * S, S)])
    shifted = [_shifted(stream, number) for number, stream in enumerate(streams)]
    with _writer(tmp_path / "market", shifted) as writer:
        for _, number, row in sorted(
            (int(ts), number, row)
            for number, stream in enumerate(shifted)
            for row, ts in enumerate(stream.columns["ts"])
        ):
            writer.append(stream_part(shifted[number], row, row + 1))
    whole, files = open_store(tmp_path / "market", growing=False, reads=reads), tape_of(shifted, reads)
    _require_same_columns(whole.rows, files.rows)


def _shifted(stream: Stream, number: int) -> Stream:
    """Returns the stream with times of its own, so that no two streams have a row at one time."""
    if stream.kind is Kind.BOOK:
        assert stream.messages is not None
        prices = stream.messages.now.price[::2].tolist()
        return book_of(stream.symbol, (stream.columns["ts"] + number).tolist(), prices)
    columns = dict(stream.columns) | {"ts": stream.columns["ts"] + number}
    return Stream.of(stream.symbol, columns, kind=stream.kind, interval_ns=stream.origin.interval_ns)


def _require_same_columns(first: Rows, second: Rows) -> None:
    assert len(first) == len(second)
    for name, column in first.columns().items():
        if name in second.columns():
            np.testing.assert_array_equal(column, second.columns()[name], err_msg=name)


@budget(max_examples=20, deadline=None)
@given(data=st.data(), which=st.sampled_from([4, 5, 6, 7]))
def test_bars_that_a_clock_has_finished_come_again_at_the_same_place(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, which: int
) -> None:
    gaps = data.draw(st.lists(st.sampled_from([0, S // 4, S, 5 * S]), min_size=1, max_size=12))
    streams, reads = _streams(np.cumsum([S, *gaps]).tolist()), READS[which]
    folder, reached, hashes = tmp_path_factory.mktemp("store") / "market", [], dict[int, str]()
    with _writer(folder, streams) as writer:
        tape = open_store(folder, growing=True, reads=reads)
        cursor = tape.cursor
        assert isinstance(cursor, StoreCursor)
        while _append_some(writer, streams, data):
            cursor.refresh()
            if cursor.next_bar_ns < NEVER and data.draw(st.booleans()):
                reached.append((cursor.count, cursor.next_bar_ns))
                cursor.reach_clock(cursor.next_bar_ns)
                assert cursor.next_bar_ns > reached[-1][1]
                hashes[len(cursor.rows)] = cursor.block_hash(0, len(cursor.rows))
    assert np.all(np.diff(cursor.rows.ts) >= 0)
    again = reopen(tape.origins, None, reached)
    _require_same(again, tape)
    assert {count: again.cursor.block_hash(0, count) for count in hashes} == hashes


def _bars(times: Sequence[int], **columns: Any) -> Stream:
    prices = dict.fromkeys(("open", "high", "low", "close"), np.full(len(times), 100.0))
    return Stream.of("A", {"ts": times, **prices, **columns}, kind=Kind.BARS, interval_ns=S)


def test_bars_of_a_store_keep_their_volumes_by_side(tmp_path: Path) -> None:
    folder = tmp_path / "market"
    first = _bars([S, 2 * S], buy_volume=[0.1, np.nan], sell_volume=[0.2, 0.0])
    streams = [StoreStream.of(first)]
    with LiveStoreWriter(folder, ["A"], streams=streams) as writer:
        writer.append(rows_at(S))
        writer.append(first)
        writer.append(_bars([3 * S]))
        writer.append(_bars([4 * S], sell_volume=[0.4]))
    tape = open_store(folder, growing=False, reads=Reads(frozenset({Kind.BARS})))
    for each in (tape, reopen(tape.origins)):
        (bars,) = [stream for stream in each.streams if stream.kind is Kind.BARS]
        np.testing.assert_array_equal(bars.columns["buy_volume"], [0.1, np.nan, np.nan, np.nan])
        np.testing.assert_array_equal(bars.columns["sell_volume"], [0.2, 0.0, np.nan, 0.4])
        assert StoreStream.of(bars) == streams[0]


def test_store_without_volumes_by_side_stays_without(tmp_path: Path) -> None:
    folder, sided = tmp_path / "market", _bars([2 * S], buy_volume=[1.0], sell_volume=[2.0])
    plain = [StoreStream("A", Kind.BARS, S)]
    with LiveStoreWriter(folder, ["A"], streams=plain) as writer:
        writer.append(_bars([S]))
        writer.release()
    before = sorted(path.name for path in folder.iterdir())
    assert not {"1.buy_volume", "1.sell_volume"} & set(before)
    assert "side_volumes" not in (folder / "store.json").read_text()
    with LiveStoreWriter(folder, ["A"], streams=[StoreStream.of(sided)]) as writer:
        writer.append(sided)
    assert sorted(path.name for path in folder.iterdir()) == before
    assert LiveStore(folder).manifest.streams[1:] == tuple(plain)
    (_, bars) = open_store(folder, growing=True, reads=Reads(frozenset({Kind.BARS}))).streams
    assert bars.columns["close"].tolist() == [100.0, 100.0]
    assert not {"buy_volume", "sell_volume"} & set(bars.columns)


def test_bars_that_a_store_makes_of_trades_have_their_volumes_by_side(tmp_path: Path) -> None:
    streams = _streams(range(S, 20 * S, S // 2))[:2]
    with _writer(tmp_path / "market", streams) as writer:
        writer.append(streams[1])
        writer.append(streams[0])
    reads = Reads(frozenset({Kind.BARS}), lambda _: BarsSettings(every="2s"))
    (bars,) = _derived(open_store(tmp_path / "market", growing=False, reads=reads))
    (wanted,) = _derived(tape_of(streams, reads))
    for name in ("buy_volume", "sell_volume"):
        assert bars.columns[name].tolist() == wanted.columns[name].tolist()
        assert np.any(bars.columns[name] > 0)


def _derived(tape: Tape) -> list[Stream]:
    return [stream for stream in tape.streams if stream.origin.derived]


def test_late_row_has_the_time_at_which_it_became_known(tmp_path: Path) -> None:
    streams = _streams([S, 2 * S])
    quotes, trades = streams[:2]
    with _writer(tmp_path / "market", streams) as writer:
        writer.append(quotes)
        writer.append(trades)
    tape = open_store(tmp_path / "market", growing=False, reads=Reads(frozenset({Kind.TRADES, Kind.QUOTES})))
    assert tape.rows.ts.tolist() == [S, 2 * S, 2 * S, 2 * S]
    (read,) = [each for each in tape.streams if each.kind is Kind.TRADES and each.symbol == "A"]
    assert read.columns["ts"].tolist() == [S, 2 * S]
    assert tape.rows.row is not None and tape.rows.row.tolist() == [0, 1, 0, 1]


def test_store_of_quotes_alone_keeps_its_files(tmp_path: Path) -> None:
    folder = store_of(tmp_path / "market", rows_at(1, 2), ("A",))
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ("store.json", "state", "ts", "lane", "bid", "ask", "bid_size", "ask_size")
    )
    manifest = (folder / "store.json").read_text()
    store_id = LiveStore(folder).manifest.id
    assert (
        manifest.split()
        == (
            '{ "format": 1, "id": "%s", "streams": [ { "symbol": "A", "kind": "quotes" } ] }' % store_id  # noqa: UP031
        ).split()
    )


def test_changed_row_of_an_unread_kind_is_named(tmp_path: Path) -> None:
    folder, streams = tmp_path / "market", _streams([S, 2 * S, 3 * S])
    writer = _writer(folder, streams)
    writer.append(streams[1])
    writer.append(streams[0])
    writer.release()
    tape = open_store(folder, growing=True, reads=Reads())
    sealed = tape.cursor.block_hash(0, 3)
    _change(folder, "1.price", 1, 7.0)
    with pytest.raises(Corrupt, match="rows 0 to 2 of the trades of A were changed after they were read"):
        tape.cursor.block_hash(0, 3)
    again = open_store(folder, growing=True, reads=Reads()).cursor
    assert again.named_difference(0, 3, sealed) == "rows 0 to 2 of the trades of A"


def _change(folder: Path, name: str, row: int, value: float, dtype: str = "<f8") -> None:
    column = np.memmap(folder / name, dtype, "r+")
    column[row] = value
    column.flush()


@pytest.mark.parametrize(
    ("name", "dtype", "value", "named"),
    [
        ("1.ts", "<i8", 0, "row 1 of the trades of A goes back in time"),
        ("order", "<i4", 99, "row 1 is of none of its 8 streams"),
        ("order", "<i4", -1, "row 1 is of none of its 8 streams"),
        ("5.end", "<i8", 99, "the book of A have levels that are not in order"),
    ],
)
def test_damaged_rows_are_refused(tmp_path: Path, name: str, dtype: str, value: int, named: str) -> None:
    folder, streams = tmp_path / "market", _streams([S, 2 * S, 3 * S])
    with _writer(folder, streams) as writer:
        for stream in streams:
            writer.append(stream)
    _change(folder, name, 1, value, dtype)
    with pytest.raises(Corrupt, match=named):
        LiveStore(folder)


def test_store_of_many_streams_keeps_few_files_open(tmp_path: Path) -> None:
    streams = [StoreStream(f"S{number}", Kind.TRADES) for number in range(60)]
    with LiveStoreWriter(tmp_path / "market", ["A"], streams=streams) as writer:
        writer.append(rows_at(S))
        for number in range(60):
            columns: dict[str, Any] = {"ts": [S], "price": [1.0], "size": [1.0]}
            writer.append(Stream.of(f"S{number}", columns, kind=Kind.TRADES))
    before = len(list(Path("/dev/fd").iterdir()))
    store = LiveStore(tmp_path / "market")
    assert store.count == 61
    # An event loop takes only small descriptors.
    assert len(list(Path("/dev/fd").iterdir())) < before + 12


def test_writer_refuses_rows_that_do_not_fit(tmp_path: Path) -> None:
    streams = _streams([S, 2 * S])
    writer = _writer(tmp_path / "market", streams)
    writer.append(streams[1])
    with pytest.raises(Misconfigured, match="row 2 of the trades of A goes back in time"):
        writer.append(streams[1])
    writer.append(streams[0])
    with pytest.raises(Misconfigured, match="has no funding of B, but A, trades of A"):
        writer.append(Stream.of("B", {"ts": [1], "rate": [0.1]}, kind=Kind.FUNDING))
    assert len(writer) == 4
    writer.release()
    with pytest.raises(Misconfigured, match="has no tick"):
        LiveStoreWriter(tmp_path / "other", ["A"], streams=[StoreStream("A", Kind.BOOK)])
    with pytest.raises(Misconfigured, match="name the symbols of quotes apart"):
        LiveStoreWriter(tmp_path / "other", ["A"], streams=[StoreStream("B")])


STATE_BYTES = 24


class Killed(BaseException):
    """The end of a process."""


def test_writer_killed_at_any_write_leaves_whole_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    streams = _streams([S, 2 * S, 3 * S])
    write, calls, whole = os.pwrite, 0, sum(len(stream) for stream in streams)
    while True:
        folder, left = tmp_path / f"{calls}", [calls]
        _writer(folder, streams).release()

        def dying(descriptor: int, block: Any, at: int, left: list[int] = left) -> int:
            left[0] -= 1
            if left[0] < 0:
                if len(block) > STATE_BYTES:  # the state is written whole
                    write(descriptor, bytes(block)[:7], at)
                raise Killed
            return write(descriptor, block, at)

        with monkeypatch.context() as patch:
            patch.setattr(os, "pwrite", dying)
            try:
                with _writer(folder, streams) as writer:
                    for stream in streams:
                        writer.append(stream)
                break
            except Killed:
                pass
        assert LiveStore(folder).count in range(0, whole + 1, 3)
        with _writer(folder, streams) as writer:
            for stream in streams:
                held = writer.rows_of(*stream.key)
                if held < len(stream):
                    writer.append(stream_part(stream, held, len(stream)))
        assert _content(folder) == _content_of(tmp_path, streams)
        calls += 1
    assert calls > 30


def _content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "store.json"}


def _content_of(tmp_path: Path, streams: Sequence[Stream]) -> dict[str, bytes]:
    folder = tmp_path / "whole"
    if not folder.exists():
        with _writer(folder, streams) as writer:
            for stream in streams:
                writer.append(stream)
    return _content(folder)


def test_window_of_a_store_can_be_read_by_another_strategy(tmp_path: Path) -> None:
    folder, streams = tmp_path / "market", _streams(range(S, 20 * S, S))
    with _writer(folder, streams) as writer:
        for stream in streams:
            writer.append(stream)
    tape = open_tape([parse_source(str(folder))], reads=Reads(ALL)).between(5 * S, 30 * S)
    again = reopen(tape.origins)
    _require_same_columns(tape.rows, again.rows)
    assert tape.rows.block_hash(0, len(tape)) == again.cursor.block_hash(0, len(again))
    prices = read_by(tape, Reads())
    assert prices.rows.kinds is None and set(prices.rows.lane.tolist()) == {0, 1}
    _require_same_columns(prices.rows, open_tape([parse_source(str(folder))]).between(5 * S, 30 * S).rows)

"""A live store: its rows are whole whatever happens to the writer, and a reader sees no other."""

import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from autohedge.core.errors import Corrupt, Misconfigured, Refused, Unavailable
from autohedge.market import LiveStore, LiveStoreWriter, Rows
from autohedge.market.rows import ROW_COLUMNS
from autohedge.market.store_files import encode_state
from tests.kernels.quote_factory import columns, quotes
from tests.market.store_factory import part, rows_at, store_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "market"


def _same(first: Rows, second: Rows) -> bool:
    return len(first) == len(second) and first.block_hash(0, len(first)) == second.block_hash(0, len(second))


@budget(max_examples=15, deadline=None)
@given(quotes(lanes=2), st.lists(st.tuples(st.integers(0, 20), st.booleans()), max_size=12))
def test_reader_sees_the_rows_that_were_appended(
    tmp_path_factory: pytest.TempPathFactory, given_quotes: Any, steps: list[tuple[int, bool]]
) -> None:
    lane, ts, bid, ask, *sizes = columns(given_quotes)
    rows, folder = Rows(ts, lane, bid, ask, sizes[0], sizes[1]), tmp_path_factory.mktemp("store") / "market"
    writer = LiveStoreWriter(folder, ["A", "B"])
    store = LiveStore(folder)
    for count, reopened in steps:
        if reopened:
            writer.release()
            writer = LiveStoreWriter(folder, ["A", "B"])
        writer.append(part(rows, len(writer), min(len(writer) + count, len(rows))))
        store.refresh()
        assert not store.closed
        assert _same(store.rows, part(rows, 0, len(writer)))
    writer.append(part(rows, len(writer), len(rows)))
    writer.close()
    store.refresh()
    assert store.closed and _same(store.rows, rows)
    assert _same(LiveStore(folder).rows, rows)
    assert store.block_hash(0, len(rows)) == rows.block_hash(0, len(rows))


def test_rows_that_were_read_stay_where_they_are(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autohedge.market.live_writer.ROOM_ROWS", 2)  # each append makes the files longer
    writer = LiveStoreWriter(folder, ["A"])
    store, seen = LiveStore(folder), []
    for ts in range(1, 8):
        writer.append(rows_at(ts))
        store.refresh()
        seen.append(store.rows)
    assert [each.ts.tolist() for each in seen] == [list(range(1, ts + 1)) for ts in range(1, 8)]
    assert not store.rows.ts.flags.writeable


class Killed(BaseException):
    """The end of a process."""


def _dying(name: str, calls: list[int], *, halfway: bool) -> Callable[..., Any]:
    """A system call before which the process dies once no more of `calls` are left."""
    call = getattr(os, name)

    def made(descriptor: int, *args: Any) -> Any:
        calls[0] -= 1
        if calls[0] >= 0:
            return call(descriptor, *args)
        if halfway and name == "pwrite" and len(args[0]) > STATE_BYTES:  # few bytes are written whole
            call(descriptor, bytes(args[0])[:7], args[1])
        raise Killed

    return made


STATE_BYTES = 24


@pytest.mark.parametrize("halfway", [False, True])
def test_writer_killed_at_any_call_leaves_whole_rows(tmp_path: Path, *, halfway: bool) -> None:
    batches, survived, calls = [rows_at(1, 2, 3, 3), rows_at(3, 4, 5, 6, 7), rows_at(*range(9, 19))], set(), 0
    whole = rows_at(1, 2, 3, 3, 3, 4, 5, 6, 7, *range(9, 19))
    killed = True
    while killed:
        folder = tmp_path / f"{calls}"
        LiveStoreWriter(folder, ["A"]).release()
        with pytest.MonkeyPatch.context() as patch, contextlib.suppress(Killed):
            left = [calls]
            for name in ("pwrite", "ftruncate"):
                patch.setattr(os, name, _dying(name, left, halfway=halfway))
            with LiveStoreWriter(folder, ["A"]) as writer:
                for batch in batches:
                    writer.append(batch)
        killed = left[0] < 0
        store = LiveStore(folder)
        survived.add(len(store.rows))
        assert _same(store.rows, part(whole, 0, len(store.rows)))
        if killed:
            with LiveStoreWriter(folder, ["A"]) as next_writer:
                next_writer.append(part(whole, len(next_writer), len(whole)))
            store.refresh()
        assert store.closed and _same(store.rows, whole)
        calls += 1
    assert calls > 30 and survived == {0, 4, 9, 19}


def test_torn_rows_are_cut_off_by_the_next_writer(folder: Path) -> None:
    writer = LiveStoreWriter(folder, ["A"])
    writer.append(rows_at(1, 2))
    writer.release()
    for name in ROW_COLUMNS:
        with (folder / name).open("ab") as file:
            file.write(b"\xff" * 1_000)
    writer = LiveStoreWriter(folder, ["A"])
    assert len(writer) == 2 and (folder / "ts").stat().st_size == 16
    writer.append(rows_at(7))
    writer.close()
    assert LiveStore(folder).rows.ts.tolist() == [1, 2, 7]


def test_second_writer_is_refused(folder: Path) -> None:
    with LiveStoreWriter(folder, ["A"]), pytest.raises(Refused, match="another process writes this store"):
        LiveStoreWriter(folder, ["A"])


def test_rows_that_go_back_in_time_are_not_appended(folder: Path) -> None:
    writer = LiveStoreWriter(folder, ["A"])
    with pytest.raises(Misconfigured, match="row 1 goes back in time, from 5 to 4"):
        writer.append(_unordered(5, 4))
    writer.append(rows_at(1, 5))
    with pytest.raises(Misconfigured, match="row 2 goes back in time, from 5 to 4"):
        writer.append(rows_at(4))
    with pytest.raises(Misconfigured, match=r"a lane is outside 0\.\.0"):
        writer.append(rows_at(6, lane=1))
    assert len(writer) == 2


def _unordered(*times: int) -> Rows:
    prices = np.ones(len(times))
    return Rows(np.array(times), np.zeros(len(times), np.int32), prices, prices, prices, prices)


def test_writer_refuses_a_folder_that_is_not_its_store(folder: Path, tmp_path: Path) -> None:
    store_of(folder, rows_at(1))
    with pytest.raises(Misconfigured, match="the store is closed; name another folder"):
        LiveStoreWriter(folder, ["A"])
    with pytest.raises(Misconfigured, match="holds A, not B; name another folder"):
        LiveStoreWriter(folder, ["B"])
    with pytest.raises(Misconfigured, match="is no live store"):
        LiveStoreWriter(tmp_path, ["A"])


def test_writer_goes_on_after_a_full_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = LiveStoreWriter(folder, ["A"])
    writer.append(rows_at(1))
    with monkeypatch.context() as patch, pytest.raises(Unavailable, match="cannot be written"):

        def full(*_: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        patch.setattr(os, "pwrite", full)
        writer.append(rows_at(2))
    assert LiveStore(folder).rows.ts.tolist() == [1]
    writer.append(rows_at(3))
    writer.close()
    assert LiveStore(folder).rows.ts.tolist() == [1, 3]
    with pytest.raises(Misconfigured, match="this writer has ended"):
        writer.append(rows_at(4))
    with pytest.raises(Misconfigured, match="this writer has ended"):
        writer.close()


def test_exception_in_a_writer_does_not_close_its_store(folder: Path) -> None:
    with pytest.raises(KeyError), LiveStoreWriter(folder, ["A"]) as writer:
        writer.append(rows_at(1))
        raise KeyError
    assert not LiveStore(folder).closed


def _change(folder: Path, name: str, row: int, value: float) -> None:
    """Changes a value of a store as no writer would."""
    kind = {"ts": "<i8", "lane": "<i4"}.get(name, "<f8")
    column = np.memmap(folder / name, kind, "r+")
    column[row] = value
    column.flush()


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [("ts", 1, "market: row 2 goes back in time"), ("lane", 7, "market: row 2 is of none of its 1 symbols")],
)
def test_reader_refuses_rows_that_cannot_be_taken(folder: Path, name: str, value: float, named: str) -> None:
    store_of(folder, rows_at(1, 2, 3, 4))
    _change(folder, name, 2, value)
    with pytest.raises(Corrupt, match=named):
        LiveStore(folder)


def test_rows_that_go_back_before_those_already_read_are_refused(folder: Path) -> None:
    writer = LiveStoreWriter(folder, ["A"])
    writer.append(rows_at(5))
    store = LiveStore(folder)
    writer.append(rows_at(6))
    _change(folder, "ts", 1, 4)
    with pytest.raises(Corrupt, match="row 1 goes back in time"):
        store.refresh()


def test_rows_changed_after_they_were_read_are_named(folder: Path) -> None:
    store_of(folder, rows_at(*range(10_000)))
    store = LiveStore(folder)
    assert store.block_hash(0, 5_000) == store.rows.block_hash(0, 5_000)
    _change(folder, "bid", 9_000, 1.0)
    with pytest.raises(Corrupt, match="market: rows 8,192 to 9,999 were changed after they were read"):
        store.block_hash(5_000, 10_000)


def test_rows_that_are_gone_are_named(folder: Path) -> None:
    store_of(folder, rows_at(1, 2, 3))
    store = LiveStore(folder)
    (folder / "state").write_bytes(encode_state(2, closed=True))
    with pytest.raises(Corrupt, match="market: has 2 rows, but 3 were read"):
        store.refresh()


@pytest.mark.parametrize(
    ("file", "content", "named"),
    [
        ("bid", b"", "bid: has fewer than 3 rows"),
        ("state", b"", "state is damaged"),
        ("state", b"0" * 24, "state is damaged"),
        ("store.json", b"{}", "store.json is damaged"),
    ],
)
def test_damaged_file_of_a_store_is_named(folder: Path, file: str, content: bytes, named: str) -> None:
    store_of(folder, rows_at(1, 2, 3))
    (folder / file).write_bytes(content)
    with pytest.raises(Corrupt, match=named):
        LiveStore(folder)


def test_store_of_a_later_format_is_refused(folder: Path) -> None:
    store_of(folder, rows_at(1))
    manifest = (folder / "store.json").read_text()
    (folder / "store.json").write_text(manifest.replace('"format": 1', '"format": 3'))
    with pytest.raises(Misconfigured, match="has format 3; this version reads formats 1 and 2"):
        LiveStore(folder)


def test_rows_are_synced_before_they_are_seen(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = LiveStoreWriter(folder, ["A"])
    store, synced = LiveStore(folder), []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append((descriptor, len(store.rows))))
    store.keep_synced()
    writer.append(rows_at(1))
    store.refresh()
    assert len({descriptor for descriptor, _ in synced}) == 1 + len(ROW_COLUMNS)
    assert [seen for _, seen in synced] == [0] * 2 * (1 + len(ROW_COLUMNS))


def test_writer_with_power_durability_syncs_rows_before_it_counts_them(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, counted = LiveStoreWriter(folder, ["A"], power=True), []
    monkeypatch.setattr(os, "fsync", lambda _: counted.append(len(LiveStore(folder).rows)))
    writer.append(rows_at(1, 2))
    assert counted == [0] * len(ROW_COLUMNS) + [2]

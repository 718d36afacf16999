"""Appends rows to a live store, one writer at a time."""

import fcntl
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import msgspec
import numpy as np

from autohedge.core.errors import Corrupt, Misconfigured, Refused, Unavailable
from autohedge.core.ids import fresh_nonce, random_suffix
from autohedge.market.columns import Column, Columns, zeros
from autohedge.market.rows import ROW_COLUMNS, Rows
from autohedge.market.store_files import (
    LEVELS,
    MANIFEST,
    ORDER,
    STATE,
    StoreManifest,
    StoreStream,
    StoreTable,
    StoreTables,
    encode_manifest,
    encode_state,
    file_dtype,
    manifest_of,
    read_manifest,
    read_state,
)
from autohedge.market.stream import PARTIAL, SIDE_VOLUMES, START, Kind, Stream
from autohedge.market.tape import require_distinct

ROOM_ROWS = 1 << 16  # by which the files grow at a time, so that a reader seldom maps them again


class LiveStoreWriter:
    """Creates the live store in a folder, or goes on with one whose writer has ended.

    It holds quotes of `symbols`, and the further `streams` of other kinds. As a context manager it closes the store,
    and after an exception only releases it. With `power`, rows survive a power failure before they are counted.

    Raises Refused if another process writes the store, Misconfigured if the folder holds something else, another
    store or a closed one, Corrupt if the store is damaged, Unavailable if it cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        symbols: Sequence[str],
        *,
        streams: Sequence[StoreStream] = (),
        power: bool = False,
    ) -> None:
        wanted = (*(StoreStream(symbol) for symbol in symbols), *streams)
        require_distinct([stream.key for stream in wanted])
        _require_known(streams)
        self.folder, self.power = folder, power
        self._files: dict[str, int] = {}
        try:
            if not folder.exists() or not any(folder.iterdir()):
                _create(folder, wanted)
            self._open(wanted)
        except OSError as error:
            self.release()
            raise self._unwritable(error) from None
        except BaseException:
            self.release()
            raise

    def __len__(self) -> int:
        return self._rows

    @property
    def closed(self) -> bool:
        """Whether this writer has ended: the store is closed or released."""
        return not self._files

    def rows_of(self, symbol: str, kind: Kind, interval_ns: int = 0) -> int:
        """Returns how many rows of a stream there are; of quotes, those of all symbols."""
        return self._held[self._tables.streams[self._number((symbol, kind, interval_ns))].name]

    def append(self, rows: Rows | Stream) -> None:
        """Appends quotes, whose lanes are positions among the store's symbols, or the rows of a stream.

        The rows of a stream may not go back in time, and neither may all quotes; those of different kinds may come
        at their own pace.

        Raises Misconfigured if one goes back in time, or is of a lane or stream that the store does not have; then
        none of them is appended. Raises Unavailable if they cannot be written.
        """
        self._require_going_on()
        if not len(rows):
            return
        parts = self._quotes(rows) if isinstance(rows, Rows) else self._parts(rows)
        try:
            for part in parts:
                self._write(part)
            self._count(self._rows + len(rows), closed=False, parts=parts)
        except OSError as error:
            raise self._unwritable(error) from None
        for part in parts:
            self._held[part.table.name] += part.rows
            if "ts" in part.columns:
                self._last_ns[part.table.name] = int(part.columns["ts"][-1])

    def close(self) -> None:
        """Closes the store: no more rows will come. Raises Unavailable if that cannot be written."""
        self._require_going_on()
        try:
            for table in self._tables.all:
                self._resize(table, self._held[table.name])
            self._count(self._rows, closed=True, parts=[_Part(table, 0, {}) for table in self._tables.all])
        except OSError as error:
            raise self._unwritable(error) from None
        self.release()

    def release(self) -> None:
        """Leaves the store open to the next writer."""
        for descriptor in self._files.values():
            os.close(descriptor)
        self._files.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and self._files:
                self.close()
        finally:
            self.release()

    def _open(self, wanted: Sequence[StoreStream]) -> None:
        folder = self.folder
        if not (folder / MANIFEST).is_file():
            raise Misconfigured(f"{folder}: is no live store; name one that is empty or absent")
        manifest = read_manifest(folder)
        if _without_side_volumes(manifest.streams) != _without_side_volumes(wanted):
            held, named = _listed(manifest.streams), _listed(wanted)
            raise Misconfigured(f"{folder}: holds {held}, not {named}; name another folder")
        self._manifest, self._tables = manifest, StoreTables(manifest)
        for name in (STATE, *self._tables.files):
            self._files[name] = os.open(folder / name, os.O_RDWR)
        try:
            fcntl.flock(self._files[STATE], fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(f"{folder}: another process writes this store; stop that first") from None
        self._rows, closed = read_state(self._files[STATE], folder)
        if closed:
            raise Misconfigured(f"{folder}: the store is closed; name another folder for new rows")
        self._held = self._counted()
        self._room = dict.fromkeys(self._held, 0)
        self._cut_torn_rows()
        self._last_ns = {table.name: self._last_time(table) for table in self._tables.all}

    def _counted(self) -> dict[str, int]:
        """Returns the complete rows of each table by its name, as the order counts them."""
        tables = self._tables
        if tables.order is None:
            return {tables.quotes.name: self._rows}
        counts = np.bincount(self._stored(tables.order, ORDER, 0, self._rows), minlength=len(tables.streams))
        held = dict.fromkeys((table.name for table in tables.all), 0)
        for table, count in zip(tables.streams, counts.tolist(), strict=True):
            held[table.name] += count
        for number, levels in tables.levels.items():
            book = tables.streams[number]
            messages = held[book.name]
            held[levels.name] = int(self._stored(book, "end", messages - 1, 1)[0]) if messages else 0
        return held | {tables.order.name: self._rows}

    def _cut_torn_rows(self) -> None:
        """Cuts off what the last writer has not counted."""
        for table in self._tables.all:
            rows = self._held[table.name]
            for column, file in table.files.items():
                if os.fstat(self._files[file]).st_size < table.bytes_of(column, rows):
                    raise Corrupt(f"{self.folder / file}: has fewer than {rows:,} rows; restore the file")
            self._resize(table, rows)

    def _resize(self, table: StoreTable, rows: int) -> None:
        for column, file in table.files.items():
            os.ftruncate(self._files[file], table.bytes_of(column, rows))

    def _last_time(self, table: StoreTable) -> int:
        rows = self._held[table.name]
        return int(self._stored(table, "ts", rows - 1, 1)[0]) if rows and "ts" in table.files else 0

    def _stored(self, table: StoreTable, column: str, start: int, count: int) -> Column:
        """Returns entries of a column. Raises Corrupt if they are missing."""
        file, size = table.files[column], table.itemsizes[column]
        content = os.pread(self._files[file], count * size, start * size)
        if len(content) < count * size:
            raise Corrupt(f"{self.folder / file}: has fewer than {start + count:,} rows; restore the file")
        return np.frombuffer(content, file_dtype(file))

    def _require_going_on(self) -> None:
        """Raises Misconfigured once the store is closed or released: another writer may have it by now."""
        if not self._files:
            raise Misconfigured(f"{self.folder}: this writer has ended; open another one")

    def _number(self, key: tuple[str, Kind, int]) -> int:
        for number, stream in enumerate(self._manifest.streams):
            if stream.key == key:
                return number
        wanted, held = StoreStream(*key).name, _listed(self._manifest.streams)
        raise Misconfigured(f"{self.folder}: has no {wanted}, but {held}; name another stream")

    def _quotes(self, rows: Rows) -> "list[_Part]":
        """Returns what quotes add to the tables."""
        table, lanes = self._tables.quotes, self._manifest.quotes
        self._require_ordered(table, rows.ts)
        if not 0 <= int(rows.lane.min()) <= int(rows.lane.max()) < lanes:
            raise Misconfigured(
                f"{self.folder}: a lane is outside 0..{lanes - 1}; it is the symbol's position"
            )
        quotes = _Part(table, len(rows), {name: getattr(rows, name) for name in ROW_COLUMNS})
        return [quotes, *self._ordered(rows.lane)]

    def _parts(self, stream: Stream) -> "list[_Part]":
        """Returns what the rows of a stream add to the tables."""
        number, rows = self._number(stream.key), len(stream)
        if stream.kind is Kind.QUOTES:
            quotes: dict[str, Any] = stream.as_quotes()
            return self._quotes(Rows(lane=np.full(rows, number, np.int32), **quotes))
        table = self._tables.streams[number]
        self._require_ordered(table, stream.columns["ts"])
        given = stream.columns if stream.kind is not Kind.BARS else _bar_columns(stream)
        columns = {name: given[name] for name in table.files if name in given}
        levels = self._levels(number, stream, columns) if stream.kind is Kind.BOOK else []
        order = self._ordered(np.full(rows, number, np.int32))
        return [_Part(table, rows, columns), *levels, *order]

    def _levels(self, number: int, stream: Stream, columns: dict[str, Column]) -> "list[_Part]":
        """Returns the levels of messages; the ends of the messages become those in the store."""
        assert stream.messages is not None
        messages = stream.messages.now
        held, table = self._manifest.streams[number], self._tables.levels[number]
        if (messages.tick, messages.sequenced) != (held.tick, held.sequenced):
            raise Misconfigured(
                f"{self.folder}: the {held.name} has tick {held.tick:g} and sequenced={held.sequenced}, but the "
                f"messages have {messages.tick:g} and {messages.sequenced}; append those of one book"
            )
        starts = messages.start[stream.first_message :]
        first, end = int(starts[0]), int(starts[-1])
        columns["end"] = starts[1:] + (self._held[table.name] - first)
        return [_Part(table, end - first, {name: getattr(messages, name)[first:end] for name in LEVELS})]

    def _ordered(self, numbers: Column) -> "list[_Part]":
        order = self._tables.order
        return [_Part(order, len(numbers), {ORDER: numbers})] if order else []

    def _require_ordered(self, table: StoreTable, ts: Column) -> None:
        held = self._held[table.name]
        times = np.concatenate(([self._last_ns[table.name]], ts)) if held else ts
        late = np.flatnonzero(times[1:] < times[:-1])
        if len(late):
            at = int(late[0]) + 1
            row = held + at - (1 if held else 0)
            of = "" if table is self._tables.quotes else f" of the {table.name}"
            raise Misconfigured(
                f"{self.folder}: row {row}{of} goes back in time, from {times[at - 1]} to {times[at]}; "
                "append rows in the order in which they became known"
            )

    def _make_room(self, table: StoreTable, rows: int) -> None:
        if rows <= self._room[table.name]:
            return
        self._room[table.name] = room = -(-rows // ROOM_ROWS) * ROOM_ROWS
        self._resize(table, room)

    def _write(self, part: "_Part") -> None:
        table, held = part.table, self._held[part.table.name]
        self._make_room(table, held + part.rows)
        for column, values in part.columns.items():
            self._write_column(table, column, held, values)

    def _write_column(self, table: StoreTable, column: str, row: int, values: Column) -> None:
        file = table.files[column]
        block: Any = np.ascontiguousarray(values, file_dtype(file)).data.cast("B")
        at = row * table.itemsizes[column]
        while block:
            written = os.pwrite(self._files[file], block, at)
            block, at = block[written:], at + written

    def _count(self, rows: int, *, closed: bool, parts: "Sequence[_Part]") -> None:
        """Makes rows visible, whose bytes are in the columns."""
        if self.power:
            for part in parts:
                for file in part.table.files.values():
                    os.fsync(self._files[file])
        os.pwrite(self._files[STATE], encode_state(rows, closed), 0)
        if self.power:
            os.fsync(self._files[STATE])
        self._rows = rows

    def _unwritable(self, error: OSError) -> Unavailable:
        return Unavailable(
            f"{self.folder}: the store cannot be written ({error.strerror}); make room and go on"
        )


class _Part(NamedTuple):
    """Rows to append to one table."""

    table: StoreTable
    rows: int
    columns: Columns


def _listed(streams: Sequence[StoreStream]) -> str:
    """Returns streams for a message: quotes by their symbol alone."""
    return ", ".join(stream.symbol if stream.kind is Kind.QUOTES else stream.name for stream in streams)


def _without_side_volumes(streams: Sequence[StoreStream]) -> list[StoreStream]:
    """Returns streams without what the folder decides: whether the store keeps the volume of bars by side."""
    return [msgspec.structs.replace(stream, has_side_volumes=False) for stream in streams]


def _bar_columns(stream: Stream) -> Columns:
    """Returns all columns that bars may have."""
    rows = len(stream)
    return {
        PARTIAL: zeros(rows, np.int8),
        START: stream.columns["ts"] - stream.origin.interval_ns,
        **dict.fromkeys(SIDE_VOLUMES, np.full(rows, np.nan)),
        **stream.columns,
    }


def _require_known(streams: Sequence[StoreStream]) -> None:
    """Refuses further streams whose rows the store could not keep."""
    for stream in streams:
        if stream.kind is Kind.QUOTES:
            raise Misconfigured(f"{stream.name}: name the symbols of quotes apart from the other streams")
        if stream.kind is Kind.BOOK and not stream.tick > 0.0:
            raise Misconfigured(f"{stream.name}: has no tick; give the smallest step of its prices")


def _create(folder: Path, streams: Sequence[StoreStream]) -> None:
    """Creates an empty store: whole, or not at all."""
    manifest = manifest_of(fresh_nonce(), streams)
    draft = folder.with_name(f".{folder.name}-{random_suffix()}")
    draft.mkdir(parents=True)
    try:
        _fill(draft, manifest)
        draft.rename(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def _fill(draft: Path, manifest: StoreManifest) -> None:
    for table in StoreTables(manifest).all:
        for file in table.files.values():
            (draft / file).touch()
    (draft / STATE).write_bytes(encode_state(0, closed=False))
    (draft / MANIFEST).write_bytes(encode_manifest(manifest))

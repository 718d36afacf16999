"""Reads a live store while its writer appends to it."""

import mmap
import os
import sys
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autohedge.core.errors import Corrupt
from autohedge.core.open_files import require_open_files
from autohedge.market.column_file import hash_rows
from autohedge.market.columns import Column, Columns
from autohedge.market.read_checks import ReadRows
from autohedge.market.rows import Rows
from autohedge.market.store_files import (
    ORDER,
    STATE,
    StoreTable,
    StoreTables,
    file_dtype,
    read_manifest,
    read_state,
)


class LiveStore:
    """The rows of a live store, as far as they have come; the quotes among them are a `MarketCursor`.

    The columns are mapped, so that memory does not bound their length. `count` is the number of rows of all streams.

    Raises Corrupt if the store is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = read_manifest(folder)
        self.tables = StoreTables(self.manifest)
        self._synced = False
        # Files are opened in this folder, also if another one gets its name.
        self._folder = _opened(folder, os.O_DIRECTORY)
        self._state = self._file(STATE)
        weakref.finalize(self, _close, [self._folder, self._state])
        self._maps: dict[str, mmap.mmap] = {}
        self._mapped_rows: dict[str, int] = {}
        self._columns: dict[str, Columns] = {}
        self._held: dict[str, int] = {}
        self._read = {table.name: ReadRows() for table in self.tables.all}
        for table in self.tables.all:
            self._show(table, 0)
        self._known_counts = 0, np.zeros(len(self.manifest.streams), np.int64)
        self.count, self.closed = 0, False
        self.rows = self._quotes()
        self.refresh()

    def refresh(self) -> None:
        """Takes in the rows that have come since the last call.

        Raises Corrupt if rows are gone, go back in time or are of an unknown lane or stream.
        """
        count, closed = read_state(self._state, self.folder)
        if count < self.count:
            raise Corrupt(
                f"{self.folder}: has {count:,} rows, but {self.count:,} were read; restore the others"
            )
        if count > self.count:
            self._take(count)
        self.closed = closed

    def keep_synced(self) -> None:
        """Lets all rows survive a power failure before they are seen here, those that are there already too."""
        self._synced = True
        self._sync()

    def columns(self, table: StoreTable) -> Columns:
        """Returns the columns of a table, as far as its rows have come."""
        return self._columns[table.name]

    def held(self, table: StoreTable) -> int:
        """Returns how many rows of a table have come."""
        return self._held[table.name]

    @property
    def order(self) -> NDArray[np.int32]:
        """The stream of each row, in the order in which the rows came."""
        order = self.tables.order
        return self.columns(order)[ORDER] if order else self.columns(self.tables.quotes)["lane"]

    def counts(self, end: int) -> NDArray[np.int64]:
        """Returns how many of the rows before `end` are of each stream."""
        start, counts = self._known_counts
        if end < start:
            start, counts = 0, np.zeros_like(counts)
        self._known_counts = end, counts + np.bincount(self.order[start:end], minlength=len(counts))
        return self._known_counts[1]

    def block_hash(self, start: int, end: int) -> str:
        """Returns the hash of the quotes from `start` to before `end`.

        Raises Corrupt if quotes were changed after they had been read.
        """
        self._require_unchanged(self.tables.quotes, start, end)
        return self.rows.block_hash(start, end)

    def named_difference(self, start: int, end: int, recorded: str) -> str:  # noqa: ARG002
        """Returns an empty text: the numbers of the quotes name them."""
        return ""

    def span_hash(self, start: int, end: int) -> str:
        """Returns the hashes, joined by dots, of the rows of all streams from `start` to before `end`, table by table.

        Raises Corrupt if rows were changed after they had been read.
        """
        return ".".join(self._part_hash(*part) for part in self._parts(start, end))

    def span_difference(self, start: int, end: int, recorded: str) -> str:
        """Returns which of the rows that `span_hash` covers are not those of a recorded hash; empty if it is other."""
        parts, hashes = self._parts(start, end), recorded.split(".")
        if len(parts) != len(hashes):
            return ""
        for (table, first, stop), expected in zip(parts, hashes, strict=True):
            if self._part_hash(table, first, stop) != expected:
                return f"rows {first:,} to {stop - 1:,} of the {table.name}"
        return ""

    def _part_hash(self, table: StoreTable, start: int, end: int) -> str:
        self._require_unchanged(table, start, end)
        return hash_rows(_window(table, self.columns(table), start, end))

    def _parts(self, start: int, end: int) -> list[tuple[StoreTable, int, int]]:
        """Returns the rows of each table among the rows from `start` to before `end`."""
        before, after = (self._rows_of_tables(self.counts(at)) for at in (start, end))
        order = self.tables.order
        parts = [
            (table, before[table.name], after[table.name]) for table in self.tables.all if table is not order
        ]
        return [*parts, (order, start, end)] if order else parts

    def _rows_of_tables(self, counts: NDArray[np.int64]) -> dict[str, int]:
        """Returns the rows of each table but the order, by the rows of each stream."""
        tables = self.tables
        found = dict.fromkeys((table.name for table in tables.all), 0)
        for table, count in zip(tables.streams, counts.tolist(), strict=True):
            found[table.name] += count
        for number, levels in tables.levels.items():
            book = tables.streams[number]
            found[levels.name] = self._levels_end(book, found[book.name])
        return found

    def _levels_end(self, book: StoreTable, messages: int) -> int:
        self._require_entries(book, messages)
        return int(self._mapped(book, "start", messages)[messages])

    def _require_unchanged(self, table: StoreTable, start: int, end: int) -> None:
        columns = _window(table, self.columns(table), 0, self.held(table))
        changed = self._read[table.name].changed(columns, start, end)
        if changed:
            of = f" of the {table.name}" if self.tables.order else ""
            rows = f"rows {changed.start:,} to {changed.stop - 1:,}{of}"
            raise Corrupt(f"{self.folder}: {rows} were changed after they were read; restore them")

    def _take(self, count: int) -> None:
        if self._synced:
            self._sync()
        before, tables = dict(self._held), self.tables
        if tables.order:
            self._show(tables.order, count)
            self._require_streams(self.order, self.count)
            added = self._rows_of_tables(self.counts(count))
        else:
            added = {tables.quotes.name: count}
        for table in tables.all:
            if table is not tables.order and added[table.name] > before[table.name]:
                self._show(table, added[table.name])
        self.rows = self._quotes()
        for table in tables.all:
            self._require_sound(table, before[table.name])
        if tables.order:
            self._require_lanes(before)
        for table in tables.all:
            rows = self.held(table)
            if rows > before[table.name]:
                columns = _window(table, self.columns(table), 0, rows)
                self._read[table.name].add(columns, before[table.name], rows)
        self.count = count

    def _quotes(self) -> Rows:
        columns: dict[str, Any] = dict(self.columns(self.tables.quotes))
        return Rows(**columns)

    def _file(self, name: str) -> int:
        return _opened(self.folder / name, dir_fd=self._folder)

    def _sync(self) -> None:
        descriptors = [self._file(name) for name in (STATE, *self.tables.files)]
        try:
            for descriptor in descriptors:
                os.fsync(descriptor)
        finally:
            _close(descriptors)

    def _show(self, table: StoreTable, rows: int) -> None:
        """Makes the first rows of a table the ones that have come."""
        if rows:
            self._require_entries(table, rows)
        self._columns[table.name] = {column: self._mapped(table, column, rows) for column in table.files}
        self._held[table.name] = rows

    def _mapped(self, table: StoreTable, column: str, rows: int) -> Column:
        file = table.files[column]
        entries = table.bytes_of(column, rows) // table.itemsizes[column]
        content: Any = self._maps.get(file, b"")
        if not content and entries:  # of a table without rows
            content = bytes(table.bytes_of(column, rows))
        return np.frombuffer(content, file_dtype(file), entries)

    def _require_entries(self, table: StoreTable, rows: int) -> None:
        """Maps the files of a table as far as they are long. Raises Corrupt if they lack rows."""
        if rows <= self._mapped_rows.get(table.name, 0):
            return
        least = sys.maxsize
        for column, file in table.files.items():
            least = min(least, self._map(file, table.bytes_of(column, rows), rows) // table.itemsizes[column])
        self._mapped_rows[table.name] = least - ("start" in table.files)

    def _map(self, file: str, wanted: int, rows: int) -> int:
        """Maps a file; returns its length in bytes."""
        descriptor = self._file(file)
        try:
            size = os.fstat(descriptor).st_size
            # Checked first: touching a mapped page beyond the end of the file kills the process with SIGBUS.
            if size < wanted:
                raise Corrupt(f"{self.folder / file}: has fewer than {rows:,} rows; restore the file")
            self._maps[file] = mmap.mmap(descriptor, size, access=mmap.ACCESS_READ)
        finally:
            os.close(descriptor)
        return size

    def _require_sound(self, table: StoreTable, before: int) -> None:
        """Refuses new rows that the engine could not take."""
        if table in self.tables.levels.values() or table is self.tables.order:
            return
        columns, first = self.columns(table), max(before - 1, 0)
        row = _decrease(columns["ts"][first:])
        if row is not None:
            of = "" if table is self.tables.quotes else f" of the {table.name}"
            raise Corrupt(
                f"{self.folder}: row {first + row:,}{of} goes back in time; the rows of a store may not"
            )
        if "start" in columns and _decrease(columns["start"][first:]) is not None:
            raise Corrupt(
                f"{self.folder / table.files['start']}: its levels are not in order; restore the file"
            )
        if "lane" in columns and self.tables.order is None:
            self._require_streams(columns["lane"], before)

    def _require_streams(self, numbers: NDArray[np.int32], before: int) -> None:
        # A kernel would write outside its records.
        added, known = numbers[before:], len(self.manifest.streams)
        wrong = np.flatnonzero((added < 0) | (added >= known))
        if len(wrong):
            what = "streams" if self.tables.order else "symbols"
            row = before + int(wrong[0])
            raise Corrupt(f"{self.folder}: row {row:,} is of none of its {known} {what}; restore the store")

    def _require_lanes(self, before: dict[str, int]) -> None:
        """Refuses quotes that are of another symbol than the order says."""
        assert self.tables.order is not None
        added = self.order[before[self.tables.order.name] :]
        lanes = self.columns(self.tables.quotes)["lane"][before[self.tables.quotes.name] :]
        wrong = np.flatnonzero(added[added < self.manifest.quotes] != lanes)
        if len(wrong):
            row = before[self.tables.quotes.name] + int(wrong[0])
            raise Corrupt(
                f"{self.folder}: quote {row:,} is of another symbol than the order says; restore the store"
            )


def _decrease(values: Column) -> int | None:
    """Returns the first position at which values decrease."""
    late = np.flatnonzero(values[1:] < values[:-1])
    return int(late[0]) + 1 if len(late) else None


def _window(table: StoreTable, columns: Columns, start: int, end: int) -> dict[str, Column]:
    """Returns rows of a table; of `start` the ends of the messages, so that each row has its own entry."""
    shifted = {name: column[1:] if name == "start" else column for name, column in columns.items()}
    return {name: shifted[name][start:end] for name in table.files}


def _opened(path: Path, flags: int = 0, dir_fd: int | None = None) -> int:
    """Opens a file, in a folder that is open if there is one."""
    try:
        return os.open(path if dir_fd is None else path.name, os.O_RDONLY | flags, dir_fd=dir_fd)
    except OSError as error:
        require_open_files(error)
        raise Corrupt(f"{path}: cannot be read ({error.strerror}); restore the file") from None


def _close(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)

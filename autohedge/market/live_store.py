"""Reads a live store while its writer appends to it."""

import os
import weakref
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autohedge.core.errors import Corrupt
from autohedge.market.column_file import hash_rows
from autohedge.market.columns import Column, Columns
from autohedge.market.row_hashes import RowHashes
from autohedge.market.rows import Rows
from autohedge.market.store_files import ORDER, STATE, StoreTable, StoreTables, read_manifest, read_state
from autohedge.market.store_tables import LoadedTable, MappedTable, StoreFolder

Span = tuple[StoreTable, int, int]
"""Rows of a table, from the first number to before the second."""


class LiveStore:
    """The rows of a live store, as far as they have come; the quotes among them are a `MarketCursor`.

    `count` is the number of rows of all streams.

    Raises Corrupt if the store is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = read_manifest(folder)
        self.tables = StoreTables(self.manifest)
        self._synced = False
        self._files = StoreFolder(folder)
        self._state = self._files.open(STATE)
        weakref.finalize(self, os.close, self._state)
        self._open = {table.name: self._opened(table) for table in self.tables.all}
        self._read = {table.name: RowHashes() for table in self.tables.all}
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
        return self._open[table.name].columns

    def content(self, table: StoreTable) -> Columns:
        """Returns the columns of all rows of a table that have come, without keeping them in memory."""
        return self._open[table.name].rows(0, self.held(table))

    def held(self, table: StoreTable) -> int:
        """Returns how many rows of a table have come."""
        return self._open[table.name].held

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
        return ".".join(self._part_hash(part) for part in self._parts(start, end))

    def span_difference(self, start: int, end: int, recorded: str) -> str:
        """Returns which of the rows that `span_hash` covers are not those of a recorded hash; empty if it is other."""
        parts, hashes = self._parts(start, end), recorded.split(".")
        if len(parts) != len(hashes):
            return ""
        for part, expected in zip(parts, hashes, strict=True):
            if self._part_hash(part) != expected:
                table, first, stop = part
                return f"rows {first:,} to {stop - 1:,} of the {table.name}"
        return ""

    def _opened(self, table: StoreTable) -> MappedTable | LoadedTable:
        is_mapped = table in (self.tables.quotes, self.tables.order)
        return MappedTable(self._files, table) if is_mapped else LoadedTable(self._files, table)

    def _part_hash(self, part: Span) -> str:
        table, start, end = part
        self._require_unchanged(table, start, end)
        return hash_rows(self._open[table.name].rows(start, end))

    def _parts(self, start: int, end: int) -> list[Span]:
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
        """Returns the number of the levels of the first messages."""
        return int(self._open[book.name].rows(messages - 1, messages)["end"][0]) if messages else 0

    def _require_unchanged(self, table: StoreTable, start: int, end: int) -> None:
        changed = self._read[table.name].changed(self._open[table.name].rows, start, end)
        if changed:
            of = f" of the {table.name}" if self.tables.order else ""
            rows = f"rows {changed.start:,} to {changed.stop - 1:,}{of}"
            raise Corrupt(f"{self.folder}: {rows} were changed after they were read; restore them")

    def _take(self, count: int) -> None:
        if self._synced:
            self._sync()
        tables = self.tables
        added = {tables.quotes.name: count}
        if tables.order:
            self._open[tables.order.name].show(count)
            self._require_streams(self.order, self.count)
            added = self._rows_of_tables(self.counts(count)) | {tables.order.name: count}
        for table in tables.all:
            if added[table.name] != self.held(table) or table is tables.order:
                self._add(table, added[table.name])
        self.rows = self._quotes()
        self.count = count

    def _add(self, table: StoreTable, rows: int) -> None:
        """Takes in the new rows of a table, if the engine can take them."""
        opened, before = self._open[table.name], self.held(table)
        if table is self.tables.order:
            before = self.count
        if rows < before:
            raise self._unordered_levels(table)
        opened.show(rows)
        added = opened.rows(before, rows)
        self._require_sound(table, before, added)
        self._read[table.name].add(added, before)

    def _quotes(self) -> Rows:
        columns: dict[str, Any] = dict(self.columns(self.tables.quotes))
        return Rows(**columns)

    def _sync(self) -> None:
        self._files.sync([STATE, *self.tables.files])

    def _require_sound(self, table: StoreTable, before: int, added: Columns) -> None:
        """Refuses new rows that the engine could not take."""
        last = self._open[table.name].rows(max(before - 1, 0), before)
        if "ts" in added and (row := _decrease(added["ts"], last["ts"])) is not None:
            of = "" if table is self.tables.quotes else f" of the {table.name}"
            raise Corrupt(
                f"{self.folder}: row {before + row:,}{of} goes back in time; the rows of a store may not"
            )
        if "end" in added and _decrease(added["end"], last["end"]) is not None:
            raise self._unordered_levels(table)
        if "lane" in added and self.tables.order is None:
            self._require_streams(self.order, before)
        elif "lane" in added:
            self._require_lanes(before, added["lane"])

    def _unordered_levels(self, table: StoreTable) -> Corrupt:
        return Corrupt(
            f"{self.folder}: the {table.name} have levels that are not in order; restore the store"
        )

    def _require_streams(self, numbers: NDArray[np.int32], before: int) -> None:
        # A kernel would write outside its records.
        added, known = numbers[before:], len(self.manifest.streams)
        wrong = np.flatnonzero((added < 0) | (added >= known))
        if len(wrong):
            what = "streams" if self.tables.order else "symbols"
            row = before + int(wrong[0])
            raise Corrupt(f"{self.folder}: row {row:,} is of none of its {known} {what}; restore the store")

    def _require_lanes(self, before: int, lanes: Column) -> None:
        """Refuses quotes that are of another symbol than the order says."""
        added = self.order[self.count :]
        wrong = np.flatnonzero(added[added < self.manifest.quotes] != lanes)
        if len(wrong):
            row = before + int(wrong[0])
            raise Corrupt(
                f"{self.folder}: quote {row:,} is of another symbol than the order says; restore the store"
            )


def _decrease(values: Column, last: Column) -> int | None:
    """Returns the first position at which values decrease; `last` is the one before them, if there is one."""
    joined = np.concatenate([last, values])
    late = np.flatnonzero(joined[1:] < joined[:-1])
    return int(late[0]) + 1 - len(last) if len(late) else None

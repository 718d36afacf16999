"""Reads a live store while its writer appends to it."""

import mmap
import os
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from autohedge.core.errors import Corrupt
from autohedge.core.open_files import require_open_files
from autohedge.market.columns import Column, dtype_of
from autohedge.market.rows import ROW_COLUMNS, Rows
from autohedge.market.store_files import STATE, read_manifest, read_state

_CHECKED_ROWS = 1 << 12  # whose hash is kept: rows that were changed are named to so many


class LiveStore:
    """The rows of a live store, as far as they have come: a `MarketCursor`.

    The columns are mapped, so that memory does not bound their length.

    Raises Corrupt if the store is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = read_manifest(folder)
        self._synced = False
        self._files = _opened(folder)
        weakref.finalize(self, _close, list(self._files.values()))
        self._maps: dict[str, mmap.mmap] = {}
        self._mapped_rows = 0
        self._read = _ReadRows()
        self.rows, self.closed = _part({}, 0), False
        self.refresh()

    def refresh(self) -> None:
        """Takes in the rows that have come since the last call.

        Raises Corrupt if rows are gone, go back in time or are of an unknown lane.
        """
        count, closed = read_state(self._files[STATE], self.folder)
        before = len(self.rows)
        if count < before:
            raise Corrupt(f"{self.folder}: has {count:,} rows, but {before:,} were read; restore the others")
        if count > before:
            self._take(before, count)
        self.closed = closed

    def keep_synced(self) -> None:
        """Lets all rows survive a power failure before they are seen here, those that are there already too."""
        self._synced = True
        self._sync()

    def block_hash(self, start: int, end: int) -> str:
        """Returns the hash of the rows from `start` to before `end`, in the order of the rows.

        Raises Corrupt if rows were changed after they had been read.
        """
        changed = self._read.changed(self.rows, start, end)
        if changed:
            rows = f"rows {changed.start:,} to {changed.stop - 1:,}"
            raise Corrupt(f"{self.folder}: {rows} were changed after they were read; restore them")
        return self.rows.block_hash(start, end)

    def _take(self, before: int, count: int) -> None:
        if self._synced:
            self._sync()
        if count > self._mapped_rows:
            self._map(count)
        rows = _part(self._maps, count)
        self._require_sound(rows, before)
        self._read.add(rows, before, count)
        self.rows = rows

    def _sync(self) -> None:
        for descriptor in self._files.values():
            os.fsync(descriptor)

    def _map(self, count: int) -> None:
        sizes = {name: os.fstat(self._files[name]).st_size for name in ROW_COLUMNS}
        held = {name: size // dtype_of(name).itemsize for name, size in sizes.items()}
        # Checked first: touching a mapped page beyond the end of the file kills the process with SIGBUS.
        for name, rows in held.items():
            if rows < count:
                raise Corrupt(f"{self.folder / name}: has fewer than {count:,} rows; restore the file")
        self._maps = {
            name: mmap.mmap(self._files[name], sizes[name], access=mmap.ACCESS_READ) for name in ROW_COLUMNS
        }
        self._mapped_rows = min(held.values())

    def _require_sound(self, rows: Rows, before: int) -> None:
        """Refuses new rows that the engine could not take."""
        times = rows.ts[max(before - 1, 0) :]
        late = np.flatnonzero(times[1:] < times[:-1])
        if len(late):
            row = max(before - 1, 0) + int(late[0]) + 1
            raise Corrupt(f"{self.folder}: row {row:,} goes back in time; the rows of a store may not")
        lanes, known = rows.lane[before:], len(self.manifest.streams)
        # A kernel would write outside its records.
        if not 0 <= int(lanes.min()) <= int(lanes.max()) < known:
            row = before + int(np.flatnonzero((lanes < 0) | (lanes >= known))[0])
            raise Corrupt(f"{self.folder}: row {row:,} is of none of its {known} symbols; restore the store")


class LaneColumns(Mapping[str, Column]):
    """The columns of one symbol of a store, as far as its rows have come."""

    def __init__(self, store: LiveStore, lane: int) -> None:
        self._store, self._lane = store, lane

    def __getitem__(self, name: str) -> Column:
        if name == "lane" or name not in ROW_COLUMNS:
            raise KeyError(name)
        rows = self._store.rows
        column: Column = getattr(rows, name)
        if len(self._store.manifest.streams) == 1:
            return column
        column = column[rows.lane == self._lane]
        column.flags.writeable = False
        return column

    def __iter__(self) -> Iterator[str]:
        return (name for name in ROW_COLUMNS if name != "lane")

    def __len__(self) -> int:
        return len(ROW_COLUMNS) - 1


class _ReadRows:
    """The hashes of rows as they were read, by chunks, until they are sealed."""

    def __init__(self) -> None:
        self._chunks: dict[int, bytes] = {}
        self._hashers = _new_hashers()
        self._end = 0

    def add(self, rows: Rows, start: int, end: int) -> None:
        """Notes rows that have just been read."""
        while start < end:
            number = start // _CHECKED_ROWS
            stop = min(end, (number + 1) * _CHECKED_ROWS)
            self._chunks[number] = _updated(self._hashers, rows, start, stop)
            if stop % _CHECKED_ROWS == 0:
                self._hashers = _new_hashers()
            start = self._end = stop

    def changed(self, rows: Rows, start: int, end: int) -> range | None:
        """Returns the first chunk of rows that are not as they were read; forgets the chunks that are."""
        for number in range(start // _CHECKED_ROWS, -(-end // _CHECKED_ROWS)):
            first, stop = number * _CHECKED_ROWS, min((number + 1) * _CHECKED_ROWS, self._end)
            if _updated(_new_hashers(), rows, first, stop) != self._chunks[number]:
                return range(first, stop)
        # The last chunk can belong to the next block as well.
        for number in [each for each in self._chunks if (each + 1) * _CHECKED_ROWS <= end]:
            del self._chunks[number]
        return None


def _new_hashers() -> dict[str, Any]:
    import xxhash

    return {name: xxhash.xxh3_64() for name in ROW_COLUMNS}


def _updated(hashers: dict[str, Any], rows: Rows, start: int, end: int) -> bytes:
    """Adds rows to the hashers of the columns; returns the digests of all."""
    for name, hasher in hashers.items():
        hasher.update(getattr(rows, name)[start:end].data)
    return b"".join(hasher.digest() for hasher in hashers.values())


def _part(maps: Mapping[str, Any], count: int) -> Rows:
    """Returns the first rows of the mapped columns."""
    columns: dict[str, Any] = {
        name: np.frombuffer(maps.get(name, b""), dtype_of(name), count) for name in ROW_COLUMNS
    }
    return Rows(**columns)


def _opened(folder: Path) -> dict[str, int]:
    files: dict[str, int] = {}
    try:
        for name in (STATE, *ROW_COLUMNS):
            files[name] = os.open(folder / name, os.O_RDONLY)
    except OSError as error:
        _close(list(files.values()))
        require_open_files(error)
        raise Corrupt(f"{folder / name}: cannot be read ({error.strerror}); restore the file") from None
    return files


def _close(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)

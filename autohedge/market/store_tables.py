"""Reads the tables of a live store: quotes and the order are mapped, other kinds are loaded if they are wanted.

A mapping keeps a descriptor open before Python 3.13, and an event loop takes only small numbers of them, so a store
of many streams could not map them all.
"""

import mmap
import os
import sys
import weakref
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from autohedge.core.errors import Corrupt
from autohedge.core.open_files import require_open_files
from autohedge.market.columns import Column, Columns
from autohedge.market.growing_columns import GrowingColumns
from autohedge.market.store_files import StoreTable, file_dtype


class StoreFolder:
    """The folder of a store; its files are those in it also if another folder gets its name.

    Every method raises Corrupt for a file that cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._folder = _opened(path, os.O_DIRECTORY)
        weakref.finalize(self, os.close, self._folder)

    def open(self, name: str) -> int:
        """Opens a file to read it; returns its descriptor."""
        return _opened(self.path / name, dir_fd=self._folder)

    def read(self, name: str, size: int, at: int) -> bytes:
        """Returns bytes of a file, fewer if it is too short."""
        descriptor = self.open(name)
        try:
            return os.pread(descriptor, size, at)
        finally:
            os.close(descriptor)

    def sync(self, names: Sequence[str]) -> None:
        """Lets the content of files survive a power failure."""
        descriptors: list[int] = []
        try:
            for name in names:
                descriptors.append(self.open(name))
            for descriptor in descriptors:
                os.fsync(descriptor)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)

    def map(self, name: str, least: int) -> mmap.mmap | None:
        """Maps a file; returns None if it has fewer than `least` bytes."""
        descriptor = self.open(name)
        try:
            # Checked first: touching a mapped page beyond the end of the file kills the process with SIGBUS.
            size = os.fstat(descriptor).st_size
            return mmap.mmap(descriptor, size, access=mmap.ACCESS_READ) if size >= least else None
        finally:
            os.close(descriptor)


class MappedTable:
    """A table whose columns are mapped, so that memory does not bound their length."""

    def __init__(self, folder: StoreFolder, table: StoreTable) -> None:
        self.table, self.held = table, 0
        self._folder, self._mapped = folder, 0
        self._maps: dict[str, mmap.mmap] = {}
        self.columns: Columns = self._shown()

    def show(self, rows: int) -> None:
        """Makes the first rows those that have come. Raises Corrupt if the files have fewer."""
        if rows > self._mapped:
            self._map(rows)
        self.held = rows
        self.columns = self._shown()

    def rows(self, start: int, end: int) -> dict[str, Column]:
        """Returns the rows from `start` to before `end`."""
        return {name: column[start:end] for name, column in self.columns.items()}

    def _shown(self) -> dict[str, Column]:
        files = self.table.files
        return {
            name: np.frombuffer(self._maps.get(name, b""), file_dtype(file), self.held)
            for name, file in files.items()
        }

    def _map(self, rows: int) -> None:
        self._mapped = sys.maxsize
        for name, file in self.table.files.items():
            found = self._folder.map(file, self.table.bytes_of(name, rows))
            if found is None:
                raise too_short(self._folder.path / file, rows)
            self._maps[name] = found
            self._mapped = min(self._mapped, len(found) // self.table.itemsizes[name])


class LoadedTable:
    """A table that is read, and whose columns are kept once they are wanted."""

    def __init__(self, folder: StoreFolder, table: StoreTable) -> None:
        self.table, self.held = table, 0
        self._folder = folder
        self._loaded = GrowingColumns(tuple(table.files))

    def show(self, rows: int) -> None:
        """Makes the first rows those that have come. Raises Corrupt if the files have fewer."""
        for name, file in self.table.files.items():
            if len(self._folder.read(file, 1, self.table.bytes_of(name, rows) - 1)) < 1:
                raise too_short(self._folder.path / file, rows)
        self.held = rows

    @property
    def columns(self) -> Columns:
        """The columns of all rows that have come."""
        if self._loaded.count < self.held:
            self._loaded.append(self.rows(self._loaded.count, self.held))
        return self._loaded

    def rows(self, start: int, end: int) -> dict[str, Column]:
        """Returns the rows from `start` to before `end`. Raises Corrupt if a file has fewer."""
        return {name: self._read(name, start, end) for name in self.table.files}

    def _read(self, name: str, start: int, end: int) -> Column:
        file, size = self.table.files[name], self.table.itemsizes[name]
        at = self.table.bytes_of(name, start)
        content = self._folder.read(file, (end - start) * size, at)
        if len(content) < (end - start) * size:
            raise too_short(self._folder.path / file, end)
        return np.frombuffer(content, file_dtype(file))


def too_short(path: Path, rows: int) -> Corrupt:
    """Returns the error for a file that lacks rows which are counted."""
    return Corrupt(f"{path}: has fewer than {rows:,} rows; restore the file")


def _opened(path: Path, flags: int = 0, dir_fd: int | None = None) -> int:
    """Opens a file, in a folder that is open if there is one."""
    try:
        return os.open(path if dir_fd is None else path.name, os.O_RDONLY | flags, dir_fd=dir_fd)
    except OSError as error:
        require_open_files(error)
        raise Corrupt(f"{path}: cannot be read ({error.strerror}); restore the file") from None

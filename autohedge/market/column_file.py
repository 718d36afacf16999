"""The file of a cache entry: all columns one after the other, each at its offset and with its hash."""

import mmap
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autohedge.market.columns import Column, dtype_of

FILE = "columns"
# Smaller files are read: a mapping keeps a descriptor open before Python 3.13, and a tape has one per symbol.
MAPPED_BYTES_LEAST = 1 << 20
_ALIGNMENT = mmap.ALLOCATIONGRANULARITY


@dataclass(frozen=True, slots=True)
class StoredColumn:
    """A column in the file: the position of its first byte, and the XXH3-128 of its bytes."""

    name: str
    offset: int
    hash: str


@dataclass(frozen=True, slots=True)
class WrittenColumns:
    """What was written to a file."""

    rows: int
    columns: tuple[StoredColumn, ...]


def write_columns(folder: Path, blocks: Iterable[dict[str, Column]], rows_max: int) -> WrittenColumns:
    """Writes blocks of columns to the file in `folder`, which gets room for `rows_max` rows.

    Raises ValueError if there are more rows.
    """
    columns: dict[str, _ColumnWriter] = {}
    with (folder / FILE).open("wb", buffering=0) as file:
        for block in blocks:
            for name, values in block.items():
                if name not in columns:
                    columns[name] = _ColumnWriter(name, len(columns), rows_max)
                columns[name].append(file, values)
    rows = next(iter(columns.values())).rows if columns else 0
    return WrittenColumns(rows, tuple(column.stored() for column in columns.values()))


def read_columns(folder: Path, rows: int, stored: Sequence[StoredColumn]) -> dict[str, Column]:
    """Returns the columns of the file, read-only.

    A large file is mapped, and its pages are read when touched. Raises ValueError if the file is too short,
    or OSError if it cannot be read.
    """
    size = max((column.offset + rows * dtype_of(column.name).itemsize for column in stored), default=0)
    with (folder / FILE).open("rb") as file:
        # Checked first: touching a mapped page beyond the end of the file kills the process with SIGBUS.
        if os.fstat(file.fileno()).st_size < size:
            raise ValueError("the file is too short")
        mapped = size >= MAPPED_BYTES_LEAST
        content = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) if mapped else file.read(size)
    return {
        column.name: np.frombuffer(content, dtype_of(column.name), rows, column.offset) for column in stored
    }


def require_hashes(columns: dict[str, Column], stored: Sequence[StoredColumn]) -> None:
    """Raises ValueError if a column is not the one that was written."""
    import xxhash

    for column in stored:
        if xxhash.xxh3_128_hexdigest(columns[column.name].data) != column.hash:
            raise ValueError(f"column {column.name} was changed")


def hash_rows(columns: dict[str, Column]) -> str:
    """Returns the XXH3-128, in hex, of the XXH3-128 of each column's bytes as they are stored, in their order."""
    import xxhash

    whole = xxhash.xxh3_128()
    for name, values in columns.items():
        whole.update(xxhash.xxh3_128_digest(np.ascontiguousarray(values, dtype_of(name)).data))
    return whole.hexdigest()


class _ColumnWriter:
    def __init__(self, name: str, position: int, rows_max: int) -> None:
        import xxhash

        self._name = name
        # Unused room is never written, so that it takes no space on most file systems.
        self._room = -(-rows_max * 8 // _ALIGNMENT) * _ALIGNMENT
        self._offset = position * self._room
        self._hash = xxhash.xxh3_128()
        self.rows = 0

    def append(self, file: Any, values: Column) -> None:
        block = np.ascontiguousarray(values, dtype=dtype_of(self._name))
        if not len(block):
            return
        start = self.rows * block.itemsize
        if start + block.nbytes > self._room:
            raise ValueError(f"column {self._name} has more rows than expected")
        file.seek(self._offset + start)
        remaining = block.data.cast("B")
        while remaining:
            remaining = remaining[file.write(remaining) :]
        self._hash.update(block.data)
        self.rows += len(block)

    def stored(self) -> StoredColumn:
        return StoredColumn(self._name, self._offset, self._hash.hexdigest())

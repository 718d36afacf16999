"""The column cache: raw column files, memory-mapped, written to a temporary folder and renamed into place."""

import atexit
import mmap
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache as once
from hashlib import blake2b
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import platformdirs

from autohedge.core.errors import Misconfigured
from autohedge.core.log import warn
from autohedge.market.columns import Column
from autohedge.market.tape import Kind

FORMAT = 1  # part of every key: raise it when the files change, and old entries are not found any more
_META = "meta.json"
_DTYPES: dict[str, "np.dtype[Any]"] = {
    "ts": np.dtype("<i8"),
    "row": np.dtype("<i8"),
    "lane": np.dtype("<i4"),
}
_FLOAT: "np.dtype[Any]" = np.dtype("<f8")


@dataclass(frozen=True, slots=True)
class Meta:
    """The content of a cache entry: `columns` are the names of its files, `hash` is the content hash."""

    kind: Kind
    rows: int
    columns: tuple[str, ...]
    hash: str
    interval_ns: int = 0
    select: str | None = None


@dataclass(frozen=True, slots=True)
class CachedColumns:
    """A cache entry with its columns memory-mapped read-only; pages are read when touched."""

    meta: Meta
    columns: dict[str, Column]


class Cache:
    """Entries below one root, each in a folder named by its key."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def find(self, key: str) -> CachedColumns | None:
        """Returns the entry, or None if it is absent or one of its files has the wrong size."""
        folder = self._root / key
        try:
            meta = msgspec.json.decode((folder / _META).read_bytes(), type=Meta)
            return CachedColumns(meta, {name: _map(folder, name, meta.rows) for name in meta.columns})
        except (OSError, ValueError, msgspec.MsgspecError):
            return None

    def build(self, key: str, fill: Callable[[Path], Meta]) -> CachedColumns:
        """Creates the entry that `fill` writes into the empty folder it is given.

        A crash leaves no entry; of two processes that build the same entry, the first one publishes it.
        Raises Misconfigured if the cache cannot be written.
        """
        aside = Path(tempfile.mkdtemp(prefix="build-", dir=self._root))
        try:
            meta = fill(aside)
            (aside / _META).write_bytes(msgspec.json.encode(meta))
            self._publish(aside, key)
        except OSError as error:
            raise Misconfigured(
                f"{self._root}: the tape cache cannot be written ({error.strerror or error}); "
                "make room or set AUTOHEDGE_CACHE_DIR"
            ) from error
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return self._require(key)

    def writable(self) -> bool:
        """Returns whether entries can be built here; creates the root if possible."""
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            Path(tempfile.mkdtemp(prefix="probe-", dir=self._root)).rmdir()
        except OSError:
            return False
        return True

    def _publish(self, aside: Path, key: str) -> None:
        if self.find(key) is not None:
            return
        folder = self._root / key
        if folder.exists():  # but not found: it is damaged
            self._discard(folder)
        try:
            aside.rename(folder)
        except OSError:
            # Another process published the same entry first; its content is the same.
            if self.find(key) is None:
                raise

    def _discard(self, folder: Path) -> None:
        # Renamed away first, because processes may still have its files mapped, and a rename is atomic.
        grave = Path(tempfile.mkdtemp(prefix="damaged-", dir=self._root))
        try:
            folder.rename(grave / folder.name)
        finally:
            shutil.rmtree(grave, ignore_errors=True)

    def _require(self, key: str) -> CachedColumns:
        entry = self.find(key)
        if entry is None:
            raise Misconfigured(f"{self._root}: another process changes the tape cache; run again")
        return entry


class ColumnFile:
    """A column file that is being written."""

    def __init__(self, folder: Path, name: str) -> None:
        self._dtype = dtype_of(name)
        self._file = _path(folder, name).open("wb", buffering=0)
        self.rows = 0

    def append(self, values: Column) -> None:
        """Appends `values`."""
        block = np.ascontiguousarray(values, dtype=self._dtype)
        remaining = block.data.cast("B") if len(block) else memoryview(b"")
        while remaining:
            remaining = remaining[self._file.write(remaining) :]
        self.rows += len(block)

    def close(self) -> None:
        """Closes the file; required before its folder is published."""
        self._file.close()


def key_of(*parts: object) -> str:
    """Returns the cache key of JSON values; it changes with the format of the column files."""
    return blake2b(msgspec.json.encode((FORMAT, *parts)), digest_size=20).hexdigest()


def dtype_of(name: str) -> "np.dtype[Any]":
    """Returns the little-endian type of a column's file."""
    return _DTYPES.get(name, _FLOAT)


def find(key: str) -> CachedColumns | None:
    """Returns the entry from the user's cache, or from this process's temporary cache."""
    entry = user_cache().find(key)
    if entry is None and _temporary_cache.cache_info().currsize:
        return _temporary_cache().find(key)
    return entry


def build(key: str, fill: Callable[[Path], Meta]) -> CachedColumns:
    """Builds the entry in the user's cache, or in a temporary cache if that cannot be written."""
    cache = user_cache()
    return (cache if cache.writable() else _temporary_cache()).build(key, fill)


def find_or_build(key: str, fill: Callable[[Path], Meta]) -> CachedColumns:
    """Returns the entry, building it if needed."""
    return find(key) or build(key, fill)


def write_columns(folder: Path, blocks: Iterable[dict[str, Column]]) -> int:
    """Writes blocks of columns to files in `folder`; returns the number of rows."""
    files: dict[str, ColumnFile] = {}
    rows = 0
    try:
        for block in blocks:
            for name, values in block.items():
                if name not in files:
                    files[name] = ColumnFile(folder, name)
                files[name].append(values)
        rows = next(iter(files.values())).rows if files else 0
    finally:
        for file in files.values():
            file.close()
    return rows


def user_cache() -> Cache:
    """Returns the cache in AUTOHEDGE_CACHE_DIR, or in the user's cache directory."""
    chosen = os.environ.get("AUTOHEDGE_CACHE_DIR")
    return Cache(Path(chosen or platformdirs.user_cache_dir("autohedge")) / "tapes")


@once
def _temporary_cache() -> Cache:
    """Returns a cache that is deleted at exit, and warns once."""
    root = Path(tempfile.mkdtemp(prefix="autohedge-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    warn(
        "imported tapes cannot be cached, so every run imports again",
        directory=str(root),
        cure="set AUTOHEDGE_CACHE_DIR to a directory that can be written",
    )
    return Cache(root)


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.{dtype_of(name).str[1:]}"


def _map(folder: Path, name: str, rows: int) -> Column:
    dtype = dtype_of(name)
    with _path(folder, name).open("rb") as file:
        # Checked first: touching a mapped page beyond the end of the file kills the process with SIGBUS.
        if os.fstat(file.fileno()).st_size != rows * dtype.itemsize:
            raise ValueError(f"{name}: wrong size")
        pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return np.frombuffer(pages, dtype=dtype)

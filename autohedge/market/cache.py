"""The column cache: entries are written to a temporary folder, renamed into place, and compared when read."""

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache as once
from hashlib import blake2b
from pathlib import Path

import msgspec
import platformdirs

from autohedge.core.errors import Misconfigured
from autohedge.core.log import warn
from autohedge.core.open_files import require_open_files
from autohedge.market.column_file import FILE, StoredColumn, read_columns, require_hashes
from autohedge.market.columns import Column
from autohedge.market.stream import Kind

FORMAT = 7  # part of every key: raise it when the files change, and old entries are not found any more
_META = "meta.json"


@dataclass(frozen=True, slots=True)
class Meta:
    """The content of a cache entry.

    `hash` is the content hash of its source. `symbol` is the only symbol that the source names, if it does.
    `flaw` says why a run refuses the rows. `tick` and `sequenced` are those of `BookMessages`.
    """

    kind: Kind
    rows: int
    columns: tuple[StoredColumn, ...]
    hash: str
    interval_ns: int = 0
    select: str | None = None
    symbol: str | None = None
    flaw: str = ""
    tick: float = 0.0
    sequenced: bool = False


@dataclass(frozen=True, slots=True)
class CachedColumns:
    """A cache entry with its columns, read-only and as they were written."""

    meta: Meta
    columns: dict[str, Column]


class Cache:
    """Entries below one root, each in a folder named by its key."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def find(self, key: str) -> CachedColumns | None:
        """Returns the entry, or None if it is absent; discards a damaged or changed one with a warning.

        Raises Misconfigured if no more files can be opened.
        """
        folder = self._root / key
        if not folder.is_dir():
            return None
        try:
            return _opened(folder)
        except (OSError, ValueError, msgspec.MsgspecError) as error:
            require_open_files(error)
            warn(
                "a cached tape was changed or damaged, so it is imported again",
                cause=getattr(error, "strerror", None) or str(error),
                entry=str(folder),
            )
            self._discard(folder)
            return None

    def damaged(self) -> list[Path]:
        """Returns the folders of the entries that are damaged or were changed; reads all entries."""
        return [folder for folder in self._entries() if not _is_sound(folder)]

    def build(self, key: str, fill: Callable[[Path], Meta]) -> CachedColumns:
        """Creates the entry that `fill` writes into the empty folder it is given.

        A crash leaves no entry; of two processes that build the same entry, the first one publishes it.
        Raises Misconfigured if the cache cannot be written.
        """
        aside = Path(tempfile.mkdtemp(prefix="build-", dir=self._root))
        try:
            meta = fill(aside)
            (aside / _META).write_bytes(_sealed(key, meta))
            self._publish(aside, key)
        except OSError as error:
            require_open_files(error)
            raise Misconfigured(
                f"{self._root}: the tape cache cannot be written ({error.strerror or error}); "
                "make room or set AUTOHEDGE_CACHE_DIR"
            ) from error
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return self._require(key)

    def writable(self) -> bool:
        """Returns whether entries can be built here; creates the root if possible.

        Raises Misconfigured if no more files can be opened.
        """
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            Path(tempfile.mkdtemp(prefix="probe-", dir=self._root)).rmdir()
        except OSError as error:
            require_open_files(error)
            return False
        return True

    def _entries(self) -> list[Path]:
        try:
            # Entries of earlier layouts lack this file; the names of working folders have a hyphen.
            folders = (path.parent for path in self._root.glob(f"*/{FILE}"))
            return sorted(folder for folder in folders if "-" not in folder.name)
        except OSError:
            return []

    def _publish(self, aside: Path, key: str) -> None:
        if self.find(key) is not None:
            return
        try:
            aside.rename(self._root / key)
            _compared.add(_version(self._root / key / FILE))  # hashed while it was written
        except OSError:
            # Another process published the same entry first; its content is the same.
            if self.find(key) is None:
                raise

    def _discard(self, folder: Path) -> None:
        # Renamed away first, because processes may still have its file mapped, and a rename is atomic.
        with suppress(OSError):
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


def key_of(*parts: object) -> str:
    """Returns the cache key of JSON values; it changes with the format of the entries."""
    return blake2b(msgspec.json.encode((FORMAT, *parts)), digest_size=20).hexdigest()


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


def _opened(folder: Path) -> CachedColumns:
    meta = _unsealed(folder.name, (folder / _META).read_bytes())
    columns = read_columns(folder, meta.rows, meta.columns)
    version = _version(folder / FILE)
    if version not in _compared:
        require_hashes(columns, meta.columns)
        _compared.add(version)
    return CachedColumns(meta, columns)


# Files whose columns this process has compared with their hashes: once is enough while a file is the same.
_compared: set[tuple[str, int, int, int]] = set()


def _version(path: Path) -> tuple[str, int, int, int]:
    status = path.stat()
    return str(path), status.st_ino, status.st_mtime_ns, status.st_ctime_ns


def _is_sound(folder: Path) -> bool:
    try:
        _opened(folder)
    except (OSError, ValueError, msgspec.MsgspecError):
        return False
    return True


def _sealed(key: str, meta: Meta) -> bytes:
    """Returns the facts of an entry with a hash of them and of the key."""
    facts = msgspec.json.encode(meta)
    return _seal(key, facts) + b"\n" + facts


def _unsealed(key: str, content: bytes) -> Meta:
    seal, _, facts = content.partition(b"\n")
    if seal != _seal(key, facts):
        raise ValueError(f"{_META} was changed")
    return msgspec.json.decode(facts, type=Meta)


def _seal(key: str, facts: bytes) -> bytes:
    return blake2b(key.encode() + facts, digest_size=16).hexdigest().encode()

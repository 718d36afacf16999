"""numba's disk cache, with files that are checked before they are believed and writes that may fail.

numba unpickles whatever its files hold, and lets errors of writing end the program. Here a damaged file
counts as absent: the kernel is compiled again, and the file replaced.
"""

import pickle
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from numba.core.caching import (
    CompileResultCacheImpl,
    FunctionCache,
    IndexDataCacheFile,
    UserProvidedCacheLocator,
)
from numba.core.serialize import dumps

from autohedge.core.log import warn
from autohedge.kernels.code_files import read_intact, with_digest

CURE = "set NUMBA_CACHE_DIR to a directory that can be written"


class VerifiedCacheFile(IndexDataCacheFile):
    """The index of a kernel, which names a file for each signature, and those files."""

    def __init__(self, folder: str, name: str, source_stamp: object) -> None:
        super().__init__(folder, name, source_stamp)

    def save(self, key: Any, data: Any) -> None:
        """Keeps code with its key: numba writes the index first, so a file may still hold other code."""
        super().save(key, (key, data))

    def load(self, key: Any) -> Any:
        """Returns the code of a key, or None."""
        kept_key, data = super().load(key) or (None, None)
        return data if kept_key == key else None

    def _load_index(self) -> dict[Any, str]:
        kept = _read(Path(self._index_path))
        if kept is None or kept[:2] != (self._version, self._source_stamp):
            return {}
        names: dict[Any, str] = kept[2]
        return names

    def _save_index(self, overloads: dict[Any, str]) -> None:
        self._write(Path(self._index_path), (self._version, self._source_stamp, overloads))

    def _load_data(self, name: str) -> Any:
        return _read(Path(self._data_path(name)))

    def _save_data(self, name: str, data: Any) -> None:
        self._write(Path(self._data_path(name)), data)

    def _write(self, path: Path, value: Any) -> None:
        with self._open_for_write(str(path)) as file:
            file.write(with_digest(path, dumps(value)))


class CodeDirectoryCacheImpl(CompileResultCacheImpl):
    """Keeps code in the directory of these sources only: another one would not notice an edit that is inlined."""

    _locator_classes = [UserProvidedCacheLocator]  # noqa: RUF012 - as declared by numba


class CodeCache(FunctionCache):
    """The cache of one kernel. Raises RuntimeError if its directory cannot be written."""

    _impl_class = CodeDirectoryCacheImpl

    def __init__(self, function: Callable[..., object]) -> None:
        super().__init__(function)
        locator = self._impl.locator
        self._cache_file = VerifiedCacheFile(
            locator.get_cache_path(), self._impl.filename_base, locator.get_source_stamp()
        )

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keeps compiled code on disk; warns if that fails, as on a full disk."""
        try:
            super().save_overload(sig, data)
        except OSError as error:
            warn_not_kept(Path(self.cache_path).parent, error.strerror)


def _read(path: Path) -> Any:
    """Returns the value of a file; None if it is absent or damaged."""
    try:
        content = read_intact(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        return _warn_damaged(path.parent.parent, error.strerror)
    if content is None:
        return _warn_damaged(path.parent.parent, "it was cut or changed")
    return pickle.loads(content)  # noqa: S301 - written by `VerifiedCacheFile`, and as it was written


# Both warn once a process: a disk that damages one file damages its neighbours too.


@cache
def _warn_damaged(directory: Path, cause: str | None) -> None:
    warn("compiled code on disk is damaged, so it is compiled again", directory=str(directory), cause=cause)


@cache
def warn_not_kept(directory: Path, cause: str | None) -> None:
    """Warns that compiled code will not be found by the next process."""
    warn(
        "compiled code cannot be cached, so every start compiles again",
        directory=str(directory),
        error=cause,
        cure=CURE,
    )

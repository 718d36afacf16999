"""How kernels are compiled, and where their machine code is kept between processes.

numba's disk cache notices an edit in the file of a compiled function, not in a function
inlined from another file. So the cache directory carries a hash of every source that can be
inlined: an edit anywhere in it starts a fresh cache. `NUMBA_CACHE_DIR`, where set, is its root.
"""

import os
import tempfile
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import TypeVar, cast

import numba
import platformdirs

from autohedge.core.log import warn

F = TypeVar("F", bound=Callable[..., object])

_PACKAGE = Path(__file__).parent.parent
INLINABLE = ("kernels", "strategies", "core/reasons.py")


def source_hash(package: Path = _PACKAGE) -> str:
    """Hash of all sources whose text can end up inside compiled code."""
    digest = blake2b(digest_size=8)
    for part in INLINABLE:
        place = package / part
        for file in [place] if place.is_file() else sorted(place.glob("*.py")):
            digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def cache_directory() -> Path | None:
    """Where machine code is kept; None if that place cannot be written."""
    root = os.environ.get("NUMBA_CACHE_DIR") or platformdirs.user_cache_path("autohedge") / "jit"
    directory = Path(root) / source_hash()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            return directory
    except OSError as error:
        _warn(directory, error)
        return None


def _warn(directory: Path, error: OSError) -> None:
    warn(
        "compiled code cannot be kept, so every start compiles again",
        directory=str(directory),
        error=error.strerror,
        cure="set NUMBA_CACHE_DIR to a directory that can be written",
    )


_DIRECTORY = cache_directory()
if _DIRECTORY is not None:
    numba.config.CACHE_DIR = str(_DIRECTORY)  # type: ignore[attr-defined]


def compiled(function: F) -> F:
    """Compile for calls from Python: cached on disk, IEEE division, no fast-math."""
    cached = _DIRECTORY is not None
    return cast(F, numba.njit(cache=cached, error_model="numpy", nogil=True)(function))


def inlined(function: F) -> F:
    """Compile into the caller's body, so that one step serves scan and single quote."""
    return cast(F, numba.njit(inline="always", error_model="numpy")(function))

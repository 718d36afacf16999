"""How kernels are compiled, and where their machine code is cached between processes.

numba's disk cache notices an edit in the file of a compiled function, but not in a function inlined from
another file. So the name of the cache directory has a hash of every source that can be inlined: an edit in
any of them starts a new cache. `NUMBA_CACHE_DIR`, if set, is its root.
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
    """Returns a hash of all sources that can become part of compiled code."""
    digest = blake2b(digest_size=8)
    for part in INLINABLE:
        place = package / part
        for file in [place] if place.is_file() else sorted(place.glob("*.py")):
            digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def cache_directory() -> Path | None:
    """Returns the directory of the machine code; None if it cannot be written."""
    root = os.environ.get("NUMBA_CACHE_DIR") or platformdirs.user_cache_path("autohedge") / "jit"
    directory = Path(root) / source_hash()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        # mkdir succeeds on an existing read-only directory, so write a file to find out.
        with tempfile.TemporaryFile(dir=directory):
            return directory
    except OSError as error:
        _warn(directory, error)
        return None


def _warn(directory: Path, error: OSError) -> None:
    warn(
        "compiled code cannot be cached, so every start compiles again",
        directory=str(directory),
        error=error.strerror,
        cure="set NUMBA_CACHE_DIR to a directory that can be written",
    )


# Set at import, before the first kernel is defined: numba reads the directory when it decorates.
_DIRECTORY = cache_directory()
if _DIRECTORY is not None:
    numba.config.CACHE_DIR = str(_DIRECTORY)  # type: ignore[attr-defined]


def compiled(function: F) -> F:
    """Compiles a function for calls from Python: cached on disk, IEEE division, no fast-math."""
    # error_model="numpy" makes a division by zero give inf or NaN instead of raising; nogil
    # lets other threads run during a long scan.
    cached = _DIRECTORY is not None
    return cast(F, numba.njit(cache=cached, error_model="numpy", nogil=True)(function))


def inlined(function: F) -> F:
    """Compiles a function into the body of its caller, so that scans and single quotes share one step."""
    return cast(F, numba.njit(inline="always", error_model="numpy")(function))

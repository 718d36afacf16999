"""How kernels are compiled, and where their machine code is cached between processes.

numba's disk cache notices an edit in the file of a compiled function, but not in a function inlined from
another file. So the name of the cache directory has a hash of every source that can be inlined: an edit in
any of them starts a new cache. `NUMBA_CACHE_DIR`, if set, is its root.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

import numba
from numba.core.dispatcher import Dispatcher

from autohedge.kernels.code_cache import CodeCache, warn_not_kept
from autohedge.kernels.code_files import code_directory

F = TypeVar("F", bound=Callable[..., object])


def cache_directory() -> Path | None:
    """Returns the directory of the machine code; None if it cannot be written."""
    directory = code_directory()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        # mkdir succeeds on an existing read-only directory, so write a file to find out.
        with tempfile.TemporaryFile(dir=directory):
            return directory
    except OSError as error:
        warn_not_kept(directory, error.strerror)
        return None


# Set at import, before the first kernel is defined: numba reads the directory when it decorates.
_DIRECTORY = cache_directory()
if _DIRECTORY is not None:
    numba.config.CACHE_DIR = str(_DIRECTORY)  # type: ignore[attr-defined]


def compiled(function: F) -> F:
    """Compiles a function for calls from Python: cached on disk, IEEE division, no fast-math.

    Other threads run during the call.
    """
    return _compiled(function, nogil=True)


def compiled_short(function: F) -> F:
    """Compiles a function as `compiled` does, for calls that are too short to let other threads run."""
    return _compiled(function, nogil=False)


def _compiled(function: F, *, nogil: bool) -> F:
    # error_model="numpy" makes a division by zero give inf or NaN instead of raising.
    kernel = numba.njit(error_model="numpy", nogil=nogil)(function)
    if _DIRECTORY is not None and isinstance(kernel, Dispatcher):  # no dispatcher with NUMBA_DISABLE_JIT
        _keep(kernel, _DIRECTORY)
    return cast(F, kernel)


def _keep(kernel: Dispatcher, directory: Path) -> None:
    try:
        # As numba's `enable_caching` does, which always takes its own class.
        kernel._cache = CodeCache(kernel.py_func)  # type: ignore[attr-defined]  # noqa: SLF001
    except RuntimeError:
        warn_not_kept(directory, "a folder in it cannot be written")


def inlined(function: F) -> F:
    """Compiles a function into the body of its caller, so that scans and single quotes share one step."""
    return cast(F, numba.njit(inline="always", error_model="numpy")(function))


def resolved(kernel: F, *arguments: object) -> F:
    """Returns the machine code of a kernel for arguments of these types, which every call must have.

    Its calls skip the look-up of types, a third of the time of a short one.
    """
    if not isinstance(kernel, Dispatcher):  # no dispatcher with NUMBA_DISABLE_JIT
        return kernel
    signature = tuple(numba.typeof(argument) for argument in arguments)  # type: ignore[no-untyped-call]
    kernel.compile(signature)
    return cast(F, kernel.overloads[signature].entry_point)  # type: ignore[attr-defined]

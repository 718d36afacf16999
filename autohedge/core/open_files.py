"""The limit of open files: raised at the start, and named where it is reached."""

import errno
from contextlib import suppress

from autohedge.core.errors import Misconfigured

_EXHAUSTED = (errno.EMFILE, errno.ENFILE)


def raise_open_files() -> None:
    """Raises the limit of open files to what the system grants this user, because tapes need many."""
    with suppress(ImportError, OSError, ValueError):
        import resource  # not on Windows

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def open_files_reached(error: OSError) -> str | None:
    """Returns cause and cure if `error` says that no more files can be opened, else None."""
    if error.errno not in _EXHAUSTED:
        return None
    return (
        f"the limit of open files ({_open_files()}) is reached; raise it with ulimit -n, or name fewer tapes"
    )


def require_open_files(error: Exception) -> None:
    """Raises Misconfigured, with cause and cure, if `error` says that no more files can be opened."""
    reached = open_files_reached(error) if isinstance(error, OSError) else None
    if reached:
        raise Misconfigured(reached) from error


def _open_files() -> str:
    try:
        import resource

        return f"{resource.getrlimit(resource.RLIMIT_NOFILE)[0]:,}"
    except ImportError:
        return "of this system"

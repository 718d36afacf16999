"""The standard streams of the process: open, and able to print every text."""

import io
import os
import sys
from contextlib import suppress


def open_standard_streams() -> None:
    """Opens the null device for closed streams, and replaces characters that stdout cannot encode."""
    # A closed number would go to the next opened file, such as a journal, together with what is printed.
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # noqa: FBT003 - positional only
    sys.stdout = sys.stdout or _null_stream()
    sys.stderr = sys.stderr or _null_stream()
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="replace")


def _null_stream() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.FileIO(os.devnull, "w"))


def flush_stdout() -> None:
    """Writes what stdout still holds; discards it if that fails, so that the end of the process is silent."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):  # a stream of a test has no number
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

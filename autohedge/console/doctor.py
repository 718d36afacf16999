"""Is this machine fit to trade on? Each check says what it found and, if that is bad, the cure."""

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import platformdirs

import autohedge
from autohedge.core.clock import format_utc, wall_ns
from autohedge.core.errors import AutoHedgeError
from autohedge.core.units import NS_PER_S
from autohedge.journal import RunFolder

FREE_BYTES_LEAST = 1 << 30


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check found."""

    check: str
    ok: bool
    message: str


def run_checks() -> Iterator[CheckResult]:
    """All checks, one after the other; none changes anything but a probe file that it removes."""
    user = Path(os.environ.get("AUTOHEDGE_CACHE_DIR") or platformdirs.user_cache_dir("autohedge"))
    compiled = Path(os.environ.get("NUMBA_CACHE_DIR") or platformdirs.user_cache_path("autohedge") / "jit")
    yield _python()
    yield writable("compiled code", compiled, "set NUMBA_CACHE_DIR to a directory that can be written")
    yield writable("tape cache", user, "set AUTOHEDGE_CACHE_DIR to a directory that can be written")
    yield writable("working directory", Path.cwd(), "run where runs/ can be written")
    yield room(shutil.disk_usage(Path.cwd()).free)
    yield clock(wall_ns())
    yield CheckResult("cores", ok=True, message=str(os.cpu_count()))
    yield _settings()


def _python() -> CheckResult:
    message = f"{platform.python_implementation()} {platform.python_version()} on {platform.system()}"
    return CheckResult("python", sys.version_info >= (3, 11), message)


def writable(check: str, directory: Path, cure: str) -> CheckResult:
    """Whether a file can be made in a directory, or in what it would be made in."""
    there = next(place for place in (directory, *directory.parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            return CheckResult(check, ok=True, message=str(directory))
    except OSError as error:
        return CheckResult(check, ok=False, message=f"{directory}: {error.strerror}; {cure}")


def room(free_bytes: int) -> CheckResult:
    """Whether the disk has room for records; when it is full, entries stop."""
    free = f"{free_bytes / 2**30:.1f} GiB free"
    if free_bytes >= FREE_BYTES_LEAST:
        return CheckResult("disk", ok=True, message=free)
    return CheckResult("disk", ok=False, message=f"only {free}; make room for the records of runs")


def clock(now_ns: int) -> CheckResult:
    """Whether the clock is later than this release and than every record in `runs/`."""
    for what, then_ns in (("this release", _released_ns()), ("the newest run", _newest_run_ns())):
        if now_ns < then_ns:
            late = f"{format_utc(now_ns)} is before {what} ({format_utc(then_ns)}); set the clock"
            return CheckResult("clock", ok=False, message=late)
    return CheckResult("clock", ok=True, message=f"{format_utc(now_ns)} UTC")


def _released_ns() -> int:
    return _ns(f"{autohedge.__released__}T000000", "%Y-%m-%dT%H%M%S")


def _newest_run_ns() -> int:
    """The start of the newest run, from its id, or the last writing of any record; 0 without one."""
    folders = RunFolder.all()
    begun = [_ns(folder.id.partition("-")[0], "%Y%m%dT%H%M%S") for folder in folders]
    return max([*begun, *(folder.journal.stat().st_mtime_ns for folder in folders)], default=0)


def _ns(text: str, form: str) -> int:
    """A UTC time as nanoseconds; 0 for a text of another form, such as a renamed run."""
    try:
        return int(datetime.strptime(f"{text}+0000", f"{form}%z").timestamp()) * NS_PER_S
    except ValueError:
        return 0


def _settings() -> CheckResult:
    from autohedge.config import with_origins

    return attempt(
        "settings", lambda: f"{sum(row.origin != 'default' for row in with_origins())} chosen, all valid"
    )


def attempt(check: str, look: Callable[[], str]) -> CheckResult:
    """What `look` says, or the error that it met."""
    try:
        return CheckResult(check, ok=True, message=look())
    except AutoHedgeError as error:
        return CheckResult(check, ok=False, message=str(error))

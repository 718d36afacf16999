"""Checks that this machine is fit for trading; a failed check names its cause and cure."""

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import platformdirs

import autohedge
from autohedge.config import Settings, knowledge_cutoffs, models_without_price
from autohedge.console.knowledge_cutoff import cutoff_warning
from autohedge.core.clock import format_utc, wall_ns
from autohedge.core.errors import AutoHedgeError, Corrupt
from autohedge.core.results import RunReport
from autohedge.core.text import one_line
from autohedge.core.units import NS_PER_S
from autohedge.journal import RunFolder
from autohedge.kernels.code_files import code_directory, kept_files

FREE_BYTES_LEAST = 1 << 30
MODEL_CHARS = 300


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check."""

    check: str
    ok: bool
    message: str


def run_checks() -> Iterator[CheckResult]:
    """Yields the result of each check; a check changes nothing but a probe file, which it removes."""
    # The place where the tape cache will write, resolved in the same way as it does.
    user = Path(os.environ.get("AUTOHEDGE_CACHE_DIR") or platformdirs.user_cache_dir("autohedge"))
    yield _python()
    yield compiled_code(code_directory())
    yield tape_cache(user)
    yield writable("working directory", Path.cwd(), "run where runs/ can be written")
    yield room(shutil.disk_usage(Path.cwd()).free)
    yield clock(wall_ns())
    yield CheckResult("cores", ok=True, message=str(os.cpu_count()))
    yield _settings()
    yield from models()
    yield from probes()
    yield from _asked_models()


def models() -> Iterator[CheckResult]:
    """Yields how each model was found to be asked, from the cache of `llm.backends.capabilities`."""
    from autohedge.llm.backends.capabilities import stored

    for known in stored():
        message = one_line(f"{known.model} at {known.base_url}: {known.summary}", MODEL_CHARS)
        yield CheckResult("model", ok=True, message=message)


def probes() -> Iterator[CheckResult]:
    """Yields a failed check for each configured model whose last probe was failed."""
    from autohedge.config import load
    from autohedge.llm.backends.probe_results import READS, last_probe

    try:
        settings = load()
    except AutoHedgeError:
        return  # the check of the settings has reported it
    for agent, _ in settings.agents:
        found = last_probe(settings, agent)
        if found is not None and found.verdict != READS:
            fault = f"{found.model} as {agent}: {found.verdict} (probed at {format_utc(found.probed_ns)} UTC)"
            cure = "name another model, or edit its prompt, and run autohedge agents probe again"
            yield CheckResult("probe", ok=False, message=one_line(f"{fault}; {cure}", MODEL_CHARS))


def _asked_models() -> Iterator[CheckResult]:
    """Yields what is not known of the cost of the configured models, and what they may know of the newest tape."""
    from autohedge.config import load

    try:
        settings = load()
    except AutoHedgeError:  # the check of the settings names it
        return
    yield from prices(settings)
    cutoffs = knowledge_cutoffs(settings)
    report = _newest_report() if cutoffs else None
    if report and (line := cutoff_warning(report, cutoffs)):
        yield CheckResult("model", ok=True, message=f"run {report.run}: {line}")


def _newest_report() -> RunReport | None:
    """Returns the results of the newest run; None if it has none that can be read."""
    folders = RunFolder.all()
    try:
        return folders[-1].read_report() if folders else None
    except Corrupt:  # `journal verify` names it
        return None


def prices(settings: Settings) -> Iterator[CheckResult]:
    """Yields a line for each model on a server that is not local whose calls have no known cost."""
    for name in models_without_price(settings):
        shown = one_line(name, MODEL_CHARS)
        message = f'{shown} has no price: set price_in and price_out in [models."{shown}"]'
        yield CheckResult("price", ok=True, message=message)


def _python() -> CheckResult:
    message = f"{platform.python_implementation()} {platform.python_version()} on {platform.system()}"
    return CheckResult("python", sys.version_info >= (3, 11), message)


def writable(check: str, directory: Path, cure: str) -> CheckResult:
    """Checks that a file can be created in a directory, or in its nearest existing parent."""
    there = next(place for place in (directory, *directory.parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            return CheckResult(check, ok=True, message=str(directory))
    except OSError as error:
        return CheckResult(check, ok=False, message=f"{directory}: {error.strerror}; {cure}")


def compiled_code(directory: Path) -> CheckResult:
    """Checks that compiled code can be kept, and that what is kept is as it was written."""
    place = writable(
        "compiled code", directory.parent, "set NUMBA_CACHE_DIR to a directory that can be written"
    )
    kept = list(kept_files(directory))
    damaged = [path.name for path, intact in kept if not intact]
    if damaged:
        message = f"{directory}: {damaged[0]} is damaged; delete the directory, and runs compile again"
        return replace(place, ok=False, message=message)
    return _with_amount(place, f"{len(kept)} files")


def tape_cache(directory: Path) -> CheckResult:
    """Checks that tapes can be cached, and compares every cached tape with its hash."""
    from autohedge.market.cache import user_cache

    place = writable("tape cache", directory, "set AUTOHEDGE_CACHE_DIR to a directory that can be written")
    if damaged := user_cache().damaged():
        message = f"{damaged[0]} is damaged; delete it, or let a run import it again"
        return replace(place, ok=False, message=message)
    files = [path for path in directory.glob("tapes/*/*") if path.is_file()]
    megabytes = sum(path.stat().st_size for path in files) / 1e6
    return _with_amount(place, f"{len({path.parent for path in files})} tapes, {megabytes:.0f} MB")


def _with_amount(place: CheckResult, amount: str) -> CheckResult:
    return replace(place, message=f"{place.message} ({amount})") if place.ok else place


def room(free_bytes: int) -> CheckResult:
    """Checks that the disk has room for records; entries halt when it is full."""
    free = f"{free_bytes / 2**30:.1f} GiB free"
    if free_bytes >= FREE_BYTES_LEAST:
        return CheckResult("disk", ok=True, message=free)
    return CheckResult("disk", ok=False, message=f"only {free}; free at least 1 GiB for the records of runs")


def clock(now_ns: int) -> CheckResult:
    """Checks that the clock is later than this release and than every record in `runs/`."""
    for what, then_ns in (("this release", _released_ns()), ("the newest run", _newest_run_ns())):
        if now_ns < then_ns:
            late = f"{format_utc(now_ns)} is before {what} ({format_utc(then_ns)}); set the clock"
            return CheckResult("clock", ok=False, message=late)
    return CheckResult("clock", ok=True, message=f"{format_utc(now_ns)} UTC")


def _released_ns() -> int:
    return _ns(f"{autohedge.__released__}T000000", "%Y-%m-%dT%H%M%S")


def _newest_run_ns() -> int:
    """Returns the latest start of a run, from its id, or the last change of a journal; 0 without runs."""
    folders = RunFolder.all()
    begun = [_ns(folder.id.partition("-")[0], "%Y%m%dT%H%M%S") for folder in folders]
    return max([*begun, *(folder.journal.stat().st_mtime_ns for folder in folders)], default=0)


def _ns(text: str, form: str) -> int:
    """Parses a UTC time to nanoseconds; 0 for text of another form, such as the name of a renamed run."""
    try:
        return int(datetime.strptime(f"{text}+0000", f"{form}%z").timestamp()) * NS_PER_S
    except ValueError:
        return 0


def _settings() -> CheckResult:
    from autohedge.config import with_origins

    return attempt(
        "settings", lambda: f"{sum(row.origin != 'default' for row in with_origins())} set, all valid"
    )


def attempt(check: str, look: Callable[[], str]) -> CheckResult:
    """Returns the message of `look` as a passed check, or its error as a failed one."""
    # Other exceptions are bugs, not faults of the machine, and pass through.
    try:
        return CheckResult(check, ok=True, message=look())
    except AutoHedgeError as error:
        return CheckResult(check, ok=False, message=str(error))

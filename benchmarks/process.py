"""Rows `process` and `memory`: `autohedge run` in hft mode, measured from outside, as a process."""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.market import SYMBOL, tape_file, write_tape
from benchmarks.row import Row

WALL_BOUND_S, WALL_AIM_S, RSS_BOUND_MB = 2.0, 0.8, 600.0
MEMORY_BOUND, LONGER = 1.5, 10
ROUNDS = 7

_ROOT = Path(__file__).parent.parent
_SAMPLE_EVERY_S = 0.002
_FIELDS = ("VmHWM", "RssAnon")  # peak resident memory by the kernel; anonymous memory, sampled


@dataclass(frozen=True, slots=True)
class Ran:
    """One process: its times in seconds and peak memory in MB; `anonymous_mb` leaves mapped files out."""

    wall_s: float
    cpu_s: float
    rss_mb: float
    anonymous_mb: float


def measure(quotes: int) -> list[Row]:
    """Measures wall time and memory with all caches warm: tape, machine code, bytecode."""
    path = tape_file(quotes)
    with tempfile.TemporaryDirectory() as folder:
        _run(path, Path(folder))
        runs = [_run(path, Path(folder)) for _ in range(ROUNDS)]
    walls = [run.wall_s for run in runs]
    wall, rss = statistics.median(walls), max(run.rss_mb for run in runs)
    cpu, anonymous = statistics.median(run.cpu_s for run in runs), max(run.anonymous_mb for run in runs)
    return [
        Row(
            "process, wall",
            f"<= {WALL_BOUND_S:g} s (aim {WALL_AIM_S:g})",
            f"{wall:.2f} s (least {min(walls):.2f})",
            wall <= WALL_BOUND_S,
            f"hft mode; interpreter, imports and results included; processor time {cpu:.2f} s",
        ),
        Row(
            "process, peak RSS",
            f"<= {RSS_BOUND_MB:g} MB",
            f"{rss:.0f} MB",
            rss <= RSS_BOUND_MB,
            f"of which anonymous {anonymous:.0f} MB; the rest is mapped files",
        ),
    ]


def memory(quotes: int) -> list[Row]:
    """Measures peak anonymous memory, import included, against a tape ten times as long.

    The longer tape has ten times the fills as well, which stay in memory; runs that never trade show
    the cost of the tape itself.
    """
    with tempfile.TemporaryDirectory() as folder:
        short, short_quiet = _cold(quotes, Path(folder))
        long, long_quiet = _cold(quotes * LONGER, Path(folder))
    ratio = long.anonymous_mb / short.anonymous_mb
    quiet = long_quiet.anonymous_mb / short_quiet.anonymous_mb
    note = (
        f"anonymous {short.anonymous_mb:.0f} -> {long.anonymous_mb:.0f} MB, "
        f"wall {short.wall_s:.1f} -> {long.wall_s:.1f} s, import included; without orders {quiet:.2f}x "
        f"({short_quiet.anonymous_mb:.0f} -> {long_quiet.anonymous_mb:.0f} MB)"
    )
    bound = f"<= {MEMORY_BOUND:g}x for {LONGER}x the quotes"
    return [Row("memory", bound, f"{ratio:.2f}x", ratio <= MEMORY_BOUND, note)]


def _cold(quotes: int, folder: Path) -> tuple[Ran, Ran]:
    """Runs once trading and once without trades, each with an empty tape cache."""
    path = folder / f"{SYMBOL}_{quotes}_quotes.parquet"
    write_tape(path, quotes)
    try:
        return _uncached(path, folder), _uncached(path, folder, AUTOHEDGE__MOMENTUM__MIN_EDGE_BPS="1e9")
    finally:
        path.unlink()


def _uncached(path: Path, folder: Path, **more: str) -> Ran:
    with tempfile.TemporaryDirectory(dir=folder) as cache:
        return _run(path, folder, AUTOHEDGE_CACHE_DIR=cache, **more)


def _run(path: Path, folder: Path, **more: str) -> Ran:
    return run_process([f"{SYMBOL}={path}"], folder, **more)


def run_process(tapes: Sequence[str], folder: Path, *overrides: str, **more: str) -> Ran:
    """Runs `autohedge run` in hft mode in a directory without settings; `more` goes into its environment."""
    command = [sys.executable, "-m", "autohedge", "run", "--mode", "hft", "--json"]
    command += [word for tape in tapes for word in ("--tape", tape)]
    command += [word for override in overrides for word in ("--set", override)]
    with (folder / "results.json").open("wb") as output:
        started, started_cpu = time.perf_counter(), _children_cpu_s()
        child = subprocess.Popen(command, cwd=folder, env=surroundings() | more, stdout=output)
        peaks = _watched(child)
        wall_s, cpu_s = time.perf_counter() - started, _children_cpu_s() - started_cpu
    if child.returncode:
        msg = f"{' '.join(command)} failed with exit code {child.returncode}"
        raise RuntimeError(msg)
    return Ran(wall_s, cpu_s, *(peaks[field] / 1024.0 for field in _FIELDS))


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def surroundings() -> dict[str, str]:
    """Returns the environment without AutoHedge settings, and with bytecode caching, as users have it."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("AUTOHEDGE__")}
    inherited.pop("PYTHONDONTWRITEBYTECODE", None)
    search = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
    return inherited | {"PYTHONPATH": search}


def _watched(child: "subprocess.Popen[bytes]") -> dict[str, int]:
    """Waits for a process; returns the highest values of its status in kB."""
    peaks = dict.fromkeys(_FIELDS, 0)
    status = Path(f"/proc/{child.pid}/status")
    while True:
        for line in status.read_text().splitlines():
            name, _, value = line.partition(":")
            if name in peaks:
                peaks[name] = max(peaks[name], int(value.split()[0]))
        try:
            child.wait(_SAMPLE_EVERY_S)
        except subprocess.TimeoutExpired:
            continue
        return peaks

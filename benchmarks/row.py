"""A row of the result table, and the timing functions that all rows share."""

import gc
import statistics
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self


@dataclass(frozen=True, slots=True)
class Row:
    """One bound and its measured figure; `met` is None if it could not be measured."""

    name: str
    bound: str
    figure: str
    met: bool | None
    note: str = ""

    @property
    def verdict(self) -> str:
        """The text in the last column of the table."""
        return "skipped" if self.met is None else "met" if self.met else "NOT MET"


class Spent(NamedTuple):
    """What one run took: wall time, and the processor time of this thread."""

    wall_s: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Timed:
    """The durations of several runs, in seconds."""

    seconds: tuple[float, ...]

    @classmethod
    def wall(cls, runs: Iterable[Spent]) -> Self:
        """The wall times of runs, which other programs on the machine lengthen."""
        return cls(tuple(run.wall_s for run in runs))

    @classmethod
    def cpu(cls, runs: Iterable[Spent]) -> Self:
        """The processor times of runs, which repeat to some percent on a busy machine."""
        return cls(tuple(run.cpu_s for run in runs))

    @property
    def least(self) -> float:
        """The shortest run: the one least disturbed by other load."""
        return min(self.seconds)

    @property
    def median(self) -> float:
        """The median run: typical of this machine under its present load."""
        return statistics.median(self.seconds)


Variant = Callable[[], Spent]


def interleaved(variants: Mapping[str, Variant], rounds: int) -> dict[str, list[Spent]]:
    """Times each variant once per round, so that changing load affects all of them alike."""
    spent: dict[str, list[Spent]] = {name: [] for name in variants}
    for variant in variants.values():
        variant()  # warms caches; not counted
    for _ in range(rounds):
        for name, variant in variants.items():
            gc.collect()  # or a variant would be charged for the garbage of the one before
            spent[name].append(variant())
    return spent


def clocked(action: Callable[[], object]) -> Spent:
    """Returns the time that `action` takes."""
    started, started_cpu = time.perf_counter(), time.thread_time()
    action()
    return Spent(time.perf_counter() - started, time.thread_time() - started_cpu)


def percentile(values: Sequence[int], percent: float) -> int:
    """Returns a percentile by the nearest rank, without interpolation."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100.0))]

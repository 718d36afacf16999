"""A row of the result table, and the timing functions that all rows share."""

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


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


@dataclass(frozen=True, slots=True)
class Timed:
    """The durations of several runs, in seconds."""

    seconds: tuple[float, ...]

    @property
    def least(self) -> float:
        """The shortest run: the one least disturbed by other load."""
        return min(self.seconds)

    @property
    def median(self) -> float:
        """The median run: typical of this machine under its present load."""
        return statistics.median(self.seconds)


Variant = Callable[[], float]


def interleaved(variants: Mapping[str, Variant], rounds: int) -> dict[str, Timed]:
    """Times each variant once per round, so that changing load affects all of them alike."""
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for variant in variants.values():
        variant()  # warms caches; not counted
    for _ in range(rounds):
        for name, variant in variants.items():
            gc.collect()  # or a variant would be charged for the garbage of the one before
            seconds[name].append(variant())
    return {name: Timed(tuple(values)) for name, values in seconds.items()}


def clocked(action: Callable[[], object]) -> float:
    """Returns the seconds that `action` takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def percentile(values: Sequence[int], percent: float) -> int:
    """Returns a percentile by the nearest rank, without interpolation."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100.0))]

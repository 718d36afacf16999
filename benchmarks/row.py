"""One line of the table, and the timing that all rows share."""

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One bound against what was measured; `met` is None where nothing could be."""

    name: str
    bound: str
    figure: str
    met: bool | None
    note: str = ""

    @property
    def verdict(self) -> str:
        """The last column of the table."""
        return "skipped" if self.met is None else "met" if self.met else "NOT MET"


@dataclass(frozen=True, slots=True)
class Timed:
    """Seconds of several runs of one thing."""

    seconds: tuple[float, ...]

    @property
    def least(self) -> float:
        """The run that was disturbed least."""
        return min(self.seconds)

    @property
    def median(self) -> float:
        """The run that is typical of this machine at this moment."""
        return statistics.median(self.seconds)


Variant = Callable[[], float]


def interleaved(variants: Mapping[str, Variant], rounds: int) -> dict[str, Timed]:
    """Time each variant once a round: load that comes and goes hits all of them alike."""
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for variant in variants.values():
        variant()
    for _ in range(rounds):
        for name, variant in variants.items():
            gc.collect()
            seconds[name].append(variant())
    return {name: Timed(tuple(values)) for name, values in seconds.items()}


def clocked(action: Callable[[], object]) -> float:
    """Seconds that `action` takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def percentile(values: Sequence[int], percent: float) -> int:
    """The value that `percent` percent of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100.0))]

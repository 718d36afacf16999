"""Bars: those that contradict themselves, and stamps that contradict their length."""

from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from autohedge.core.units import NS_PER_S
from autohedge.market.columns import Column, Columns

Mask: TypeAlias = NDArray[np.bool_]
Count = TypeVar("Count")

# Relative: adjusted prices are rounded in other places than their high and low, by less than any tick.
_ROUNDING = 1e-6
# Days and months of a calendar differ in length by up to a tenth.
_SHORTEST_GAP = 0.9
_GAPS_LEAST = 3
_UNITS = (("w", 604_800), ("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


class PriceFaults(NamedTuple, Generic[Count]):
    """Something for each fault of a row's prices; see quality.StreamReport."""

    missing: Count
    non_positive: Count
    crossed: Count
    outside: Count


def first_faults(*prices: Column, crossed: Mask, outside: Mask) -> PriceFaults[Mask]:
    """Returns the rows with each fault; a row has the first of its faults only."""
    missing = ~np.logical_and.reduce([np.isfinite(price) for price in prices])
    non_positive = ~missing & np.logical_or.reduce([price <= 0 for price in prices])
    sound = ~missing & ~non_positive
    return PriceFaults(missing, non_positive, sound & crossed, sound & ~crossed & outside)


def bar_faults(columns: Columns) -> PriceFaults[Mask]:
    """Returns the bars with each fault."""
    first, high, low, last = (columns[name] for name in ("open", "high", "low", "close"))
    with np.errstate(invalid="ignore", over="ignore"):  # infinite prices are faults, not errors
        top, bottom = high * (1 + _ROUNDING), low * (1 - _ROUNDING)
        outside = (np.maximum(first, last) > top) | (np.minimum(first, last) < bottom)
        return first_faults(first, high, low, last, crossed=low > top, outside=outside)


def bad_bars(columns: Columns) -> Mask:
    """Returns which bars have a fault."""
    bad: Mask = np.logical_or.reduce(bar_faults(columns))
    return bad


def count_bad_bars(columns: Columns) -> int:
    """Returns how many bars have a fault."""
    return int(np.count_nonzero(bad_bars(columns)))


def usual_gap_ns(starts: NDArray[np.int64]) -> int:
    """Returns the gap between the starts of bars that at least half of them have, else 0."""
    gaps = np.diff(starts)
    lengths, counts = np.unique(gaps[gaps > 0], return_counts=True)
    if not len(lengths) or 2 * counts.max() < counts.sum():
        return 0
    return int(lengths[np.argmax(counts)])


def length_flaw(starts: NDArray[np.int64], interval_ns: int) -> str:
    """Returns how the starts of bars contradict the length in the file's name; empty if they do not."""
    usual_ns = usual_gap_ns(starts)
    if usual_ns in (0, interval_ns) or len(starts) <= _GAPS_LEAST:
        return ""
    return (
        f"its name says bars of {length_text(interval_ns)}, but its rows are {length_text(usual_ns)} apart; "
        f"put the length of its bars into the name, as in SYMBOL_{length_text(usual_ns)}_bars"
    )


@dataclass(slots=True)
class BarOverlapCheck:
    """Looks through the starts of bars, block by block, for one that begins before the last bar has ended."""

    interval_ns: int
    flaw: str = field(default="", init=False)

    def look(self, starts: NDArray[np.int64], previous_ns: int, row: int) -> None:
        """Looks at a block whose first row is `row` and follows a bar that started at `previous_ns`."""
        gaps = np.diff(starts, prepend=previous_ns)
        early = np.flatnonzero(gaps < self.interval_ns * _SHORTEST_GAP)
        if len(early) and not self.flaw:
            self.flaw = self._text(row + int(early[0]), int(gaps[early[0]]))

    def _text(self, row: int, gap_ns: int) -> str:
        if not gap_ns:
            return f"row {row} has the time of the bar before it; keep one of the two"
        length = length_text(self.interval_ns)
        return f"row {row} starts {length_text(gap_ns)} after a bar of {length} has started; remove one of the two"


def length_text(length_ns: int) -> str:
    """Returns a length as file names have it, such as 5m, or in seconds."""
    for unit, unit_s in _UNITS:
        count, rest = divmod(length_ns, unit_s * NS_PER_S)
        if count and not rest:
            return f"{count}{unit}"
    return f"{length_ns / NS_PER_S:g}s"

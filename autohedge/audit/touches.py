"""Which price an entry meets first, its target or its stop: a search over arrays of quotes, for many entries at once.

All times are in nanoseconds, all distances in bps of the mid at the entry's quote. Nothing here knows runs or records.
"""

from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

TARGET, STOP, NEITHER, OPEN = range(4)
OUTCOMES = ("target", "stop", "neither", "open")
"""The names of the outcomes, by their number."""
NONE = np.iinfo(np.int64).max
"""The index of what does not exist: after every other."""
_ENTRIES_AT_ONCE = 1 << 17

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Entries(NamedTuple):
    """Entries to examine, as columns: `at_ns` is when each was decided, the others are what it was decided with."""

    at_ns: Ints
    is_long: NDArray[np.bool_]
    target_bps: Floats
    stop_bps: Floats
    horizon_ns: Ints

    def at(self, rows: "Ints | slice") -> "Entries":
        """Returns some of the entries."""
        return Entries(
            self.at_ns[rows],
            self.is_long[rows],
            self.target_bps[rows],
            self.stop_bps[rows],
            self.horizon_ns[rows],
        )


class EntryOutcomes(NamedTuple):
    """What became of entries, as columns: `outcome` is an index of `OUTCOMES`.

    `entry_ns` and `exit_ns` are the times of the quotes of entry and exit. The return is after fees, in bps of the
    entry price. An open entry has no exit: its time is 0 and its return NaN. Without a quote to enter at, `entry_ns`
    is 0 too.
    """

    outcome: NDArray[np.int8]
    entry_ns: Ints
    exit_ns: Ints
    return_bps: Floats

    @classmethod
    def unknown(cls, count: int) -> "EntryOutcomes":
        """Returns the outcomes of entries without a quote to enter at."""
        times = np.zeros(count, np.int64)
        return cls(np.full(count, OPEN, np.int8), times, times.copy(), np.full(count, np.nan))

    def put(self, rows: "Ints | slice", found: "EntryOutcomes") -> None:
        """Sets the outcomes of some of the entries."""
        self.outcome[rows] = found.outcome
        self.entry_ns[rows] = found.entry_ns
        self.exit_ns[rows] = found.exit_ns
        self.return_bps[rows] = found.return_bps


class MaximaTree:
    """The maxima of 2, 4, 8 … neighbouring values, to find the next value at or above a threshold in log(n) steps."""

    def __init__(self, values: Floats) -> None:
        self._levels = [values]
        while len(self._levels[-1]) > 1:
            level = self._levels[-1]
            if len(level) % 2:
                level = np.append(level, -np.inf)
            self._levels.append(level.reshape(-1, 2).max(axis=1))

    def first_at_least(self, start: Ints, least: Floats) -> Ints:
        """Returns for each query the first index from `start` on whose value is at least `least`; NONE without one."""
        node, height = self._covering(start, least)
        for below in range(len(self._levels) - 2, -1, -1):
            chosen = np.flatnonzero(height > below)
            left = 2 * node[chosen]
            node[chosen] = left + (self._levels[below][left] < least[chosen])
        return np.where(height >= 0, node, NONE)

    def _covering(self, start: Ints, least: Floats) -> tuple[Ints, Ints]:
        """Returns a node in which the first such value is, and the height of its level; height -1 for none."""
        node, height = start.astype(np.int64), np.full(len(start), -1)
        waiting = np.arange(len(start))
        for number, maxima in enumerate(self._levels):
            waiting = waiting[node[waiting] < len(maxima)]
            reaches = maxima[node[waiting]] >= least[waiting]
            height[waiting[reaches]] = number
            waiting = waiting[~reaches]
            # The parent of the next node; if that covers this one too, it does no harm: no value here is enough.
            node[waiting] = (node[waiting] + 1) // 2
        return node, height


class TouchSearch:
    """The quotes of one symbol, in which the outcomes of entries are found; quotes that are not valid are left out.

    `fee_bps` is the fee of each side, in bps of its price.
    """

    def __init__(self, ts: Ints, bid: Floats, ask: Floats, fee_bps: float = 0.0) -> None:
        valid = np.isfinite(bid) & np.isfinite(ask) & (bid > 0) & (ask >= bid)
        self.ts, self.bid, self.ask = ts[valid], bid[valid], ask[valid]
        self._fee = fee_bps / 1e4

    # A short leaves at the ask, and gains as it falls: with negative prices both directions look for a rise.

    @cached_property
    def _gains(self) -> dict[bool, tuple[MaximaTree, MaximaTree]]:
        return {
            True: (MaximaTree(self.bid), MaximaTree(-self.bid)),
            False: (MaximaTree(-self.ask), MaximaTree(self.ask)),
        }

    def outcomes(self, entries: Entries) -> EntryOutcomes:
        """Returns the outcome of each entry.

        An entry is at the first quote later than its `at_ns`: a long at the ask, a short at the bid. It leaves at the
        first later quote at which the other side has reached its target or its stop, within its horizon from the
        entry on; else at the last quote within the horizon. It is open if the quotes end before that.
        """
        outcomes = EntryOutcomes.unknown(len(entries.at_ns))
        row = np.searchsorted(self.ts, entries.at_ns, side="right")
        for direction in (True, False):
            chosen = np.flatnonzero((entries.is_long == direction) & (row < len(self.ts)))
            # In parts, so that millions of entries do not need memory for all steps of all at once.
            for at in range(0, len(chosen), _ENTRIES_AT_ONCE):
                some = chosen[at : at + _ENTRIES_AT_ONCE]
                outcomes.put(some, self._of_direction(entries.at(some), row[some]))
        return outcomes

    def _of_direction(self, entries: Entries, row: Ints) -> EntryOutcomes:
        """Returns the outcomes of entries at these rows, all of one direction."""
        is_long = bool(entries.is_long[0])
        sign = 1.0 if is_long else -1.0
        mid = self.bid[row] + (self.ask[row] - self.bid[row]) / 2
        gains, losses = self._gains[is_long]
        # As the engine computes the levels, so that a price exactly there is met here too.
        target = gains.first_at_least(row + 1, sign * mid * (1.0 + sign * entries.target_bps / 1e4))
        stop = losses.first_at_least(row + 1, -sign * mid * (1.0 - sign * entries.stop_bps / 1e4))
        end_ns = self.ts[row] + entries.horizon_ns
        end = np.searchsorted(self.ts, end_ns, side="right") - 1
        first = np.minimum(target, stop)
        outcome = np.where(target < stop, TARGET, STOP)
        unmet = np.where(end_ns > self.ts[-1], OPEN, NEITHER)
        outcome = np.where(first <= end, outcome, unmet).astype(np.int8)
        left = np.minimum(first, end)
        is_open = outcome == OPEN
        return_bps = np.where(is_open, np.nan, self._return_bps(row, left, sign))
        return EntryOutcomes(outcome, self.ts[row], np.where(is_open, 0, self.ts[left]), return_bps)

    def _return_bps(self, row: Ints, left: Ints, sign: float) -> Floats:
        """Returns the gain from entry to exit less the fees of both, in bps of the entry price."""
        entered, given = (self.ask, self.bid) if sign > 0 else (self.bid, self.ask)
        start, end = entered[row], given[left]
        gained: Floats = (sign * (end - start) - self._fee * (start + end)) / start * 1e4
        return gained

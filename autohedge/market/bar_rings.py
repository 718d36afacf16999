"""The last finished bars of each lane, of several lengths, over any number of batches of rows."""

from collections.abc import Mapping

import numpy as np

from autohedge.config import Settings
from autohedge.core.errors import Misconfigured
from autohedge.core.snapshots import BarWindow
from autohedge.core.text import one_line
from autohedge.core.units import NS_PER_S
from autohedge.kernels.bar_rings import FORMING, fold_bars
from autohedge.market.bar_spec import BarSpec
from autohedge.market.rows import Rows

MOST_BARS = 500
_WRITTEN_CHARS = 60


class BarRings:
    """Bars of the mids of valid quotes; each row is folded into them once, and late.

    How rows are cut into batches makes no difference. A first bar that lacks its beginning is left out.
    """

    def __init__(self, lanes: int, windows: Mapping[int, int]) -> None:
        """`windows` has the number of bars that are kept by their length in nanoseconds."""
        self._lengths = np.array(list(windows), np.int64)
        self._counts = list(windows.values())
        slots = max(self._counts, default=1)
        self._forming = np.zeros((lanes, len(windows)), FORMING)
        self._starts = np.zeros((lanes, len(windows), slots), np.int64)
        self._prices = np.zeros((lanes, len(windows), slots, 4))
        self._rows: Rows | None = None
        self._start = self._end = 0  # of the rows that are not folded yet

    def extend(self, rows: Rows, start: int, end: int) -> None:
        """Takes note of rows `start` to `end` of a batch."""
        if rows is not self._rows or start != self._end:
            self._fold()
            self._rows, self._start = rows, start
        self._end = end

    def windows(self, lane: int, now_ns: int) -> tuple[BarWindow, ...]:
        """Returns the bars of a lane that have ended by a time, a window for each length that has any."""
        self._fold()
        found = (self._window(lane, at, now_ns) for at in range(len(self._counts)))
        return tuple(window for window in found if window.start_ns)

    def _window(self, lane: int, at: int, now_ns: int) -> BarWindow:
        forming, slots = self._forming[lane, at], self._starts.shape[2]
        finished, count = int(forming["finished"]), self._counts[at]
        places = [number % slots for number in range(max(0, finished - count), finished)]
        starts = self._starts[lane, at, places].tolist()
        prices = self._prices[lane, at, places].tolist()
        # The next quote would add it; a clock may have passed its end before.
        if 0 < forming["until_ns"] <= now_ns and not forming["partial"]:
            starts.append(int(forming["start_ns"]))
            prices.append([float(forming[name]) for name in ("open", "high", "low", "close")])
        columns = zip(*prices[-count:], strict=True) if prices else ((),) * 4
        length_s = int(self._lengths[at]) // NS_PER_S
        return BarWindow(length_s, tuple(starts[-count:]), *(tuple(column) for column in columns))

    def _fold(self) -> None:
        """Adds the rows that are not folded yet."""
        rows, start, self._start = self._rows, self._start, self._end
        if rows is not None and start < self._end:
            columns = (rows.lane, rows.ts, rows.bid, rows.ask)
            fold_bars(*columns, start, self._end, self._lengths, self._forming, self._starts, self._prices)


def windows_of(settings: Settings) -> dict[int, int]:
    """Returns the windows that the agents of a run see; none in hft mode, which has no agents."""
    return {} if settings.trading.mode == "hft" else bar_windows(settings.tools.bars)


def bar_windows(wanted: Mapping[str, int]) -> dict[int, int]:
    """Returns the number of bars by their length in nanoseconds, shortest first.

    Raises Misconfigured for a length that is no multiple of a second up to weeks, and for too few or too many bars.
    """
    windows: dict[int, int] = {}
    for every, count in wanted.items():
        written = one_line(every, _WRITTEN_CHARS)
        if not (length_ns := _length_ns(every)):
            raise Misconfigured(f"tools.bars {written}: write a length of time, such as 5m, 1h or 1d")
        if not 1 <= count <= MOST_BARS:
            raise Misconfigured(f"tools.bars {written}: show 1 to {MOST_BARS} bars, not {count}")
        windows[length_ns] = count
    return dict(sorted(windows.items()))


def _length_ns(every: str) -> int:
    """Returns the length of bars in nanoseconds; 0 for what is none."""
    try:
        return BarSpec.of(every).length_ns
    except Misconfigured:
        return 0

"""The last valid quotes of each lane, over any number of batches of rows."""

import numpy as np

from autohedge.core.snapshots import QuoteRow
from autohedge.kernels.matching import fold_recent, last_valid
from autohedge.market.rows import Rows

_NEAR_ROWS = 64  # a lane that has just had a quote is found here without a fold


class RecentQuotes:
    """One ring of the last valid quotes per lane; each row is folded into it at most once, and late.

    How rows are cut into batches makes no difference.
    """

    def __init__(self, lanes: int, depth: int) -> None:
        self._depth = depth
        self._counts = np.zeros(lanes, np.int64)
        self._times = np.zeros((lanes, depth), np.int64)
        self._prices = np.zeros((lanes, depth, 4), np.float64)
        self._found = np.zeros((lanes, depth), np.int64)
        self._ring = self._ring_rows()
        self._rows: Rows | None = None
        self._start = self._end = 0  # of the rows that are not folded yet

    def _ring_rows(self) -> Rows:
        """The slots of all rings as rows, lane by lane; they share memory with the rings."""
        lanes, depth = self._times.shape
        lane = np.repeat(np.arange(lanes, dtype=np.int32), depth)
        bid, bid_size, ask, ask_size = self._prices.reshape(-1, 4).T
        return Rows(self._times.reshape(-1), lane, bid, ask, bid_size, ask_size)

    def extend(self, rows: Rows, start: int, end: int) -> None:
        """Takes note of rows `start` to `end` of a batch."""
        if rows is not self._rows or start != self._end:
            self.fold()
            self._rows, self._start = rows, start
        self._end = end

    def latest(self, lane: int) -> tuple[Rows, int] | None:
        """Returns where the last valid quote of a lane is, until more rows come; None before the first."""
        rows, start, end = self._rows, self._start, self._end
        if rows is not None and start < end:
            row = end - 1  # most often asked about, and read faster than a kernel is called
            valid = rows.lane.item(row) == lane and 0.0 < rows.bid.item(row) <= rows.ask.item(row) < np.inf
            if not valid:
                first = max(start, end - _NEAR_ROWS)
                row = last_valid(rows.lane, rows.bid, rows.ask, first, end, lane)
            if row >= 0:
                return rows, row
            self.fold()
        count = self._counts.item(lane)
        return (self._ring, self._slot(lane, count - 1)) if count else None

    def recent(self, lane: int) -> tuple[QuoteRow, ...]:
        """Returns the last valid quotes of a lane, at most as many as a ring holds, oldest first."""
        self.fold()
        count, depth = self._counts.item(lane), self._depth
        slots = zip(self._times[lane].tolist(), self._prices[lane].tolist(), strict=True)
        quotes = [QuoteRow(ts_ns, *prices) for ts_ns, prices in slots]
        oldest = count % depth
        return tuple(quotes[:count] if count <= depth else quotes[oldest:] + quotes[:oldest])

    def fold(self) -> None:
        """Adds the rows that are not folded yet to the rings."""
        rows, start, self._start = self._rows, self._start, self._end
        if rows is not None and start < self._end:
            columns = (rows.lane, rows.ts, rows.bid, rows.ask, rows.bid_size, rows.ask_size)
            rings = (self._counts, self._times, self._prices, self._found)
            fold_recent(*columns, start, self._end, *rings)

    def _slot(self, lane: int, number: int) -> int:
        return lane * self._depth + number % self._depth

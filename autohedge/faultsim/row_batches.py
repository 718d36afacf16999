"""The batches in which the rows of a history are written while the process trades them."""

import numpy as np

from autohedge.core.ids import seeded_random
from autohedge.market.cursor import MarketCursor
from autohedge.market.growing_rows import GrowingRows
from autohedge.market.rows import Rows

LARGEST_BATCH = 250
SPLIT_SHARE = 0.3  # of the batches end between two rows of one time


class RowBatches:
    """The rows of one history, and how many of them have been written; `market` is what process and venue read.

    With `growing`, only written rows are there for them; without it all rows are, as on a tape. The batches are
    the same in both cases. They end at any row, also between rows of the same time. If `rows` are the first of a
    `whole` tape, the batches are those of that tape, and the last one ends with `rows`.
    """

    def __init__(self, rows: Rows, nonce: str, *, growing: bool, whole: Rows | None = None) -> None:
        self._rows = rows
        self._draw = seeded_random(nonce, "batches")
        # A batch may end at a repeat far ahead, so those after the cut of a short tape count as well.
        times = (rows if whole is None else whole).ts
        self._repeats = np.flatnonzero(times[1:] == times[:-1]) + 1  # rows of the time of the one before
        self._growing = GrowingRows(len(rows), mixed=rows.kinds is not None) if growing else None
        self.market: MarketCursor = self._growing or rows
        self.written = 0

    @property
    def last_ns(self) -> int:
        """The time of the last row that was written; 0 before the first."""
        return self._rows.next_ts(self.written - 1) if self.written else 0

    def reach(self, ns: int) -> bool:
        """Whether a row later than a time was written, or all were, so that all until then can be done."""
        return self.written == len(self._rows) or self.last_ns > ns

    def write_until(self, ns: int) -> None:
        """Writes batches until they reach a time."""
        while not self.reach(ns):
            self.write()

    def write(self) -> None:
        """Writes the next batch, which the process sees once it refreshes its market."""
        start = self.written
        self.written = self._next_end()
        if self._growing:
            self._growing.append(_part(self._rows, start, self.written))
            if self.written == len(self._rows):
                self._growing.close()

    def _next_end(self) -> int:
        # Most batches are small, as those of a live feed are.
        end = self.written + int(LARGEST_BATCH ** self._draw.random())
        if self._draw.random() < SPLIT_SHARE:
            later = self._repeats[self._repeats.searchsorted(end) :]
            if len(later) and later[0] <= self.written + LARGEST_BATCH:
                end = later.item(0)
        return min(end, len(self._rows))


def _part(rows: Rows, start: int, end: int) -> Rows:
    part = slice(start, end)
    return rows.window(part, None if rows.row is None else rows.row[part])

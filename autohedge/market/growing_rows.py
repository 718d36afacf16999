"""A market in memory to which rows are appended while it is traded."""

from typing import Any

import numpy as np

from autohedge.core.errors import Misconfigured
from autohedge.market.columns import dtype_of
from autohedge.market.rows import ROW_COLUMNS, Rows

_LEAST_ROOM = 1_024


class GrowingRows:
    """The rows that have been appended so far: a `MarketCursor` without files.

    As with a live store, a reader sees new rows from its next `refresh` on. `room` is the number of rows that fit
    without a copy of those that are there.
    """

    def __init__(self, room: int = _LEAST_ROOM) -> None:
        self._columns = _empty_columns(max(room, 1))
        self._room, self._count, self._closing = max(room, 1), 0, False
        self.rows, self.closed = self._first(0), False

    def append(self, rows: Rows) -> None:
        """Adds rows. Raises Misconfigured if they go back in time, or if the market is closed."""
        start, end = self._count, self._count + len(rows)
        if end == start:
            return
        if self._closing:
            raise Misconfigured("rows: the market is closed; append them before `close`")
        times = rows.ts
        if (start and times[0] < self._columns["ts"][start - 1]) or (times[1:] < times[:-1]).any():
            raise Misconfigured("rows: go back in time; append them in their order")
        if end > self._room:
            self._make_room(end)
        for name, column in self._columns.items():
            column[start:end] = getattr(rows, name)
        self._count = end

    def close(self) -> None:
        """Says that no more rows will come."""
        self._closing = True

    def refresh(self) -> None:
        """Takes in the rows that have been appended since the last call."""
        if self._count > len(self.rows):
            self.rows = self._first(self._count)
        self.closed = self._closing

    def block_hash(self, start: int, end: int) -> str:
        """Returns the hash of the rows from `start` to before `end`."""
        return self.rows.block_hash(start, end)

    def _make_room(self, count: int) -> None:
        kept, self._room = self._columns, max(count, 2 * self._room)
        self._columns = _empty_columns(self._room)
        for name, column in self._columns.items():
            column[: self._count] = kept[name][: self._count]

    def _first(self, count: int) -> Rows:
        columns: dict[str, Any] = {name: column[:count] for name, column in self._columns.items()}
        for column in columns.values():
            column.flags.writeable = False
        return Rows(**columns)


def _empty_columns(room: int) -> dict[str, Any]:
    return {name: np.zeros(room, dtype_of(name)) for name in ROW_COLUMNS}

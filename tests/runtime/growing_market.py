"""A market in memory whose rows come bit by bit."""

from dataclasses import replace
from typing import Any

from autohedge.market import Rows

COLUMNS = ("ts", "lane", "bid", "ask", "bid_size", "ask_size")


class GrowingMarket:
    """The rows of a tape, of which only the first have come; `refresh` shows those that `grow` has added."""

    def __init__(self, rows: Rows, count: int = 0) -> None:
        self._all, self._count = rows, count
        self.rows, self.closed, self._closing = _first(rows, count), False, False

    def grow(self, count: int) -> None:
        """Adds rows."""
        self._count = min(self._count + count, len(self._all))

    def close(self) -> None:
        """Adds all rows that are left, and closes."""
        self._count, self._closing = len(self._all), True

    def refresh(self) -> None:
        """Takes in the rows that have been added."""
        if self._count > len(self.rows):
            self.rows = _first(self._all, self._count)
        self.closed = self._closing

    def block_hash(self, start: int, end: int) -> str:
        """Returns the hash of rows."""
        return self.rows.block_hash(start, end)


def _first(rows: Rows, count: int) -> Rows:
    # Copies: a reader that looked beyond the rows that have come would not see those of the tape.
    columns: dict[str, Any] = {name: getattr(rows, name)[:count].copy() for name in COLUMNS}
    for column in columns.values():
        column.flags.writeable = False
    return replace(rows, row=None, **columns)

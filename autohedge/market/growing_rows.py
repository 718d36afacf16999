"""A market in memory to which rows are appended while it is traded."""

from typing import Any

from autohedge.core.errors import Misconfigured
from autohedge.market.growing_columns import GrowingColumns
from autohedge.market.rows import ROW_COLUMNS, RowKinds, Rows

_LEAST_ROOM = 1_024
_MIXED_COLUMNS = (*ROW_COLUMNS, *RowKinds._fields, "row")


class GrowingRows:
    """The rows that have been appended so far: a `MarketCursor` without files.

    As with a live store, a reader sees new rows from its next `refresh` on. `room` is the number of rows that fit
    without a copy of those that are there. With `mixed`, the rows have numbers and `RowKinds`.
    """

    def __init__(self, room: int = _LEAST_ROOM, *, mixed: bool = False) -> None:
        names = _MIXED_COLUMNS if mixed else ROW_COLUMNS
        self._columns, self._closing = GrowingColumns(names, room), False
        self.rows, self.closed = self._appended(), False

    def append(self, rows: Rows) -> None:
        """Adds rows. Raises Misconfigured if they go back in time, or if the market is closed."""
        if not len(rows):
            return
        if self._closing:
            raise Misconfigured("rows: the market is closed; append them before `close`")
        times, before = rows.ts, self._columns["ts"]
        if (len(before) and times[0] < before[-1]) or (times[1:] < times[:-1]).any():
            raise Misconfigured("rows: go back in time; append them in their order")
        given: dict[str, Any] = {**rows.columns(), "row": rows.row}
        self._columns.append({name: given[name] for name in self._columns})

    def close(self) -> None:
        """Says that no more rows will come."""
        self._closing = True

    def refresh(self) -> None:
        """Takes in the rows that have been appended since the last call."""
        if self._columns.count > len(self.rows):
            self.rows = self._appended()
        self.closed = self._closing

    def block_hash(self, start: int, end: int) -> str:
        """Returns the hash of the rows from `start` to before `end`."""
        return self.rows.block_hash(start, end)

    def named_difference(self, start: int, end: int, recorded: str) -> str:  # noqa: ARG002
        """Returns an empty text: the rows that the hash covers have no other name than their numbers."""
        return ""

    def _appended(self) -> Rows:
        columns: dict[str, Any] = dict(self._columns)
        if "source" in columns:
            columns["kinds"] = RowKinds(*(columns.pop(name) for name in RowKinds._fields))
        return Rows(**columns)

"""Columns in memory to which rows are appended, without a copy of those that are there."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from autohedge.market.columns import Column, Columns, dtype_of

_LEAST_ROOM = 1_024


class GrowingColumns(Mapping[str, Column]):
    """Columns of equal length by name: those of the rows that have been appended, read-only.

    Columns that were taken out before keep their length and their content.
    """

    def __init__(self, names: tuple[str, ...], room: int = _LEAST_ROOM) -> None:
        self._room, self.count = max(room, 1), 0
        self._whole = {name: np.zeros(self._room, dtype_of(name)) for name in names}
        self._shown: dict[str, Column] = {}
        self._show()

    def append(self, columns: Columns) -> None:
        """Appends rows; all columns must be given."""
        added = len(next(iter(columns.values())))
        if not added:
            return
        end = self.count + added
        if end > self._room:
            self._make_room(end)
        for name, column in self._whole.items():
            column[self.count : end] = columns[name]
        self.count = end
        self._show()

    def __getitem__(self, name: str) -> Column:
        return self._shown[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._shown)

    def __len__(self) -> int:
        return len(self._shown)

    def _make_room(self, count: int) -> None:
        kept, self._room = self._whole, max(count, 2 * self._room)
        self._whole = {name: np.zeros(self._room, column.dtype) for name, column in kept.items()}
        for name, column in self._whole.items():
            column[: self.count] = kept[name][: self.count]

    def _show(self) -> None:
        columns: dict[str, Any] = {name: column[: self.count] for name, column in self._whole.items()}
        for column in columns.values():
            column.flags.writeable = False
        self._shown = columns

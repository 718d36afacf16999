"""The streams of a live store, whose columns grow as its rows come."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autohedge.market.book_messages import BookMessages
from autohedge.market.columns import Column
from autohedge.market.growing_columns import GrowingColumns
from autohedge.market.live_store import LiveStore
from autohedge.market.rows import ROW_COLUMNS
from autohedge.market.store_files import LEVELS
from autohedge.market.stream import COLUMNS, Kind, Origin, Stream


class ArrivedNumbers:
    """The numbers that the rows of one stream have among all rows of a store, as far as they have come."""

    def __init__(self, store: LiveStore, number: int) -> None:
        self._store, self._number, self._seen = store, number, 0
        self._found = GrowingColumns(("row",))

    @property
    def now(self) -> NDArray[np.int64]:
        """The numbers of the rows that have come."""
        order = self._store.order
        added = np.flatnonzero(order[self._seen :] == self._number) + self._seen
        self._seen = len(order)
        self._found.append({"row": added})
        return self._found["row"]


class LaneColumns(Mapping[str, Column]):
    """The columns of one symbol's quotes in a store, as far as its rows have come."""

    def __init__(self, store: LiveStore, lane: int) -> None:
        self._store, self._lane = store, lane
        self._numbers = ArrivedNumbers(store, lane)

    @property
    def arrivals(self) -> NDArray[np.int64]:
        """How many rows of all streams the store had before each row."""
        return self._numbers.now

    def __getitem__(self, name: str) -> Column:
        if name == "lane" or name not in ROW_COLUMNS:
            raise KeyError(name)
        rows = self._store.rows
        column: Column = getattr(rows, name)
        if self._store.manifest.quotes == 1:
            return column
        column = column[rows.lane == self._lane]
        column.flags.writeable = False
        return column

    def __iter__(self) -> Iterator[str]:
        return (name for name in ROW_COLUMNS if name != "lane")

    def __len__(self) -> int:
        return len(ROW_COLUMNS) - 1


class TableColumns(Mapping[str, Column]):
    """The columns of a stream that is no quotes, as far as its rows have come; a book has its `messages`."""

    def __init__(self, store: LiveStore, number: int, messages: "StoreMessages | None") -> None:
        self._store, self._table, self._messages = store, store.tables.streams[number], messages
        self._numbers = ArrivedNumbers(store, number)

    @property
    def arrivals(self) -> NDArray[np.int64]:
        """How many rows of all streams the store had before each row."""
        return self._numbers.now

    def __getitem__(self, name: str) -> Column:
        if self._messages:
            return self._messages.now.table()[name]
        return self._store.columns(self._table)[name]

    def __iter__(self) -> Iterator[str]:
        return iter(COLUMNS[Kind.BOOK] if self._messages else self._table.files)

    def __len__(self) -> int:
        return len(self._table.files)


class StoreMessages:
    """The messages of a book in a store, as far as they have come."""

    def __init__(self, store: LiveStore, number: int) -> None:
        self._store, self._number = store, number
        self._table, self._levels = store.tables.streams[number], store.tables.levels[number]
        self._starts = GrowingColumns(("start",))
        self._starts.append({"start": np.zeros(1, np.int64)})
        self._now: BookMessages | None = None

    @property
    def now(self) -> BookMessages:
        """The messages that have come."""
        if self._now is None or len(self._now) != len(self):
            self._now = self._read()
        return self._now

    def __len__(self) -> int:
        return self._store.held(self._table)

    def __bool__(self) -> bool:
        return True

    def first(self, count: int) -> BookMessages:
        """Returns the first messages."""
        return self.now.first(count)

    def _read(self) -> BookMessages:
        stream = self._store.manifest.streams[self._number]
        table: dict[str, Any] = dict(self._store.columns(self._table))
        self._starts.append({"start": table.pop("end")[self._starts.count - 1 :]})
        levels = self._store.columns(self._levels)
        return BookMessages(
            str(self._store.folder),
            stream.tick,
            stream.sequenced,
            **{name: levels[name] for name in LEVELS},
            start=self._starts["start"],
            **table,
        )


def stream_of(store: LiveStore, number: int, origin: Origin) -> Stream:
    """Returns a stream of a store."""
    if origin.kind is Kind.QUOTES:
        return Stream(origin.kind, origin.symbol, LaneColumns(store, number), origin)
    messages = StoreMessages(store, number) if origin.kind is Kind.BOOK else None
    return Stream(origin.kind, origin.symbol, TableColumns(store, number, messages), origin, messages)

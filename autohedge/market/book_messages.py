"""The messages of an order book: rows as columns, and a table of messages over them."""

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from autohedge.market.columns import Column


class Messages(Protocol):
    """The messages of a book: those of a file, or those of a live store, which get more."""

    @property
    def now(self) -> "BookMessages":
        """The messages that have come."""
        ...

    def __len__(self) -> int: ...

    def first(self, count: int) -> "BookMessages":
        """Returns the first messages."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class BookMessages:
    """The messages of one book, in file order.

    A row has `side` (int8: 1 bid, -1 ask, 0 neither), `price` and `size` (float64, NaN if missing). Message m
    has the rows from `start[m]` to before `start[m + 1]`; `ts` is the time of its last row, when it was complete.
    `first_seq`, `last_seq` and `prev_seq` are NO_SEQ where there is no number.
    """

    subject: str
    tick: float
    sequenced: bool
    side: NDArray[np.int8]
    price: NDArray[np.float64]
    size: NDArray[np.float64]
    start: NDArray[np.int64]
    ts: NDArray[np.int64]
    is_snapshot: NDArray[np.int8]
    first_seq: NDArray[np.int64]
    last_seq: NDArray[np.int64]
    prev_seq: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ts)

    @property
    def now(self) -> "BookMessages":
        """These messages: all have come."""
        return self

    def table(self) -> dict[str, Column]:
        """Returns the columns of a stream: a row per message."""
        names = ("is_snapshot", "first_seq", "last_seq", "prev_seq")
        return {"ts": self.ts, "start": self.start[:-1], **{name: getattr(self, name) for name in names}}

    def levels(self) -> dict[str, Column]:
        """Returns the columns of the levels."""
        return {"side": self.side, "price": self.price, "size": self.size}

    def first(self, count: int) -> "BookMessages":
        """Returns the first messages; the columns are views."""
        table: dict[str, Any] = {name: each[:count] for name, each in self.table().items() if name != "start"}
        return replace(self, start=self.start[: count + 1], **table)

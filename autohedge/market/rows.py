"""The market rows that a run takes, as columns of equal length in the order in which they became known."""

from dataclasses import dataclass, field
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autohedge.core.clock import NEVER
from autohedge.core.errors import Misconfigured
from autohedge.core.snapshots import QuoteRow
from autohedge.market.column_file import hash_rows
from autohedge.market.columns import Column, frozen, optional, require_ordered, sized

ROW_COLUMNS = ("ts", "lane", "bid", "ask", "bid_size", "ask_size")


class RowKinds(NamedTuple):
    """What the rows of a market are that has more than prices.

    `source` (int32) is the position of the row's stream in the tape, `priced` (bool) whether it has prices, and
    `close` (float64) the close of a bar that the strategy reads, else NaN. A row without prices is NaN at bid and
    ask.
    """

    source: NDArray[np.int32]
    priced: NDArray[np.bool_]
    close: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The merged market rows that the compiled kernels scan; those of a tape are a `MarketCursor` too.

    The arrays are contiguous, read-only and of equal length. `ts` (int64) is the receive time in nanoseconds,
    for a bar its end; `lane` (int32) is the position of the row's instrument in the tape; the others are float64.
    `row` (int64) is the row's number within its stream, or None if the rows are those of one stream and the
    position itself is that number. `kinds` is None if every row has prices and the strategy reads every row.
    """

    ts: NDArray[np.int64]
    lane: NDArray[np.int32]
    bid: NDArray[np.float64]
    ask: NDArray[np.float64]
    bid_size: NDArray[np.float64]
    ask_size: NDArray[np.float64]
    row: NDArray[np.int64] | None = None
    kinds: RowKinds | None = None
    # A tape is often traded many times in one process, and its hashes take a tenth of such a run.
    _hashes: dict[tuple[int, int], str] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of(
        cls,
        ts: ArrayLike,
        bid: ArrayLike,
        ask: ArrayLike,
        lane: ArrayLike | None = None,
        sizes: tuple[ArrayLike | None, ArrayLike | None] = (None, None),
        *,
        lanes: int = 1,
    ) -> Self:
        """Returns rows from arrays in memory; `lanes` is the number of instruments that `lane` may refer to.

        `sizes` are those at bid and ask.

        Raises Misconfigured if lengths differ, time decreases or a lane is out of range.
        """
        times = frozen(ts, np.int64)
        rows = len(times)
        require_ordered(times, "rows")
        numbers = optional(lane, rows, np.int32, "lane")
        _require_lanes(numbers, lanes)
        return cls(
            ts=times,
            lane=numbers,
            bid=sized(bid, rows, "bid"),
            ask=sized(ask, rows, "ask"),
            bid_size=optional(sizes[0], rows, np.float64, "bid_size"),
            ask_size=optional(sizes[1], rows, np.float64, "ask_size"),
        )

    def __len__(self) -> int:
        return len(self.ts)

    def columns(self) -> dict[str, Column]:
        """Returns all columns but the row numbers, by name."""
        columns = {name: getattr(self, name) for name in ROW_COLUMNS}
        return columns if self.kinds is None else {**columns, **self.kinds._asdict()}

    def window(self, part: slice, row: NDArray[np.int64] | None) -> "Rows":
        """Returns a part of the rows, with other row numbers."""
        kinds = self.kinds and RowKinds(*[column[part] for column in self.kinds])  # type: ignore[arg-type]
        return Rows(**{name: getattr(self, name)[part] for name in ROW_COLUMNS}, row=row, kinds=kinds)

    def is_priced(self, row: int) -> bool:
        """Returns whether a row has prices, good ones or bad ones."""
        return self.kinds is None or bool(self.kinds.priced[row])

    def next_ts(self, pos: int) -> int:
        """Returns the time of row `pos`; NEVER if there is none."""
        return self.ts.item(pos) if pos < len(self.ts) else NEVER

    def end_until(self, ns: int) -> int:
        """Returns the position after the last row with a time of at most `ns`."""
        return int(self.ts.searchsorted(ns, side="right"))

    def quote(self, row: int) -> QuoteRow:
        """Returns a row as plain numbers."""
        return QuoteRow(
            self.ts.item(row),
            self.bid.item(row),
            self.bid_size.item(row),
            self.ask.item(row),
            self.ask_size.item(row),
        )

    # The rows of a finished tape are their own cursor: all have come.

    @property
    def rows(self) -> Self:
        """These rows."""
        return self

    @property
    def closed(self) -> bool:
        """True: no more rows will come."""
        return True

    def block_hash(self, start: int, end: int) -> str:
        """Returns the hash of the rows from `start` to before `end`, whatever other rows there are."""
        if (start, end) not in self._hashes:
            self._hashes[start, end] = hash_rows(
                {name: column[start:end] for name, column in self.columns().items()}
            )
        return self._hashes[start, end]

    def named_difference(self, start: int, end: int, recorded: str) -> str:  # noqa: ARG002
        """Returns an empty text: the rows that the hash covers have no other name than their numbers."""
        return ""

    def refresh(self) -> None:
        """Does nothing: no more rows will come."""


def _require_lanes(lane: NDArray[np.int32], lanes: int) -> None:
    if len(lane) and not 0 <= int(lane.min()) <= int(lane.max()) < lanes:
        raise Misconfigured(f"lane: outside 0..{lanes - 1}; pass lanes= as many as there are")

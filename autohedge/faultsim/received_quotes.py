"""The valid quotes that the process received: those of the tape without what came while no process ran."""

from bisect import bisect_left
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from autohedge.market.rows import Rows


class ReceivedQuote(NamedTuple):
    """A valid quote, and its row on the tape."""

    row: int
    ts_ns: int
    bid: float
    ask: float


class ReceivedQuotes:
    """The valid quotes of each symbol, for one record at a time."""

    def __init__(self, rows: Rows, symbols: tuple[str, ...]) -> None:
        self._ts: list[int] = rows.ts.tolist()
        priced = np.ones(len(rows), bool) if rows.kinds is None else rows.kinds.priced
        self._priced: list[int] = [0, *np.cumsum(priced).tolist()]  # the rows with prices before each row
        self._last_priced: list[int] = np.maximum.accumulate(
            np.where(priced, np.arange(len(rows)), -1)
        ).tolist()
        # NaN fails every comparison, so a quote without a side is not valid either.
        valid = (rows.bid > 0.0) & (rows.ask >= rows.bid) & (rows.ask < np.inf)
        self._quotes: dict[str, list[ReceivedQuote]] = {}
        self._rows: dict[str, list[int]] = {}
        for lane, symbol in enumerate(symbols):
            (at,) = np.nonzero(valid & (rows.lane == lane))
            columns = (at, rows.ts[at], rows.bid[at], rows.ask[at])
            self._rows[symbol] = at.tolist()
            self._quotes[symbol] = [
                ReceivedQuote(*each) for each in zip(*(c.tolist() for c in columns), strict=True)
            ]
        self._missed: list[tuple[int, int]] = []

    def reset(self) -> None:
        """Forgets which rows were missed, before a record is applied from its beginning."""
        self._missed.clear()

    def skip(self, start: int, end: int) -> None:
        """Notes that the rows from `start` to `end` came while no process ran."""
        if end > start:
            self._missed.append((start, end))

    def priced(self, pos: int) -> int:
        """The number of rows with prices, good or bad, that were received before row `pos`."""
        return self._priced[pos] - sum(self._priced[end] - self._priced[start] for start, end in self._missed)

    def last_priced_ns(self, pos: int) -> int:
        """The time of the last row with prices, good or bad, that was received before row `pos`; 0 for none."""
        row = self._last_priced[pos - 1] if pos else -1
        while row >= 0 and self.was_missed(row):
            row = self._last_priced[row - 1] if row else -1
        return self._ts[row] if row >= 0 else 0

    def row_ns(self, row: int) -> int:
        """The time of a row; 0 before the first, and for a row that was missed."""
        return 0 if row < 0 or self.was_missed(row) else self._ts[row]

    def last(self, symbol: str, pos: int) -> ReceivedQuote | None:
        """The last valid quote that came before row `pos`."""
        at = bisect_left(self._rows[symbol], pos) - 1
        while at >= 0 and self.was_missed(self._rows[symbol][at]):
            at -= 1
        return self._quotes[symbol][at] if at >= 0 else None

    def between(self, symbol: str, start: int, end: int) -> Iterator[ReceivedQuote]:
        """The valid quotes in the rows from `start` to `end`."""
        rows = self._rows[symbol]
        for quote in self._quotes[symbol][bisect_left(rows, start) : bisect_left(rows, end)]:
            if not self.was_missed(quote.row):
                yield quote

    def count(self, symbol: str, start: int, end: int) -> int:
        """The number of valid quotes in the rows from `start` to `end`."""
        rows = self._rows[symbol]
        total = bisect_left(rows, end) - bisect_left(rows, start)
        for begin, stop in self._missed:
            first, last = max(begin, start), min(stop, end)
            total -= max(bisect_left(rows, last) - bisect_left(rows, first), 0) if last > first else 0
        return total

    def was_missed(self, row: int) -> bool:
        """Whether a row came while no process ran."""
        return any(start <= row < end for start, end in self._missed)

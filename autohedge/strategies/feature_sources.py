"""Reads the figures that features are made of, bar after bar: of bars, indicators, quotes and a book."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from autohedge.kernels.book_codes import ASK, BID
from autohedge.market.bar_series import BarSeries, bar_series, used_bars
from autohedge.market.books import OrderBook
from autohedge.market.rows_before import rows_before
from autohedge.market.stream import Kind, Stream
from autohedge.strategies.feature_table import (
    INTERVAL,
    BarField,
    BestPrice,
    BookFigure,
    Figure,
    IndicatorColumn,
)
from autohedge.strategies.indicators import IndicatorSpec, Values

Counts = NDArray[np.int64]
Found = dict[Figure, Values]
Compute = Callable[[Sequence[IndicatorSpec], BarSeries], Sequence[dict[str, Values]]]
"""Returns the columns of each indicator over the bars that follow those of the last call."""

_BOOK_FIGURES: dict[str, Callable[[OrderBook, int], float]] = {
    "bid_depth": lambda book, levels: book.depth(BID, levels),
    "ask_depth": lambda book, levels: book.depth(ASK, levels),
    "imbalance": OrderBook.imbalance,
    "weighted_imbalance": OrderBook.weighted_imbalance,
    "microprice": lambda book, _: book.microprice,
}
_TOUCH = ("bid", "bid_size", "ask", "ask_size")


class FigureReader:
    """Reads figures of the bars of a stream from block to block, in their order.

    Of quotes and the book it reads what was known before the end of a bar.
    """

    def __init__(self, figures: Iterable[Figure], bars: Stream, streams: Sequence[Stream]) -> None:
        """`streams` are those of the symbol of the bars."""
        wanted = tuple(dict.fromkeys(figures))
        self._bars = bars
        self._fields = _FieldReader([each for each in wanted if isinstance(each, BarField)], bars)
        self._columns = [each for each in wanted if isinstance(each, IndicatorColumn)]
        self.specs = tuple({each.spec.text: each.spec for each in self._columns}.values())
        self._readers, self._missing = _market_readers(wanted, streams)

    def read(self, rows: slice, compute: Compute) -> Found:
        """Returns the figures of the bars among some rows that a strategy reads."""
        used = used_bars(self._bars, rows)
        series = bar_series(self._bars, rows.start, rows.stop)
        found = self._fields.read(series, rows, used) | self._indicators(series, compute)
        for reader in self._readers:
            found |= reader.read(rows_before(reader.stream, self._bars, rows)[used])
        return found | dict.fromkeys(self._missing, np.full(len(series.close), np.nan))

    def _indicators(self, series: BarSeries, compute: Compute) -> Found:
        if not self.specs:
            return {}
        columns = dict(zip(self.specs, compute(self.specs, series), strict=True))
        return {each: columns[each.spec][each.column] for each in self._columns}


class _FieldReader:
    """Reads fields of bars, and those of earlier bars."""

    def __init__(self, fields: Sequence[BarField], bars: Stream) -> None:
        self._ago: dict[str, list[int]] = {}
        for field in fields:
            self._ago.setdefault(field.name, []).append(field.ago)
        self._before = {name: np.full(max(ago), np.nan) for name, ago in self._ago.items()}
        self._bars = bars

    def read(self, series: BarSeries, rows: slice, used: NDArray[np.bool_]) -> Found:
        found: Found = {}
        for name, all_ago in self._ago.items():
            before = self._before[name]
            joined = np.concatenate([before, self._values(name, series, rows, used)])
            for ago in all_ago:
                found[BarField(name, ago)] = joined[len(before) - ago : len(joined) - ago]
            self._before[name] = joined[len(joined) - len(before) :]
        return found

    def _values(self, name: str, series: BarSeries, rows: slice, used: NDArray[np.bool_]) -> Values:
        if name in BarSeries._fields:  # there a volume that is not known is NaN
            column: Values = getattr(series, name)
            return column
        count = int(np.count_nonzero(used))
        if name == INTERVAL:
            return np.full(count, float(self._bars.origin.interval_ns))
        whole = self._bars.columns.get(name)
        return np.full(count, np.nan) if whole is None else whole[rows][used]


class _QuoteReader:
    """Reads the last valid quote before each bar."""

    def __init__(self, prices: Sequence[BestPrice], stream: Stream) -> None:
        self.stream = stream
        self._prices = prices
        self._seen, self._newest = 0, -1

    def read(self, counts: Counts) -> Found:
        """Returns the figures after the first quotes, as many as each count says; counts never decrease."""
        if not len(counts):
            return {each: np.empty(0) for each in self._prices}
        numbers = self._last_valid(int(counts[-1]))[counts - self._seen]
        self._seen, self._newest = int(counts[-1]), int(numbers[-1])
        there = numbers >= 0
        found: Found = {}
        for each in self._prices:
            values = np.full(len(counts), np.nan)
            values[there] = self.stream.columns[each.name][numbers[there]]
            if each.name.endswith("_size"):
                values[values <= 0.0] = np.nan  # the source has no sizes
            found[each] = values
        return found

    def _last_valid(self, stop: int) -> Counts:
        """Returns the number of the last valid quote: before the new ones, and after each of them; -1 for none."""
        new = slice(self._seen, stop)
        bid, ask = (self.stream.columns[name][new] for name in ("bid", "ask"))
        numbers = np.arange(self._seen - 1, stop)
        numbers[0] = self._newest
        numbers[1:][~((bid > 0.0) & (ask >= bid) & (ask < np.inf))] = -1
        newest: Counts = np.maximum.accumulate(numbers)
        return newest


class _BookReader:
    """Reads the book before each bar; all figures are NaN unless it is valid."""

    def __init__(self, figures: Sequence[BestPrice | BookFigure], stream: Stream) -> None:
        assert stream.messages is not None
        self.stream = stream
        self._figures = figures
        now = stream.messages.now
        self._messages, self._book = stream.messages, OrderBook(now.tick, sequenced=now.sequenced)
        self._book.load_kernels(now)

    def read(self, counts: Counts) -> Found:
        """Returns the figures after the first messages of the stream, as many as each count says."""
        values = np.full((len(self._figures), len(counts)), np.nan)
        now, first = self._messages.now, self.stream.first_message
        for at, count in enumerate((counts + first).tolist()):
            self._book.run(now, count)
            if count and self._book.has_figures:
                values[:, at] = [self._figure(each) for each in self._figures]
        return dict(zip(self._figures, values, strict=True))

    def _figure(self, figure: BestPrice | BookFigure) -> float:
        if isinstance(figure, BestPrice):
            return self._book.touch[_TOUCH.index(figure.name)]
        return _BOOK_FIGURES[figure.name](self._book, figure.levels)


def _market_readers(
    figures: Iterable[Figure], streams: Sequence[Stream]
) -> tuple[list[_QuoteReader | _BookReader], list[Figure]]:
    """Returns the readers of figures of quotes and of a book, and the figures for which the stream is missing."""
    best = [each for each in figures if isinstance(each, BestPrice)]
    of_book: list[BestPrice | BookFigure] = [each for each in figures if isinstance(each, BookFigure)]
    recorded = {stream.kind: stream for stream in streams if stream.origin.derived is None}
    readers: list[_QuoteReader | _BookReader] = []
    if best and Kind.QUOTES in recorded:
        readers.append(_QuoteReader(best, recorded[Kind.QUOTES]))
    else:
        of_book += best
    if not of_book or Kind.BOOK not in recorded:
        return readers, list(of_book)
    return [*readers, _BookReader(of_book, recorded[Kind.BOOK])], []

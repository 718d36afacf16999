"""Streams that are made of the rows of a live store as they come: quotes of a book's best prices, and bars."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autohedge.config.sections import BarsSettings
from autohedge.core.clock import NEVER
from autohedge.core.errors import Corrupt
from autohedge.core.units import NS_PER_MS
from autohedge.kernels.bars import UNKNOWN
from autohedge.market.bar_aggregator import BarAggregator, BarSource
from autohedge.market.books import OrderBook
from autohedge.market.columns import Column, Columns
from autohedge.market.derived import BAR_SUMS, BAR_VALUES, spec_of
from autohedge.market.growing_columns import GrowingColumns
from autohedge.market.stream import COLUMNS, START, Kind, Origin, Stream

Positions = NDArray[np.int64]
BEFORE_NS = -(1 << 62)
"""A time before all rows."""


@dataclass(frozen=True, slots=True, eq=False)
class ArrivedRows:
    """Rows of one stream that a store has got, or that were made of them.

    `at` is the number of each row in the store; a made row comes before or after that one by its `side`, -1 or 1.
    `known` is when the row became known, and `first` its number within the stream. With `of_row` a made row holds the
    row that it comes before.
    """

    columns: Columns
    at: Positions
    known: Positions
    first: int
    side: int = 0
    of_row: bool = False

    def __len__(self) -> int:
        return len(self.at)


class BestQuotes(GrowingColumns):
    """The columns of the quotes of a book's best prices, one for each message."""

    def __init__(self, book: Stream) -> None:
        super().__init__(COLUMNS[Kind.QUOTES])
        assert book.messages is not None
        messages = book.messages.now
        self._messages = book.messages
        self._book = OrderBook(messages.tick, sequenced=messages.sequenced)

    def make(self, messages: ArrivedRows) -> ArrivedRows:
        """Returns the best prices after messages that have come, each right before its message.

        So a strategy that reads the message is filled at the prices that it sees.
        """
        first, count = self.count, self.count + len(messages)
        touch = self._book.touches(self._messages.first(count))
        values = {name: touch[:, at] for at, name in enumerate(COLUMNS[Kind.QUOTES][1:])}
        columns = {"ts": messages.columns["ts"], **values}
        self.append(columns)
        return ArrivedRows(columns, messages.at, messages.known, first, -1, of_row=True)


class MadeBars(GrowingColumns):
    """The columns of the bars that are made of the rows of a stream.

    A bar of time is finished when the clock is `delay_ns` past its end. Until then a row that is older than the
    clock still counts in the bar of its own time; later it counts in the bar in which it became known. A bar of
    ticks, volume or dollars, and one made of bars, is finished by the row that completes it.
    """

    def __init__(self, source: Stream, recipe: dict[str, Any]) -> None:
        super().__init__(("ts", START, *BAR_VALUES, *BAR_SUMS, "count"))
        spec, self._kind = spec_of(recipe), source.kind
        self._interval_ns = source.origin.interval_ns
        self._bars = BarAggregator(spec, BarSource(source.kind, self._interval_ns))
        self._by_clock = spec.is_time and source.kind is not Kind.BARS
        self._delay_ns = int(recipe.get("delay_ns", 0))
        self._waiting: list[Columns] = []
        self._clock_ns, self._begun = BEFORE_NS, False
        self._arrivals = GrowingColumns(("row",))

    @property
    def arrivals(self) -> Positions:
        """How many rows of all streams the store had before each bar."""
        return self._arrivals["row"]

    @property
    def next_ns(self) -> int:
        """When the clock finishes the bar that forms; NEVER if none forms, or if the clock finishes none."""
        if not self._by_clock:
            return NEVER
        forming = self._bars.forming
        if len(forming):
            return int(forming["end_ns"][0]) + self._delay_ns
        # The bar of rows that wait begins once no older ones can follow.
        return (
            min((int(each["ts"].min()) for each in self._waiting), default=NEVER - self._delay_ns)
            + self._delay_ns
        )

    def make(self, rows: ArrivedRows, start: int, clocks: Positions, clock_ns: int) -> ArrivedRows:
        """Returns the bars that are finished by rows of the source and by the clock.

        `clocks` are what the clock was at each of the store's rows from `start` on, and `clock_ns` is what it is now.
        """
        if not self._by_clock:
            return self._completed(rows)
        self._wait(rows, start, clocks)
        made = self._released(clock_ns - self._delay_ns)
        due = made["end_ns"] + self._delay_ns
        at = start + clocks.searchsorted(due)
        return self._appended(made, at.astype(np.int64), due, -1)

    def _wait(self, rows: ArrivedRows, start: int, clocks: Positions) -> None:
        """Keeps rows until the clock cannot be followed by older ones."""
        if not len(rows):
            return
        # The clock just before a row: what is older than it by more than the delay is late.
        before = np.where(rows.at > start, clocks[np.maximum(rows.at - start, 1) - 1], self._clock_ns)
        times = np.maximum(rows.columns["ts"], before - self._delay_ns)
        self._waiting.append({**rows.columns, "ts": times})
        self._begun = True

    def _released(self, until_ns: int) -> NDArray[np.void]:
        """Adds the rows up to a time, oldest first; returns the bars that are finished by then."""
        self._clock_ns = until_ns + self._delay_ns
        finished = []
        if self._waiting:
            columns = {
                name: np.concatenate([each[name] for each in self._waiting]) for name in self._waiting[0]
            }
            order = np.argsort(columns["ts"], kind="stable")
            columns = {name: column[order] for name, column in columns.items()}
            count = int(columns["ts"].searchsorted(until_ns, side="right"))
            finished.append(self._bars.add({name: column[:count] for name, column in columns.items()}))
            self._waiting.clear()
            if count < len(order):
                self._waiting.append({name: column[count:] for name, column in columns.items()})
        if self._begun:
            finished.append(self._bars.advance(until_ns))
        return np.concatenate(finished) if finished else self._bars.forming

    def _completed(self, rows: ArrivedRows) -> ArrivedRows:
        """Returns the bars that rows complete, each right after the row."""
        finished, at, known = [], [], []
        for number in range(len(rows)):
            known_ns = int(rows.known[number])
            for bars in self._added(rows, number, known_ns):
                finished.append(bars)
                at += [int(rows.at[number])] * len(bars)
                known += [known_ns] * len(bars)
        made = np.concatenate(finished) if finished else self._bars.forming[:0]
        return self._appended(made, np.array(at, np.int64), np.array(known, np.int64), 1)

    def _added(self, rows: ArrivedRows, number: int, known_ns: int) -> list[NDArray[np.void]]:
        row = {name: column[number : number + 1] for name, column in rows.columns.items()}
        own_ns = int(row["ts"][0])
        if self._kind is not Kind.BARS:
            return [self._bars.add({**row, "ts": np.array([known_ns])})]
        added = self._bars.add({**row, "ts": np.array([known_ns])})
        return [added, self._bars.advance(own_ns)]  # no later source bar belongs to what ends with this one

    def _appended(self, made: NDArray[np.void], at: Positions, known: Positions, side: int) -> ArrivedRows:
        first = self.count
        columns: dict[str, Column] = {
            "ts": known,
            START: made["start_ns"],
            **{name: made[name] for name in (*BAR_VALUES, *BAR_SUMS)},
            "count": np.where(made["count"] == UNKNOWN, np.nan, made["count"]),
        }
        self.append(columns)
        self._arrivals.append({"row": at + int(side > 0)})
        return ArrivedRows({name: self[name][first:] for name in self}, at, known, first, side)


class StoreDeriver:
    """Makes the streams of a store that are derived from others; a `StoreCursor` fills them."""

    def best_quotes(self, book: Stream) -> Stream:
        """Returns the quotes of a book's best prices, one after each message; NaN while it has none."""
        return _derived(book, Kind.QUOTES, 0, {"from": book.kind.value})

    def bars(self, source: Stream, bars: BarsSettings) -> Stream:
        """Returns the bars of `bars.every` that are made of a stream.

        Raises Misconfigured if such bars cannot be made of it.
        """
        made = {"every": bars.every, "session": bars.session, "fill": bars.fill}
        recipe = {"from": source.kind.value, "interval_ns": source.origin.interval_ns, **made}
        if delay_ns := round(bars.delay_ms * NS_PER_MS):
            recipe["delay_ns"] = delay_ns
        return _derived(source, Kind.BARS, spec_of(recipe).length_ns, recipe)


def reopen_derived(origin: Origin, streams: list[Stream]) -> Stream:
    """Returns the stream of a recorded origin; `streams` are those before it. Raises Corrupt if its source is none."""
    recipe = origin.derived or {}
    wanted = origin.symbol, recipe.get("from"), recipe.get("interval_ns", 0)
    source = next((stream for stream in streams if stream.key == wanted), None)
    if source is None:
        raise Corrupt(f"{origin.symbol}: the record lacks what its {origin.kind} were made of")
    return Stream(origin.kind, origin.symbol, _maker(source, recipe), origin)


def _derived(source: Stream, kind: Kind, interval_ns: int, recipe: dict[str, Any]) -> Stream:
    given = source.origin
    origin = Origin(
        source.symbol,
        kind,
        0,
        given.content_hash,
        given.path,
        interval_ns=interval_ns,
        store=given.store,
        derived=recipe,
    )
    return Stream(kind, source.symbol, _maker(source, recipe), origin)


def _maker(source: Stream, recipe: dict[str, Any]) -> BestQuotes | MadeBars:
    return BestQuotes(source) if source.kind is Kind.BOOK else MadeBars(source, recipe)

"""The rows of a live store that a run takes, as they come."""

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from autohedge.core.clock import NEVER
from autohedge.market.columns import Column, Columns, dtype_of
from autohedge.market.growing_columns import GrowingColumns
from autohedge.market.live_store import LiveStore
from autohedge.market.merge import TakenStream
from autohedge.market.rows import ROW_COLUMNS, RowKinds, Rows
from autohedge.market.store_derived import BEFORE_NS, ArrivedRows, BestQuotes, MadeBars, Positions
from autohedge.market.stream import Kind, Stream

_NONE = np.empty(0, np.int64)


class StoreCursor:
    """The rows of some streams of a live store that a run takes: a `MarketCursor`.

    `streams` are those of the tape, with their use; a stream that is derived from another follows it. Rows are in
    the order in which they came. A row that is older than one before it became known late: its time in `rows` is the
    latest time before it, over all streams that are taken or that bars are made of.

    A clock finishes bars too, while no row comes: `reach_clock`. When that happened in a recorded run, `reached`
    says, by the number of the store's rows that had come, and the time.

    Raises Corrupt if the store is damaged.
    """

    def __init__(
        self, store: LiveStore, streams: Sequence[Stream], reached: Sequence[tuple[int, int]] = ()
    ) -> None:
        self._store, self._streams = store, streams
        self._numbers = {stream.key: number for number, stream in enumerate(store.manifest.streams)}
        sources = [number for number, stream in enumerate(streams) if stream.origin.taken]
        self._taken = {source: TakenStream.of(streams, source) for source in sources}
        self._mixed = any(_is_mixed(streams[source]) for source in sources)
        self._inputs = _inputs(streams)
        self._plain = not self._mixed and self._takes_all_quotes()
        names = (*ROW_COLUMNS, "row", "through", *(RowKinds._fields if self._mixed else ()))
        self._columns = GrowingColumns(names)
        self._held, self._quotes = dict.fromkeys(self._inputs, 0), 0
        self._reached = deque(reached)
        self.count, self.clock_ns = 0, BEFORE_NS
        self.rows, self.closed = self._shown(), False
        self.refresh()

    def refresh(self) -> None:
        """Takes in the rows that have come since the last call. Raises Corrupt as `LiveStore.refresh` does."""
        self._store.refresh()
        while self._reached and self._reached[0][0] <= self._store.count:
            count, at_ns = self._reached.popleft()
            self._take(count)
            self.reach_clock(at_ns)
        self._take(self._store.count)
        self.closed = self._store.closed

    @property
    def next_bar_ns(self) -> int:
        """When the clock finishes the next bar; NEVER if none forms."""
        makers = [stream.columns for stream in self._streams if isinstance(stream.columns, MadeBars)]
        return min((maker.next_ns for maker in makers), default=NEVER)

    def reach_clock(self, at_ns: int) -> None:
        """Adds the rows of the bars that are finished at a time; later rows that are older became known then."""
        if self._plain:
            return
        self.clock_ns = max(self.clock_ns, at_ns)
        self._append(self._arrived(self.count, self.count), self.count, _NONE)

    def keep_synced(self) -> None:
        """Lets all rows survive a power failure before they are seen here, those that are there already too."""
        self._store.keep_synced()

    def block_hash(self, start: int, end: int) -> str:
        """Returns the hash of what the store has got from row `start` to before row `end`, also of unread kinds.

        Raises Corrupt if rows were changed after they had been read.
        """
        return self._store.span_hash(*self._span(start, end))

    def named_difference(self, start: int, end: int, recorded: str) -> str:
        """Returns which rows of the store are not those whose hash was recorded; empty if that is not known."""
        return self._store.span_difference(*self._span(start, end), recorded)

    def _span(self, start: int, end: int) -> tuple[int, int]:
        return self._through(start), self._through(end)

    def _through(self, end: int) -> int:
        """Returns how many rows the store had got with the last one before row `end`."""
        if not end:
            return 0
        if self._plain:
            return int(np.flatnonzero(self._store.order < self._store.manifest.quotes)[end - 1]) + 1
        return int(self._columns["through"][end - 1])

    def _takes_all_quotes(self) -> bool:
        """Returns whether the rows are the quotes of the store, as they are."""
        quotes = range(self._store.manifest.quotes)
        return list(self._taken) == list(quotes) == self._inputs

    def _take(self, end: int) -> None:
        start, self.count = self.count, end
        if end == start:
            return
        if self._plain:
            self.rows = self._shown()
            return
        arrived = self._arrived(start, end)
        clocks = np.full(end - start, BEFORE_NS)
        for rows in arrived.values():
            clocks[rows.at - start] = rows.columns["ts"]
        clocks = np.maximum.accumulate(np.maximum(clocks, self.clock_ns))
        self.clock_ns = int(clocks[-1])
        self._append(arrived, start, clocks)

    def _append(self, arrived: dict[int, ArrivedRows], start: int, clocks: Positions) -> None:
        """Appends rows that have arrived, and those that are made; `clocks` is the time at each row from `start` on."""
        found = {source: replace(rows, known=clocks[rows.at - start]) for source, rows in arrived.items()}
        for source, stream in enumerate(self._streams):
            made_of = _source_of(stream, self._streams)
            if isinstance(stream.columns, BestQuotes):
                found[source] = stream.columns.make(found[made_of])
            elif isinstance(stream.columns, MadeBars):
                found[source] = stream.columns.make(found[made_of], start, clocks, self.clock_ns)
        blocks = [self._block(source, found[source]) for source in self._taken if len(found[source])]
        if blocks:
            self._columns.append(_in_order(blocks))
            self.rows = self._shown()

    def _arrived(self, start: int, end: int) -> dict[int, ArrivedRows]:
        """Returns the rows of each stream among those of the store from `start` to before `end`."""
        order = self._store.order[start:end]
        quotes = np.flatnonzero(order < self._store.manifest.quotes)
        found = {source: self._arrived_of(source, start, order, quotes) for source in self._inputs}
        self._quotes += len(quotes)
        return found

    def _arrived_of(self, source: int, start: int, order: Column, quotes: Column) -> ArrivedRows:
        store, stream = self._store, self._streams[source]
        number = self._numbers[stream.key]
        at = np.flatnonzero(order == number)
        first = self._held[source]
        self._held[source] += len(at)
        places: Any = slice(first, first + len(at))
        if stream.kind is Kind.QUOTES:  # those of all symbols are in one table
            places = self._quotes + quotes.searchsorted(at)
        columns = store.columns(store.tables.streams[number])
        chunk = {name: column[places] for name, column in columns.items() if name != "lane"}
        return ArrivedRows(chunk, at + start, _NONE, first)

    def _block(self, source: int, rows: ArrivedRows) -> dict[str, Column]:
        """Returns the columns of a stream's rows, and what they are ordered by."""
        taken, count = self._taken[source], len(rows)
        # Its number is that of a finished source; here each bad bar is looked for.
        origin = replace(taken.stream.origin, bad_bars=1)
        part = replace(taken.stream, columns=rows.columns, origin=origin, messages=None)
        block = taken._replace(stream=part).columns(mixed=self._mixed) | {
            "ts": rows.known,
            "row": np.arange(rows.first, rows.first + count),
            "through": rows.at + int(rows.side >= 0 or rows.of_row),
            "at": rows.at,
            "side": np.full(count, rows.side),
        }
        alike = {"lane": taken.lane, "source": source, "priced": taken.stream.origin.prices}
        return block | {name: np.full(count, value, dtype_of(name)) for name, value in alike.items()}

    def _shown(self) -> Rows:
        if self._plain:
            return self._store.rows
        columns: dict[str, Any] = dict(self._columns)
        kinds = RowKinds(*(columns[name] for name in RowKinds._fields)) if self._mixed else None
        return Rows(**{name: columns[name] for name in ROW_COLUMNS}, row=columns["row"], kinds=kinds)


def _is_mixed(stream: Stream) -> bool:
    """Returns whether the rows of a stream have to say what they are."""
    use = stream.origin
    return not (use.prices and use.read) or use.skips_partial


def _source_of(stream: Stream, streams: Sequence[Stream]) -> int:
    """Returns the position of what a stream is made of; -1 for one that is not made."""
    recipe = stream.origin.derived
    if recipe is None:
        return -1
    wanted = stream.symbol, recipe["from"], recipe.get("interval_ns", 0)
    return [each.key for each in streams].index(wanted)


def _inputs(streams: Sequence[Stream]) -> list[int]:
    """Returns the positions of the store's streams that are taken, or that others are made of."""
    found = {source for source, stream in enumerate(streams) if stream.origin.taken}
    for source in reversed(range(len(streams))):  # what is made follows its source
        if source in found and streams[source].origin.derived is not None:
            found.add(_source_of(streams[source], streams))
    return sorted(source for source in found if streams[source].origin.derived is None)


def _in_order(blocks: Sequence[Columns]) -> Columns:
    """Returns the rows of some streams in the order in which they came."""
    joined = {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
    order = np.lexsort((joined["source"], joined["ts"], joined["side"], joined["at"]))
    return {name: column[order] for name, column in joined.items()}

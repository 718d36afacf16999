"""Bugs of a tape with rows of all kinds, planted by a monkeypatch that the simulation must catch."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from autohedge.engine.engine import Engine
from autohedge.market import bar_aggregator, merge
from autohedge.market.bar_aggregator import AggregatedBars, BarSource
from autohedge.market.bar_aggregator import make_bars as make_bars_of
from autohedge.market.bar_spec import BarSpec
from autohedge.market.book_messages import BookMessages
from autohedge.market.books import BookMessage, OrderBook
from autohedge.market.rows import Rows
from autohedge.market.stream import KINDS, Kind, Origin, Stream
from autohedge.strategies import row_dispatch
from autohedge.strategies.bar_indicators import BarIndicators
from autohedge.strategies.interface import CompiledStrategy
from autohedge.strategies.market_data import Book, TradeTick
from tests.faultsim.mutants.planted_bugs import Plant


def gap_ignored(patch: pytest.MonkeyPatch) -> None:
    """The messages of a book are applied as they come, whatever their numbers."""
    original = OrderBook.__init__
    patch.setattr(OrderBook, "__init__", lambda self, tick, **_: original(self, tick, sequenced=False))


def doubled_message_applied_again(patch: pytest.MonkeyPatch) -> None:
    """A message that comes again, or after a snapshot that holds it, sets its levels back."""
    run = OrderBook.run

    def run_twice(self: OrderBook, messages: BookMessages, end: int) -> None:
        for number in range(int(self._record["next"]), end):
            seq, dropped = int(self._record["seq"]), self.count("dropped")
            run(self, messages, number + 1)
            if self.count("dropped") > dropped:
                self._step(_message(messages, number)._replace(first_seq=seq, last_seq=seq + 1))
                self._record["seq"] = seq

    patch.setattr(OrderBook, "run", run_twice)


def _message(messages: BookMessages, number: int) -> BookMessage:
    levels = slice(messages.start.item(number), messages.start.item(number + 1))
    numbers = (
        messages.first_seq.item(number),
        messages.last_seq.item(number),
        messages.prev_seq.item(number),
    )
    columns = (messages.side[levels], messages.price[levels], messages.size[levels])
    return BookMessage(*columns, messages.is_snapshot.item(number), *numbers)


def kept_messages_forgotten(patch: pytest.MonkeyPatch) -> None:
    """What came before a snapshot is not applied after it."""
    run = OrderBook.run

    def run_on(self: OrderBook, messages: BookMessages, end: int) -> None:
        for number in range(int(self._record["next"]), end):
            if messages.is_snapshot[number]:
                self._record["kept_from"] = number
            run(self, messages, number + 1)

    patch.setattr(OrderBook, "run", run_on)


def book_of_an_earlier_process_is_lost(patch: pytest.MonkeyPatch) -> None:
    """After a restart the book lacks the messages that came while no process ran."""

    def reader(stream: Stream, strategy: Any) -> row_dispatch.RowReader:
        assert stream.messages is not None
        messages = stream.messages.now
        shown = Book(stream.symbol, messages)

        def read(rows: Rows, i: int, number: int, row: row_dispatch.Row) -> Any:
            shown._book.apply(_message(messages, number))
            shown.ts_ns = row[1]
            return strategy.on_book(shown)

        return read

    patch.setattr(row_dispatch, "_book", reader)


def last_figures_shown_after_a_gap(patch: pytest.MonkeyPatch) -> None:
    """The best prices of a book that is not valid are those that it had before."""
    original = vars(OrderBook)["touch"].fget

    def touch(self: OrderBook) -> tuple[float, ...]:
        found: tuple[float, ...] = original(self)
        key = id(self._arrays.book)
        if not np.isnan(found[0]):
            last[key] = found
        return last.get(key, found)

    last: dict[int, tuple[float, ...]] = {}
    patch.setattr(OrderBook, "touch", property(touch))


def bar_takes_the_row_at_its_end(patch: pytest.MonkeyPatch) -> None:
    """A bar holds the rows up to its end, also those of that very time."""
    original = make_bars_of

    def make_bars(spec: BarSpec, source: BarSource, columns: Mapping[str, Any]) -> AggregatedBars:
        return original(spec, source, {**columns, "ts": np.asarray(columns["ts"]) - 1})

    patch.setattr(bar_aggregator, "make_bars", make_bars)


def bar_known_at_its_start(patch: pytest.MonkeyPatch) -> None:
    """A bar comes at its first time instead of its last."""
    original = make_bars_of

    def make_bars(spec: BarSpec, source: BarSource, columns: Mapping[str, Any]) -> AggregatedBars:
        bars = original(spec, source, columns)
        bars.finished["end_ns"] = bars.finished["known_ns"] = bars.finished["start_ns"]
        return bars

    patch.setattr(bar_aggregator, "make_bars", make_bars)


def bar_of_ticks_comes_before_its_last_quote(patch: pytest.MonkeyPatch) -> None:
    """A bar of a number of quotes comes where one of trades does: before the quote that fills it."""
    original = merge._rank

    def rank(stream: Stream) -> float:
        is_of_ticks = stream.kind is Kind.BARS and not merge._ends_by_time(stream)
        return KINDS.index(Kind.TRADES) + 0.5 if is_of_ticks else original(stream)

    patch.setattr(merge, "_rank", rank)


def partial_bar_read(patch: pytest.MonkeyPatch) -> None:
    """A bar that lacks its beginning is read although it should be skipped."""
    patch.setattr(Stream, "skips_rows", property(lambda _: False))


def bad_trade_shown(patch: pytest.MonkeyPatch) -> None:
    """A trade without a sound price or size reaches the strategy."""

    def reader(stream: Stream, strategy: Any) -> row_dispatch.RowReader:
        def read(rows: Rows, i: int, number: int, row: row_dispatch.Row) -> Any:
            price, size, side = (stream.columns[name].item(number) for name in ("price", "size", "side"))
            trade = TradeTick(stream.symbol, row[1], price, size, row_dispatch._SIDES[side])
            return strategy.on_trade(trade)

        return read

    patch.setattr(row_dispatch, "_trades", reader)


def indicators_begin_after_a_crash(patch: pytest.MonkeyPatch) -> None:
    """The indicators of a strategy begin with the first bar that a process shows to it."""
    original = BarIndicators.advance

    def advance(self: BarIndicators, row: int) -> None:
        if not self.count:
            self._row = self._prepared = max(row, self._prepared)
            self._bars = []
        original(self, row)

    patch.setattr(BarIndicators, "advance", advance)


def any_row_refreshes_the_quote(patch: pytest.MonkeyPatch) -> None:
    """An entry at a row without a price takes the time of this row for that of the last quote."""
    original = Engine._on_kernel_stop
    patch.setattr(Engine, "_on_kernel_stop", lambda self, lane, _: original(self, lane, self.now_ns))


def any_row_keeps_the_feed_alive(patch: pytest.MonkeyPatch) -> None:
    """A feed that gives trades, but no prices, is not silent."""
    patch.setattr(Engine, "_last_priced_ns", lambda _, rows, __, end: rows.ts.item(end - 1))


def crossover_reads_the_next_bar(patch: pytest.MonkeyPatch) -> None:
    """The crossover takes the close of a bar's successor."""
    original = CompiledStrategy.scan

    def scan(self: CompiledStrategy, rows: Rows, start: int, stop: int) -> int:
        if rows.kinds is None:
            return original(self, rows, start, stop)
        close = rows.kinds.close.copy()
        for lane in range(len(self.lanes)):
            (bars,) = np.nonzero((rows.lane == lane) & (close > 0.0))
            close[bars[:-1]] = close[bars[1:]]
        close.flags.writeable = False  # as it was: the kernel would be compiled again
        return original(self, replace(rows, kinds=rows.kinds._replace(close=close)), start, stop)

    patch.setattr(CompiledStrategy, "scan", scan)


def unread_rows_taken(patch: pytest.MonkeyPatch) -> None:
    """A run takes the rows of every stream, also of those that nobody reads."""
    patch.setattr(Origin, "taken", property(lambda _: True))


ROW_BUGS: tuple[Plant, ...] = (
    gap_ignored,
    doubled_message_applied_again,
    kept_messages_forgotten,
    book_of_an_earlier_process_is_lost,
    last_figures_shown_after_a_gap,
    bar_takes_the_row_at_its_end,
    bar_known_at_its_start,
    bar_of_ticks_comes_before_its_last_quote,
    partial_bar_read,
    bad_trade_shown,
    indicators_begin_after_a_crash,
    any_row_refreshes_the_quote,
    any_row_keeps_the_feed_alive,
    crossover_reads_the_next_bar,
    unread_rows_taken,
)

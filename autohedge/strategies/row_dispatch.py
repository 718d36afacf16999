"""Passes rows to the method of a Python strategy that takes their kind."""

from collections.abc import Callable, Sequence
from math import inf, isfinite
from typing import TYPE_CHECKING

from autohedge.core.orders import BUY, SELL
from autohedge.market.rows import Rows
from autohedge.market.stream import Kind, Stream
from autohedge.strategies.bar_features import declared_features
from autohedge.strategies.bar_indicators import declared_indicators
from autohedge.strategies.market_data import Bar, Book, Funding, Liquidation, Quote, TradeTick
from autohedge.strategies.signals import Signal

if TYPE_CHECKING:
    from autohedge.strategies.python import Strategy

Row = tuple[int, int, float, float, float, float]
"""A row as plain numbers: lane, time, bid, ask, bid size and ask size."""
RowReader = Callable[[Rows, int, int, Row], Signal | None]
"""Takes the rows, a position, the number of that row in its stream, and the row itself."""

METHODS = {
    Kind.QUOTES: "on_quote",
    Kind.BARS: "on_bar",
    Kind.TRADES: "on_trade",
    Kind.BOOK: "on_book",
    Kind.FUNDING: "on_funding",
    Kind.LIQUIDATIONS: "on_liquidation",
}
_SIDES = {1: BUY, -1: SELL, 0: None}


def reader_of(stream: Stream, strategy: "Strategy", streams: Sequence[Stream]) -> RowReader:
    """Returns what passes a row of a stream to the strategy; bad rows are left out.

    `streams` are those of the tape: features of bars look up quotes and a book in them.
    """
    if not stream.origin.read:
        return _unread
    if stream.kind is Kind.BARS:
        return _bars(stream, strategy, streams)
    readers: dict[Kind, Callable[[Stream, Strategy], RowReader]] = {
        Kind.QUOTES: _quotes,
        Kind.TRADES: _trades,
        Kind.BOOK: _book,
        Kind.FUNDING: _funding,
        Kind.LIQUIDATIONS: _liquidations,
    }
    return readers[stream.kind](stream, strategy)


def _unread(rows: Rows, i: int, number: int, row: Row) -> Signal | None:
    raise AssertionError("the strategy does not read this row")


def _quotes(stream: Stream, strategy: "Strategy") -> RowReader:
    symbol, on_quote = stream.symbol, strategy.on_quote

    def read(rows: Rows, i: int, number: int, row: Row) -> Signal | None:
        _, ts, bid, ask, bid_size, ask_size = row
        return on_quote(Quote(symbol, ts, bid, ask, bid_size, ask_size))

    return read


def _bars(stream: Stream, strategy: "Strategy", streams: Sequence[Stream]) -> RowReader:
    names, interval_ns = ("open", "high", "low", "close", "volume"), stream.origin.interval_ns
    on_bar, indicators = strategy.on_bar, declared_indicators(strategy, stream)
    features = declared_features(strategy, stream, streams)

    def read(rows: Rows, i: int, number: int, row: Row) -> Signal | None:
        if rows.kinds is not None and not rows.kinds.close[i] > 0.0:
            return None
        first, high, low, close, volume = (stream.columns[name].item(number) for name in names)
        if indicators is not None:
            indicators.advance(number)
        found = None if features is None else features.at(number)
        values = first, high, low, close, volume
        return on_bar(Bar(stream.symbol, row[1], *values, interval_ns, indicators, found))

    return read


def _trades(stream: Stream, strategy: "Strategy") -> RowReader:
    on_trade = strategy.on_trade

    def read(rows: Rows, i: int, number: int, row: Row) -> Signal | None:
        columns = stream.columns
        price, size = columns["price"].item(number), columns["size"].item(number)
        if not (0.0 < price < inf and 0.0 < size < inf):
            return None
        return on_trade(TradeTick(stream.symbol, row[1], price, size, _SIDES[columns["side"].item(number)]))

    return read


def _funding(stream: Stream, strategy: "Strategy") -> RowReader:
    on_funding = strategy.on_funding

    def read(rows: Rows, i: int, number: int, row: Row) -> Signal | None:
        rate = stream.columns["rate"].item(number)
        return on_funding(Funding(stream.symbol, row[1], rate)) if isfinite(rate) else None

    return read


def _liquidations(stream: Stream, strategy: "Strategy") -> RowReader:
    on_liquidation = strategy.on_liquidation

    def read(rows: Rows, i: int, number: int, row: Row) -> Signal | None:
        columns = stream.columns
        side, price, size = (columns[name].item(number) for name in ("side", "price", "size"))
        if not (side and 0.0 < price < inf and 0.0 < size < inf):
            return None
        return on_liquidation(Liquidation(stream.symbol, row[1], side > 0, price, size))

    return read


def _book(stream: Stream, strategy: "Strategy") -> RowReader:
    assert stream.messages is not None
    # A run that goes on after a crash skips rows; the messages before them say what the book was.
    book, before = Book(stream.symbol, stream.messages), stream.first_message + 1
    on_book = strategy.on_book

    def read(rows: Rows, i: int, number: int, row: Row) -> Signal | None:
        book.advance(before + number, row[1])
        return on_book(book)

    return read

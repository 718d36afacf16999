"""Streams: the recorded rows of one kind of one instrument, and where they come from."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from autohedge.core.errors import Misconfigured
from autohedge.market.bars import bad_bars, count_bad_bars
from autohedge.market.book_messages import BookMessages, Messages
from autohedge.market.columns import (
    Column,
    Columns,
    dtype_of,
    frozen,
    hash_columns,
    is_size,
    optional,
    require_ordered,
    sized,
)


class Kind(StrEnum):
    """The kind of rows in a stream, in the order in which rows of one time come."""

    BARS = "bars"
    FUNDING = "funding"
    LIQUIDATIONS = "liquidations"
    BOOK = "book"
    TRADES = "trades"
    QUOTES = "quotes"


KINDS = tuple(Kind)
PRICE_KINDS = (Kind.QUOTES, Kind.BARS)
"""The kinds whose rows have prices at which orders fill, the preferred one first."""

COLUMNS: dict[Kind, tuple[str, ...]] = {
    Kind.QUOTES: ("ts", "bid", "ask", "bid_size", "ask_size"),
    Kind.BARS: ("ts", "open", "high", "low", "close", "volume"),
    Kind.TRADES: ("ts", "price", "size", "side"),
    Kind.FUNDING: ("ts", "rate"),
    Kind.LIQUIDATIONS: ("ts", "side", "price", "size"),
    Kind.BOOK: ("ts", "start", "is_snapshot", "first_seq", "last_seq", "prev_seq"),
}
"""The columns of each kind; a row of a book is a message, and `start` the number of its first level."""
PARTIAL, START = "partial", "start"
BUY_VOLUME, SELL_VOLUME = "buy_volume", "sell_volume"
SIDE_VOLUMES = (BUY_VOLUME, SELL_VOLUME)
"""The columns of bars with their volume by the side of the aggressor."""
OPTIONAL = (PARTIAL, START, *SIDE_VOLUMES)
"""The columns that not all bars have.

They say whether a bar lacks its beginning, when it starts if lengths may differ, and its volume by side.
"""

_SILENT = {
    "window_ns": None,
    "store": None,
    "derived": None,
    "prices": True,
    "read": True,
    "skips_partial": False,
}


@dataclass(frozen=True, slots=True)
class Origin:
    """The source of a stream, so that its rows can be loaded again and checked.

    `content_hash` is the BLAKE2b-256 of the source file's bytes or, without a file, of the columns. `path` is
    absolute; `recipe` describes a synthetic stream; both are None for rows created in memory, which cannot be
    loaded again. `select` is the symbol whose rows were taken from a file with several. `interval_ns` is the
    length of a bar, 0 for other kinds. `bad_bars` is the number of bars that contradict themselves and so are bad
    quotes. `window_ns` is the time of the rows that are used, from the first number on and before the second;
    None for all. `store` is the id of a live store, whose folder is `path`; while it is open it has no content hash,
    and 0 `rows`. `derived` says how the rows are made of another stream of the tape; then there is no file. The
    other fields describe the whole source.

    `prices` is whether orders fill at these rows, and `read` whether the strategy reads them. A run takes the rows
    of a stream with either. With `skips_partial` the strategy does not read bars that lack their beginning.
    """

    symbol: str
    kind: Kind
    rows: int
    content_hash: str
    path: str | None = None
    recipe: dict[str, Any] | None = None
    interval_ns: int = 0
    select: str | None = None
    bad_bars: int = 0
    window_ns: tuple[int, int] | None = None
    store: str | None = None
    derived: dict[str, Any] | None = None
    prices: bool = True
    read: bool = True
    skips_partial: bool = False

    @property
    def rows_id(self) -> str:
        """Identifies the rows that are used: by content hash, else by store, and by the window if there is one."""
        source = self.content_hash or self.store or ""
        if self.window_ns is None:
            return source
        return f"{source}@{self.window_ns[0]}-{self.window_ns[1]}"

    @property
    def taken(self) -> bool:
        """Whether a run takes the rows."""
        return self.prices or self.read

    def between(self, t0_ns: int, t1_ns: int) -> "Origin":
        """Returns the origin of the rows of this one from `t0_ns` on and before `t1_ns`."""
        first_ns, end_ns = self.window_ns or (t0_ns, t1_ns)
        return replace(self, window_ns=(max(t0_ns, first_ns), min(t1_ns, end_ns)))

    def whole(self) -> "Origin":
        """Returns the origin of all rows of the source."""
        return replace(self, window_ns=None)

    def as_dict(self) -> dict[str, Any]:
        """Returns the origin as the genesis of a run has it: without what says nothing."""
        values = asdict(self)
        return {key: value for key, value in values.items() if key not in _SILENT or value != _SILENT[key]}


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """One instrument's rows of one kind, oldest first, with the columns of `COLUMNS`.

    `ts` is when a row became known, in nanoseconds since 1970: for a bar, its end. A missing price is NaN, a
    missing size 0. `side` is 1 for a buy or a long position, -1 for a sell or a short one, 0 if it is not known.
    A volume by side that is not known is NaN.
    Bars may also have the columns of `OPTIONAL`. A stream of a book has its `messages`, the last ones of which are the rows.
    """

    kind: Kind
    symbol: str
    columns: Columns
    origin: Origin
    messages: Messages | None = None

    @classmethod
    def of(
        cls,
        symbol: str,
        columns: Mapping[str, ArrayLike],
        *,
        kind: Kind = Kind.QUOTES,
        interval_ns: int = 0,
    ) -> Self:
        """Returns a stream from arrays in memory; sizes and sides may be omitted.

        Raises Misconfigured if there are no rows, a column is missing or has another length, or time
        decreases.
        """
        if kind is Kind.BOOK:
            raise Misconfigured(f"{symbol}: a book is made of messages; use Stream.of_book")
        arrays = _stream_columns(symbol, kind, columns)
        rows = len(arrays["ts"])
        bad = count_bad_bars(arrays) if kind is Kind.BARS else 0
        origin = Origin(symbol, kind, rows, hash_columns(arrays), interval_ns=interval_ns, bad_bars=bad)
        return cls(kind, symbol, arrays, origin)

    @classmethod
    def of_book(cls, symbol: str, messages: BookMessages) -> Self:
        """Returns the stream of a book's messages."""
        columns = messages.table()
        found = hash_columns({**columns, **messages.levels()})
        origin = Origin(symbol, Kind.BOOK, len(messages), found, prices=False, read=False)
        return cls(Kind.BOOK, symbol, columns, origin, messages)

    def __len__(self) -> int:
        return len(self.columns["ts"])

    @property
    def key(self) -> tuple[str, Kind, int]:
        """What may be on a tape once: the symbol, the kind and the length of bars."""
        return self.symbol, self.kind, self.origin.interval_ns

    @property
    def first_message(self) -> int:
        """The number of the message that is the first row of a book's stream."""
        return len(self.messages) - len(self) if self.messages else 0

    def between(self, t0_ns: int, t1_ns: int) -> "Stream":
        """Returns the rows with `t0_ns` <= ts < `t1_ns`, which may be none; the columns are views.

        Of a book, the messages before them stay too: they say what the book was.
        """
        window = _window(self.columns["ts"], t0_ns, t1_ns)
        columns = {name: column[window] for name, column in self.columns.items()}
        messages = self.messages and self.messages.first(self.first_message + window.stop)
        return Stream(self.kind, self.symbol, columns, self.origin.between(t0_ns, t1_ns), messages)

    def used(self, *, prices: bool, read: bool, skips_partial: bool = False) -> "Stream":
        """Returns the stream with another use."""
        skips_partial = skips_partial and read and PARTIAL in self.columns
        use = replace(self.origin, prices=prices, read=read, skips_partial=skips_partial)
        return replace(self, origin=use)

    def as_quotes(self) -> dict[str, Column]:
        """Returns the columns of `Rows` other than lane: a bar becomes a quote of its close and volume.

        A bad bar becomes a quote without prices, and so does every row of another kind.
        """
        if self.kind is Kind.QUOTES:
            return {name: self.columns[name] for name in COLUMNS[Kind.QUOTES]}
        if self.kind is not Kind.BARS:
            absent = np.broadcast_to(np.nan, len(self))
            return {"ts": self.columns["ts"], **dict.fromkeys(COLUMNS[Kind.QUOTES][1:], absent)}
        close, volume = self.columns["close"], self.columns["volume"]
        if self.origin.bad_bars:
            close = frozen(np.where(bad_bars(self.columns), np.nan, close), np.float64)
        return {
            "ts": self.columns["ts"],
            "bid": close,
            "ask": close,
            "bid_size": volume,
            "ask_size": volume,
        }

    def closes(self) -> Column:
        """Returns the close of each bar that the strategy reads; NaN for other rows."""
        if self.kind is not Kind.BARS or not self.origin.read:
            return np.broadcast_to(np.nan, len(self))
        close: Column = self.as_quotes()["bid"]
        if self.skips_rows:
            close = np.where(self.columns[PARTIAL] != 0, np.nan, close)
        return close

    @property
    def skips_rows(self) -> bool:
        """Whether the strategy does not read some of the bars that it otherwise would."""
        return self.origin.skips_partial and bool(np.any(self.columns[PARTIAL]))


def symbols_of(streams: Sequence[Stream]) -> tuple[str, ...]:
    """Returns the symbols of a tape in lane order: as they were first named."""
    return tuple(dict.fromkeys(stream.symbol for stream in streams))


def prices_of(streams: Sequence[Stream]) -> tuple[Stream, ...]:
    """Returns the streams whose rows have the prices, in lane order."""
    found = {stream.symbol: stream for stream in streams if stream.origin.prices}
    return tuple(found[symbol] for symbol in symbols_of(streams) if symbol in found)


def _window(ts: Column, t0_ns: int, t1_ns: int) -> slice:
    first, end = ts.searchsorted((t0_ns, max(t0_ns, t1_ns)))
    return slice(int(first), int(end))


def _stream_columns(symbol: str, kind: Kind, columns: Mapping[str, ArrayLike]) -> dict[str, Column]:
    times = frozen(_present(symbol, columns, "ts"), np.int64)
    if not len(times):
        raise Misconfigured(f"{symbol}: has no rows; give at least one")
    require_ordered(times, symbol)
    arrays = {"ts": times}
    for name in COLUMNS[kind][1:]:
        if is_size(name) or (kind is Kind.TRADES and name == "side"):
            arrays[name] = optional(columns.get(name), len(times), dtype_of(name), name)
        else:
            arrays[name] = sized(_present(symbol, columns, name), len(times), name, dtype_of(name))
    for name in OPTIONAL if kind is Kind.BARS else ():
        if name in columns:
            arrays[name] = sized(columns[name], len(times), name, dtype_of(name))
    return arrays


def _present(symbol: str, columns: Mapping[str, ArrayLike], name: str) -> ArrayLike:
    if name not in columns:
        raise Misconfigured(f"{symbol}: column {name} is missing; found {', '.join(columns)}")
    return columns[name]

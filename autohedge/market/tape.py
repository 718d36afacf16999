"""The tape: recorded market data as columns of equal length, in the order in which it became known."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autohedge.core.clock import NEVER, format_utc
from autohedge.core.errors import Misconfigured
from autohedge.core.snapshots import QuoteRow
from autohedge.market.bars import bad_bars, count_bad_bars
from autohedge.market.column_file import hash_rows
from autohedge.market.columns import (
    Column,
    Columns,
    frozen,
    hash_columns,
    is_size,
    optional,
    require_ordered,
    sized,
)

if TYPE_CHECKING:
    from autohedge.market.cursor import MarketCursor


class Kind(StrEnum):
    """The kind of rows in a stream; only those in `LOADABLE` can be loaded today."""

    QUOTES = "quotes"
    BARS = "bars"
    TRADES = "trades"
    BOOK_DELTAS = "book_deltas"
    FUNDING = "funding"
    LIQUIDATIONS = "liquidations"


LOADABLE = (Kind.QUOTES, Kind.BARS)

QUOTE_COLUMNS = ("ts", "bid", "ask", "bid_size", "ask_size")
ROW_COLUMNS = ("ts", "lane", "bid", "ask", "bid_size", "ask_size")
BAR_COLUMNS = ("ts", "open", "high", "low", "close", "volume")
COLUMNS = {Kind.QUOTES: QUOTE_COLUMNS, Kind.BARS: BAR_COLUMNS}


def require_loadable(kind: Kind, subject: str) -> None:
    """Refuses a kind that cannot be loaded; `subject` starts the message."""
    if kind not in LOADABLE:
        loadable = " and ".join(LOADABLE)
        raise Misconfigured(f"{subject}: {kind} cannot be loaded yet; {loadable} can")


@dataclass(frozen=True, slots=True)
class Origin:
    """The source of a stream, so that its rows can be loaded again and checked.

    `content_hash` is the BLAKE2b-256 of the source file's bytes or, without a file, of the columns. `path` is
    absolute; `recipe` describes a synthetic stream; both are None for rows created in memory, which cannot be
    loaded again. `select` is the symbol whose rows were taken from a file with several. `interval_ns` is the
    length of a bar, 0 for quotes. `bad_bars` is the number of bars that contradict themselves and so are bad
    quotes. `window_ns` is the time of the rows that are used, from the first number on and before the second;
    None for all. `store` is the id of a live store, whose folder is `path`; while it is open it has no content hash,
    and 0 `rows`. The other fields describe the whole source.
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

    @property
    def rows_id(self) -> str:
        """Identifies the rows that are used: by content hash, else by store, and by the window if there is one."""
        source = self.content_hash or self.store or ""
        if self.window_ns is None:
            return source
        return f"{source}@{self.window_ns[0]}-{self.window_ns[1]}"

    def between(self, t0_ns: int, t1_ns: int) -> "Origin":
        """Returns the origin of the rows of this one from `t0_ns` on and before `t1_ns`."""
        first_ns, end_ns = self.window_ns or (t0_ns, t1_ns)
        return replace(self, window_ns=(max(t0_ns, first_ns), min(t1_ns, end_ns)))

    def whole(self) -> "Origin":
        """Returns the origin of all rows of the source."""
        return replace(self, window_ns=None)

    def as_dict(self) -> dict[str, Any]:
        """Returns the origin as the genesis of a run has it: without a window or a store if there is none."""
        values = asdict(self)
        optional_keys = ("window_ns", "store")
        return {key: values[key] for key in values if key not in optional_keys or values[key] is not None}


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """One symbol's rows of one kind, oldest first.

    Quotes have the columns ts, bid, ask, bid_size, ask_size; bars have ts, open, high, low, close, volume.
    `ts` is when a row became known, in nanoseconds since 1970: for a bar, its end. A missing price is NaN, a
    missing size 0.
    """

    kind: Kind
    symbol: str
    columns: Columns
    origin: Origin

    @classmethod
    def of(
        cls,
        symbol: str,
        columns: Mapping[str, ArrayLike],
        *,
        kind: Kind = Kind.QUOTES,
        interval_ns: int = 0,
    ) -> Self:
        """Returns a stream from arrays in memory; sizes may be omitted.

        Raises Misconfigured if there are no rows, a column is missing or has another length, or time
        decreases.
        """
        require_loadable(kind, symbol)
        arrays = _stream_columns(symbol, kind, columns)
        rows = len(arrays["ts"])
        bad_bars = count_bad_bars(arrays) if kind is Kind.BARS else 0
        origin = Origin(symbol, kind, rows, hash_columns(arrays), interval_ns=interval_ns, bad_bars=bad_bars)
        return cls(kind, symbol, arrays, origin)

    def __len__(self) -> int:
        return len(self.columns["ts"])

    def between(self, t0_ns: int, t1_ns: int) -> "Stream":
        """Returns the rows with `t0_ns` <= ts < `t1_ns`, which may be none; the columns are views."""
        window = _window(self.columns["ts"], t0_ns, t1_ns)
        columns = {name: column[window] for name, column in self.columns.items()}
        return Stream(self.kind, self.symbol, columns, self.origin.between(t0_ns, t1_ns))

    def as_quotes(self) -> dict[str, Column]:
        """Returns the columns of `Rows` other than lane: a bar becomes a quote of its close and volume.

        A bad bar becomes a quote without prices.
        """
        if self.kind is Kind.QUOTES:
            return {name: self.columns[name] for name in QUOTE_COLUMNS}
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


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The merged market rows that the compiled kernels scan; those of a tape are a `MarketCursor` too.

    The arrays are contiguous, read-only and of equal length. `ts` (int64) is the receive time in nanoseconds,
    for a bar its end; `lane` (int32) is the position of the row's stream in the tape; the others are float64.
    `row` (int64) is the row's number within its stream, or None if the tape has one stream and the position
    itself is that number.
    """

    ts: NDArray[np.int64]
    lane: NDArray[np.int32]
    bid: NDArray[np.float64]
    ask: NDArray[np.float64]
    bid_size: NDArray[np.float64]
    ask_size: NDArray[np.float64]
    row: NDArray[np.int64] | None = None
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
                {name: getattr(self, name)[start:end] for name in ROW_COLUMNS}
            )
        return self._hashes[start, end]

    def refresh(self) -> None:
        """Does nothing: no more rows will come."""


@dataclass(frozen=True, slots=True, eq=False)
class Tape:
    """One stream per symbol, and their rows merged by (time, stream, row); those of a store as they came.

    While it still grows it has a cursor of its own, `growing`, and `rows` are those that had come when it was opened.
    """

    streams: tuple[Stream, ...]
    rows: Rows
    growing: "MarketCursor | None" = None

    @property
    def cursor(self) -> "MarketCursor":
        """What a run reads the rows from."""
        return self.growing or self.rows

    @property
    def name(self) -> str:
        """What messages call it: the folder of a store, else "the tape"."""
        origin = self.streams[0].origin
        return origin.path if origin.store and origin.path else "the tape"

    def require_finished(self) -> None:
        """Raises Misconfigured for a store that still grows: who needs all its rows has to wait for them."""
        if self.growing is not None:
            raise Misconfigured(
                f"{self.name}: its writer has not closed it yet; `autohedge run` trades it as it grows, "
                "other commands wait"
            )

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols in lane order."""
        return tuple(stream.symbol for stream in self.streams)

    @property
    def content_hashes(self) -> dict[str, str]:
        """The content hash of each symbol's origin, which identifies its rows; of a growing one the store's id."""
        return {origin.symbol: origin.content_hash or origin.store or "" for origin in self.origins}

    @property
    def origins(self) -> tuple[Origin, ...]:
        """The origin of each lane, in lane order."""
        return tuple(stream.origin for stream in self.streams)

    def between(self, t0_ns: int, t1_ns: int) -> "Tape":
        """Returns the rows with `t0_ns` <= ts < `t1_ns` as a tape with the same symbols.

        A symbol without a row in that time keeps its lane. The columns are views; only the row numbers of a tape
        with several streams are new, because they count from the start of the window.

        Raises Misconfigured if no symbol has a row in that time, or if the tape still grows.
        """
        self.require_finished()
        window = _window(self.rows.ts, t0_ns, t1_ns)
        if window.start == window.stop:
            raise Misconfigured(
                f"the tape has no row from {format_utc(t0_ns)} to {format_utc(t1_ns)}; its rows are from "
                f"{format_utc(int(self.rows.ts[0]))} to {format_utc(int(self.rows.ts[-1]))}"
            )
        firsts = [int(stream.columns["ts"].searchsorted(t0_ns)) for stream in self.streams]
        streams = tuple(stream.between(t0_ns, t1_ns) for stream in self.streams)
        return Tape(streams, _cut(self.rows, window, np.array(firsts)))

    def __len__(self) -> int:
        return len(self.rows)


def _window(ts: Column, t0_ns: int, t1_ns: int) -> slice:
    first, end = ts.searchsorted((t0_ns, max(t0_ns, t1_ns)))
    return slice(int(first), int(end))


def _cut(rows: Rows, window: slice, firsts: NDArray[np.int64]) -> Rows:
    """Returns the rows of a window; `firsts` has the number of each stream's first row in it."""
    names = ("ts", "lane", "bid", "ask", "bid_size", "ask_size")
    columns = {name: getattr(rows, name)[window] for name in names}
    row = None if rows.row is None else frozen(rows.row[window] - firsts[columns["lane"]], np.int64)
    return Rows(**columns, row=row)


def require_distinct(symbols: Sequence[str]) -> None:
    """Refuses a tape without a symbol, or with two streams for one symbol."""
    if not symbols:
        raise Misconfigured("a tape needs at least one stream: name a file or a recipe")
    symbol, count = Counter(symbols).most_common(1)[0]
    if count > 1:
        raise Misconfigured(f"{symbol}: two sources for one symbol; keep one, or name one with SYMBOL=FILE")


def _stream_columns(symbol: str, kind: Kind, columns: Mapping[str, ArrayLike]) -> dict[str, Column]:
    times = frozen(_present(symbol, columns, "ts"), np.int64)
    if not len(times):
        raise Misconfigured(f"{symbol}: has no rows; give at least one")
    require_ordered(times, symbol)
    arrays = {"ts": times}
    for name in COLUMNS[kind][1:]:
        if is_size(name):
            arrays[name] = optional(columns.get(name), len(times), np.float64, name)
        else:
            arrays[name] = sized(_present(symbol, columns, name), len(times), name)
    return arrays


def _present(symbol: str, columns: Mapping[str, ArrayLike], name: str) -> ArrayLike:
    if name not in columns:
        raise Misconfigured(f"{symbol}: column {name} is missing; found {', '.join(columns)}")
    return columns[name]


def _require_lanes(lane: NDArray[np.int32], lanes: int) -> None:
    if len(lane) and not 0 <= int(lane.min()) <= int(lane.max()) < lanes:
        raise Misconfigured(f"lane: outside 0..{lanes - 1}; pass lanes= as many as there are")

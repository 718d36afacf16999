"""The tape: the streams of a market, and their rows in the order in which they became known."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from autohedge.core.clock import format_utc
from autohedge.core.errors import Misconfigured
from autohedge.market.bars import length_text
from autohedge.market.columns import frozen
from autohedge.market.rows import Rows
from autohedge.market.stream import Kind, Origin, Stream, prices_of, symbols_of

if TYPE_CHECKING:
    from autohedge.market.cursor import MarketCursor
    from autohedge.market.reads import Reads


class TapeStore(Protocol):
    """The live store that a tape is: what its rows are read from, and sealed with."""

    @property
    def cursor(self) -> "MarketCursor":
        """The cursor over the rows of the tape."""
        ...

    def read_by(self, tape: "Tape", reads: "Reads") -> "Tape":
        """Returns the tape with the rows that another strategy takes."""
        ...

    def between(self, t0_ns: int, t1_ns: int, rows: Rows) -> "TapeStore":
        """Returns the store of a tape with some of its rows, those of a time."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Tape:
    """The streams of a market, and the rows of them that a run takes, see `Origin.taken`.

    Rows are merged by (time, kind, stream, row); those of a store are as they came. While it still grows it has a
    cursor of its own, `growing`, and `rows` are those that had come when it was opened. `store` is the live store
    that the tape is, None for one of files.
    """

    streams: tuple[Stream, ...]
    rows: Rows
    growing: "MarketCursor | None" = None
    store: TapeStore | None = None

    @property
    def cursor(self) -> "MarketCursor":
        """What a run reads the rows from."""
        return self.growing or (self.store.cursor if self.store else self.rows)

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
        return symbols_of(self.streams)

    @property
    def content_hashes(self) -> dict[str, str]:
        """The content hash of each symbol's prices, which identifies its rows; of a growing store its id."""
        origins = (stream.origin for stream in prices_of(self.streams))
        return {origin.symbol: origin.content_hash or origin.store or "" for origin in origins}

    @property
    def origins(self) -> tuple[Origin, ...]:
        """The origin of each stream."""
        return tuple(stream.origin for stream in self.streams)

    def between(self, t0_ns: int, t1_ns: int) -> "Tape":
        """Returns the rows with `t0_ns` <= ts < `t1_ns` as a tape with the same symbols.

        A symbol without a row in that time keeps its lane. The columns are views; only the row numbers of a tape
        with several streams are new, because they count from the start of the window.

        Raises Misconfigured if no symbol has a row in that time, or if the tape still grows.
        """
        self.require_finished()
        first, end = self.rows.ts.searchsorted((t0_ns, max(t0_ns, t1_ns)))
        if first == end:
            raise Misconfigured(
                f"the tape has no row from {format_utc(t0_ns)} to {format_utc(t1_ns)}; its rows are from "
                f"{format_utc(int(self.rows.ts[0]))} to {format_utc(int(self.rows.ts[-1]))}"
            )
        part = slice(int(first), int(end))
        if self.store is None:
            streams = tuple(stream.between(t0_ns, t1_ns) for stream in self.streams)
            return Tape(streams, _cut(self, part, t0_ns))
        # Rows of a store may be older than their position says, so its streams stay whole.
        row = self.rows.row
        rows = self.rows.window(part, None if row is None else row[part])
        origins = [stream.origin.between(t0_ns, t1_ns) for stream in self.streams]
        streams = tuple(replace(each, origin=use) for each, use in zip(self.streams, origins, strict=True))
        return Tape(streams, rows, store=self.store.between(t0_ns, t1_ns, rows))

    def __len__(self) -> int:
        return len(self.rows)


def _cut(tape: Tape, window: slice, t0_ns: int) -> Rows:
    """Returns the rows of a window, whose numbers count from the first row of each stream in it."""
    rows = tape.rows
    if rows.row is None:
        return rows.window(window, None)
    sources = rows.lane if rows.kinds is None else rows.kinds.source
    streams = prices_of(tape.streams) if rows.kinds is None else tape.streams
    firsts = np.array([int(stream.columns["ts"].searchsorted(t0_ns)) for stream in streams])
    return rows.window(window, frozen(rows.row[window] - firsts[sources[window]], np.int64))


def require_distinct(keys: Sequence[tuple[str, Kind, int]]) -> None:
    """Refuses a tape without a stream, or with two of one symbol, kind and length of bars."""
    if not keys:
        raise Misconfigured("a tape needs at least one stream: name a file or a recipe")
    (symbol, kind, interval_ns), count = Counter(keys).most_common(1)[0]
    if count > 1:
        what = f"{length_text(interval_ns)} bars" if interval_ns else kind
        raise Misconfigured(
            f"{symbol}: two sources of {what} for one symbol; keep one, or name one with SYMBOL=FILE"
        )

"""Makes bars of trades, quotes or shorter bars: of whole columns at once, or row by row as they come."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from autohedge.core.clock import NEVER
from autohedge.core.errors import Misconfigured
from autohedge.core.units import NS_PER_DAY
from autohedge.kernels import bars as kernel
from autohedge.market.bar_spec import BarSpec, BarUnit
from autohedge.market.bars import bar_faults
from autohedge.market.columns import Column, frozen, null_for_nan, optional, require_ordered, sized
from autohedge.market.stream import Kind, Stream
from autohedge.market.trading_session import Segments, month_segments

FINEST_FIRST = (Kind.TRADES, Kind.QUOTES, Kind.BARS)
"""The kinds of rows that bars are made of, the preferred one first."""
FIELDS = tuple(name for name in kernel.BAR.names or () if name != "known_ns")
"""The fields of a bar, in the order in which files and answers have them."""
SKIPPED = ("missing", "non_positive", "crossed", "outside", "outside_session")
"""The codes of rows that are in no bar; the first four are those of `data check`."""

_MEASURES = {
    BarUnit.TICKS: kernel.TICKS,
    BarUnit.VOLUME: kernel.VOLUME,
    BarUnit.DOLLARS: kernel.DOLLARS,
}
_COLUMNS = {
    Kind.TRADES: ("ts", "price", "size"),
    Kind.QUOTES: ("ts", "bid", "ask"),
    Kind.BARS: ("ts", "open", "high", "low", "close"),
}
_SIZES = {Kind.TRADES: "size", Kind.BARS: "volume"}
_UNKNOWN_AS_NAN = ("notional", "vwap", "buy_volume", "sell_volume")
_SOUND, _PARTIAL = -1, -2
_MONDAY_NS = 4 * NS_PER_DAY  # the first one since 1970
_AHEAD_NS = 40 * NS_PER_DAY
_ROOM = 2_048
_CARRIED_MOST = 20_000_000
_NO_ROWS = np.empty(0, kernel.BAR)


class BarSource(NamedTuple):
    """The rows that bars are made of: trades, quotes, or bars of a length.

    `has_sides` says whether the aggressor's side of trades is known.
    """

    kind: Kind
    interval_ns: int = 0
    has_sides: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class AggregatedBars:
    """The finished bars as records of `kernels.bars.BAR`, the one that still forms, and the rows in no bar by code.

    Values that the source does not know are NaN, `count` is -1.
    """

    finished: NDArray[np.void]
    forming: NDArray[np.void]
    skipped: dict[str, int]


class BarAggregator:
    """Makes the bars of one instrument, from columns, single rows or both; the cuts between them do not matter."""

    def __init__(self, spec: BarSpec, source: BarSource) -> None:
        """Raises Misconfigured if such bars cannot be made of this source."""
        if source.kind not in _COLUMNS:
            raise Misconfigured(f"bars cannot be made of {source.kind}; name trades, quotes or bars")
        spec.require_made_of(source.kind, source.interval_ns)
        self._spec, self._source = spec, source
        self._state = _state(spec, source)
        self._finished = self._state["finished"].data
        self._room = np.zeros(_ROOM, kernel.BAR)
        self._segments, self._covered_ns = _fixed_segments(spec)

    @property
    def skipped(self) -> dict[str, int]:
        """How many rows were in no bar, by code."""
        return dict(zip(SKIPPED, self._state["skipped"][0].tolist(), strict=True))

    @property
    def forming(self) -> NDArray[np.void]:
        """The bar that still forms, as an array of one or no record."""
        copied = np.zeros(1, kernel.BAR)
        return copied[: kernel.copy_forming(self._state, copied)]

    def add(self, columns: Mapping[str, ArrayLike]) -> NDArray[np.void]:
        """Adds rows, oldest first; returns the bars that they finish.

        The columns are ts, price, size and perhaps side (1 buy, -1 sell, 0 unknown) of trades; ts, bid, ask of
        quotes; ts (the end), open, high, low, close and perhaps volume, partial, start of bars. Raises
        Misconfigured if lengths differ, a column is missing or time decreases.
        """
        values = self._columns(columns)
        times = values[0]
        if not len(times):
            return _NO_ROWS
        self._cover(int(times[0]), int(times[-1]))
        chunks, row = [], 0
        while row < len(times):
            row = self._scan(values, row)
            chunks.append(self._taken())
        return _bars(chunks)

    def add_trade(self, ts: int, price: float, size: float, side: int = 0) -> NDArray[np.void]:
        """Adds a live trade that became known at `ts`; returns the bars that it finishes, mostly none."""
        if kernel.extend_by_trade(self._state, ts, price, size, side):
            return _NO_ROWS
        if ts >= self._covered_ns:
            self._cover(ts, ts)
        finished = kernel.add_trade(self._state, self._segments, self._room, ts, price, size, side)
        if not finished:
            return _NO_ROWS
        chunks = [self._taken()]
        while finished == kernel.FULL:
            finished = kernel.add_trade(self._state, self._segments, self._room, ts, price, size, side)
            chunks.append(self._taken())
        return _bars(chunks)

    def advance(self, now_ns: int) -> NDArray[np.void]:
        """Tells that the clock has reached a time; returns the time bars that it finishes.

        Rows of that very time come after it, except source bars, which end at it and come before.
        """
        if now_ns >= self._covered_ns:
            self._cover(now_ns, now_ns)
        chunks = []
        while kernel.advance(self._state, self._segments, self._room, now_ns):
            chunks.append(self._taken())
        return _bars(chunks)

    def _taken(self) -> NDArray[np.int64]:
        # As integers, because numpy copies records field by field.
        taken = self._room[: self._finished[0]].view(np.int64).copy()
        self._finished[0] = 0
        return taken

    def _scan(self, values: list[Column], row: int) -> int:
        state, segments, room = self._state, self._segments, self._room
        if self._source.kind is Kind.TRADES:
            return kernel.scan_trades(state, segments, room, row, *values)
        if self._source.kind is Kind.QUOTES:
            return kernel.scan_quotes(state, segments, room, row, *values)
        return kernel.scan_bars(state, segments, room, row, *values)

    def _columns(self, columns: Mapping[str, ArrayLike]) -> list[Column]:
        kind = self._source.kind
        for name in _COLUMNS[kind]:
            if name not in columns:
                raise Misconfigured(f"{kind}: column {name} is missing; found {', '.join(columns)}")
        ts = frozen(columns["ts"], np.int64)
        rows = len(ts)
        require_ordered(ts, kind)
        values = [sized(columns[name], rows, name) for name in _COLUMNS[kind][1:]]
        if kind is Kind.TRADES:
            return [ts, *values, optional(columns.get("side"), rows, np.int8, "side")]
        if kind is Kind.QUOTES:
            return [ts, *values]
        volume = optional(columns.get("volume"), rows, np.float64, "volume")
        flags = _flags(dict(zip(_COLUMNS[kind][1:], values, strict=True)), volume, columns)
        start = sized(columns.get("start", ts - self._source.interval_ns), rows, "start", np.int64)
        return [start, ts, *values, volume, flags]

    def _cover(self, first_ns: int, last_ns: int) -> None:
        """Extends the segments, so that they reach beyond the times of some rows."""
        if last_ns < self._covered_ns:
            return
        end_ns = last_ns + _AHEAD_NS
        known = self._segments
        begin_ns = int(known[-1, 0]) if len(known) else first_ns
        more = _calendar_segments(self._spec, begin_ns, end_ns)
        self._segments = _joined(known, more)
        self._covered_ns = end_ns - 2 * NS_PER_DAY


def make_bars(spec: BarSpec, source: BarSource, columns: Mapping[str, ArrayLike]) -> AggregatedBars:
    """Makes the bars of a whole tape, of which the last one always forms; `columns` are those of `BarAggregator.add`.

    Raises Misconfigured as BarAggregator does, and if carried bars would be too many to keep.
    """
    _require_few(spec, columns)
    aggregator = BarAggregator(spec, source)
    finished = aggregator.add(columns)
    forming = aggregator.forming
    return AggregatedBars(finished, forming, aggregator.skipped)


def bars_of(stream: Stream, spec: BarSpec) -> AggregatedBars:
    """Makes bars of all rows of a stream. Raises Misconfigured if they cannot be made of it."""
    kind, interval_ns = stream.kind, stream.origin.interval_ns
    if kind not in FINEST_FIRST:
        raise Misconfigured(f"bars cannot be made of {kind}; name trades, quotes or bars")
    spec.require_made_of(kind, interval_ns)
    needs_sizes = spec.unit in (BarUnit.VOLUME, BarUnit.DOLLARS)
    if needs_sizes and not np.any(stream.columns[_SIZES[kind]] > 0):
        raise Misconfigured(
            f"{spec.every} cannot be made of the {kind} of {stream.symbol}: they have no sizes"
        )
    has_sides = kind is Kind.TRADES and bool(np.any(stream.columns["side"]))
    return make_bars(spec, BarSource(kind, interval_ns, has_sides=has_sides), stream.columns)


def as_dicts(bars: NDArray[np.void]) -> list[dict[str, Any]]:
    """Returns bars with the names of `FIELDS`; what the source does not know is None."""
    columns = {name: bars[name].tolist() for name in FIELDS}
    for name in _UNKNOWN_AS_NAN:
        columns[name] = null_for_nan(bars[name])
    columns["count"] = [None if value == kernel.UNKNOWN else value for value in columns["count"]]
    columns["partial"] = [bool(value) for value in columns["partial"]]
    return [dict(zip(FIELDS, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _state(spec: BarSpec, source: BarSource) -> kernel.Forming:
    state = kernel.forming_state(_MEASURES.get(spec.unit, kernel.TIME), spec.count)
    state["carries"] = spec.carries
    state["counts"] = source.kind is not Kind.BARS
    if source.kind is not Kind.TRADES:
        state["no_notional"] = np.nan
    if source.kind is not Kind.TRADES or not source.has_sides:
        state["no_side"] = np.nan
    return state


def _fixed_segments(spec: BarSpec) -> tuple[Segments, int]:
    """Returns the segments that no calendar moves and until when they reach; none if there is a calendar."""
    if spec.session is not None or spec.unit is BarUnit.MONTHS:
        return np.empty((0, 3), np.int64), -NEVER
    start_ns = _MONDAY_NS if spec.unit is BarUnit.WEEKS else 0
    return np.array([[start_ns, NEVER, spec.length_ns or NEVER]], np.int64), NEVER


def _calendar_segments(spec: BarSpec, first_ns: int, last_ns: int) -> Segments:
    if spec.session is None:
        return month_segments(first_ns, last_ns)
    return spec.session.segments(first_ns, last_ns, spec.length_ns or NEVER)


def _joined(known: Segments, more: Segments) -> Segments:
    """Returns segments and later ones; where they overlap, the known ones stay as they are."""
    if len(known):
        more = more[more[:, 0] > known[-1, 0]]
    joined = np.concatenate([known, more])
    # A session may be open for longer than a day if summer time ends within it.
    joined[:-1, 1] = np.minimum(joined[:-1, 1], joined[1:, 0])
    return np.ascontiguousarray(joined)


def _bars(chunks: list[NDArray[np.int64]]) -> NDArray[np.void]:
    """Returns the records that were taken out in turn, as one array."""
    return np.concatenate(chunks).view(kernel.BAR) if chunks else _NO_ROWS


def _flags(prices: dict[str, Column], volume: Column, columns: Mapping[str, ArrayLike]) -> Column:
    """Returns the fault of each source bar, as `kernels.bars.scan_bars` takes it."""
    flags = np.full(len(volume), _SOUND, np.int8)
    partial: Any = columns.get("partial")
    if partial is not None:
        flags[np.asarray(partial, np.bool_)] = _PARTIAL
    flags[volume < 0] = kernel.NON_POSITIVE
    flags[~np.isfinite(volume)] = kernel.MISSING
    for code, faulty in enumerate(bar_faults(prices)):
        flags[faulty] = code
    return frozen(flags, np.int8)


def _require_few(spec: BarSpec, columns: Mapping[str, ArrayLike]) -> None:
    times = np.asarray(columns.get("ts", ()))
    if not spec.carries or not spec.length_ns or not len(times):
        return
    intervals = (int(times[-1]) - int(times[0])) // spec.length_ns
    if intervals > _CARRIED_MOST:
        raise Misconfigured(
            f"fill carry would make {intervals:,} bars of {spec.every}; leave it out, or make longer bars"
        )

"""Reads a file of book messages: rows as columns, and a table of messages over them."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from autohedge.core.errors import Misconfigured
from autohedge.core.text import one_line
from autohedge.kernels.book_codes import KEY_DIGITS, NO_SEQ
from autohedge.market.book_messages import BookMessages
from autohedge.market.readers import Reader, flags_of, open_reader, readable, symbols_in
from autohedge.market.schema import TIME, listed
from autohedge.market.sources import TapeSource
from autohedge.market.tape_file import FileRequest, require_file, select_symbol
from autohedge.market.time_column import TimeColumn

if TYPE_CHECKING:
    import polars as pl

EVENT, SNAPSHOT = "event", "is_snapshot"
SEQUENCES = ("first_seq", "last_seq", "prev_seq")
_NEEDED = (TIME, EVENT, "side", "price", "size")
_SIDES = {"bid": 1, "ask": -1}
_DIGITS = 15  # which every float64 keeps; more are an artefact of arithmetic
_VALUE_CHARS = 40


def read_messages(source: TapeSource, tick: float | None = None) -> BookMessages:
    """Returns the messages of a Parquet or CSV file.

    `tick` is that of the instrument's rule; without it, it is the finest decimal among the prices. Raises
    Misconfigured, in one line, if the file cannot be read, has no columns of a book, has only some of the
    sequence numbers, or its times decrease.
    """
    path = source.path
    require_file(path)
    with TemporaryDirectory(prefix="autohedge-book-") as scratch, readable(path):
        reader = open_reader(path, Path(scratch))
        names = _columns_of(reader, str(path))
        select = select_symbol(symbols_in(reader), FileRequest(path, "", select=source.select))
        columns = _Columns(str(path))
        for block in reader.blocks(names, select):
            for name, series in block.items():
                columns.add(name, series)
    return columns.messages(tick)


def _columns_of(reader: Reader, subject: str) -> list[str]:
    """Returns the columns to read, EVENT first: it says where the messages begin."""
    found = list(reader.schema)
    for name in _NEEDED:
        if name not in found:
            wanted = ", ".join(_NEEDED)
            raise Misconfigured(
                f"{subject}: column {name} of a book ({wanted}) is missing; found {listed(found)}"
            )
    return [EVENT, *(name for name in (*_NEEDED, SNAPSHOT, *SEQUENCES) if name in found and name != EVENT)]


@dataclass(slots=True)
class _Columns:
    """The columns read so far, block by block."""

    subject: str
    _decimals: int = 0
    _rows: dict[str, int] = field(default_factory=dict)
    _parts: dict[str, list[NDArray[Any]]] = field(default_factory=dict)
    _starts: list[NDArray[np.int64]] = field(default_factory=list)
    _begins: NDArray[np.int64] | None = None
    _last_event: "pl.Series | None" = None
    _last_ns: int = 0
    _highest: float = 1.0
    _time: TimeColumn = field(init=False)

    def __post_init__(self) -> None:
        self._time = TimeColumn(self.subject, 0)

    def add(self, name: str, series: "pl.Series") -> None:
        """Adds the next block of a column."""
        row = self._rows.get(name, 0)
        self._rows[name] = row + len(series)
        if name == EVENT:
            self._add_events(series, row)
            return
        self._parts.setdefault(name, []).append(self._converted(name, series, row))

    def _add_events(self, series: "pl.Series", row: int) -> None:
        import polars as pl

        if series.null_count():
            at = row + int(series.is_null().arg_max() or 0)
            raise Misconfigured(
                f"{self.subject}: {EVENT} is missing at row {at}; give the rows of each message one value"
            )
        before = self._last_event if self._last_event is not None else series.clear()
        joined = pl.concat([before, series])
        changed = (joined.ne_missing(joined.shift(1))).to_numpy()[len(before) :].copy()
        if row == 0 and len(changed):
            changed[0] = True
        self._starts.append(np.flatnonzero(changed) + row)
        self._last_event = series.tail(1) if len(series) else before

    def _converted(self, name: str, series: "pl.Series", row: int) -> NDArray[Any]:
        if name == TIME:
            return self._ends(self._time.convert(series), row)
        if name == "side":
            return _sides(series)
        if name in ("price", "size"):
            values = _numbers(series, f"{self.subject}: column {name}", row)
            if name == "price":
                self._note_prices(values)
            return values
        heads = series[self._within(row, len(series))]
        return (
            flags_of(heads).view(np.int8)
            if name == SNAPSHOT
            else _sequence_numbers(heads, f"{self.subject}: column {name}")
        )

    def _note_prices(self, prices: NDArray[np.float64]) -> None:
        good = prices[(prices > 0.0) & (prices < np.inf)]
        self._highest = max(self._highest, float(good.max(initial=0.0)))
        self._decimals = _decimals(good, self._decimals)

    def _finest_tick(self) -> float:
        # A decimal that is finer than keys of the highest price can count would make all prices bad.
        most = KEY_DIGITS - math.ceil(math.log10(self._highest))
        return float(f"1e{-max(0, min(self._decimals, most))}")

    def _begin(self) -> NDArray[np.int64]:
        """Returns the first row of each message that was found so far."""
        if self._begins is None or len(self._starts) > 1:
            self._begins = np.concatenate(self._starts)
            self._starts = [self._begins]
        return self._begins

    def _within(self, row: int, rows: int) -> NDArray[np.int64]:
        """Returns the positions in a block at which a message begins."""
        begins = self._begin()
        first, end = begins.searchsorted((row, row + rows))
        return begins[first:end] - row

    def _ends(self, times: NDArray[np.int64], row: int) -> NDArray[np.int64]:
        """Returns the times of the rows before those that begin a message: the ends of the messages before."""
        if not len(times):
            return times
        shifted = np.concatenate([[self._last_ns], times])
        self._last_ns = int(times[-1])
        begins = self._within(row, len(times))
        return shifted[begins[1:] if row == 0 else begins]

    def messages(self, tick: float | None) -> BookMessages:
        """Returns what was read as messages."""
        rows = self._rows.get(EVENT, 0)
        if not rows:
            raise Misconfigured(f"{self.subject}: has no rows; name a file with rows")
        begins = self._begin()
        count = len(begins)
        numbers = {name: self._whole(name, np.full(count, NO_SEQ)) for name in SEQUENCES}
        return BookMessages(
            self.subject,
            self._finest_tick() if tick is None else tick,
            _is_sequenced(numbers, self.subject),
            start=np.append(begins, rows),
            ts=np.append(self._whole(TIME, begins), self._last_ns),
            is_snapshot=self._whole(SNAPSHOT, np.zeros(count, np.int8)),
            **{name: self._whole(name, begins) for name in ("side", "price", "size")},
            **numbers,
        )

    def _whole(self, name: str, absent: NDArray[Any]) -> NDArray[Any]:
        parts = self._parts.pop(name, None)
        return np.concatenate(parts) if parts else absent


def _is_sequenced(numbers: dict[str, NDArray[np.int64]], subject: str) -> bool:
    """Returns whether the messages have sequence numbers; a column without any number counts as absent."""
    present = [name for name, column in numbers.items() if (column != NO_SEQ).any()]
    if present and not {"first_seq", "last_seq"} <= set(present):
        raise Misconfigured(
            f"{subject}: has {' and '.join(present)}, but sequences need first_seq and last_seq; add what is "
            "missing, or drop the column to apply the messages as they come"
        )
    return bool(present)


def _sides(series: "pl.Series") -> NDArray[np.int8]:
    import polars as pl

    return series.cast(pl.String).replace_strict(_SIDES, default=0, return_dtype=pl.Int8).to_numpy()


def _numbers(series: "pl.Series", subject: str, row: int) -> NDArray[np.float64]:
    import polars as pl

    values = series.cast(pl.Float64, strict=False)
    lost = values.is_null() & series.is_not_null()
    if lost.any():
        at = int(lost.arg_max() or 0)
        text = one_line(str(series[at]), _VALUE_CHARS)
        raise Misconfigured(f"{subject}: {text} at row {row + at} is no number; correct it or drop the row")
    return values.fill_null(float("nan")).to_numpy()


def _sequence_numbers(heads: "pl.Series", subject: str) -> NDArray[np.int64]:
    import polars as pl

    values = heads.cast(pl.Int64, strict=False)
    if (values.is_null() & heads.is_not_null()).any():
        raise Misconfigured(f"{subject} is {heads.dtype}; make it integers")
    return values.fill_null(NO_SEQ).to_numpy()


def _decimals(prices: NDArray[np.float64], least: int) -> int:
    """Returns how many decimals positive prices print, at least `least`; digits beyond 15 in all do not count."""
    left, decimals = prices, least
    while len(left) and decimals < KEY_DIGITS:
        shown = np.rint(left * 10.0**decimals) / 10.0**decimals
        left = left[np.abs(shown - left) > left * 10.0**-_DIGITS]
        decimals += 1 if len(left) else 0
    return decimals

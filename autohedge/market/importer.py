"""Imports files: the columns are checked once and written to the column cache."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b, file_digest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from autohedge.core.errors import Misconfigured
from autohedge.core.open_files import require_open_files
from autohedge.core.text import one_line
from autohedge.market import cache
from autohedge.market.bar_ends import END, KNOWN_AT, has_bar_ends, known_column, usual_length_ns
from autohedge.market.bars import BarOverlapCheck, length_flaw, usual_gap_ns
from autohedge.market.cache import CachedColumns, Meta
from autohedge.market.column_file import write_columns
from autohedge.market.columns import Column, is_size
from autohedge.market.readers import Reader, open_reader, readable, symbols_in
from autohedge.market.schema import TIME, kind_of, require_types
from autohedge.market.sources import is_same_symbol
from autohedge.market.tape import COLUMNS, Kind

if TYPE_CHECKING:
    import polars as pl

# 1980 to 2100: times in another unit than nanoseconds fall outside.
_EARLIEST_NS = 315_532_800_000_000_000
_LATEST_NS = 4_102_444_800_000_000_000
_BEFORE_NS = 0  # before all times
_UNITS = {"microseconds": 10**3, "milliseconds": 10**6, "seconds": 10**9}
_SYMBOLS_SHOWN = 5
SYMBOL_CHARS = 60
"""The characters of a file's symbol that a message shows."""


@dataclass(frozen=True, slots=True)
class FileRequest:
    """A file to load; `content_hash` is the hash of its bytes.

    `interval_ns` is the length of its bars, 0 to measure it; `select` is the symbol to load if the file has
    several.
    """

    path: Path
    content_hash: str
    interval_ns: int = 0
    select: str | None = None


def require_file(path: Path) -> None:
    """Raises Misconfigured if there is no file at this path."""
    if not path.exists():
        raise Misconfigured(f"{path}: no such file; check the name")
    if not path.is_file():
        raise Misconfigured(f"{path}: not a file; name a Parquet or CSV file")


def hash_file(path: Path) -> str:
    """Returns the BLAKE2b-256 of a file's bytes, in hex.

    Raises Misconfigured if the file does not exist or cannot be read.
    """
    require_file(path)
    try:
        with path.open("rb") as file:
            return file_digest(file, partial(blake2b, digest_size=32)).hexdigest()
    except OSError as error:
        require_open_files(error)
        raise Misconfigured(f"{path}: cannot be read ({error.strerror}); check its permissions") from error


def load(request: FileRequest) -> CachedColumns:
    """Returns the file's columns from the cache, importing them first if needed.

    Raises Misconfigured, in one line that names file, cause and cure, if the file is not a valid tape.
    """
    # A file with one symbol is cached without `select`, under any name that the user gives it.
    for select in dict.fromkeys((None, request.select)):
        entry = cache.find(_key(request, select))
        if entry is not None:
            return entry
    return _import(request)


def _key(request: FileRequest, select: str | None) -> str:
    return cache.key_of("file", request.content_hash, request.interval_ns, select)


def _import(request: FileRequest) -> CachedColumns:
    path = request.path
    with TemporaryDirectory(prefix="autohedge-import-") as scratch:
        with readable(path):
            reader = open_reader(path, Path(scratch))
            kind = kind_of(list(reader.schema), str(path))
            require_types(reader.schema, COLUMNS[kind][1:], str(path))
            symbols = symbols_in(reader)
        plan = _Plan(request, reader, kind, select_symbol(symbols, request), symbols)
        # By the wanted spelling, so that the same request finds the entry.
        return cache.build(_key(request, request.select if plan.select else None), plan.fill)


@dataclass(frozen=True, slots=True)
class _Plan:
    """An import: which rows of a file are wanted."""

    request: FileRequest
    reader: Reader
    kind: Kind
    select: str | None
    symbols: list[str]

    def fill(self, folder: Path) -> Meta:
        request, reader = self.request, self.reader
        names = [name for name in COLUMNS[self.kind][1:] if name in reader.schema]
        interval_ns, flaw = self._interval() if self.kind is Kind.BARS else (0, "")
        known = known_column(reader.schema) if self.kind is Kind.BARS else TIME
        time = TimeColumn(str(request.path), interval_ns if known == TIME else 0)
        blocks = _converted(reader, request.path, [known, *names], self.select, time)
        written = write_columns(folder, blocks, reader.rows_max)
        if not written.rows:
            raise Misconfigured(f"{request.path}: has no rows; name a file with rows")
        # The hash names the cache entry, so the content must not have changed during the import.
        if hash_file(request.path) != request.content_hash:
            raise Misconfigured(f"{request.path}: changed while it was read; run again")
        return Meta(
            self.kind,
            written.rows,
            written.columns,
            request.content_hash,
            interval_ns,
            self.select,
            symbol=self.symbols[0] if len(self.symbols) == 1 else None,
            flaw=flaw or time.flaw,
        )

    def _interval(self) -> tuple[int, str]:
        """Returns the length of the bars, in nanoseconds, and how their starts contradict it."""
        if has_bar_ends(self.reader.schema):
            with readable(self.request.path):
                return usual_length_ns(self.reader, self.select, str(self.request.path)), ""
        with readable(self.request.path):
            first = next(self.reader.blocks([TIME], self.select), None)
        starts = first[TIME].drop_nulls().to_numpy() if first else np.empty(0, np.int64)
        named_ns = self.request.interval_ns
        if named_ns:
            return named_ns, length_flaw(starts, named_ns)
        usual_ns = usual_gap_ns(starts)
        if not usual_ns:
            raise Misconfigured(
                f"{self.request.path}: the length of its bars cannot be measured, because they are few or "
                "irregular; name the file with it, like SYMBOL_1d_bars"
            )
        return usual_ns, ""


def _converted(
    reader: Reader, path: Path, names: list[str], select: str | None, time: "TimeColumn"
) -> Iterator[dict[str, Column]]:
    blocks = reader.blocks(names, select)
    while True:
        with readable(path):
            block = next(blocks, None)
            if block is None:
                return
            columns = dict(_column(name, series, time) for name, series in block.items())
        yield columns


def _column(name: str, series: "pl.Series", time: "TimeColumn") -> tuple[str, Column]:
    if name in (TIME, END, KNOWN_AT):
        return "ts", time.convert(series)
    return name, _size(series) if is_size(name) else _price(series)


def _price(series: "pl.Series") -> Column:
    import polars as pl

    # NaN marks a bad quote, which kernels and reports count; a file may have some.
    return series.cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _size(series: "pl.Series") -> Column:
    import polars as pl

    return series.cast(pl.Float64).fill_null(0.0).fill_nan(0.0).to_numpy()


@dataclass(slots=True)
class TimeColumn:
    """Checks times block by block, and moves each bar's time from its start to its end."""

    subject: str
    interval_ns: int
    _row: int = field(default=0, init=False)
    _last_ns: int = field(default=_EARLIEST_NS, init=False)
    _gaps: BarOverlapCheck | None = field(default=None, init=False)

    @property
    def flaw(self) -> str:
        """How the times of bars contradict each other; empty if they do not."""
        return self._gaps.flaw if self._gaps else ""

    def convert(self, series: "pl.Series") -> Column:
        """Returns the times of a block, which must follow the block before.

        Raises Misconfigured if a time is missing, out of range or out of order.
        """
        import polars as pl

        if series.null_count():
            row = self._row + int(series.is_null().arg_max() or 0)
            raise Misconfigured(f"{self.subject}: {TIME} is missing at row {row}; drop the row")
        times: NDArray[np.int64] = series.cast(pl.Int64).to_numpy()
        if len(times):
            self._require_range(times)
            self._require_order(times)
            if self.interval_ns:
                self._gaps = self._gaps or BarOverlapCheck(self.interval_ns)
                self._gaps.look(times, self._last_ns if self._row else _BEFORE_NS, self._row)
            self._last_ns = int(times[-1])
        self._row += len(times)
        # A bar is known at its end only; its start would show a strategy the future.
        return times + self.interval_ns

    def _require_range(self, times: "NDArray[np.int64]") -> None:
        outside = np.flatnonzero((times < _EARLIEST_NS) | (times > _LATEST_NS))
        if len(outside):
            row = int(outside[0])
            value = int(times[row])
            raise Misconfigured(
                f"{self.subject}: {TIME} {value} at row {self._row + row} is not a time between "
                f"1980 and 2100 in nanoseconds{_likely_unit(value)}"
            )

    def _require_order(self, times: "NDArray[np.int64]") -> None:
        late = np.flatnonzero(np.diff(times, prepend=self._last_ns) < 0)
        if len(late):
            row = self._row + int(late[0])
            raise Misconfigured(f"{self.subject}: time decreases at row {row}; sort the file by {TIME}")


def _likely_unit(value: int) -> str:
    for unit, factor in _UNITS.items():
        if _EARLIEST_NS <= value * factor <= _LATEST_NS:
            return f"; it looks like {unit}, multiply by {factor}"
    return "; convert it"


def select_symbol(symbols: list[str], request: FileRequest) -> str | None:
    """Returns which of a file's symbols to load, None for all rows; raises Misconfigured if that is not clear."""
    if len(symbols) <= 1:
        return None
    if request.select in symbols:
        return request.select
    alike = [symbol for symbol in symbols if is_same_symbol(symbol, request.select or "")]
    if len(alike) == 1:
        return alike[0]
    shown = ", ".join(one_line(symbol, SYMBOL_CHARS) for symbol in symbols[:_SYMBOLS_SHOWN])
    more = ", …" if len(symbols) > _SYMBOLS_SHOWN else ""
    raise Misconfigured(
        f"{request.path}: holds {len(symbols)} symbols ({shown}{more}); name one with SYMBOL=FILE"
    )

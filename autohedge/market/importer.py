"""Imports files: the columns are checked once and written to the column cache."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from autohedge.core.errors import Misconfigured
from autohedge.market import cache
from autohedge.market.bar_ends import END, KNOWN_AT, end_by_time, has_bar_ends, known_column, usual_length_ns
from autohedge.market.bars import length_flaw, usual_gap_ns
from autohedge.market.book_cache import import_book
from autohedge.market.cache import CachedColumns, Meta
from autohedge.market.column_file import write_columns
from autohedge.market.columns import Column, is_size
from autohedge.market.readers import Reader, flags_of, open_reader, readable, symbols_in
from autohedge.market.schema import FILE_COLUMNS, NUMBERS, TIME, kind_of, require_types
from autohedge.market.sides import sides_of
from autohedge.market.stream import PARTIAL, START, Kind
from autohedge.market.tape_file import FileRequest, hash_file, select_symbol
from autohedge.market.time_column import TimeColumn

if TYPE_CHECKING:
    import polars as pl


def load(request: FileRequest) -> CachedColumns:
    """Returns the file's columns from the cache, importing them first if needed; of a book, those of its messages.

    Raises Misconfigured, in one line that names file, cause and cure, if the file is not a valid tape.
    """
    return find_imported(request) or _import(request)


def find_imported(request: FileRequest) -> CachedColumns | None:
    """Returns the columns of a file from the cache, None if they are not there; the file itself is not read."""
    # A file with one symbol is cached without `select`, under any name that the user gives it.
    for select in dict.fromkeys((None, request.select)):
        entry = cache.find(_key(request, select))
        if entry is not None:
            return entry
    return None


def _key(request: FileRequest, select: str | None) -> str:
    return cache.key_of("file", request.content_hash, request.interval_ns, select)


def _import(request: FileRequest) -> CachedColumns:
    path = request.path
    with TemporaryDirectory(prefix="autohedge-import-") as scratch:
        with readable(path):
            reader = open_reader(path, Path(scratch))
            kind = kind_of(list(reader.schema), str(path))
            names = [name for name in FILE_COLUMNS.get(kind, ()) if name in NUMBERS]
            require_types(reader.schema, names, str(path))
            symbols = symbols_in(reader)
        plan = _Plan(request, reader, kind, select_symbol(symbols, request), symbols)
        # By the wanted spelling, so that the same request finds the entry.
        key = _key(request, request.select if plan.select else None)
        if kind is Kind.BOOK:
            return import_book(request, key, plan.select, plan.only_symbol)
        return cache.build(key, plan.fill)


@dataclass(frozen=True, slots=True)
class _Plan:
    """An import: which rows of a file are wanted."""

    request: FileRequest
    reader: Reader
    kind: Kind
    select: str | None
    symbols: list[str]

    @property
    def only_symbol(self) -> str | None:
        """The only symbol that the file names, if it does."""
        return self.symbols[0] if len(self.symbols) == 1 else None

    def fill(self, folder: Path) -> Meta:
        request, reader = self.request, self.reader
        names = [name for name in FILE_COLUMNS[self.kind] if name in reader.schema]
        interval_ns, flaw = self._interval() if self.kind is Kind.BARS else (0, "")
        known = known_column(reader.schema) if self.kind is Kind.BARS else TIME
        names += [TIME] if known != TIME else []
        time = TimeColumn(str(request.path), interval_ns if known == TIME else 0)
        blocks = _converted(reader, self, [known, *names], time)
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
            symbol=self.only_symbol,
            flaw=flaw or time.flaw,
        )

    def _interval(self) -> tuple[int, str]:
        """Returns the length of the bars, in nanoseconds, and how their starts contradict it."""
        if has_bar_ends(self.reader.schema):
            if not end_by_time(self.reader):
                return 0, ""
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
    reader: Reader, plan: _Plan, names: list[str], time: TimeColumn
) -> Iterator[dict[str, Column]]:
    path = plan.request.path
    blocks, rows = reader.blocks(names, plan.select), Counter[str]()
    while True:
        with readable(path):
            block = next(blocks, None)
            if block is None:
                return
            columns = dict(_column(plan, name, each, time, rows[name]) for name, each in block.items())
        rows.update({name: len(each) for name, each in block.items()})
        yield columns


def _column(plan: _Plan, name: str, series: "pl.Series", time: TimeColumn, row: int) -> tuple[str, Column]:
    """Returns a block of a column, whose first value is at `row`, as the stream has it."""
    if name == TIME and plan.kind is Kind.BARS and has_bar_ends(plan.reader.schema):
        return START, series.to_numpy().astype(np.int64)
    if name in (TIME, END, KNOWN_AT):
        return "ts", time.convert(series)
    stored = FILE_COLUMNS[plan.kind][name]
    if stored == "side":
        return stored, sides_of(series, plan.kind, f"{plan.request.path}: {name}", row)
    if stored == PARTIAL:
        return stored, flags_of(series).view(np.int8)
    return stored, _size(series) if is_size(name) else _value(series)


def _value(series: "pl.Series") -> Column:
    """Returns prices, rates or volumes by side; a missing one is NaN."""
    import polars as pl

    # NaN marks a bad quote, which kernels and reports count; a file may have some.
    return series.cast(pl.Float64).fill_null(float("nan")).to_numpy()


def _size(series: "pl.Series") -> Column:
    import polars as pl

    return series.cast(pl.Float64).fill_null(0.0).fill_nan(0.0).to_numpy()

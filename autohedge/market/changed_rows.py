"""Names the first row in which a changed file differs from the recorded one, if the cache still has that one."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from autohedge.core.errors import Misconfigured
from autohedge.core.text import one_line
from autohedge.market.bar_ends import END
from autohedge.market.book_cache import find_levels
from autohedge.market.cache import CachedColumns
from autohedge.market.columns import Column, Columns, row_blocks, zeros
from autohedge.market.importer import find_imported, load
from autohedge.market.schema import FILE_COLUMNS, TIME
from autohedge.market.sides import SIDE_NAMES
from autohedge.market.sources import interval_of
from autohedge.market.stream import SIDE_VOLUMES, START, Kind, Origin
from autohedge.market.tape_file import SYMBOL_CHARS, FileRequest


class _Change(NamedTuple):
    """A row that differs, in a column; in none if one of the two tables ends before it."""

    row: int
    column: str


def first_change(origins: Sequence[Origin], path: Path, content_hash: str) -> str:
    """Returns what changed first in a file, such as "trades row 17: price 100.1, recorded 100.2".

    `origins` are those of the streams that the file had, one for each symbol, and `content_hash` is that of the file
    as it is. Empty if the recorded rows are no longer cached, if the file cannot be imported any more, or if none of
    the rows that are read has changed.
    """
    changes = (_change_of(origin, path, content_hash) for origin in origins)
    return next((change for change in changes if change), "")


def _change_of(origin: Origin, path: Path, content_hash: str) -> str:
    request = FileRequest(path, origin.content_hash)
    # The first run may have measured the length of bars, and have written the symbol in another way.
    lengths_ns = dict.fromkeys((interval_of(Path(origin.path or "")), origin.interval_ns, 0))
    for interval_ns, select in product(lengths_ns, (origin.select, origin.symbol)):
        imported = replace(request, interval_ns=interval_ns, select=select)
        if recorded := find_imported(imported):
            return _difference(replace(imported, content_hash=content_hash), recorded)
    return ""


def _difference(request: FileRequest, recorded: CachedColumns) -> str:
    try:
        found = load(request)
    except Misconfigured:
        return ""
    kind = recorded.meta.kind
    if found.meta.kind is not kind:
        return f"it holds {found.meta.kind}, recorded {kind}"
    if kind is Kind.BOOK:
        return _book_difference(found, recorded)
    change = _first_change(found.columns, recorded.columns)
    return _text(kind, "row", change, found, recorded) if change else ""


def _book_difference(found: CachedColumns, recorded: CachedColumns) -> str:
    levels = find_levels(found.meta), find_levels(recorded.meta)
    if levels[0] is None or levels[1] is None:
        return ""
    row = _first_change(levels[0].columns, levels[1].columns)
    message = _first_change(found.columns, recorded.columns)
    if message and (row is None or message.row < _message_of(row, recorded)):
        return _text(Kind.BOOK, "message", message, found, recorded)
    return _text(Kind.BOOK, "row", row, levels[0], levels[1]) if row else ""


def _message_of(row: _Change, book: CachedColumns) -> int:
    """Returns the number of the recorded message that has a row."""
    return int(book.columns["start"].searchsorted(row.row, side="right")) - 1


def _first_change(found: Columns, recorded: Columns) -> _Change | None:
    rows = [len(next(iter(columns.values()))) for columns in (found, recorded)]
    for block in row_blocks(min(rows)):
        changes = [
            _Change(block.start + int(at[0]), name)
            for name in dict.fromkeys((*recorded, *found))
            if len(at := np.flatnonzero(_unequal(_of(found, name)[block], _of(recorded, name)[block])))
        ]
        if changes:
            return min(changes, key=lambda change: change.row)
    return _Change(min(rows), "") if rows[0] != rows[1] else None


def _of(columns: Columns, name: str) -> Column:
    """Returns a column; if a file lacks it, zeros, as streams have it, or NaN for a volume by side."""
    if name in columns:
        return columns[name]
    rows = len(next(iter(columns.values())))
    return np.broadcast_to(np.nan, rows) if name in SIDE_VOLUMES else zeros(rows)


def _unequal(first: Column, second: Column) -> Any:
    return (first != second) & ~((first != first) & (second != second))  # noqa: PLR0124  (NaN)


def _text(kind: Kind, unit: str, change: _Change, found: CachedColumns, recorded: CachedColumns) -> str:
    where = f"{kind} {unit} {change.row}"
    if recorded.meta.select:
        where += f" of {one_line(recorded.meta.select, SYMBOL_CHARS)}"
    if not change.column:
        return f"{where} {'is missing' if found.meta.rows < recorded.meta.rows else 'was added'}"
    if change.column == "start" and kind is Kind.BOOK:
        return f"{where}: begins at another row"
    shown, before = (_value(kind, each, change) for each in (found, recorded))
    return f"{where}: {_file_name(recorded, change.column)} {shown}, recorded {before}"


def _value(kind: Kind, entry: CachedColumns, change: _Change) -> str:
    value = _of(entry.columns, change.column)[change.row].item()
    if change.column == "side":
        up, down = SIDE_NAMES[kind]
        return {1: up, -1: down}.get(value, "none")
    if change.column == "ts" and not _has_starts(entry):
        value -= entry.meta.interval_ns
    return str(value)


def _has_starts(entry: CachedColumns) -> bool:
    return entry.meta.kind is Kind.BARS and START in entry.columns


def _file_name(entry: CachedColumns, column: str) -> str:
    """Returns what files call a column."""
    if column == "ts":
        return END if _has_starts(entry) else TIME
    if column == START:
        return TIME
    names = {stored: name for name, stored in FILE_COLUMNS.get(entry.meta.kind, {}).items()}
    return names.get(column, column)

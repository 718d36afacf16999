"""Reads what bars are made of and the cache of tapes does not hold: files of trades, and details of bars."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from autohedge.core.errors import Misconfigured
from autohedge.market.bar_ends import has_bar_ends
from autohedge.market.columns import Column
from autohedge.market.readers import Reader, flags_of, open_reader, readable, symbols_in
from autohedge.market.schema import SIDE, TIME, TRADE_VALUES, is_trades, require_types
from autohedge.market.sides import sides_of
from autohedge.market.stream import Kind
from autohedge.market.tape_file import FileRequest, require_file, select_symbol
from autohedge.market.time_column import TimeColumn

if TYPE_CHECKING:
    import polars as pl

PARTIAL = "partial"
_SHOWN_CHARS = 40


def column_names(path: Path) -> list[str]:
    """Returns the names of a file's columns. Raises Misconfigured if it cannot be read."""
    with _opened(path) as reader:
        return list(reader.schema)


def read_trades(path: Path, select: str | None) -> dict[str, Column]:
    """Returns the columns ts, price, size and side (1 buy, -1 sell, 0 unknown) of a file of trades.

    `select` is the symbol if the file has several. A missing price or size is NaN. Raises Misconfigured, in one
    line, if the file is no file of trades or is damaged.
    """
    with _opened(path) as reader:
        if not is_trades(list(reader.schema)):
            raise Misconfigured(f"{path}: has no trades; name a file with the columns ts_ns, price and size")
        require_types(reader.schema, TRADE_VALUES, str(path))
        symbol = select_symbol(symbols_in(reader), FileRequest(path, "", select=select))
        has_side = SIDE in reader.schema
        time = TimeColumn(str(path), 0)
        parts: dict[str, list[Column]] = {"ts": [], "price": [], "size": [], "side": []}
        for block in reader.blocks([TIME, *TRADE_VALUES, *([SIDE] if has_side else [])], symbol):
            for name, series in block.items():
                key, column = _converted(name, series, time, str(path))
                parts[key].append(column)
    columns = {name: np.concatenate(blocks) for name, blocks in parts.items() if blocks}
    if not len(columns.get("ts", ())):
        raise Misconfigured(f"{path}: has no rows; name a file with rows")
    return columns


def read_bar_details(path: Path, select: str | None) -> dict[str, Column]:
    """Returns what a file says of its bars beyond their prices.

    That is `partial` if it has such a column, and `start` (ns) if it has their ends, so that lengths may differ.
    """
    with _opened(path) as reader:
        details: dict[str, Column] = {}
        if has_bar_ends(reader.schema):
            details["start"] = _whole(reader, TIME, select).to_numpy()
        if PARTIAL in reader.schema:
            details[PARTIAL] = flags_of(_whole(reader, PARTIAL, select))
        return details


def _whole(reader: Reader, name: str, select: str | None) -> "pl.Series":
    import polars as pl

    return pl.concat([block[name] for block in reader.blocks([name], select)])


@contextmanager
def _opened(path: Path) -> Iterator[Reader]:
    require_file(path)
    with TemporaryDirectory(prefix="autohedge-trades-") as scratch, readable(path):
        yield open_reader(path, Path(scratch))


def _converted(name: str, series: "pl.Series", time: TimeColumn, subject: str) -> tuple[str, Column]:
    import polars as pl

    if name == TIME:
        return "ts", time.convert(series)
    if name == SIDE:
        return "side", sides_of(series, Kind.TRADES, f"{subject}: {SIDE}", 0)
    return name, series.cast(pl.Float64).fill_null(float("nan")).to_numpy()

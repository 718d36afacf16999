"""Reads files in blocks, so that memory does not grow with the file."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from autohedge.core.errors import Misconfigured
from autohedge.core.open_files import require_open_files
from autohedge.core.text import one_line
from autohedge.market.archives import plain_file
from autohedge.market.csv_reader import CsvReader
from autohedge.market.schema import SYMBOL, clean_names

if TYPE_CHECKING:
    import polars as pl

BLOCK_ROWS = 1_000_000
_CAUSE_CHARS = 300
_PARQUET_MAGIC = b"PAR1"


class Reader(Protocol):
    """A file with named columns."""

    @property
    def schema(self) -> "pl.Schema":
        """The columns and their types."""
        ...

    @property
    def rows_max(self) -> int:
        """A number of rows that the file does not exceed."""
        ...

    @property
    def notes(self) -> Mapping[str, str]:
        """What the file says about itself; nothing if it is text."""
        ...

    def blocks(self, columns: Sequence[str], symbol: str | None = None) -> Iterator[dict[str, "pl.Series"]]:
        """Yields blocks of some columns, each column in file order.

        With `symbol`, only the rows of that symbol.
        """
        ...


def flags_of(series: "pl.Series") -> NDArray[np.bool_]:
    """Returns a column of flags as bool: numbers other than 0, and true or 1 as text; a missing one is False."""
    import polars as pl

    if series.dtype == pl.String:
        series = series.str.strip_chars().str.to_lowercase().is_in(["true", "1"])
    return series.cast(pl.Boolean).fill_null(value=False).to_numpy()


class ParquetReader:
    """Reads one column after the other in slices, which needs the least memory."""

    def __init__(self, path: Path, subject: str) -> None:
        import polars as pl

        # glob=False: names may have brackets, and a pattern would match other files.
        frame = pl.scan_parquet(path, glob=False)
        names = frame.collect_schema().names()
        renamed = dict(zip(names, clean_names(names, subject), strict=True))
        self._frame = frame.rename({old: new for old, new in renamed.items() if old != new})
        self.schema = self._frame.collect_schema()
        self.rows_max = int(self._frame.select(pl.len()).collect().item())
        self.notes: dict[str, str] = pl.read_parquet_metadata(path)

    def blocks(self, columns: Sequence[str], symbol: str | None = None) -> Iterator[dict[str, "pl.Series"]]:
        """See Reader; a block has one column."""
        for column in columns:
            for start in range(0, self.rows_max, BLOCK_ROWS):
                yield {column: self._slice(start, column, symbol)}

    def _slice(self, start: int, column: str, symbol: str | None) -> "pl.Series":
        import polars as pl

        names = [column] if symbol is None or column == SYMBOL else [column, SYMBOL]
        block = self._frame.select(names).slice(start, BLOCK_ROWS).collect()
        if symbol is not None:
            block = block.filter(pl.col(SYMBOL) == symbol)
        return block[column]


def open_reader(path: Path, scratch: Path) -> Reader:
    """Returns the reader for a file, by its content; an archive is unpacked into the folder `scratch`.

    Raises Misconfigured if the file is empty, or neither Parquet nor text, nor an archive of one such file.
    """
    plain = plain_file(path, scratch)
    with plain.open("rb") as file:
        is_parquet = file.read(len(_PARQUET_MAGIC)) == _PARQUET_MAGIC
    return ParquetReader(plain, str(path)) if is_parquet else CsvReader(plain, scratch, str(path))


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turns any error of the reading library into Misconfigured, with one line about the file."""
    import polars as pl

    try:
        yield
    # PanicException, because a damaged file can make the Rust code of polars panic.
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        require_open_files(error)
        cause = one_line(str(error).strip().partition("\n")[0] or type(error).__name__, _CAUSE_CHARS)
        raise Misconfigured(f"{path}: cannot be read ({cause}); repair or replace it") from error


def symbols_in(reader: Reader) -> list[str]:
    """Returns the distinct values of the column `symbol`, sorted; none without that column."""
    if SYMBOL not in reader.schema:
        return []
    found: set[str] = set()
    for block in reader.blocks([SYMBOL]):
        found.update(str(value) for value in block[SYMBOL].drop_nulls().unique())
    return sorted(found)

"""Reads Parquet and CSV in blocks, so that memory does not grow with the file."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from autohedge.core.errors import Misconfigured
from autohedge.market.schema import TIME, VALUES

if TYPE_CHECKING:
    import polars as pl

BLOCK_ROWS = 1_000_000
_CSV_BLOCK_ROWS = 100_000
_PARQUET_MAGIC = b"PAR1"
_CSV_SUFFIXES = (".csv", ".txt")


class Reader(Protocol):
    """A file with named columns."""

    @property
    def schema(self) -> "pl.Schema":
        """The columns and their types."""
        ...

    def blocks(self, columns: Sequence[str], symbol: str | None = None) -> Iterator[dict[str, "pl.Series"]]:
        """Yields blocks of some columns, each column in file order.

        With `symbol`, only the rows of that symbol.
        """
        ...


class ParquetReader:
    """Reads one column after the other in slices, which needs the least memory."""

    def __init__(self, path: Path) -> None:
        import polars as pl

        # glob=False: names may have brackets, and a pattern would match other files.
        self._frame = pl.scan_parquet(path, glob=False)
        self.schema = self._frame.collect_schema()

    def blocks(self, columns: Sequence[str], symbol: str | None = None) -> Iterator[dict[str, "pl.Series"]]:
        """See Reader; a block has one column."""
        rows = self._rows()
        for column in columns:
            for start in range(0, rows, BLOCK_ROWS):
                yield {column: self._slice(start, column, symbol)}

    def _rows(self) -> int:
        import polars as pl

        return int(self._frame.select(pl.len()).collect().item())

    def _slice(self, start: int, column: str, symbol: str | None) -> "pl.Series":
        import polars as pl

        names = [column] if symbol is None or column == "symbol" else [column, "symbol"]
        block = self._frame.select(names).slice(start, BLOCK_ROWS).collect()
        if symbol is not None:
            block = block.filter(pl.col("symbol") == symbol)
        return block[column]


class CsvReader:
    """Reads all wanted columns in one pass, because CSV has no columns to skip."""

    def __init__(self, path: Path) -> None:
        import polars as pl

        self._path = path
        # Types come from the names, not from a sample of rows, so that late values cannot contradict them.
        names = pl.scan_csv(path, infer_schema=False, glob=False).collect_schema().names()
        self.schema = pl.Schema({name: _csv_type(name) for name in names})

    def blocks(self, columns: Sequence[str], symbol: str | None = None) -> Iterator[dict[str, "pl.Series"]]:
        """See Reader; a block has all columns."""
        import polars as pl

        frame = pl.scan_csv(self._path, schema=self.schema, low_memory=True, glob=False)
        if symbol is not None:
            frame = frame.filter(pl.col("symbol") == symbol)
        frame = frame.select(columns)
        for block in frame.collect_batches(chunk_size=_CSV_BLOCK_ROWS, lazy=True):
            yield block.to_dict()


def open_reader(path: Path) -> Reader:
    """Returns the reader for a file, by its first bytes or its suffix.

    Raises Misconfigured if the file is empty, or neither Parquet nor CSV.
    """
    with path.open("rb") as file:
        magic = file.read(len(_PARQUET_MAGIC))
    if not magic:
        raise Misconfigured(f"{path}: the file is empty; name a file with rows")
    if magic == _PARQUET_MAGIC:
        return ParquetReader(path)
    if path.suffix.lower() in _CSV_SUFFIXES:
        return CsvReader(path)
    raise Misconfigured(f"{path}: not a Parquet file; convert it, or name it .csv if it is CSV")


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turns any error of the reading library into Misconfigured, with one line about the file."""
    import polars as pl

    try:
        yield
    # PanicException, because a damaged file can make the Rust code of polars panic.
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        cause = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise Misconfigured(f"{path}: cannot be read ({cause}); repair or replace it") from error


def symbols_in(reader: Reader) -> list[str]:
    """Returns the distinct values of the column `symbol`, sorted; none without that column."""
    if "symbol" not in reader.schema:
        return []
    found: set[str] = set()
    for block in reader.blocks(["symbol"]):
        found.update(str(value) for value in block["symbol"].drop_nulls().unique())
    return sorted(found)


def _csv_type(name: str) -> "type[pl.DataType]":
    import polars as pl

    if name == TIME:
        return pl.Int64
    return pl.Float64 if name in VALUES else pl.String

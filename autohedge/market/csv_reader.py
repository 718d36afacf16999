"""Reads CSV: at full speed if its numbers are plain, else as text whose values are converted one by one."""

import codecs
import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autohedge.core.errors import Misconfigured
from autohedge.market.archives import in_utf8, is_utf8
from autohedge.market.csv_values import ValueParser
from autohedge.market.schema import KNOWN, NUMBERS, SYMBOL, TIME, clean_names

if TYPE_CHECKING:
    import polars as pl

BLOCK_ROWS = 100_000
_SEPARATORS = ",;\t|"
_HEADER_BYTES = 1 << 20
_ROW_BYTES_LEAST = 16  # a time alone has more
_ROW = "row within the file"


@dataclass(frozen=True, slots=True)
class CsvHeader:
    """The first line of a CSV file."""

    names: list[str]
    separator: str
    lines_before: int
    is_utf8: bool


class CsvReader:
    """Reads all wanted columns in one pass, because CSV has no columns to skip."""

    def __init__(self, path: Path, scratch: Path, subject: str) -> None:
        import polars as pl

        self._scratch, self._subject = scratch, subject
        self._header = read_header(path, subject)
        self._path = path if self._header.is_utf8 else in_utf8(path, scratch, subject)
        # As polars names them: it makes those that are the same different.
        self._names = self._scan().collect_schema().names()
        if len(self._names) != len(self._header.names):
            raise Misconfigured(f"{subject}: its header cannot be read; write names separated by commas")
        # Types come from the names, not from a sample of rows, so that late values cannot contradict them.
        self.schema = pl.Schema({name: _type_of(name) for name in self._header.names})
        self.rows_max = path.stat().st_size // _ROW_BYTES_LEAST + 1
        self.notes: dict[str, str] = {}

    def blocks(self, columns: Sequence[str], symbol: str | None = None) -> Iterator[dict[str, "pl.Series"]]:
        """See Reader; a block has all columns."""
        import polars as pl

        rows = 0
        try:
            frame = self._scan(self.schema.dtypes())
            for block in _batches(_rows_of(frame, symbol).select(columns)):
                rows += len(block)
                yield _without_blank_lines(block).to_dict()
        except pl.exceptions.PolarsError:
            yield from self._converted(columns, symbol, rows)

    def _converted(
        self, columns: Sequence[str], symbol: str | None, done: int
    ) -> Iterator[dict[str, "pl.Series"]]:
        """Yields the blocks after the first `done` rows, which were read already."""
        import polars as pl

        if not is_utf8(self._path):
            self._path = in_utf8(self._path, self._scratch, self._subject)
        text = [pl.String()] * len(self._names)
        frame = _rows_of(self._scan(text).with_row_index(_ROW), symbol)
        parser = ValueParser(self._subject, self._header.separator)
        try:
            for block in _batches(frame.select([_ROW, *columns]).slice(done)):
                converted = pl.DataFrame(parser.converted(block, block[_ROW]))
                yield _without_blank_lines(converted).to_dict()
        except pl.exceptions.PolarsError:
            self._require_even()
            raise

    def _scan(self, types: "Sequence[pl.DataType]" = ()) -> "pl.LazyFrame":
        import polars as pl

        header = self._header
        frame = pl.scan_csv(
            self._path,
            schema=pl.Schema(zip(self._names, types, strict=True)) if types else None,
            infer_schema=False,
            separator=header.separator,
            skip_lines=header.lines_before,
            low_memory=True,
            glob=False,
        )
        return frame.rename(dict(zip(self._names, header.names, strict=True))) if types else frame

    def _require_even(self) -> None:
        """Refuses a row with more values than the header has names."""
        fields = len(self._header.names)
        with self._path.open(encoding="utf-8", errors="replace", newline="") as file:
            lines = csv.reader(file, delimiter=self._header.separator)
            for row, values in enumerate(lines, start=-1 - self._header.lines_before):
                if row >= 0 and len(values) > fields:
                    raise Misconfigured(
                        f"{self._subject}: row {row} (line {lines.line_num}) has {len(values)} values and the "
                        f"header {fields} names; quote numbers that contain a comma, or mend the row"
                    )


def read_header(path: Path, subject: str) -> CsvHeader:
    """Returns the names in the first line of a file that is not empty.

    Raises Misconfigured if the file is no text, or a known column is named twice.
    """
    with path.open("rb") as file:
        lines_before = 0
        while (line := file.readline(_HEADER_BYTES)) and not _begins_table(line):
            lines_before += 1
    if b"\0" in line:
        raise Misconfigured(
            f"{subject}: is neither a Parquet file nor CSV in UTF-8; convert it to one of the two"
        )
    text, valid = _decoded(line.removeprefix(codecs.BOM_UTF8).strip(b"\r\n"))
    readings = {separator: _split(text, separator) for separator in _SEPARATORS}
    separator = max(readings, key=lambda each: len(KNOWN.intersection(_plain(readings[each]))))
    return CsvHeader(clean_names(readings[separator], subject), separator, lines_before, valid)


def _begins_table(line: bytes) -> bool:
    """Returns whether a line is the header: not a blank line, and not that by which Excel knows the separator."""
    text = line.removeprefix(codecs.BOM_UTF8).strip()
    return bool(text) and not text.lower().startswith(b"sep=")


def _split(text: str, separator: str) -> list[str]:
    try:
        # Spaces after a separator are left out, so that a quoted name after one is understood.
        rows = list(csv.reader([text], delimiter=separator, skipinitialspace=True))
    except csv.Error:
        return [text]
    return rows[0] if rows else [text]


def _plain(names: list[str]) -> list[str]:
    return ["_".join(name.split()).lower() for name in names]


def _decoded(line: bytes) -> tuple[str, bool]:
    """Returns the text of a line, and whether it is UTF-8."""
    try:
        return line.decode(), True
    except UnicodeDecodeError:
        return line.decode("latin-1"), False


def _batches(frame: "pl.LazyFrame") -> Iterator["pl.DataFrame"]:
    return frame.collect_batches(chunk_size=BLOCK_ROWS, lazy=True)


def _without_blank_lines(block: "pl.DataFrame") -> "pl.DataFrame":
    import polars as pl

    if TIME not in block.columns or not block[TIME].null_count():
        return block
    return block.filter(pl.any_horizontal(pl.all().is_not_null()))


def _rows_of(frame: "pl.LazyFrame", symbol: str | None) -> "pl.LazyFrame":
    import polars as pl

    return frame if symbol is None else frame.filter(pl.col(SYMBOL) == symbol)


def _type_of(name: str) -> "type[pl.DataType]":
    import polars as pl

    if name == TIME:
        return pl.Int64
    return pl.Float64 if name in NUMBERS else pl.String

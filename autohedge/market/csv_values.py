"""Converts the text of CSV values to times and numbers, where it has one meaning only."""

import re
from typing import TYPE_CHECKING

from autohedge.core.errors import Misconfigured
from autohedge.core.text import one_line
from autohedge.market.schema import NUMBERS, TIME

if TYPE_CHECKING:
    import polars as pl

_VALUE_CHARS = 40
_GROUPED = r"^[+-]?\d{1,3}(,\d{3})+(\.\d*)?$"
_CERTAINLY_GROUPED = r",\d{3},|\."  # within a grouped number
_DATE_TIME = r"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?)?"
_ZONE = r"(?i)\s*(Z|UTC|[+-]\d\d:?\d\d)$"
_ISO = "%Y-%m-%dT%H:%M:%S%.f%:z"


class ValueParser:
    """Converts blocks of text columns. A message names row, column and cure; rows count from 0."""

    def __init__(self, subject: str, separator: str) -> None:
        self._subject = subject
        self._separator = separator
        self._point_seen = False

    def converted(self, block: "pl.DataFrame", rows: "pl.Series") -> "dict[str, pl.Series]":
        """Returns the block's columns with times as integers and prices and sizes as numbers.

        `rows` are the numbers of the rows in the file. Raises Misconfigured at a value without a clear meaning.
        """
        names = [name for name in block.columns if name != rows.name]
        values = {name: _stripped(block[name]) if name in (TIME, *NUMBERS) else block[name] for name in names}
        numbers = [text for name, text in values.items() if name in NUMBERS]
        # A decimal point anywhere says what the commas are, unless the file comes from where they are decimal.
        self._point_seen |= self._separator == "," and any(_has_point(text) for text in numbers)
        return {name: self._column(name, text, rows) for name, text in values.items()}

    def _column(self, name: str, text: "pl.Series", rows: "pl.Series") -> "pl.Series":
        if name == TIME:
            return self._times(text, rows)
        return self._numbers(name, text, rows) if name in NUMBERS else text

    def _times(self, text: "pl.Series", rows: "pl.Series") -> "pl.Series":
        import polars as pl

        times = text.cast(pl.Int64, strict=False)
        left = text.is_not_null() & times.is_null()
        if left.any():
            times = times.fill_null(_iso_ns(text))
            self._require_all(TIME, text, times, rows)
        return times

    def _numbers(self, name: str, text: "pl.Series", rows: "pl.Series") -> "pl.Series":
        import polars as pl

        numbers = text.cast(pl.Float64, strict=False)
        left = text.is_not_null() & numbers.is_null()
        if left.any():
            grouped = text.str.contains(_GROUPED)
            if not self._point_seen:
                grouped &= text.str.contains(_CERTAINLY_GROUPED)
            plain = text.str.replace_all(",", "", literal=True).cast(pl.Float64, strict=False)
            numbers = numbers.zip_with(~(left & grouped).fill_null(value=False), plain)
            self._require_all(name, text, numbers, rows)
        return numbers

    def _require_all(self, name: str, text: "pl.Series", values: "pl.Series", rows: "pl.Series") -> None:
        left = text.is_not_null() & values.is_null()
        if not left.any():
            return
        position = int(left.arg_max() or 0)
        value = str(text[position])
        raise Misconfigured(
            f"{self._subject}: row {rows[position]}, column {name}: {one_line(value, _VALUE_CHARS)} "
            f"{_cure_of_time(value) if name == TIME else _cure_of_number(value)}"
        )


def _stripped(text: "pl.Series") -> "pl.Series":
    """Returns the text without spaces around it; an empty one is missing."""
    stripped = text.str.strip_chars()
    return stripped.set(stripped == "", None)


def _has_point(text: "pl.Series") -> bool:
    return bool(text.str.contains(".", literal=True).any())


def _iso_ns(text: "pl.Series") -> "pl.Series":
    """Returns the nanoseconds since 1970 of ISO 8601 times with a zone; null for other text."""
    zone = text.str.extract(_ZONE).str.to_uppercase().replace(["Z", "UTC"], "+00:00")
    zone = zone.str.replace(r"^([+-]\d\d)(\d\d)$", "${1}:${2}")
    moment = text.str.replace(_ZONE, "").str.replace(" ", "T", literal=True)
    moment = moment.str.replace(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d)$", "${1}:00")
    return (moment + zone).str.to_datetime(_ISO, time_unit="ns", strict=False).dt.epoch("ns")


def _cure_of_time(value: str) -> str:
    wanted = "integer nanoseconds since 1970 (UTC), or ISO 8601 with a zone as 2024-08-06T00:00:00Z"
    if re.fullmatch(_DATE_TIME, value):
        return f"has no time zone, such as Z for UTC; write {wanted}"
    return f"is no time; write {wanted}"


def _cure_of_number(value: str) -> str:
    if "," in value:
        return "has a comma within a number; write a decimal point and no thousands separators"
    return "is no number; mend it, or leave it empty if it is missing"

"""Bars whose file has their ends: those of trades differ in length, and the last of a session may be shorter."""

from typing import TYPE_CHECKING

import numpy as np

from autohedge.core.errors import Misconfigured
from autohedge.market.bar_spec import BarSpec
from autohedge.market.schema import TIME

if TYPE_CHECKING:
    import polars as pl

    from autohedge.market.readers import Reader

END, KNOWN_AT = "end_ns", "known_ns"
EVERY = "autohedge.every"
"""The note of a Parquet file that says what ends its bars."""


def has_bar_ends(schema: "pl.Schema") -> bool:
    """Returns whether a file has the ends of its bars, as integers."""
    return END in schema and schema[END].is_integer()


def known_column(schema: "pl.Schema") -> str:
    """Returns the column with the times at which bars were known: `ts_ns`, a start, if the file has no ends."""
    if not has_bar_ends(schema):
        return TIME
    return KNOWN_AT if KNOWN_AT in schema and schema[KNOWN_AT].is_integer() else END


def end_by_time(reader: "Reader") -> bool:
    """Returns whether bars end by time; those of ticks, volume or dollars say so, because a feed may be regular."""
    try:
        return BarSpec.of(reader.notes.get(EVERY, "1m")).is_time
    except Misconfigured:  # another program's note
        return True


def usual_length_ns(reader: "Reader", select: str | None, subject: str) -> int:
    """Returns the length that at least half of the bars have, in nanoseconds; 0 if there is none.

    Raises Misconfigured if a bar ends before it starts, or has no end.
    """
    lengths: dict[int, int] = {}
    row = 0
    starts = reader.blocks([TIME], select)
    for start, end in zip(starts, reader.blocks([END], select), strict=True):
        length = (end[END] - start[TIME]).fill_null(-1).to_numpy()
        wrong = np.flatnonzero(length < 0)
        if len(wrong):
            raise Misconfigured(f"{subject}: {END} at row {row + int(wrong[0])} is missing or before {TIME}")
        for value, count in zip(*np.unique(length, return_counts=True), strict=True):
            lengths[int(value)] = lengths.get(int(value), 0) + int(count)
        row += len(length)
    usual = max(lengths, key=lambda each: lengths[each], default=0)
    return usual if row and 2 * lengths[usual] >= row else 0

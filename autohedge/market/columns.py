"""Columns: contiguous read-only arrays of one length, and the checks that every source shares."""

from collections.abc import Iterator, Mapping
from hashlib import blake2b
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from autohedge.core.errors import Misconfigured

Column: TypeAlias = NDArray[Any]
Columns: TypeAlias = Mapping[str, Column]

_WHOLE = ("ts", "row", "through", "start", "end", "first_seq", "last_seq", "prev_seq")
_DTYPES: dict[str, "np.dtype[Any]"] = {
    **dict.fromkeys(_WHOLE, np.dtype("<i8")),
    **dict.fromkeys(("lane", "source"), np.dtype("<i4")),
    **dict.fromkeys(("side", "is_snapshot", "partial"), np.dtype("i1")),
    "priced": np.dtype("?"),
}
_FLOAT: "np.dtype[Any]" = np.dtype("<f8")
_BLOCK_ROWS = 250_000


def dtype_of(name: str) -> "np.dtype[Any]":
    """Returns the little-endian type of a column."""
    return _DTYPES.get(name, _FLOAT)


def require_ordered(ts: NDArray[np.int64], subject: str) -> None:
    """Refuses times that decrease; the message names the first such row."""
    late = np.flatnonzero(ts[1:] < ts[:-1])
    if len(late):
        row = int(late[0]) + 1
        raise Misconfigured(f"{subject}: time decreases at row {row}; sort the rows by time")


def frozen(values: ArrayLike, dtype: DTypeLike) -> Column:
    """Returns a contiguous read-only array that shares memory with `values` where possible."""
    view = np.ascontiguousarray(values, dtype=dtype).view(np.ndarray)
    # Only this view becomes read-only; the caller's array stays as it is.
    view = view[:]
    view.flags.writeable = False
    return view


def zeros(rows: int, dtype: DTypeLike = np.float64) -> Column:
    """Returns a read-only column of zeros; untouched pages of it use no memory."""
    return frozen(np.zeros(rows, dtype), dtype)


def hash_columns(columns: Columns) -> str:
    """Returns the BLAKE2b-256, in hex, of the columns' names, types, lengths and bytes, in their order."""
    digest = blake2b(digest_size=32)
    for name, column in columns.items():
        digest.update(f"{name}:{column.dtype.str}:{len(column)};".encode())
        digest.update(column.data)
    return digest.hexdigest()


def is_size(name: str) -> bool:
    """Returns whether a column has sizes, which a source may omit."""
    return name.endswith("_size") or name == "volume"


def optional(values: ArrayLike | None, rows: int, dtype: DTypeLike, name: str) -> Column:
    """Returns `values` as a column of `rows` entries; zeros if it is None."""
    if values is None:
        return zeros(rows, dtype)
    return sized(values, rows, name, dtype)


def sized(values: ArrayLike, rows: int, name: str, dtype: DTypeLike = np.float64) -> Column:
    """Returns `values` as a column; raises Misconfigured unless it has `rows` entries."""
    column = frozen(values, dtype)
    if column.shape != (rows,):
        raise Misconfigured(f"{name}: shape {column.shape} where ts has ({rows},); make them equal")
    return column


def null_for_nan(values: Column) -> list[float | None]:
    """Returns the values of a column for JSON, which has no NaN: None in its place."""
    return [None if value != value else value for value in values.tolist()]  # noqa: PLR0124  (NaN)


def row_blocks(rows: int) -> Iterator[slice]:
    """Yields slices that cover rows in turn, so that what looks at all needs memory for some only."""
    for start in range(0, rows, _BLOCK_ROWS):
        yield slice(start, min(start + _BLOCK_ROWS, rows))

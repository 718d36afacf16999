"""The columns that a file must have, and the kind of rows that they mean."""

from typing import TYPE_CHECKING

from autohedge.core.errors import Misconfigured
from autohedge.market.columns import is_size
from autohedge.market.tape import COLUMNS, LOADABLE, Kind, require_loadable

if TYPE_CHECKING:
    import polars as pl

TIME = "ts_ns"
VALUES = frozenset(name for kind in LOADABLE for name in COLUMNS[kind][1:])
_MARKS = {
    Kind.BOOK_DELTAS: ("side", "price", "size"),
    Kind.TRADES: ("price", "size"),
    Kind.FUNDING: ("funding_rate",),
}


def kind_of(names: list[str], subject: str) -> Kind:
    """Returns the kind of rows for these column names; raises Misconfigured if none fits."""
    for kind in LOADABLE:
        needed = [name for name in COLUMNS[kind][1:] if not is_size(name)]
        # One price column identifies the kind, so that the message can name the missing columns.
        if any(name in names for name in needed):
            _require_columns([TIME, *needed], names, subject)
            return kind
    for kind, marks in _MARKS.items():
        if all(name in names for name in marks):
            require_loadable(kind, subject)
    wanted = "bid and ask (quotes) or open, high, low and close (bars)"
    raise Misconfigured(f"{subject}: has no columns {wanted}; found {', '.join(names)}")


def require_types(schema: "pl.Schema", kind: Kind, subject: str) -> None:
    """Refuses times that are not integers, and prices or sizes that are not numbers."""
    if not schema[TIME].is_integer():
        raise Misconfigured(f"{subject}: {TIME} is {schema[TIME]}; make it integer nanoseconds since 1970")
    for name in COLUMNS[kind][1:]:
        dtype = schema.get(name)
        # polars gives a column without any value the type Null; that is a column of missing values.
        if dtype is not None and not (dtype.is_numeric() or str(dtype) == "Null"):
            raise Misconfigured(f"{subject}: column {name} is {dtype}; make it numbers")


def _require_columns(needed: list[str], names: list[str], subject: str) -> None:
    for name in needed:
        if name not in names:
            raise Misconfigured(f"{subject}: column {name} is missing; found {', '.join(names)}")

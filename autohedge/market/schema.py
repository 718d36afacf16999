"""The columns that a file must have, and the kind of rows that they mean."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from autohedge.core.errors import Misconfigured
from autohedge.core.text import one_line
from autohedge.market.columns import is_size
from autohedge.market.stream import COLUMNS, PARTIAL, PRICE_KINDS, SIDE_VOLUMES, Kind

if TYPE_CHECKING:
    import polars as pl

TIME = "ts_ns"
SYMBOL = "symbol"
SIDE = "aggressor_side"
TRADE_VALUES = ("price", "size")
_QUOTE_VALUES, _BAR_VALUES = COLUMNS[Kind.QUOTES][1:], COLUMNS[Kind.BARS][1:]
FILE_COLUMNS: dict[Kind, dict[str, str]] = {
    Kind.QUOTES: {name: name for name in _QUOTE_VALUES},
    Kind.BARS: {name: name for name in (*_BAR_VALUES, PARTIAL, *SIDE_VOLUMES)},
    Kind.TRADES: {"price": "price", "size": "size", SIDE: "side"},
    Kind.FUNDING: {"funding_rate": "rate"},
    Kind.LIQUIDATIONS: {"side": "side", "price": "price", "size": "size"},
}
"""The columns that a file of a kind may have, and what a stream calls them."""
NUMBERS = frozenset(_QUOTE_VALUES + _BAR_VALUES + SIDE_VOLUMES + TRADE_VALUES) | {"funding_rate"}
"""The columns of files that are numbers."""
KNOWN = NUMBERS | {TIME, SYMBOL, SIDE}
_LISTED_CHARS = 200
_MARKS = {
    Kind.BOOK: ("event", "side", "price", "size"),
    Kind.LIQUIDATIONS: ("side", "price", "size"),
    Kind.TRADES: TRADE_VALUES,
    Kind.FUNDING: ("funding_rate",),
}
_OF_BOOKS = ("event", "is_snapshot", "first_seq", "last_seq")
_ORDER_BY_ORDER = "order_id"


def kind_of(names: list[str], subject: str) -> Kind:
    """Returns the kind of rows for these column names; raises Misconfigured if none fits."""
    for kind in PRICE_KINDS:
        needed = [name for name in COLUMNS[kind][1:] if not is_size(name)]
        # One price column identifies the kind, so that the message can name the missing columns.
        if any(name in names for name in needed):
            _require_columns([TIME, *needed], names, subject)
            return kind
    if any(name in names for name in _OF_BOOKS):
        _require_columns([TIME, *_MARKS[Kind.BOOK]], names, subject)
    for kind, marks in _MARKS.items():
        if all(name in names for name in marks) and _ORDER_BY_ORDER not in names:
            _require_columns([TIME], names, subject)
            return kind
    wanted = (
        "bid and ask (quotes), open, high, low and close (bars), price and size (trades), "
        "event, side, price and size (book), funding_rate, or side, price and size (liquidations)"
    )
    raise Misconfigured(f"{subject}: has no columns {wanted}; found {listed(names)}")


def require_types(schema: "pl.Schema", values: Sequence[str], subject: str) -> None:
    """Refuses times that are not integers, and prices or sizes, the columns `values`, that are not numbers."""
    if not schema[TIME].is_integer():
        raise Misconfigured(f"{subject}: {TIME} is {schema[TIME]}; make it integer nanoseconds since 1970")
    for name in values:
        dtype = schema.get(name)
        # polars gives a column without any value the type Null; that is a column of missing values.
        if dtype is not None and not (dtype.is_numeric() or str(dtype) == "Null"):
            raise Misconfigured(f"{subject}: column {name} is {dtype}; make it numbers")


def clean_names(names: Sequence[str], subject: str) -> list[str]:
    """Returns the names of a header's columns, each once and known ones without spaces and capitals.

    Raises Misconfigured if a known column is named twice.
    """
    cleaned: list[str] = []
    for position, name in enumerate(names):
        plain = "_".join(name.split()).lower()
        if plain in KNOWN and plain in cleaned:
            raise Misconfigured(f"{subject}: column {plain} is named twice; keep one of the two")
        unique = f"{name} (column {position + 1})" if name in cleaned else name
        cleaned.append(plain if plain in KNOWN else unique)
    return cleaned


def listed(names: Sequence[str]) -> str:
    """Returns column names of a file for a message."""
    return one_line(", ".join(names), _LISTED_CHARS)


def _require_columns(needed: list[str], names: list[str], subject: str) -> None:
    for name in needed:
        if name not in names:
            raise Misconfigured(f"{subject}: column {name} is missing; found {listed(names)}")

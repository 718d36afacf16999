"""The sides of trades and liquidations in files."""

from typing import TYPE_CHECKING

from autohedge.core.errors import Misconfigured
from autohedge.core.text import one_line
from autohedge.market.columns import Column
from autohedge.market.stream import Kind

if TYPE_CHECKING:
    import polars as pl

SIDE_NAMES = {
    Kind.TRADES: ("buy", "sell"),
    Kind.LIQUIDATIONS: ("long", "short"),
    Kind.BOOK: ("bid", "ask"),
}
"""What files call the sides 1 and -1."""
_CURES = {
    Kind.TRADES: "write buy or sell, or leave it empty",
    Kind.LIQUIDATIONS: "write long or short, the position that was closed; the side of a trade is aggressor_side",
}
_SHOWN_CHARS = 40


def sides_of(series: "pl.Series", kind: Kind, subject: str, row: int) -> Column:
    """Returns 1 for buy or long, -1 for sell or short, 0 where the column is empty.

    `row` is that of the first value. Raises Misconfigured for other text.
    """
    import polars as pl

    up, down = SIDE_NAMES[kind]
    text = series.cast(pl.String).str.strip_chars().str.to_lowercase().fill_null("")
    ups, downs = text == up, text == down
    others = ~(ups | downs | (text == ""))
    if others.any():
        at = int(others.arg_max() or 0)
        found = one_line(str(series[at]), _SHOWN_CHARS)
        raise Misconfigured(f"{subject} is {found} at row {row + at}; {_CURES[kind]}")
    return (ups.cast(pl.Int8) - downs.cast(pl.Int8)).to_numpy()

"""Features of bars on the terminal: the last row, and how many values are not defined."""

from typing import TYPE_CHECKING

import numpy as np
from rich.markup import escape

from autohedge.console.tables import headed_table
from autohedge.core.clock import format_utc
from autohedge.core.terminal import PrintableConsole

if TYPE_CHECKING:
    from autohedge.strategies import FeatureTable


def print_features(table: "FeatureTable", symbol: str) -> None:
    """Print the number of rows, and for each feature its last value and how many are not defined."""
    console = PrintableConsole(soft_wrap=True)
    until = format_utc(int(table.end_ns[-1]))
    console.print(escape(f"{len(table.end_ns):,} bars of {symbol}, the last one until {until} UTC"))
    shown = headed_table(("feature",), ("last value", "undefined"))
    for name, column in table.columns().items():
        undefined = int(np.count_nonzero(np.isnan(column)))
        shown.add_row(escape(name), _text(column[-1]), f"{undefined:,}")
    console.print_whole(shown)


def _text(value: float) -> str:
    return "n/a" if np.isnan(value) else f"{value:,.10g}"

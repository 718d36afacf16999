"""Indicators on the terminal: what there is, and the values over a tape."""

from typing import TYPE_CHECKING

import numpy as np
from rich.markup import escape

from autohedge.console.tables import headed_table
from autohedge.core.clock import format_utc
from autohedge.core.terminal import PrintableConsole

if TYPE_CHECKING:
    from autohedge.strategies.indicator_results import IndicatorResults


def print_indicator_list() -> None:
    """Prints the indicators with their defaults, columns and numbers of bars."""
    from autohedge.strategies.indicator_table import DEFINITIONS
    from autohedge.strategies.indicators import parse_indicator

    console = PrintableConsole(soft_wrap=True)
    table = headed_table(("indicator", "columns"), ("first value after", "settled after"))
    for name, definition in DEFINITIONS.items():
        spec = parse_indicator(name)
        columns = "" if definition.columns == (name,) else ", ".join(definition.columns)
        table.add_row(escape(definition.form), columns, f"{spec.warmup}", f"{spec.settled}")
    console.print_whole(table)
    console.print("in bars; docs/indicators.md has the formulas and sources")


def print_results(found: "IndicatorResults", symbol: str) -> None:
    """Prints the range of each column, its first place and its last value."""
    from autohedge.strategies.indicator_results import first_defined

    console = PrintableConsole(soft_wrap=True)
    console.print(escape(_headline(found, symbol)))
    table = headed_table(("indicator", "first"), ("bar", "lowest", "highest", "last"))
    for name, values in found.named_columns().items():
        first = first_defined(name.rpartition(".")[2], values)
        if first is None:
            table.add_row(escape(name), "never")
            continue
        defined = values[~np.isnan(values)]
        shown = (_shown(value) for value in (defined.min(), defined.max(), values[-1]))
        table.add_row(escape(name), format_utc(int(found.end_ns[first])), f"{first:,}", *shown)
    console.print_whole(table)


def _headline(found: "IndicatorResults", symbol: str) -> str:
    first, last = (format_utc(int(found.end_ns[at])) for at in (0, -1))
    return f"{symbol}: {len(found.end_ns):,} bars, {first} to {last} UTC"


def _shown(value: float) -> str:
    return "n/a" if np.isnan(value) else f"{value:,.6g}"

"""Made bars on the terminal: the first and the last of them, and the one that still forms."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from autohedge.core.clock import format_utc
from autohedge.core.terminal import PrintableConsole

if TYPE_CHECKING:
    from autohedge.market.bar_aggregator import AggregatedBars

_SHOWN = 5  # from the beginning, and as many from the end
_HEADINGS = ("start (UTC)", "open", "high", "low", "close", "volume", "count", "")
_PRICES = ("open", "high", "low", "close", "volume")


def print_bars(made: "AggregatedBars", every: str, source: str) -> None:
    """Print the first and last bars, and the rows that are in none by their code."""
    from autohedge.market.bar_aggregator import as_dicts

    console = PrintableConsole(soft_wrap=True)
    count = len(made.finished)
    console.print(escape(f"{count:,} bars of {every} from {source}"))
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in _HEADINGS:
        table.add_column(heading, justify="left" if heading in _HEADINGS[::7] else "right", no_wrap=True)
    shown_whole = count <= 2 * _SHOWN
    first = as_dicts(made.finished if shown_whole else made.finished[:_SHOWN])
    last = [] if shown_whole else as_dicts(made.finished[-_SHOWN:])
    forming = as_dicts(made.forming)
    decimals = {name: _decimals(name, [*first, *last, *forming]) for name in _PRICES}
    for bar in first:
        table.add_row(*_cells(bar, decimals))
    if last:
        table.add_row("…")
    for bar in last:
        table.add_row(*_cells(bar, decimals))
    for bar in forming:
        table.add_row(*_cells(bar, decimals), "forming")
    console.print_whole(table)
    skipped = ", ".join(f"{rows:,} {code}" for code, rows in made.skipped.items() if rows)
    console.print(escape(f"rows in no bar: {skipped or 'none'}"))


def _decimals(name: str, bars: list[dict[str, Any]]) -> int:
    """Returns the decimals that a column needs, so that its numbers line up."""
    texts = (f"{bar[name]:.10g}" for bar in bars)
    return max((len(text.partition(".")[2]) for text in texts if "e" not in text), default=0)


def _cells(bar: dict[str, Any], decimals: Mapping[str, int]) -> list[str]:
    numbers = [f"{bar[name]:,.{decimals[name]}f}" for name in _PRICES]
    count = "" if bar["count"] is None else f"{bar['count']:,}"
    cells = [format_utc(bar["start_ns"]), *numbers, count]
    return [*cells, "partial"] if bar["partial"] else cells

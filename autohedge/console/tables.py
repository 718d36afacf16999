"""Tables on the terminal: settings and runs, and the form of others."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from autohedge.console.formatting import amount_text
from autohedge.core.terminal import PrintableConsole

if TYPE_CHECKING:
    from autohedge.journal.folder import RunSummary
    from autohedge.journal.genesis import StudyMark


def headed_table(left: Iterable[str], right: Iterable[str]) -> Table:
    """Returns a table with columns of text under the first headings, and of numbers under the others."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in left:
        table.add_column(heading, no_wrap=True)
    for heading in right:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def print_settings(rows: Iterable[Any]) -> None:
    """Print all settings; those that are not defaults are bold."""
    console = PrintableConsole(soft_wrap=True)
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("setting", "value", "origin", "applies"):
        table.add_column(heading, no_wrap=heading == "setting")
    for row in rows:
        style = None if row.origin == "default" else "bold"
        texts = (row.key, str(row.value), row.origin, row.applies)
        table.add_row(*map(escape, texts), style=style)
    console.print_whole(table)


def print_runs(runs: "Iterable[tuple[str, RunSummary | None, StudyMark | None]]") -> None:
    """Print one line per run: symbols, rows, fills, equity, and of which run it is a what-if."""
    console = PrintableConsole(soft_wrap=True)
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("run", "symbols", "rows", "fills", "equity", "what-if"):
        is_text = heading in ("run", "symbols", "what-if")
        table.add_column(heading, justify="left" if is_text else "right", no_wrap=heading != "symbols")
    for run, summary, study in runs:
        mark = escape(f"{study.part} of {study.run}") if study else ""
        if summary is None:
            table.add_row(escape(run), "[dim]unfinished[/dim]", "", "", "", mark)
            continue
        fills, equity = f"{summary.buys + summary.sells:,}", amount_text(summary.equity)
        symbols = escape(", ".join(summary.symbols))
        table.add_row(escape(run), symbols, f"{summary.quotes:,}", fills, equity, mark)
    console.print_whole(table)

"""Tables on the terminal: settings, runs and tapes."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from autohedge.console.formatting import amount_text, duration_text
from autohedge.core.clock import format_utc
from autohedge.core.terminal import PrintableConsole

if TYPE_CHECKING:
    from autohedge.journal.folder import RunSummary
    from autohedge.journal.genesis import StudyMark
    from autohedge.market import StreamReport


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


def print_streams(reports: "Iterable[StreamReport]") -> None:
    """Print what `data check` found, one block per stream."""
    console = PrintableConsole(soft_wrap=True)
    for report in reports:
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True)
        for label, value in _stream_rows(report):
            table.add_row(label, escape(value))
        console.print_whole(table)
        console.print()


def _stream_rows(report: "StreamReport") -> Iterator[tuple[str, str]]:
    spread = report.median_spread_bps
    yield "symbol", f"{report.symbol} ({report.kind})"
    yield "rows", f"{report.rows:,}"
    yield "first", f"{format_utc(report.first_ns)} UTC"
    yield "last", f"{format_utc(report.last_ns)} UTC"
    yield "span", duration_text(report.last_ns - report.first_ns)
    yield "longest gap", duration_text(report.longest_gap_ns)
    yield "equal timestamps", f"{report.equal_stamps:,}"
    yield "missing prices", f"{report.missing:,} (or infinite)"
    yield "prices not positive", f"{report.non_positive:,}"
    if report.kind == "bars":
        yield "crossed", f"{report.crossed:,} (low above high)"
        yield "outside", f"{report.outside:,} (open or close not between low and high)"
    else:
        yield "crossed", f"{report.crossed:,} (bid above ask)"
        yield "locked", f"{report.locked:,} (bid equal to ask)"
    yield "bad_quote", f"{report.bad_quote:,} in all; a run counts and skips them"
    yield "median spread", "unknown" if spread is None else f"{spread:.2f} bps"

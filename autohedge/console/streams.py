"""What `data check` found, on the terminal."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from autohedge.console.formatting import duration_text
from autohedge.core.clock import format_utc
from autohedge.core.terminal import PrintableConsole

if TYPE_CHECKING:
    from autohedge.market import StreamReport

_MISSING = "price or size missing or infinite"
_NOT_POSITIVE = "price or size 0 or less"
_MEANINGS = {
    ("trades", "missing"): _MISSING,
    ("trades", "non_positive"): _NOT_POSITIVE,
    ("trades", "late_print"): "earlier at the exchange than a row before it; used",
    ("funding", "missing"): "rate missing or infinite",
    ("liquidations", "missing"): _MISSING,
    ("liquidations", "non_positive"): _NOT_POSITIVE,
    ("liquidations", "no_side"): "neither long nor short",
    ("book", "bad_side"): "rows neither bid nor ask",
    ("book", "bad_price"): "rows without a price, or with one out of range",
    ("book", "bad_size"): "rows without a size, or with one below 0",
    ("book", "unsorted"): "rows of snapshots out of order; used",
    ("book", "book_gap"): "messages that others are missing before",
    ("book", "crossed_book"): "messages that leave the bid above the ask",
    ("book", "dropped"): "messages too old, or too many before a snapshot",
}


def print_streams(reports: "Sequence[StreamReport]") -> None:
    """Print a block per stream, and then a line per stream with its codes that are not 0."""
    console = PrintableConsole(soft_wrap=True)
    for report in reports:
        block = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
        block.add_column(no_wrap=True)
        for label, value in _figures(report):
            block.add_row(label, escape(value))
        console.print_whole(block)
        console.print()
    console.print_whole(_codes_table(reports))


def _codes_table(reports: "Sequence[StreamReport]") -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("symbol", "kind", "rows", "codes"):
        table.add_column(
            heading, justify="right" if heading == "rows" else "left", no_wrap=heading != "codes"
        )
    for report in reports:
        found = ", ".join(f"{code} {count:,}" for code, count in report.codes.items() if count)
        table.add_row(escape(report.symbol), report.kind, f"{report.rows:,}", found or "none")
    return table


def _figures(report: "StreamReport") -> Iterator[tuple[str, str]]:
    yield "symbol", f"{report.symbol} ({report.kind})"
    yield "messages" if report.kind == "book" else "rows", f"{report.rows:,}"
    yield "first", f"{format_utc(report.first_ns)} UTC"
    yield "last", f"{format_utc(report.last_ns)} UTC"
    yield "span", duration_text(report.last_ns - report.first_ns)
    yield "longest gap", duration_text(report.longest_gap_ns)
    yield "equal timestamps", f"{report.equal_stamps:,}"
    yield from _price_figures(report) if report.kind in ("quotes", "bars") else _code_figures(report)


def _price_figures(report: "StreamReport") -> Iterator[tuple[str, str]]:
    codes, spread = report.codes, report.median_spread_bps
    yield "missing prices", f"{codes['missing']:,} (or infinite)"
    yield "prices not positive", f"{codes['non_positive']:,}"
    if report.kind == "bars":
        yield "crossed", f"{codes['crossed']:,} (low above high)"
        yield "outside", f"{codes['outside']:,} (open or close not between low and high)"
    else:
        yield "crossed", f"{codes['crossed']:,} (bid above ask)"
        yield "locked", f"{report.locked:,} (bid equal to ask)"
    yield "bad_quote", f"{report.bad_quote:,} in all; a run counts and skips them"
    yield "median spread", "unknown" if spread is None else f"{spread:.2f} bps"


def _code_figures(report: "StreamReport") -> Iterator[tuple[str, str]]:
    for code, count in report.codes.items():
        yield code, f"{count:,} ({_MEANINGS[report.kind, code]})"
    if report.kind == "trades" and "late_print" not in report.codes:
        yield "late_print", "unknown; the file has no exchange times"

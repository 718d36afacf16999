"""An order book on the terminal."""

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from autohedge.core.clock import format_utc
from autohedge.core.terminal import PrintableConsole

if TYPE_CHECKING:
    from autohedge.market.books import BookReport, BookState, FillEstimate


def print_book(report: "BookReport", levels: int, quantity: float) -> None:
    """Print the counts of a recorded book, then a block per state."""
    _print_block(_count_rows(report))
    decimals = max(-int(Decimal(str(report.tick)).as_tuple().exponent), 0)
    for state in report.states:
        _print_block(_state_rows(state, levels, quantity, decimals))


def _print_block(rows: Iterator[tuple[str, str]]) -> None:
    console = PrintableConsole(soft_wrap=True)
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    for label, value in rows:
        table.add_row(label, escape(value))
    console.print_whole(table)
    console.print()


def _count_rows(report: "BookReport") -> Iterator[tuple[str, str]]:
    yield "messages", f"{report.events:,}"
    yield "dropped", f"{report.dropped:,} (older than the book, or more than are kept for a snapshot)"
    yield "gaps", f"{report.gaps:,}"
    yield "crossed", f"{report.crossed:,} (bid above ask after a message)"
    for code, count in report.bad_rows.items():
        yield code, f"{count:,} {'rows' if count > 1 else 'row'}"
    yield "tick", f"{report.tick:.15g}"
    yield "at the end", report.end


def _state_rows(state: "BookState", levels: int, quantity: float, decimals: int) -> Iterator[tuple[str, str]]:
    yield "time", f"{state.ts_ns} ({format_utc(state.ts_ns)} UTC)"
    if state.seq is not None:
        yield "sequence", str(state.seq)
    if not state.valid:
        yield "no figures", state.code
        return
    yield "bid", f"{_number(state.bid_size)} at {state.bid:.{decimals}f}, {state.bids:,} levels"
    yield "ask", f"{_number(state.ask_size)} at {state.ask:.{decimals}f}, {state.asks:,} levels"
    yield "mid", f"{_number(state.mid)}, spread {state.spread_bps:.4g} bps"
    yield "microprice", _number(state.microprice)
    yield f"depth of {levels}", f"bid {_number(state.bid_depth)}, ask {_number(state.ask_depth)}"
    yield "imbalance", f"{state.imbalance:.4f}, weighted by distance {state.weighted_imbalance:.4f}"
    yield f"buy {quantity:g}", _order(state.buy, decimals)
    yield f"sell {quantity:g}", _order(state.sell, decimals)


def _order(order: "FillEstimate", decimals: int) -> str:
    rest = f", {_number(order.remaining)} not filled" if order.remaining > 0.0 else ""
    return (
        f"filled {_number(order.filled)}, average {_number(order.average)}, worst {order.worst:.{decimals}f}, "
        f"slippage {order.slippage_bps:.4g} bps{rest}"
    )


def _number(value: float) -> str:
    return f"{value:.10g}"

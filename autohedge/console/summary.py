"""The summary of a run: figures, deliberations, why quotes led to no trade, and what to do next."""

import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from textwrap import wrap

from rich.markup import escape
from rich.table import Table

from autohedge.console.formatting import amount_text, quantity_text
from autohedge.console.knowledge_cutoff import cutoff_warning
from autohedge.core.abstentions import degradation, describe
from autohedge.core.clock import format_utc
from autohedge.core.reasons import GATES_FROM, MEANINGS, Reason
from autohedge.core.results import DeliberationFigures, RunReport, WorkingOrder
from autohedge.core.spend import Spend
from autohedge.core.terminal import PrintableConsole

BAR_WIDTH = 10
LABEL_CHARS, FIGURE_CHARS, NOTE_CHARS = 24, 10, 28  # the least widths of a block's columns
CODES_CHARS = 76  # the least width of the table of reason codes
CLOSED_GATE_CODES = [code.label for code in Reason if GATES_FROM <= code < Reason.DELIBERATING]
Row = tuple[str, str, str]


def print_summary(report: RunReport, run: str = "") -> None:
    """Print the summary of a run; `run` names it on the command line, by default its id in `./runs`."""
    console = PrintableConsole(soft_wrap=True)
    if degraded := degradation(report.deliberations):
        console.print(f"[bold red]Degraded:[/bold red] {escape(degraded)}", end="\n\n")
    console.print(_headline(report), end="\n\n")
    _print_rows(console, _figures(report))
    console.print()
    if report.deliberations:
        console.print(_deliberations_title(report))
        _print_rows(console, _deliberations(report, report.deliberations))
        console.print()
    _print_reasons(console, report)
    run = run or report.run
    folder, command = escape(run if os.sep in run else f"runs/{run}"), escape(_command())
    console.print(f"\nRecorded in [bold]{folder}[/bold]. Next:")
    for arguments, purpose in _next_steps(report, escape(shlex.quote(run))):
        console.print(f"  {command} {arguments}\n      [dim]{purpose}[/dim]")


def _next_steps(report: RunReport, run: str) -> Iterator[tuple[str, str]]:
    if report.deliberations:
        yield f"audit {run}", "read the requests, answers and decisions"
    yield f"replay {run}", "reproduce every output from the record"
    yield f"journal verify {run}", "verify that nothing in the record has changed"
    yield f"run --set {_hint(report)}", "change a setting; `config show` lists them"


def _hint(report: RunReport) -> str:
    """A setting that changes how much a run like this trades."""
    if report.mode == "llm":
        return "trading.mode=llm --set agents.director.min_confidence_pct=70"
    return "momentum.min_edge_bps=10" if report.strategy == "momentum" else "exits.take_profit_bps=50"


def _command() -> str:
    """How to call this program: by its name if the shell finds it, else through this Python."""
    if shutil.which("autohedge"):
        return "autohedge"
    python = Path(sys.executable)
    inside = python.is_relative_to(Path.cwd())
    return f"{python.relative_to(Path.cwd()) if inside else python} -m autohedge"


def _headline(report: RunReport) -> str:
    market = "synthetic market" if report.synthetic else "recorded tape"
    symbols = escape(", ".join(report.symbols))
    period = f"{format_utc(report.first_ns)} to {format_utc(report.last_ns)} UTC"
    lines = [
        f"[bold]{report.mode}[/bold] · {escape(report.strategy)} · simulated venue, no real money",
        f"{market}: {symbols} · {report.quotes:,} rows · {period}",
    ]
    if report.synthetic:
        lines.append(f"[dim]Generated from seed {report.seed}: it says nothing about a real market.[/dim]")
    if report.bar_exits == "close":
        lines.append(
            "[bold]Exits look at the closes of bars only:[/bold] a stop-loss that is met inside a bar does not"
            " sell. The result is better than life."
        )
    cutoffs = report.agents.knowledge_cutoffs if report.agents else None
    if known := cutoff_warning(report, cutoffs or {}):
        lines.append(f"[bold]Knowledge cutoff:[/bold] {escape(known)}")
    return "\n".join(lines)


def _print_rows(console: PrintableConsole, rows: Iterator[Row]) -> None:
    """Prints labels, right-aligned figures and notes, in the same widths in each block.

    On a narrow terminal the notes get lines of their own, so that no amount is cut.
    """
    shown = list(rows)
    figure_chars = max(FIGURE_CHARS, *(len(figure) for _, figure, _ in shown))
    if console.width < LABEL_CHARS + figure_chars + NOTE_CHARS:
        for label, figure, note in shown:
            _print_narrow(console, f"{label:<{LABEL_CHARS - 1}} {figure:>{FIGURE_CHARS}}", note)
        return
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(min_width=LABEL_CHARS, no_wrap=True)
    table.add_column(min_width=FIGURE_CHARS, justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for row in shown:
        table.add_row(*map(escape, row))
    console.print(table)


def _print_narrow(console: PrintableConsole, line: str, note: str) -> None:
    """Prints a line, and its note below in as many lines as it takes."""
    console.print(escape(line.rstrip()))
    indent = "    "
    for part in wrap(note, max(console.width - len(indent), 1), break_long_words=False):
        console.print(f"{indent}{escape(part)}")


def _figures(report: RunReport) -> Iterator[Row]:
    start, equity = report.initial_cash, report.equity
    realized, unrealized = report.realized_pnl, report.unrealized_pnl
    gross = f"gross: realized {amount_text(realized)}, unrealized {amount_text(unrealized)}"
    yield "equity", amount_text(equity), f"{(equity - start) / start * 100:+.3f} % of {amount_text(start)}"
    yield "net P&L", amount_text(equity - start), gross
    yield "fees", amount_text(report.fees), _amounts(report.fees_by_currency)
    if report.balances:
        yield "cash", amount_text(report.cash), _amounts(report.balances)
    entries = report.buys if report.longs is None else report.longs + (report.shorts or 0)
    yield "entries", f"{entries:,}", _entries(report)
    yield "exits", f"{report.buys + report.sells - entries:,}", _exits(report)
    yield "winning exits", f"{report.winning_exits:,}", "before fees"
    yield "open positions", f"{len(report.open_positions):,}", _open(report)
    if orders := report.working_orders:
        yield "open orders", f"{len(orders):,}", _open_orders(orders)


def _amounts(amounts: Mapping[str, Decimal] | None) -> str:
    """Amounts by currency; empty where there is one currency."""
    return ", ".join(f"{quantity_text(amount)} {name}" for name, amount in (amounts or {}).items() if amount)


def _entries(report: RunReport) -> str:
    parts = [] if report.longs is None else [f"{report.longs:,} long, {report.shorts or 0:,} short"]
    if report.expired:
        parts.append(f"{report.expired:,} more expired without a fill")
    return "; ".join(parts)


def _exits(report: RunReport) -> str:
    kinds = {
        "take-profit": report.take_profits,
        "stop-loss": report.stop_losses,
        "trailing-stop": report.trailing_stops,
        "by signal": report.exit_signals,
    }
    parts = [f"{count:,} {kind}" for kind, count in kinds.items() if count]
    return ", ".join(parts)


def _open(report: RunReport) -> str:
    return ", ".join(
        f"{quantity_text(quantity)} {symbol}" for symbol, quantity in report.open_positions.items()
    )


def _open_orders(orders: Sequence[WorkingOrder]) -> str:
    return ", ".join(
        f"{order.side} {quantity_text(order.quantity)} {order.symbol} ({order.state})" for order in orders
    )


def _deliberations_title(report: RunReport) -> str:
    agents = report.agents
    if agents and agents.provider == "rules":
        return "[bold]Agents[/bold]  rules: a formula, no LLM"
    provider, model = (agents.provider, agents.model) if agents else ("?", "?")
    return f"[bold]Agents[/bold]  {escape(provider)} · {escape(model)}"


def _deliberations(report: RunReport, figures: DeliberationFigures) -> Iterator[Row]:
    """How the deliberations ended, what they cost, and what the gates did with signals."""
    verdicts, abstained = figures.verdicts, sum(figures.abstentions.values())
    yield "deliberations", f"{figures.asked:,}", ""
    is_formula = report.agents is not None and report.agents.provider == "rules"
    name, note = ("requests", "answered by the formula") if is_formula else ("LLM requests", "")
    yield name, f"{_requests(report):,}", note
    if figures.llm:
        yield from _spend(figures.llm)
    yield "cache hits", f"{figures.cached:,}", "a valid verdict answered"
    yield "without a request", f"{figures.bypassed:,}", "arithmetic answered"
    yield "verdicts", f"{sum(verdicts.values()):,}", _counts(verdicts)
    yield "abstentions", f"{abstained:,}", ""
    for code, count in figures.abstentions.items():
        yield f"  {code}", f"{count:,}", describe(code)
    yield "lessons", f"{figures.lessons:,}", ""
    yield from (
        _gates(report, figures) if figures.proposals is None else _proposals(figures, figures.proposals)
    )


def _spend(spend: Spend) -> Iterator[Row]:
    if cost := spend.cost_text:
        known, _, unknown = cost.partition(", ")
        yield "LLM cost", known, unknown
    if spend.llm_s:
        yield "LLM time", f"{spend.llm_s:,.1f} s", "from requests to answers"


def _requests(report: RunReport) -> int:
    count: int = report.agents.calls.get("calls", 0) if report.agents else 0
    return count


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)


def _gates(report: RunReport, figures: DeliberationFigures) -> Iterator[Row]:
    closed = sum(report.codes.get(code, 0) for code in CLOSED_GATE_CODES)
    yield "gate openings", f"{figures.opened:,}", f"{figures.closed:,} closings"
    yield "signals at an open gate", f"{(figures.gated_signals or 0) - closed:,}", ""
    yield "signals at a closed gate", f"{closed:,}", ""


def _proposals(figures: DeliberationFigures, proposals: Mapping[str, int]) -> Iterator[Row]:
    """What the engine did with the agents' proposals; abstentions have rows of their own."""
    resolved = {code: n for code, n in proposals.items() if code not in figures.abstentions}
    yield "proposals and refusals", f"{sum(resolved.values()):,}", ""
    for code, count in resolved.items():
        yield f"  {code}", f"{count:,}", describe(code)


def _print_reasons(console: PrintableConsole, report: RunReport) -> None:
    """Prints the reason codes; a narrow terminal gets no bar, and the meanings on lines of their own."""
    counts = {code: n for code, n in report.codes.items() if n}
    total = max(sum(counts.values()), 1)
    rows = [
        (code, f"{n:,}", f"{n / total:.2%}", "█" * round(n / total * BAR_WIDTH), MEANINGS[code])
        for code, n in sorted(counts.items(), key=lambda item: -item[1])
    ]
    title = "Reason code of every quote"
    if console.width < CODES_CHARS:
        console.print(title)
        for code, count, share, _, meaning in rows:
            _print_narrow(
                console, f"{code:<{LABEL_CHARS - 4}} {count:>{FIGURE_CHARS - 2}} {share:>7}", meaning
            )
        return
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column("code", no_wrap=True)
    table.add_column("count", justify="right", no_wrap=True)
    table.add_column("share", justify="right", no_wrap=True)
    table.add_column("")
    table.add_column("meaning")
    for row in rows:
        table.add_row(*row)
    console.print(table)

"""The summary of a run: figures, deliberations, why quotes led to no trade, and what to do next."""

import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from autohedge.console.formatting import amount_text, quantity_text
from autohedge.core.abstentions import degradation, describe
from autohedge.core.clock import format_utc
from autohedge.core.reasons import GATES_FROM, MEANINGS, Reason

BAR_WIDTH = 10
CLOSED_GATE_CODES = [code.label for code in Reason if GATES_FROM <= code < Reason.DELIBERATING]
Row = tuple[str, str, str]


def print_summary(results: Mapping[str, Any], run: str = "") -> None:
    """Print the summary of a run; `run` names it on the command line, by default its id in `./runs`."""
    console = Console(highlight=False, soft_wrap=True)
    if degraded := degradation(results):
        console.print(f"[bold red]Degraded:[/bold red] {escape(degraded)}", end="\n\n")
    console.print(_headline(results), end="\n\n")
    console.print(_table(_figures(results)))
    console.print()
    if "deliberations" in results:
        console.print(_deliberations_title(results))
        console.print(_table(_deliberations(results)))
        console.print()
    console.print(_reason_table(results))
    run = run or results["run"]
    folder, command = escape(run if os.sep in run else f"runs/{run}"), escape(_command())
    console.print(f"\nRecorded in [bold]{folder}[/bold]. Next:")
    for arguments, purpose in _next_steps(results, escape(shlex.quote(run))):
        console.print(f"  {command} {arguments}\n      [dim]{purpose}[/dim]")


def _next_steps(results: Mapping[str, Any], run: str) -> Iterator[tuple[str, str]]:
    if "deliberations" in results:
        yield f"audit {run}", "read the requests, answers and decisions"
    yield f"replay {run}", "reproduce every output from the record"
    yield f"journal verify {run}", "verify that nothing in the record has changed"
    yield f"run --set {_hint(results)}", "change a setting; `config show` lists them"


def _hint(results: Mapping[str, Any]) -> str:
    """A setting that changes how much a run like this trades."""
    if results["mode"] == "llm":
        return "trading.mode=llm --set agents.director.min_confidence_pct=70"
    return "momentum.min_edge_bps=10"


def _command() -> str:
    """How to call this program: by its name if the shell finds it, else through this Python."""
    if shutil.which("autohedge"):
        return "autohedge"
    python = Path(sys.executable)
    inside = python.is_relative_to(Path.cwd())
    return f"{python.relative_to(Path.cwd()) if inside else python} -m autohedge"


def _headline(results: Mapping[str, Any]) -> str:
    market = "synthetic market" if results["synthetic"] else "recorded tape"
    symbols = escape(", ".join(results["symbols"]))
    period = f"{format_utc(results['first_ns'])} to {format_utc(results['last_ns'])} UTC"
    lines = [
        f"[bold]{results['mode']}[/bold] · {escape(results['strategy'])} · simulated venue, no real money",
        f"{market}: {symbols} · {results['quotes']:,} rows · {period}",
    ]
    if results["synthetic"]:
        lines.append(
            f"[dim]Generated from seed {results['seed']}: it says nothing about a real market.[/dim]"
        )
    return "\n".join(lines)


def _table(rows: Iterator[Row]) -> Table:
    """A table of a label, a right-aligned figure and a note; the same widths in each block."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(min_width=24)
    table.add_column(min_width=10, justify="right")
    table.add_column()
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def _figures(results: Mapping[str, Any]) -> Iterator[Row]:
    start, equity = Decimal(results["initial_cash"]), Decimal(results["equity"])
    realized, unrealized = Decimal(results["realized_pnl"]), Decimal(results["unrealized_pnl"])
    gross = f"gross: realized {amount_text(realized)}, unrealized {amount_text(unrealized)}"
    yield "equity", amount_text(equity), f"{(equity - start) / start * 100:+.3f} % of {amount_text(start)}"
    yield "net P&L", amount_text(equity - start), gross
    yield "fees", amount_text(Decimal(results["fees"])), ""
    yield "entries", f"{results['buys']:,}", _expired(results)
    yield "exits", f"{results['sells']:,}", _exits(results)
    yield "winning exits", f"{results['winning_exits']:,}", "before fees"
    yield "open positions", f"{len(results['open_positions']):,}", _open(results)


def _expired(results: Mapping[str, Any]) -> str:
    return f"{results['expired']:,} more expired without a fill" if results["expired"] else ""


def _exits(results: Mapping[str, Any]) -> str:
    kinds = {
        "take-profit": results["take_profits"],
        "stop-loss": results["stop_losses"],
        "trailing-stop": results.get("trailing_stops", 0),
        "by signal": results["exit_signals"],
    }
    parts = [f"{count:,} {kind}" for kind, count in kinds.items() if count]
    return ", ".join(parts)


def _open(results: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{quantity_text(quantity)} {symbol}" for symbol, quantity in results["open_positions"].items()
    )


def _deliberations_title(results: Mapping[str, Any]) -> str:
    agents = results.get("slow", {})
    if agents.get("provider") == "rules":
        return "[bold]Agents[/bold]  rules: a formula, no LLM"
    return f"[bold]Agents[/bold]  {escape(agents.get('provider', '?'))} · {escape(agents.get('model', '?'))}"


def _deliberations(results: Mapping[str, Any]) -> Iterator[Row]:
    """How the deliberations ended, what they cost, and what the gates did with signals."""
    figures = results["deliberations"]
    verdicts, abstained = figures["verdicts"], sum(figures["abstentions"].values())
    yield "deliberations", f"{figures['asked']:,}", ""
    is_formula = results.get("slow", {}).get("provider") == "rules"
    name, note = ("requests", "answered by the formula") if is_formula else ("LLM requests", "")
    yield name, f"{_requests(results):,}", note
    yield "cache hits", f"{figures['cached']:,}", "a valid verdict answered"
    yield "without a request", f"{figures['bypassed']:,}", "arithmetic answered"
    yield "verdicts", f"{sum(verdicts.values()):,}", _counts(verdicts)
    yield "abstentions", f"{abstained:,}", ""
    for code, count in figures["abstentions"].items():
        yield f"  {code}", f"{count:,}", describe(code)
    yield "lessons", f"{figures['lessons']:,}", ""
    yield from _proposals(figures) if "disposed" in figures else _gates(results)


def _requests(results: Mapping[str, Any]) -> int:
    count: int = results.get("slow", {}).get("calls", {}).get("calls", 0)
    return count


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)


def _gates(results: Mapping[str, Any]) -> Iterator[Row]:
    figures = results["deliberations"]
    closed = sum(results["codes"].get(code, 0) for code in CLOSED_GATE_CODES)
    yield "gate openings", f"{figures['opened']:,}", f"{figures['closed']:,} closings"
    yield "signals at an open gate", f"{figures.get('wishes', 0) - closed:,}", ""
    yield "signals at a closed gate", f"{closed:,}", ""


def _proposals(figures: Mapping[str, Any]) -> Iterator[Row]:
    """What the engine did with the agents' proposals; abstentions have rows of their own."""
    resolved = {code: n for code, n in figures["disposed"].items() if code not in figures["abstentions"]}
    yield "proposals and refusals", f"{sum(resolved.values()):,}", ""
    for code, count in resolved.items():
        yield f"  {code}", f"{count:,}", describe(code)


def _reason_table(results: Mapping[str, Any]) -> Table:
    counts = {code: n for code, n in results["codes"].items() if n}
    total = max(sum(counts.values()), 1)
    table = Table(title="Reason code of every quote", title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column("code")
    table.add_column("count", justify="right")
    table.add_column("share", justify="right")
    table.add_column("")
    table.add_column("meaning")
    for code, n in sorted(counts.items(), key=lambda item: -item[1]):
        bar = "█" * round(n / total * BAR_WIDTH)
        table.add_row(code, f"{n:,}", f"{n / total:.2%}", bar, MEANINGS[code])
    return table

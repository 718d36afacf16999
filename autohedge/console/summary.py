"""What a person sees after a run: figures, why there was no trade, and what to do next."""

import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import fields
from decimal import Decimal
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from autohedge.core.abstentions import describe
from autohedge.core.clock import format_utc
from autohedge.core.reasons import MEANINGS
from autohedge.core.units import CENTS

BAR_WIDTH = 10


def print_summary(results: Mapping[str, Any]) -> None:
    """The summary of a run, for a trader."""
    console = Console(highlight=False, soft_wrap=True)
    console.print(_headline(results))
    console.print()
    console.print(_figures(results))
    console.print()
    if "deliberations" in results:
        console.print(_deliberation_text(results))
        console.print()
    console.print(_reason_table(results))
    run, command = escape(results["run"]), escape(_command())
    console.print(f"\nRecorded in [bold]runs/{run}[/bold]. Next:")
    audits = [(f"audit {run}", "read what was asked, what was said, and what came of it")]
    for verbs, purpose in (
        *(audits if "deliberations" in results else []),
        (f"replay {run}", "reproduce every decision from the record"),
        (f"journal verify {run}", "check that nothing in it was changed"),
        (f"run --set {_hint(results)}", "change a setting; config.toml has them all"),
    ):
        console.print(f"  {command} {verbs}\n      [dim]{purpose}[/dim]")


def _hint(results: Mapping[str, Any]) -> str:
    """A setting that changes what a run like this buys."""
    if results["mode"] == "llm":
        return "trading.mode=llm --set agents.director.min_confidence_pct=70"
    return "momentum.min_edge_bps=10"


def _command() -> str:
    """How to call this program again: its name if the shell finds it, else through this Python."""
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


def _figures(results: Mapping[str, Any]) -> Table:
    start, equity = Decimal(results["initial_cash"]), Decimal(results["equity"])
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_row(
        "equity", f"{_money(equity)}", f"{(equity - start) / start * 100:+.3f} % of {_money(start)}"
    )
    table.add_row("realized", _money(Decimal(results["realized_pnl"])), "before fees")
    table.add_row("unrealized", _money(Decimal(results["unrealized_pnl"])), _open(results))
    table.add_row("fees", _money(Decimal(results["fees"])), "")
    table.add_row("orders", f"{results['buys']} buys, {results['sells']} sells", _exits(results))
    return table


def _deliberation_text(results: Mapping[str, Any]) -> str:
    """What became of the questions to the models, or to what stood in for them."""
    deliberations, agents = results["deliberations"], results.get("slow", {})
    who = f"{agents.get('provider', '?')} · {agents.get('model', '?')}"
    if agents.get("provider") == "rules":
        who = "rules, a written formula: no model was asked"
    name, lines = _disposed(deliberations) if "disposed" in deliberations else _gates(deliberations)
    made = f"{deliberations['asked']} questions: {agents.get('calls', {}).get('calls', 0)} calls made"
    lines = [
        f"[bold]{name}[/bold]  decided by {escape(who)}",
        *lines,
        f"      {made}, {_saved_calls(deliberations)}",
    ]
    lines += [
        escape(f"      {n:,} {code}: {describe(code)}") for code, n in deliberations["abstentions"].items()
    ]
    return "\n".join(lines)


def _gates(deliberations: Mapping[str, Any]) -> tuple[str, list[str]]:
    transitions = f"opened {deliberations['opened']} times, closed {deliberations['closed']} times"
    return "gate", [f"      {transitions}; {_verdicts(deliberations)}"]


def _disposed(deliberations: Mapping[str, Any]) -> tuple[str, list[str]]:
    """What the engine made of the agents' proposals; abstentions have lines of their own."""
    ended = {
        code: n for code, n in deliberations["disposed"].items() if code not in deliberations["abstentions"]
    }
    lines = [escape(f"      {n:,} {code}: {describe(code)}") for code, n in ended.items()]
    return "team", [f"      {_verdicts(deliberations)}", *lines]


def _verdicts(deliberations: Mapping[str, Any]) -> str:
    verdicts, abstained = deliberations["verdicts"], sum(deliberations["abstentions"].values())
    verdict_counts = f"{verdicts.get('trade', 0)} trade, {verdicts.get('no_trade', 0)} no_trade"
    return f"{verdict_counts}, {abstained} abstentions, {deliberations['lessons']} lessons"


def _saved_calls(deliberations: Mapping[str, Any]) -> str:
    """Calls that were not needed; a wish to buy is one only where a gate answers it."""
    gated_signals = deliberations.get("wishes", 0)
    reasons = {
        "wishes to buy met a verdict at hand": gated_signals,
        "questions met a kept verdict": deliberations["cached"],
        "questions needed no model": deliberations["bypassed"],
    }
    why = ", ".join(f"{n} {reason}" for reason, n in reasons.items() if n)
    return f"{sum(reasons.values())} saved ({why})" if why else "none saved"


def _open(results: Mapping[str, Any]) -> str:
    held = [f"{quantity} {symbol}" for symbol, quantity in results["open_positions"].items()]
    return "open: " + escape(", ".join(held)) if held else "nothing open"


def _exits(results: Mapping[str, Any]) -> str:
    parts = [
        f"{results['take_profits']} take-profits",
        f"{results['stop_losses']} stop-losses",
        f"{results['trailing_stops']} trailing-stops" if results.get("trailing_stops") else "",
        f"{results['exit_signals']} by signal" if results["exit_signals"] else "",
        f"{results['expired']} entries expired" if results["expired"] else "",
        f"{results['winning_exits']} of {results['sells']} exits gained before fees"
        if results["sells"]
        else "",
    ]
    return ", ".join(part for part in parts if part)


def _reason_table(results: Mapping[str, Any]) -> Table:
    counts = {code: n for code, n in results["codes"].items() if n}
    total = max(sum(counts.values()), 1)
    table = Table(title="What became of every quote", title_justify="left", box=None, padding=(0, 2, 0, 0))
    table.add_column("code")
    table.add_column("count", justify="right")
    table.add_column("share", justify="right")
    table.add_column("")
    table.add_column("meaning")
    for code, n in sorted(counts.items(), key=lambda item: -item[1]):
        bar = "█" * round(n / total * BAR_WIDTH)
        table.add_row(code, f"{n:,}", f"{n / total:.2%}", bar, MEANINGS[code])
    return table


def print_settings(rows: Iterable[Any]) -> None:
    """All settings, those that someone chose in bold."""
    console = Console(highlight=False, soft_wrap=True)
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("setting", "value", "origin"):
        table.add_column(heading)
    for row in rows:
        style = None if row.origin == "default" else "bold"
        table.add_row(escape(row.key), escape(str(row.value)), escape(row.origin), style=style)
    console.print(table)


def print_runs(runs: Iterable[tuple[str, Mapping[str, Any] | None]]) -> None:
    """One line per run: what traded, and what it came to."""
    console = Console(highlight=False, soft_wrap=True)
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("run", "symbols", "rows", "fills", "equity"):
        is_text = heading in ("run", "symbols")
        table.add_column(heading, justify="left" if is_text else "right", no_wrap=heading != "symbols")
    for run, results in runs:
        if results is None:
            table.add_row(escape(run), "[dim]did not finish[/dim]", "", "", "")
            continue
        fills, equity = str(results["buys"] + results["sells"]), _money(Decimal(results["equity"]))
        symbols = escape(", ".join(results["symbols"]))
        table.add_row(escape(run), symbols, f"{results['quotes']:,}", fills, equity)
    console.print(table)


def print_streams(reports: Iterable[Any]) -> None:
    """What `data check` found, one block per stream."""
    console = Console(highlight=False, soft_wrap=True)
    for report in reports:
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
        for field in fields(report):
            value = getattr(report, field.name)
            shown = format_utc(value) if field.name in {"first_ns", "last_ns"} else str(value)
            table.add_row(field.name, escape(shown))
        console.print(table)


def _money(amount: Decimal) -> str:
    return f"{amount.quantize(CENTS):,}"

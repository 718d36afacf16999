"""The scores of verdicts on a terminal."""

from collections.abc import Iterator
from textwrap import wrap
from typing import Any

from rich.table import Table
from rich.text import Text

from autohedge.audit.figures import count, percent
from autohedge.audit.verdict_json import scores_as_dict
from autohedge.audit.verdict_scores import VerdictScores
from autohedge.core.terminal import PrintableConsole
from autohedge.llm.errors import one_line

LABEL_CHARS = 13
ABSENT = "–"
MISSED_NAMES = {
    "no_trade_long": "no_trade, as a long",
    "no_trade_short": "no_trade, as a short",
    "refused": "refused by another agent",
}


def print_scores(scores: VerdictScores) -> None:
    """Prints the counts, the hit rate in each band of confidence, the forecast, and the sentence."""
    found = scores_as_dict(scores)
    console = PrintableConsole(markup=False)
    for run in found["runs"]:
        who = " · ".join(one_line(run[name]) for name in ("mode", "provider", "model") if run[name])
        console.print(Text(f"{run['run']} · {who}", "bold"))
    for label, value in _facts(found):
        _print_fact(console, label, value)
    console.print()
    console.print_whole(_table(found))
    console.print()
    for line in wrap(found["sentence"], console.width):
        console.print(Text(line), soft_wrap=True)


def _print_fact(console: PrintableConsole, label: str, value: str) -> None:
    lines = wrap(value, max(console.width - LABEL_CHARS, 20), break_on_hyphens=False) or [""]
    text = Text(f"{label:<{LABEL_CHARS}}", "bold")
    text.append(f"\n{' ' * LABEL_CHARS}".join(lines), "not bold")
    console.print(text, soft_wrap=True)


def _facts(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    counts, entries = found["counts"], found["entries"]
    kinds = _listed(counts["kinds"])
    cached = f"; {counts['cached']:,} from the cache" if counts["cached"] else ""
    yield "Verdicts", f"{counts['verdicts']:,}: {kinds}{cached}"
    if others := _listed(counts["without_verdict"]):
        yield "No verdict", others
    yield "Entries", _listed(entries["outcomes"]) or "none"
    yield "Return", f"{_bps(entries['return_bps']['mean'])} after fees, on average of those with an outcome"
    yield "Forecast", _forecast(entries["forecast"])
    position, agreement = found["position"], found["agreement"]
    if position["first_share"] is not None:
        yield "Position", f"{percent(position['first_share'])} answered what the prompt names first"
    if agreement["questions"]:
        samples = count(agreement["questions"], "question")
        yield "Agreement", f"{agreement['mean_pct']:.0f} % of the samples on average, of {samples}"
    yield "Per verdict", _costs(found["costs"]["per_verdict"])


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{number:,} {one_line(name)}" for name, number in counts.items() if number)


def _forecast(forecast: dict[str, Any]) -> str:
    if forecast["skill"] is None:
        return f"not defined: {next(iter(forecast['undefined'].values()))}"
    scores = f"Brier score {forecast['brier']:.4f}, of the base rate {forecast['brier_base']:.4f}"
    return f"{scores}, skill {forecast['skill']:+.3f}"


def _costs(each: dict[str, Any]) -> str:
    parts = [f"{each['calls']:.2f} calls"]
    if each["prompt_tokens"] is not None:
        parts += [f"{each['prompt_tokens']:,.0f} + {each['completion_tokens']:,.0f} tokens"]
    parts += [f"{each['service_s']:.2f} s"]
    if "cost_usd" in each:
        parts += [f"{each['cost_usd']:.6f} USD"]
    return ", ".join(parts)


def _bps(value: float | None) -> str:
    return ABSENT if value is None else f"{value:+.2f} bps"


def _table(found: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("confidence", no_wrap=True)
    for heading in ("with outcome", "target met", "95 % interval", "base rate"):
        table.add_column(heading, justify="right", no_wrap=True)
    for band in found["entries"]["bands"]:
        table.add_row(f"{band['least_pct']} to {band['most_pct']} %", *_rate_cells(band), "")
    table.add_row("all", *_rate_cells(found["entries"]), _share(found["entries"]["base_rate"]))
    for name, title in MISSED_NAMES.items():
        if sum(found["missed"][name]["outcomes"].values()):
            missed = found["missed"][name]
            table.add_row(title, *_rate_cells(missed), _share(missed["base_rate"]))
    return table


def _rate_cells(rate: dict[str, Any]) -> tuple[str, str, str]:
    interval = rate["interval_95"]
    ends = ABSENT if interval is None else f"{percent(interval[0], 1)} to {percent(interval[1], 1)}"
    return f"{rate['n']:,}", _share(rate["rate"]), ends


def _share(value: float | None) -> str:
    return ABSENT if value is None else percent(value, 1)

"""A study on a terminal: what changed, what it came to on the same snapshots, what it came to as a run."""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from autohedge.core.abstentions import describe
from autohedge.core.clock import format_utc
from autohedge.core.units import CENTS
from autohedge.llm.errors import one_line
from autohedge.whatif.reask import DecisionPair, ReaskResult
from autohedge.whatif.recorded_run import RecordedQuestion
from autohedge.whatif.simulations import RunPair
from autohedge.whatif.study import Study

SHOWN = 20
FEW = 5
INDENT = "  "
STYLES = {"trade": "green", "no_trade": "yellow", "abstain": "red"}
FIGURES = {
    "equity": "equity",
    "realized_pnl": "realized, before fees",
    "unrealized_pnl": "unrealized",
    "fees": "fees",
    "buys": "buys",
    "sells": "sells",
    "winning_exits": "exits that gained before fees",
}


def print_study(study: Study) -> None:
    """Both answers, one after the other."""
    console = Console(highlight=False, markup=False, emoji=False)
    record = study.record
    console.print(Text(f"What if · {record.folder.id} · {record.settings.trading.mode}", "bold"))
    for line in study.plan.differences:
        console.print(Text(f"{INDENT}{one_line(line)}"))
    for title, pieces in (
        ("On the same snapshots", _reask_pieces(study.reasked, console.width)),
        ("As a whole run, simulated twice", _runs(study)),
    ):
        console.print(Text(f"\n{title}", "bold"))
        for piece in pieces:
            console.print(piece)


def _reask_pieces(reasked: ReaskResult, width: int) -> Iterator[Text]:
    if reasked.no_question_reason:
        yield Text(f"{INDENT}{reasked.no_question_reason}")
    else:
        yield from _counts(reasked, width)
        for each in reasked.changed[:SHOWN]:
            yield from _compared(each, width)
        yield from _more(len(reasked.changed) - SHOWN, "changed decisions")
    yield from _lessons(reasked, width)


def _counts(reasked: ReaskResult, width: int) -> Iterator[Text]:
    compared, changed = len(reasked.compared), len(reasked.changed)
    yield Text(
        f"{INDENT}{compared} questions had reached an agent: {compared - changed} same, {changed} changed"
    )
    who = f"{one_line(reasked.who.provider)} · {one_line(reasked.who.model)}"
    yield Text(
        f"{INDENT}{reasked.reused} requests had a recorded answer that holds, {reasked.sent_count} were asked of {who}"
    )
    apart = {
        "needed no model": reasked.bypassed,
        "met a kept verdict": reasked.cached,
        "never came to an agent": reasked.unreached,
        "had no answer": reasked.unanswered,
    }
    if skipped := ", ".join(f"{count} {what}" for what, count in apart.items() if count):
        yield Text(f"{INDENT}not asked again: {skipped}")
    for ways, count in reasked.transitions.most_common():
        yield Text(f"{INDENT}{count:>5}  {one_line(ways)}")
    for when, now in (("then", False), ("now", True)):
        for code, count in reasked.abstentions(now=now).most_common():
            yield _cut(
                f"{INDENT}{count:>5}  abstentions {when}: {one_line(code)}: {one_line(describe(code))}", width
            )


def _compared(each: DecisionPair, width: int) -> Iterator[Text]:
    head = Text(f"{INDENT}#{each.number:<5}{format_utc(each.at_ns)[:19]}  {one_line(each.symbol):<10}")
    head.append(str(each.was), STYLES.get(each.was.verdict, ""))
    head.append(" → ")
    head.append(str(each.now), STYLES.get(each.now.verdict, ""))
    yield head
    for label, view in (("was", each.was), ("now", each.now)):
        details = " · ".join(part for part in (view.figures, view.why) if part)
        yield _cut(f"{INDENT * 4}{label}  {details}", width)


def _lessons(reasked: ReaskResult, width: int) -> Iterator[Text]:
    if reasked.lessons:
        yield Text(f"{INDENT}{len(reasked.lessons)} lessons were learned then, and are shown as they were:")
    for number, at_ns, lesson in reasked.lessons[:FEW]:
        yield _cut(f"{INDENT}#{number:<5}{format_utc(at_ns)[:19]}  {lesson}", width)
    yield from _more(len(reasked.lessons) - FEW, "lessons")


def _cut(line: str, width: int) -> Text:
    text = Text(line, "dim")
    text.truncate(width, overflow="ellipsis")
    return text


def _more(count: int, what: str) -> Iterator[Text]:
    if count > 0:
        yield Text(f"{INDENT}{count} more {what}; --json has all", "dim")


def _runs(study: Study) -> Iterator[Text | Table]:
    runs = study.runs
    yield _figures(runs)
    yield Text(f"{INDENT}baseline  runs/{runs.baseline['run']}  {_standing(study)}")
    yield Text(f"{INDENT}variant   runs/{runs.variant['run']}")
    alone = f"{len(runs.unmatched[0])} only in the baseline, {len(runs.unmatched[1])} only in the variant"
    yield Text(
        f"{INDENT}questions: {runs.same} with the same outcome, {len(runs.divergences)} with another, {alone}"
    )
    if runs.unrecorded:
        yield Text(
            f"{INDENT}{runs.unrecorded} questions of the baseline are not in the record: abstentions, unrecorded"
        )
    if not runs.comparable:
        yield Text(
            f"{INDENT}So many that the two say nothing about each other: go by the same snapshots above.",
            "bold",
        )
    if runs.reused or runs.sent_count:
        yield Text(
            f"{INDENT}the variant took {runs.reused} answers that were known, and asked {runs.sent_count} times"
        )
    for each in runs.divergences[:FEW]:
        head = f"{INDENT}{format_utc(each.at_ns)[:19]}  {one_line(each.place.symbol):<10}"
        yield Text(f"{head}{each.baseline} → {each.variant}")
    yield from _more(len(runs.divergences) - FEW, "with another outcome")
    for where, pasts in zip(("baseline", "variant"), runs.unmatched, strict=True):
        yield from _alone(where, pasts)
    yield Text(f"{INDENT}One pair of runs on one tape proves nothing about the future.", "dim")


def _figures(runs: RunPair) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=True)
    for heading in ("", "baseline", "variant", "difference"):
        table.add_column(heading, justify="right" if heading else "left")
    for figure, label in FIGURES.items():
        row = (runs.baseline[figure], runs.variant[figure])
        difference = _shown(runs.difference(figure), signed=True) if runs.comparable else "n/a"
        table.add_row(f"{INDENT}{label}", *map(_shown, row), difference)
    return table


def _shown(figure: Any, *, signed: bool = False) -> str:
    """Money to the cent, counts as they are; a difference with its sign, and none as a plain 0."""
    amount = Decimal(figure)
    if signed and not amount:
        return "0"
    sign = "+" if signed else ""
    return f"{figure:{sign}}" if isinstance(figure, int) else f"{amount.quantize(CENTS):{sign},}"


def _standing(study: Study) -> str:
    """What the baseline is to the recorded run."""
    if study.record.on_clock:
        return "(that run was on a clock: this is it again in virtual time)"
    match study.reproduced:
        case None:
            return "(the recorded run has no result to compare it with)"
        case True:
            return "(the recorded result again, fill for fill)"
        case _:
            return "(not the recorded result; autohedge replay says why)"


def _alone(where: str, pasts: Iterable[RecordedQuestion]) -> Iterator[Text]:
    for past in list(pasts)[:FEW]:
        question, decided = past.question, past.decision.verdict if past.decision else "no answer"
        head = f"{INDENT}{format_utc(question.at_ns)[:19]}  {one_line(question.symbol):<10}"
        yield Text(f"{head}only in the {where}: {question.kind}, {decided}")

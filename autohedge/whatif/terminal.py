"""A study on a terminal: what changed, what it came to on the same snapshots, what it came to as a run."""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from autohedge.core.abstentions import told
from autohedge.core.clock import readable
from autohedge.llm.failures import plain
from autohedge.whatif.again import Again, Compared
from autohedge.whatif.record import Past
from autohedge.whatif.runs import Runs
from autohedge.whatif.study import Study

SHOWN = 20
FEW = 5
INDENT = "  "
CENTS = Decimal("0.01")
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
    for line in study.plan.told:
        console.print(Text(f"{INDENT}{plain(line)}"))
    for title, said in (
        ("On the same snapshots", _again(study.again, console.width)),
        ("As a whole run, simulated twice", _runs(study)),
    ):
        console.print(Text(f"\n{title}", "bold"))
        for piece in said:
            console.print(piece)


def _again(again: Again, width: int) -> Iterator[Text]:
    if again.silent:
        yield Text(f"{INDENT}{again.silent}")
    else:
        yield from _counts(again, width)
        for each in again.changed[:SHOWN]:
            yield from _compared(each, width)
        yield from _more(len(again.changed) - SHOWN, "changed decisions")
    yield from _lessons(again, width)


def _counts(again: Again, width: int) -> Iterator[Text]:
    compared, changed = len(again.compared), len(again.changed)
    yield Text(
        f"{INDENT}{compared} questions had reached an agent: {compared - changed} same, {changed} changed"
    )
    who = f"{plain(again.who.provider)} · {plain(again.who.model)}"
    yield Text(
        f"{INDENT}{again.taken} requests had a recorded answer that holds, {again.asked} were asked of {who}"
    )
    apart = {
        "needed no model": again.bypassed,
        "met a kept verdict": again.cached,
        "never came to an agent": again.unreached,
        "had no answer": again.unanswered,
    }
    if said := ", ".join(f"{count} {what}" for what, count in apart.items() if count):
        yield Text(f"{INDENT}not asked again: {said}")
    for ways, count in again.ways.most_common():
        yield Text(f"{INDENT}{count:>5}  {plain(ways)}")
    for when, now in (("then", False), ("now", True)):
        for code, count in again.abstentions(now=now).most_common():
            yield _cut(f"{INDENT}{count:>5}  abstentions {when}: {plain(code)}: {plain(told(code))}", width)


def _compared(each: Compared, width: int) -> Iterator[Text]:
    head = Text(f"{INDENT}#{each.number:<5}{readable(each.at_ns)[:19]}  {plain(each.symbol):<10}")
    head.append(str(each.was), STYLES.get(each.was.verdict, ""))
    head.append(" → ")
    head.append(str(each.now), STYLES.get(each.now.verdict, ""))
    yield head
    for label, word in (("was", each.was), ("now", each.now)):
        said = " · ".join(part for part in (word.figures, word.why) if part)
        yield _cut(f"{INDENT * 4}{label}  {said}", width)


def _lessons(again: Again, width: int) -> Iterator[Text]:
    if again.lessons:
        yield Text(f"{INDENT}{len(again.lessons)} lessons were learned then, and are shown as they were:")
    for number, at_ns, lesson in again.lessons[:FEW]:
        yield _cut(f"{INDENT}#{number:<5}{readable(at_ns)[:19]}  {lesson}", width)
    yield from _more(len(again.lessons) - FEW, "lessons")


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
    alone = f"{len(runs.alone[0])} only in the baseline, {len(runs.alone[1])} only in the variant"
    yield Text(
        f"{INDENT}questions: {runs.same} with the same outcome, {len(runs.parted)} with another, {alone}"
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
    if runs.taken or runs.asked:
        yield Text(
            f"{INDENT}the variant took {runs.taken} answers that were known, and asked {runs.asked} times"
        )
    for each in runs.parted[:FEW]:
        head = f"{INDENT}{readable(each.at_ns)[:19]}  {plain(each.place.symbol):<10}"
        yield Text(f"{head}{each.baseline} → {each.variant}")
    yield from _more(len(runs.parted) - FEW, "with another outcome")
    for where, pasts in zip(("baseline", "variant"), runs.alone, strict=True):
        yield from _alone(where, pasts)
    yield Text(f"{INDENT}One pair of runs on one tape proves nothing about the future.", "dim")


def _figures(runs: Runs) -> Table:
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


def _alone(where: str, pasts: Iterable[Past]) -> Iterator[Text]:
    for past in list(pasts)[:FEW]:
        question, decided = past.question, past.decision.verdict if past.decision else "no answer"
        head = f"{INDENT}{readable(question.at_ns)[:19]}  {plain(question.symbol):<10}"
        yield Text(f"{head}only in the {where}: {question.kind}, {decided}")

"""A study on a terminal: the change, the outcomes on the same snapshots, the outcomes as a whole run."""

from collections.abc import Iterable, Iterator
from decimal import Decimal

from rich.table import Table
from rich.text import Text

from autohedge.core.abstentions import describe
from autohedge.core.clock import format_utc
from autohedge.core.terminal import PrintableConsole
from autohedge.core.units import CENTS
from autohedge.llm.errors import one_line
from autohedge.whatif.reask import DecisionPair, ReaskResult
from autohedge.whatif.recorded_run import RecordedQuestion
from autohedge.whatif.simulations import RunPair, figure_of
from autohedge.whatif.study import Study

SHOWN = 20
UNCUT_CHARS = 80
FEW = 5
INDENT = "  "
STYLES = {"trade": "green", "no_trade": "yellow", "abstain": "red"}
FIGURES = {
    "equity": "equity",
    "realized_pnl": "realized P&L, before fees",
    "unrealized_pnl": "unrealized P&L",
    "fees": "fees",
    "buys": "buys",
    "sells": "sells",
    "winning_exits": "winning exits, before fees",
    "longs": "entries, long",
    "shorts": "entries, short",
}


def print_study(study: Study) -> None:
    """Prints both parts of a study."""
    # Without markup: prompts and models may have written brackets that rich would interpret.
    console = PrintableConsole(markup=False)
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
            if isinstance(piece, Table):
                console.print_whole(piece)
            else:
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
    yield Text(f"{INDENT}{compared} questions re-asked: {compared - changed} unchanged, {changed} changed")
    who = f"{one_line(reasked.who.provider)} · {one_line(reasked.who.model)}"
    yield Text(
        f"{INDENT}requests: {reasked.reused} answered from the record, {reasked.sent_count} sent to {who}"
    )
    apart = {
        "bypassed": reasked.bypassed,
        "from the verdict cache": reasked.cached,
        "abstained before a request": reasked.unreached,
        "without a decision": reasked.unanswered,
    }
    if skipped := ", ".join(f"{count} {what}" for what, count in apart.items() if count):
        yield Text(f"{INDENT}questions not re-asked: {skipped}")
    for ways, count in reasked.transitions.most_common():
        yield Text(f"{INDENT}{count:>5}  {one_line(ways)}")
    for when, now in (("recorded", False), ("now", True)):
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
        yield Text(f"{INDENT}{len(reasked.lessons)} recorded lessons, shown to the agents unchanged:")
    for number, at_ns, lesson in reasked.lessons[:FEW]:
        yield _cut(f"{INDENT}#{number:<5}{format_utc(at_ns)[:19]}  {lesson}", width)
    yield from _more(len(reasked.lessons) - FEW, "lessons")


def _cut(line: str, width: int) -> Text:
    text = Text(line, "dim")
    # A narrow terminal wraps the line, so that no code and no amount at its beginning is cut.
    text.truncate(max(width, UNCUT_CHARS), overflow="ellipsis")
    return text


def _more(count: int, what: str) -> Iterator[Text]:
    if count > 0:
        yield Text(f"{INDENT}{count} more {what}; list all with --json", "dim")


def _runs(study: Study) -> Iterator[Text | Table]:
    runs = study.runs
    yield _figures(runs)
    yield Text(f"{INDENT}baseline  {runs.root / runs.baseline.run}  {_standing(study)}")
    yield Text(f"{INDENT}variant   {runs.root / runs.variant.run}")
    alone = f"{len(runs.unmatched[0])} only in the baseline, {len(runs.unmatched[1])} only in the variant"
    yield Text(
        f"{INDENT}questions: {runs.same} same outcome, {len(runs.divergences)} different outcome, {alone}"
    )
    if runs.unrecorded:
        yield Text(
            f"{INDENT}{runs.unrecorded} baseline questions are not in the record: abstentions (unrecorded)"
        )
    if not runs.comparable:
        yield Text(
            f"{INDENT}These are too many to compare the runs; use the result on the same snapshots above.",
            "bold",
        )
    if runs.reused or runs.sent_count:
        yield Text(
            f"{INDENT}requests of the variant: {runs.reused} with a known answer, {runs.sent_count} sent"
        )
    for each in runs.divergences[:FEW]:
        head = f"{INDENT}{format_utc(each.at_ns)[:19]}  {one_line(each.place.symbol):<10}"
        yield Text(f"{head}{each.baseline} → {each.variant}")
    yield from _more(len(runs.divergences) - FEW, "with a different outcome")
    for where, pasts in zip(("baseline", "variant"), runs.unmatched, strict=True):
        yield from _alone(where, pasts)
    yield Text(f"{INDENT}One pair of runs on one tape is no evidence of future results.", "dim")


def _figures(runs: RunPair) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=True)
    for heading in ("", "baseline", "variant", "difference"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for figure in runs.figures:
        row = (figure_of(runs.baseline, figure), figure_of(runs.variant, figure))
        difference = _shown(runs.difference(figure), signed=True) if runs.comparable else "n/a"
        table.add_row(f"{INDENT}{FIGURES[figure]}", *map(_shown, row), difference)
    return table


def _shown(figure: Decimal | int, *, signed: bool = False) -> str:
    """Formats money to the cent and counts as they are; a difference gets a sign unless it is zero."""
    amount = Decimal(figure)
    if signed and not amount:
        return "0"
    sign = "+" if signed else ""
    return f"{figure:{sign}}" if isinstance(figure, int) else f"{amount.quantize(CENTS):{sign},}"


def _standing(study: Study) -> str:
    """Describes how the baseline relates to the recorded run."""
    if study.record.on_clock:
        return "(a re-simulation in virtual time; the recorded run was on a clock)"
    match study.reproduced:
        case None:
            return "(not verified: the recorded run has no results)"
        case True:
            return "(reproduces the recorded result, fill by fill)"
        case False if study.record.intervened:
            return "(a re-simulation without the recorded run's commands, changed settings and restarts)"
        case _:
            return "(differs from the recorded result; `autohedge replay` shows why)"


def _alone(where: str, pasts: Iterable[RecordedQuestion]) -> Iterator[Text]:
    for past in list(pasts)[:FEW]:
        question, decided = past.question, past.decision.verdict if past.decision else "no answer"
        head = f"{INDENT}{format_utc(question.at_ns)[:19]}  {one_line(question.symbol):<10}"
        yield Text(f"{head}only in the {where}: {question.kind}, {decided}")

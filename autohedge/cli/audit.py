"""`autohedge audit`: the deliberations of a run, on the terminal, as a page or as JSON."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autohedge.cli.commands import app
from autohedge.cli.options import AsJson, Run, echo, print_json
from autohedge.core.errors import Misconfigured

if TYPE_CHECKING:
    from autohedge.audit import Audit, AuditFilter

SHOWN = 20
Page = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Write one self-contained HTML page instead.")
]


@app.command()
def audit(
    run: Run,
    number: Annotated[
        int | None, typer.Option("--number", min=1, help="One deliberation, with every message.")
    ] = None,
    symbol: Annotated[str | None, typer.Option("--symbol", help="Deliberations about this symbol.")] = None,
    only: Annotated[
        str | None,
        typer.Option("--only", help="trade, no_trade, keep, abstain, lesson, late, unanswered."),
    ] = None,
    last: Annotated[
        int | None, typer.Option("--last", min=1, help="How many, newest last; default 20, on a page 5000.")
    ] = None,
    page: Page = None,
    as_json: AsJson = False,
) -> None:
    """Show the requests, answers and decisions of a run's agents.

    Verifies the record while it reads it: the chain of the journal, the hashes of the transcript, and that
    the calls of each decision are there. With --last a long record is read and verified from its end.
    """
    from autohedge.audit import audit as read_audit
    from autohedge.audit import audit_end
    from autohedge.journal import RunFolder

    wanted = _wanted(number, symbol, only, last, on_page=page is not None)
    lists_the_end = last is not None and number is None and not (page or as_json)
    found = (audit_end if lists_the_end else read_audit)(RunFolder.find(run), wanted)
    if page and not found.no_question_reason:
        _write(found, page, quiet=as_json)
    if as_json:
        _print_json(found)
    elif found.no_question_reason:
        echo(f"{found.run}: {found.no_question_reason}")
    elif not page:
        _print(found, run, whole=number is not None)


def _wanted(
    number: int | None, symbol: str | None, only: str | None, last: int | None, *, on_page: bool
) -> "AuditFilter":
    from autohedge.audit.conversations import ONLY, AuditFilter
    from autohedge.audit.page import ROWS, WHOLE

    outcome = next((each for each in ONLY if each == only), None)
    if only is not None and outcome is None:
        raise Misconfigured(f"--only {only}: write one of {', '.join(ONLY)}")
    shown = last or (ROWS if on_page else SHOWN)
    return AuditFilter(number, symbol, outcome, shown, WHOLE if on_page else shown)


def _write(found: "Audit", page: Path, *, quiet: bool) -> None:
    from autohedge.audit import write_page

    write_page(found, page)
    if not quiet:
        echo(f"{page}: {len(found.conversations)} decisions, {found.whole} conversations whole")


def _print_json(found: "Audit") -> None:
    from autohedge.audit import as_dict

    print_json(as_dict(found))


def _print(found: "Audit", run: str, *, whole: bool) -> None:
    from autohedge.audit.terminal import print_list, print_whole

    if whole:
        print_whole(found)
    else:
        print_list(found, f"autohedge audit {run}")

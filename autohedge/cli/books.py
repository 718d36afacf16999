"""`data book`: the book of a recorded stream of messages at some times."""

import math
from typing import TYPE_CHECKING, Annotated

import typer

from autohedge.cli.commands import data_app
from autohedge.cli.options import AsJson, notify, parse_at, print_json
from autohedge.core.errors import Misconfigured

if TYPE_CHECKING:
    from autohedge.market.books import BookReport

BookTape = Annotated[
    list[str],
    typer.Option("--tape", metavar="FILE", help="FILE or SYMBOL=FILE with rows of a book, Parquet or CSV."),
]
Times = Annotated[
    str | None,
    typer.Option("--at", metavar="NS[,NS...]", help="The times of the states; default: the end of the tape."),
]
Levels = Annotated[int, typer.Option(min=1, help="The levels of depths and imbalances.")]
Quantity = Annotated[float, typer.Option("--walk", help="The quantity of the two orders that are filled.")]


@data_app.command("book")
def show_book(
    tape: BookTape, at: Times = None, levels: Levels = 5, walk: Quantity = 1.0, as_json: AsJson = False
) -> None:
    """Rebuild an order book, and show it at some times."""
    if len(tape) > 1:
        raise Misconfigured("--tape: named more than once; a book is made from one file")
    if not 0.0 < walk < math.inf:
        raise Misconfigured(f"--walk {walk:g}: write a quantity above 0")
    report = _report(tape[0], at, levels, walk)
    if as_json:
        _print_json(report)
        return
    from autohedge.console.books import print_book

    print_book(report, levels, walk)


def _report(tape: str, at: str | None, levels: int, quantity: float) -> "BookReport":
    from autohedge.market import parse_source, read_messages
    from autohedge.market.books import replay_book

    asked_ns = [] if at is None else [parse_at(text.strip()) for text in at.split(",")]
    messages = read_messages(parse_source(tape))
    return replay_book(messages, asked_ns or [int(messages.ts[-1])], levels, quantity)


def _print_json(report: "BookReport") -> None:
    if report.bad_rows:
        notify("bad rows: " + ", ".join(f"{code} {count}" for code, count in report.bad_rows.items()))
    counts = {"events": report.events, "dropped": report.dropped, "gaps": report.gaps}
    print_json(counts | {"states": [state.as_dict() for state in report.states]})

"""`autohedge ask`: one deliberation, shown in full and not recorded."""

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated

import typer

from autohedge.cli.commands import app
from autohedge.cli.options import (
    FAILED,
    AsJson,
    At,
    ConfigFile,
    Overrides,
    Seed,
    Tapes,
    load_inputs,
    parse_at,
    print_json,
)
from autohedge.core.errors import Misconfigured

if TYPE_CHECKING:
    from autohedge.ask import AssumedPosition

HELD = "Assume that this quantity is held, bought at this price; cash does not change."


@app.command()
def ask(
    tape: Tapes = None,
    at: At = None,
    symbol: Annotated[
        str | None, typer.Option("--symbol", help="The symbol; default: the first of the tape.")
    ] = None,
    mode: Annotated[
        str,
        typer.Option("--mode", help="llm: all agents, about an entry; hybrid: the Director, about a gate."),
    ] = "llm",
    held: Annotated[str | None, typer.Option("--held", metavar="QTY@PRICE", help=HELD)] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    seed: Seed = None,
    as_json: AsJson = False,
) -> None:
    """Dry run: ask the agents once and show every message.

    The engine plays the tape up to --at, then takes the answer without latency. Shows the prompts, the
    answers, the checks and the order that would follow. Nothing is recorded.
    """
    from autohedge.ask import ask as ask_once

    position, at_ns = _held(held), None if at is None else parse_at(at)
    settings, market = load_inputs(config, tape, mode, overrides, seed)
    result = ask_once(settings, market, symbol, at_ns, position)
    if as_json:
        from autohedge.ask.terminal import as_dict

        print_json(as_dict(result))
    else:
        from autohedge.ask.terminal import print_dry_run

        print_dry_run(result)
    if result.abstained:
        raise typer.Exit(FAILED)


def _held(written: str | None) -> "AssumedPosition | None":
    from autohedge.ask import AssumedPosition

    if written is None:
        return None
    try:
        quantity, price = map(Decimal, written.split("@"))
    except (InvalidOperation, ValueError):
        quantity = price = Decimal(0)
    if not all(each.is_finite() and 0 < each < Decimal("1e15") for each in (quantity, price)):
        raise Misconfigured(f"--held {written}: write QTY@PRICE, both above 0, such as 0.01@64000")
    return AssumedPosition(quantity, price)

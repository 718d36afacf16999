"""The verb that asks the agents once, by hand, and shows all that was said."""

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

HELD = "QTY@PRICE: what is held of the symbol, as if from outside, at what price; no cash is moved."


@app.command()
def ask(
    tape: Tapes = None,
    at: At = None,
    symbol: Annotated[
        str | None, typer.Option("--symbol", help="What the question is about. Without: the tape's first.")
    ] = None,
    mode: Annotated[
        str,
        typer.Option(
            "--mode", help="llm asks the whole team about an entry, hybrid the Director about a gate."
        ),
    ] = "llm",
    held: Annotated[str | None, typer.Option("--held", metavar="QTY@PRICE", help=HELD)] = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    seed: Seed = None,
    as_json: AsJson = False,
) -> None:
    """Ask the agents once, at one moment of a tape, and show every word and what the engine would do.

    Nothing is recorded. The engine has seen the tape until then, and hears the answer at once.
    """
    from autohedge.ask import ask as ask_once

    position, at_ns = _held(held), parse_at(at)
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

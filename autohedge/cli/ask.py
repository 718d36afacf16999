"""The verb that asks the agents once, by hand, and shows all that was said."""

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated

import typer

from autohedge.cli.options import (
    FAILED,
    AsJson,
    At,
    ConfigFile,
    Overrides,
    Seed,
    Tapes,
    moment,
    prepared,
    print_json,
)
from autohedge.cli.tree import app
from autohedge.core.errors import Misconfigured

if TYPE_CHECKING:
    from autohedge.asking import Held

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
    from autohedge.asking import ask as ask_once

    position, at_ns = _held(held), moment(at)
    settings, market = prepared(config, tape, mode, overrides, seed)
    asked = ask_once(settings, market, symbol, at_ns, position)
    if as_json:
        from autohedge.asking.terminal import as_dict

        print_json(as_dict(asked))
    else:
        from autohedge.asking.terminal import print_asked

        print_asked(asked)
    if asked.abstained:
        raise typer.Exit(FAILED)


def _held(written: str | None) -> "Held | None":
    from autohedge.asking import Held

    if written is None:
        return None
    try:
        quantity, price = map(Decimal, written.split("@"))
    except (InvalidOperation, ValueError):
        quantity = price = Decimal(0)
    if not all(each.is_finite() and 0 < each < Decimal("1e15") for each in (quantity, price)):
        raise Misconfigured(f"--held {written}: write QTY@PRICE, both above 0, such as 0.01@64000")
    return Held(quantity, price)

"""`autohedge agents probe`: whether a model reads what it is shown, before a run."""

from typing import Annotated

import typer

from autohedge.cli.commands import agents_app
from autohedge.cli.options import (
    FAILED,
    AsJson,
    At,
    ConfigFile,
    Overrides,
    Seed,
    Tapes,
    load_inputs,
    notify,
    parse_at,
    print_json,
)


@agents_app.command()
def probe(
    tape: Tapes = None,
    at: At = None,
    symbol: Annotated[
        str | None, typer.Option("--symbol", help="The symbol; default: the first of the tape.")
    ] = None,
    agent: Annotated[
        str, typer.Option("--agent", help="Whose model and question: director, quant or risk.")
    ] = "director",
    rounds: Annotated[
        int, typer.Option("--rounds", min=1, max=100, help="How many times of the tape; five questions each.")
    ] = 3,
    config: ConfigFile = None,
    overrides: Overrides = None,
    seed: Seed = None,
    as_json: AsJson = False,
) -> None:
    """Test if a model reads the figures, or answers by position.

    Asks the same question as it is, with the choices in the opposite order, with reversed figures, without figures,
    and once more, each at the clearest moves of the tape up to --at. Nothing is recorded, and no order is sent.

    Exits with 0 if the verdict is reads, else with 1.
    """
    from autohedge.ask import ProbePlan, probe_model
    from autohedge.ask.probe_terminal import as_dict, print_probe
    from autohedge.llm.backends.probe_results import READS

    plan = ProbePlan(agent, rounds, symbol, None if at is None else parse_at(at))
    settings, market = load_inputs(config, tape, None, overrides, seed)
    found = probe_model(settings, market, plan, notify)
    if as_json:
        print_json(as_dict(found))
    else:
        print_probe(found)
    if found.findings.verdict != READS:
        raise typer.Exit(FAILED)

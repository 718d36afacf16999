"""`autohedge whatif`: a recorded run with one change."""

from pathlib import Path
from typing import Annotated

import typer

from autohedge.cli.commands import app
from autohedge.cli.options import (
    FAILED,
    AsJson,
    Overrides,
    Quiet,
    Run,
    Trust,
    fail,
    no_notify,
    notify,
    print_json,
)

Prompts = Annotated[
    Path | None,
    typer.Option("--prompts", metavar="DIR", help="A folder of prompts that replace the recorded ones."),
]
Model = Annotated[str, typer.Option("--model", help="Another model, by the name that its server lists.")]
Provider = Annotated[str, typer.Option("--provider", help="openai, ollama, rules, scripted, chaos or auto.")]
OtherMode = Annotated[str, typer.Option("--mode", help="Another mode: hft, hybrid or llm.")]


@app.command()
def whatif(
    run: Run,
    prompts: Prompts = None,
    model: Model = "",
    provider: Provider = "",
    mode: OtherMode = "",
    overrides: Overrides = None,
    trust: Trust = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Compare a run with one that differs by prompts, model or mode.

    Repeats the recorded requests with the change, on their recorded snapshots, then simulates the run
    twice: as recorded, and with the change.
    """
    from autohedge.journal import RunFolder
    from autohedge.whatif import Change, as_dict, study

    change = Change(prompts, model, provider, mode, tuple(overrides or ()))
    try:
        found = study(RunFolder.find(run), change, no_notify if quiet else notify, trust=trust)
    except KeyboardInterrupt:
        fail("interrupted; nothing was written", FAILED)
    if as_json:
        print_json(as_dict(found))
    elif not quiet:
        from autohedge.whatif.terminal import print_study

        print_study(found)

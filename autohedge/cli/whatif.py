"""The verb that asks what would have come of a run with something else."""

from pathlib import Path
from typing import Annotated

import typer

from autohedge.cli.commands import app
from autohedge.cli.options import FAILED, AsJson, Overrides, Quiet, Run, fail, no_notify, notify, print_json

Prompts = Annotated[
    Path | None,
    typer.Option(
        "--prompts", metavar="DIR", help="Prompts that stand in for the recorded ones of their names."
    ),
]
Model = Annotated[str, typer.Option("--model", help="Another model, as its server calls it.")]
Provider = Annotated[
    str, typer.Option("--provider", help="Another provider: openai, ollama, rules, scripted, chaos, auto.")
]
OtherMode = Annotated[str, typer.Option("--mode", help="Another kind of run: hft, hybrid or llm.")]


@app.command()
def whatif(
    run: Run,
    prompts: Prompts = None,
    model: Model = "",
    provider: Provider = "",
    mode: OtherMode = "",
    overrides: Overrides = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Say what would have come of a run with other prompts, another model, provider or mode.

    Its questions are asked again on their recorded snapshots; then the run is simulated twice, as recorded
    and with the change.
    """
    from autohedge.journal import RunFolder
    from autohedge.whatif import Change, as_dict, study

    change = Change(prompts, model, provider, mode, tuple(overrides or ()))
    try:
        found = study(RunFolder.find(run), change, no_notify if quiet else notify)
    except KeyboardInterrupt:
        fail("interrupted; no half of an answer was kept", FAILED)
    if as_json:
        print_json(as_dict(found))
    elif not quiet:
        from autohedge.whatif.terminal import print_study

        print_study(found)

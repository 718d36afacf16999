"""`autohedge agents score`: how often the verdicts of recorded runs were right."""

from typing import Annotated

import typer

from autohedge.cli.commands import agents_app
from autohedge.cli.options import AsJson, print_json

Runs = Annotated[
    list[str], typer.Argument(metavar="RUN…", help="Ids of runs, paths of their folders, or last.")
]


@agents_app.command("score")
def score_verdicts(runs: Runs, as_json: AsJson = False) -> None:
    """Score the verdicts of recorded runs on their tapes.

    Each verdict gets an outcome: whether the price met its target or its stop first, within its horizon.
    Reports hit rates by confidence against the base rate. Changes nothing.
    """
    from autohedge.audit.verdict_scores import score_runs
    from autohedge.journal import RunFolder

    scores = score_runs([RunFolder.find(run) for run in runs])
    if as_json:
        from autohedge.audit.verdict_json import scores_as_dict

        print_json(scores_as_dict(scores))
    else:
        from autohedge.audit.score_terminal import print_scores

        print_scores(scores)

"""The tree of verbs; the modules beside this one hang theirs into it."""

from typing import Annotated

import typer

from autohedge import __version__

app = typer.Typer(
    help="LLM agents propose, a deterministic engine disposes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help starts twice as fast
)
journal_app = typer.Typer(help="The record of a run.", no_args_is_help=True)
data_app = typer.Typer(help="Tapes: look at them, make one.", no_args_is_help=True)
config_app = typer.Typer(help="The settings, and where each comes from.", no_args_is_help=True)
runs_app = typer.Typer(help="The runs in this directory.", no_args_is_help=True)
prompts_app = typer.Typer(help="The prompts of the agents.", no_args_is_help=True)
for name, group in (
    ("journal", journal_app),
    ("data", data_app),
    ("config", config_app),
    ("runs", runs_app),
    ("prompts", prompts_app),
):
    app.add_typer(group, name=name)


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    if version:
        typer.echo(f"autohedge {__version__}")
        raise typer.Exit


@app.command("version")
def print_version() -> None:
    """Print the version."""
    typer.echo(f"autohedge {__version__}")

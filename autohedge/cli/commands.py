"""The tree of commands; the other modules of this package register theirs here."""

from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from autohedge import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable

GROUPS = {
    "Trade": ("run", "restart", "venue"),
    "Backtest": ("whatif", "runs"),
    "Inspect": ("audit", "replay", "journal", "status"),
    "Agents": ("ask", "agents", "prompts", "draw"),
    "Data": ("data", "indicators", "features"),
    "Operate": ("init", "config", "reload", "doctor", "version"),
    "Safety": ("halt", "resume", "flatten", "pause", "cancel-all", "sync", "simulate"),
}


class GroupedCommands(TyperGroup):
    """Lists the commands in groups, one line each."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """Write a section per group. A command in no group is an error of this table."""
        missing = set(self.commands) - {name for names in GROUPS.values() for name in names}
        assert not missing, missing
        for title, names in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl(self._rows(names), col_max=12)

    def _rows(self, names: "Iterable[str]") -> list[tuple[str, str]]:
        return [(f"{name:<10}", (self.commands[name].help or "").partition("\n")[0]) for name in names]


app = typer.Typer(
    cls=GroupedCommands,
    help="LLM agents propose, a deterministic engine disposes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help starts twice as fast
)
journal_app = typer.Typer(help="Verify the record of a run.", no_args_is_help=True)
data_app = typer.Typer(help="Check tapes, and write a synthetic one.", no_args_is_help=True)
config_app = typer.Typer(help="Show and validate the settings.", no_args_is_help=True)
runs_app = typer.Typer(help="List, show, export and pack backtests and other runs.", no_args_is_help=True)
prompts_app = typer.Typer(help="List, show, validate, render and compare prompts.", no_args_is_help=True)
agents_app = typer.Typer(
    help="Probe a model before a run, and score the verdicts of runs.", no_args_is_help=True
)
for name, group in (
    ("journal", journal_app),
    ("data", data_app),
    ("config", config_app),
    ("runs", runs_app),
    ("prompts", prompts_app),
    ("agents", agents_app),
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

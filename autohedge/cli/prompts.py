"""Verbs about prompts: list, show, check, render on a tape, compare with those of a run."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autohedge.cli.commands import prompts_app
from autohedge.cli.options import (
    FAILED,
    AsJson,
    At,
    ConfigFile,
    Overrides,
    Quiet,
    Run,
    echo,
    load_inputs,
    parse_at,
    print_json,
)
from autohedge.core.errors import Misconfigured

if TYPE_CHECKING:
    from autohedge.audit.prompt_diff import PromptComparison
    from autohedge.config import Settings
    from autohedge.core.snapshots import Snapshot
    from autohedge.market import Stream
    from autohedge.prompts import Prompt
    from autohedge.tools import Headlines

Name = Annotated[str, typer.Argument(metavar="NAME", help="The name of a prompt, such as director.")]


@prompts_app.command("list")
def list_prompts(as_json: AsJson = False) -> None:
    """List the prompts with version, hash and origin."""
    from autohedge.prompts import builtin_names, load

    rows = [_row(load(name)) for name in builtin_names()]
    if as_json:
        print_json({"prompts": rows})
        return
    for row in rows:
        echo(f"{row['name']:10} version {row['version']}  {row['hash']}  {row['origin']}")


@prompts_app.command("show")
def show_prompt(name: Name) -> None:
    """Print a prompt file; a copy in ./prompts replaces it."""
    from autohedge.prompts import load
    from autohedge.prompts.library import read

    load(name)  # an invalid one is refused
    text = read(name)[0]
    if sys.stdout.isatty():
        echo(text, nl=False)
    else:  # as it is, to be written to a file
        typer.echo(text.encode(), nl=False)


@prompts_app.command("fields")
def list_fields(as_json: AsJson = False) -> None:
    """List the fields that a prompt may use."""
    from autohedge.prompts import FIELDS

    if as_json:
        print_json({"fields": {name: field._asdict() for name, field in FIELDS.items()}})
        return
    for name, field in FIELDS.items():
        only = "; under # User only" if field.untrusted else ""
        echo(f"{f'{{{name}}}':14} {field.says}{only}")


@prompts_app.command("check")
def check_prompts(quiet: Quiet = False) -> None:
    """Validate the prompts, and name those that ./prompts replaces."""
    from autohedge.prompts import builtin_names, load, require_known_prompts

    found = [_row(load(name)) for name in builtin_names()]
    require_known_prompts()
    if quiet:
        return
    own = [row["file"] for row in found if row["origin"] != "packaged"]
    summary = f"replaced: {', '.join(own)}" if own else "none is replaced"
    echo(f"{len(found)} prompts are valid; {summary}")


@prompts_app.command("render")
def render_prompt(
    name: Name,
    symbol: Annotated[str, typer.Option("--symbol", help="The symbol of the deliberation.")],
    tape: Annotated[list[str], typer.Option("--tape", help="FILE or SYMBOL=FILE; repeatable.")],
    at: At = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Render a prompt for one time of a tape, with an empty account."""
    from autohedge.prompts import load, render
    from autohedge.tools import fields_for, preview

    prompt = load(name)
    settings, market = load_inputs(config, tape, None, overrides, None)
    snapshot = preview(settings, stream_of(market.streams, symbol), None if at is None else parse_at(at))
    headlines = _headlines(settings, snapshot)
    _print_rendered(prompt, *render(prompt, fields_for(snapshot, settings.tools, headlines, ())), as_json)


def _row(prompt: "Prompt") -> dict[str, Any]:
    from autohedge.prompts import is_builtin

    origin = "packaged" if is_builtin(prompt) else "./prompts"
    return {
        "name": prompt.name,
        "version": prompt.version,
        "hash": prompt.hash,
        "origin": origin,
        "file": prompt.origin,
    }


def stream_of(streams: "tuple[Stream, ...]", symbol: str) -> "Stream":
    """The prices of a symbol. Raises Misconfigured if the tape has no such symbol."""
    for stream in streams:
        if stream.symbol == symbol:
            return stream
    there = ", ".join(stream.symbol for stream in streams)
    raise Misconfigured(f"the tape has no {symbol}; choose one of {there} with --symbol")


def _headlines(settings: "Settings", snapshot: "Snapshot") -> "Headlines":
    """The configured headlines; on stderr, how many of them may not be shown."""
    from autohedge.tools import Headlines, headlines_for, read_headlines

    path = settings.tools.headlines
    headlines = read_headlines(Path(path)) if path else Headlines()
    shown = headlines_for(snapshot, headlines, settings.tools.headlines_shown)
    if shown.undated or shown.later:
        echo(
            f"headlines refused: {shown.undated} without a date, {shown.later} later than the quotes",
            err=True,
        )
    return headlines


def _print_rendered(prompt: "Prompt", system: str, user: str, as_json: bool) -> None:  # noqa: FBT001
    from autohedge.llm.context_window import text_tokens

    tokens = text_tokens(system) + text_tokens(user)
    if as_json:
        print_json(_row(prompt) | {"system": system, "user": user, "tokens": tokens})
        return
    echo(f"# System\n\n{system}\n\n# User\n\n{user}\n")
    echo(f"at most {tokens} tokens without the answer's schema; the request must fit llm.context_tokens")


@prompts_app.command("diff")
def diff_prompts(run: Run, as_json: AsJson = False) -> None:
    """Compare the prompts of a run with those in use now.

    Exits with 1 if any of them differs.
    """
    from autohedge.audit.prompt_diff import compare_prompts
    from autohedge.journal import RunFolder

    folder = RunFolder.find(run)
    found = compare_prompts(folder)
    same = all(each.same for each in found)
    if as_json:
        prompts = [asdict(each) | {"same": each.same} for each in found]
        print_json({"run": folder.id, "same": same, "prompts": prompts})
    elif not found:
        echo(f"{folder.id}: no agents, so no prompts")
    else:
        _print_diff(found)
    if not same:
        raise typer.Exit(FAILED)


def _print_diff(found: "list[PromptComparison]") -> None:
    from autohedge.core.text import escape_untrusted

    for each in found:
        for line in (_summary_line(each), *each.diff):
            echo(escape_untrusted(line))


def _summary_line(each: "PromptComparison") -> str:
    used = each.used
    until = "" if each.last else ", changed later"
    now = f"the same as {each.origin}"
    if not each.same:
        now = f"{each.origin} has hash {each.hash}" if each.origin else "no agent of this release reads it"
    return f"{used.name}: hash {used.hash}, from question {used.since} on{until}; {now}"

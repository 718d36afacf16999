"""Verbs about prompts: which there are, what they say, whether they are sound, how one reads on a tape."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autohedge.cli.options import AsJson, At, ConfigFile, Overrides, Quiet, moment, prepared, print_json
from autohedge.cli.tree import prompts_app
from autohedge.core.errors import Misconfigured

if TYPE_CHECKING:
    from autohedge.config import Settings
    from autohedge.core.snapshots import Snapshot
    from autohedge.market import Stream
    from autohedge.prompts import Prompt
    from autohedge.tools import Headlines

Name = Annotated[str, typer.Argument(metavar="NAME", help="A prompt, such as director.")]


@prompts_app.command("list")
def list_prompts(as_json: AsJson = False) -> None:
    """All prompts with version, hash and origin: packaged, or ./prompts."""
    from autohedge.prompts import load, packaged

    rows = [_row(load(name)) for name in packaged()]
    if as_json:
        print_json({"prompts": rows})
        return
    for row in rows:
        typer.echo(f"{row['name']:10} version {row['version']}  {row['hash']}  {row['origin']}")


@prompts_app.command("show")
def show_prompt(name: Name) -> None:
    """The text of a prompt as its file has it; as a copy in ./prompts it can be changed."""
    from autohedge.prompts import load

    typer.echo(Path(load(name).origin).read_bytes(), nl=False)


@prompts_app.command("fields")
def list_fields(as_json: AsJson = False) -> None:
    """Everything that a prompt may name."""
    from autohedge.prompts import FIELDS

    if as_json:
        print_json({"fields": {name: field._asdict() for name, field in FIELDS.items()}})
        return
    for name, field in FIELDS.items():
        only = "; under # User only" if field.untrusted else ""
        typer.echo(f"{f'{{{name}}}':14} {field.says}{only}")


@prompts_app.command("check")
def check_prompts(quiet: Quiet = False) -> None:
    """Say whether every prompt can be used, and which of them ./prompts replaces."""
    from autohedge.prompts import load, packaged, require_no_strays

    found = [_row(load(name)) for name in packaged()]
    require_no_strays()
    if quiet:
        return
    own = [row["file"] for row in found if row["origin"] != "packaged"]
    said = f"replaced: {', '.join(own)}" if own else "none is replaced"
    typer.echo(f"{len(found)} prompts are valid; {said}")


@prompts_app.command("render")
def render_prompt(
    name: Name,
    symbol: Annotated[str, typer.Option("--symbol", help="The symbol that the question is about.")],
    tape: Annotated[list[str], typer.Option("--tape", help="FILE or SYMBOL=FILE; repeatable.")],
    at: At = None,
    config: ConfigFile = None,
    overrides: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """What a model would read at one moment of a tape, with the account still untouched."""
    from autohedge.prompts import load, render
    from autohedge.tools import fields_for, preview

    prompt = load(name)
    settings, market = prepared(config, tape, None, overrides, None)
    snapshot = preview(settings, _stream(market.streams, symbol), moment(at))
    headlines = _headlines(settings, snapshot)
    _print_rendered(prompt, *render(prompt, fields_for(snapshot, settings.tools, headlines, ())), as_json)


def _row(prompt: "Prompt") -> dict[str, Any]:
    from autohedge.prompts import is_packaged

    origin = "packaged" if is_packaged(prompt) else "./prompts"
    return {
        "name": prompt.name,
        "version": prompt.version,
        "hash": prompt.hash,
        "origin": origin,
        "file": prompt.origin,
    }


def _stream(streams: "tuple[Stream, ...]", symbol: str) -> "Stream":
    for stream in streams:
        if stream.symbol == symbol:
            return stream
    there = ", ".join(stream.symbol for stream in streams)
    raise Misconfigured(f"the tape holds no {symbol}, but {there}; name one with --symbol")


def _headlines(settings: "Settings", snapshot: "Snapshot") -> "Headlines":
    """The configured headlines; on stderr, how many of them may not be shown."""
    from autohedge.tools import Headlines, headlines_for, read_headlines

    path = settings.tools.headlines
    headlines = read_headlines(Path(path)) if path else Headlines()
    shown = headlines_for(snapshot, headlines, settings.tools.headlines_shown)
    if shown.undated or shown.later:
        typer.echo(
            f"headlines refused: {shown.undated} undated, {shown.later} later than the quotes", err=True
        )
    return headlines


def _print_rendered(prompt: "Prompt", system: str, user: str, as_json: bool) -> None:  # noqa: FBT001
    from autohedge.llm.context import text_tokens

    tokens = text_tokens(system) + text_tokens(user)
    if as_json:
        print_json(_row(prompt) | {"system": system, "user": user, "tokens": tokens})
        return
    typer.echo(f"# System\n\n{system}\n\n# User\n\n{user}\n")
    typer.echo(
        f"at most {tokens} tokens, the answer's schema apart: what a model reads must fit llm.context_tokens"
    )

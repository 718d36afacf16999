"""Options that commands share, and how they print. Heavy modules are imported inside functions."""

import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from autohedge.core.errors import Misconfigured
from autohedge.core.garbage import collection_paused
from autohedge.core.text import printable, printable_lines

if TYPE_CHECKING:
    from autohedge.config import Settings
    from autohedge.core.results import RunReport
    from autohedge.llm.transcript import TranscriptEntry
    from autohedge.market import Tape

FAILED, USAGE, REFUSED, DEGRADED = 1, 2, 3, 4
SPEED_LEAST, SPEED_MOST = 0.001, 1e9

ConfigFile = Annotated[Path | None, typer.Option("--config", help="Settings file; default ./config.toml.")]
Tapes = Annotated[
    list[str] | None,
    typer.Option(
        "--tape", help="FILE or SYMBOL=FILE, Parquet or CSV, repeatable; or a live store. Default: synthetic."
    ),
]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="Any setting, as section.key=value; repeatable.")
]
Mode = Annotated[str | None, typer.Option(help="llm, hybrid or hft.")]
Seed = Annotated[int | None, typer.Option(help="Seed of the ids and of the synthetic market.")]
Speed = Annotated[
    str | None,
    typer.Option(help="Trade on a clock: real, max, or a multiple of the tape's speed."),
]
At = Annotated[
    str | None,
    typer.Option("--at", help="2024-08-08T23:54:15Z, or nanoseconds; default: the tape's end."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Log the reason code of every quote.")]
Trust = Annotated[
    bool,
    typer.Option("--trust", help="Execute the strategy stored in the run's folder, also if you lack it."),
]
Run = Annotated[str, typer.Argument(metavar="RUN", help="The id of a run, the path of its folder, or last.")]


def load_inputs(
    config: Path | None,
    tape: list[str] | None,
    mode: str | None,
    overrides: list[str] | None,
    seed: int | None,
    *,
    verbose: bool = False,
    quiet: bool = False,
    growing: bool = False,
) -> "tuple[Settings, Tape]":
    """The resolved settings and the opened tape; nothing has been written yet.

    With `growing` the tape may be a live store that is still open. Prints a line about rules of symbols that are
    not on the tape, and one about prices of models that no agent asks, unless `quiet`.
    """
    with collection_paused():
        from autohedge import app as application
        from autohedge.config import load, prices_not_applied, rules_not_applied
        from autohedge.market import parse_source

    settings = load(config, set_options(mode, overrides, seed, verbose=verbose, quiet=quiet))
    market = application.tape_for(settings, [parse_source(text) for text in tape or []], growing=growing)
    for unused in (rules_not_applied(settings, market.symbols), prices_not_applied(settings)):
        if unused and not quiet:
            notify(unused)
    return settings, market


def set_options(
    mode: str | None, overrides: list[str] | None, seed: int | None, *, verbose: bool, quiet: bool
) -> tuple[str, ...]:
    """The settings that options give, each as `--set` takes it."""
    wanted = list(overrides or [])
    if mode is not None:
        wanted.append(f'trading.mode="{mode}"')
    if seed is not None:
        wanted.append(f"seed={seed}")
    if verbose or quiet:
        wanted.append(f'chatter_level="{"verbose" if verbose else "low"}"')
    return tuple(wanted)


def echo(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print text, in printable characters only."""
    typer.echo(printable_lines(text), err=err, nl=nl)


def notify(line: str) -> None:
    """Print a line that is no result to stderr."""
    echo(line, err=True)


def no_notify(_: str) -> None:
    """Print nothing: the notifier of a quiet run."""


def parse_at(at: str) -> int:
    """Nanoseconds of what a person wrote after --at. Raises Misconfigured for what is no time."""
    from autohedge.core.timestamps import TIMESTAMP_HELP, parse_timestamp_ns

    at_ns = parse_timestamp_ns(at)
    if at_ns is None:
        raise Misconfigured(f"--at {at}: write {TIMESTAMP_HELP}")
    return at_ns


def parse_speed(speed: str) -> float | None:
    """How many seconds of the tape pass in one of the clock; None is as many as can."""
    if speed in ("real", "max"):
        return 1.0 if speed == "real" else None
    try:
        tape_speed = float(speed)
    except ValueError:
        tape_speed = 0.0
    if not SPEED_LEAST <= tape_speed <= SPEED_MOST:
        raise Misconfigured(f"--speed {speed}: write real, max, or a number from 0.001 to 1e9, such as 50")
    return tape_speed


def print_json(value: "dict[str, Any] | RunReport | TranscriptEntry") -> None:
    """One JSON object on stdout, with what is not printable as escapes of JSON."""
    import msgspec

    text = msgspec.json.encode(value).decode()
    if not text.isprintable():
        text = "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in text)
    typer.echo(text.encode())


def fail(message: str, code: int) -> NoReturn:
    """Say one line on stderr and end with an exit code."""
    if message:
        with suppress(OSError):  # a terminal that was closed takes no line
            typer.echo(printable(f"autohedge: {message}"), err=True)
    sys.exit(code)

"""The command line: reads options, calls `app`, prints; each verb imports what it needs when it runs.

Exit codes: 0 ok, 1 failed (damage, difference), 2 usage or input, 3 refused by safety.
"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from autohedge import __version__
from autohedge.core.errors import AutoHedgeError, Misconfigured

if TYPE_CHECKING:
    from autohedge.config import Settings
    from autohedge.market import Tape

FAILED, USAGE = 1, 2
INTERRUPTED = 130
SPEED_LEAST, SPEED_MOST = 0.001, 1e9
ENV_EXAMPLE = """\
# Copy to .env. Secrets (venue keys, model keys) will live here and nowhere else; nothing needs one yet.
# Any setting can be given here too, as AUTOHEDGE__SECTION__KEY:
# AUTOHEDGE__RISK__MAX_ORDER_NOTIONAL=500
"""
# typer carries its own click, and of its usage errors exports this one subclass
UsageError: type[Exception] = typer.BadParameter.__mro__[1]

app = typer.Typer(
    help="LLM agents propose, a deterministic engine disposes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
journal_app = typer.Typer(help="The record of a run.", no_args_is_help=True)
data_app = typer.Typer(help="Tapes: look at them, make one.", no_args_is_help=True)
app.add_typer(journal_app, name="journal")
app.add_typer(data_app, name="data")
config_app = typer.Typer(help="The settings, and where each comes from.", no_args_is_help=True)
runs_app = typer.Typer(help="The runs in this directory.", no_args_is_help=True)
app.add_typer(config_app, name="config")
app.add_typer(runs_app, name="runs")

ConfigFile = Annotated[Path | None, typer.Option("--config", help="Settings file; default ./config.toml.")]
Tapes = Annotated[
    list[str] | None,
    typer.Option("--tape", help="FILE or SYMBOL=FILE, Parquet or CSV; repeatable. Without: synthetic."),
]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="section.key=value, any setting; repeatable.")
]
Mode = Annotated[str | None, typer.Option(help="Kind of run: hft.")]
Seed = Annotated[int | None, typer.Option(help="Names the ids and the synthetic market.")]
Speed = Annotated[
    str | None,
    typer.Option(help="Wall time: real, max, or how many times faster than the tape. Without: virtual time."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, alone, on stdout.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors.")]
Run = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or the path to its folder.")]


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    if version:
        typer.echo(f"autohedge {__version__}")
        raise typer.Exit


@app.command()
def run(
    config: ConfigFile = None,
    tape: Tapes = None,
    mode: Mode = None,
    overrides: Overrides = None,
    seed: Seed = None,
    speed: Speed = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Trade a tape, record every input and output, print what came of it."""
    pace = _pace(speed) if speed is not None else None
    settings, market = _prepared(config, tape, mode, overrides, seed)
    from autohedge import app as application

    if speed is None:
        results = application.run(settings, market)
    else:
        results = application.run_on_clock(settings, market, speed=pace, seeded=seed is not None)
    if as_json:
        _print_json(results)
    elif not quiet:
        from autohedge.console import print_summary

        print_summary(results)


@app.command()
def replay(run: Run, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Feed a run's recorded inputs to a fresh engine; name the first output that differs."""
    from autohedge import app as application
    from autohedge.journal import RunFolder

    folder = RunFolder.find(run)
    difference, finished = application.replay_run(folder)
    if as_json:
        _print_json(application.difference_as_dict(folder, difference))
    elif difference:
        _fail(f"replay of {folder.id} differs at {difference}", FAILED)
    elif not quiet:
        so_far = "" if finished else " (unfinished: as far as the record goes)"
        typer.echo(f"{folder.id}: every output reproduced{so_far}")
    if difference:
        raise typer.Exit(FAILED)


@journal_app.command("verify")
def verify_journal(run: Run, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Check that not a byte of a run's record has changed."""
    from autohedge.journal import RunFolder, verify

    folder = RunFolder.find(run)
    found = verify(folder)
    if as_json:
        from dataclasses import asdict

        _print_json({"run": folder.id} | asdict(found))
    elif not quiet:
        torn = f", {found.torn_bytes} bytes of a torn last line left out" if found.torn_bytes else ""
        state = "" if found.finished else f" (unfinished: no results.json{torn})"
        typer.echo(f"{folder.id}: {found.lines} lines, chain unbroken{state}, head {found.head[:16]}")


@data_app.command("check")
def check_data(
    tape: Annotated[list[str], typer.Argument(metavar="FILE...")], as_json: AsJson = False
) -> None:
    """Say what a tape holds: times, gaps, bad quotes, spreads."""
    from dataclasses import asdict

    from autohedge.market import check, open_tape, parse_source

    reports = check(open_tape([parse_source(text) for text in tape]))
    if as_json:
        _print_json({"streams": [asdict(report) for report in reports]})
        return
    from autohedge.console import print_streams

    print_streams(reports)


@data_app.command("synth")
def synth_data(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where one Parquet file per symbol goes.")],
    config: ConfigFile = None,
    overrides: Overrides = None,
    seed: Seed = None,
) -> None:
    """Write the synthetic market to Parquet files, one per symbol."""
    settings, market = _prepared(config, None, None, overrides, seed)
    from autohedge.market import write_parquet

    folder.mkdir(parents=True, exist_ok=True)
    for stream in market.streams:
        path = folder / f"{stream.symbol.replace('/', '-')}_quotes.parquet"
        write_parquet(stream, path)
        typer.echo(f"{path}: {len(stream)} quotes, seed {settings.seed}")


@config_app.command("show")
def show_config(config: ConfigFile = None, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Every setting with its value and its origin."""
    from autohedge.config import explain, unused_names

    rows, unused = explain(config, overrides or []), unused_names()
    if as_json:
        shown = {row.key: {"value": row.value, "origin": row.origin} for row in rows}
        _print_json(shown | {"unused": unused})
        return
    from autohedge.console import print_settings

    print_settings(rows)
    if unused:
        typer.echo(f"set, but not read by anything yet: {', '.join(unused)}")


@config_app.command("check")
def check_config(config: ConfigFile = None, overrides: Overrides = None, quiet: Quiet = False) -> None:
    """Say whether the settings are valid, without running anything."""
    from autohedge.config import explain

    changed = [row for row in explain(config, overrides or []) if row.origin != "default"]
    if not quiet:
        typer.echo(f"the settings are valid; {len(changed)} of them were chosen, the rest are defaults")


@runs_app.command("list")
def list_runs(as_json: AsJson = False) -> None:
    """All runs in ./runs, oldest first."""
    from autohedge.journal import RunFolder

    runs = [(folder.id, folder.read_results()) for folder in RunFolder.all()]
    if as_json:
        _print_json({"runs": [{"run": run, "finished": bool(results)} for run, results in runs]})
        return
    from autohedge.console import print_runs

    print_runs(runs)


@runs_app.command("show")
def show_run(run: Run, as_json: AsJson = False) -> None:
    """The summary of a finished run once more."""
    from autohedge.journal import RunFolder

    folder = RunFolder.find(run)
    results = folder.read_results()
    if results is None:
        raise Misconfigured(
            f"run {folder.id} did not finish; `autohedge journal verify` says how far it came"
        )
    if as_json:
        _print_json(results)
        return
    from autohedge.console import print_summary

    print_summary(results)


@runs_app.command("export")
def export_run(
    run: Run,
    folder: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="Where the files go.")] = Path(
        "data"
    ),
) -> None:
    """Write trades.jsonl, trade_summary.json and trade_stats.json, as the earlier bot did."""
    from autohedge.journal import RunFolder, read
    from autohedge.reports import files

    found = RunFolder.find(run)
    made = files(line.event for line in read(found.journal) if line.event is not None)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in made.items():
        (folder / name).write_bytes(_as_file(content))
        typer.echo(f"{folder / name}: written")


@runs_app.command("pack")
def pack_run(run: Run) -> None:
    """Copy a run's tape into its folder, so that it can be moved and still replays."""
    from autohedge import app as application
    from autohedge.journal import RunFolder

    folder = RunFolder.find(run)
    packed = application.pack(folder)
    typer.echo(f"{folder.id}: {len(packed)} tape files copied into {folder.tape}")


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Look for what would keep this machine from trading well; exit code 1 if something would."""
    from dataclasses import asdict

    from autohedge.doctor import examine

    findings = list(examine())
    if as_json:
        _print_json({"findings": [asdict(finding) for finding in findings]})
    else:
        for finding in findings:
            typer.echo(f"{'ok ' if finding.ok else 'BAD'}  {finding.check}: {finding.says}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(FAILED)


@app.command()
def init() -> None:
    """Write a commented config.toml and .env.example into this directory; nothing is overwritten."""
    from autohedge.config import shipped_file

    for path, content in (
        (Path("config.toml"), shipped_file().read_text(encoding="utf-8")),
        (Path(".env.example"), ENV_EXAMPLE),
    ):
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(content)
            typer.echo(f"{path}: written")
        except FileExistsError:
            typer.echo(f"{path}: exists, left as it is")


@app.command("version")
def print_version() -> None:
    """Print the version."""
    typer.echo(f"autohedge {__version__}")


def _prepared(
    config: Path | None,
    tape: list[str] | None,
    mode: str | None,
    overrides: list[str] | None,
    seed: int | None,
) -> "tuple[Settings, Tape]":
    """The resolved settings and the opened tape; nothing has been written yet."""
    from autohedge import app as application
    from autohedge.config import load
    from autohedge.market import parse_source

    wanted = list(overrides or [])
    if mode is not None:
        wanted.append(f'trading.mode="{mode}"')
    if seed is not None:
        wanted.append(f"seed={seed}")
    settings = load(config, wanted)
    return settings, application.tape_for(settings, [parse_source(text) for text in tape or []])


def _pace(speed: str) -> float | None:
    """How many seconds of the tape pass in one of the clock; None is as many as can."""
    if speed in ("real", "max"):
        return 1.0 if speed == "real" else None
    try:
        pace = float(speed)
    except ValueError:
        pace = 0.0
    if not SPEED_LEAST <= pace <= SPEED_MOST:
        raise Misconfigured(f"--speed {speed}: write real, max, or a number from 0.001 to 1e9, such as 50")
    return pace


def _as_file(content: Any) -> bytes:
    """A list as one JSON object per line, an object as readable JSON."""
    import msgspec

    if isinstance(content, list):
        return b"".join(msgspec.json.encode(line) + b"\n" for line in content)
    return msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"


def _print_json(value: dict[str, Any]) -> None:
    import msgspec

    typer.echo(msgspec.json.encode(value))


def _fail(message: str, code: int) -> NoReturn:
    if message:
        typer.echo(f"autohedge: {message}", err=True)
    sys.exit(code)


def _text(error: Exception) -> str:
    """An error in one line; typer's usage errors format theirs."""
    formatted = getattr(error, "format_message", None)
    return str(formatted() if formatted else error)


def main() -> None:
    """Run the command line; every error is one line on stderr and an exit code."""
    try:
        code = app(standalone_mode=False)
    except (UsageError, Misconfigured) as error:
        _fail(_text(error), USAGE)
    except AutoHedgeError as error:
        _fail(str(error), FAILED)
    except (typer.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except ArithmeticError as error:
        _fail(
            f"an amount cannot be computed exactly ({type(error).__name__}): prices out of any range?", FAILED
        )
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)
    except OSError as error:
        _fail(f"{error.filename or 'the operating system'}: {error.strerror}", FAILED)
    if code == INTERRUPTED:
        _fail("interrupted; what was recorded until now can be verified and replayed", FAILED)
    sys.exit(code or 0)

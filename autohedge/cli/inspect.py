"""Commands that inspect records, tapes, settings, runs and the machine, and `init`."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autohedge.cli.commands import app, config_app, data_app, journal_app, runs_app
from autohedge.cli.options import (
    FAILED,
    AsJson,
    ConfigFile,
    Overrides,
    Quiet,
    Run,
    Seed,
    echo,
    load_inputs,
    print_json,
)
from autohedge.core.errors import Corrupt, Misconfigured

if TYPE_CHECKING:
    from autohedge.app.verification import RecordCheck
    from autohedge.journal import RunFolder

ENV_EXAMPLE = """\
# Copy to .env. Secrets (venue keys, model keys) belong here and nowhere else.
# The key of llm.base_url, or of OpenAI; a local server needs none. OPENAI_API_KEY goes to OpenAI only.
# AUTOHEDGE_LLM_API_KEY=
# The password of redis.url, if it has one.
# AUTOHEDGE_REDIS_PASSWORD=
# Any setting can be given here too, as AUTOHEDGE__SECTION__KEY:
# AUTOHEDGE__RISK__MAX_ORDER_NOTIONAL=500
"""


@journal_app.command("verify")
def verify_journal(
    run: Run,
    head: Annotated[
        str | None, typer.Option("--head", metavar="HASH", help="A head hash that was kept elsewhere.")
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Verify that nothing in a run's record has changed.

    Checks journal, transcript, results and stored files, and the tape where it is there. Executes nothing.
    """
    from autohedge.app.verification import check_as_dict, check_record, require_head
    from autohedge.journal import RunFolder

    found = check_record(RunFolder.find(run))
    if as_json:
        print_json(check_as_dict(found))
    if found.damage:
        more = f"; {len(found.damage) - 1} more damaged parts: see --json" if found.damage[1:] else ""
        raise Corrupt(f"{found.damage[0]}{more}")
    if head is not None:
        require_head(found, head)
    if not (as_json or quiet):
        _print_verified(found)


def _print_verified(found: "RecordCheck") -> None:
    torn = f", {found.torn_bytes} bytes of a torn last line left out" if found.torn_bytes else ""
    state = "" if found.finished else f" (unfinished: no results.json{torn})"
    echo(f"{found.run}: {found.lines} lines, chain unbroken{state}, head {found.head}")
    for name in ("transcript", "results", "files", "tape"):
        echo(f"{name:<12}{found.parts[name].summary}")


@data_app.command("check")
def check_data(
    tape: Annotated[list[str], typer.Argument(metavar="FILE...")], as_json: AsJson = False
) -> None:
    """Report times, gaps, bad rows and spreads of recorded data.

    Takes files of every kind: quotes, trades, bars, books, funding rates and liquidations.
    """
    from autohedge.market import check, open_streams, parse_source

    reports = check(open_streams([parse_source(text) for text in tape]))
    if as_json:
        print_json({"streams": [report.as_dict() for report in reports]})
        return
    from autohedge.console.streams import print_streams

    print_streams(reports)


@data_app.command("synth")
def synth_data(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="The folder for one Parquet file per symbol.")
    ],
    config: ConfigFile = None,
    overrides: Overrides = None,
    seed: Seed = None,
) -> None:
    """Write the synthetic market to Parquet files, one per symbol."""
    settings, market = load_inputs(config, None, None, overrides, seed)
    from autohedge.market import write_parquet

    folder.mkdir(parents=True, exist_ok=True)
    for stream in market.streams:
        path = folder / f"{stream.symbol.replace('/', '-')}_quotes.parquet"
        write_parquet(stream, path)
        echo(f"{path}: {len(stream)} quotes, seed {settings.seed}")


@config_app.command("show")
def show_config(config: ConfigFile = None, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """List every setting with its value and its origin."""
    from autohedge.config import unused_names, with_origins

    rows, unused = with_origins(config, overrides or []), unused_names()
    if as_json:
        shown = {row.key: {"value": row.value, "origin": row.origin, "applies": row.applies} for row in rows}
        print_json(shown | {"unused": unused})
        return
    from autohedge.console.tables import print_settings

    print_settings(rows)
    if unused:
        echo(f"set, but not used yet: {', '.join(unused)}")


@config_app.command("check")
def check_config(config: ConfigFile = None, overrides: Overrides = None, quiet: Quiet = False) -> None:
    """Validate the settings without a run."""
    from autohedge.config import old_names, with_origins

    changed = [row for row in with_origins(config, overrides or []) if row.origin != "default"]
    if not quiet:
        for line in old_names(config, overrides or []):
            echo(line)
        echo(f"the settings are valid; {len(changed)} are set, the others have their defaults")


@runs_app.command("list")
def list_runs(as_json: AsJson = False) -> None:
    """List the runs in ./runs, oldest first."""
    from autohedge.journal import RunFolder

    folders = RunFolder.all()
    if as_json:
        print_json({"runs": [_listed(folder) for folder in folders]})
        return
    from autohedge.console.tables import print_runs

    print_runs((folder.id, folder.read_summary(), folder.study) for folder in folders)


def _listed(folder: "RunFolder") -> dict[str, Any]:
    study = folder.study
    return {
        "run": folder.id,
        "finished": folder.results.is_file(),
        "study": study and {"run": study.run, "part": study.part},
    }


@runs_app.command("show")
def show_run(run: Run, as_json: AsJson = False) -> None:
    """Print the summary of a finished run."""
    from autohedge.journal import RunFolder

    folder = RunFolder.find(run)
    if not folder.results.is_file():
        verify = f"autohedge journal verify {shlex.quote(folder.argument)}"
        raise Misconfigured(f"run {folder.id} did not finish; `{verify}` shows its state")
    if as_json:
        print_json(folder.read_results() or {})
        return
    from autohedge.console.summary import print_summary

    if report := folder.read_report():
        print_summary(report, folder.argument)


@runs_app.command("transcript")
def print_transcript(run: Run) -> None:
    """Print each call of a model as one JSON line.

    Verifies the transcript while it reads it. Works while the run goes on.
    """
    from autohedge.journal import RunFolder
    from autohedge.llm.transcript import read
    from autohedge.llm.transcript_parts import exists

    folder = RunFolder.find(run)
    if not exists(folder.transcript):
        raise Misconfigured(f"run {folder.id} has no transcript: no agent decided in it")
    for entry in read(folder.transcript):
        print_json(entry)


@runs_app.command("export")
def export_run(
    run: Run,
    folder: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="The folder for the files.")] = Path(
        "data"
    ),
) -> None:
    """Export trades.jsonl, trade_summary.json and trade_stats.json.

    The format is that of the earlier Rust bot.
    """
    from autohedge.journal import RunFolder, read
    from autohedge.records.legacy_export import export_files

    found = RunFolder.find(run)
    made = export_files(line.event for line in read(found.journal) if line.event is not None)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in made.items():
        (folder / name).write_bytes(_as_file(content))
        echo(f"{folder / name}: written")


@runs_app.command("pack")
def pack_run(run: Run) -> None:
    """Copy a run's tape into its folder, so that it can be moved."""
    from autohedge import app as application
    from autohedge.journal import RunFolder

    folder = RunFolder.find(run)
    packed = application.pack(folder)
    echo(
        f"{folder.id}: {len(packed)} tape {'file' if len(packed) == 1 else 'files'} copied into {folder.tape}"
    )


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Check this machine: directories, disk, clock, settings, models.

    Exits with 1 if a check fails.
    """
    from autohedge.console.doctor import run_checks

    findings = list(run_checks())
    if as_json:
        print_json(
            {"findings": [{"check": each.check, "ok": each.ok, "says": each.message} for each in findings]}
        )
    else:
        for finding in findings:
            echo(f"{'ok ' if finding.ok else 'BAD'}  {finding.check}: {finding.message}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(FAILED)


@app.command()
def draw() -> None:
    """Print the agents' graph as Mermaid text."""
    from autohedge.graph.build import mermaid

    echo(mermaid(), nl=False)


@app.command()
def init() -> None:
    """Write a commented config.toml, .env.example and the prompts here.

    Nothing is overwritten.
    """
    from autohedge.config.reference import starter_file
    from autohedge.prompts import FOLDER, builtin_names, builtin_path

    _write_new(Path("config.toml"), starter_file().encode())
    _write_new(Path(".env.example"), ENV_EXAMPLE.encode())
    FOLDER.mkdir(exist_ok=True)
    for name in builtin_names():
        _write_new(FOLDER / f"{name}.md", builtin_path(name).read_bytes())


def _write_new(path: Path, content: bytes) -> None:
    try:
        with path.open("xb") as file:
            file.write(content)
        echo(f"{path}: written")
    except FileExistsError:
        echo(f"{path}: exists, left as it is")


def _as_file(content: Any) -> bytes:
    """A list as one JSON object per line, an object as readable JSON."""
    import msgspec

    if isinstance(content, list):
        return b"".join(msgspec.json.encode(line) + b"\n" for line in content)
    return msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n"

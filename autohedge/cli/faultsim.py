"""`autohedge simulate`: fault simulation."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autohedge.cli.commands import app
from autohedge.cli.options import FAILED, AsJson, Quiet, echo, print_json
from autohedge.core.errors import Misconfigured

if TYPE_CHECKING:
    from autohedge.faultsim.history import History
    from autohedge.faultsim.runner import Summary
    from autohedge.faultsim.scenario import ScenarioResult


@app.command()
def simulate(
    seeds: Annotated[
        str | None, typer.Option("--seeds", help="FIRST:END, without END: one history per seed.")
    ] = None,
    history: Annotated[Path | None, typer.Option("--history", help="Run the history of a file.")] = None,
    shrink: Annotated[
        str | None,
        typer.Option(
            "--shrink", metavar="SEED|FILE", help="Reduce a failing history and write it to a file."
        ),
    ] = None,
    faults: Annotated[
        str | None,
        typer.Option("--faults", help="Names separated by commas, or none; default: all."),
    ] = None,
    twice: Annotated[
        bool, typer.Option("--twice", help="Run each history twice and compare the bytes.")
    ] = False,
    jobs: Annotated[int, typer.Option(min=1, max=256, help="How many processes work in parallel.")] = 1,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Run seeded histories of faults and crashes against the engine.

    The engine, risk checks, orders and journal are the real ones. Exits with 1 if an invariant does not
    hold, or if a fault never struck in a hundred seeds or more. docs/faults.md lists the faults.
    """
    if sum(each is not None for each in (seeds, history, shrink)) != 1:
        raise Misconfigured("simulate needs one of --seeds FIRST:END, --history FILE and --shrink SEED|FILE")
    if seeds is not None:
        _simulate_seeds(seeds, faults, jobs, twice=twice, as_json=as_json, quiet=quiet)
    elif history is not None:
        _run_file(history, twice=twice, quiet=quiet)
    else:
        _shrink(shrink or "", faults, quiet=quiet)


def _simulate_seeds(
    seeds: str, faults: str | None, jobs: int, *, twice: bool, as_json: bool, quiet: bool
) -> None:
    from autohedge.faultsim.runner import parse_faults, seeds_of, simulate

    wanted = parse_faults(faults)

    def done(outcome: "ScenarioResult") -> None:
        if outcome.violation and not as_json:
            echo(f"seed {outcome.seed}: {outcome.violation}\n  {_repeat_command(outcome.seed, faults)}")

    summary = simulate(seeds_of(seeds), wanted, jobs=jobs, twice=twice, done=done)
    if as_json:
        print_json(_as_dict(summary, faults))
    elif not quiet:
        _print(summary)
    if not summary.passed:
        raise typer.Exit(FAILED)


def _run_file(path: Path, *, twice: bool, quiet: bool) -> None:
    """Runs one history from its file."""
    from autohedge.faultsim.history import read_history
    from autohedge.faultsim.runner import run_twice
    from autohedge.faultsim.scenario import run_history

    outcome = (run_twice if twice else run_history)(read_history(path))
    if outcome.violation:
        echo(f"{path}: {outcome.violation}")
        raise typer.Exit(FAILED)
    if not quiet:
        echo(f"{path}: every invariant holds ({outcome.rows:,} quotes, {outcome.orders:,} orders)")


def _shrink(subject: str, faults: str | None, *, quiet: bool) -> None:
    """Shrinks the history of a seed or file, and writes the result beside the present folder's files."""
    from autohedge.faultsim.history import read_history, write_history
    from autohedge.faultsim.runner import history_of, parse_faults
    from autohedge.faultsim.shrinking import shrink

    is_seed = subject.isdigit()
    history = history_of(int(subject), parse_faults(faults)) if is_seed else read_history(Path(subject))

    def progress(smaller: "History") -> None:
        if not quiet:
            echo(f"  {_size(smaller)}", err=True)

    shrunk = shrink(history, progress)
    if shrunk is None:
        echo(f"{subject}: every invariant holds, so there is nothing to shrink")
        return
    path = Path(f"history-{subject}.json" if is_seed else f"{Path(subject).stem}-shrunk.json")
    write_history(shrunk, path)
    echo(f"{subject}: {shrunk.note}\n  {path}: {_size(shrunk)}")
    for strike in shrunk.strikes:
        echo(f"  {(strike.at_ns - shrunk.start_ns) / 1e9:>10.3f} s  {strike.fault}")
    raise typer.Exit(FAILED)


def _size(history: "History") -> str:
    quotes = sum(len(each.after_ns) for each in history.market)
    return f"{len(history.strikes)} faults, {len(history.commands)} commands, {quotes:,} quotes"


def _repeat_command(seed: int, faults: str | None) -> str:
    chosen = f" --faults {faults}" if faults is not None else ""
    return f"autohedge simulate --seeds {seed}:{seed + 1}{chosen}"


def _print(summary: "Summary") -> None:
    counts = f"{summary.histories} histories, {summary.rows:,} quotes, {summary.orders:,} orders"
    echo(f"{counts}, {summary.crashes} crashes: {len(summary.failed)} failed")
    for name in summary.faults:
        echo(f"  {name:<16} {summary.fault_counts[name]:>8,}")
    if summary.unused_faults:
        echo(f"never injected: {', '.join(summary.unused_faults)}", err=True)


def _as_dict(summary: "Summary", faults: str | None) -> dict[str, object]:
    failed = [
        {"seed": each.seed, "violation": each.violation, "again": _repeat_command(each.seed, faults)}
        for each in summary.failed
    ]
    counts = {name: summary.fault_counts[name] for name in summary.faults}
    return {
        "histories": summary.histories,
        "quotes": summary.rows,
        "orders": summary.orders,
        "crashes": summary.crashes,
        "struck": counts,
        "never_struck": summary.unused_faults,
        "failed": failed,
    }

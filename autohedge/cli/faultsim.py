"""`autohedge simulate`: fault simulation."""

from typing import TYPE_CHECKING, Annotated

import typer

from autohedge.cli.commands import app
from autohedge.cli.options import FAILED, AsJson, Quiet, echo, print_json

if TYPE_CHECKING:
    from autohedge.faultsim.runner import Summary
    from autohedge.faultsim.scenario import ScenarioResult


@app.command()
def simulate(
    seeds: Annotated[str, typer.Option("--seeds", help="FIRST:END, without END: one scenario per seed.")],
    faults: Annotated[
        str | None,
        typer.Option("--faults", help="Names separated by commas, or none; default: all."),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, max=256, help="How many processes work in parallel.")] = 1,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Run seeded scenarios of faults and crashes against the engine.

    The engine, risk checks, orders and journal are the real ones. Exits with 1 if an invariant does not
    hold, or if a fault was never injected in a hundred seeds or more. docs/faults.md lists the faults.
    """
    from autohedge.faultsim.runner import parse_faults, seeds_of, simulate

    wanted = parse_faults(faults)

    def done(outcome: "ScenarioResult") -> None:
        if outcome.violation and not as_json:
            echo(f"seed {outcome.seed}: {outcome.violation}\n  {_repeat_command(outcome.seed, faults)}")

    summary = simulate(seeds_of(seeds), wanted, jobs=jobs, done=done)
    if as_json:
        print_json(_as_dict(summary, faults))
    elif not quiet:
        _print(summary)
    if not summary.passed:
        raise typer.Exit(FAILED)


def _repeat_command(seed: int, faults: str | None) -> str:
    chosen = f" --faults {faults}" if faults is not None else ""
    return f"autohedge simulate --seeds {seed}:{seed + 1}{chosen}"


def _print(summary: "Summary") -> None:
    counts = f"{summary.histories} scenarios, {summary.rows:,} quotes, {summary.orders:,} orders"
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

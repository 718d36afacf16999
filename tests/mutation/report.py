"""What a run of the catalogue says: a line per mutant, the totals, and the same as JSON."""

from collections.abc import Sequence
from typing import Any

from tests.mutation.child import Result
from tests.mutation.runner import Outcome, caught

WIDTH = 100


def line(outcome: Outcome) -> str:
    """Returns what became of one mutant, and who noticed."""
    mutant = outcome.mutant
    about = mutant.equivalent or "; ".join(_notices(outcome)) or mutant.like
    return f"{outcome.verdict:<10}  {mutant.name:<36}  {about}"


def _notices(outcome: Outcome) -> list[str]:
    runs = (("tests", outcome.tests), ("seed", outcome.seeds))
    return [_notice(name, result) for name, result in runs if result and result.end != "passed"]


def _notice(name: str, result: Result) -> str:
    place = result.at.rpartition("::")[2]
    text = " ".join(result.message.split())
    return f"{name} {place}: {result.end if result.end != 'failed' else ''} {text}"[:WIDTH].replace(
        ":  ", ": "
    )


def totals(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Returns counts and shares; the shares are of the mutants that are not equivalent."""
    run = [outcome for outcome in outcomes if outcome.verdict != "equivalent"]
    noticed = sum(outcome.verdict == "caught" for outcome in run)
    by_tests = sum(caught(outcome.tests) for outcome in run)
    by_simulation = sum(caught(outcome.seeds) for outcome in run)
    return {
        "mutants": len(outcomes),
        "equivalent": len(outcomes) - len(run),
        "run": len(run),
        "caught": noticed,
        "caught_pct": _pct(noticed, len(run)),
        "by_tests": by_tests,
        "by_simulation": by_simulation,
        "by_simulation_pct": _pct(by_simulation, len(run)),
        "survived": [outcome.mutant.name for outcome in run if outcome.verdict == "survived"],
        "errors": [outcome.mutant.name for outcome in run if outcome.verdict == "error"],
    }


def _pct(part: int, whole: int) -> float:
    return round(100 * part / whole, 1) if whole else 100.0


def summary(outcomes: Sequence[Outcome], *, quick: bool) -> str:
    """Returns the totals as text."""
    counts = totals(outcomes)
    text = f"{counts['mutants']} mutants, {counts['equivalent']} equivalent: {counts['caught']} of {counts['run']}"
    text += f" caught ({counts['caught_pct']} %)"
    if not quick:  # otherwise the one did not see what the other had caught
        text += f", {counts['by_simulation']} by the simulation ({counts['by_simulation_pct']} %)"
        text += f", {counts['by_tests']} by tests"
    return text + "".join(
        f"\n{kind}: {', '.join(counts[kind])}" for kind in ("survived", "errors") if counts[kind]
    )


def as_json(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Returns all outcomes and the totals as plain data."""
    mutants = [
        {
            "name": outcome.mutant.name,
            "file": outcome.mutant.file,
            "verdict": outcome.verdict,
            "tests": outcome.tests,
            "simulation": outcome.seeds,
        }
        for outcome in outcomes
    ]
    return totals(outcomes) | {"outcomes": mutants}

"""Mutation testing: applies small changes to the package and reports which of them nobody notices.

For each mutant of the catalogue it runs 60 seeds of the simulation, and the tests nearest to the changed file.
Exits with 1 if a mutant survives, with 2 if the catalogue does not fit the package or a run proves nothing.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from tests.mutation import report
from tests.mutation.mutants import InvalidCatalogue, Mutant, chosen, load, slice_of, source_hash, stale
from tests.mutation.runner import Runner


def main(args: Sequence[str] | None = None) -> int:
    """Runs the wanted mutants and returns the exit code."""
    wanted = _options(args)
    try:
        mutants = _mutants(wanted)
    except InvalidCatalogue as error:
        print(error, file=sys.stderr)
        return 2
    if wanted.list:
        print("\n".join(f"{mutant.name:<36}  {mutant.file:<32}  {mutant.like}" for mutant in mutants))
        return 0
    with TemporaryDirectory(prefix="mutation-") as folder:
        return _run(Runner(Path(folder), min(wanted.jobs, len(mutants))), mutants, wanted)


def _run(runner: Runner, mutants: Sequence[Mutant], wanted: argparse.Namespace) -> int:
    outcomes = []
    for outcome in runner.run_all(mutants, quick=wanted.quick):
        outcomes.append(outcome)
        print(report.line(outcome), file=sys.stderr if wanted.json else sys.stdout, flush=True)
    if wanted.json:
        print(msgspec.json.encode(report.as_json(outcomes)).decode())
    else:
        print(report.summary(outcomes, quick=wanted.quick))
    useless = runner.control(outcomes)
    for result in useless:
        print(f"fails without any mutant too: {result.at}: {result.message}", file=sys.stderr)
    verdicts = {outcome.verdict for outcome in outcomes if not outcome.mutant.missed}
    return 2 if useless or "error" in verdicts else int("survived" in verdicts)


def _mutants(wanted: argparse.Namespace) -> list[Mutant]:
    mutants: Sequence[Mutant] = load()
    if wanted.only:
        mutants = chosen(mutants, wanted.only.split(","))
    elif wanted.slice:
        mutants = slice_of(mutants, source_hash())
    if problems := stale(mutants):
        raise InvalidCatalogue("\n".join(problems))
    return list(mutants)


def _options(args: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--list", action="store_true", help="list the mutants and run none")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--only", metavar="NAME[,NAME]", help="run these mutants")
    which.add_argument(
        "--slice", action="store_true", help="run ten fixed mutants, and ten chosen by a hash of the sources"
    )
    parser.add_argument(
        "--quick", action="store_true", help="run each mutant only up to the seed or the test that catches it"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="mutants at a time")
    parser.add_argument(
        "--json", action="store_true", help="print the outcomes as JSON; progress goes to stderr"
    )
    return parser.parse_args(args)


if __name__ == "__main__":
    sys.exit(main())

"""Runs mutants: seeds of the simulation, then the tests nearest to the changed file."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from queue import SimpleQueue

import msgspec

from tests.mutation.child import Result, Step
from tests.mutation.mutants import ROOT, Mutant
from tests.mutation.workspace import Workspace

SEEDS = tuple(str(seed) for seed in range(60))
FIRST = 15  # seeds before the tests of a quick run: they catch most of what the simulation catches
TOTAL_S = 300  # for what is slow at every step; the child limits each step

# The tests to run after those of the changed file itself, by package: some 15 s at most.
NEAREST = {
    "core": ("tests/core", "tests/execution", "tests/engine/test_currencies.py"),
    "execution": ("tests/execution", "tests/engine"),
    "risk": ("tests/risk", "tests/execution", "tests/engine"),
    "engine": ("tests/engine", "tests/execution"),
    "exchanges": ("tests/exchanges", "tests/engine/test_currencies.py"),
    "gateway": ("tests/gateway",),
    "market": ("tests/market",),
    "journal": ("tests/journal", "tests/runtime/test_recovery.py", "tests/app/test_restart_on_tape.py"),
    "runtime": ("tests/runtime", "tests/engine/test_known_answers.py", "tests/engine/test_run_properties.py"),
    # Only real processes continue a run on a clock.
    "app": (
        "tests/app/test_restart_on_tape.py",
        "tests/app/test_wall_run.py",
        "-m",
        "not soak and not model",
    ),
}


class Outcome(msgspec.Struct, frozen=True):
    """What a mutant met: the results of the tests and of the simulation; None where one did not run."""

    mutant: Mutant
    tests: Result | None = None
    seeds: Result | None = None

    @property
    def verdict(self) -> str:
        """`equivalent`, `caught`, `survived`, or `error` where a run says nothing about the mutant."""
        results = [result for result in (self.tests, self.seeds) if result]
        if self.mutant.equivalent:
            return "equivalent"
        if any(result.end == "error" or _names_what_is_gone(result) for result in results):
            return "error"
        return "caught" if any(map(caught, results)) else "survived"


def _names_what_is_gone(result: Result) -> bool:
    """Whether a mutant uses a name that the package no longer has; then it proves nothing."""
    return result.message.startswith(("NameError", "AttributeError")) and "NoneType" not in result.message


def caught(result: Result | None) -> bool:
    """Whether a run noticed the mutant; one that hangs or loops is noticed by everybody."""
    return result is not None and result.end in {"failed", "hung"}


def nearest_tests(file: str) -> list[str]:
    """Returns the arguments of pytest for a changed file: its own tests first."""
    folder, _, name = file.rpartition("/")
    mirror = f"tests/{folder}/test_{name}"
    places = [mirror] if (ROOT / mirror).exists() else []
    return [*places, *NEAREST[file.partition("/")[0]]]


class Runner:
    """Runs mutants in `jobs` copies of the checkout at a time, below `folder`."""

    def __init__(self, folder: Path, jobs: int) -> None:
        self._free: SimpleQueue[Workspace] = SimpleQueue()
        for number in range(jobs):
            self._free.put(Workspace(folder / str(number)))
        self._jobs = jobs

    def run_all(self, mutants: Sequence[Mutant], *, quick: bool = False) -> Iterator[Outcome]:
        """Yields the outcomes of mutants, in their order.

        With `quick` each mutant runs up to what catches it.
        """
        with ThreadPoolExecutor(self._jobs) as pool:
            yield from pool.map(partial(self.run_one, quick=quick), mutants)

    def run_one(self, mutant: Mutant, *, quick: bool = False) -> Outcome:
        """Runs one mutant, unless it is equivalent."""
        if mutant.equivalent:
            return Outcome(mutant)
        if quick:
            return self._run_quickly(mutant)
        seeds = self.run(mutant, "seeds", SEEDS)
        return Outcome(mutant, self.run(mutant, "tests", nearest_tests(mutant.file)), seeds)

    def _run_quickly(self, mutant: Mutant) -> Outcome:
        """Runs the first seeds, then the tests, then the other seeds, which take longest, until one does not pass."""
        seeds = self.run(mutant, "seeds", SEEDS[:FIRST])
        if seeds.end != "passed":
            return Outcome(mutant, seeds=seeds)
        tests = self.run(mutant, "tests", nearest_tests(mutant.file))
        if tests.end == "passed":
            seeds = self.run(mutant, "seeds", SEEDS[FIRST:])
        return Outcome(mutant, tests, seeds)

    def control(self, outcomes: Sequence[Outcome]) -> list[Result]:
        """Runs what caught a mutant on the package as it is; returns what fails there too, so proves nothing."""
        tests = sorted({each.tests.at for each in outcomes if each.tests and caught(each.tests)})
        seeds = sorted({each.seeds.at for each in outcomes if each.seeds and caught(each.seeds)})
        runs = (("tests", tests), ("seeds", seeds))
        results = [self.run(None, what, args) for what, args in runs if args]
        return [result for result in results if result.end != "passed"]

    def run(self, mutant: Mutant | None, what: str, args: Sequence[str]) -> Result:
        """Runs tests or seeds in a process of its own, on the package with a mutant, or as it is."""
        workspace = self._free.get()
        try:
            with workspace.planted(mutant):
                return _run(workspace, mutant.module if mutant else "", what, args)
        finally:
            self._free.put(workspace)


def _run(workspace: Workspace, module: str, what: str, args: Sequence[str]) -> Result:
    command = [sys.executable, "-m", "tests.mutation.child", module, what, *args]
    if what == "tests":
        command.append(f"--basetemp={workspace.root.parent / 'tests'}")
    pipe, root, env = subprocess.PIPE, workspace.root, workspace.env
    # A session of its own: what a test has started ends with it.
    process = subprocess.Popen(command, cwd=root, env=env, stdout=pipe, stderr=pipe, start_new_session=True)
    try:
        out, err = process.communicate(timeout=TOTAL_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
    return result_of(process.returncode, out, err)


_decode = msgspec.json.Decoder(Step | Result).decode


def result_of(code: int, out: bytes, err: bytes) -> Result:
    """Returns the result of a process, from its last line and from how it ended."""
    lines = [_decode(line) for line in out.splitlines()]
    last = lines[-1] if lines else Step("start")
    if isinstance(last, Result):
        return last
    if code in {-signal.SIGALRM, -signal.SIGKILL}:
        return Result("hung", last.at, "ran until it was stopped")
    if code < 0:
        return Result("failed", last.at, f"the process ended with {signal.Signals(-code).name}")
    text = err.decode(errors="replace").strip().splitlines()
    return Result("error", last.at, text[-1] if text else f"exit code {code}")

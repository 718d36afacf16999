"""Runs mutants: the tests nearest to the changed file, then seeds of the simulation."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import msgspec

from tests.mutation.child import Result, Step
from tests.mutation.mutants import ROOT, Mutant

SEEDS = tuple(str(seed) for seed in range(60))
TOTAL_S = 300  # for what is slow at every step; the child limits each step

# The tests to run after those of the changed file itself, by package: some 15 s at most.
NEAREST = {
    "execution": ("tests/execution", "tests/engine"),
    "risk": ("tests/risk", "tests/execution", "tests/engine"),
    "engine": ("tests/engine", "tests/execution"),
    "gateway": ("tests/gateway",),
    "journal": ("tests/journal", "tests/runtime/test_recovery.py", "tests/app/test_restart_on_tape.py"),
    "runtime": ("tests/runtime", "tests/engine/test_known_answers.py", "tests/engine/test_run_properties.py"),
    "app": ("tests/app",),
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
        if any(result.end == "error" for result in results):
            return "error"
        return "caught" if any(map(caught, results)) else "survived"


def caught(result: Result | None) -> bool:
    """Whether a run noticed the mutant; one that hangs or loops is noticed by everybody."""
    return result is not None and result.end in {"failed", "hung"}


def nearest_tests(file: str) -> list[str]:
    """Returns the tests to run for a changed file, nearest first."""
    folder, _, name = file.rpartition("/")
    places = (f"tests/{folder}/test_{name}", *NEAREST[file.partition("/")[0]])
    return list(dict.fromkeys(place for place in places if (ROOT / place).exists()))


def run_all(mutants: Sequence[Mutant], jobs: int, *, quick: bool = False) -> Iterator[Outcome]:
    """Runs mutants in `jobs` processes at a time; yields their outcomes in the same order.

    With `quick` the simulation does not run for what the tests have caught.
    """
    with ThreadPoolExecutor(jobs) as pool:
        yield from pool.map(partial(run_one, quick=quick), mutants)


def run_one(mutant: Mutant, *, quick: bool = False) -> Outcome:
    """Runs one mutant, unless it is equivalent."""
    if mutant.equivalent:
        return Outcome(mutant)
    tests = run(mutant, "tests", nearest_tests(mutant.file))
    if quick and caught(tests):
        return Outcome(mutant, tests)
    return Outcome(mutant, tests, run(mutant, "seeds", SEEDS))


def control(outcomes: Sequence[Outcome]) -> list[Result]:
    """Runs what caught a mutant on the package as it is; returns what fails there too, so proves nothing."""
    tests = sorted({outcome.tests.at for outcome in outcomes if outcome.tests and caught(outcome.tests)})
    seeds = sorted({outcome.seeds.at for outcome in outcomes if outcome.seeds and caught(outcome.seeds)})
    results = [run(None, "tests", tests)] * bool(tests) + [run(None, "seeds", seeds)] * bool(seeds)
    return [result for result in results if result.end != "passed"]


def run(mutant: Mutant | None, what: str, args: Sequence[str]) -> Result:
    """Runs tests or seeds in a process of its own, on the package with a mutant, or as it is."""
    command = [
        sys.executable,
        "-m",
        "tests.mutation.child",
        msgspec.json.encode(mutant).decode(),
        what,
        *args,
    ]
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        if what == "tests":
            command.append(f"--basetemp={folder}/tests")
        # Recorded data may be absent elsewhere, so nothing may depend on it here.
        env = {key: value for key, value in os.environ.items() if key != "AUTOHEDGE_REQUIRE_SHARED"}
        pipe = subprocess.PIPE
        # A session of its own: what a test has started ends with it.
        process = subprocess.Popen(
            command, cwd=ROOT, env=env, stdout=pipe, stderr=pipe, start_new_session=True
        )
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

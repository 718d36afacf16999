"""Runs the cases of ../shared/cases against this checkout and reports each of their checks.

    .venv/bin/python tests/cases/run.py [--jobs N] [--limit-s S] [NAME …]

A case is a program of its own that runs the command line and prints what must hold. NAME selects cases by the
beginning of their name, such as c03. The exit code is 1 if a check fails, or if a case ends without any.
Needs the standard library only, besides the package itself.
"""

import argparse
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # for a start by the file name

from tests.cases.checks import FAIL, PASS, SKIP, Check, Ended  # noqa: E402

CASES = ROOT.parent / "shared" / "cases"
SHOWN_LINES = 5
# Variables that would change what a case sees: settings, keys and addresses of model servers.
HIDDEN = ("AUTOHEDGE", "OPENAI", "PYTHON")
NEEDS = {"c16_audit_page_narrow": "chromium"}
"""The program that a case needs besides the package."""


@dataclass(frozen=True)
class Case:
    """A command to run, and the function that reads the checks from its end."""

    name: str
    command: tuple[str, ...]
    decide: Callable[[Ended], list[Check]]
    needs: str = ""


def llm_cases() -> list[Case]:
    """Returns the programs of the folder `llm`, which print a line for each check."""
    # -B: nothing is written beside them.
    return [
        Case(path.stem, (sys.executable, "-B", str(path)), printed_checks, NEEDS.get(path.stem, ""))
        for path in sorted((CASES / "llm").glob("c*.py"))
    ]


def printed_checks(ended: Ended) -> list[Check]:
    """Returns the checks of the lines that begin with PASS or FAIL."""
    found = (line.partition(" ") for line in ended.out.splitlines())
    return [
        Check(PASS if result == PASS else FAIL, text.strip())
        for result, _, text in found
        if result in {PASS, FAIL}
    ]


def judge(case: Case, ended: Ended, limit_s: float) -> list[Check]:
    """Returns the checks of a case, with a failed one if it did not end as its checks say."""
    checks = case.decide(ended)
    failed = any(check.result == FAIL for check in checks)
    if ended.exit_code is None:
        return [*checks, _unfinished(ended, f"it took more than {limit_s:g} s")]
    if not checks:
        return [_unfinished(ended, f"it printed no check, exit code {ended.exit_code}")]
    if ended.exit_code and not failed:
        return [*checks, _unfinished(ended, f"it broke off with exit code {ended.exit_code}")]
    return checks


def _unfinished(ended: Ended, why: str) -> Check:
    lines = (ended.err or ended.out).strip().splitlines()[-SHOWN_LINES:]
    return Check(FAIL, "\n      ".join([why, *lines]))


def run(case: Case, launcher: Path, limit_s: float) -> tuple[list[Check], float]:
    """Runs a case in a temporary folder; returns its checks and how long it took, in seconds."""
    if case.needs and not shutil.which(case.needs):
        return [Check(SKIP, f"{case.needs} is not installed")], 0.0
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f"{case.name}-", ignore_cleanup_errors=True) as folder:
        ended = _ended(case.command, folder, environment(launcher, folder), limit_s)
    return judge(case, ended, limit_s), time.monotonic() - began


def environment(launcher: Path, folder: str) -> dict[str, str]:
    """Returns the variables of a case: the program to run, and a place for temporary files."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(HIDDEN)}
    path = f"{launcher.parent}{os.pathsep}{kept.get('PATH', '')}"
    return kept | {"AUTOHEDGE": str(launcher), "PATH": path, "TMPDIR": folder}


def _ended(command: Sequence[str], folder: str, env: Mapping[str, str], limit_s: float) -> Ended:
    # In a session of its own, so that what a case leaves running is ended with it.
    with subprocess.Popen(
        command,
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            out, err = process.communicate(timeout=limit_s)
            exit_code: int | None = process.returncode
        except subprocess.TimeoutExpired:
            _kill_session(process.pid)
            out, err = process.communicate()
            exit_code = None
        finally:
            _kill_session(process.pid)
    return Ended(exit_code, out, err)


def _kill_session(leader: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


@contextmanager
def launcher_of_this_checkout() -> Iterator[Path]:
    """Yields the path of an executable `autohedge` that runs this checkout with this interpreter."""
    with tempfile.TemporaryDirectory(prefix="autohedge-cases-") as folder:
        launcher = Path(folder) / "autohedge"
        python, root = shlex.quote(sys.executable), shlex.quote(str(ROOT))
        launcher.write_text(f'#!/bin/sh\nPYTHONPATH={root} exec {python} -m autohedge "$@"\n')
        launcher.chmod(0o755)
        yield launcher


def selected(names: Sequence[str]) -> list[Case]:
    """Returns the cases whose names begin with one of `names`, or all; exits if a name has no case."""
    cases = llm_cases()
    unknown = [name for name in names if not any(case.name.startswith(name) for case in cases)]
    if unknown:
        sys.exit(f"no case is named {', '.join(unknown)}: see {CASES}")
    return [case for case in cases if not names or case.name.startswith(tuple(names))]


def report(cases: Sequence[Case], jobs: int, limit_s: float) -> bool:
    """Runs the cases, prints their checks, and returns whether all hold."""
    counts: Counter[str] = Counter()
    began = time.monotonic()
    with launcher_of_this_checkout() as launcher, ThreadPoolExecutor(jobs) as pool:
        results = pool.map(lambda case: run(case, launcher, limit_s), cases)
        for case, (checks, seconds) in zip(cases, results, strict=True):
            counts.update(check.result for check in checks)
            print(f"{case.name} ({seconds:.1f} s)", *checks, sep="\n", flush=True)
    total = f"{len(cases)} cases in {time.monotonic() - began:.0f} s"
    print(f"{total}: {counts[PASS]} checks passed, {counts[FAIL]} failed, {counts[SKIP]} skipped")
    return not counts[FAIL]


def main() -> int:
    """Runs the cases of the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description="Runs the cases of ../shared/cases against this checkout.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="the beginning of a case's name")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="cases that run at once")
    parser.add_argument("--limit-s", type=float, default=150, help="seconds for one case")
    options = parser.parse_args()
    if not CASES.is_dir():
        print(f"No case was run: there is no {CASES}.")
        return 1 if os.environ.get("AUTOHEDGE_REQUIRE_SHARED") else 0
    return 0 if report(selected(options.names), options.jobs, options.limit_s) else 1


if __name__ == "__main__":
    sys.exit(main())

"""Runs the cases of ../shared/cases against this checkout and reports each of their checks.

    .venv/bin/python tests/cases/run.py [--jobs N] [--limit-s S] [NAME …]

There are three families. A case of `llm` is a program that prints what must hold. One of `core` is a folder with
the commands `cmd`, and one of `solid` a script; both only show what happens, and a function of a table `DECISIONS`
decides on it. NAME selects cases by the beginning of their name, such as c03. The exit code is 1 if a check fails,
or if a case ends without any. Needs the standard library only, besides the package itself.
"""

import argparse
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # for a start by the file name

from tests.cases import (  # noqa: E402
    decide_data,
    decide_record,
    decide_robustness,
    decide_settings,
    decide_strategies,
)
from tests.cases.checks import FAIL, PASS, SKIP, Check, Decide, Ended  # noqa: E402

SHARED = ROOT.parent / "shared"
CASES = SHARED / "cases"
TAPE = SHARED / "data" / "hyperliquid" / "BTC-USD-PERP_20250904_quotes.parquet"
SHOWN_LINES = 5
# Variables that would change what a case sees: settings, keys and addresses of model servers.
HIDDEN = ("AUTOHEDGE", "OPENAI", "PYTHON")
MOUNT = "mount"
NEEDS = {"c16_audit_page_narrow": "chromium", "full_disk_transcript": MOUNT}
"""What a case needs besides the package: a program, or that root may mount a file system."""

ENGINE_NAMES = {
    "tests.support": "tests.run_harness",
    "Accepted": "OrderAccepted",
    "Account": "AccountState",
    "Alarm": "Alert",
    "Halted": "TradingStateChanged",
    "Link": "ConnectionStatus",
    "Operator": "OperatorCommand",
    "OrderList": "OrderMassStatus",
    "Report": "ExecutionReport",
    "VenueOrder": "VenueOrderStatus",
    "lose": "mark_unknown",
}
RENAMED = {
    "poisoned_cache": {"ask.f8": "columns"},
    "cancel_given_up": ENGINE_NAMES,
    # A line may end with the texts that it is the first to refer to.
    "full_disk_transcript": {"l.rstrip().endswith": '(lambda _: l.rstrip().endswith(b"}"))'},
    # A lane had one exit then, and every sale was one.
    "two_exits": ENGINE_NAMES
    | {
        "orders.exit": "(lambda lane: orders.exits_of(lane)[0])",
        "MARKET, SELL, Intent": "LEAVE, MARKET, SELL, Intent",
        "side=SELL": "side=SELL, purpose=LEAVE",
    },
}
"""The names in a script, of files or of classes, and what they are today."""
TAPE_CASES = ("full_disk_transcript", "poisoned_cache")
"""Scripts with a tape as their second argument."""

JOB_CONTROL_CASES = ("28-interrupt-exit-code",)
"""Cases that interrupt a command in the background, which ignores interrupts without job control."""

DECISIONS: dict[str, Decide] = {
    **decide_settings.DECISIONS,
    **decide_data.DECISIONS,
    **decide_strategies.DECISIONS,
    **decide_record.DECISIONS,
    **decide_robustness.DECISIONS,
}


@dataclass(frozen=True)
class Case:
    """A command to run in a copy of `files`, and the function that reads the checks from its end.

    `skipped` says why a case is not run.
    """

    name: str
    command: tuple[str, ...]
    decide: Decide | None
    files: Path | None = None
    skipped: str = ""


def all_cases() -> list[Case]:
    """Returns the cases of all families."""
    return [*llm_cases(), *solid_cases(), *core_cases()]


def llm_cases() -> list[Case]:
    """Returns the programs of the folder `llm`, which print a line for each check."""
    # -B: nothing is written beside them.
    return [
        Case(path.stem, (sys.executable, "-B", str(path)), printed_checks, skipped=_unmet(path.stem))
        for path in sorted((CASES / "llm").glob("c*.py"))
    ]


def core_cases() -> list[Case]:
    """Returns the folders of the family `core`, whose commands show what happens to their files."""
    return [
        Case(path.name, _shell(path.name), DECISIONS.get(path.name), files=path)
        for path in sorted((CASES / "core").iterdir())
        if (path / "cmd").is_file()
    ]


def _shell(name: str) -> tuple[str, ...]:
    return ("bash", "-m", "cmd") if name in JOB_CONTROL_CASES else ("bash", "cmd")


def solid_cases() -> list[Case]:
    """Returns the scripts of the family `solid`, which show what happens."""
    return [
        Case(path.stem, _script(path), DECISIONS.get(path.stem), skipped=_unmet(path.stem))
        for path in sorted((CASES / "solid").iterdir())
        if path.suffix in {".py", ".sh"}
    ]


def _script(path: Path) -> tuple[str, ...]:
    # What a case mounts is then gone with its processes.
    apart = ("unshare", "--mount") if NEEDS.get(path.stem) == MOUNT else ()
    program = ("bash", str(path)) if path.suffix == ".sh" else _source(path)
    tape = (str(TAPE),) if path.stem in TAPE_CASES else ()
    return (*apart, *program, "autohedge", *tape)


def _source(path: Path) -> tuple[str, ...]:
    """Returns the program of a Python script, with the names of files that are others today."""
    if path.stem not in RENAMED:
        return (sys.executable, "-B", str(path))
    names = RENAMED[path.stem]
    whole_names = rf"\b({'|'.join(map(re.escape, names))})\b"
    text = re.sub(whole_names, lambda found: names[found[0]], path.read_text(encoding="utf-8"))
    # Some scripts import the package and its tests, which is why they are to be run in a checkout.
    return (sys.executable, "-B", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{text}")


def _unmet(name: str) -> str:
    """Returns why a case is not run here, or an empty text."""
    needed = NEEDS.get(name, "")
    if needed == MOUNT:
        return "" if _may_mount() else "it needs root, which mounts a small file system"
    return "" if not needed or shutil.which(needed) else f"{needed} is not installed"


def _may_mount() -> bool:
    # In a container even root may lack the right.
    asked = ("unshare", "--mount", "true")
    return bool(shutil.which("unshare")) and not subprocess.run(asked, check=False, stderr=-3).returncode


def printed_checks(ended: Ended) -> list[Check]:
    """Returns the checks of the lines that begin with PASS or FAIL, and a failed one without any or for an error."""
    found = (line.partition(" ") for line in ended.out.splitlines())
    checks = [
        Check(PASS if result == PASS else FAIL, text.strip())
        for result, _, text in found
        if result in {PASS, FAIL}
    ]
    failed = any(check.result == FAIL for check in checks)
    if ended.exit_code is None:
        return checks
    if not checks:
        return [_unfinished(ended, f"it printed no check, exit code {ended.exit_code}")]
    if ended.exit_code and not failed:
        return [*checks, _unfinished(ended, f"it broke off with exit code {ended.exit_code}")]
    return checks


def judge(case: Case, ended: Ended, limit_s: float) -> list[Check]:
    """Returns the checks of a case, with a failed one if nothing decides it, or if it ran out of time."""
    checks = _decided(case.decide, ended) if case.decide else []
    if ended.exit_code is None:
        return [*checks, _unfinished(ended, f"it took more than {limit_s:g} s")]
    return checks or [Check(FAIL, "no decision for this case")]


def _decided(decide: Decide, ended: Ended) -> list[Check]:
    try:
        return decide(ended)
    except Exception as error:  # noqa: BLE001 - output of another form must not end the other cases
        return [_unfinished(ended, f"its decision failed with {error!r}")]


def _unfinished(ended: Ended, why: str) -> Check:
    lines = (ended.err or ended.out).strip().splitlines()[-SHOWN_LINES:]
    return Check(FAIL, "\n      ".join([why, *lines]))


def run(case: Case, launcher: Path, limit_s: float) -> tuple[list[Check], float]:
    """Runs a case in a temporary folder; returns its checks and how long it took, in seconds."""
    if case.skipped:
        return [Check(SKIP, case.skipped)], 0.0
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f"{case.name}-", ignore_cleanup_errors=True) as folder:
        if case.files:
            for path in case.files.iterdir():
                shutil.copyfile(path, Path(folder) / path.name)  # without the mode, which may be read-only
        ended = _ended(case.command, folder, environment(launcher, folder), limit_s)
    return judge(case, ended, limit_s), time.monotonic() - began


def environment(launcher: Path, folder: str) -> dict[str, str]:
    """Returns the variables of a case: the program to run, a tape cache and a place for temporary files.

    All cases share the tape cache beside the launcher, and the user's compiled code.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(HIDDEN)}
    path = f"{launcher.parent}{os.pathsep}{kept.get('PATH', '')}"
    cache = str(launcher.parent / "cache")
    return kept | {"AUTOHEDGE": str(launcher), "AUTOHEDGE_CACHE_DIR": cache, "PATH": path, "TMPDIR": folder}


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
    # Not its process group only: with job control, each command in the background has one of its own.
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(ProcessLookupError):
            if os.getsid(int(process.name)) == leader:
                os.kill(int(process.name), signal.SIGKILL)


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
    cases = all_cases()
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

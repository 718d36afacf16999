"""The runner of the cases in ../shared: what it makes of a case's output, exit code and time."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from autohedge import __version__
from tests.cases import run as runner
from tests.cases.checks import FAIL, PASS, SKIP, Check, Ended
from tests.cases.run import Case

pytestmark = pytest.mark.process

CASE = Case("c00", (), runner.printed_checks)


def _results(out: str, exit_code: int | None, err: str = "") -> list[str]:
    return [check.result for check in runner.judge(CASE, Ended(exit_code, out, err), 5)]


def test_lines_of_a_case_are_its_checks() -> None:
    checks = runner.judge(CASE, Ended(1, "PASS it buys   [1]\nnote\nFAIL it sells\n", ""), 5)
    assert checks == [Check(PASS, "it buys   [1]"), Check(FAIL, "it sells")]


@pytest.mark.parametrize(
    ("out", "exit_code", "results"),
    [
        ("PASS x\n", 0, [PASS]),
        ("PASS x\n", 1, [PASS, FAIL]),
        ("PASS x\n", None, [PASS, FAIL]),
        ("FAIL x\n", None, [FAIL, FAIL]),
        ("", 0, [FAIL]),
        ("PASSED\n", 0, [FAIL]),
    ],
)
def test_case_that_ends_unlike_its_checks_fails(out: str, exit_code: int | None, results: list[str]) -> None:
    assert _results(out, exit_code) == results


def test_case_without_a_check_shows_the_end_of_its_errors() -> None:
    (check,) = runner.judge(CASE, Ended(1, "", "Traceback\nKeyError: 'x'\n"), 5)
    assert "no check, exit code 1" in check.text and check.text.endswith("KeyError: 'x'")


def test_case_whose_program_is_missing_is_skipped(tmp_path: Path) -> None:
    case = Case("c00", ("false",), runner.printed_checks, needs="no-such-program")
    checks, _ = runner.run(case, tmp_path / "autohedge", 5)
    assert checks == [Check(SKIP, "no-such-program is not installed")]


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], Case]:
    """Returns a function that makes a case of a program's text."""

    def make(text: str) -> Case:
        path = tmp_path / "program.py"
        path.write_text(text)
        return Case("c00", (sys.executable, str(path)), runner.printed_checks)

    return make


def test_case_runs_this_checkout_without_the_settings_of_the_caller(
    program: Callable[[str], Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOHEDGE__TRADING__MODE", "hft")
    case = program(
        "import os, subprocess\n"
        "said = subprocess.run([os.environ['AUTOHEDGE'], 'version'], capture_output=True, text=True).stdout\n"
        "print('PASS', said.split()[1], [name for name in os.environ if name.startswith('AUTOHEDGE_')])\n"
    )
    with runner.launcher_of_this_checkout() as launcher:
        checks, _ = runner.run(case, launcher, 60)
    assert checks == [Check(PASS, f"{__version__} []")]


def test_case_over_its_time_limit_is_ended_with_its_children(program: Callable[[str], Case]) -> None:
    case = program(
        "import subprocess, sys\n"
        "print('PASS x', flush=True)\n"
        "subprocess.run([sys.executable, '-c', 'import signal; signal.pause()'])\n"
    )
    checks, seconds = runner.run(case, Path("autohedge"), 1.5)
    assert [check.result for check in checks] == [PASS, FAIL]
    assert seconds < 30

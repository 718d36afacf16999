"""The runner of the cases in ../shared: what it makes of a case's output, exit code and time."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from autohedge import __version__
from tests.cases import run as runner
from tests.cases.checks import FAIL, PASS, SKIP, Check, Ended, must
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


def test_case_whose_needs_are_not_met_is_skipped_with_the_reason(tmp_path: Path) -> None:
    case = Case("c00", ("false",), runner.printed_checks, skipped="it needs root")
    checks, _ = runner.run(case, tmp_path / "autohedge", 5)
    assert checks == [Check(SKIP, "it needs root")]


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
        "print('PASS', said.split()[1], [name for name in os.environ if name.startswith('AUTOHEDGE__')])\n"
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


def test_case_of_files_runs_in_a_copy_of_them(tmp_path: Path) -> None:
    files = tmp_path / "files"
    files.mkdir()
    (files / "cmd").write_text("cat .env quotes.csv; echo told >&2; rm quotes.csv; exit 3")
    (files / ".env").write_text("hidden\n")
    (files / "quotes.csv").write_text("ts_ns\n")
    for path in files.iterdir():
        path.chmod(0o444)

    def decide(ended: Ended) -> list[Check]:
        return [must(ended == Ended(3, "hidden\nts_ns\n", "told\n"), "it shows its files", ended)]

    case = Case("1", ("bash", "cmd"), decide, files=files)
    checks, _ = runner.run(case, tmp_path / "autohedge", 60)
    assert checks == [Check(PASS, "it shows its files")]
    assert (files / "quotes.csv").exists()


def test_case_without_a_decision_fails() -> None:
    (check,) = runner.judge(Case("1", (), None), Ended(0, "PASS x\n", ""), 5)
    assert check == Check(FAIL, "no decision for this case")


def test_decision_that_breaks_off_fails_its_case() -> None:
    case = Case("1", (), lambda ended: [must(ended.out.splitlines()[3] == "x", "a fourth line")])
    (check,) = runner.judge(case, Ended(0, "one\n", ""), 5)
    assert check.result == FAIL and "IndexError" in check.text


@pytest.mark.parametrize("family", [runner.core_cases, runner.solid_cases, runner.llm_cases])
def test_cases_of_a_family_have_names_of_their_own(shared: Path, family: Callable[[], list[Case]]) -> None:
    names = [case.name for case in family()]
    assert names and len(set(names)) == len(names)


def test_decisions_are_for_cases_that_exist(shared: Path) -> None:
    assert set(runner.DECISIONS) <= {case.name for case in runner.all_cases()}


def test_case_with_job_control_is_ended_with_its_background_commands(tmp_path: Path) -> None:
    command = f"{sys.executable} -c 'import signal; signal.pause()' & echo $!; wait"
    case = Case("1", ("bash", "-m", "-c", command), lambda ended: [Check(PASS, ended.out.strip())])
    (shown, over), _ = runner.run(case, tmp_path / "autohedge", 0.5)
    assert over.result == FAIL
    assert (
        not Path(f"/proc/{shown.text}/stat").exists() or " Z " in Path(f"/proc/{shown.text}/stat").read_text()
    )

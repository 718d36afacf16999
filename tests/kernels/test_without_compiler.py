"""The kernels as plain Python: the same bits and the same answers, checked in one process without the compiler."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import SHARED
from tests.engine import known_answers
from tests.engine.deliberations.test_proposals import repeat_proposal_tests
from tests.kernels.test_book import repeat_book_tests
from tests.kernels.test_exits_only import repeat_exit_tests
from tests.kernels.test_state import walked
from tests.market import bar_cases
from tests.market.trade_factory import made_bars
from tests.process_harness import ROOT
from tests.strategies import indicator_cases

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What the program below prints, with the compiler off."""
    command = [sys.executable, "-m", "tests.kernels.test_without_compiler", str(SHARED)]
    env = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(ROOT)}
    place = tmp_path_factory.mktemp("plain")
    done = subprocess.run(command, env=env, cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_kernels_without_compiler_leave_the_same_bits(printed: list[str]) -> None:
    assert printed[0] == walked()
    assert not walked().startswith("[]")
    assert printed[1] == made_bars() and "'count'" in printed[1]


def test_indicators_without_compiler_have_the_same_bits(printed: list[str]) -> None:
    assert printed[2] == indicator_cases.made_indicators()


def test_indicators_of_a_tape_without_compiler_have_the_same_bits(shared: Path, printed: list[str]) -> None:
    assert printed[3] == indicator_cases.smallest_indicators(shared)


def test_answers_without_compiler_are_the_known_ones(shared: Path, printed: list[str]) -> None:
    assert printed[4:] == [
        "indicators of the smallest tape: reproduced",
        "4 + 150 answers reproduced",
        "bars of the smallest tape: reproduced",
    ]


def main(shared: Path) -> None:
    """Prints the bits and the answers, after tests whose kernels run as plain Python here."""
    print(walked())
    print(made_bars())
    print(indicator_cases.made_indicators())
    if shared.is_dir():
        print(indicator_cases.smallest_indicators(shared))
        indicator_cases.compare_smallest(shared)
    repeat_exit_tests()
    repeat_proposal_tests()
    repeat_book_tests(shared)
    if shared.is_dir():
        known_answers.compare_quick_cases(shared)
        bar_cases.compare_smallest(shared)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

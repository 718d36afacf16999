"""The catalogue fits the package; a mutant is what tests and simulation import; outcomes are counted as they are."""

import signal
from collections import Counter

import pytest

from tests.mutation.__main__ import main
from tests.mutation.child import Result
from tests.mutation.mutants import CHOSEN, ROOT, InvalidCatalogue, Mutant, chosen, load, slice_of, stale
from tests.mutation.report import line, totals
from tests.mutation.runner import Outcome, Runner, nearest_tests, result_of

STATE_TESTS = ["tests/risk/test_state.py"]


def _mutant(old: str, new: str, *, file: str = "risk/state.py", equivalent: str = "") -> Mutant:
    return Mutant("a_bug", file, old, new, "It is like a bug.", equivalent)


BUG = _mutant("self.causes.remove(cause)", "self.causes.clear()")
HARMLESS = _mutant('"""Lifts the halt and the pause."""', '"""Lifts halt and pause."""')


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    return Runner(tmp_path_factory.mktemp("copies"), 1)


def test_every_mutant_fits_the_package_and_compiles() -> None:
    assert stale(load()) == []


def test_catalogue_spreads_over_all_parts_that_decide_about_money() -> None:
    run_mutants = [mutant for mutant in load() if not mutant.equivalent]
    areas = Counter(mutant.file.partition("/")[0] for mutant in run_mutants)
    recovery = areas["runtime"] + areas["journal"] + areas["app"]
    reconciliation = sum(mutant.file == "execution/reconciliation.py" for mutant in run_mutants)
    assert len(run_mutants) >= 100
    assert min(areas["execution"], areas["risk"], areas["engine"], recovery, reconciliation) >= 15
    assert areas["gateway"] >= 10


def test_every_mutant_has_a_sentence_about_its_bug_and_equivalent_ones_a_reason() -> None:
    texts = [text for mutant in load() for text in (mutant.like, mutant.equivalent) if text]
    assert [text for text in texts if not text.endswith(".") or len(text) > 110] == []


def test_every_changed_file_has_nearest_tests() -> None:
    named = {place for mutant in load() for place in nearest_tests(mutant.file) if place.startswith("tests")}
    assert [place for place in named if not (ROOT / place).exists()] == []
    assert nearest_tests("risk/rate.py")[:2] == ["tests/risk/test_rate.py", "tests/risk"]


@pytest.mark.parametrize(
    ("mutant", "problem"),
    [
        (_mutant("causes.append", ""), "a_bug: autohedge/risk/state.py has 0 times: 'causes.append'"),
        (
            _mutant("halt_id: str | None", ""),
            "a_bug: autohedge/risk/state.py has 3 times: 'halt_id: str | None'",
        ),
        (_mutant("", "", file="risk/luck.py"), "a_bug: autohedge/risk/luck.py does not exist"),
        (_mutant("if cause in self.causes:", "if"), "a_bug: invalid syntax"),
    ],
)
def test_a_stale_mutant_is_named_in_one_line(mutant: Mutant, problem: str) -> None:
    (text,) = stale([mutant])
    assert text.startswith(problem.partition(" (")[0]) and "\n" not in text


def test_a_slice_has_fixed_and_chosen_mutants_and_no_equivalent_one() -> None:
    first, again, other = (slice_of(load(), key) for key in ("a", "a", "b"))
    assert first == again != other
    assert [sum(mutant.fixed for mutant in each) for each in (first, other)] == [10, 10]
    assert len(first) == len(other) == 10 + CHOSEN
    assert not any(mutant.equivalent for mutant in first + other)


def test_an_unknown_name_is_an_error_that_names_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InvalidCatalogue, match="no such mutant: luck; --list shows all"):
        chosen(load(), ["fee_added_to_cash", "luck"])
    assert main(["--only", "luck"]) == 2
    assert "luck" in capsys.readouterr().err


def test_list_names_every_mutant_and_runs_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    assert [text.split()[0] for text in capsys.readouterr().out.splitlines()] == [
        each.name for each in load()
    ]


@pytest.mark.process
def test_tests_import_the_mutant_and_the_file_stays_as_it_is(runner: Runner) -> None:
    failed = runner.run(BUG, "tests", STATE_TESTS)
    assert failed.end == "failed" and failed.at.startswith("tests/risk/test_state.py::")
    assert runner.run(HARMLESS, "tests", STATE_TESTS).end == "passed"
    assert stale([BUG]) == []


@pytest.mark.process
def test_tests_that_do_not_import_the_mutant_are_an_error(runner: Runner) -> None:
    result = runner.run(BUG, "tests", ["tests/core/test_text.py"])
    assert result == Result("error", message="no test imports autohedge.risk.state")


@pytest.mark.process
def test_the_simulation_runs_on_the_mutant_up_to_its_first_violation(runner: Runner) -> None:
    (bug,) = chosen(load(), ["fee_added_to_cash"])
    failed = runner.run(bug, "seeds", ["0", "1"])
    assert (failed.end, failed.at) == ("failed", "0") and "cash" in failed.message
    assert runner.run(HARMLESS, "seeds", ["0"]).end == "passed"


@pytest.mark.process
def test_a_quick_run_ends_at_the_first_seed_that_catches_the_mutant(runner: Runner) -> None:
    (bug,) = chosen(load(), ["fee_added_to_cash"])
    (outcome,) = runner.run_all([bug], quick=True)
    assert outcome.verdict == "caught" and outcome.tests is None
    assert outcome.seeds and outcome.seeds.at == "0"


@pytest.mark.process
def test_control_reports_what_fails_without_a_mutant(runner: Runner) -> None:
    (useless,) = runner.control([Outcome(BUG, tests=Result("failed", "tests/risk/test_luck.py"))])
    assert useless.end == "error"


@pytest.mark.parametrize(
    ("code", "written", "result"),
    [
        (-signal.SIGALRM, b'{"type":"Step","at":"7"}\n', Result("hung", "7", "ran until it was stopped")),
        (-signal.SIGKILL, b"", Result("hung", "start", "ran until it was stopped")),
        (
            -signal.SIGSEGV,
            b'{"type":"Step","at":"7"}\n',
            Result("failed", "7", "the process ended with SIGSEGV"),
        ),
        (1, b'{"type":"Step","at":"7"}\n', Result("error", "7", "ImportError: luck")),
        (0, b'{"type":"Step","at":"7"}\n{"type":"Result","end":"passed"}\n', Result("passed")),
    ],
)
def test_a_process_that_dies_gives_a_result_too(code: int, written: bytes, result: Result) -> None:
    assert result_of(code, written, b"Traceback\nImportError: luck\n") == result


PASSED, FAILED, ERROR = Result("passed"), Result("failed", "tests/a.py::test_b", "assert\n0"), Result("error")


def test_totals_leave_equivalent_mutants_out_of_the_shares() -> None:
    equivalent = Outcome(_mutant("", "", equivalent="Nothing changes."))
    outcomes = [
        Outcome(BUG, FAILED, Result("hung", "7")),
        Outcome(BUG, PASSED, Result("failed", "3", "1: sold twice")),
        Outcome(BUG, FAILED, PASSED),
        Outcome(BUG, PASSED, PASSED),
        equivalent,
    ]
    verdicts = ["caught", "caught", "caught", "survived", "equivalent"]
    assert [outcome.verdict for outcome in outcomes] == verdicts
    counts = totals(outcomes)
    assert (counts["mutants"], counts["run"], counts["caught_pct"], counts["survived"]) == (
        5,
        4,
        75.0,
        ["a_bug"],
    )
    assert (counts["by_tests"], counts["by_simulation"], counts["by_simulation_pct"]) == (2, 2, 50.0)


def test_an_error_is_not_counted_as_caught() -> None:
    outcome = Outcome(BUG, FAILED, ERROR)
    assert outcome.verdict == "error" and totals([outcome])["errors"] == ["a_bug"]


def test_the_line_of_a_mutant_names_the_test_and_the_seed() -> None:
    text = line(Outcome(BUG, FAILED, Result("failed", "3", "1: sold twice")))
    assert text.split(maxsplit=2) == ["caught", "a_bug", "tests test_b: assert 0; seed 3: 1: sold twice"]
    assert line(Outcome(BUG, PASSED, PASSED)).endswith("It is like a bug.")


@pytest.mark.parametrize(
    ("message", "verdict"),
    [
        ("AttributeError: 'Engine' object has no attribute '_luck'", "error"),
        ("NameError: name 'luck' is not defined", "error"),
        ("AttributeError: 'NoneType' object has no attribute 'id'", "caught"),
        ("4: an order leaves without a recorded intent", "caught"),
    ],
)
def test_a_mutant_with_a_name_that_is_gone_is_an_error(message: str, verdict: str) -> None:
    assert Outcome(BUG, seeds=Result("failed", "0", message)).verdict == verdict

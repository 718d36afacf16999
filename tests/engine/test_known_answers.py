"""The momentum strategy against known answers, on recorded tapes and on edge cases."""

from pathlib import Path

import pytest

from autohedge.config import load as load_settings
from autohedge.config import shipped_file, to_plain
from tests.engine import known_answers
from tests.runtime.store_run import play_growing

SETS = ("tight", "wide", "late", "defaults")


@pytest.mark.parametrize("name", SETS)
def test_recorded_tapes_give_the_known_answers(shared: Path, workplace: Path, name: str) -> None:
    cases = [case for case in known_answers.load(shared, "known") if case["set"] == name]
    assert len(cases) == 6
    for case in cases:
        known_answers.compare(case["answer"], known_answers.play_tape(shared, case))


def test_hostile_tapes_give_the_known_answers(shared: Path, workplace: Path) -> None:
    cases = known_answers.load(shared, "edge")
    assert len(cases) == 150
    for case in cases:
        known_answers.compare(case["answer"], known_answers.play_edge(case))


def test_rows_of_a_live_store_give_the_known_answers(shared: Path, workplace: Path) -> None:
    tapes = [case for case in known_answers.load(shared, "known") if case["tape"] == known_answers.SMALLEST]
    for number, case in enumerate([*tapes, *known_answers.load(shared, "edge")[::4]]):
        tape, wanted = known_answers.tape_of_case(shared, case), known_answers.settings(case["params"])
        known_answers.compare(case["answer"], play_growing(wanted, tape, workplace / f"{number}"))


def test_the_answers_were_run_with_the_shipped_settings(workplace: Path) -> None:
    assert to_plain(known_answers.settings({})) == to_plain(load_settings(shipped_file()))

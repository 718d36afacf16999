"""Histories that failed once: they hold, and fail again where their mend is reverted."""

from pathlib import Path

import pytest

from autohedge.core.errors import Misconfigured
from autohedge.faultsim.history import read_history, write_history
from autohedge.faultsim.random_history import random_history
from autohedge.faultsim.scenario import run_history
from tests.faultsim.mutants.reverted_mends import Revert, flat_account_not_reconciled, second_exit_forgotten

FOLDER = Path(__file__).with_name("histories")
REVERTED = {
    "double_sale": second_exit_forgotten,
    "flat_account": flat_account_not_reconciled,
    "seed_9100868": flat_account_not_reconciled,
}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_history_that_failed_once_holds(path: Path) -> None:
    assert run_history(read_history(path)).violation is None


@pytest.mark.parametrize(("name", "revert"), REVERTED.items())
def test_history_fails_again_without_its_mend(
    name: str, revert: Revert, monkeypatch: pytest.MonkeyPatch
) -> None:
    revert(monkeypatch)
    assert run_history(read_history(FOLDER / f"{name}.json")).violation


def test_history_survives_its_file(tmp_path: Path) -> None:
    history = random_history(5)
    write_history(history, tmp_path / "history.json")
    assert read_history(tmp_path / "history.json") == history


def test_file_that_is_no_history_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.json").write_text("{}")
    with pytest.raises(Misconfigured, match="notes.json: this is no history of the simulation"):
        read_history(tmp_path / "notes.json")

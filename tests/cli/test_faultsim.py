"""`autohedge simulate`: histories from files, shrinking, and runs that are compared."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import autohedge.cli.invocation  # noqa: F401 - registers the commands
from autohedge.cli.commands import app
from autohedge.core.errors import Misconfigured
from autohedge.exchanges.simulated import SimulatedVenue
from autohedge.faultsim.history import read_history
from autohedge.faultsim.runner import run_twice
from autohedge.faultsim.scenario import run_history
from tests.faultsim.mutants.planted_bugs import crash_point_skipped

HISTORIES = Path(__file__).parents[1] / "faultsim" / "histories"
FLAT = HISTORIES / "flat_account.json"


def _simulate(*options: str) -> Result:
    return CliRunner().invoke(app, ["simulate", *options])


def test_history_of_a_file_that_holds_is_reported() -> None:
    result = _simulate("--history", str(FLAT))
    assert result.exit_code == 0
    assert re.search(r"flat_account.json: every invariant holds \(736 quotes, \d+ orders\)", result.output)


def test_history_of_a_file_that_fails_names_the_invariant(monkeypatch: pytest.MonkeyPatch) -> None:
    crash_point_skipped(monkeypatch)
    result = _simulate("--history", str(FLAT))
    assert result.exit_code == 1
    assert "flat_account.json: 4: order" in result.output


def test_shrink_writes_a_smaller_file_that_fails_alike(
    monkeypatch: pytest.MonkeyPatch, workplace: Path
) -> None:
    crash_point_skipped(monkeypatch)
    result = _simulate("--shrink", str(FLAT))
    assert result.exit_code == 1
    assert "flat_account-shrunk.json: 0 faults, 0 commands, " in result.output
    shrunk = read_history(workplace / "flat_account-shrunk.json")
    assert shrunk.note == run_history(shrunk).violation and shrunk.note.startswith("4: order")


def test_shrink_of_a_history_that_holds_writes_no_file(workplace: Path) -> None:
    result = _simulate("--shrink", str(FLAT))
    assert result.exit_code == 0 and "so there is nothing to shrink" in result.output
    assert not list(workplace.iterdir())


def test_runs_that_differ_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    history = read_history(FLAT)
    assert run_twice(history).violation is None
    original, trades = SimulatedVenue.__init__, iter(range(0, 10**6, 1000))

    def begin(self: SimulatedVenue, *args: object, **keys: object) -> None:
        original(self, *args, **keys)  # type: ignore[arg-type]
        self._trades = next(trades)  # as a counter that is shared by all runs would

    monkeypatch.setattr(SimulatedVenue, "__init__", begin)
    assert run_twice(history).violation == "6: two runs of the same history differ"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "simulate needs one of --seeds FIRST:END, --history FILE and --shrink SEED|FILE"),
        (("--seeds", "0:1", "--shrink", "3"), "simulate needs one of"),
        (("--history", "absent.json"), "absent.json: No such file or directory; name a file"),
        (("--shrink", "absent"), "absent: No such file or directory; name a file"),
    ],
)
def test_wrong_options_are_one_line(options: tuple[str, ...], message: str, workplace: Path) -> None:
    error = _simulate(*options).exception
    assert isinstance(error, Misconfigured) and message in str(error)

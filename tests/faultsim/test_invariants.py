"""Each invariant notices a planted bug that no other one does."""

import pytest

from autohedge.faultsim.faults import FAULTS
from autohedge.faultsim.runner import run_seed
from tests.faultsim.mutants.bugs_by_invariant import BUGS, PlantedBug

pytestmark = pytest.mark.process

ALL = frozenset(FAULTS.values())
SEEDS = 60


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.plant.__name__)
def test_planted_bug_is_noticed_by_its_invariant(bug: PlantedBug, monkeypatch: pytest.MonkeyPatch) -> None:
    bug.plant(monkeypatch)
    violations = (run_seed(seed, ALL).violation for seed in (bug.seed, *range(SEEDS)))
    violation = next((each for each in violations if each), "")
    assert violation.startswith(f"{bug.number}: ")

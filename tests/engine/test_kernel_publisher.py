"""What the kernel's records show after each step: the same as if every lane had been published."""

import pytest

from autohedge.engine.engine import Engine
from autohedge.faultsim.faults import FAULTS
from autohedge.faultsim.runner import run_seed
from autohedge.kernels.state import FLAT

PUBLISHED = ["status", "take_profit", "stop_loss", "trail_from"]


@pytest.mark.parametrize("seed", range(6))
def test_publishing_every_lane_after_a_step_changes_no_record(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, steps, statuses = Engine._settle, [], set()

    def settle(self: Engine) -> None:
        original(self)
        before = self.kernel_states[PUBLISHED].tolist()
        self.execution.touched.update(range(len(self.instruments)))
        original(self)
        assert self.kernel_states[PUBLISHED].tolist() == before
        steps.append(self.now_ns)
        statuses.update(self.kernel_states["status"].tolist())

    monkeypatch.setattr(Engine, "_settle", settle)
    outcome = run_seed(seed, frozenset(FAULTS.values()))
    assert outcome.violation is None and len(steps) > 50
    assert statuses - {FLAT}

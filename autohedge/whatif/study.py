"""A study: a recorded run with other prompts, model, provider or settings, re-asked and simulated."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from autohedge.journal import RunFolder
from autohedge.journal.folder import RUNS
from autohedge.whatif.change import Change, Plan, plan
from autohedge.whatif.reask import Notify, ReaskResult, reask
from autohedge.whatif.recorded_run import Record, read_record
from autohedge.whatif.simulations import COUNTS, MONEY, RunPair, simulate_pair

REPRODUCED_FIGURES = (*MONEY, *COUNTS, "fills")


@dataclass(frozen=True, slots=True)
class Study:
    """A recorded run, the change, the re-asked questions, and the two simulated runs."""

    record: Record
    plan: Plan
    reasked: ReaskResult
    runs: RunPair

    @property
    def reproduced(self) -> bool | None:
        """Whether the baseline has the recorded figures and fills; None for a record without results."""
        # Before comparing, both sides go through JSON, as the recorded figures did.
        recorded, baseline = self.record.report, self.runs.baseline
        if recorded is None:
            return None
        return all(
            _plain(getattr(recorded, each)) == _plain(getattr(baseline, each)) for each in REPRODUCED_FIGURES
        )


def _plain(figure: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(figure))


def study(
    folder: RunFolder,
    change: Change,
    notify: Notify = lambda _: None,
    *,
    trust: bool = False,
    root: Path = RUNS,
) -> Study:
    """Runs a study; `notify` receives the expected number of LLM calls and their expected duration.

    The simulated runs are recorded in the folder of runs `root`. `trust` allows to execute a stored strategy that the user does not have.

    Raises Misconfigured for an empty or impossible change, Corrupt for a damaged record, Refused if a stored
    strategy is not trusted, Unavailable if a model server does not answer.
    """
    record = read_record(folder, trust=trust)
    wanted = plan(record, change)
    reasked = reask(record, wanted, notify)
    return Study(record, wanted, reasked, simulate_pair(record, wanted, reasked, notify, root))

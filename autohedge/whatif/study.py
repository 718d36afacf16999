"""What would have come of a run with other prompts, another model or provider, another mode: two answers in one."""

from dataclasses import dataclass
from typing import Any

import msgspec

from autohedge.journal import RunFolder
from autohedge.whatif.change import Change, Plan, plan
from autohedge.whatif.reask import Notify, ReaskResult, reask
from autohedge.whatif.recorded_run import Record, read_record
from autohedge.whatif.simulations import COUNTS, MONEY, RunPair, simulate_pair

REPRODUCED_FIGURES = (*MONEY, *COUNTS, "fills")


@dataclass(frozen=True, slots=True)
class Study:
    """A recorded run, what was changed, each question asked again, and both runs simulated again."""

    record: Record
    plan: Plan
    reasked: ReaskResult
    runs: RunPair

    @property
    def reproduced(self) -> bool | None:
        """Whether the baseline has the recorded result, fill for fill; None for a record without one."""
        recorded = self.record.results
        if recorded is None:
            return None
        return all(_plain(recorded[each]) == _plain(self.runs.baseline[each]) for each in REPRODUCED_FIGURES)


def _plain(figure: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(figure))


def study(folder: RunFolder, change: Change, notify: Notify = lambda _: None) -> Study:
    """Answer the question; `notify` hears how many calls of a model are to be expected, and how long they take.

    Raises Misconfigured for a change that is none or cannot be, Corrupt for a damaged record, Unavailable for a
    model that is not to be had.
    """
    record = read_record(folder)
    wanted = plan(record, change)
    reasked = reask(record, wanted, notify)
    return Study(record, wanted, reasked, simulate_pair(record, wanted, reasked, notify))

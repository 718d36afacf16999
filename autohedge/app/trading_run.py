"""A run while it trades, in virtual time or on a clock."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from autohedge.app.records import RunRecord
from autohedge.config import Settings
from autohedge.core.ports import Recorder, RunObserver
from autohedge.engine.engine import Engine
from autohedge.market import Tape
from autohedge.runtime.observers import tee
from autohedge.runtime.recovery import VerifyingRecorder

if TYPE_CHECKING:
    from autohedge.graph.runtime import AgentRuntime


@dataclass(frozen=True, slots=True)
class TradingRun:
    """What a run consists of; `observer` stands for all its observers, `agents` is None in hft mode."""

    settings: Settings
    tape: Tape
    engine: Engine
    record: RunRecord
    observer: RunObserver
    agents: "AgentRuntime | None"

    def recorder(self) -> Recorder:
        """Returns the recorder of new events: the journal, then the observers."""
        return tee(self.record.journal, self.observer)

    def verifying_recorder(self) -> VerifyingRecorder:
        """Returns a recorder that compares with the entries of the record before it records new events."""
        record = self.record
        return VerifyingRecorder(record.entries, self.recorder(), compare_texts=record.compare_texts)

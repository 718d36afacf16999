"""The faults of the simulation by name: those of the feed, the venue, the process and its disk, and the agents."""

from enum import StrEnum, auto, unique

from autohedge.exchanges.faults import INJECTED, VenueFault
from autohedge.faultsim.feed_faults import FeedFault
from autohedge.faultsim.row_faults import RowFault
from autohedge.faultsim.scripted_decisions import DecisionFault


@unique
class MachineFault(StrEnum):
    """A fault of the process or its disk."""

    CRASH_RECORD = auto()
    CRASH_SUBMIT = auto()
    CRASH_APPLY = auto()
    CRASH_ORDER = auto()
    CRASH_EXIT = auto()
    CRASH_WRITE = auto()
    CRASH_RECOVERY = auto()
    CRASH_RECONCILIATION = auto()
    CRASH_WAITING = auto()
    INTERRUPT = auto()
    SECOND_PROCESS = auto()
    TORN_TAIL = auto()
    POWER_LOSS = auto()
    DISK_FULL = auto()
    DISK_SLOW = auto()
    SYNC_ERROR = auto()


Fault = FeedFault | RowFault | VenueFault | MachineFault | DecisionFault
FAULTS: dict[str, Fault] = {
    str(fault): fault
    for kind in (FeedFault, RowFault, INJECTED, MachineFault, DecisionFault)
    for fault in kind
}

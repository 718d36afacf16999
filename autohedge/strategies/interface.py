"""What the engine needs of a strategy: lanes, and a scan that stops where something must be decided.

A compiled strategy is a step over a state record that holds its parameters too. Its file gives
`DTYPE` (the record, made by `kernels.state.state_dtype`), `scan` and `step_one` (which inline the
step), and its builder writes the settings into the records.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from autohedge.kernels.state import KernelStates
from autohedge.market.tape import Rows


class StrategyRunner(Protocol):
    """A strategy bound to the lanes of one run."""

    @property
    def lanes(self) -> KernelStates:
        """One record per instrument; the engine writes status and exits into it."""
        ...

    def scan(self, rows: Rows, start: int, stop: int) -> int:
        """Scan rows `start` to `stop`; return the row where the engine must decide, else `stop`."""
        ...


Kernel = Callable[..., int]


@dataclass(frozen=True, slots=True)
class CompiledStrategy:
    """A compiled strategy: its records and the kernel that scans with them."""

    lanes: KernelStates
    kernel: Kernel

    def scan(self, rows: Rows, start: int, stop: int) -> int:
        """Scan rows `start` to `stop`; return the row where the engine must decide, else `stop`."""
        return self.kernel(
            self.lanes,
            rows.lane,
            rows.ts,
            rows.bid,
            rows.ask,
            rows.bid_size,
            rows.ask_size,
            start,
            stop,
        )

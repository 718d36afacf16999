"""The interface between engine and strategy: state records, and a scan that stops for decisions.

A compiled strategy is a step over a state record that also has its parameters. Its module defines `DTYPE`
(the record type, made by `kernels.state.state_dtype`) and `scan`, which inlines the step; its builder writes
the settings into the records.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from autohedge.config import Settings
from autohedge.kernels.state import KernelStates
from autohedge.market.rows import Rows
from autohedge.strategies.signals import Signal


class StrategyRunner(Protocol):
    """A strategy bound to the instruments of one run."""

    @property
    def lanes(self) -> KernelStates:
        """One state record per instrument; the engine writes status and exit levels into it."""
        ...

    def scan(self, rows: Rows, start: int, stop: int) -> int:
        """Scans rows `start` to `stop`; returns the row at which the engine must decide, else `stop`."""
        ...

    def entry(self, lane: int) -> Signal | None:
        """The entry signal at which a scan has stopped; None if it has a side alone, `entry_side` of the lane."""
        ...

    def update(self, settings: Settings) -> None:
        """Takes over settings that were changed during the run."""
        ...


Kernel = Callable[..., int]


@dataclass(frozen=True, slots=True)
class CompiledStrategy:
    """A compiled strategy: its state records, its kernel, and what writes settings into the records.

    `mixed_kernel` scans rows that have `kinds`; a strategy without it never gets such rows.
    """

    lanes: KernelStates
    kernel: Kernel
    configure: Callable[[Settings], None] | None = None
    mixed_kernel: Kernel | None = None

    def scan(self, rows: Rows, start: int, stop: int) -> int:
        """Scans rows `start` to `stop`; returns the row at which the engine must decide, else `stop`."""
        if rows.kinds is not None and self.mixed_kernel is not None:
            columns = (rows.lane, rows.ts, rows.bid, rows.ask, rows.kinds.priced, rows.kinds.close)
            return self.mixed_kernel(self.lanes, *columns, start, stop)
        # Columns instead of the Rows object: numba compiles arrays, not Python classes.
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

    def entry(self, lane: int) -> Signal | None:  # noqa: ARG002 - one signature with Python strategies
        """None: the signals of a kernel have a side alone."""
        return None

    def update(self, settings: Settings) -> None:
        """Writes changed settings into the records; a strategy without `configure` keeps what it has."""
        if self.configure:
            self.configure(settings)

"""The times of a file: checked block by block, and for bars moved from their starts to their ends."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from autohedge.core.errors import Misconfigured
from autohedge.market.bars import BarOverlapCheck
from autohedge.market.columns import Column
from autohedge.market.schema import TIME

if TYPE_CHECKING:
    import polars as pl

# 1980 to 2100: times in another unit than nanoseconds fall outside.
_EARLIEST_NS = 315_532_800_000_000_000
_LATEST_NS = 4_102_444_800_000_000_000
_BEFORE_NS = 0  # before all times
_UNITS = {"microseconds": 10**3, "milliseconds": 10**6, "seconds": 10**9}


@dataclass(slots=True)
class TimeColumn:
    """Checks times block by block, and moves each bar's time from its start to its end."""

    subject: str
    interval_ns: int
    _row: int = field(default=0, init=False)
    _last_ns: int = field(default=_EARLIEST_NS, init=False)
    _gaps: BarOverlapCheck | None = field(default=None, init=False)

    @property
    def flaw(self) -> str:
        """How the times of bars contradict each other; empty if they do not."""
        return self._gaps.flaw if self._gaps else ""

    def convert(self, series: "pl.Series") -> Column:
        """Returns the times of a block, which must follow the block before.

        Raises Misconfigured if a time is missing, out of range or out of order.
        """
        import polars as pl

        if series.null_count():
            row = self._row + int(series.is_null().arg_max() or 0)
            raise Misconfigured(f"{self.subject}: {TIME} is missing at row {row}; drop the row")
        times: NDArray[np.int64] = series.cast(pl.Int64).to_numpy()
        if len(times):
            self._require_range(times)
            self._require_order(times)
            if self.interval_ns:
                self._gaps = self._gaps or BarOverlapCheck(self.interval_ns)
                self._gaps.look(times, self._last_ns if self._row else _BEFORE_NS, self._row)
            self._last_ns = int(times[-1])
        self._row += len(times)
        # A bar is known at its end only; its start would show a strategy the future.
        return times + self.interval_ns

    def _require_range(self, times: "NDArray[np.int64]") -> None:
        outside = np.flatnonzero((times < _EARLIEST_NS) | (times > _LATEST_NS))
        if len(outside):
            row = int(outside[0])
            value = int(times[row])
            raise Misconfigured(
                f"{self.subject}: {TIME} {value} at row {self._row + row} is not a time between "
                f"1980 and 2100 in nanoseconds{_likely_unit(value)}"
            )

    def _require_order(self, times: "NDArray[np.int64]") -> None:
        late = np.flatnonzero(np.diff(times, prepend=self._last_ns) < 0)
        if len(late):
            row = self._row + int(late[0])
            raise Misconfigured(f"{self.subject}: time decreases at row {row}; sort the file by {TIME}")


def _likely_unit(value: int) -> str:
    for unit, factor in _UNITS.items():
        if _EARLIEST_NS <= value * factor <= _LATEST_NS:
            return f"; it looks like {unit}, multiply by {factor}"
    return "; convert it"

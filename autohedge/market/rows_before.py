"""How many rows of a stream were known before each bar of another one."""

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from autohedge.market.stream import Stream


@runtime_checkable
class HasArrivals(Protocol):
    """The columns of a stream of a live store, whose rows may come later than their time says."""

    @property
    def arrivals(self) -> NDArray[np.int64]:
        """How many rows of all streams the store had before each row."""
        ...


def rows_before(stream: Stream, bars: Stream, rows: slice) -> NDArray[np.int64]:
    """Returns how many rows of a stream are older than each of some bars, and had come before it.

    A row of the time at which the bar became known is not older.
    """
    older: NDArray[np.int64] = stream.columns["ts"].searchsorted(bars.columns["ts"][rows])
    if bars.origin.store is None:
        return older
    assert isinstance(stream.columns, HasArrivals)
    assert isinstance(bars.columns, HasArrivals)
    return np.minimum(older, stream.columns.arrivals.searchsorted(bars.columns.arrivals[rows]))

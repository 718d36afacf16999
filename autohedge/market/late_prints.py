"""Late prints: trades that became known after a trade with a later time at the exchange."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from autohedge.market.readers import open_reader, readable
from autohedge.market.stream import Stream

if TYPE_CHECKING:
    import polars as pl

EXCHANGE_TIME = "exch_ts_ns"
_BEFORE_NS = int(np.iinfo(np.int64).min)


def count_late_prints(stream: Stream) -> int | None:
    """Returns how many rows of a file of trades have an earlier exchange time than a row before them.

    A stream does not keep these times, so they are read from its file. None if there is no such file, it has no
    exchange times, or the stream is a window of it. Raises Misconfigured if it cannot be read.
    """
    origin = stream.origin
    path = Path(origin.path or "")
    if not path.is_file() or origin.window_ns:
        return None
    late, latest_ns = 0, _BEFORE_NS
    with TemporaryDirectory(prefix="autohedge-check-") as scratch, readable(path):
        reader = open_reader(path, Path(scratch))
        if EXCHANGE_TIME not in reader.schema:
            return None
        for block in reader.blocks([EXCHANGE_TIME], origin.select):
            count, latest_ns = _late_in(block[EXCHANGE_TIME], latest_ns)
            late += count
    return None if latest_ns == _BEFORE_NS else late


def _late_in(series: "pl.Series", latest_ns: int) -> tuple[int, int]:
    """Returns how many times of a block are late, and the latest so far; a row without a time is left out."""
    import polars as pl

    times = series.cast(pl.Int64, strict=False).drop_nulls().to_numpy()
    latest = np.maximum.accumulate(np.concatenate([[latest_ns], times]))
    return int(np.count_nonzero(times < latest[:-1])), int(latest[-1])

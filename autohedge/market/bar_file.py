"""Writes made bars to a Parquet file that `--tape` reads as bars."""

from pathlib import Path

import numpy as np

from autohedge.core.errors import Misconfigured
from autohedge.kernels.bars import UNKNOWN
from autohedge.market.bar_aggregator import FIELDS, AggregatedBars
from autohedge.market.bar_ends import END, EVERY, KNOWN_AT
from autohedge.market.bar_spec import BarSpec
from autohedge.market.bars import length_text
from autohedge.market.parquet_file import require_new, write_frame
from autohedge.market.schema import TIME
from autohedge.market.sources import interval_of


def require_writable(path: Path, spec: BarSpec) -> None:
    """Refuses a file that exists, has no folder, or whose name says another length than the bars have."""
    require_new(path)
    named_ns = interval_of(path)
    if named_ns and named_ns != spec.length_ns:
        raise Misconfigured(
            f"{path}: its name says bars of {length_text(named_ns)}, but they are of {spec.every}; rename it"
        )


def write_bars(made: AggregatedBars, spec: BarSpec, path: Path) -> None:
    """Writes the finished bars, all of them or nothing.

    Raises Misconfigured if the file exists or cannot be written, or if no bar is finished.
    """
    import polars as pl

    require_writable(path, spec)
    bars = made.finished
    if not len(bars):
        raise Misconfigured(f"{path}: no bar is finished, so there is none to write")
    columns = {name: np.ascontiguousarray(bars[name]) for name in FIELDS}
    # When a strategy may see them, if a source bar ends later than the bar that it is in.
    known = {KNOWN_AT: bars[KNOWN_AT]} if np.any(bars[KNOWN_AT] > bars[END]) else {}
    frame = pl.DataFrame({TIME: columns.pop("start_ns"), **columns, **known}).with_columns(
        pl.col("count").replace(UNKNOWN, None),
        pl.col("notional", "vwap", "buy_volume", "sell_volume").fill_nan(None),
        pl.col("partial").cast(pl.Boolean),
    )
    write_frame(frame, path, {EVERY: spec.every})

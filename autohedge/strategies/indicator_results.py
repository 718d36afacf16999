"""What `autohedge indicators` computes over the bars of a tape, and why values are missing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autohedge.market.bar_series import BarSeries, bar_series, left_out_text, used_bars
from autohedge.market.columns import Column, null_for_nan
from autohedge.market.parquet_file import write_columns
from autohedge.market.stream import Stream
from autohedge.strategies.indicator_table import NEEDS_SIDES, NEEDS_VOLUME
from autohedge.strategies.indicators import IndicatorSpec, Values, compute


@dataclass(frozen=True, slots=True)
class IndicatorResults:
    """The columns of each indicator at the bars that end at `end_ns`."""

    specs: Sequence[IndicatorSpec]
    end_ns: Column
    columns: Sequence[dict[str, Values]]
    notes: Sequence[str]

    def named_columns(self) -> dict[str, Values]:
        """Returns the columns by their names in full, such as `macd(fast=12, slow=26, signal=9).signal`."""
        pairs = zip(self.specs, self.columns, strict=True)
        return {spec.name_of(name): values for spec, columns in pairs for name, values in columns.items()}

    def as_dict(self) -> dict[str, Any]:
        """Returns the object that --json prints, with NaN as None."""
        pairs = zip(self.specs, self.columns, strict=True)
        return {
            "bars": len(self.end_ns),
            "end_ns": self.end_ns.tolist(),
            "indicators": [self._of(spec, columns) for spec, columns in pairs],
        }

    def _of(self, spec: IndicatorSpec, columns: dict[str, Values]) -> dict[str, Any]:
        missing = _missing_bars(spec, len(self.end_ns))
        return {
            "name": spec.name,
            "params": spec.params,
            "first": {name: first_defined(name, values) for name, values in columns.items()},
            "values": {name: null_for_nan(values) for name, values in columns.items()},
            **({"missing_bars": missing} if missing else {}),
        }


def indicator_results(stream: Stream, specs: Sequence[IndicatorSpec]) -> IndicatorResults:
    """Returns the indicators over all bars of a stream that a strategy reads."""
    series = bar_series(stream)
    end_ns = stream.columns["ts"][used_bars(stream, slice(None))]
    notes = tuple(_notes(specs, series, len(stream) - len(end_ns)))
    return IndicatorResults(specs, end_ns, compute(specs, series), notes)


def write_results(found: IndicatorResults, path: Path) -> None:
    """Writes `end_ns` and the columns to a new Parquet file. Raises Misconfigured as `write_columns` does."""
    write_columns(found.end_ns, found.named_columns(), path)


def first_defined(name: str, values: Values) -> int | None:
    """Returns the place of the first value of a column that is defined; a trend of 0 is not."""
    defined = values != 0 if name == "trend" else ~np.isnan(values)
    found = np.flatnonzero(defined)
    return int(found[0]) if len(found) else None


def _notes(specs: Sequence[IndicatorSpec], series: BarSeries, left_out: int) -> Iterator[str]:
    if left_out:
        yield left_out_text(left_out)
    for need, values in ((NEEDS_VOLUME, series.volume), (NEEDS_SIDES, series.buy_volume)):
        names = [spec.text for spec in specs if spec.definition.needs == need]
        if names and np.all(np.isnan(values)):
            yield f"no value: {', '.join(names)}; the bars have no {need}"
    count = len(series.close)
    for spec in specs:
        if missing := _missing_bars(spec, count):
            yield f"{spec.text}: needs {spec.warmup:,} bars for its first values; missing: {missing:,}"


def _missing_bars(spec: IndicatorSpec, count: int) -> int:
    return max(spec.warmup - count, 0)

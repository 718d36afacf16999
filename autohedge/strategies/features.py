"""Features of bars by name: over whole streams, and bar by bar with the same bits.

A row of features has what was known when its bar ended: the bar, indicators, the last valid quote and the book
strictly before that time.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autohedge.core.errors import Misconfigured
from autohedge.core.text import did_you_mean, one_line
from autohedge.market.bar_series import used_bars
from autohedge.market.columns import null_for_nan
from autohedge.market.parquet_file import write_columns
from autohedge.market.stream import Stream
from autohedge.strategies import indicator_table
from autohedge.strategies.feature_sources import Compute, FigureReader
from autohedge.strategies.feature_table import (
    DEFAULT,
    DEFINITIONS,
    LEVEL_FIGURES,
    BookFigure,
    FeatureDefinition,
    of_indicator,
    plain,
)
from autohedge.strategies.indicators import Values, compute, parse_indicator

ALL_DEFAULT = "default"
"""Stands for the default features in a list of names."""
LEVELS_MOST = 1_000_000

_CALL = re.compile(
    r"(?P<name>[A-Za-z_]\w*)\s*(?:\((?P<arguments>.*)\))?\s*(?:\.\s*(?P<column>\w+))?", re.DOTALL
)
_LEVELS = re.compile(r"(?:levels\s*=\s*)?\+?([0-9]{1,9})")
_WRITTEN_CHARS = 60
_NAMES = "write a name of docs/features.md, or an indicator such as rsi(period=21)"


class FeatureRow:
    """The features of one bar by name; `values` has them as an array, in their order.

    `dict(row)` makes a dictionary of it.
    """

    __slots__ = ("_places", "values")

    def __init__(self, places: Mapping[str, int], values: Values) -> None:
        """`places` are the positions of the names in `values`."""
        self._places, self.values = places, values

    def __getitem__(self, name: str) -> float:
        place = self._places.get(name)
        if place is None:
            raise KeyError(f"{name}: not among {', '.join(self._places)}")
        return self.values.item(place)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def keys(self) -> tuple[str, ...]:
        """Returns the names, in their order."""
        return tuple(self._places)


@dataclass(frozen=True, slots=True, eq=False)
class FeatureTable:
    """The features of the bars of a stream: `values` has a row for each bar, and a column for each name.

    `end_ns` is when each bar became known. What is not defined is NaN.
    """

    names: tuple[str, ...]
    end_ns: NDArray[np.int64]
    values: NDArray[np.float64]

    def columns(self) -> dict[str, Values]:
        """Returns the columns by name."""
        return dict(zip(self.names, self.values.T, strict=True))

    def write(self, path: Path) -> None:
        """Writes `end_ns` and the columns to a new Parquet file, all of it or nothing, with null for NaN.

        Raises Misconfigured if the file exists or cannot be written.
        """
        write_columns(self.end_ns, self.columns(), path)

    def as_dict(self) -> dict[str, Any]:
        """Returns the table for JSON, with None for NaN."""
        features = {name: null_for_nan(values) for name, values in self.columns().items()}
        return {"bars": len(self.end_ns), "end_ns": self.end_ns.tolist(), "features": features}


class FeatureBlocks:
    """Computes the features of a stream of bars from block to block, in their order."""

    def __init__(self, names: Sequence[str], bars: Stream, streams: Sequence[Stream]) -> None:
        """`streams` are those of the symbol of the bars. Raises Misconfigured as `parse_features` does."""
        features = parse_features(names)
        self.names = tuple(features)
        self._features = tuple(features.values())
        figures = chain.from_iterable(each.figures for each in self._features)
        self._reader = FigureReader(figures, bars, streams)
        self.specs = self._reader.specs

    def read(self, rows: slice, compute: Compute) -> NDArray[np.float64]:
        """Returns a row of values for each bar among the rows that a strategy reads."""
        figures = self._reader.read(rows, compute)
        with np.errstate(all="ignore"):
            columns = [each.compute(*(figures[one] for one in each.figures)) for each in self._features]
        values: NDArray[np.float64] = np.stack(columns, axis=1)
        values[np.isinf(values)] = np.nan  # divided by 0, as a change from no volume
        values.flags.writeable = False
        return values


def compute_features(names: Sequence[str], bars: Stream, streams: Sequence[Stream]) -> FeatureTable:
    """Returns the features of all bars of a stream that a strategy reads; `streams` are those of its symbol.

    Raises Misconfigured as `parse_features` does.
    """
    blocks, whole = FeatureBlocks(names, bars, streams), slice(0, len(bars))
    ends: NDArray[np.int64] = bars.columns["ts"][used_bars(bars, whole)]
    return FeatureTable(blocks.names, ends, blocks.read(whole, compute))


def parse_features(names: Sequence[str]) -> dict[str, FeatureDefinition]:
    """Returns the features by the names in a list; `default` stands for the default ones.

    Raises Misconfigured for a name that is not known, and for one that is there twice.
    """
    found: dict[str, FeatureDefinition] = {}
    given = (name.strip() for name in names)
    for text in chain.from_iterable(DEFAULT if name == ALL_DEFAULT else (name,) for name in given):
        if text in found:
            raise Misconfigured(f"feature {one_line(text, _WRITTEN_CHARS)}: named twice; keep one of the two")
        found[text] = parse_feature(text)
    return found


def parse_feature(text: str) -> FeatureDefinition:
    """Returns the feature that a text such as `rsi14`, `macd(5, 20).signal` or `bid_depth(3)` names.

    Raises Misconfigured for a name that is not known, and for parameters that it cannot have.
    """
    name = text.strip()
    if name in DEFINITIONS:
        return DEFINITIONS[name]
    call = _CALL.fullmatch(name)
    if call and call["name"] in LEVEL_FIGURES and not call["column"]:
        return _of_levels(call["name"], call["arguments"])
    if call and call["name"] in indicator_table.DEFINITIONS:
        return _of_indicator(name, call["column"])
    written = one_line(name, _WRITTEN_CHARS)
    known = (*DEFINITIONS, *LEVEL_FIGURES, *indicator_table.DEFINITIONS)
    meant = did_you_mean(call["name"] if call else name, known) or _NAMES
    raise Misconfigured(f"feature {written}: not known; {meant}")


def _of_levels(name: str, arguments: str | None) -> FeatureDefinition:
    levels = _LEVELS.fullmatch((arguments or "").strip())
    if levels is None or not 1 <= int(levels[1]) <= LEVELS_MOST:
        raise Misconfigured(
            f"feature {name}: write {name}(N), with N levels, a whole number from 1 to {LEVELS_MOST:,}"
        )
    return plain(f"{name}({int(levels[1])})", LEVEL_FIGURES[name], BookFigure(name, int(levels[1])))


def _of_indicator(text: str, column: str | None) -> FeatureDefinition:
    spec = parse_indicator(text.rpartition(".")[0] if column else text)
    if column is None and len(spec.columns) > 1:
        forms = ", ".join(f"{spec.name}.{each}" for each in spec.columns)
        raise Misconfigured(f"feature {one_line(text, _WRITTEN_CHARS)}: has several columns; choose {forms}")
    if column and column not in spec.columns:
        meant = did_you_mean(column, spec.columns) or f"it has {', '.join(spec.columns)}"
        raise Misconfigured(
            f"feature {one_line(text, _WRITTEN_CHARS)}: no column {one_line(column, _WRITTEN_CHARS)}; {meant}"
        )
    return of_indicator(spec, column or spec.columns[0])

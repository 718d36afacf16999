"""The features that a strategy declares, over the bars of a stream that it reads."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from autohedge.market.bar_series import BarSeries, used_bars
from autohedge.market.stream import Stream
from autohedge.strategies.declarations import declared_names, strategy_named_in_errors
from autohedge.strategies.features import FeatureBlocks, FeatureRow
from autohedge.strategies.indicators import IndicatorSet, IndicatorSpec, Values

if TYPE_CHECKING:
    from autohedge.strategies.python import Strategy

_BLOCK_ROWS = 4_096


class BarFeatures:
    """Features that follow a stream of bars row by row.

    They see every bar of the stream that a strategy may read, as `BarIndicators` do.
    """

    def __init__(self, names: Sequence[str], bars: Stream, streams: Sequence[Stream]) -> None:
        """`streams` are those of the symbol of the bars. Raises Misconfigured as `parse_features` does."""
        self._blocks, self._bars = FeatureBlocks(names, bars, streams), bars
        self._places = {name: place for place, name in enumerate(self._blocks.names)}
        specs = self._blocks.specs
        self._indicators = IndicatorSet(specs)
        self._columns = [spec.name_of(each) for spec in specs for each in spec.columns]
        self._start = self._stop = 0
        self._values = np.empty((0, len(self._places)))
        self._numbers: list[int] = []

    def at(self, row: int) -> FeatureRow:
        """Returns the features of a row of the stream that the strategy reads; rows never decrease."""
        while row >= self._stop:
            self._prepare()
        return FeatureRow(self._places, self._values[self._numbers[row - self._start]])

    def _prepare(self) -> None:
        """Computes the features of the next rows that the stream has so far."""
        self._start, self._stop = self._stop, min(len(self._bars), self._stop + _BLOCK_ROWS)
        rows = slice(self._start, self._stop)
        self._numbers = (np.cumsum(used_bars(self._bars, rows)) - 1).tolist()
        self._values = self._blocks.read(rows, self._follow)

    def _follow(self, specs: Sequence[IndicatorSpec], bars: BarSeries) -> list[dict[str, Values]]:
        """Adds bars to the indicators; returns the columns of each over these bars."""
        values = np.empty((len(self._columns), len(bars.close)))
        for place, bar in enumerate(zip(*(column.tolist() for column in bars), strict=True)):
            self._indicators.add(bar)
            values[:, place] = [self._indicators[name] for name in self._columns]
        each_column = iter(values)
        return [{name: next(each_column) for name in spec.columns} for spec in specs]


def declared_features(strategy: "Strategy", bars: Stream, streams: Sequence[Stream]) -> BarFeatures | None:
    """Returns the features that a strategy declares over a stream of bars, None if it declares none.

    `streams` are those of the tape. Raises Misconfigured unless they are a list of features.
    """
    own = [stream for stream in streams if stream.symbol == bars.symbol]
    with strategy_named_in_errors(strategy):
        names = declared_names(strategy, "features")
        return BarFeatures(names, bars, own) if names else None

"""The indicators that a strategy declares, over the bars of a stream that it reads."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from autohedge.market.bar_series import bar_series, used_bars
from autohedge.market.stream import Stream
from autohedge.strategies.declarations import declared_names, strategy_named_in_errors
from autohedge.strategies.indicators import BarValues, IndicatorSet, parse_indicator

if TYPE_CHECKING:
    from autohedge.strategies.python import Strategy

_BLOCK_ROWS = 4_096


class BarIndicators(IndicatorSet):
    """Indicators that follow a stream of bars row by row.

    They see every bar of the stream that a strategy may read, also one at which an exit is met and the strategy is not
    called.
    """

    def __init__(self, stream: Stream, names: Sequence[str]) -> None:
        """Raises Misconfigured if a name is no indicator, or if one is named twice."""
        super().__init__([parse_indicator(name) for name in names], names)
        self._stream = stream
        self._row = self._prepared = 0
        self._bars: list[BarValues | None] = []

    def advance(self, row: int) -> None:
        """Adds the bars up to a row of the stream, that one included."""
        while self._row <= row:
            if self._row == self._prepared:
                self._prepare()
            bar = self._bars[self._row - self._prepared]
            if bar is not None:
                self.add(bar)
            self._row += 1

    def _prepare(self) -> None:
        """Converts the next rows that the stream has so far, because single rows of arrays are slow."""
        start, stop = self._prepared, min(len(self._stream), self._prepared + _BLOCK_ROWS)
        used = used_bars(self._stream, slice(start, stop)).tolist()
        columns = (column.tolist() for column in bar_series(self._stream, start, stop))
        bars = zip(*columns, strict=True)
        self._bars = [next(bars) if each else None for each in used]
        self._prepared = stop


def declared_indicators(strategy: "Strategy", stream: Stream) -> BarIndicators | None:
    """Returns the indicators that a strategy declares over a stream of bars, None if it declares none.

    Raises Misconfigured unless they are a list of indicators.
    """
    with strategy_named_in_errors(strategy):
        names = declared_names(strategy, "indicators")
        return BarIndicators(stream, names) if names else None

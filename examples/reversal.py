"""A custom strategy on indicators: buys when the RSI recovers from below a level, sells above the upper band.

autohedge run --mode hft --set strategy.name=examples/reversal.py:Reversal --set bars.every=10s
"""

from autohedge.strategies import Bar, Kind, Signal, Strategy


class Reversal(Strategy):
    """Buys where the RSI rises through `low`; sells where it falls through `high`, or above Bollinger's upper band."""

    reads = Kind.BARS

    def __init__(self, period: int = 14, low: float = 30.0, high: float = 70.0) -> None:
        self._rsi, self._low, self._high = f"rsi(period={period})", low, high
        self.indicators = [self._rsi, "bollinger"]

    def on_bar(self, bar: Bar) -> Signal | None:
        """Returns the signal of a bar; undefined indicators give none, because a comparison with NaN is false."""
        assert bar.indicators is not None
        before, now = bar.indicators.value(self._rsi, ago=1), bar.indicators[self._rsi]
        if before < self._low <= now:
            return Signal.BUY
        falls = before > self._high >= now
        return Signal.SELL if falls or bar.close > bar.indicators["bollinger.upper"] else None

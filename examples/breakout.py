"""A custom strategy: buys when the mid rises above its recent range, sells when it falls back.

autohedge run --set strategy.name=examples/breakout.py:Breakout --set strategy.params.window=50
"""

from collections import deque

from autohedge.strategies import Quote, Signal, Strategy


class Breakout(Strategy):
    """Buys above the highest mid of the last `window` quotes; sells below their mean."""

    def __init__(self, window: int = 100) -> None:
        self._mids: deque[float] = deque(maxlen=window)

    def on_quote(self, quote: Quote) -> Signal | None:
        """Returns the signal of a quote; None until the window is full."""
        mids, full = self._mids, len(self._mids) == self._mids.maxlen
        highest, mean = max(mids, default=0.0), sum(mids) / max(len(mids), 1)
        # Added only now: the mid is compared with the quotes before it, never with itself.
        mids.append(quote.mid)
        if not full:
            return None
        if quote.mid > highest:
            return Signal.BUY
        return Signal.SELL if quote.mid < mean else None

"""A strategy of your own: buy when the mid leaves its recent range upwards, sell when it falls back.

autohedge run --set strategy.name=examples/breakout.py:Breakout --set strategy.params.window=50
"""

from collections import deque

from autohedge.strategies import Quote, Signal, Strategy


class Breakout(Strategy):
    """Buys above the highest mid of the last `window` quotes, sells below their mean."""

    def __init__(self, window: int = 100) -> None:
        self._mids: deque[float] = deque(maxlen=window)

    def on_quote(self, quote: Quote) -> Signal | None:
        """Compare the mid with the window before it joins the window."""
        mids, full = self._mids, len(self._mids) == self._mids.maxlen
        highest, mean = max(mids, default=0.0), sum(mids) / max(len(mids), 1)
        mids.append(quote.mid)
        if not full:
            return None
        if quote.mid > highest:
            return Signal.BUY
        return Signal.SELL if quote.mid < mean else None

"""The Python strategy of some histories."""

from collections import deque

from autohedge.strategies import Quote, Signal, Strategy


class RisingMid(Strategy):
    """Buys after the mid has risen twice in a row, and sells after it has fallen three times."""

    def __init__(self) -> None:
        self._mids: deque[float] = deque(maxlen=4)

    def on_quote(self, quote: Quote) -> Signal | None:
        """The signal of the last four mids."""
        self._mids.append(quote.mid)
        mids = list(self._mids)
        if len(mids) > 2 and mids[-3] < mids[-2] < mids[-1]:
            return Signal.BUY
        if len(mids) == 4 and mids[0] > mids[1] > mids[2] > mids[3]:
            return Signal.SELL
        return None

"""The Python strategies of some histories."""

from collections import deque

from autohedge.strategies import Purpose, Quote, Side, Signal, Strategy


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


class TurningMid(Strategy):
    """Enters with a mid that has moved twice in a row, and leaves after three moves against the position."""

    def __init__(self) -> None:
        self._mid = 0.0
        self._moves = 0  # in a row; negative for falls

    def on_quote(self, quote: Quote) -> Signal | None:
        """The signal of the last moves: an entry with the second, an exit with the third."""
        before, self._mid = self._mid, quote.mid
        if before in {0.0, quote.mid}:
            return None
        rises = quote.mid > before
        goes_on = (self._moves > 0) is rises
        self._moves = (self._moves if goes_on else 0) + (1 if rises else -1)
        moves, side = abs(self._moves), Side.BUY if rises else Side.SELL
        if moves == 2:
            return Signal(Purpose.ENTER, side)
        return Signal(Purpose.LEAVE, side) if moves == 3 else None

"""The market as the engine sees it: the last valid quote of each instrument, and the quotes before it."""

from collections.abc import Mapping
from decimal import Decimal

import numpy as np

from autohedge.core.money import ZERO, to_decimal
from autohedge.core.snapshots import BarWindow, QuoteRow
from autohedge.kernels.state import KernelStates, scalars
from autohedge.market.bar_rings import BarRings
from autohedge.market.recent_quotes import RecentQuotes
from autohedge.market.rows import Rows

SHOWN_ROWS = 50
NO_BARS: Mapping[int, int] = {}


class MarketView:
    """Reads the last quote from the kernel's records, and its time and the quotes before it from rings."""

    def __init__(self, lanes: KernelStates, bars: Mapping[int, int] = NO_BARS) -> None:
        """`bars` has the number of bars that are kept for agents by their length in nanoseconds."""
        self.lanes = lanes
        self.bids, self.asks = lanes["bid"], lanes["ask"]
        self._bid, self._ask = scalars(self.bids), scalars(self.asks)
        self._recent = RecentQuotes(len(lanes), SHOWN_ROWS)
        # Takes note of the rows from one position to before another of a batch. Called for each scan.
        self.advance = self._recent.extend
        self._bars = BarRings(len(lanes), bars)
        if bars:
            self.advance = self._extend_all

    def _extend_all(self, rows: Rows, start: int, end: int) -> None:
        self._recent.extend(rows, start, end)
        self._bars.extend(rows, start, end)

    def quote(self, lane: int) -> tuple[float, float]:
        """Bid and ask of a lane's last valid quote; NaN before the first."""
        return self._bid[lane], self._ask[lane]

    def mark(self, lane: int) -> Decimal:
        """The bid of a lane's last valid quote, exactly; zero before the first."""
        bid = self._bid[lane]
        return to_decimal(bid) if bid > 0.0 else ZERO

    def exit_price(self, lane: int, held: Decimal) -> Decimal:
        """The price at which a position is closed now, exactly: the bid of a long, the ask of a short.

        Zero before the first valid quote.
        """
        price = self._bid[lane] if held > ZERO else self._ask[lane]
        return to_decimal(price) if price > 0.0 else ZERO

    def spread_bps(self, lane: int) -> float:
        """The spread of a lane's last valid quote, in bps; infinite before the first."""
        bid, ask = self.quote(lane)
        return (ask - bid) / ((bid + ask) / 2.0) * 10_000.0 if bid > 0.0 else np.inf

    def last_quote_ns(self, lane: int) -> int:
        """The time of a lane's last valid quote; 0, which counts as stale, before the first."""
        found = self._recent.latest(lane)
        return found[0].ts.item(found[1]) if found else 0

    def recent_quotes(self, lane: int) -> tuple[QuoteRow, ...]:
        """The last `SHOWN_ROWS` valid quotes of a lane, oldest first."""
        return self._recent.recent(lane)

    def bars(self, lane: int, now_ns: int) -> tuple[BarWindow, ...]:
        """The last bars of a lane that have ended by a time, a window for each length."""
        return self._bars.windows(lane, now_ns)

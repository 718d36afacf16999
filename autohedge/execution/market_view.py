"""The market as the engine sees it: the last valid quote of each instrument, and the quotes before it."""

from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from autohedge.core.money import ZERO, to_decimal
from autohedge.core.snapshots import QuoteRow
from autohedge.kernels.matching import last_valid, recent_valid
from autohedge.kernels.state import KernelStates, scalars
from autohedge.market.tape import Rows

SHOWN_ROWS = 50


class MarketView:
    """Reads quotes from the kernel's records, and earlier ones from the last batch of rows."""

    def __init__(self, lanes: KernelStates) -> None:
        self.lanes = lanes
        self.bids, self.asks = lanes["bid"], lanes["ask"]
        self._bid, self._ask = scalars(self.bids), scalars(self.asks)
        self._rows: Rows | None = None
        self._taken = 0
        self._found: NDArray[np.int64] = np.zeros(SHOWN_ROWS, np.int64)

    def advance(self, rows: Rows, taken: int) -> None:
        """Takes note of the last batch, and of how many of its rows were taken."""
        self._rows, self._taken = rows, taken

    def quote(self, lane: int) -> tuple[float, float]:
        """Bid and ask of a lane's last valid quote; NaN before the first."""
        return self._bid[lane], self._ask[lane]

    def mark(self, lane: int) -> Decimal:
        """The bid of a lane's last valid quote, exactly; zero before the first."""
        bid = self._bid[lane]
        return to_decimal(bid) if bid > 0.0 else ZERO

    def spread_bps(self, lane: int) -> float:
        """The spread of a lane's last valid quote, in bps; infinite before the first."""
        bid, ask = self.quote(lane)
        return (ask - bid) / ((bid + ask) / 2.0) * 10_000.0 if bid > 0.0 else np.inf

    def last_quote_ns(self, lane: int) -> int:
        """The time of a lane's last valid quote; 0, which counts as stale, if the last batch has none."""
        rows = self._rows
        if rows is None:
            return 0
        row = last_valid(rows.lane, rows.bid, rows.ask, self._taken, lane)
        return int(rows.ts[row]) if row >= 0 else 0

    def recent_quotes(self, lane: int) -> tuple[QuoteRow, ...]:
        """The last `SHOWN_ROWS` valid quotes of a lane in the last batch, oldest first."""
        rows = self._rows
        if rows is None:
            return ()
        count = recent_valid(rows.lane, rows.bid, rows.ask, self._taken, lane, self._found)
        at = self._found[SHOWN_ROWS - count :]
        columns = (rows.ts, rows.bid, rows.bid_size, rows.ask, rows.ask_size)
        return tuple(QuoteRow(*row) for row in zip(*(column[at].tolist() for column in columns), strict=True))

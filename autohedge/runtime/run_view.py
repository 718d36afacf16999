"""A read-only view of a running run, for displays and other observers."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from autohedge.core.orders import BUY, SELL, Side
from autohedge.core.reasons import Reason
from autohedge.core.results import RunResult
from autohedge.engine.engine import Engine
from autohedge.kernels.state import BOTH
from autohedge.market.cursor import MarketCursor

REASONS = tuple(Reason)


class InstrumentView:
    """One instrument: its last quote, its position and what its strategy measures, as they are now.

    Before the first quote bid and ask are NaN, and so is what derives from them. What a strategy does not measure
    is None.
    """

    def __init__(self, engine: Engine, lane: int) -> None:
        self._engine = engine
        self._state = engine.instruments[lane]
        self._kernel: Any = engine.kernel_states[lane]  # a record that shares the kernel's memory
        self._fields = engine.kernel_states.dtype.names or ()
        self.symbol = self._state.instrument.symbol

    @property
    def bid(self) -> float:
        """The last valid bid."""
        return float(self._kernel["bid"])

    @property
    def ask(self) -> float:
        """The last valid ask."""
        return float(self._kernel["ask"])

    @property
    def mid(self) -> float:
        """The middle of bid and ask."""
        return (self.bid + self.ask) / 2.0

    @property
    def spread_bps(self) -> float:
        """The spread, in bps of the mid."""
        return (self.ask - self.bid) / self.mid * 10_000.0

    @property
    def max_spread_bps(self) -> float | None:
        """The widest spread at which the strategy enters."""
        return self._measured("max_spread_bps")

    @property
    def edge_bps(self) -> float | None:
        """The move of the mid over the strategy's lookback."""
        if "lookback" not in self._fields:
            return None
        kernel = self._kernel
        past = kernel["mids"][kernel["slot"] if kernel["accepted"] > kernel["lookback"] else 0]
        return float((self.mid - past) / past * 10_000.0)

    @property
    def min_edge_bps(self) -> float | None:
        """The least move at which the strategy enters."""
        return self._measured("min_edge_bps")

    @property
    def entry_sides(self) -> frozenset[Side]:
        """The sides on which the strategy looks for entries."""
        direction = int(self._kernel["direction"])
        return frozenset(([BUY] if direction >= BOTH else []) + ([SELL] if direction <= BOTH else []))

    @property
    def debounce(self) -> tuple[int, int] | None:
        """The quotes collected since the last evaluation, and how many an evaluation takes."""
        if "debounce" not in self._fields:
            return None
        return int(self._kernel["debounce"]), int(self._kernel["evaluate_every_quotes"])

    @property
    def entry_price(self) -> float:
        """The mean cost of the position; 0.0 without one."""
        position = self._engine.ledger.positions.get(self.symbol)
        if position is None or not position.quantity:
            return 0.0
        return float(position.cost) / float(position.quantity)

    @property
    def take_profit(self) -> float:
        """The price at which the position is closed with a profit."""
        return self._state.take_profit

    @property
    def stop_loss(self) -> float:
        """The price at which the position is closed with a loss."""
        return self._state.stop_loss

    @property
    def is_long(self) -> bool:
        """Whether the position, if there is one, is long."""
        return not self._kernel["short"]

    @property
    def exit_price(self) -> float:
        """The price at which the position can be closed: the bid of a long, the ask of a short."""
        return self.bid if self.is_long else self.ask

    @property
    def trail_price(self) -> float:
        """The best exit price since the trailing stop began to follow it: the highest bid, or the lowest ask."""
        return abs(float(self._kernel["highest"]))

    @property
    def reason_counts(self) -> NDArray[np.int64]:
        """A copy of the number of quotes per reason code, in the order of `Reason`."""
        counts: NDArray[np.int64] = self._kernel["counts"].copy()
        return counts

    def _measured(self, field: str) -> float | None:
        return float(self._kernel[field]) if field in self._fields else None


class RunView:
    """What an observer can see of a run while it trades; its figures are those of the last event or row."""

    def __init__(self, engine: Engine, market: MarketCursor) -> None:
        self._engine, self._market = engine, market
        self.instruments = tuple(InstrumentView(engine, lane) for lane in range(len(engine.instruments)))
        self._by_symbol = {each.symbol: each for each in self.instruments}

    @property
    def pos(self) -> int:
        """The number of rows taken."""
        return self._engine.pos

    @property
    def row_count(self) -> int | None:
        """The number of rows of the market; None while it still grows."""
        return len(self._market.rows) if self._market.closed else None

    @property
    def agents_propose(self) -> bool:
        """Whether agents propose the entries, as in llm mode, and not a strategy."""
        return self._engine.deliberations is not None and self._engine.deliberations.proposes

    def result(self) -> RunResult:
        """Returns the result so far: counts, account, positions, trading state."""
        return self._engine.result()

    def instrument(self, symbol: str) -> InstrumentView:
        """Returns the view of an instrument by its symbol."""
        return self._by_symbol[symbol]

    def instrument_of_row(self, row: int) -> InstrumentView:
        """Returns the view of the instrument that a row quotes."""
        return self.instruments[int(self._market.rows.lane[row])]

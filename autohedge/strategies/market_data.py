"""What a Python strategy receives: one value per row of the kinds that it reads."""

from operator import index

import msgspec

from autohedge.core.orders import Side
from autohedge.kernels.book_codes import ASK, BID
from autohedge.market.book_messages import Messages
from autohedge.market.books import DECAY_BPS, FillEstimate, OrderBook
from autohedge.strategies.features import FeatureRow
from autohedge.strategies.indicators import IndicatorSet


class Quote(msgspec.Struct, frozen=True, gc=False):
    """The best bid and ask at `ts_ns`; sizes are 0 if the source has none."""

    symbol: str
    ts_ns: int
    bid: float
    ask: float
    bid_size: float
    ask_size: float

    @property
    def mid(self) -> float:
        """The middle of bid and ask."""
        return (self.bid + self.ask) / 2.0


class Bar(msgspec.Struct, frozen=True, gc=False):
    """One finished bar; `ts_ns` is its end, when it becomes known.

    `interval_ns` is its length, 0 for bars of trades, volume or dollars. `indicators` has the values of the indicators
    that the strategy declares, None if it declares none; they change with the next bar of this length. `features` has
    the values of the features that it declares, None if it declares none.
    """

    symbol: str
    ts_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    interval_ns: int = 0
    indicators: IndicatorSet | None = None
    features: FeatureRow | None = None


class TradeTick(msgspec.Struct, frozen=True, gc=False):
    """One print; `side` is that of the aggressor, None if it is not known."""

    symbol: str
    ts_ns: int
    price: float
    size: float
    side: Side | None = None


class Funding(msgspec.Struct, frozen=True, gc=False):
    """A funding rate of a perpetual, per interval."""

    symbol: str
    ts_ns: int
    rate: float


class Liquidation(msgspec.Struct, frozen=True, gc=False):
    """A position that was closed by force; `is_long` says which."""

    symbol: str
    ts_ns: int
    is_long: bool
    price: float
    size: float


class Book:
    """The order book of one instrument after its last message.

    All figures are NaN unless it is `valid`. It changes with the next message: keep figures, not the book. Messages
    are applied when a figure is read, so a book that is not looked at costs little.
    """

    __slots__ = ("_applied", "_book", "_count", "_messages", "symbol", "ts_ns")

    def __init__(self, symbol: str, messages: Messages) -> None:
        self.symbol, self.ts_ns = symbol, 0
        now = messages.now
        self._messages, self._book = messages, OrderBook(now.tick, sequenced=now.sequenced)
        self._applied = self._count = 0
        self._book.load_kernels(now)

    def advance(self, count: int, ts_ns: int) -> None:
        """Tells that the first `count` messages have come, the last one of them at `ts_ns`."""
        self._count, self.ts_ns = count, ts_ns

    def _current(self) -> OrderBook:
        if self._applied != self._count:
            self._book.run(self._messages.now, self._count)
            self._applied = self._count
        return self._book

    @property
    def valid(self) -> bool:
        """Whether the book has figures: it has a snapshot, no message is missing, and it is not crossed."""
        return self._current().has_figures

    @property
    def bid(self) -> float:
        """The best bid."""
        return self._current().touch[0]

    @property
    def bid_size(self) -> float:
        """The size at the best bid."""
        return self._current().touch[1]

    @property
    def ask(self) -> float:
        """The best ask."""
        return self._current().touch[2]

    @property
    def ask_size(self) -> float:
        """The size at the best ask."""
        return self._current().touch[3]

    @property
    def mid(self) -> float:
        """The middle of the best prices."""
        bid, _, ask, _ = self._current().touch
        return (bid + ask) / 2.0

    @property
    def microprice(self) -> float:
        """The best prices, each weighted with the size of the other side."""
        return self._current().microprice

    @property
    def spread_bps(self) -> float:
        """The distance of the best prices, in bps of mid."""
        bid, _, ask, _ = self._current().touch
        return (ask - bid) / ((bid + ask) / 2.0) * 10_000.0

    def bid_depth(self, levels: int) -> float:
        """Returns the size of the best bids. Raises ValueError for less than one level."""
        return self._current().depth(BID, _levels(levels))

    def ask_depth(self, levels: int) -> float:
        """Returns the size of the best asks; raises as `bid_depth` does."""
        return self._current().depth(ASK, _levels(levels))

    def imbalance(self, levels: int) -> float:
        """Returns (B − A) / (B + A) of the depths; raises as `bid_depth` does."""
        return self._current().imbalance(_levels(levels))

    def weighted_imbalance(self, levels: int, decay_bps: float = DECAY_BPS) -> float:
        """Returns the imbalance with each size divided by 1 + d / `decay_bps`, d its distance from mid in bps."""
        return self._current().weighted_imbalance(_levels(levels), float(decay_bps))

    def buy(self, quantity: float) -> FillEstimate:
        """Returns what a market order to buy would get. Raises ValueError unless `quantity` is above 0."""
        return self._current().walk(ASK, _quantity(quantity))

    def sell(self, quantity: float) -> FillEstimate:
        """Returns what a market order to sell would get; raises as `buy` does."""
        return self._current().walk(BID, _quantity(quantity))


def _levels(levels: int) -> int:
    number = index(levels)
    if number < 1:
        raise ValueError(f"levels must be at least 1, not {levels}")
    return number


def _quantity(quantity: float) -> float:
    # NaN stands for a figure of a book that is not valid, whose estimates are NaN anyway.
    if quantity <= 0:
        raise ValueError(f"a quantity must be above 0, not {quantity!r}")
    return float(quantity)

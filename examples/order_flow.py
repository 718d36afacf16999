"""A custom strategy on prints and the order book: buys when both press upwards, sells when both turn.

autohedge run --mode hft --tape BTCUSDT_quotes.parquet --tape BTCUSDT_trades.parquet --tape BTCUSDT_l2.parquet \
    --set strategy.name=examples/order_flow.py:OrderFlow
"""

from autohedge.strategies import Book, Kind, Side, Signal, Strategy, TradeTick


class OrderFlow(Strategy):
    """Follows the imbalance of the book where the flow of recent prints agrees with it."""

    reads = {Kind.TRADES, Kind.BOOK}

    def __init__(self, levels: int = 5, imbalance: float = 0.6, decay: float = 0.98) -> None:
        self._levels, self._imbalance, self._decay = levels, imbalance, decay
        self._flow = 0.0

    def on_trade(self, trade: TradeTick) -> Signal | None:
        """Adds a print to the flow: bought size counts up, sold size down, and older prints fade."""
        self._flow *= self._decay
        if trade.side is not None:
            self._flow += trade.size if trade.side is Side.BUY else -trade.size
        return None

    def on_book(self, book: Book) -> Signal | None:
        """Returns the signal of a book; None while a message is missing."""
        if not book.valid:
            return None
        imbalance = book.imbalance(self._levels)
        if imbalance > self._imbalance and self._flow > 0:
            return Signal.BUY
        return Signal.SELL if imbalance < -self._imbalance and self._flow < 0 else None

"""Python strategies of the simulation that read more than quotes, and note what they have seen.

Each row that they read votes for a rise or a fall. The second vote in a row for one side enters it, the third
leaves the other one. What a strategy sees of a row and signals for it is kept in `seen`, for the invariants.
"""

from math import isnan, nan
from typing import NamedTuple

from autohedge.core.orders import BUY
from autohedge.market.stream import Kind
from autohedge.strategies import Purpose, Quote, Side, Signal, Strategy
from autohedge.strategies.market_data import Bar, Book, Funding, Liquidation, TradeTick

LEVELS = 3  # of the book, in depths and imbalance
LEAST_IMBALANCE = 0.2
AVERAGE_BARS = 3
AVERAGE = f"ema(period={AVERAGE_BARS})"


class SeenRow(NamedTuple):
    """What a strategy saw of a row, and its signal; the values of each kind are those of `expected_rows`."""

    kind: Kind
    ts_ns: int
    values: tuple[float, ...]
    signal: Signal | None


class TapeReader(Strategy):
    """Counts votes, and notes each row apart from quotes: one at which an exit is met never reaches a strategy."""

    def __init__(self) -> None:
        self.seen: list[SeenRow] = []
        self._votes = 0  # in a row for one side; negative for a fall
        self._mid = 0.0

    def _note(self, kind: Kind, ts_ns: int, values: tuple[float, ...], vote: float) -> Signal | None:
        signal = self._signal(vote)
        self.seen.append(SeenRow(kind, ts_ns, values, signal))
        return signal

    def _signal(self, vote: float) -> Signal | None:
        if not abs(vote) > 0.0:  # NaN is no vote either
            return None
        rises = vote > 0
        goes_on = (self._votes > 0) is rises
        self._votes = (self._votes if goes_on else 0) + (1 if rises else -1)
        votes, side = abs(self._votes), Side.BUY if rises else Side.SELL
        if votes == 2:
            return Signal(Purpose.ENTER, side)
        return Signal(Purpose.LEAVE, side) if votes == 3 else None


class BarReader(TapeReader):
    """Reads bars alone: a bar votes with its distance from the average, or with its direction while there is none."""

    reads = frozenset({Kind.BARS})
    indicators = (AVERAGE,)

    def on_bar(self, bar: Bar) -> Signal | None:
        """The signal after a bar."""
        average = nan if bar.indicators is None else bar.indicators[AVERAGE]
        values = (bar.open, bar.high, bar.low, bar.close, bar.volume, average)
        reference = bar.open if isnan(average) else average
        return self._note(Kind.BARS, bar.ts_ns, values, bar.close - reference)


class FlowReader(TapeReader):
    """Reads trades and the book: the aggressor's side votes, and an uneven book."""

    reads = frozenset({Kind.TRADES, Kind.BOOK})

    def on_trade(self, trade: TradeTick) -> Signal | None:
        """The signal after a trade."""
        side = 0 if trade.side is None else 1 if trade.side is BUY else -1
        return self._note(Kind.TRADES, trade.ts_ns, (trade.price, trade.size, side), side)

    def on_book(self, book: Book) -> Signal | None:
        """The signal after a message of the book; an invalid book ends the row of votes."""
        figures = (book.bid, book.bid_size, book.ask, book.ask_size, book.microprice)
        depths = (book.bid_depth(LEVELS), book.ask_depth(LEVELS), book.imbalance(LEVELS))
        sizes = (book.buy(book.ask_size * 1.5).average, book.sell(book.bid_size * 1.5).average)
        if not book.valid:
            self._votes = 0
        uneven = book.imbalance(LEVELS) if abs(book.imbalance(LEVELS)) > LEAST_IMBALANCE else 0.0
        return self._note(Kind.BOOK, book.ts_ns, (float(book.valid), *figures, *depths, *sizes), uneven)


class EverythingReader(FlowReader, BarReader):
    """Reads rows of every kind."""

    reads = frozenset(Kind)

    def on_quote(self, quote: Quote) -> Signal | None:
        """The signal after a quote, which is not noted."""
        before, self._mid = self._mid, quote.mid
        return self._signal(quote.mid - before) if before and abs(quote.mid / before - 1.0) > 5e-4 else None

    def on_funding(self, funding: Funding) -> Signal | None:
        """The signal after a funding rate: a high one votes for a fall."""
        return self._note(Kind.FUNDING, funding.ts_ns, (funding.rate,), -funding.rate)

    def on_liquidation(self, liquidation: Liquidation) -> Signal | None:
        """The signal after a liquidation: one of a long votes for a fall."""
        side = 1 if liquidation.is_long else -1
        values = (side, liquidation.price, liquidation.size)
        return self._note(Kind.LIQUIDATIONS, liquidation.ts_ns, values, -side)

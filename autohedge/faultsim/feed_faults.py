"""Faults of the market data, as strikes: how they are drawn, and what they make of clean quotes.

The time of such a strike is a time of the clean market. Its first value chooses the symbol, except for a gap.
"""

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum, auto, unique

import numpy as np
from numpy.typing import NDArray

from autohedge.core.ids import Randomness
from autohedge.core.units import NS_PER_S
from autohedge.faultsim.history import Quotes
from autohedge.faultsim.random_market import MOST_GAPS_S, TradingSessions
from autohedge.faultsim.strikes import Strike
from autohedge.market import Stream

MOST_GAPS = 2
BURST_MOST = 4  # quotes that one strike spoils
JUMPS = (0.0001, 0.5, 0.9, 1.1, 2.0, 10.0)


@unique
class FeedFault(StrEnum):
    """A fault of the market data."""

    GAP = auto()
    STALE = auto()
    CROSSED = auto()
    NAN = auto()
    ZERO = auto()
    JUMP = auto()


SPOILS = frozenset({FeedFault.CROSSED, FeedFault.NAN, FeedFault.ZERO, FeedFault.JUMP})
Column = NDArray[np.float64]


def random_feed_strikes(draw: Randomness, sessions: TradingSessions) -> list[Strike]:
    """Draws the strikes of the feed: a few gaps and silences, and several short bursts of bad quotes."""
    counts = {
        FeedFault.GAP: draw.randint(1, MOST_GAPS),
        FeedFault.STALE: draw.randint(1, 3),
        FeedFault.CROSSED: draw.randint(4, 8),
        FeedFault.NAN: draw.randint(4, 8),
        FeedFault.ZERO: draw.randint(0, 2),
        FeedFault.JUMP: int(draw.random() < 0.15),
    }
    return [_strike(draw, fault, sessions) for fault, count in counts.items() for _ in range(count)]


def _strike(draw: Randomness, fault: FeedFault, sessions: TradingSessions) -> Strike:
    # Not later, so that a burst or a silence ends before the calm.
    traded_ns = int(draw.uniform(0.02, 0.8) * sessions.trading_ns)
    values = tuple(round(draw.random(), 3) for _ in range(3))
    return Strike(str(fault), sessions.at_ns(traded_ns), values=values)


def gap_ns(strike: Strike) -> int:
    """How much later a gap makes all quotes after it."""
    return int(strike.between(6, MOST_GAPS_S / MOST_GAPS, 0) * NS_PER_S)


def spoiled_streams(
    market: Sequence[Quotes], strikes: Sequence[Strike], start_ns: int, fault_counts: Counter[str]
) -> list[Stream]:
    """Applies the strikes of the feed to clean quotes; counts those that changed a quote.

    What one strike does does not depend on the others.
    """
    feeds = [_Feed(quotes, start_ns) for quotes in market]
    for strike in strikes:
        if strike.fault == FeedFault.GAP:
            changed = max([feed.shift(strike) for feed in feeds])
        elif strike.fault == FeedFault.STALE:
            changed = strike.choose(feeds).silence(strike)
        elif strike.fault in SPOILS:
            changed = strike.choose(feeds).spoil(strike)
        else:
            continue
        fault_counts[strike.fault] += changed
    return [feed.stream() for feed in feeds]


class _Feed:
    """The quotes of one symbol while strikes are applied to them."""

    def __init__(self, quotes: Quotes, start_ns: int) -> None:
        self._clean = quotes
        self._clean_ns = np.array(quotes.after_ns, np.int64) + start_ns
        self._ns = self._clean_ns.copy()
        self._bid, self._ask = np.array(quotes.bid), np.array(quotes.ask)
        self._shown = np.ones(len(self._ns), bool)

    def shift(self, strike: Strike) -> bool:
        """Delays all quotes after the strike."""
        later = self._clean_ns > strike.at_ns
        self._ns[later] += gap_ns(strike)
        return bool(later.any())

    def silence(self, strike: Strike) -> bool:
        """Removes the quotes of 3 to 20 s; the last quote always stays."""
        end_ns = strike.at_ns + int(strike.between(3, 20, 1) * NS_PER_S)
        first, end = np.searchsorted(self._clean_ns[:-1], [strike.at_ns, end_ns])
        self._shown[first:end] = False
        return bool(end > first)

    def spoil(self, strike: Strike) -> bool:
        """Spoils one quote, or a short burst of them."""
        first = int(np.searchsorted(self._clean_ns, strike.at_ns))
        count = 1 if strike.fault == FeedFault.JUMP else int(strike.between(1, BURST_MOST + 1, 1))
        burst = slice(first, first + count)
        clean_bid, clean_ask = np.array(self._clean.bid[burst]), np.array(self._clean.ask[burst])
        bid, ask = self._bid[burst], self._ask[burst]
        match strike.fault:
            case FeedFault.CROSSED:
                bid[:] = clean_ask * (1.0 + strike.between(0.0001, 0.01, 2))
            case FeedFault.NAN:
                strike.choose((bid, ask), 2)[:] = np.nan
            case FeedFault.ZERO:
                strike.choose((bid, ask), 2)[:] = 0.0
            case _:
                factor = strike.choose(JUMPS, 2)
                bid[:], ask[:] = clean_bid * factor, clean_ask * factor
        return bool(self._shown[burst].any())

    def stream(self) -> Stream:
        """The quotes that are left."""
        columns = {
            "ts": self._ns,
            "bid": self._bid,
            "ask": self._ask,
            "bid_size": np.array(self._clean.bid_size),
            "ask_size": np.array(self._clean.ask_size),
        }
        shown = {name: column[self._shown] for name, column in columns.items()}
        return Stream.of(self._clean.symbol, shown)

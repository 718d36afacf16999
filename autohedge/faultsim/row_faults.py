"""Faults of the rows beside the quotes, as strikes: how they are drawn, and what they make of clean feeds.

The time of such a strike is a time of the clean market. Its first two values choose the symbol and the kind. What
one strike does depends neither on the others nor on which other feeds there are.
"""

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum, auto, unique
from math import inf, nan
from typing import Any

import numpy as np

from autohedge.core.ids import Randomness
from autohedge.core.units import NS_PER_S
from autohedge.faultsim.feed_faults import FeedFault, gap_ns
from autohedge.faultsim.history import Feed, Level
from autohedge.faultsim.random_market import TradingSessions
from autohedge.faultsim.strikes import Strike
from autohedge.kernels.book_codes import NO_SEQ
from autohedge.market.book_messages import BookMessages
from autohedge.market.columns import dtype_of
from autohedge.market.stream import Kind, Stream

KINDS_BESIDE = (Kind.TRADES, Kind.BOOK, Kind.FUNDING, Kind.LIQUIDATIONS)
BURST_MOST = 4  # rows that one strike changes
GOES_ON_SHARE = 0.8  # of the gaps of the quotes stop them alone
LONGEST_S = 8.0  # so late are rows, and so much later may the second one of two come


@unique
class RowFault(StrEnum):
    """A fault of the rows beside the quotes."""

    LATE_ROWS = auto()
    DOUBLED_ROWS = auto()
    MISSING_ROWS = auto()
    GAPPED_ROWS = auto()
    BAD_ROWS = auto()


_COUNTS = {
    RowFault.LATE_ROWS: (4, 10),
    RowFault.DOUBLED_ROWS: (4, 10),
    RowFault.MISSING_ROWS: (4, 10),
    RowFault.GAPPED_ROWS: (1, 4),
    RowFault.BAD_ROWS: (5, 12),
}
_BAD: dict[Kind, tuple[tuple[str, float], ...]] = {
    Kind.TRADES: (
        ("price", nan),
        ("price", 0.0),
        ("price", inf),
        ("size", nan),
        ("size", 0.0),
        ("size", -1.0),
    ),
    Kind.FUNDING: (("rate", nan), ("rate", inf)),
    Kind.LIQUIDATIONS: (("price", nan), ("price", 0.0), ("size", nan), ("size", -1.0), ("side", 0)),
}
_BAD_LEVELS = ("nan price", "zero price", "nan size", "negative size", "no side", "unsorted", "crossed")


def random_row_strikes(draw: Randomness, sessions: TradingSessions) -> list[Strike]:
    """Draws the strikes of the rows beside the quotes."""
    strikes = []
    for fault, (least, most) in _COUNTS.items():
        for _ in range(draw.randint(least, most)):
            # Not later, so that what comes late comes before the calm.
            traded_ns = int(draw.uniform(0.02, 0.8) * sessions.trading_ns)
            values = tuple(round(draw.random(), 3) for _ in range(4))
            strikes.append(Strike(str(fault), sessions.at_ns(traded_ns), values=values))
    return strikes


def spoiled_feeds(
    feeds: Sequence[Feed],
    symbols: Sequence[str],
    strikes: Sequence[Strike],
    start_ns: int,
    fault_counts: Counter[str],
) -> list[Stream]:
    """Applies the strikes to clean feeds of some of the symbols; counts those that changed a row."""
    spoiled = {(feed.symbol, feed.kind): _SpoiledFeed(feed, start_ns) for feed in feeds}
    for strike in strikes if spoiled else ():
        if strike.fault == FeedFault.GAP:  # counted with the quotes
            for feed in spoiled.values():
                feed.shift(strike)
        elif strike.fault in _COUNTS:
            chosen = spoiled.get((strike.choose(symbols), strike.choose(KINDS_BESIDE, 1)))
            fault_counts[strike.fault] += chosen is not None and chosen.apply(strike)
    return [feed.stream() for feed in spoiled.values()]


class _SpoiledFeed:
    """The rows of a feed while strikes are applied to them."""

    def __init__(self, feed: Feed, start_ns: int) -> None:
        self._feed = feed
        self._clean_ns = np.array(feed.after_ns, np.int64) + start_ns
        self._later_ns = np.zeros_like(self._clean_ns)
        self._shown = np.ones(len(self._clean_ns), bool)
        self._copies: list[tuple[int, int]] = []
        self._bad: dict[int, Strike] = {}

    def shift(self, strike: Strike) -> None:
        """Delays all rows after a gap of the quotes; in most gaps these rows go on, at half their rate."""
        after_ns, length_ns = self._clean_ns - strike.at_ns, gap_ns(strike)
        goes_on = strike.between(0, 1, 1) < GOES_ON_SHARE
        delay_ns = np.clip(after_ns, 0, length_ns) if goes_on else np.where(after_ns > 0, length_ns, 0)
        self._later_ns += delay_ns

    def apply(self, strike: Strike) -> bool:
        """Applies one strike; returns whether it met a row. The last row always stays."""
        first = int(np.searchsorted(self._clean_ns, strike.at_ns))
        end = min(first + int(strike.between(1, BURST_MOST + 1, 2)), len(self._clean_ns) - 1)
        match strike.fault:
            case RowFault.LATE_ROWS:
                self._later_ns[first:end] += int(strike.between(0.05, LONGEST_S, 3) * NS_PER_S)
            case RowFault.DOUBLED_ROWS:
                later_ns = int(max(strike.between(-LONGEST_S, LONGEST_S, 3), 0.0) * NS_PER_S)
                self._copies += [(row, later_ns) for row in range(first, end)]
            case RowFault.GAPPED_ROWS:
                end_ns = strike.at_ns + int(strike.between(5, 25, 2) * NS_PER_S)
                end = int(np.searchsorted(self._clean_ns[:-1], end_ns))
                self._shown[first:end] = False
            case RowFault.MISSING_ROWS:
                self._shown[first:end] = False
            case _:
                self._bad |= dict.fromkeys(range(first, end), strike)
        return end > first

    def stream(self) -> Stream:
        """The rows that are left, in the order in which they became known."""
        rows = np.flatnonzero(self._shown).tolist()
        known_ns = self._clean_ns + self._later_ns
        copies = [(row, later_ns) for row, later_ns in self._copies if self._shown[row]]
        rows += [row for row, _ in copies]
        times = np.array([*known_ns[self._shown], *(known_ns[row] + later_ns for row, later_ns in copies)])
        order = np.argsort(times, kind="stable")
        picked, ts = np.array(rows)[order], times[order]
        if self._feed.kind is Kind.BOOK:
            return self._book(picked.tolist(), ts)
        columns = {name: values[picked] for name, values in self._columns().items()}
        return Stream.of(self._feed.symbol, {"ts": ts, **columns}, kind=self._feed.kind)

    def _columns(self) -> dict[str, Any]:
        columns = {name: np.array(column, dtype_of(name)) for name, column in self._feed.columns.items()}
        for row, strike in self._bad.items():
            if self._feed.kind in _BAD:
                name, value = strike.choose(_BAD[self._feed.kind], 3)
                columns[name][row] = value
        return columns

    def _book(self, rows: list[int], ts: Any) -> Stream:
        messages = [self._levels(row) for row in rows]
        levels = [level for message in messages for level in message]
        columns = {name: values[rows] for name, values in self._columns().items()}
        book = BookMessages(
            subject=self._feed.symbol,
            tick=self._feed.tick,
            sequenced=bool((columns["last_seq"] != NO_SEQ).any()),
            side=np.array([level.side for level in levels], np.int8),
            price=np.array([level.price for level in levels]),
            size=np.array([level.size for level in levels]),
            start=np.cumsum([0, *map(len, messages)]),
            ts=ts,
            **columns,
        )
        return Stream.of_book(self._feed.symbol, book)

    def _levels(self, row: int) -> list[Level]:
        """The levels of a message, which a strike may have spoiled."""
        levels = list(self._feed.levels[row])
        if not levels or row not in self._bad:
            return levels
        first = levels[0]
        match self._bad[row].choose(_BAD_LEVELS, 3):
            case "nan price":
                levels[0] = first._replace(price=nan)
            case "zero price":
                levels[0] = first._replace(price=0.0)
            case "nan size":
                levels[0] = first._replace(size=nan)
            case "negative size":
                levels[0] = first._replace(size=-1.0)
            case "no side":
                levels[0] = first._replace(side=0)
            case "unsorted":
                levels.reverse()
            case _:
                levels.append(Level(1, first.price * 2.0, 1.0))
        return levels

"""The mid price of each symbol over a run, from its tape or else from the record, in a few hundred points."""

from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from autohedge.audit.audit import Audit
from autohedge.audit.conversations import Conversation
from autohedge.core.errors import AutoHedgeError
from autohedge.market import Origin, reopen_streams
from autohedge.market.columns import Column
from autohedge.market.stream import prices_of

# Reading and hashing a file of this many quotes takes seconds; a page must not take minutes.
ROWS_MAX = 5_000_000
BUCKETS = 300
POINTS_MAX = 2 * BUCKETS


class PriceLine(NamedTuple):
    """Points of a price over time, oldest first; `from_tape` is False for those that the record alone has."""

    points: list[tuple[int, float]]
    from_tape: bool


def price_lines(audit: Audit, symbols: Iterable[str]) -> dict[str, PriceLine]:
    """Returns the price of each of these symbols over the run."""
    origins = _origins(audit)
    return {symbol: _line(audit, symbol, origins.get(symbol)) for symbol in symbols}


def _origins(audit: Audit) -> dict[str, list[Origin]]:
    """Returns what the prices of each symbol are loaded from."""
    try:
        origins = msgspec.convert(audit.tape, list[Origin])
    except msgspec.ValidationError:
        return {}
    prices = {origin.symbol: origin for origin in origins if origin.prices}
    return {
        symbol: [each for each in origins if each is origin or (origin.derived and each.symbol == symbol)]
        for symbol, origin in prices.items()
    }


def _line(audit: Audit, symbol: str, origins: list[Origin] | None) -> PriceLine:
    if origins and sum(origin.rows for origin in origins) <= ROWS_MAX:
        points = _tape_points(origins, audit.tape_folder, audit.first_ns, audit.last_ns)
        if points:
            return PriceLine(points, from_tape=True)
    own = (each for each in audit.conversations if each.symbol == symbol)
    return PriceLine(_recorded_points(own), from_tape=False)


def _tape_points(origins: list[Origin], folder: Path, first_ns: int, last_ns: int) -> list[tuple[int, float]]:
    """Returns the mid price from the tape, downsampled; empty if the tape is gone or another."""
    try:
        quotes = prices_of(reopen_streams(origins, folder))[0].as_quotes()
    except (AutoHedgeError, OSError):
        # A chart is no proof: without its tape a run is still audited, and the page says so.
        return []
    begin, end = np.searchsorted(quotes["ts"], (first_ns, last_ns), side="left")
    window = slice(int(begin), int(end) + 1)
    ts, bid, ask = (quotes[name][window] for name in ("ts", "bid", "ask"))
    valid = np.isfinite(bid) & np.isfinite(ask) & (bid > 0) & (ask >= bid)
    return downsampled(ts[valid], (bid[valid] + ask[valid]) / 2)


def downsampled(ts: Column, mid: Column) -> list[tuple[int, float]]:
    """Returns at most POINTS_MAX points: of each of BUCKETS spans of time the lowest and the highest."""
    chosen: Iterable[int] = range(len(ts))
    if len(ts) > POINTS_MAX:
        edges = np.searchsorted(ts, np.linspace(ts[0], ts[-1], BUCKETS + 1)[1:-1])
        chosen = (
            row
            for begin, end in pairwise([0, *map(int, edges), len(ts)])
            for row in _extremes(mid, begin, end)
        )
    return [(int(ts[row]), float(mid[row])) for row in chosen]


def _extremes(mid: Column, begin: int, end: int) -> list[int]:
    """Returns the rows of the lowest and the highest price between two rows, in order."""
    if begin >= end:
        return []
    part = mid[begin:end]
    return sorted({begin + int(part.argmin()), begin + int(part.argmax())})


def _recorded_points(conversations: Iterable[Conversation]) -> list[tuple[int, float]]:
    """Returns the last mid price of each snapshot, and the price of each fill, at most POINTS_MAX."""
    points: set[tuple[int, float]] = set()
    for conversation in conversations:
        snapshots = (call.snapshot for call in conversation.calls if call.snapshot)
        quotes = (snapshot.quotes[-1] for snapshot in snapshots if snapshot.quotes)
        points.update((quote.ts_ns, (quote.bid + quote.ask) / 2) for quote in quotes)
        fills = (fill for trip in conversation.trips for order in trip.orders for fill in order.fills)
        points.update((fill.ts_ns, float(fill.price)) for fill in fills)
    step = -(-len(points) // POINTS_MAX) or 1
    return sorted(points)[::step]

"""An order book in plain Python, kept by the published rules and independently of the compiled one."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from math import inf, isfinite, nan
from typing import NamedTuple

from autohedge.faultsim.tape_readers import LEVELS
from autohedge.kernels.book_codes import NO_SEQ
from autohedge.market.book_messages import BookMessages


class PlainMessage(NamedTuple):
    """A message: its levels as side, price and size, and its sequence numbers."""

    levels: list[tuple[int, float, float]]
    is_snapshot: bool
    first: int
    last: int
    previous: int


def messages_of(messages: BookMessages) -> Iterator[PlainMessage]:
    """The messages of a stream, one by one."""
    levels = list(zip(messages.side.tolist(), messages.price.tolist(), messages.size.tolist(), strict=True))
    starts = messages.start.tolist()
    for at in range(len(messages)):
        yield PlainMessage(
            levels[starts[at] : starts[at + 1]],
            bool(messages.is_snapshot[at]),
            int(messages.first_seq[at]),
            int(messages.last_seq[at]),
            int(messages.prev_seq[at]),
        )


class PlainBook:
    """The levels of one book by price in ticks, and whether it may be trusted.

    A book with sequence numbers has figures from a snapshot on, until a message is missing. What comes before a
    snapshot is kept for it.
    """

    def __init__(self, tick: float, *, sequenced: bool) -> None:
        self._tick, self._sequenced = tick, sequenced
        self._sides: dict[int, dict[int, float]] = {1: {}, -1: {}}
        self._seq = NO_SEQ
        self._kept: list[PlainMessage] = []
        self.trusted = False

    def apply(self, message: PlainMessage) -> None:
        """Applies one message as it comes."""
        if not self._sequenced:
            self.trusted = True
            self._set(message)
        elif message.is_snapshot:
            self.trusted, self._seq = True, message.last
            self._set(message)
            kept, self._kept = self._kept, []
            for each in kept:
                self._apply_change(each)
        else:
            self._apply_change(message)

    def _apply_change(self, message: PlainMessage) -> None:
        if not self.trusted:
            self._kept.append(message)
        elif message.last > self._seq:
            follows = NO_SEQ < message.first <= self._seq + 1 or message.previous == self._seq
            if follows:
                self._seq = message.last
                self._set(message)
            else:
                self.trusted = False
                self._kept.append(message)

    def _set(self, message: PlainMessage) -> None:
        if message.is_snapshot:
            for levels in self._sides.values():
                levels.clear()
        for side, price, size in message.levels:
            if side and isfinite(price) and round(price / self._tick) >= 1 and 0.0 <= size < inf:
                key = round(price / self._tick)
                if size:
                    self._sides[side][key] = size
                else:
                    self._sides[side].pop(key, None)

    def figures(self) -> tuple[float, ...]:
        """What a strategy may see, as `tape_readers` notes it: all NaN, and 0 first, unless the book is sound."""
        bids, asks = self._best(1), self._best(-1)
        if not self.trusted or (bids and asks and bids[0][0] > asks[0][0]):
            return (0.0, *[nan] * 10)
        bid, bid_size = bids[0] if bids else (nan, nan)
        ask, ask_size = asks[0] if asks else (nan, nan)
        shown = bid_size + ask_size
        micro = (bid * ask_size + ask * bid_size) / shown
        bought, sold = (sum((size for _, size in side[:LEVELS]), 0.0) for side in (bids, asks))
        uneven = (bought - sold) / (bought + sold) if bought + sold > 0.0 else nan
        averages = _average(asks, ask_size * 1.5), _average(bids, bid_size * 1.5)
        return (1.0, bid, bid_size, ask, ask_size, micro, bought, sold, uneven, *averages)

    def _best(self, side: int) -> list[tuple[float, float]]:
        """The levels of a side with the best one first."""
        keys = sorted(self._sides[side], reverse=side > 0)
        tick = Decimal(repr(self._tick))
        return [(float(key * tick), self._sides[side][key]) for key in keys]


def _average(levels: Sequence[tuple[float, float]], quantity: float) -> float:
    """The average price at which a market order of this quantity fills."""
    left, cost = quantity, 0.0
    for price, size in levels:
        if not left > 0.0:
            break
        cost += min(size, left) * price
        left -= min(size, left)
    filled = quantity - left
    return cost / filled if filled > 0.0 else nan

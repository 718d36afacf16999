"""The random book of a symbol: snapshots and changes whose best prices are those of its quotes."""

from collections.abc import Sequence

import numpy as np

from autohedge.faultsim.history import Feed, Level, Quotes
from autohedge.kernels.book_codes import NO_SEQ
from autohedge.market.stream import Kind

DEPTH = 4  # levels of a side in a snapshot
SNAPSHOT_EVERY = (8, 25)  # messages
BID, ASK = 1, -1


def random_book(quotes: Quotes, rows: Sequence[int], tick: float, chance: np.random.Generator) -> Feed:
    """Draws the messages that come with some of the quotes; some books have no sequence numbers."""
    book = _Book(tick, chance)
    every = int(chance.integers(*SNAPSHOT_EVERY))
    messages: list[list[Level]] = []
    after_ns: list[int] = []
    numbers = _Numbers(chance)
    for count, row in enumerate(rows):
        changed = book.moved(quotes.bid[row], quotes.ask[row])
        if count:
            messages.append(changed)
            after_ns.append(quotes.after_ns[row])
            numbers.change()
        if count % every == 0:
            messages.append(book.levels())
            after_ns.append(quotes.after_ns[row])
            numbers.snapshot()
    return Feed(quotes.symbol, Kind.BOOK, after_ns, numbers.columns(), tick, messages)


class _Numbers:
    """The sequence numbers of the messages, in one of the ways in which venues give them."""

    def __init__(self, chance: np.random.Generator) -> None:
        self._chance = chance
        self._style = str(chance.choice(["first", "previous", "both", "none"], p=[0.35, 0.35, 0.2, 0.1]))
        self._last = int(chance.integers(1, 10_000))
        self._rows: list[tuple[int, int, int, int]] = []

    def snapshot(self) -> None:
        """Numbers a snapshot of what the last message has left."""
        self._add(1, NO_SEQ, self._last, NO_SEQ)

    def change(self) -> None:
        """Numbers a message that follows the last one."""
        before, self._last = self._last, self._last + int(self._chance.integers(1, 4))
        first = before + 1 if self._style in {"first", "both"} else NO_SEQ
        self._add(0, first, self._last, before if self._style in {"previous", "both"} else NO_SEQ)

    def _add(self, is_snapshot: int, first: int, last: int, previous: int) -> None:
        known = self._style != "none"
        self._rows.append((is_snapshot, first, last if known else NO_SEQ, previous))

    def columns(self) -> dict[str, list[int | float]]:
        """The columns of all messages so far."""
        names = ("is_snapshot", "first_seq", "last_seq", "prev_seq")
        return {name: [row[at] for row in self._rows] for at, name in enumerate(names)}


class _Book:
    """The levels of a book while its messages are drawn; a level is a number of ticks."""

    def __init__(self, tick: float, chance: np.random.Generator) -> None:
        self._chance = chance
        self._per_unit = round(1.0 / tick)
        self._sides: dict[int, dict[int, float]] = {BID: {}, ASK: {}}

    def moved(self, bid: float, ask: float) -> list[Level]:
        """Moves the best prices; returns the levels that change."""
        return [*self._move(BID, bid), *self._move(ASK, ask)]

    def _move(self, side: int, price: float) -> list[Level]:
        sizes, best = self._sides[side], round(price * self._per_unit)
        gone = [key for key in sizes if (key - best) * side > 0]
        for key in gone:
            del sizes[key]
        set_now = {best: self._size(price)}
        for depth in range(1, DEPTH):
            if len(sizes) < DEPTH or self._chance.random() < 0.2:
                key = best - side * depth * int(self._chance.integers(1, 4))
                set_now[key] = self._size(price) if self._chance.random() < 0.8 else 0.0
        set_now = {key: size for key, size in set_now.items() if key > 0}
        sizes.update(set_now)
        for key in [key for key, size in sizes.items() if not size]:
            del sizes[key]
        return self._as_levels(side, dict.fromkeys(gone, 0.0) | set_now)

    def levels(self) -> list[Level]:
        """All levels, each side with the best one first."""
        return [*self._as_levels(BID, self._sides[BID]), *self._as_levels(ASK, self._sides[ASK])]

    def _as_levels(self, side: int, sizes: dict[int, float]) -> list[Level]:
        return [Level(side, key / self._per_unit, sizes[key]) for key in sorted(sizes, reverse=side == BID)]

    def _size(self, price: float) -> float:
        return float(
            f"{self._chance.choice([50.0, 400.0, 3_000.0]) * self._chance.uniform(0.5, 2) / price:.3g}"
        )

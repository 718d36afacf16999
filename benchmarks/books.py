"""Row `books`: recorded order books rebuilt, against sorted dicts, and a live message from Python."""

from bisect import bisect_left, insort
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from autohedge.market import BookMessages, TapeSource, read_messages
from autohedge.market.books import BookMessage, OrderBook
from benchmarks.row import Row, Spent, Timed, clocked, interleaved

BOUND_NS, AIM_NS, RATIO_BOUND, MESSAGE_BOUND_US = 60.0, 15.0, 0.1, 2.0
ROUNDS, MESSAGE_BATCHES, MESSAGES, LEVELS = 7, 50, 1_000, 20
TAPES = (
    "usdm/BTCUSDT_20240808",
    "spot/BTCUSDT_20240808",
    "spot/ETHUSDT_20240808",
    "coinm/BTCUSD_PERP_20240808",
)

_SHARED = Path(__file__).parents[2] / "shared/data/binance"
_NS_PER_S, _US_PER_S = 1e9, 1e6


def measure(quotes: int) -> list[Row]:
    """Measures rows of the four recorded books, and messages of 20 levels from Python; `quotes` is not used."""
    names = ("book rows", "book message from Python")
    if not _SHARED.is_dir():
        return [Row(name, "", "", met=None, note=f"recorded books are absent: {_SHARED}") for name in names]
    tapes = [read_messages(TapeSource(_SHARED / f"{name}_l2.parquet")) for name in TAPES]
    return [_rows(tapes), _live(tapes[0])]


def _rows(tapes: list[BookMessages]) -> Row:
    rows = sum(len(tape.price) for tape in tapes)
    variants: dict[str, Callable[[], Spent]] = {
        "ladder": lambda: clocked(lambda: [_rebuilt(tape) for tape in tapes]),
        "sorted dicts": _sorted_dicts(tapes),
    }
    spent = interleaved(variants, ROUNDS)
    ladder, dicts = (Timed.cpu(spent[name]) for name in variants)
    ns = ladder.median / rows * _NS_PER_S
    ratio = ladder.median / dicts.median
    note = (
        f"processor time, least {ladder.least / rows * _NS_PER_S:.1f}; sorted dicts "
        f"{dicts.median / rows * _NS_PER_S:.0f}, ratio {ratio:.3f} (<= {RATIO_BOUND:g}); aim {AIM_NS:g} ns; "
        f"{rows:,} rows, best prices after each message"
    )
    met = ns <= BOUND_NS and ratio <= RATIO_BOUND
    return Row("book rows", f"<= {BOUND_NS:g} ns a row", f"{ns:.1f} ns", met, note)


def _rebuilt(tape: BookMessages) -> OrderBook:
    book = OrderBook(tape.tick, sequenced=tape.sequenced)
    book.run(tape, len(tape))
    return book


def _sorted_dicts(tapes: list[BookMessages]) -> Callable[[], Spent]:
    """Returns a run over the same messages as lists, so that their conversion is not charged."""
    plain = [_as_lists(tape) for tape in tapes]

    def run() -> Spent:
        ends: list[float] = []
        spent = clocked(partial(_rebuild_all, plain, ends))
        assert ends == [price for tape in tapes for price in _rebuilt(tape).touch[::2]]
        return spent

    return run


def _rebuild_all(plain: list[Any], ends: list[float]) -> None:
    for messages in plain:
        ends += _rebuild(messages)


def _as_lists(tape: BookMessages) -> list[tuple[bool, list[tuple[int, float, float]]]]:
    """Returns (is snapshot, rows) of each message that a book applies; the snapshot first."""
    rows = list(zip(tape.side.tolist(), tape.price.tolist(), tape.size.tolist(), strict=True))
    bounds = tape.start.tolist()
    first = int(np.flatnonzero(tape.is_snapshot)[0])
    wanted = np.flatnonzero(tape.last_seq > tape.last_seq[first])
    return [
        (number == first, rows[bounds[number] : bounds[number + 1]]) for number in [first, *wanted.tolist()]
    ]


def _rebuild(messages: list[tuple[bool, list[tuple[int, float, float]]]]) -> tuple[float, float]:
    bids, asks = _sorted_dict(), _sorted_dict()
    best = (0.0, 0.0)
    for is_snapshot, rows in messages:
        if is_snapshot:
            bids.clear()
            asks.clear()
        for side, price, size in rows:
            levels = bids if side > 0 else asks
            if size > 0.0:
                levels[price] = size
            else:
                levels.pop(price, None)
        best = bids.peekitem(-1)[0], asks.peekitem(0)[0]
    return best


class SortedLevels(dict[float, float]):
    """What SortedDict does here, for machines without it: a dict, and its keys in order."""

    def __init__(self) -> None:
        super().__init__()
        self._keys: list[float] = []

    def __setitem__(self, key: float, value: float) -> None:
        if key not in self:
            insort(self._keys, key)
        super().__setitem__(key, value)

    def pop(self, key: float, default: Any = None) -> Any:
        if key in self:
            del self._keys[bisect_left(self._keys, key)]
        return super().pop(key, default)

    def clear(self) -> None:
        self._keys.clear()
        super().clear()

    def peekitem(self, index: int) -> tuple[float, float]:
        return self._keys[index], self[self._keys[index]]


def _sorted_dict() -> Any:
    if find_spec("sortedcontainers"):
        return import_module("sortedcontainers").SortedDict()
    return SortedLevels()


def _live(tape: BookMessages) -> Row:
    """Measures messages of 20 levels, applied one by one."""
    book = OrderBook(tape.tick, sequenced=False)
    starts = range(0, min(len(tape.price), MESSAGES * LEVELS) - LEVELS, LEVELS)
    rows = [slice(at, at + LEVELS) for at in starts]
    messages = [BookMessage(tape.side[each], tape.price[each], tape.size[each]) for each in rows]

    def batch() -> None:
        for message in messages:
            book.apply(message)
            _ = book.touch

    batch()  # loads the machine code
    spent = Timed.cpu([clocked(batch) for _ in range(MESSAGE_BATCHES)])
    us = spent.median / len(messages) * _US_PER_S
    note = f"processor time, least {spent.least / len(messages) * _US_PER_S:.2f} us; {LEVELS} levels, best prices read"
    return Row(
        "book message from Python",
        f"<= {MESSAGE_BOUND_US:g} us",
        f"{us:.2f} us",
        us <= MESSAGE_BOUND_US,
        note,
    )

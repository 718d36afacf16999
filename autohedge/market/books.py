"""Order books: one that is kept message by message, and the states of a recorded one at some times."""

from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from struct import Struct
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from autohedge.core.clock import format_utc
from autohedge.core.errors import Misconfigured
from autohedge.kernels import book as kernel
from autohedge.kernels import book_codes as codes
from autohedge.kernels.state import scalars
from autohedge.market.book_messages import BookMessages

DECAY_BPS = 10.0
_TOUCH = Struct("4d")
BAD_ROWS = ("bad_side", "bad_price", "bad_size", "unsorted")
"""The codes of rows: the first three are not used; `unsorted` counts rows of snapshots that are used."""


class BookCode(StrEnum):
    """Whether a book has figures, and if not, why."""

    VALID = "valid"
    NO_SNAPSHOT = "no_snapshot"
    GAP = "gap"
    CROSSED = "crossed"


class BookMessage(NamedTuple):
    """One live message; columns and numbers as in BookMessages."""

    side: NDArray[np.int8]
    price: NDArray[np.float64]
    size: NDArray[np.float64]
    is_snapshot: int = 0
    first_seq: int = codes.NO_SEQ
    last_seq: int = codes.NO_SEQ
    prev_seq: int = codes.NO_SEQ


@dataclass(frozen=True, slots=True)
class FillEstimate:
    """What a market order of some quantity would get from the book; slippage is from mid."""

    average: float
    filled: float
    remaining: float
    worst: float
    slippage_bps: float


@dataclass(frozen=True, slots=True)
class BookState:
    """A book after the last message at or before a time; all figures are NaN or None unless it is valid.

    `bids` and `asks` are the numbers of levels, `seq` the last sequence number that was applied, if there are
    any; the depths and imbalances are those of the best levels.
    """

    ts_ns: int
    code: BookCode
    seq: int | None
    bids: int | None
    asks: int | None
    bid: float
    bid_size: float
    ask: float
    ask_size: float
    mid: float
    microprice: float
    spread_bps: float
    bid_depth: float
    ask_depth: float
    imbalance: float
    weighted_imbalance: float
    buy: FillEstimate
    sell: FillEstimate

    @property
    def valid(self) -> bool:
        """Whether the book has figures."""
        return self.code is BookCode.VALID

    def as_dict(self) -> dict[str, Any]:
        """Returns the state as `data book --json` has it: `valid` instead of the code."""
        values = asdict(self)
        del values["code"]
        return {"ts_ns": values.pop("ts_ns"), "valid": self.valid, **values}


@dataclass(frozen=True, slots=True)
class BookReport:
    """A recorded book: its messages, what became of them and of their rows, and its states at the asked times."""

    events: int
    dropped: int
    gaps: int
    crossed: int
    bad_rows: dict[str, int]
    end: BookCode
    tick: float
    states: list[BookState]


class OrderBook:
    """A book to which messages are applied: a batch with `run`, or one by one with `apply`."""

    def __init__(self, tick: float, *, sequenced: bool) -> None:
        self._arrays = kernel.new_book(tick, sequenced=sequenced)
        self._kept: deque[BookMessage] = deque()
        self._record = self._arrays.book[0]
        # A record costs more to pass to a kernel, or to read in Python, than the array that holds it.
        self._status, self._crossed = (scalars(self._arrays.book[name]) for name in ("status", "crossed_now"))
        self._batch: BookMessages | None = None
        self._columns: list[Any] = []
        self._touch = kernel.touch_of(self._arrays)

    def run(self, messages: BookMessages, end: int) -> None:
        """Applies the messages of a batch from the one after those already applied to before `end`."""
        if messages is not self._batch:
            self._batch, self._columns = messages, _columns(messages)
        columns = [*self._columns, end]
        while rows := kernel.run(*self._arrays, *columns):
            self._arrays = kernel.with_room(self._arrays, rows)

    def load_kernels(self, messages: BookMessages) -> None:
        """Loads the machine code of all figures of an empty book, so that no message has to wait for it."""
        self.run(messages, 0)
        kernel.depth(*self._arrays[1:], codes.BID, 1)
        _ = self.microprice, self.imbalance(1), self.weighted_imbalance(1), self.walk(codes.BID, 1.0)

    def touches(self, messages: BookMessages) -> NDArray[np.float64]:
        """Applies the messages that are still to come; returns bid, ask and their sizes after each, (those, 4)."""
        first = int(self._record["next"])
        touch = np.full((len(messages) - first, 4), np.nan)
        columns = [*_columns(messages), first, len(messages), touch]
        while rows := kernel.run_touch(*self._arrays, *columns):
            self._arrays = kernel.with_room(self._arrays, rows)
        return touch

    def apply(self, message: BookMessage) -> int:
        """Applies a message, and after a snapshot those that were kept for it; returns the kernel's code."""
        values: tuple[Any, ...] = message
        code = kernel.step_one(*self._arrays, *values)
        if code == codes.APPLIED:
            return code
        if code == codes.NO_ROOM:
            code = self._step(message)
        if code in (codes.KEPT, codes.GAP):
            self._keep(message)
        elif code == codes.SNAPSHOT and self._kept:
            self._apply_kept()
        return code

    def _step(self, message: BookMessage) -> int:
        values: tuple[Any, ...] = message
        code = kernel.step_one(*self._arrays, *values)
        if code == codes.NO_ROOM:
            self._arrays = kernel.with_room(self._arrays, len(message.price))
            return kernel.step_one(*self._arrays, *values)
        return code

    def _keep(self, message: BookMessage) -> None:
        if len(self._kept) == codes.KEPT_MAX:
            self._kept.popleft()
            self._record["dropped"] += 1
        self._kept.append(message)

    def _apply_kept(self) -> None:
        while self._kept:
            if self._step(self._kept[0]) in (codes.KEPT, codes.GAP):
                return
            self._kept.popleft()

    @property
    def code(self) -> BookCode:
        """Whether the book has figures, and if not, why."""
        status = self._status[0]
        if status == codes.VALID:
            return BookCode.CROSSED if self._crossed[0] else BookCode.VALID
        return BookCode.GAP if status == codes.AFTER_GAP else BookCode.NO_SNAPSHOT

    @property
    def has_figures(self) -> bool:
        """Whether the book has figures: it is valid and not crossed."""
        return self._status[0] == codes.VALID and not self._crossed[0]

    def count(self, name: str) -> int:
        """Returns a count of the record: dropped, gaps, crossed, or one of BAD_ROWS."""
        return int(self._record[name])

    @property
    def touch(self) -> tuple[float, float, float, float]:
        """Bid, its size, ask, its size; NaN where the book has none to show."""
        return _TOUCH.unpack_from(self._touch)

    def levels(self, which: int) -> int:
        """Returns the number of levels of a side, BID or ASK."""
        return int(self._arrays.sides["near"][which] + self._arrays.sides["far"][which])

    @property
    def microprice(self) -> float:
        """The best prices, each weighted with the size of the other side; NaN unless the book is valid."""
        return kernel.microprice(self._arrays.book)

    def depth(self, which: int, levels: int) -> float:
        """Returns the size of the best levels of a side, BID or ASK; NaN unless the book is valid."""
        if not self.has_figures:
            return np.nan
        return kernel.depth(*self._arrays[1:], which, levels)

    def imbalance(self, levels: int) -> float:
        """Returns (B − A) / (B + A) of the depths; NaN unless the book is valid."""
        return kernel.imbalance(*self._arrays, levels)

    def weighted_imbalance(self, levels: int, decay_bps: float = DECAY_BPS) -> float:
        """Returns the imbalance with each size divided by 1 + d / `decay_bps`, d its distance from mid in bps."""
        return kernel.weighted_imbalance(*self._arrays, levels, decay_bps)

    def walk(self, which: int, quantity: float) -> FillEstimate:
        """Returns what an order of this quantity gets from a side: ASK for a buy, BID for a sell."""
        out = np.empty(5)
        kernel.walk(*self._arrays, which, quantity, out)
        return FillEstimate(*out.tolist())

    def state(self, ts_ns: int, levels: int, quantity: float, decay_bps: float = DECAY_BPS) -> BookState:
        """Returns all figures; `levels` is for depths and imbalances, `quantity` for the two orders."""
        code = self.code
        valid = code is BookCode.VALID
        bid, bid_size, ask, ask_size = self.touch
        mid = (bid + ask) / 2.0
        seq = int(self._record["seq"])
        return BookState(
            ts_ns,
            code,
            seq if seq != codes.NO_SEQ else None,
            self.levels(codes.BID) if valid else None,
            self.levels(codes.ASK) if valid else None,
            *(bid, bid_size, ask, ask_size, mid),
            self.microprice,
            (ask - bid) / mid * 1e4,
            self.depth(codes.BID, levels),
            self.depth(codes.ASK, levels),
            self.imbalance(levels),
            self.weighted_imbalance(levels, decay_bps),
            self.walk(codes.ASK, quantity),
            self.walk(codes.BID, quantity),
        )


def _columns(messages: BookMessages) -> list[Any]:
    return [
        *(messages.side, messages.price, messages.size, messages.start),
        *(messages.is_snapshot, messages.first_seq, messages.last_seq, messages.prev_seq),
    ]


def replay_book(messages: BookMessages, at_ns: Sequence[int], levels: int, quantity: float) -> BookReport:
    """Applies all messages; returns the states at the asked times, in their order.

    Raises Misconfigured if a time is before the first message.
    """
    book = OrderBook(messages.tick, sequenced=messages.sequenced)
    found: dict[int, BookState] = {}
    for ns in sorted(set(at_ns)):
        end = int(messages.ts.searchsorted(ns, side="right"))
        if not end:
            first = f"{messages.ts[0]} ({format_utc(int(messages.ts[0]))} UTC)"
            raise Misconfigured(f"--at {ns}: before the first message of {messages.subject}, at {first}")
        book.run(messages, end)
        found[ns] = book.state(int(messages.ts[end - 1]), levels, quantity)
    book.run(messages, len(messages))
    return BookReport(
        len(messages),
        book.count("dropped"),
        book.count("gaps"),
        book.count("crossed"),
        {name: book.count(name) for name in BAD_ROWS if book.count(name)},
        book.code,
        messages.tick,
        [found[ns] for ns in at_ns],
    )

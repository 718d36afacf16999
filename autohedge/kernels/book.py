"""An order book: messages in sequence onto the two ladders, and what is read from them.

One step per message, for a batch (`run`) and for a live message (`step_one`). A message is a range of rows: `side`
is 1 for a bid, -1 for an ask, 0 for neither; `price` and `size` are float64, and size 0 removes the level. The key
of a level is `round(price / tick)`.

A book whose messages have sequence numbers is valid from a snapshot on, until a message is missing. Figures of a
book that is not valid, or crossed, are NaN.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from autohedge.kernels.book_codes import (
    AFTER_GAP,
    APPLIED,
    ASK,
    BID,
    GAP,
    KEPT,
    KEPT_MAX,
    KEY_DIGITS,
    NO_ROOM,
    NO_SEQ,
    SNAPSHOT,
    STALE,
    VALID,
)
from autohedge.kernels.jit import compiled, inlined
from autohedge.kernels.ladder import (
    NO_SLOT,
    Ranks,
    Sizes,
    clear,
    far_descending,
    far_slot,
    has_room,
    move_far,
    new_far,
    new_sides,
    set_level,
    slot_below,
)

BOOK = np.dtype(
    [
        ("tick", "f8"),
        ("per_unit", "f8"),
        ("sequenced", "i8"),
        ("status", "i8"),
        ("seq", "i8"),
        ("crossed_now", "i8"),
        ("bid", "f8"),
        ("bid_size", "f8"),
        ("ask", "f8"),
        ("ask_size", "f8"),
        ("dropped", "i8"),
        ("gaps", "i8"),
        ("crossed", "i8"),
        ("bad_side", "i8"),
        ("bad_price", "i8"),
        ("bad_size", "i8"),
        ("unsorted", "i8"),
        ("next", "i8"),
        ("kept_from", "i8"),
    ],
    align=True,
)
"""`per_unit` is the number of ticks in 1, or 0 if that is no whole number. `next` is the next message of a batch;
the messages from `kept_from` to before it are kept for a snapshot."""

Rows = tuple[NDArray[np.int8], NDArray[np.float64], NDArray[np.float64]]
_KEY_MAX = 10.0**KEY_DIGITS
_APPLIED, _SNAPSHOT, _STALE, _KEPT, _GAP, _NO_ROOM = APPLIED, SNAPSHOT, STALE, KEPT, GAP, NO_ROOM
_VALID, _AFTER_GAP, _NO_SEQ, _NO_SLOT, _KEPT_MAX = VALID, AFTER_GAP, NO_SEQ, NO_SLOT, KEPT_MAX
_BID, _ASK = BID, ASK


class BookArrays(NamedTuple):
    """A book: its record, the ladders of its sides, and their levels outside the windows."""

    book: NDArray[np.void]
    sides: NDArray[np.void]
    far_rank: Ranks
    far_size: Sizes


def new_book(tick: float, *, sequenced: bool) -> BookArrays:
    """Returns an empty book; `sequenced` says that its messages have sequence numbers."""
    book = np.zeros(1, BOOK)
    per_unit = round(1.0 / tick)
    book["tick"] = tick
    book["per_unit"] = per_unit if abs(per_unit * tick - 1.0) < 1e-9 else 0
    book["sequenced"], book["seq"] = sequenced, NO_SEQ
    for name in ("bid", "ask", "bid_size", "ask_size"):
        book[name] = np.nan
    return BookArrays(book, new_sides(), *new_far())


def touch_of(arrays: BookArrays) -> memoryview:
    """Returns bid, its size, ask and its size in the record as one view, which is read in one step."""
    offset = arrays.book.dtype.fields["bid"][1] // 8  # type: ignore[index]
    return arrays.book.view(np.float64)[offset : offset + 4].data


def with_room(arrays: BookArrays, rows: int) -> BookArrays:
    """Returns the book with room for a message of this many rows."""
    levels = int((arrays.sides["near"] + arrays.sides["far"]).max())
    slots = arrays.far_rank.shape[1]
    while slots < 2 * (levels + rows):
        slots *= 2
    far_rank, far_size = new_far(slots)
    move_far(arrays.far_rank, arrays.far_size, far_rank, far_size)
    return BookArrays(arrays.book, arrays.sides, far_rank, far_size)


@inlined
def _price(book: Any, key: int) -> float:
    """Returns the price of a key: the float64 next to the decimal where the ticks in 1 are a whole number."""
    if book["per_unit"] > 0.0:
        return key / book["per_unit"]  # type: ignore[no-any-return]
    return key * book["tick"]  # type: ignore[no-any-return]


@compiled
def _sequence(book: Any, is_snapshot: int, first_seq: int, last_seq: int, prev_seq: int) -> int:
    """Returns what to do with a message, by its numbers."""
    if book["sequenced"] == 0:
        book["status"] = _VALID
        return _SNAPSHOT if is_snapshot else _APPLIED
    if is_snapshot and last_seq != _NO_SEQ:
        book["status"] = _VALID
        book["seq"] = last_seq
        return _SNAPSHOT
    if book["status"] != _VALID and not is_snapshot:
        return _KEPT
    # A snapshot without a number cannot be placed either.
    if is_snapshot or (last_seq != _NO_SEQ and last_seq <= book["seq"]):
        book["dropped"] += 1
        return _STALE
    follows = (first_seq != _NO_SEQ and first_seq <= book["seq"] + 1) or prev_seq == book["seq"]
    if last_seq != _NO_SEQ and follows:
        book["seq"] = last_seq
        return _APPLIED
    book["status"] = _AFTER_GAP
    book["gaps"] += 1
    return _GAP


@compiled
def _count_unsorted(book: Any, side: Any, price: Sizes, start: int, end: int) -> None:
    """Counts the rows of a snapshot that are not worse than the row of the same side before them."""
    bid = np.inf
    ask = -np.inf
    for i in range(start, end):
        u = np.uintp(i)
        if side[u] > 0:
            book["unsorted"] += 1 if price[u] >= bid else 0
            bid = price[u]
        elif side[u] < 0:
            book["unsorted"] += 1 if price[u] <= ask else 0
            ask = price[u]


@inlined
def _set_row(
    book: Any, sides: Any, far_rank: Ranks, far_size: Sizes, side: int, price: float, size: float
) -> None:
    """Sets the level of one row; a bad row is counted, once, and not used."""
    # Written so that NaN fails each comparison.
    if side == 0:
        book["bad_side"] += 1
    elif not (price > 0.0 and np.rint(price / book["tick"]) >= 1.0 and price / book["tick"] < _KEY_MAX):
        book["bad_price"] += 1
    elif not (size >= 0.0 and size < np.inf):
        book["bad_size"] += 1
    else:
        key = int(np.rint(price / book["tick"]))
        which = _BID if side > 0 else _ASK
        set_level(sides, far_rank, far_size, which, key if side > 0 else -key, size)


@compiled
def _apply_rows(
    book: Any,
    sides: Any,
    far_rank: Ranks,
    far_size: Sizes,
    side: Any,
    price: Sizes,
    size: Sizes,
    start: int,
    end: int,
) -> None:
    for i in range(start, end):
        u = np.uintp(i)
        _set_row(book, sides, far_rank, far_size, side[u], price[u], size[u])


@compiled
def _read_touch(book: Any, sides: Any) -> None:
    """Writes the best prices and their sizes into the record; NaN where there are none to be shown."""
    bids = sides[np.uintp(_BID)]
    asks = sides[np.uintp(_ASK)]
    book["bid"] = book["bid_size"] = np.nan
    book["ask"] = book["ask_size"] = np.nan
    has_bid = bids["best"] != _NO_SLOT
    has_ask = asks["best"] != _NO_SLOT
    bid = bids["base"] + bids["best"]
    ask = -(asks["base"] + asks["best"])
    book["crossed_now"] = 1 if has_bid and has_ask and bid > ask else 0
    if book["crossed_now"]:
        book["crossed"] += 1
        return
    if has_bid:
        book["bid"] = _price(book, bid)
        book["bid_size"] = bids["sizes"][np.uintp(bids["best"])]
    if has_ask:
        book["ask"] = _price(book, ask)
        book["ask_size"] = asks["sizes"][np.uintp(asks["best"])]


@compiled
def _step(
    book: Any,
    sides: Any,
    far_rank: Ranks,
    far_size: Sizes,
    side: Any,
    price: Sizes,
    size: Sizes,
    start: int,
    end: int,
    is_snapshot: int,
    first_seq: int,
    last_seq: int,
    prev_seq: int,
) -> int:
    """Processes one message: the rows from `start` to before `end`; returns its code."""
    code = _sequence(book, is_snapshot, first_seq, last_seq, prev_seq)
    if code == _GAP:
        book["bid"] = book["bid_size"] = np.nan
        book["ask"] = book["ask_size"] = np.nan
        book["crossed_now"] = 0
    if code == _SNAPSHOT:
        clear(sides[np.uintp(_BID)], far_rank[_BID])
        clear(sides[np.uintp(_ASK)], far_rank[_ASK])
        _count_unsorted(book, side, price, start, end)
    if code in (_SNAPSHOT, _APPLIED):
        _apply_rows(book, sides, far_rank, far_size, side, price, size, start, end)
        _read_touch(book, sides)
    return code


@compiled
def step_one(
    books: Any,
    sides: Any,
    far_rank: Ranks,
    far_size: Sizes,
    side: Any,
    price: Sizes,
    size: Sizes,
    is_snapshot: int,
    first_seq: int,
    last_seq: int,
    prev_seq: int,
) -> int:
    """Processes one live message; whoever calls keeps those with KEPT or GAP, and repeats one with NO_ROOM."""
    if not has_room(sides, far_rank, len(price)):
        return _NO_ROOM
    return _step(
        books[np.uintp(0)],
        sides,
        far_rank,
        far_size,
        side,
        price,
        size,
        0,
        len(price),
        is_snapshot,
        first_seq,
        last_seq,
        prev_seq,
    )


@compiled
def run(
    books: Any,
    sides: Any,
    far_rank: Ranks,
    far_size: Sizes,
    side: Any,
    price: Sizes,
    size: Sizes,
    start: Ranks,
    is_snapshot: Any,
    first_seq: Ranks,
    last_seq: Ranks,
    prev_seq: Ranks,
    end: int,
) -> int:
    """Processes the messages before `end` that are still to come, and the kept ones after a snapshot.

    Message m has the rows from `start[m]` to before `start[m + 1]`. Returns 0, or the number of rows that the
    next message needs room for.
    """
    book = books[np.uintp(0)]
    while True:
        is_pending = book["status"] == _VALID and book["kept_from"] < book["next"]
        if not is_pending and book["next"] >= end:
            return 0
        m = np.uintp(book["kept_from"] if is_pending else book["next"])
        if is_pending and is_snapshot[m]:
            book["kept_from"] += 1
            continue
        rows = start[m + np.uintp(1)] - start[m]
        if not has_room(sides, far_rank, rows):
            return rows  # type: ignore[no-any-return]
        code = _step(
            book,
            sides,
            far_rank,
            far_size,
            side,
            price,
            size,
            start[m],
            start[m] + rows,
            is_snapshot[m],
            first_seq[m],
            last_seq[m],
            prev_seq[m],
        )
        if not is_pending:
            book["next"] += 1
        if code == _SNAPSHOT:
            continue
        if book["status"] == _VALID:
            book["kept_from"] += 1
        elif book["next"] - book["kept_from"] > _KEPT_MAX:
            book["kept_from"] += 1
            book["dropped"] += 1


@compiled
def run_touch(
    books: Any,
    sides: Any,
    far_rank: Ranks,
    far_size: Sizes,
    side: Any,
    price: Sizes,
    size: Sizes,
    start: Ranks,
    is_snapshot: Any,
    first_seq: Ranks,
    last_seq: Ranks,
    prev_seq: Ranks,
    first: int,
    end: int,
    touch: NDArray[np.float64],
) -> int:
    """Like `run`; writes bid, ask and their sizes after message m into `touch[m - first]`, NaN where there are none."""
    book = books[np.uintp(0)]
    messages = (side, price, size, start, is_snapshot, first_seq, last_seq, prev_seq)
    while True:
        m = book["next"]
        # The kept messages first, which room was missing for.
        rows = run(books, sides, far_rank, far_size, *messages, m)
        if rows:
            return rows
        if m > first:
            best = touch[np.uintp(m - 1 - first)]
            best[0], best[1] = book["bid"], book["ask"]
            best[2], best[3] = book["bid_size"], book["ask_size"]
        if m >= end:
            return 0
        rows = run(books, sides, far_rank, far_size, *messages, m + 1)
        if rows:
            return rows


@compiled
def depth(sides: Any, far_rank: Ranks, far_size: Sizes, which: int, levels: int) -> float:
    """Returns the sum of the sizes of the best levels of a side; `which` is BID or ASK."""
    side = sides[np.uintp(which)]
    total = 0.0
    left = levels
    slot = side["best"]
    while slot != _NO_SLOT and left > 0:
        total += side["sizes"][np.uintp(slot)]
        left -= 1
        slot = slot_below(side, slot)
    if left > 0 and side["far"] > 0:
        ranks = far_descending(far_rank[which], side["far"])
        for i in range(min(left, len(ranks))):
            total += far_size[which, far_slot(far_rank[which], ranks[i])]
    return total


@compiled
def _weight(book: Any, which: int, rank: int, mid: float, decay_bps: float) -> float:
    price = _price(book, rank if which == _BID else -rank)
    return 1.0 + abs(price - mid) / mid * 1e4 / decay_bps


@compiled
def weighted_depth(
    book: Any, sides: Any, far_rank: Ranks, far_size: Sizes, which: int, levels: int, decay_bps: float
) -> float:
    """Returns the sum of the sizes of the best levels, each over 1 + its distance from mid in units of `decay_bps`."""
    side = sides[np.uintp(which)]
    mid = (book["bid"] + book["ask"]) / 2.0
    total = 0.0
    left = levels
    slot = side["best"]
    while slot != _NO_SLOT and left > 0:
        total += side["sizes"][np.uintp(slot)] / _weight(book, which, side["base"] + slot, mid, decay_bps)
        left -= 1
        slot = slot_below(side, slot)
    if left > 0 and side["far"] > 0:
        ranks = far_descending(far_rank[which], side["far"])
        for i in range(min(left, len(ranks))):
            shown = far_size[which, far_slot(far_rank[which], ranks[i])]
            total += shown / _weight(book, which, ranks[i], mid, decay_bps)
    return total


@compiled
def imbalance(books: Any, sides: Any, far_rank: Ranks, far_size: Sizes, levels: int) -> float:
    """Returns (B - A) / (B + A) of the depths of the best levels; NaN if the book has no figures."""
    book = books[np.uintp(0)]
    if book["status"] != _VALID or book["crossed_now"]:
        return np.nan
    bids = depth(sides, far_rank, far_size, _BID, levels)
    asks = depth(sides, far_rank, far_size, _ASK, levels)
    return np.float64(bids - asks) / np.float64(bids + asks) if bids + asks > 0.0 else np.nan


@compiled
def weighted_imbalance(
    books: Any, sides: Any, far_rank: Ranks, far_size: Sizes, levels: int, decay_bps: float
) -> float:
    """Returns `imbalance` with each size over 1 + its distance from mid in units of `decay_bps`; NaN without mid."""
    book = books[np.uintp(0)]
    bids = weighted_depth(book, sides, far_rank, far_size, _BID, levels, decay_bps)
    asks = weighted_depth(book, sides, far_rank, far_size, _ASK, levels, decay_bps)
    return (bids - asks) / (bids + asks) if bids + asks > 0.0 else np.nan


@compiled
def microprice(books: Any) -> float:
    """Returns the price between bid and ask that is nearer to the side with less size; NaN without both."""
    book = books[np.uintp(0)]
    shown = book["bid_size"] + book["ask_size"]
    return (book["bid"] * book["ask_size"] + book["ask"] * book["bid_size"]) / shown  # type: ignore[no-any-return]


@compiled
def walk(
    books: Any, sides: Any, far_rank: Ranks, far_size: Sizes, which: int, quantity: float, out: Sizes
) -> None:
    """Fills a quantity against a side, best level first: ASK for a buy, BID for a sell.

    Writes average, filled, remaining, worst and slippage_bps (of the average, from mid) to `out`.
    """
    book = books[np.uintp(0)]
    out[:] = np.nan
    if book["status"] != _VALID or book["crossed_now"]:
        return
    side = sides[np.uintp(which)]
    sign = 1 if which == _BID else -1
    remaining = quantity
    cost = 0.0
    worst = np.nan
    slot = side["best"]
    while slot != _NO_SLOT and remaining > 0.0:
        taken = min(side["sizes"][np.uintp(slot)], remaining)
        worst = _price(book, sign * (side["base"] + slot))
        cost += taken * worst
        remaining -= taken
        slot = slot_below(side, slot)
    if remaining > 0.0 and side["far"] > 0:
        for rank in far_descending(far_rank[which], side["far"]):
            taken = min(far_size[which, far_slot(far_rank[which], rank)], remaining)
            if taken > 0.0:
                worst = _price(book, sign * rank)
                cost += taken * worst
                remaining -= taken
    filled = quantity - remaining
    mid = (book["bid"] + book["ask"]) / 2.0
    if filled > 0.0:
        out[0] = cost / filled
    out[1], out[2], out[3] = filled, remaining, worst
    out[4] = abs(out[0] - mid) / mid * 1e4

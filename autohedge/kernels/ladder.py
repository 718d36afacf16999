"""One side of an order book: sizes by tick in a window around the best price, and a hash table for the rest.

Levels are addressed by rank: the key of a bid, the negated key of an ask, so that the best level of either side
has the highest rank. The window has a size per tick and a bit per tick in three layers, so that the next
occupied tick is found in a bounded number of steps. The best level is always in the window: when it leaves, the
window is placed again. All levels outside are below the window; they are in `far_rank` and `far_size` (side,
slot), whose length is a power of two and at least twice the number of levels (`has_room`).

Nothing here is a running sum, so sizes do not drift.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from autohedge.kernels.jit import compiled, inlined

Ranks = NDArray[np.int64]
Sizes = NDArray[np.float64]

SLOTS = 1 << 16
NO_SLOT = -1
EMPTY = -(1 << 62)
"""Marks a free slot of `far_rank`; no rank is as low."""
FAR_SLOTS = 1 << 12

# Levels lie below the best one; the quarter above it is for a price that moves on.
_PLACE = SLOTS - SLOTS // 4
_LOW = SLOTS // 4
_SPREADING = 2_654_435_761  # 2^32 divided by the golden ratio: multiplicative hashing
_LOW_31_BITS = (1 << 31) - 1
_EMPTY, _NO_SLOT, _SLOTS = EMPTY, NO_SLOT, SLOTS

SIDE = np.dtype(
    [
        ("base", "i8"),
        ("best", "i8"),
        ("near", "i8"),
        ("far", "i8"),
        ("tops", "i8", (SLOTS >> 15,)),
        ("groups", "i8", (SLOTS >> 10,)),
        ("words", "i8", (SLOTS >> 5,)),
        ("sizes", "f8", (SLOTS,)),
    ],
    align=True,
)
"""`base` is the rank of slot 0, `best` the slot of the best level; `near` and `far` count levels in the window and outside."""


def new_sides() -> NDArray[np.void]:
    """Returns both sides of an empty book, bid first."""
    sides = np.zeros(2, SIDE)
    sides["best"] = NO_SLOT
    return sides


def new_far(slots: int = FAR_SLOTS) -> tuple[Ranks, Sizes]:
    """Returns the empty hash tables of both sides."""
    return np.full((2, slots), EMPTY), np.zeros((2, slots))


@inlined
def _highest_bit(bits: int) -> int:
    """Returns the number of the highest bit that is set in 32 bits that are not 0."""
    bit = 0
    if bits >= 1 << 16:
        bits >>= 16
        bit = 16
    if bits >= 1 << 8:
        bits >>= 8
        bit += 8
    if bits >= 1 << 4:
        bits >>= 4
        bit += 4
    if bits >= 1 << 2:
        bits >>= 2
        bit += 2
    return bit + (bits >> 1)


@inlined
def _mark(side: Any, slot: int) -> None:
    word = slot >> 5
    group = slot >> 10
    top = slot >> 15
    side["words"][np.uintp(word)] |= 1 << (slot & 31)
    side["groups"][np.uintp(group)] |= 1 << (word & 31)
    side["tops"][np.uintp(top)] |= 1 << (group & 31)


@inlined
def _unmark(side: Any, slot: int) -> None:
    word = slot >> 5
    group = slot >> 10
    top = slot >> 15
    side["words"][np.uintp(word)] &= ~(1 << (slot & 31))
    if side["words"][np.uintp(word)] == 0:
        side["groups"][np.uintp(group)] &= ~(1 << (word & 31))
        if side["groups"][np.uintp(group)] == 0:
            side["tops"][np.uintp(top)] &= ~(1 << (group & 31))


@compiled
def slot_below(side: Any, slot: int) -> int:
    """Returns the occupied slot next below a slot; NO_SLOT if there is none."""
    word = slot >> 5
    found = side["words"][np.uintp(word)] & ((1 << (slot & 31)) - 1)
    if found == 0:
        group = word >> 5
        found = side["groups"][np.uintp(group)] & ((1 << (word & 31)) - 1)
        if found == 0:
            top = group >> 5
            found = side["tops"][np.uintp(top)] & ((1 << (group & 31)) - 1)
            while found == 0 and top > 0:
                top -= 1
                found = side["tops"][np.uintp(top)]
            if found != 0:
                group = (top << 5) + _highest_bit(found)
                found = side["groups"][np.uintp(group)]
        if found != 0:
            word = (group << 5) + _highest_bit(found)
            found = side["words"][np.uintp(word)]
    return (word << 5) + _highest_bit(found) if found != 0 else _NO_SLOT


@inlined
def _home(rank: int, mask: int) -> int:
    """Returns where a rank belongs in the hash table; the product of 31 and 32 bits does not overflow."""
    return ((((rank ^ (rank >> 31)) & _LOW_31_BITS) * _SPREADING) >> 16) & mask


@compiled
def far_slot(ranks: Ranks, rank: int) -> int:
    """Returns the slot of a rank in the hash table of a side, or the free one where it would be."""
    mask = len(ranks) - 1
    slot = _home(rank, mask)
    while ranks[np.uintp(slot)] != rank and ranks[np.uintp(slot)] != _EMPTY:
        slot = (slot + 1) & mask
    return slot


@compiled
def _remove_far(ranks: Ranks, sizes: Sizes, slot: int) -> None:
    """Frees a slot, and moves what linear probing had put behind it (Knuth, volume 3, algorithm 6.4R)."""
    mask = len(ranks) - 1
    free = slot
    looked = slot
    while True:
        looked = (looked + 1) & mask
        rank = ranks[np.uintp(looked)]
        if rank == _EMPTY:
            break
        if ((looked - _home(rank, mask)) & mask) >= ((looked - free) & mask):
            ranks[np.uintp(free)] = rank
            sizes[np.uintp(free)] = sizes[np.uintp(looked)]
            free = looked
    ranks[np.uintp(free)] = _EMPTY


@compiled
def _set_far(side: Any, ranks: Ranks, sizes: Sizes, rank: int, size: float) -> None:
    slot = far_slot(ranks, rank)
    is_new = ranks[np.uintp(slot)] == _EMPTY
    if size > 0.0:
        ranks[np.uintp(slot)] = rank
        sizes[np.uintp(slot)] = size
        side["far"] += 1 if is_new else 0
    elif not is_new:
        _remove_far(ranks, sizes, slot)
        side["far"] -= 1


@inlined
def _add_near(side: Any, slot: int, size: float) -> None:
    if side["sizes"][np.uintp(slot)] == 0.0:
        _mark(side, slot)
        side["near"] += 1
        side["best"] = max(side["best"], slot)
    side["sizes"][np.uintp(slot)] = size


@compiled
def _take_near(side: Any, to_ranks: Ranks, to_sizes: Sizes) -> int:
    """Moves the levels of the window to arrays; returns how many there were."""
    count = 0
    slot = side["best"]
    while slot != _NO_SLOT:
        to_ranks[count] = side["base"] + slot
        to_sizes[count] = side["sizes"][np.uintp(slot)]
        count += 1
        side["sizes"][np.uintp(slot)] = 0.0
        _unmark(side, slot)
        slot = slot_below(side, slot)
    side["near"] = 0
    side["best"] = _NO_SLOT
    return count


@compiled
def _take_far(side: Any, ranks: Ranks, sizes: Sizes, to_ranks: Ranks, to_sizes: Sizes, count: int) -> None:
    """Moves the levels outside the window to arrays that have `count` levels already."""
    for i in range(len(ranks)):
        if ranks[i] != _EMPTY:
            to_ranks[count] = ranks[i]
            to_sizes[count] = sizes[i]
            count += 1
            ranks[i] = _EMPTY
    side["far"] = 0


@compiled
def _place_at(side: Any, ranks: Ranks, sizes: Sizes, rank: int) -> None:
    """Places the window so that this rank, of the best level, is at its place; every level is kept."""
    base = rank - _PLACE
    # What is below the window stays below it when it rises, so that a rise takes no longer with many far levels.
    falls = base < side["base"] and side["far"] > 0
    levels = side["near"] + (side["far"] if falls else 0)
    old_ranks = np.empty(levels, np.int64)
    old_sizes = np.empty(levels, np.float64)
    count = _take_near(side, old_ranks, old_sizes)
    if falls:
        _take_far(side, ranks, sizes, old_ranks, old_sizes, count)
    side["base"] = base
    for i in range(levels):
        if old_ranks[i] >= base:
            _add_near(side, old_ranks[i] - base, old_sizes[i])
        else:
            _set_far(side, ranks, sizes, old_ranks[i], old_sizes[i])


@compiled
def _place_again(side: Any, ranks: Ranks, sizes: Sizes) -> None:
    """Places the window at the best level of a side whose window has run empty or low."""
    best = side["base"] + side["best"]
    if side["best"] == _NO_SLOT:
        best = _EMPTY
        for i in range(len(ranks)):
            best = max(best, ranks[i])
    _place_at(side, ranks, sizes, best)


@inlined
def _remove_near(side: Any, far_rank: Ranks, far_size: Sizes, which: int, slot: int) -> None:
    if side["sizes"][np.uintp(slot)] != 0.0:
        side["sizes"][np.uintp(slot)] = 0.0
        _unmark(side, slot)
        side["near"] -= 1
        if slot == side["best"]:
            best = slot_below(side, slot)
            side["best"] = best
            if best < _LOW and side["far"] > 0:
                _place_again(side, far_rank[which], far_size[which])


@compiled
def _set_outside(side: Any, far_rank: Ranks, far_size: Sizes, which: int, rank: int, size: float) -> None:
    """Sets a level outside the window."""
    ranks, sizes = far_rank[which], far_size[which]
    if rank < side["base"] and side["near"] > 0:
        _set_far(side, ranks, sizes, rank, size)
    elif size > 0.0:
        # A new best level, or the first one of all.
        _place_at(side, ranks, sizes, rank)
        _add_near(side, rank - side["base"], size)


@inlined
def set_level(sides: Any, far_rank: Ranks, far_size: Sizes, which: int, rank: int, size: float) -> None:
    """Sets the size of a level of a side; 0 removes it. The hash tables must have room for one more."""
    side = sides[np.uintp(which)]
    slot = rank - side["base"]
    if 0 <= slot < _SLOTS:
        if size > 0.0:
            _add_near(side, slot, size)
        else:
            _remove_near(side, far_rank, far_size, which, slot)
    else:
        _set_outside(side, far_rank, far_size, which, rank, size)


@compiled
def clear(side: Any, ranks: Ranks) -> None:
    """Removes all levels of a side, in a time that grows with the levels and not with the window."""
    slot = side["best"]
    while slot != _NO_SLOT:
        side["sizes"][np.uintp(slot)] = 0.0
        _unmark(side, slot)
        slot = slot_below(side, slot)
    if side["far"] > 0:
        ranks[:] = _EMPTY
    side["near"] = 0
    side["far"] = 0
    side["best"] = _NO_SLOT


@compiled
def has_room(sides: Any, far_rank: Ranks, rows: int) -> bool:
    """Returns whether the hash tables stay at most half full, whatever these many rows set."""
    bids = sides[np.uintp(0)]["near"] + sides[np.uintp(0)]["far"]
    asks = sides[np.uintp(1)]["near"] + sides[np.uintp(1)]["far"]
    return 2 * (max(bids, asks) + rows) <= far_rank.shape[1]  # type: ignore[no-any-return]


@compiled
def far_descending(ranks: Ranks, count: int) -> Ranks:
    """Returns the ranks of the levels outside the window of a side, best first."""
    found = np.empty(count, np.int64)
    at = 0
    for i in range(len(ranks)):
        if ranks[i] != _EMPTY:
            found[at] = ranks[i]
            at += 1
    # Shell's sort, because numpy's takes seconds to compile. The gaps are those of Knuth, volume 3, 5.2.1.
    gap = 1
    while gap < count:
        gap = 3 * gap + 1
    while gap > 1:
        gap //= 3
        for i in range(gap, count):
            rank = found[i]
            at = i
            while at >= gap and found[at - gap] < rank:
                found[at] = found[at - gap]
                at -= gap
            found[at] = rank
    return found


@compiled
def move_far(old_rank: Ranks, old_size: Sizes, new_rank: Ranks, new_size: Sizes) -> None:
    """Copies the hash tables of both sides to longer, empty ones."""
    for which in range(2):
        for i in range(old_rank.shape[1]):
            if old_rank[which, i] != _EMPTY:
                slot = far_slot(new_rank[which], old_rank[which, i])
                new_rank[which, np.uintp(slot)] = old_rank[which, i]
                new_size[which, np.uintp(slot)] = old_size[which, i]

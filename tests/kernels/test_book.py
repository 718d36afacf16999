"""The ladder against a plain dict: levels far from the touch, prices that jump, and sums that do not drift."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autohedge.kernels import book as kernel
from autohedge.kernels.book_codes import ASK, BID, KEY_DIGITS
from autohedge.kernels.ladder import SLOTS
from autohedge.market.books import BookMessage, OrderBook
from tests.market.book_factory import message

Sides = dict[str, dict[int, float]]
FAR = SLOTS * 3
JUMPS = st.sampled_from([-FAR, -SLOTS, -SLOTS // 2, -40, 0, 40, SLOTS // 4, SLOTS, FAR])
OFFSETS = st.one_of(st.integers(0, 70), st.integers(0, SLOTS + 5), st.integers(0, FAR))
SIZES = st.sampled_from([0.0, 0.0, 0.1, 0.7, 3.0, 1e9])
ROWS = st.lists(st.tuples(st.sampled_from(["bid", "ask"]), OFFSETS, SIZES), min_size=1, max_size=12)


def apply_to_dict(sides: Sides, levels: list[tuple[str, float, float]]) -> None:
    for side, price, size in levels:
        key = round(price / 0.01)
        if size > 0:
            sides[side][key] = size
        else:
            sides[side].pop(key, None)


def ordered(sides: Sides, side: str) -> list[tuple[int, float]]:
    return sorted(sides[side].items(), reverse=side == "bid")


def walked(levels: list[tuple[int, float]], quantity: float) -> tuple[float, float]:
    cost = filled = 0.0
    for key, size in levels:
        taken = min(size, quantity - filled)
        cost, filled = cost + taken * key / 100, filled + taken
    return cost, filled


def compare(book: OrderBook, sides: Sides) -> None:
    bids, asks = ordered(sides, "bid"), ordered(sides, "ask")
    assert (book.levels(BID), book.levels(ASK)) == (len(bids), len(asks))
    if bids and asks and bids[0][0] > asks[0][0]:
        assert book.code == "crossed"
        return
    for best, shown in ((bids[:1], book.touch[:2]), (asks[:1], book.touch[2:])):
        assert shown == (best[0][0] / 100, best[0][1]) if best else np.isnan(shown).all()
    for levels in (1, 5, 10**6):
        state = book.state(0, levels, 5.0)
        assert state.bid_depth == sum(size for _, size in bids[:levels])
        assert state.ask_depth == sum(size for _, size in asks[:levels])
    for side, order in ((bids, state.sell), (asks, state.buy)):
        cost, filled = walked(side, 5.0)
        assert order.filled == pytest.approx(filled)
        assert math.isnan(order.average) if not filled else order.average == pytest.approx(cost / filled)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(JUMPS, ROWS, st.booleans(), st.integers(0, 6)), min_size=1, max_size=12))
def test_book_equals_a_dict_when_prices_jump_over_its_window(moves: list[tuple[int, Any, bool, int]]) -> None:
    book, sides, mid = OrderBook(0.01, sequenced=False), {"bid": {}, "ask": {}}, 10 * FAR  # type: ignore[var-annotated]
    for jump, rows, is_snapshot, removed in moves:
        mid = max(mid + jump, FAR + 1)
        levels = [
            (side, (mid - offset if side == "bid" else mid + 1 + offset) / 100, size)
            for side, offset, size in rows
        ]
        if is_snapshot and jump > 0:
            sides = {"bid": {}, "ask": {}}
        apply_to_dict(sides, levels)
        book.apply(message(levels, is_snapshot=int(is_snapshot and jump > 0)))
        compare(book, sides)
        best = [(side, key / 100, 0.0) for side in sides for key, _ in ordered(sides, side)[:removed]]
        apply_to_dict(sides, best)
        book.apply(message(best))
        compare(book, sides)


def wandering(seed: int, messages: int, rows: int) -> Iterator[list[tuple[str, float, float]]]:
    """Yields messages around a price that drifts, half of whose rows remove a level, some far away."""
    rng = np.random.default_rng(seed)
    mid = 1_000_000
    for _ in range(messages):
        mid += int(rng.integers(-400, 401))
        offsets = np.where(
            rng.random(rows) < 0.05, rng.integers(0, 200_000, rows), rng.integers(0, 300, rows)
        )
        sides, sizes = rng.integers(0, 2, rows), rng.integers(0, 1000, rows) / 1000 * rng.integers(0, 2, rows)
        yield [
            ("ask" if ask else "bid", (mid + 1 + at if ask else mid - at) / 100, size)
            for ask, at, size in zip(sides.tolist(), offsets.tolist(), sizes.tolist(), strict=True)
        ]


def compare_wandering(messages: int, rows: int = 40) -> int:
    """Compares a long history with a dict at some messages, after clearing what the price has crossed."""
    book, sides = OrderBook(0.01, sequenced=False), {"bid": {}, "ask": {}}  # type: ignore[var-annotated]
    for number, levels in enumerate(wandering(5, messages, rows)):
        best = {side: ordered(sides, side) for side in sides} if number % 10 == 0 else {}
        crossed = [(side, key / 100, 0.0) for side, found in best.items() for key, _ in found[:30]]
        apply_to_dict(sides, [*crossed, *levels])
        book.apply(message([*crossed, *levels]))
        if number % max(1, messages // 20) == 0:
            compare(book, sides)
    compare(book, sides)
    return book.levels(BID)


def test_book_equals_a_dict_after_a_long_history() -> None:
    assert compare_wandering(3000) > 2000


@pytest.mark.soak
def test_book_equals_a_dict_after_ten_million_levels() -> None:
    assert compare_wandering(2_500, rows=4_000) > 2000


def test_tables_grow_for_one_message_of_many_far_levels() -> None:
    levels = [("bid", 10.0 + 7.0 * number, 1.0) for number in range(30_000)]
    book = OrderBook(0.01, sequenced=False)
    book.apply(message(levels))
    assert (book.levels(BID), book.touch[0]) == (30_000, 10.0 + 7.0 * 29_999)
    assert book.state(0, 40_000, 1.0).bid_depth == 30_000.0


@pytest.mark.parametrize("side", ["bid", "ask"])
@pytest.mark.parametrize("gap", [31, 1_000, SLOTS // 2, SLOTS + 1])
def test_removals_at_the_touch_of_a_sparse_book_leave_the_next_level(side: str, gap: int) -> None:
    prices = [(10**8 + (-gap if side == "bid" else gap) * number) / 100 for number in range(60)]
    book = OrderBook(0.01, sequenced=False)
    book.apply(message([(side, price, 1.0) for price in prices]))
    shown = 0 if side == "bid" else 2
    for number, price in enumerate(prices[:-1]):
        assert (book.touch[shown], book.levels(shown // 2)) == (price, len(prices) - number)
        book.apply(message([(side, price, 0.0)]))
    assert book.touch[shown] == prices[-1]


def test_far_levels_are_found_after_thousands_of_removals() -> None:
    rng = np.random.default_rng(3)
    book, sides = OrderBook(0.01, sequenced=False), {"bid": {10**8: 1.0}, "ask": {}}
    book.apply(message([("bid", 1e6, 1.0)]))
    for _ in range(60):
        keys = (10**8 - 10 * SLOTS - 1_000 * rng.integers(0, 3_000, 400)).tolist()
        rows = [
            ("bid", key / 100, size) for key, size in zip(keys, rng.integers(0, 2, 400).tolist(), strict=True)
        ]
        apply_to_dict(sides, rows)
        book.apply(message(rows))
        compare(book, sides)
    assert book.levels(BID) > 1_000


@pytest.mark.parametrize(("tick", "price"), [(0.1, 61813.9), (0.25, 5000.25), (5.0, 105.0), (1e-8, 2.29e-05)])
def test_prices_come_back_as_they_were_printed(tick: float, price: float) -> None:
    book = OrderBook(tick, sequenced=False)
    book.apply(message([("ask", price, 1.0)]))
    assert book.touch[2] == price


def test_key_with_too_many_digits_makes_a_bad_price() -> None:
    book = OrderBook(1.0, sequenced=False)
    book.apply(message([("bid", 10.0**KEY_DIGITS, 1.0), ("bid", 10.0 ** (KEY_DIGITS - 1), 1.0)]))
    assert (book.count("bad_price"), book.levels(BID)) == (1, 1)


def test_weights_fall_with_the_distance_from_mid() -> None:
    book = OrderBook(1.0, sequenced=False)
    book.apply(message([("bid", 999.0, 1.0), ("ask", 1001.0, 1.0), ("ask", 1003.0, 2.0)]))
    # 10 and 30 bps from mid weigh 1/2 and 1/4.
    assert book.state(0, 5, 1.0).weighted_imbalance == pytest.approx((0.5 - 1.0) / 1.5)
    assert book.state(0, 5, 1.0).imbalance == -0.5


def test_empty_message_leaves_an_empty_book() -> None:
    book = OrderBook(1.0, sequenced=False)
    book.apply(BookMessage(np.empty(0, np.int8), np.empty(0), np.empty(0)))
    assert book.code == "valid" and np.isnan(book.touch).all()
    assert np.isnan(kernel.microprice(book._arrays.book))


def repeat_book_tests(shared: Path) -> None:
    """Repeats the comparisons with a dict, and the smallest tape of known answers where it is there."""
    from tests.market.test_books import compare_known_answers

    compare_wandering(60)
    if shared.is_dir():
        assert compare_known_answers(shared, 1) == 15

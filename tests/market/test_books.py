"""Order books: known answers, the venue's own quotes, sequences, and messages that are missing or damaged."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from autohedge.core.errors import Misconfigured
from autohedge.kernels.book_codes import APPLIED, BID, GAP, KEPT, KEPT_MAX, SNAPSHOT, STALE
from autohedge.market import BookMessages, TapeSource, read_messages
from autohedge.market.books import BookCode, BookMessage, OrderBook, replay_book
from tests.market.book_factory import BINANCE, batch, built, message, recorded, split

FIGURES_1E9 = 1e-9
NO_FIGURES = {"bids", "asks", "bid", "bid_size", "ask", "ask_size", "mid", "microprice", "spread_bps"} | {
    "bid_depth",
    "ask_depth",
    "imbalance",
    "weighted_imbalance",
}
WALKED = ("average", "filled", "remaining", "worst", "slippage_bps")


def compare_known_answers(shared: Path, number: int) -> int:
    """Replays a tape of books.json; returns the number of states that are equal, which are all."""
    case = json.loads((shared / "spec/signals/books.json").read_text())[number]
    messages = read_messages(TapeSource(shared / "data" / case["tapes"][0]))
    report = replay_book(messages, [state["ts_ns"] for state in case["states"]], case["levels"], case["walk"])
    assert report.tick == case["tick"] and report.bad_rows == {}
    for name in ("events", "dropped", "gaps"):
        assert getattr(report, name) == case[name], name
    for found, wanted in zip(report.states, case["states"], strict=True):
        values = found.as_dict()
        assert (values.pop("valid"), values.pop("seq")) == (True, wanted.pop("seq"))
        for side in ("buy", "sell"):
            assert values.pop(side) == pytest.approx(wanted.pop(side), rel=FIGURES_1E9, abs=1e-12)
        assert values == pytest.approx(wanted, rel=FIGURES_1E9, abs=1e-12)
    return len(report.states)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_states_of_recorded_books_are_the_known_ones(shared: Path, number: int) -> None:
    assert compare_known_answers(shared, number) == 15


@pytest.mark.parametrize(("name", "compared"), BINANCE.items())
def test_touch_equals_the_quote_of_the_venue_at_each_update(shared: Path, name: str, compared: int) -> None:
    messages = recorded(shared, name)
    quotes = pl.read_parquet(shared / "data" / f"{name}_quotes.parquet")
    by_seq = {row[0]: row[1:] for row in quotes.select("seq", "bid", "bid_size", "ask", "ask_size").rows()}
    book = OrderBook(messages.tick, sequenced=True)
    equal = 0
    for number, seq in enumerate(messages.last_seq.tolist()):
        book.run(messages, number + 1)
        if seq in by_seq and not messages.is_snapshot[number] and book.code is BookCode.VALID:
            assert book.touch == by_seq[seq]
            equal += 1
    assert (equal, book.count("gaps"), book.count("crossed")) == (compared, 0, 0)


def test_live_messages_leave_the_book_of_the_batch(shared: Path) -> None:
    messages = recorded(shared, "binance/spot/ETHUSDT_20240808")
    book = OrderBook(messages.tick, sequenced=True)
    for each in split(messages):
        book.apply(each)
    assert book.state(0, 5, 20.0) == built(messages).state(0, 5, 20.0)
    assert book.count("dropped") == 2


def without(messages: BookMessages, number: int) -> BookMessages:
    each = split(messages)
    return batch(each[:number] + each[number + 1 :], messages.tick, sequenced=messages.sequenced)


def without_rows(messages: BookMessages, first: int, end: int) -> BookMessages:
    """Returns the messages of the tape whose rows from `first` to before `end` were cut out."""
    rows = np.r_[0:first, end : len(messages.price)]
    of_row = np.repeat(np.arange(len(messages)), np.diff(messages.start))[rows]
    heads = np.flatnonzero(np.diff(of_row, prepend=-1))
    columns: dict[str, Any] = {name: getattr(messages, name)[rows] for name in ("side", "price", "size")}
    for name in ("ts", "is_snapshot", "first_seq", "last_seq", "prev_seq"):
        columns[name] = getattr(messages, name)[of_row[heads]]
    return replace(messages, start=np.append(heads, len(rows)), **columns)


def require_no_figures(messages: BookMessages, code: BookCode, gaps: int) -> None:
    report = replay_book(messages, [int(messages.ts[-1])], 5, 1.0)
    assert (report.end, report.gaps) == (code, gaps)
    values = report.states[0].as_dict()
    assert values["valid"] is False
    shown = [values[name] for name in NO_FIGURES]
    shown += [values[side][name] for side in ("buy", "sell") for name in WALKED]
    assert all(value is None or np.isnan(value) for value in shown)


@pytest.mark.parametrize("name", BINANCE)
def test_tape_with_a_message_removed_ends_without_figures(shared: Path, name: str) -> None:
    messages = recorded(shared, name)
    for number in (len(messages) // 3, len(messages) - 2):
        require_no_figures(without(messages, number), BookCode.GAP, 1)


@pytest.mark.parametrize("name", BINANCE)
def test_tape_without_its_snapshot_ends_without_figures(shared: Path, name: str) -> None:
    messages = recorded(shared, name)
    snapshot = int(np.flatnonzero(messages.is_snapshot)[0])
    require_no_figures(without(messages, snapshot), BookCode.NO_SNAPSHOT, 0)


@pytest.mark.parametrize("name", BINANCE)
def test_tape_cut_in_the_middle_of_a_message_has_no_figures(shared: Path, name: str) -> None:
    messages = recorded(shared, name)
    bounds = messages.start.tolist()
    middle = next(at for at in range(len(messages) // 2, len(messages)) if bounds[at + 1] - bounds[at] > 3)
    cut = bounds[middle] + 2
    # The rest of one message and all of the next are gone; or all before the cut is.
    require_no_figures(without_rows(messages, cut, bounds[middle + 2]), BookCode.GAP, 1)
    require_no_figures(without_rows(messages, 0, cut), BookCode.NO_SNAPSHOT, 0)


def numbered(first: int, last: int, price: float, size: float = 1.0, **more: int) -> BookMessage:
    return message([("bid", price, size)], first_seq=first, last_seq=last, **more)


SNAPSHOT_AT_10 = message([("bid", 99.0, 5.0), ("ask", 101.0, 4.0)], is_snapshot=1, first_seq=10, last_seq=10)
SNAPSHOT_AT_14 = message([("bid", 99.0, 1.0)], is_snapshot=1, first_seq=14, last_seq=14)
SEQUENCES = {
    "kept messages follow the snapshot": (
        [numbered(8, 9, 98), numbered(10, 11, 97), SNAPSHOT_AT_10, numbered(12, 12, 96)],
        [KEPT, KEPT, SNAPSHOT, APPLIED],
        (BookCode.VALID, 12, 3, 1, 0),
    ),
    "a message is missing": (
        [SNAPSHOT_AT_10, numbered(11, 11, 98), numbered(13, 13, 97), numbered(14, 14, 96)],
        [SNAPSHOT, APPLIED, GAP, KEPT],
        (BookCode.GAP, 11, 2, 0, 1),
    ),
    "a snapshot ends a gap": (
        [SNAPSHOT_AT_10, numbered(13, 13, 98), numbered(14, 15, 97), SNAPSHOT_AT_14],
        [SNAPSHOT, GAP, KEPT, SNAPSHOT],
        (BookCode.VALID, 15, 2, 1, 1),
    ),
    "a snapshot is too old for the kept ones": (
        [numbered(13, 13, 98), numbered(14, 14, 97), SNAPSHOT_AT_10],
        [KEPT, KEPT, SNAPSHOT],
        (BookCode.GAP, 10, 1, 0, 1),
    ),
    "a message comes twice": (
        [SNAPSHOT_AT_10, numbered(11, 12, 98), numbered(11, 12, 98, 0.0)],
        [SNAPSHOT, APPLIED, STALE],
        (BookCode.VALID, 12, 2, 1, 0),
    ),
    "numbers follow by prev_seq": (
        [SNAPSHOT_AT_10, numbered(20, 25, 98, prev_seq=10), numbered(30, 35, 97, prev_seq=26)],
        [SNAPSHOT, APPLIED, GAP],
        (BookCode.GAP, 25, 2, 0, 1),
    ),
    "a message has no number": (
        [SNAPSHOT_AT_10, message([("bid", 98.0, 1.0)])],
        [SNAPSHOT, GAP],
        (BookCode.GAP, 10, 1, 0, 1),
    ),
}


@pytest.mark.parametrize("name", SEQUENCES)
def test_messages_are_applied_by_their_numbers(name: str) -> None:
    messages, actions, wanted = SEQUENCES[name]
    live = OrderBook(1.0, sequenced=True)
    assert [live.apply(each) for each in messages] == actions
    for book in (live, built(batch(messages, sequenced=True))):
        found = (book.state(0, 5, 1.0).seq, book.levels(BID), book.count("dropped"), book.count("gaps"))
        assert (book.code, *found) == wanted


def test_messages_before_a_snapshot_are_kept_up_to_a_limit() -> None:
    early = [numbered(number, number, 50.0 + number % 40) for number in range(KEPT_MAX + 3)]
    snapshot = message([("bid", 1.0, 1.0)], is_snapshot=1, first_seq=5, last_seq=5)
    live = OrderBook(1.0, sequenced=True)
    for each in [*early, snapshot]:
        live.apply(each)
    for book in (live, built(batch([*early, snapshot], sequenced=True))):
        assert (book.code, book.count("dropped"), book.count("gaps")) == (BookCode.VALID, 3 + 3, 0)


def test_messages_without_numbers_are_applied_as_they_come() -> None:
    first = [("bid", 99.0, 1.0), ("ask", 101.0, 2.0), ("ask", 102.0, 3.0)]
    changes = [("ask", 101.0, 0.0), ("bid", 99.0, 4.0)]
    book = built(batch([message(first), message(changes)]))
    assert book.touch == (99.0, 4.0, 102.0, 3.0)
    book = built(batch([message(first), message([("bid", 90.0, 1.0)], is_snapshot=1)]))
    assert book.touch[:2] == (90.0, 1.0) and np.isnan(book.touch[2])


def test_crossed_book_is_counted_and_has_no_figures_until_uncrossed() -> None:
    crossed = [message([("bid", 99.0, 1.0), ("ask", 98.0, 1.0)]), message([("bid", 97.0, 1.0)])]
    require_no_figures(batch(crossed), BookCode.CROSSED, 0)
    book = built(batch([*crossed, message([("bid", 99.0, 0.0)])]))
    assert (book.code, book.count("crossed"), book.touch) == (BookCode.VALID, 2, (97.0, 1.0, 98.0, 1.0))


def test_locked_book_has_figures() -> None:
    state = built(batch([message([("bid", 99.0, 1.0), ("ask", 99.0, 3.0)])])).state(0, 5, 1.0)
    assert state.valid and (state.mid, state.spread_bps) == (99.0, 0.0)


def test_book_with_one_side_has_no_mid() -> None:
    state = built(batch([message([("bid", 99.0, 2.0)])])).state(0, 5, 3.0)
    assert (state.bid, state.bids, state.asks, state.bid_depth, state.ask_depth) == (99.0, 1, 0, 2.0, 0.0)
    assert np.isnan([state.ask, state.mid, state.microprice, state.spread_bps, state.buy.average]).all()
    assert (state.sell.average, state.sell.filled, state.sell.remaining) == (99.0, 2.0, 1.0)
    assert (state.buy.filled, state.buy.remaining) == (0.0, 3.0)


def test_bad_rows_are_counted_by_code_and_not_used() -> None:
    nan, inf = float("nan"), float("inf")
    bad = [
        *(("bid", price, 1.0) for price in (nan, 0.0, -1.0, inf, 0.3)),
        *(("ask", 101.0, size) for size in (nan, -1.0, inf)),
        ("middle", 100.0, 1.0),
    ]
    report = replay_book(batch([message([*bad, ("bid", 99.0, 1.0), ("ask", 102.0, 1.0)])]), [1], 5, 1.0)
    assert report.bad_rows == {"bad_side": 1, "bad_price": 5, "bad_size": 3}
    assert (report.states[0].bid, report.states[0].ask, report.states[0].bids) == (99.0, 102.0, 1)


def test_unsorted_levels_of_a_snapshot_are_counted_and_used() -> None:
    rows = [("bid", 98.0, 1.0), ("bid", 99.0, 1.0), ("ask", 101.0, 1.0), ("ask", 101.0, 2.0)]
    report = replay_book(batch([message(rows, is_snapshot=1), message(rows)]), [1], 5, 1.0)
    assert report.bad_rows == {"unsorted": 2}
    assert (report.states[0].bid, report.states[0].ask_size) == (99.0, 2.0)


def test_states_are_those_of_the_asked_times_in_their_order() -> None:
    messages = batch([message([("bid", 90.0 + number, 1.0)]) for number in range(5)])
    report = replay_book(messages, [4, 2, 9, 4], 5, 1.0)
    assert [(state.ts_ns, state.bid) for state in report.states] == [
        (4, 93.0),
        (2, 91.0),
        (5, 94.0),
        (4, 93.0),
    ]
    with pytest.raises(Misconfigured, match="--at 0: before the first message"):
        replay_book(messages, [3, 0], 5, 1.0)

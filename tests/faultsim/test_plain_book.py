"""The plain book shows what its rules say, and always what the compiled one shows."""

from math import isnan, nan

import numpy as np
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from autohedge.faultsim.plain_book import PlainBook, PlainMessage, messages_of
from autohedge.faultsim.row_checks import same
from autohedge.faultsim.tape_readers import FlowReader
from autohedge.kernels.book_codes import NO_SEQ
from autohedge.market.book_messages import BookMessages
from autohedge.strategies.market_data import Book

SNAPSHOT = PlainMessage([(1, 10.0, 2.0), (1, 9.9, 3.0), (-1, 10.1, 1.0)], True, NO_SEQ, 5, NO_SEQ)


def _change(last: int, size: float = 4.0, first: int | None = None) -> PlainMessage:
    return PlainMessage([(1, 10.0, size)], False, last if first is None else first, last, NO_SEQ)


def _after(*messages: PlainMessage) -> tuple[float, ...]:
    book = PlainBook(0.1, sequenced=True)
    for message in messages:
        book.apply(message)
    return book.figures()


def test_a_snapshot_has_figures() -> None:
    valid, bid, bid_size, ask, ask_size, micro, bids, asks, uneven, bought, sold = _after(SNAPSHOT)
    assert (valid, bid, bid_size, ask, ask_size, bids, asks) == (1.0, 10.0, 2.0, 10.1, 1.0, 5.0, 1.0)
    assert micro == (10.0 * 1.0 + 10.1 * 2.0) / 3.0 and uneven == 4.0 / 6.0
    assert bought == 10.1 and sold == (2.0 * 10.0 + 9.9) / 3.0


def test_a_missing_message_takes_the_figures_until_the_next_snapshot() -> None:
    gap = (SNAPSHOT, _change(6), _change(8))
    assert all(map(isnan, _after(*gap)[1:])) and all(map(isnan, _after(*gap, _change(9))[1:]))
    assert _after(*gap, SNAPSHOT._replace(last=8))[2] == 2.0


def test_messages_that_came_before_their_snapshot_are_applied_after_it() -> None:
    assert _after(_change(5, 7.0), _change(6, 8.0), SNAPSHOT)[2] == 8.0
    assert _after(_change(4, 7.0), _change(5, 8.0), SNAPSHOT)[2] == 2.0


def test_a_message_that_comes_again_leaves_the_book_as_it_is() -> None:
    assert _after(SNAPSHOT, _change(6, 4.0), _change(7, 5.0), _change(6, 4.0))[2] == 5.0


def test_bad_levels_are_left_out_and_size_zero_removes() -> None:
    bad = [(1, nan, 9.0), (-1, 0.0, 9.0), (1, 9.8, -1.0), (-1, 10.1, nan), (0, 10.0, 9.0)]
    assert same(_after(SNAPSHOT, _change(6)._replace(levels=bad)), _after(SNAPSHOT))
    assert _after(SNAPSHOT, _change(6, 0.0))[1] == 9.9


def test_a_crossed_book_has_no_figures() -> None:
    assert _after(SNAPSHOT, _change(6)._replace(levels=[(1, 10.2, 1.0)]))[0] == 0.0


levels = st.tuples(
    st.sampled_from([1, -1, -1, 1, 0]),
    st.sampled_from([9.8, 9.9, 10.0, 10.1, 10.2, 10.3, 0.0, nan]),
    st.sampled_from([0.0, 0.5, 1.0, 2.5, nan, -1.0]),
)
messages = st.builds(
    lambda given, is_snapshot, last, span, way: PlainMessage(
        given,
        is_snapshot,
        last - span + 1 if way != "previous" and not is_snapshot else NO_SEQ,
        last,
        last - span if way != "first" and not is_snapshot else NO_SEQ,
    ),
    st.lists(levels, max_size=6),
    st.sampled_from([False, False, False, True]),
    st.integers(1, 12),
    st.integers(1, 3),
    st.sampled_from(["first", "previous", "both"]),
)


@budget(deadline=None)
@given(st.lists(messages, min_size=1, max_size=30), st.booleans())
def test_plain_and_compiled_books_show_the_same(given: list[PlainMessage], sequenced: bool) -> None:
    batch = _batch(given, sequenced=sequenced)
    plain = PlainBook(0.1, sequenced=sequenced)
    reader, shown = FlowReader(), Book("S", batch)
    for number, message in enumerate(messages_of(batch)):
        plain.apply(message)
        shown.advance(number + 1, 0)
        reader.on_book(shown)
        assert same(reader.seen[-1].values, plain.figures())


def _batch(given: list[PlainMessage], *, sequenced: bool) -> BookMessages:
    rows = [level for message in given for level in message.levels]
    side, price, size = np.array(rows).T if rows else np.empty((3, 0))
    return BookMessages(
        subject="S",
        tick=0.1,
        sequenced=sequenced,
        side=side.astype(np.int8),
        price=np.ascontiguousarray(price, np.float64),
        size=np.ascontiguousarray(size, np.float64),
        start=np.cumsum([0, *(len(message.levels) for message in given)]),
        ts=np.arange(len(given)),
        is_snapshot=np.array([message.is_snapshot for message in given], np.int8),
        first_seq=np.array([message.first for message in given], np.int64),
        last_seq=np.array([message.last for message in given], np.int64),
        prev_seq=np.array([message.previous for message in given], np.int64),
    )

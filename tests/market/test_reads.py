"""Which rows of a market a run takes: prices, and what the strategy reads."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from autohedge.config.sections import BarsSettings
from autohedge.core.errors import Misconfigured
from autohedge.market import Kind, Reads, Stream, Tape, read_by, tape_of
from autohedge.market.merge import merged_blocks
from autohedge.market.stream import prices_of
from tests.market.book_factory import batch, message
from tests.market.trade_factory import walk

S = 10**9
QUOTES = {"ts": [5, 10, 10, 20], "bid": [1.0, 2.0, 3.0, 4.0], "ask": [1.5, 2.5, 3.5, 4.5]}
TRADES = {"ts": [4, 10, 30], "price": [1.0, 2.0, 3.0], "size": [1.0, 1.0, 1.0], "side": [1, -1, 0]}
FUNDING = {"ts": [10], "rate": [0.0001]}
LIQUIDATIONS = {"ts": [10], "side": [1], "price": [2.0], "size": [3.0]}
BARS = {"ts": [10, 20], "open": [1, 2], "high": [3, 4], "low": [1, 1], "close": [2, 3], "volume": [5, 6]}
EVERYTHING = Reads(frozenset(Kind))


def stream(kind: Kind, columns: dict[str, Any], symbol: str = "A", interval_ns: int = 0) -> Stream:
    return Stream.of(symbol, columns, kind=kind, interval_ns=interval_ns)


def book(symbol: str = "A") -> Stream:
    messages = [
        message([("bid", 9.0, 1.0), ("ask", 11.0, 2.0)], is_snapshot=1),
        message([("bid", 10.0, 3.0)]),
        message([("ask", 9.5, 1.0)]),
    ]
    return Stream.of_book(symbol, batch(messages, 0.5))


def kinds_of(tape: Tape) -> list[str]:
    rows = tape.rows
    if rows.kinds is None:
        return [prices_of(tape.streams)[lane].kind.value for lane in rows.lane]
    return [tape.streams[source].kind.value for source in rows.kinds.source]


def test_rows_of_one_time_come_in_the_order_of_their_kinds() -> None:
    streams = [
        stream(Kind.QUOTES, QUOTES),
        stream(Kind.TRADES, TRADES),
        stream(Kind.FUNDING, FUNDING),
        stream(Kind.LIQUIDATIONS, LIQUIDATIONS),
        stream(Kind.BARS, BARS, interval_ns=10),
    ]
    tape = tape_of(streams, EVERYTHING)
    at_ten = [kind for kind, ts in zip(kinds_of(tape), tape.rows.ts, strict=True) if ts == 10]
    assert at_ten == ["bars", "funding", "liquidations", "trades", "quotes", "quotes"]
    assert tape.rows.row is not None
    assert [row for row, ts in zip(tape.rows.row, tape.rows.ts, strict=True) if ts == 10] == [
        0,
        0,
        0,
        1,
        1,
        2,
    ]


def test_only_quotes_of_a_mixed_tape_have_prices() -> None:
    tape = tape_of([stream(Kind.TRADES, TRADES), stream(Kind.QUOTES, QUOTES)], EVERYTHING)
    kinds = tape.rows.kinds
    assert kinds is not None
    assert kinds.priced.tolist() == [False, True, False, True, True, True, False]
    assert np.isnan(tape.rows.bid[~kinds.priced]).all()
    assert tape.rows.bid[kinds.priced].tolist() == QUOTES["bid"]


@pytest.mark.parametrize("reads", [Reads(), Reads(frozenset({Kind.QUOTES}))])
def test_what_a_strategy_does_not_read_is_not_among_the_rows(reads: Reads) -> None:
    alone = tape_of([stream(Kind.QUOTES, QUOTES)], reads)
    others = [stream(Kind.TRADES, TRADES), book(), stream(Kind.FUNDING, FUNDING)]
    tape = tape_of([*others, stream(Kind.QUOTES, QUOTES)], reads)
    assert tape.rows.kinds is None
    assert tape.rows.row is None
    assert tape.rows.block_hash(0, 4) == alone.rows.block_hash(0, 4)
    assert [origin.taken for origin in tape.origins] == [False, False, False, True]


def test_an_instrument_without_quotes_has_the_prices_of_its_book() -> None:
    tape = tape_of([book(), stream(Kind.BARS, BARS, interval_ns=10)])
    assert tape.rows.bid.tolist()[:2] == [9.0, 10.0]
    assert tape.rows.ask.tolist()[:2] == [11.0, 11.0]
    assert np.isnan(tape.rows.bid[2])  # crossed
    assert tape.origins[2].derived == {"from": "book"}


def test_best_prices_of_a_book_come_right_before_their_message() -> None:
    messages = batch([message([("bid", 9.0 + at, 1.0), ("ask", 20.0, 1.0)]) for at in range(4)])
    times = np.array([1, 1, 1, 2])
    same_time = Stream.of_book("A", replace(messages, ts=times))
    trades = stream(Kind.TRADES, {"ts": [1, 2], "price": [1, 1], "size": [1, 1]})
    for streams in ([same_time, trades], [trades, same_time]):
        tape = tape_of(streams, Reads(frozenset({Kind.BOOK, Kind.TRADES})))
        pair, last = ["quotes", "book"], ["trades"]
        assert kinds_of(tape) == [*pair, *pair, *pair, *last, *pair, *last]
        assert tape.rows.bid[::2][:3].tolist() == [9.0, 10.0, 11.0]


def test_an_instrument_without_quotes_and_book_is_priced_by_its_shortest_bars() -> None:
    longer = stream(Kind.BARS, BARS, interval_ns=20)
    shorter = stream(Kind.BARS, BARS | {"close": [1, 1]}, interval_ns=10)
    assert tape_of([longer, shorter]).rows.bid.tolist() == [1.0, 1.0]


def test_bars_of_two_lengths_are_two_streams_of_one_instrument() -> None:
    lengths = [stream(Kind.BARS, BARS, interval_ns=10), stream(Kind.BARS, BARS, interval_ns=20)]
    tape = tape_of([*lengths, stream(Kind.QUOTES, QUOTES)], Reads(frozenset({Kind.BARS})))
    assert kinds_of(tape).count("bars") == 4
    with pytest.raises(Misconfigured, match="A: two sources of"):
        tape_of([lengths[0], lengths[0], stream(Kind.QUOTES, QUOTES)])


def test_lanes_are_instruments_in_the_order_of_their_first_stream() -> None:
    streams = [stream(Kind.TRADES, TRADES, "B"), stream(Kind.QUOTES, QUOTES, "A")]
    tape = tape_of([*streams, stream(Kind.QUOTES, QUOTES, "B")], EVERYTHING)
    assert tape.symbols == ("B", "A")
    assert [each.symbol for each in prices_of(tape.streams)] == ["B", "A"]
    assert tape.rows.kinds is not None
    symbols = [tape.streams[source].symbol for source in tape.rows.kinds.source]
    assert [tape.symbols[lane] for lane in tape.rows.lane] == symbols


def test_another_strategy_takes_other_rows_of_the_same_tape() -> None:
    tape = tape_of([stream(Kind.TRADES, TRADES), stream(Kind.QUOTES, QUOTES)])
    assert read_by(tape, Reads(frozenset({Kind.QUOTES}))) is tape
    mixed = read_by(tape, EVERYTHING)
    assert len(mixed) == 7
    assert read_by(mixed, Reads()).rows.block_hash(0, 4) == tape.rows.block_hash(0, 4)


def bars_of(**changes: Any) -> Reads:
    return Reads(frozenset({Kind.BARS}), lambda _: BarsSettings(**changes))


def many_trades(rows: int = 500) -> Stream:
    return stream(Kind.TRADES, walk(rows))


def around(trades: Stream) -> Stream:
    ts = trades.columns["ts"][::3] + 1
    return stream(Kind.QUOTES, {"ts": ts, "bid": np.full(len(ts), 99.0), "ask": np.full(len(ts), 101.0)})


def test_a_bar_comes_before_every_row_at_or_after_its_end() -> None:
    trades = many_trades()
    tape = tape_of([trades, around(trades)], bars_of(every="1m"))
    assert tape.rows.kinds is not None
    closes = np.flatnonzero(tape.rows.kinds.close > 0)
    assert len(closes)
    for row in closes:
        assert (tape.rows.ts[:row] < tape.rows.ts[row]).all()
        assert tape.rows.ts[row] % (60 * S) == 0


@pytest.mark.parametrize("skip", [True, False])
def test_a_bar_without_its_beginning_is_read_only_if_it_is_wanted(skip: bool) -> None:
    trades = many_trades()
    tape = tape_of([trades, around(trades)], bars_of(every="1m", skip_partial=skip))
    bars = next(each for each in tape.streams if each.kind is Kind.BARS)
    assert bars.columns["partial"][0] == 1
    assert tape.rows.kinds is not None
    assert (tape.rows.kinds.close > 0).sum() == len(bars) - skip


def test_recorded_bars_of_the_wanted_length_are_used() -> None:
    trades = many_trades()
    made = tape_of([trades, around(trades)], bars_of(every="1m"))
    bars = next(each for each in made.streams if each.kind is Kind.BARS)
    recorded = stream(Kind.BARS, dict(bars.columns), interval_ns=60 * S)
    given_bars = tape_of([trades, around(trades), recorded], bars_of(every="1m"))
    assert all(each.origin.derived is None for each in given_bars.streams)
    count = len(made)
    assert given_bars.rows.block_hash(0, count) == made.rows.block_hash(0, count)


@pytest.mark.parametrize("source", ["auto", "trades"])
@pytest.mark.parametrize(("every", "interval_ns"), [("1m", 60 * S), ("50 ticks", 0)])
def test_recorded_bars_are_not_read_beside_made_ones_of_their_length(
    every: str, interval_ns: int, source: str
) -> None:
    trades = many_trades()
    wanted = bars_of(every=every, source=source)
    made = tape_of([trades, around(trades)], wanted)
    bars = next(each for each in made.streams if each.kind is Kind.BARS)
    recorded = stream(Kind.BARS, dict(bars.columns), interval_ns=interval_ns)
    both = tape_of([trades, around(trades), recorded], wanted)
    assert [each.kind for each in both.streams if each.origin.read] == [Kind.BARS]
    assert len(both) == len(made)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"every": "7x"}, "7x is not an interval"),
        ({"every": "1m", "source": "bars"}, "bars.source bars: the tape of A has no bars"),
        ({"every": "1d", "session": "09:30-16:00 America/New_York"}, "longer than a session"),
        ({"every": "1m", "session": "09:30-16:00 America/Nowhere"}, "America/Nowhere"),
        ({"every": "25 volume", "source": "quotes"}, "cannot be made of quotes"),
        ({"every": "1w"}, "no bar of 1w is finished"),
    ],
)
def test_bars_that_cannot_be_made_are_refused(changes: dict[str, Any], message: str) -> None:
    trades = many_trades()
    with pytest.raises(Misconfigured, match=message):
        tape_of([trades, around(trades)], bars_of(**changes))


@budget(max_examples=30, deadline=None)
@given(
    times=st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=12), min_size=2, max_size=4),
    block_rows=st.integers(1, 9),
)
def test_blocks_of_any_size_have_the_rows_in_one_order(times: list[list[int]], block_rows: int) -> None:
    kinds = [Kind.QUOTES, Kind.TRADES, Kind.FUNDING, Kind.LIQUIDATIONS]
    streams = []
    for kind, ts in zip(kinds, times, strict=False):
        ones = np.ones(len(ts))
        columns = {
            "ts": sorted(ts),
            "bid": ones,
            "ask": ones,
            "price": ones,
            "size": ones,
            "side": ones,
            "rate": ones,
        }
        streams.append(stream(kind, columns))
    tape = tape_of(streams, EVERYTHING)
    blocks = list(merged_blocks(tape.streams, block_rows))
    assert tape.rows.kinds is not None
    assert np.concatenate([each["source"] for each in blocks]).tolist() == tape.rows.kinds.source.tolist()
    expected = sorted(
        (ts, list(Kind).index(kind), row)
        for kind, given_times in zip(kinds, times, strict=False)
        for row, ts in enumerate(sorted(given_times))
    )
    assert tape.rows.row is not None
    found = zip(tape.rows.ts.tolist(), kinds_of(tape), tape.rows.row.tolist(), strict=True)
    assert [(ts, list(Kind).index(Kind(kind)), row) for ts, kind, row in found] == expected


def test_a_window_has_the_rows_of_its_time_and_the_book_before_it() -> None:
    trades = stream(Kind.TRADES, TRADES)
    tape = tape_of([trades, book(), stream(Kind.QUOTES, QUOTES)], EVERYTHING)
    window = tape.between(2, 11)
    whole = [
        (ts, kind) for ts, kind in zip(tape.rows.ts.tolist(), kinds_of(tape), strict=True) if 2 <= ts < 11
    ]
    assert list(zip(window.rows.ts.tolist(), kinds_of(window), strict=True)) == whole
    messages = next(each for each in window.streams if each.kind is Kind.BOOK)
    assert messages.first_message == 1
    assert messages.messages is not None
    assert len(messages.messages) == 3

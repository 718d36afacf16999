"""The order of merged rows: by time, stream, row."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autohedge.config.sections import BarsSettings
from autohedge.market import Kind, Reads, Stream, tape_of
from autohedge.market.merge import merged_blocks
from autohedge.market.reads import cached_tape_of
from autohedge.market.rows import ROW_COLUMNS

# Few distinct times, so that ties within and between streams are common.
times = st.lists(st.integers(0, 12), min_size=1, max_size=30).map(sorted)
markets = st.lists(times, min_size=2, max_size=4)


def streams_of(market: list[list[int]]) -> list[Stream]:
    return [
        Stream.of(
            f"S{lane}",
            {
                "ts": ts,
                "bid": 1000.0 * lane + np.arange(len(ts)),
                "ask": 1000.0 * lane + np.arange(len(ts)) + 1,
                "bid_size": np.arange(len(ts)),
            },
        )
        for lane, ts in enumerate(market)
    ]


def expected(market: list[list[int]]) -> list[tuple[int, int, int]]:
    return sorted((t, lane, row) for lane, ts in enumerate(market) for row, t in enumerate(ts))


@given(market=markets)
def test_merging_sorts_by_time_stream_and_row(market: list[list[int]]) -> None:
    rows = tape_of(streams_of(market)).rows
    assert rows.row is not None
    assert list(zip(rows.ts, rows.lane, rows.row, strict=True)) == expected(market)


@given(market=markets)
def test_merged_values_are_those_of_the_row_they_came_from(market: list[list[int]]) -> None:
    rows = tape_of(streams_of(market)).rows
    assert rows.row is not None
    assert np.array_equal(rows.bid, 1000.0 * rows.lane + rows.row)
    assert np.array_equal(rows.ask, rows.bid + 1)
    assert np.array_equal(rows.bid_size, rows.row)
    assert not rows.ask_size.any()


@given(market=markets, block_rows=st.integers(1, 40))
def test_block_size_does_not_change_merged_order(market: list[list[int]], block_rows: int) -> None:
    blocks = list(merged_blocks(streams_of(market), block_rows))
    order = [key for block in blocks for key in zip(block["ts"], block["lane"], block["row"], strict=True)]
    assert order == expected(market)


@given(step=st.integers(1, 5))
def test_blocks_are_bounded_where_times_differ(step: int) -> None:
    market = [list(range(0, 60, 2)), list(range(1, 61, 3))]
    sizes = [len(block["ts"]) for block in merged_blocks(streams_of(market), 2 * step)]
    assert max(sizes) <= 2 * step


def test_one_stream_is_not_copied() -> None:
    stream = streams_of([[1, 2, 3]])[0]
    rows = tape_of([stream]).rows
    assert rows.row is None
    assert np.shares_memory(rows.bid, stream.columns["bid"])


def test_merging_in_the_cache_equals_merging_in_memory() -> None:
    streams = streams_of([[1, 1, 4], [0, 1, 9], [1]])
    in_memory, cached = tape_of(streams).rows, cached_tape_of(streams).rows
    for name in (*ROW_COLUMNS, "row"):
        column = getattr(cached, name)
        assert np.array_equal(column, getattr(in_memory, name))
        assert column.dtype == getattr(in_memory, name).dtype
        assert not column.flags.writeable


def test_the_order_of_the_streams_is_the_order_of_the_lanes() -> None:
    first, second = streams_of([[5], [5]])
    assert tape_of([second, first]).symbols == ("S1", "S0")
    assert list(tape_of([second, first]).rows.bid) == [1000.0, 0.0]
    assert list(cached_tape_of([second, first]).rows.bid) == [1000.0, 0.0]
    assert list(cached_tape_of([first, second]).rows.bid) == [0.0, 1000.0]


@pytest.mark.parametrize("source", ["quotes", "trades"])
def test_a_bar_of_ticks_comes_after_all_rows_of_its_last_time(source: str) -> None:
    times = [1, 2, 2, 2, 3, 3]
    quotes = Stream.of("S", {"ts": times, "bid": [9.0] * 6, "ask": [9.5] * 6})
    trades = Stream.of("S", {"ts": times, "price": [9.2] * 6, "size": [1.0] * 6}, kind=Kind.TRADES)
    bars = BarsSettings(every="3 ticks", source=source)
    tape = tape_of([quotes, trades], Reads(frozenset({Kind.BARS, Kind.TRADES}), lambda _: bars))
    assert tape.rows.kinds is not None
    order = [
        (int(ts), tape.streams[at].kind) for ts, at in zip(tape.rows.ts, tape.rows.kinds.source, strict=True)
    ]
    for ts in (2, 3):
        last = [kind for at, kind in order if at == ts]
        assert last == [Kind.TRADES] * times.count(ts) + [Kind.QUOTES] * times.count(ts) + [Kind.BARS]

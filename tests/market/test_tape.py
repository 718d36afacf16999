"""Rows and streams in memory."""

from dataclasses import asdict
from typing import Any

import msgspec
import numpy as np
import pytest

from autohedge.core.errors import Misconfigured
from autohedge.market import Kind, Origin, Rows, Stream, tape_of


def test_rows_are_typed_contiguous_and_read_only() -> None:
    rows = Rows.of([1, 2, 2], [1, 2, 3], [2, 3, 4])
    assert len(rows) == 3
    assert rows.row is None
    for name, dtype in (("ts", "int64"), ("lane", "int32"), ("bid", "float64"), ("ask_size", "f8")):
        column = getattr(rows, name)
        assert type(column) is np.ndarray
        assert column.dtype == dtype
        assert column.flags.c_contiguous
        assert not column.flags.writeable


def test_the_callers_arrays_stay_writeable() -> None:
    bid = np.array([1.0, 2.0])
    rows = Rows.of([1, 2], bid, [2, 3])
    bid[0] = 7
    assert rows.bid[0] == 7


def test_missing_lanes_and_sizes_are_zero() -> None:
    rows = Rows.of([1], [1], [2])
    assert (rows.lane[0], rows.bid_size[0], rows.ask_size[0]) == (0, 0, 0)


def test_rows_may_be_empty() -> None:
    assert len(Rows.of([], [], [], [])) == 0


@pytest.mark.parametrize(
    "columns",
    [
        {"ts": [1, 2], "bid": [1], "ask": [1, 2]},
        {"ts": [2, 1], "bid": [1, 2], "ask": [1, 2]},
        {"ts": [1, 2], "bid": [1, 2], "ask": [1, 2], "lane": [0, 1]},
        {"ts": [1, 2], "bid": [1, 2], "ask": [1, 2], "lane": [-1, 0]},
        {"ts": [1, 2], "bid": [1, 2], "ask": [1, 2], "sizes": ([[1, 2]], None)},
    ],
)
def test_rows_that_do_not_fit_together_are_refused(columns: dict[str, Any]) -> None:
    with pytest.raises(Misconfigured):
        Rows.of(**columns)


@pytest.mark.parametrize(
    "columns",
    [
        {"ts": [], "bid": [], "ask": []},
        {"ts": [1], "bid": [1]},
        {"ts": [2, 1], "bid": [1, 1], "ask": [2, 2]},
    ],
)
def test_stream_with_invalid_columns_is_refused(columns: dict[str, list[float]]) -> None:
    with pytest.raises(Misconfigured):
        Stream.of("BTC", columns)


@pytest.mark.parametrize("kind", [Kind.TRADES, Kind.FUNDING, Kind.LIQUIDATIONS])
def test_an_instrument_without_prices_is_refused(kind: Kind) -> None:
    columns = {"ts": [1], "price": [1], "size": [1], "side": [1], "rate": [1]}
    with pytest.raises(Misconfigured, match="no prices for BTC: add quotes, l2 or bars"):
        tape_of([Stream.of("BTC", columns, kind=kind)])


def test_a_bar_quotes_its_close_and_volume() -> None:
    columns = {"ts": [1], "open": [1], "high": [4], "low": [1], "close": [3], "volume": [9]}
    rows = tape_of([Stream.of("A", columns, kind=Kind.BARS)]).rows
    assert (rows.bid[0], rows.ask[0], rows.bid_size[0], rows.ask_size[0]) == (3, 3, 9, 9)


def test_two_streams_for_one_symbol_are_refused() -> None:
    stream = Stream.of("BTC", {"ts": [1], "bid": [1], "ask": [2]})
    with pytest.raises(Misconfigured, match="BTC: two sources"):
        tape_of([stream, stream])


def test_a_tape_without_streams_is_refused() -> None:
    with pytest.raises(Misconfigured):
        tape_of([])


def test_an_origin_survives_json() -> None:
    origin = Origin("BTC", Kind.QUOTES, 3, "ab", recipe={"symbols": ["BTC"], "hours": 1.5})
    written = msgspec.json.encode(asdict(origin))
    assert msgspec.convert(msgspec.json.decode(written), Origin) == origin
    assert Origin(**msgspec.json.decode(written)) == origin


def test_streams_with_equal_columns_have_equal_hashes() -> None:
    columns = {"ts": [1], "bid": [1], "ask": [2]}
    other = {"ts": [1], "bid": [1], "ask": [3]}
    assert Stream.of("A", columns).origin.content_hash == Stream.of("B", columns).origin.content_hash
    assert Stream.of("A", columns).origin.content_hash != Stream.of("A", other).origin.content_hash

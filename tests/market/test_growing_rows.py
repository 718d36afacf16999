"""Rows that are appended in memory come to a reader as those of a live store do."""

import numpy as np
import pytest

from autohedge.core.errors import Misconfigured
from autohedge.market import GrowingRows, Kind, Reads, Stream, tape_of
from autohedge.market.rows import ROW_COLUMNS
from tests.market.store_factory import part, rows_at

TIMES = (1, 2, 2, 5, 7)


def test_appended_rows_are_seen_from_the_next_refresh_on() -> None:
    market = GrowingRows()
    market.append(rows_at(1, 2))
    market.close()
    assert (len(market.rows), market.closed) == (0, False)
    market.refresh()
    assert (market.rows.ts.tolist(), market.closed) == ([1, 2], True)


@pytest.mark.parametrize("room", [1, 3, 100])
def test_batches_give_the_columns_and_hashes_of_the_whole(room: int) -> None:
    whole, market = rows_at(*TIMES), GrowingRows(room)
    for start in range(0, len(whole), 2):
        market.append(part(whole, start, min(start + 2, len(whole))))
        market.refresh()
    for name in ROW_COLUMNS:
        assert np.array_equal(getattr(market.rows, name), getattr(whole, name))
    assert market.block_hash(1, 4) == whole.block_hash(1, 4)


def test_batches_of_several_kinds_give_the_columns_and_hashes_of_the_whole() -> None:
    quotes = Stream.of("S", {"ts": TIMES, "bid": [9.0] * 5, "ask": [9.5] * 5})
    trades = Stream.of("S", {"ts": TIMES, "price": [9.2] * 5, "size": [1.0] * 5}, kind=Kind.TRADES)
    whole = tape_of([quotes, trades], Reads(frozenset({Kind.TRADES}))).rows
    market = GrowingRows(3, mixed=True)
    for start in range(0, len(whole), 4):
        end = min(start + 4, len(whole))
        market.append(whole.window(slice(start, end), whole.row[start:end]))  # type: ignore[index]
        market.refresh()
    for name, column in whole.columns().items():
        assert np.array_equal(market.rows.columns()[name], column, equal_nan=name != "priced")
    assert np.array_equal(market.rows.row, whole.row)  # type: ignore[arg-type]
    assert market.block_hash(2, 9) == whole.block_hash(2, 9)


def test_rows_that_a_reader_has_stay_as_they_are_and_are_read_only() -> None:
    market = GrowingRows(2)
    market.append(rows_at(1, 2))
    market.refresh()
    before = market.rows
    market.append(rows_at(3, 4))
    market.refresh()
    assert before.ts.tolist() == [1, 2]
    assert not any(getattr(market.rows, name).flags.writeable for name in ROW_COLUMNS)


def test_rows_that_go_back_in_time_are_refused_and_none_is_added() -> None:
    market = GrowingRows()
    market.append(rows_at(5))
    for late in (rows_at(4), part(rows_at(5, 7, 9), 0, 3)):
        late.ts.flags.writeable = True
        late.ts[-1] = 4
        with pytest.raises(Misconfigured, match="go back in time"):
            market.append(late)
    market.refresh()
    assert market.rows.ts.tolist() == [5]


def test_rows_after_the_close_are_refused() -> None:
    market = GrowingRows()
    market.close()
    with pytest.raises(Misconfigured, match="the market is closed"):
        market.append(rows_at(1))

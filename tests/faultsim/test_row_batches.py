"""The rows of a history are written in batches that end anywhere, and alike on a tape."""

import numpy as np
import pytest

from autohedge.faultsim.row_batches import LARGEST_BATCH, RowBatches
from autohedge.market import Rows


def _rows() -> Rows:
    times = np.repeat(np.arange(1, 501) * 10, 2)
    return Rows.of(times, times + 0.5, times + 1.5, np.arange(1_000) % 2, lanes=2)


def _ends(batches: RowBatches) -> list[int]:
    ends = []
    while not batches.reach(10**9):
        batches.write()
        ends.append(batches.written)
    return ends


def test_batches_cover_the_rows_and_some_end_between_rows_of_one_time() -> None:
    rows = _rows()
    ends = _ends(RowBatches(rows, "n", growing=True))
    sizes = np.diff([0, *ends])
    assert ends[-1] == len(rows) and 1 <= sizes.min() <= sizes.max() <= LARGEST_BATCH
    assert {rows.next_ts(end) == rows.next_ts(end - 1) for end in ends[:-1]} == {True, False}


def test_batches_are_the_same_on_a_growing_market_and_on_a_tape() -> None:
    rows = _rows()
    ends = _ends(RowBatches(rows, "n", growing=True))
    assert _ends(RowBatches(rows, "n", growing=False)) == ends != _ends(RowBatches(rows, "m", growing=False))


@pytest.mark.parametrize("cut", [150, 390, 401, 626, 1_000])
def test_batches_before_a_cut_are_those_of_the_whole_tape(cut: int) -> None:
    times = np.arange(1, 1_001) * 10
    times[200::200] = times[199:-1:200]  # repeats are so rare that a batch jumps over a cut to the next one
    whole, short = (Rows.of(at, at + 0.5, at + 1.5) for at in (times, times[:cut]))
    for nonce in "abcdefgh":
        ends = _ends(RowBatches(whole, nonce, growing=False))
        cut_ends = _ends(RowBatches(short, nonce, growing=True, whole=whole))
        assert cut_ends == [*(end for end in ends if end < cut), cut]


def test_only_written_rows_are_there_and_all_are_on_a_tape() -> None:
    rows = _rows()
    growing, whole = RowBatches(rows, "n", growing=True), RowBatches(rows, "n", growing=False)
    for batches in (growing, whole):
        batches.write_until(2_000)
        batches.market.refresh()
    assert growing.written == len(growing.market.rows) < len(rows) == len(whole.market.rows)
    assert growing.last_ns > 2_000 and not growing.market.closed
    growing.write_until(10**9)
    growing.market.refresh()
    assert growing.market.closed and np.array_equal(growing.market.rows.bid, rows.bid)

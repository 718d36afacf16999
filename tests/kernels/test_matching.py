"""Tape queries against plain loops."""

import math
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from autohedge.kernels.matching import first_touch, last_valid
from tests.kernels.quote_factory import Quote, columns, quotes


def _valid(row: Quote, lane: int) -> bool:
    finite = math.isfinite(row.bid) and math.isfinite(row.ask)
    return row.lane == lane and finite and 0 < row.bid <= row.ask


@budget(max_examples=40, deadline=None)
@given(quotes(lanes=2, most=25))
def test_last_valid_is_latest_valid_quote_before_the_end(rows: list[Quote]) -> None:
    lane_of, _, bid, ask, *_ = columns(rows)
    for lane in (0, 1):
        for start in range(len(rows) + 1):
            for end in range(start, len(rows) + 1):
                found = [i for i in range(start, end) if _valid(rows[i], lane)]
                assert last_valid(lane_of, bid, ask, start, end, lane) == (found[-1] if found else -1)


@budget(max_examples=40, deadline=None)
@given(quotes(lanes=2, most=25), st.integers(9_900, 10_100).map(lambda cents: cents / 100))
def test_first_touch_is_first_quote_that_meets_the_limit(rows: list[Quote], limit: float) -> None:
    lane_of, _, bid, ask, *_ = columns(rows)
    for lane in (0, 1):
        for start in range(len(rows) + 1):
            for end in range(start, len(rows) + 1):
                valid = [(i, rows[i]) for i in range(start, end) if _valid(rows[i], lane)]
                buys = [i for i, row in valid if row.ask <= limit]
                sells = [i for i, row in valid if row.bid >= limit]
                assert first_touch(lane_of, bid, ask, start, end, lane, 1, limit) == min(buys, default=end)
                assert first_touch(lane_of, bid, ask, start, end, lane, -1, limit) == min(sells, default=end)


def _touch(rows: Sequence[Quote], side: int, limit: float) -> int:
    lane_of, _, bid, ask, *_ = columns(rows)
    return first_touch(lane_of, bid, ask, 0, len(rows), 0, side, limit)


@pytest.mark.parametrize(("side", "limit", "row"), [(1, 10.5, 0), (1, 10.4, 1), (-1, 10.0, 0), (-1, 11.0, 2)])
def test_a_limit_that_equals_the_price_is_touched(side: int, limit: float, row: int) -> None:
    prices = [(10.0, 10.5), (10.0, 10.4), (11.0, 11.5)]
    assert _touch([Quote(0, 0, bid, ask, 0, 0) for bid, ask in prices], side, limit) == row

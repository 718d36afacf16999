"""The market view: the last valid quote of a lane, which an invalid one does not replace."""

import math

import pytest

from autohedge.core.money import ZERO
from autohedge.execution.market_view import SHOWN_ROWS, MarketView
from autohedge.kernels.state import new_states, state_dtype
from autohedge.market import Rows
from tests.run_harness import columns_tape

NAN = math.nan


@pytest.fixture
def market() -> MarketView:
    """Two lanes: A has valid quotes at 1 and 3 and an invalid one at 5, B has no valid quote."""
    rows = columns_tape(
        {
            "A": {"ts": [1, 3, 5], "bid": [9.0, 10.0, NAN], "ask": [9.1, 10.1, 10.0]},
            "B": {"ts": [2, 4], "bid": [5.0, NAN], "ask": [4.0, 5.0]},
        }
    ).rows
    view = MarketView(new_states(state_dtype([]), 2))
    view.advance(rows, 0, len(rows))
    return view


def test_last_quote_is_the_last_valid_one(market: MarketView) -> None:
    assert market.last_quote_ns(0) == 3
    assert [quote.ts_ns for quote in market.recent_quotes(0)] == [1, 3]


def test_lane_without_a_valid_quote_counts_as_stale(market: MarketView) -> None:
    assert market.last_quote_ns(1) == 0
    assert market.recent_quotes(1) == ()
    assert (market.mark(1), market.spread_bps(1)) == (ZERO, math.inf)


def test_before_the_first_batch_there_is_no_quote() -> None:
    view = MarketView(new_states(state_dtype([]), 1))
    assert (view.last_quote_ns(0), view.recent_quotes(0)) == (0, ())


def test_only_rows_that_were_taken_are_seen() -> None:
    count = SHOWN_ROWS + 10
    rows = columns_tape({"A": {"ts": range(count), "bid": [9.0] * count, "ask": [9.1] * count}}).rows
    view = MarketView(new_states(state_dtype([]), 1))
    view.advance(rows, 0, count - 1)
    assert [quote.ts_ns for quote in view.recent_quotes(0)] == list(range(9, count - 1))


@pytest.mark.parametrize("size", [1, 2, 6])
def test_last_quote_times_do_not_depend_on_the_batches(size: int) -> None:
    streams: dict[str, dict[str, list[float]]] = {
        "A": {"ts": [1000, 3000, 5000], "bid": [9.0] * 3, "ask": [9.1] * 3},
        "B": {"ts": [2000, 4000, 6000], "bid": [5.0] * 3, "ask": [5.1] * 3},
    }
    rows = columns_tape(streams).rows
    view = MarketView(new_states(state_dtype([]), 2))
    for start in range(0, len(rows), size):
        end = start + size
        part = Rows.of(
            rows.ts[start:end], rows.bid[start:end], rows.ask[start:end], rows.lane[start:end], lanes=2
        )
        view.advance(part, 0, size)
    assert [view.last_quote_ns(lane) for lane in (0, 1)] == [5000, 6000]

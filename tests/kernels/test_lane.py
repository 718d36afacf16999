"""What all lanes share: how they begin, one guarded quote, and the worth of what is held."""

import numpy as np
import pytest

from autohedge.core.reasons import Reason
from autohedge.kernels.lane import EXITING, OPEN, guard_one, lane_dtype, marked, new_lanes
from tests.kernels.quotes import INF, NAN


def test_a_new_lane_is_flat_and_no_price_stops_it() -> None:
    lanes = new_lanes(lane_dtype([("own", "f8")]), 2)
    assert guard_one(lanes, 1, 1e-300, 1e300) < 0
    assert lanes["counts"].sum() == 0 and (lanes["status"] == 0).all()
    assert np.isnan(lanes[0]["bid"]) and lanes[1]["bid"] == 1e-300


@pytest.mark.parametrize(
    ("bid", "ask"),
    [
        (NAN, 1.0),
        (1.0, NAN),
        (0.0, 1.0),
        (-1.0, 1.0),
        (1.0, 0.9),
        (1.0, INF),
        (INF, INF),
        (-INF, 1.0),
        (0.0, 0.0),
    ],
)
def test_a_bad_quote_is_counted_and_changes_nothing_else(bid: float, ask: float) -> None:
    lanes = new_lanes(lane_dtype([]), 1)
    assert guard_one(lanes, 0, bid, ask) == Reason.BAD_QUOTE
    assert lanes[0]["counts"].tolist() == [1] + [0] * (len(Reason) - 1)
    assert np.isnan(lanes[0]["bid"]) and np.isnan(lanes[0]["ask"])


@pytest.mark.parametrize(
    ("status", "take_profit", "stop_loss", "code"),
    [
        (OPEN, 10.0, 5.0, Reason.TAKE_PROFIT),
        (OPEN, 11.0, 10.0, Reason.STOP_LOSS),
        (EXITING, -INF, -INF, Reason.EXIT_PENDING),
    ],
)
def test_an_exit_comes_before_any_strategy(
    status: int, take_profit: float, stop_loss: float, code: Reason
) -> None:
    lanes = new_lanes(lane_dtype([]), 1)
    lanes["status"], lanes["take_profit"], lanes["stop_loss"] = status, take_profit, stop_loss
    assert guard_one(lanes, 0, 10.0, 10.0) == code
    counted = code is Reason.EXIT_PENDING
    assert lanes[0]["counts"][code] == counted
    assert counted or lanes[0]["stop"] == code


def test_holdings_are_worth_their_last_bids_and_empty_lanes_nothing() -> None:
    lanes = new_lanes(lane_dtype([]), 3)
    lanes["bid"] = [10.0, NAN, 0.5]
    assert marked(lanes, np.array([2.0, 0.0, 3.0])) == 21.5
    assert marked(lanes, np.zeros(3)) == 0.0

"""The shared kernel state: initial values, quote checks, the trailing stop, position values."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from autohedge.core.reasons import Reason
from autohedge.kernels import momentum
from autohedge.kernels.state import (
    BOTH,
    EXITING,
    OPEN,
    KernelStates,
    check_one,
    net_and_gross,
    new_states,
    state_dtype,
)
from tests.kernels.quote_factory import INF, NAN, Quote, scanned, trailed

NONE = "none"


def test_a_new_lane_is_flat_and_no_price_stops_it() -> None:
    lanes = new_states(state_dtype([("own", "f8")]), 2)
    assert check_one(lanes, 1, 1e-300, 1e300) < 0
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
def test_bad_quote_is_counted_and_leaves_prices_unset(bid: float, ask: float) -> None:
    lanes = new_states(state_dtype([]), 1)
    assert check_one(lanes, 0, bid, ask) == Reason.BAD_QUOTE
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
    lanes = new_states(state_dtype([]), 1)
    lanes["status"], lanes["take_profit"], lanes["stop_loss"] = status, take_profit, stop_loss
    assert check_one(lanes, 0, 10.0, 10.0) == code
    counted = code is Reason.EXIT_PENDING
    assert lanes[0]["counts"][code] == counted
    assert counted or lanes[0]["stop"] == code


def _open(
    trail_from: float = 128.0, trail_keep: float = 0.75, take_profit: float = INF, stop_loss: float = -INF
) -> KernelStates:
    lanes = new_states(state_dtype([]), 1)
    lanes["status"], lanes["take_profit"], lanes["stop_loss"] = OPEN, take_profit, stop_loss
    lanes["trail_from"], lanes["trail_keep"] = trail_from, trail_keep
    return lanes


def _exit_codes(lanes: KernelStates, bids: Sequence[float]) -> list[str]:
    """Returns the code of each bid, without acting on it."""
    codes = [check_one(lanes, 0, bid, bid) for bid in bids]
    return [NONE if code < 0 else Reason(code).label for code in codes]


@pytest.mark.parametrize(
    ("bids", "last"),
    [
        ([127.99, 1.0, 127.99, 90.0], NONE),
        ([128.0], NONE),
        ([128.0, 96.01], NONE),
        ([128.0, 96.0], "trailing_stop"),
        ([100.0, 140.0, 105.0], "trailing_stop"),
        ([128.0, 160.0, 120.01], NONE),
        ([128.0, 160.0, 120.0], "trailing_stop"),
        ([160.0, 130.0, 150.0, 121.0, 120.0], "trailing_stop"),
        ([160.0, 1.0], "trailing_stop"),
        ([160.0, NAN, INF, 121.0], NONE),
    ],
)
def test_trailing_stop_after_activation_follows_highest_bid(bids: list[float], last: str) -> None:
    codes = _exit_codes(_open(), bids)
    assert codes[-1] == last
    assert set(codes[:-1]) <= {NONE, "bad_quote"}


def test_a_trail_at_infinity_is_never_met() -> None:
    assert set(_exit_codes(_open(trail_from=INF), [1.0, 1e300, 1e-300])) == {NONE}


@pytest.mark.parametrize(
    ("take_profit", "stop_loss", "bids", "codes"),
    [
        (120.0, 90.0, [119.0, 120.0], [NONE, "take_profit"]),
        (120.0, 90.0, [130.0], ["take_profit"]),
        (200.0, 90.0, [128.0, 96.0], [NONE, "trailing_stop"]),
        (200.0, 90.0, [128.0, 200.0], [NONE, "take_profit"]),
        (200.0, 90.0, [100.0, 90.0], [NONE, "stop_loss"]),
        (200.0, 100.0, [128.0, 96.0], [NONE, "stop_loss"]),
    ],
)
def test_exit_levels_first_one_met_by_a_bid_decides(
    take_profit: float, stop_loss: float, bids: list[float], codes: list[str]
) -> None:
    assert _exit_codes(_open(take_profit=take_profit, stop_loss=stop_loss), bids) == codes


def test_trailing_stop_pauses_during_pending_exit_and_then_resumes() -> None:
    lanes = _open()
    assert _exit_codes(lanes, [160.0, 120.0]) == [NONE, "trailing_stop"]
    lanes["status"], lanes["take_profit"] = EXITING, -INF
    assert _exit_codes(lanes, [300.0, 120.0]) == ["exit_pending", "exit_pending"]
    lanes["status"], lanes["take_profit"] = OPEN, INF
    assert _exit_codes(lanes, [120.01, 120.0]) == [NONE, "trailing_stop"]


def test_exit_code_of_a_short_mirrors_that_of_a_long_on_the_reflected_quotes() -> None:
    long, short = _open(120.0, 0.75, 130.0, 80.0), _open(-120.0, 1.25, -110.0, -160.0)
    short["short"] = 1
    quotes = [(119.0, 121.0), (125.0, 126.0), (100.0, 104.0), (93.75, 94.0), (130.0, 131.0), (80.0, 82.0)]
    codes = [check_one(long, 0, bid, ask) for bid, ask in quotes]
    # The trails are shares of different prices, so only its begin and the levels are reflected: ask = 240 - bid.
    reflected = [check_one(short, 0, 240.0 - ask, 240.0 - bid) for bid, ask in quotes]
    assert [Reason(code).label for code in codes[-2:]] == ["take_profit", "stop_loss"]
    assert reflected[-2:] == codes[-2:] and reflected[:2] == codes[:2] == [-1, -1]


def test_trailing_stop_of_a_short_follows_its_lowest_ask() -> None:
    lanes = _open(trail_from=-96.0, trail_keep=1.25)
    lanes["short"] = 1
    codes = [check_one(lanes, 0, ask / 2.0, ask) for ask in (100.0, 96.0, 80.0, 99.99, 100.0)]
    assert codes == [-1, -1, -1, -1, Reason.TRAILING_STOP]
    assert lanes[0]["highest"] == -80.0


_PRICES = st.integers(90, 110).map(float)


@budget(max_examples=200, deadline=None)
@given(
    st.lists(_PRICES, min_size=1, max_size=60),
    st.tuples(st.one_of(_PRICES, st.just(INF)), st.sampled_from([0.9, 0.95, 0.99, 100 / 101])),
    st.one_of(_PRICES, st.just(INF)),
    st.one_of(_PRICES, st.just(-INF)),
)
def test_trailing_stop_matches_rule_over_all_bids(
    bids: list[float], trail: tuple[float, float], take_profit: float, stop_loss: float
) -> None:
    expected, watched = [], []
    for bid in bids:
        if bid >= take_profit:
            expected.append("take_profit")
        elif bid <= stop_loss:
            expected.append("stop_loss")
        else:
            watched.append(bid)
            expected.append("trailing_stop" if trailed(watched, trail) else NONE)
    assert _exit_codes(_open(*trail, take_profit, stop_loss), bids) == expected


def walked() -> str:
    """Scans a seeded walk with a trailing stop; returns where it stops and the bytes of the final state."""
    lanes = new_states(momentum.DTYPE, 1)
    lanes["evaluate_every_quotes"], lanes["lookback"], lanes["min_edge_bps"] = 1, 1, INF
    lanes["status"], lanes["trail_from"], lanes["trail_keep"] = OPEN, 101.0, 0.99
    lanes["direction"] = BOTH
    walk = 100.0 * np.exp(np.cumsum(np.random.default_rng(3).normal(0, 0.003, 300)))
    rows = [Quote(0, i, float(mid), float(mid), 1.0, 1.0) for i, mid in enumerate(walk)]
    return f"{scanned(lanes, momentum.scan, rows, [])} {lanes.tobytes().hex()}"


def test_net_and_gross_value_longs_at_the_bid_and_shorts_at_the_ask() -> None:
    lanes = new_states(state_dtype([]), 3)
    lanes["bid"] = [10.0, NAN, 0.5]
    lanes["ask"] = [11.0, NAN, 0.75]
    assert net_and_gross(lanes, np.array([2.0, 0.0, 3.0])) == (21.5, 21.5)
    assert net_and_gross(lanes, np.array([2.0, 0.0, -4.0])) == (17.0, 23.0)
    assert net_and_gross(lanes, np.zeros(3)) == (0.0, 0.0)

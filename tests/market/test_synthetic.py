"""The synthetic market: repeatable, plausible, and active enough to trade."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autohedge.core.errors import Misconfigured
from autohedge.core.units import NS_PER_DAY
from autohedge.market import SyntheticSpec, synthesize
from autohedge.market.columns import Column, hash_columns
from autohedge.market.synthetic import START_NS, quotes


@pytest.fixture(scope="module")
def day() -> dict[str, Column]:
    return quotes(SyntheticSpec(), "BTC/USD")


def good(columns: dict[str, Column]) -> Column:
    return (columns["bid"] > 0) & (columns["ask"] > columns["bid"])


def test_same_spec_gives_the_same_quotes() -> None:
    spec = SyntheticSpec(hours=0.1)
    assert hash_columns(quotes(spec, "BTC/USD")) == hash_columns(quotes(spec, "BTC/USD"))


def test_seed_and_symbol_give_other_quotes() -> None:
    bids = [
        quotes(SyntheticSpec(hours=0.1, seed=seed), symbol)["bid_size"].tobytes()
        for seed in (0, 1)
        for symbol in ("BTC/USD", "ETH/USD")
    ]
    assert len(set(bids)) == 4


def test_a_symbol_does_not_depend_on_the_others() -> None:
    alone = synthesize(SyntheticSpec(symbols=("ETH/USD",), hours=0.1)).streams[0]
    among = synthesize(SyntheticSpec(symbols=("BTC/USD", "ETH/USD"), hours=0.1)).streams[1]
    assert alone.origin.content_hash == among.origin.content_hash


def test_times_fill_the_day_and_never_decrease(day: dict[str, Column]) -> None:
    ts = day["ts"]
    assert len(ts) == 345_600
    assert START_NS <= ts[0] <= ts[-1] <= START_NS + NS_PER_DAY
    assert (np.diff(ts) >= 0).all()


def test_prices_are_clean_decimals(day: dict[str, Column]) -> None:
    bid = day["bid"][np.isfinite(day["bid"])]
    assert np.array_equal(bid, np.round(bid, 1))


def test_sizes_are_positive(day: dict[str, Column]) -> None:
    assert (day["bid_size"] > 0).all()
    assert (day["ask_size"] > 0).all()


def test_share_of_bad_quotes_matches_the_spec(day: dict[str, Column]) -> None:
    bad = np.count_nonzero(~good(day))
    assert 0.5 < bad / (0.0002 * len(day["ts"])) < 1.5
    assert np.isnan(day["bid"]).any()
    assert np.isnan(day["ask"]).any()
    assert (day["bid"] == 0).any()
    assert (day["bid"] > day["ask"]).any()


def test_spreads_are_tight_with_a_wide_tail(day: dict[str, Column]) -> None:
    bid, ask = day["bid"][good(day)], day["ask"][good(day)]
    spread_bps = (ask - bid) / bid * 1e4
    assert 0.5 < np.median(spread_bps) < 5
    assert 1e-4 < np.mean(spread_bps > 25) < 1e-2


def test_moves_of_ten_quotes_pass_fifteen_bps_now_and_then(day: dict[str, Column]) -> None:
    mid = ((day["bid"] + day["ask"]) / 2)[good(day)]
    move_bps = (mid[10:] / mid[:-10] - 1) * 1e4
    assert 200 < np.count_nonzero(move_bps >= 15) < 10_000
    assert mid.max() / mid.min() > 1.03


@given(
    hours=st.floats(0.001, 0.2),
    rate=st.floats(0.5, 50),
    symbol=st.text(min_size=1, max_size=8),
    bad=st.floats(0, 1),
)
@settings(max_examples=30, deadline=None)
def test_any_valid_spec_makes_a_tape(hours: float, rate: float, symbol: str, bad: float) -> None:
    spec = SyntheticSpec((symbol,), hours=hours, quotes_per_s=rate, bad_quote_rate=bad)
    columns = quotes(spec, symbol)
    assert {len(column) for column in columns.values()} == {spec.rows}
    assert (np.diff(columns["ts"]) >= 0).all()


@pytest.mark.parametrize(
    "change",
    [
        {"symbols": ()},
        {"symbols": ("",)},
        {"symbols": ("A", "A")},
        {"hours": 0},
        {"hours": -1, "quotes_per_s": -4},
        {"hours": float("nan")},
        {"hours": float("inf")},
        {"hours": 1e-9},
        {"bad_quote_rate": 1.1},
        {"seed": -1},
    ],
)
def test_invalid_spec_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(Misconfigured):
        synthesize(SyntheticSpec(**change))

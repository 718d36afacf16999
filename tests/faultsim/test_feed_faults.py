"""Faults of the feed change the quotes that they are about and no others."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from autohedge.core.units import NS_PER_MS, NS_PER_S
from autohedge.faultsim.feed_faults import FeedFault, gap_ns, spoiled_streams
from autohedge.faultsim.history import Quotes
from autohedge.faultsim.strikes import Strike
from autohedge.market import Stream

START_NS, PAUSE_NS, COUNT = 10**18, 500 * NS_PER_MS, 120
LONGEST_NS = 20 * NS_PER_S
SPOILS = [fault for fault in FeedFault if fault is not FeedFault.GAP]


def _market() -> list[Quotes]:
    return [
        Quotes(
            symbol,
            [PAUSE_NS * each for each in range(COUNT)],
            [price + each for each in range(COUNT)],
            [price + each + 0.5 for each in range(COUNT)],
            [1.0] * COUNT,
            [2.0] * COUNT,
        )
        for symbol, price in (("A/USD", 100.0), ("B/USD", 1000.0))
    ]


def _streams(strikes: list[Strike]) -> list[Stream]:
    return spoiled_streams(_market(), strikes, START_NS, Counter())


def _strike(fault: str, after_s: float = 10.0, values: tuple[float, ...] = (0.0, 0.0, 0.0)) -> Strike:
    return Strike(fault, START_NS + int(after_s * NS_PER_S), values=values)


shares = st.tuples(*[st.floats(0, 1, exclude_max=True)] * 3)
lists = st.lists(
    st.builds(_strike, st.sampled_from(SPOILS), st.floats(0, 60), shares), min_size=1, max_size=8
)
gap_lists = st.lists(st.builds(_strike, st.just(FeedFault.GAP), st.floats(0, 60), shares), max_size=2)


@budget(max_examples=60, deadline=None)
@given(lists, st.data())
def test_leaving_one_strike_out_changes_no_other_quote(strikes: list[Strike], data: st.DataObject) -> None:
    left_out = data.draw(st.integers(0, len(strikes) - 1))
    strike = strikes.pop(left_out)
    with_it, without = _streams([*strikes, strike]), _streams(strikes)
    for stream, other in zip(with_it, without, strict=True):
        for ts_ns, _ in _rows(stream) ^ _rows(other):
            assert stream.symbol == strike.choose(("A/USD", "B/USD"))
            assert strike.at_ns <= ts_ns <= strike.at_ns + LONGEST_NS


@budget(max_examples=40, deadline=None)
@given(lists, gap_lists)
def test_gaps_delay_all_later_quotes_and_keep_the_rest(strikes: list[Strike], gaps: list[Strike]) -> None:
    for stream, other in zip(_streams([*gaps, *strikes]), _streams(strikes), strict=True):
        ts = other.columns["ts"]
        late_ns = sum((np.where(ts > gap.at_ns, gap_ns(gap), 0) for gap in gaps), np.zeros_like(ts))
        np.testing.assert_array_equal(stream.columns["ts"], ts + late_ns)
        for name in ("bid", "ask", "bid_size", "ask_size"):
            np.testing.assert_array_equal(stream.columns[name], other.columns[name])


def _rows(stream: Stream) -> set[tuple[int, str]]:
    """The rows as times and text, in which a missing price equals itself."""
    ts, *others = (stream.columns[name].tolist() for name in ("ts", "bid", "ask", "bid_size", "ask_size"))
    return set(zip(ts, map(repr, zip(*others, strict=True)), strict=True))


@pytest.mark.parametrize(
    ("fault", "values", "bid", "ask"),
    [
        ("crossed", (0.0, 0.0, 0.0), 120.512, 120.5),
        ("nan", (0.0, 0.0, 0.0), np.nan, 120.5),
        ("nan", (0.0, 0.0, 0.9), 120.0, np.nan),
        ("zero", (0.0, 0.0, 0.0), 0.0, 120.5),
        ("jump", (0.0, 0.0, 0.99), 1200.0, 1205.0),
    ],
)
def test_a_strike_spoils_the_first_quote_from_its_time_on(
    fault: str, values: tuple[float, ...], bid: float, ask: float
) -> None:
    spoiled, _ = _streams([_strike(fault, values=values)])
    assert spoiled.columns["bid"][20] == pytest.approx(bid, abs=1e-3, nan_ok=True)
    assert spoiled.columns["ask"][20] == pytest.approx(ask, nan_ok=True)
    assert spoiled.columns["bid"][21] == 121.0


def test_a_strike_may_spoil_a_burst() -> None:
    spoiled, _ = _streams([_strike("nan", values=(0.0, 0.99, 0.0))])
    assert np.isnan(spoiled.columns["bid"]).nonzero()[0].tolist() == [20, 21, 22, 23]


def test_a_stale_feed_lacks_the_quotes_of_one_symbol() -> None:
    whole, stale = _streams([_strike("stale", values=(0.9, 0.0))])
    assert len(whole) == COUNT and len(stale) == COUNT - 6
    assert np.diff(stale.columns["ts"]).max() == 3 * NS_PER_S + PAUSE_NS


def test_strikes_of_the_feed_are_counted_if_they_change_a_quote() -> None:
    counts: Counter[str] = Counter()
    strikes = [_strike("nan"), _strike("nan", 100.0), _strike("gap"), _strike("gap", 100.0), _strike("drop")]
    spoiled_streams(_market(), strikes, START_NS, counts)
    assert +counts == {"nan": 1, "gap": 1}

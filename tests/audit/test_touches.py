"""Tests which price an entry meets first: by hand, against a plain loop, and that earlier rows do not count."""

import math

import numpy as np
import pytest

from autohedge.audit.touches import NONE, OUTCOMES, Entries, MaximaTree, TouchSearch

# The mid at 1 s is 100: a target of 100 bps is 101, a stop of 50 bps is 99.5 for a long and 100.5 for a short.
RISING = [(0, 90.0, 91.0), (1, 99.9, 100.1), (2, 100.4, 100.45), (3, 101.0, 101.2), (9, 98.0, 98.2)]
FALLING = [(0, 90.0, 91.0), (1, 99.9, 100.1), (2, 99.6, 99.8), (3, 98.8, 99.0), (9, 102.0, 102.2)]


def _search(quotes: list[tuple[int, float, float]], fee_bps: float = 0.0) -> TouchSearch:
    ts, bid, ask = (np.array(column) for column in zip(*quotes, strict=True))
    return TouchSearch(ts.astype(np.int64), bid, ask, fee_bps)


def _entry(direction: str = "long", at: int = 0, horizon: int = 5) -> Entries:
    return Entries(
        np.array([at]),
        np.array([direction == "long"]),
        np.array([100.0]),
        np.array([50.0]),
        np.array([horizon]),
    )


def _outcome(search: TouchSearch, entries: Entries) -> tuple[str, int, int, float]:
    found = search.outcomes(entries)
    (number,), (entry_ns,), (exit_ns,), (return_bps,) = (column.tolist() for column in found)
    return OUTCOMES[number], entry_ns, exit_ns, return_bps


def test_first_value_at_least_a_threshold_is_that_of_a_plain_search() -> None:
    for seed in range(100):
        draw = np.random.default_rng(seed)
        values = draw.integers(0, 10, draw.integers(1, 70)).astype(float)
        start, least = draw.integers(0, len(values) + 2, 40), draw.integers(0, 12, 40).astype(float)
        expected = [
            next((row for row in range(first, len(values)) if values[row] >= threshold), NONE)
            for first, threshold in zip(start, least, strict=True)
        ]
        assert MaximaTree(values).first_at_least(start, least).tolist() == expected


def test_a_long_enters_at_the_ask_and_meets_its_target_at_the_bid() -> None:
    outcome, entry, exit_, return_bps = _outcome(_search(RISING), _entry())
    assert (outcome, entry, exit_) == ("target", 1, 3)
    assert return_bps == pytest.approx((101.0 / 100.1 - 1) * 1e4)


def test_a_long_is_stopped_where_the_bid_falls_to_its_stop_first() -> None:
    outcome, _, exit_, return_bps = _outcome(_search(FALLING), _entry())
    assert (outcome, exit_) == ("stop", 3) and return_bps == pytest.approx((98.8 / 100.1 - 1) * 1e4)


def test_a_short_enters_at_the_bid_and_leaves_at_the_ask() -> None:
    outcome, entry, exit_, return_bps = _outcome(_search(FALLING), _entry("short"))
    assert (outcome, entry, exit_) == ("target", 1, 3)
    assert return_bps == pytest.approx((99.9 - 99.0) / 99.9 * 1e4)
    assert _outcome(_search(RISING), _entry("short"))[::2] == ("stop", 3)


def test_return_is_after_the_fees_of_entry_and_exit() -> None:
    return_bps = _outcome(_search(RISING, fee_bps=10.0), _entry())[3]
    paid, given = 100.1 * 1.001, 101.0 * 0.999
    assert return_bps == pytest.approx((given - paid) / 100.1 * 1e4)


def test_neither_leaves_at_the_last_quote_within_the_horizon() -> None:
    outcome, _, exit_, return_bps = _outcome(_search(RISING), _entry(horizon=1))
    assert (outcome, exit_) == ("neither", 2) and return_bps == pytest.approx((100.4 / 100.1 - 1) * 1e4)


def test_an_entry_is_open_where_the_quotes_end_before_its_horizon() -> None:
    for entries in (_entry(at=1, horizon=8), _entry(at=9)):
        outcome, _, exit_, return_bps = _outcome(_search(RISING[:3]), entries)
        assert (outcome, exit_) == ("open", 0) and math.isnan(return_bps)
    assert _outcome(_search(RISING), _entry(horizon=1000))[0] == "target"


def test_a_horizon_that_ends_at_the_last_quote_is_over() -> None:
    assert _outcome(_search(RISING[:3]), _entry(horizon=1))[0] == "neither"


def test_quote_of_the_entry_itself_meets_no_stop() -> None:
    wide = [(0, 90.0, 91.0), (1, 98.0, 102.0), (2, 101.0, 101.2)]
    assert _outcome(_search(wide), _entry())[::2] == ("target", 2)


def test_entry_is_strictly_later_than_the_decision_at_a_valid_quote() -> None:
    assert _outcome(_search(RISING), _entry(at=1))[1] == 2
    broken = [*RISING[:1], (1, math.nan, 100.1), (1, 100.2, 100.1), (1, 0.0, 100.1), *RISING[2:]]
    assert _outcome(_search(broken), _entry())[1] == 2


def test_the_search_agrees_with_a_plain_loop_on_random_quotes() -> None:
    draw = np.random.default_rng(5)
    ts = np.sort(draw.integers(0, 4000, 1500))
    bid = 100 * np.exp(np.cumsum(draw.normal(0, 2e-4, len(ts))))
    ask = bid * (1 + draw.uniform(0, 3e-4, len(ts)))
    bid[draw.random(len(ts)) < 0.05] = np.nan
    entries = Entries(
        draw.integers(0, 4100, 400),
        draw.random(400) < 0.5,
        draw.uniform(2, 60, 400),
        draw.uniform(2, 60, 400),
        draw.integers(1, 900, 400),
    )
    found = TouchSearch(ts, bid, ask, 2.0).outcomes(entries)
    quotes = [row for row in zip(ts.tolist(), bid.tolist(), ask.tolist(), strict=True) if row[1] == row[1]]
    got = [OUTCOMES[number] for number in found.outcome]
    assert got == [_plain(quotes, *each) for each in zip(*entries, strict=True)]
    assert set(got) == set(OUTCOMES)


def _plain(
    quotes: list[tuple[int, float, float]], at: int, is_long: bool, target: float, stop: float, horizon: int
) -> str:
    later = [row for row in quotes if row[0] > at]
    if not later:
        return "open"
    (entry_ns, bid, ask), *rest = later
    mid, sign = bid + (ask - bid) / 2, 1 if is_long else -1
    for ts, low, high in rest:
        if ts > entry_ns + horizon:
            return "neither"
        gain = sign * ((low if is_long else high) / mid - 1) * 1e4
        if gain >= target or gain <= -stop:
            return "target" if gain >= target else "stop"
    return "neither" if quotes[-1][0] >= entry_ns + horizon else "open"


def test_rows_up_to_the_decision_change_no_outcome() -> None:
    draw = np.random.default_rng(8)
    ts, bid = np.arange(600), 100 + np.cumsum(draw.normal(0, 0.05, 600))
    other = np.where(ts <= 300, draw.uniform(1, 200, 600), bid)
    entries = Entries(
        np.full(50, 300), np.arange(50) % 2 == 0, np.linspace(1, 50, 50), np.full(50, 20.0), np.full(50, 200)
    )
    first, second = (TouchSearch(ts, price, price + 0.01).outcomes(entries) for price in (bid, other))
    for column, same in zip(first, second, strict=True):
        assert np.array_equal(np.asarray(column), np.asarray(same))
    later = np.where(ts > 300, other + 5 * (ts > 310), bid)
    assert not np.array_equal(TouchSearch(ts, later, later + 0.01).outcomes(entries).outcome, first.outcome)

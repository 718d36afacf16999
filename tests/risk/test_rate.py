"""The rate limiter against a bucket of exact fractions, and its law."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from autohedge.risk.rate import Rate

waits = st.lists(st.integers(0, 60), min_size=1, max_size=80)


@given(waits, st.integers(1, 25), st.integers(1, 6), st.data())
def test_the_limiter_agrees_with_a_token_bucket(
    gaps: list[int], interval: int, burst: int, data: st.DataObject
) -> None:
    rate, now, tokens = Rate(interval, burst), 0, Fraction(burst)
    for gap in gaps:
        now += gap
        tokens = min(Fraction(burst), tokens + Fraction(gap, interval))
        allowed = rate.allows(now)
        assert allowed is (tokens >= 1)
        if allowed or data.draw(st.booleans(), label="an exit does not ask"):
            rate.take(now)
            tokens -= 1


@given(waits, st.integers(1, 25), st.integers(1, 6))
def test_no_window_holds_more_than_the_burst_and_the_refill(
    gaps: list[int], interval: int, burst: int
) -> None:
    rate, now, taken = Rate(interval, burst), 0, []
    for gap in gaps:
        now += gap
        if rate.allows(now):
            rate.take(now)
            taken.append(now)
    for i, first in enumerate(taken):
        for j, last in enumerate(taken[i:], start=i):
            assert j - i + 1 <= burst + (last - first) // interval


def test_an_idle_limiter_saves_up_no_more_than_its_burst() -> None:
    rate = Rate(10, 3)
    for _ in range(3):
        assert rate.allows(10**18)
        rate.take(10**18)
    assert not rate.allows(10**18)


def test_asking_takes_nothing() -> None:
    rate = Rate(10, 1)
    assert all(rate.allows(0) for _ in range(5))
    rate.take(0)
    assert not rate.allows(9)
    assert rate.allows(10)

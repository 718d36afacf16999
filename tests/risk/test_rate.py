"""The rate limiter against its law: never more than so many in any window."""

from hypothesis import given
from hypothesis import strategies as st

from autohedge.risk.rate import Rate

waits = st.lists(st.integers(0, 60), min_size=1, max_size=80)


@given(waits, st.integers(1, 6), st.integers(1, 100), st.data())
def test_an_event_is_allowed_exactly_when_the_window_has_room(
    gaps: list[int], most: int, window: int, data: st.DataObject
) -> None:
    rate, now = Rate(most, window), 0
    taken: list[int] = []
    for gap in gaps:
        now += gap
        allowed = rate.allows(now)
        assert allowed is (sum(now - at < window for at in taken) < most)
        if allowed or data.draw(st.booleans(), label="an exit does not ask"):
            rate.take(now)
            taken.append(now)


@given(waits, st.integers(1, 6), st.integers(1, 100))
def test_no_window_holds_more_than_the_limit(gaps: list[int], most: int, window: int) -> None:
    rate, now = Rate(most, window), 0
    taken: list[int] = []
    for gap in gaps:
        now += gap
        if rate.allows(now):
            rate.take(now)
            taken.append(now)
    assert taken
    for first, after_most in zip(taken, taken[most:], strict=False):
        assert after_most - first >= window


def test_asking_takes_nothing() -> None:
    rate = Rate(1, 10)
    assert all(rate.allows(0) for _ in range(5))
    rate.take(0)
    assert not rate.allows(9)
    assert rate.allows(10)

"""The rate limiter: at most so many events in any window."""

from hypothesis import given
from hypothesis import strategies as st

from autohedge.risk.rate import Throttler

waits = st.lists(st.integers(0, 60), min_size=1, max_size=80)


@given(waits, st.integers(1, 6), st.integers(1, 100), st.data())
def test_an_event_is_allowed_exactly_when_the_window_has_room(
    gaps: list[int], most: int, window: int, data: st.DataObject
) -> None:
    throttler, now = Throttler(most, window), 0
    taken: list[int] = []
    for gap in gaps:
        now += gap
        allowed = throttler.has_room(now)
        assert allowed is (sum(now - at < window for at in taken) < most)
        if allowed or data.draw(st.booleans(), label="an exit does not ask"):
            throttler.record(now)
            taken.append(now)


@given(waits, st.integers(1, 6), st.integers(1, 100))
def test_no_window_holds_more_than_the_limit(gaps: list[int], most: int, window: int) -> None:
    throttler, now = Throttler(most, window), 0
    taken: list[int] = []
    for gap in gaps:
        now += gap
        if throttler.has_room(now):
            throttler.record(now)
            taken.append(now)
    assert taken
    for first, after_most in zip(taken, taken[most:], strict=False):
        assert after_most - first >= window


@given(waits, st.integers(1, 6), st.integers(1, 100))
def test_room_is_available_at_the_stated_time_and_not_before(gaps: list[int], most: int, window: int) -> None:
    throttler, now = Throttler(most, window), 0
    for gap in gaps:
        now += gap
        throttler.record(now)
        at = throttler.available_at_ns(now)
        assert throttler.has_room(at)
        assert at == now or not throttler.has_room(at - 1)


@given(waits, st.lists(st.integers(1, 6), min_size=1, max_size=80), st.integers(1, 100))
def test_a_limit_that_changes_counts_the_events_before_the_change(
    gaps: list[int], limits: list[int], window: int
) -> None:
    throttler, now = Throttler(1, window), 0
    taken: list[int] = []
    for gap, most in zip(gaps, limits, strict=False):
        now += gap
        throttler.most = most
        assert throttler.has_room(now) is (sum(now - at < window for at in taken) < most)
        throttler.record(now)
        taken.append(now)


def test_throttler_query_records_no_event() -> None:
    throttler = Throttler(1, 10)
    assert all(throttler.has_room(0) for _ in range(5))
    throttler.record(0)
    assert not throttler.has_room(9)
    assert throttler.has_room(10)

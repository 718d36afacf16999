"""Formats of times, and the end of a trading day."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autohedge.core.clock import compact_utc, format_utc, next_midnight_ns, wall_ns
from autohedge.core.units import NS_PER_DAY

TIMESTAMP_NS = 1_723_161_255_088_999_999


def test_a_time_is_written_for_folders_and_for_people() -> None:
    assert compact_utc(TIMESTAMP_NS) == "20240808T235415"
    assert format_utc(TIMESTAMP_NS) == "2024-08-08 23:54:15.088"
    assert format_utc(0) == "1970-01-01 00:00:00.000"


@pytest.mark.parametrize(
    ("ts_ns", "midnight"),
    [
        (TIMESTAMP_NS, datetime(2024, 8, 9, tzinfo=UTC)),
        (0, datetime(1970, 1, 2, tzinfo=UTC)),
        (NS_PER_DAY - 1, datetime(1970, 1, 2, tzinfo=UTC)),
        (NS_PER_DAY, datetime(1970, 1, 3, tzinfo=UTC)),
        (1_709_164_800 * 10**9 - 1, datetime(2024, 2, 29, tzinfo=UTC)),
    ],
)
def test_the_next_midnight_is_later_than_now(ts_ns: int, midnight: datetime) -> None:
    assert next_midnight_ns(ts_ns) == int(midnight.timestamp()) * 10**9


@given(st.integers(0, 2**62))
def test_a_day_ends_within_a_day_at_a_utc_midnight(ts_ns: int) -> None:
    midnight = next_midnight_ns(ts_ns)
    assert 0 < midnight - ts_ns <= NS_PER_DAY
    assert midnight % NS_PER_DAY == 0


def test_the_machine_clock_reads_nanoseconds_of_this_century() -> None:
    assert datetime(2024, 1, 1, tzinfo=UTC).timestamp() < wall_ns() / 10**9 < 4_102_444_800

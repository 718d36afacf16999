"""Times as people write them never become earlier than they were meant."""

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autohedge.tools.moments import moment_ns
from tests.showing import AT_NS

EPOCH = datetime.fromisoformat("1970-01-01")
NO_MOMENTS: list[Any] = [
    *("", "now", "2024-08-08", "2024-08-08T23:54:15", "2024-13-08T23:54:15Z", "0001-01-01T00:00:00+23:59"),
    *("2024-08-08T23:54:60Z", "2024-08-08T23:54:15Z\n", "٢024-08-08T23:54:15Z", "1" * 5000, "12", "²"),
    *(0, -1, 1_723_161_255, 2**63, True, None, 1.7e18, [], "1969-12-31T23:59:59Z", "2263-01-01T00:00:00Z"),
]


@pytest.mark.parametrize(
    "written",
    [
        AT_NS,
        str(AT_NS),
        "2024-08-08T23:54:15.088Z",
        "2024-08-08t23:54:15.088z",
        "2024-08-08 23:54:15.088000000+00:00",
        "2024-08-09T05:24:15.088+05:30",
    ],
)
def test_forms_of_one_moment_mean_the_same(written: object) -> None:
    assert moment_ns(written) == AT_NS


def test_digits_beyond_nanoseconds_round_up() -> None:
    assert moment_ns("2024-08-08T23:54:15.0880000001Z") == AT_NS + 1
    assert moment_ns("2024-08-08T23:54:15.0880000000Z") == AT_NS


@pytest.mark.parametrize("written", NO_MOMENTS)
def test_what_is_no_moment_is_none(written: object) -> None:
    assert moment_ns(written) is None


@given(st.datetimes(EPOCH, EPOCH.replace(year=2262)), st.integers(0, 999))
def test_every_moment_comes_back_to_the_nanosecond(moment: datetime, ns: int) -> None:
    expected = (moment - EPOCH) // moment.resolution * 1000
    assert moment_ns(f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06d}{ns:03d}Z") == expected + ns


@given(st.text())
def test_any_text_is_a_moment_or_none(text: str) -> None:
    assert moment_ns(text) is None or isinstance(moment_ns(text), int)

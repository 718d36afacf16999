"""Timestamps in text are never parsed to an earlier time."""

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autohedge.core.timestamps import parse_timestamp_ns
from tests.snapshot_factory import AT_NS

EPOCH = datetime.fromisoformat("1970-01-01")
INVALID_TIMESTAMPS: list[Any] = [
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
def test_timestamp_forms_of_one_instant_parse_alike(written: object) -> None:
    assert parse_timestamp_ns(written) == AT_NS


def test_digits_beyond_nanoseconds_round_up() -> None:
    assert parse_timestamp_ns("2024-08-08T23:54:15.0880000001Z") == AT_NS + 1
    assert parse_timestamp_ns("2024-08-08T23:54:15.0880000000Z") == AT_NS


@pytest.mark.parametrize("written", INVALID_TIMESTAMPS)
def test_invalid_timestamp_is_none(written: object) -> None:
    assert parse_timestamp_ns(written) is None


@given(st.datetimes(EPOCH, EPOCH.replace(year=2262)), st.integers(0, 999))
def test_timestamp_is_parsed_exactly_to_the_nanosecond(instant: datetime, ns: int) -> None:
    expected = (instant - EPOCH) // instant.resolution * 1000
    assert (
        parse_timestamp_ns(f"{instant:%Y-%m-%dT%H:%M:%S}.{instant.microsecond:06d}{ns:03d}Z") == expected + ns
    )


@given(st.text())
def test_arbitrary_text_is_a_timestamp_or_none(text: str) -> None:
    assert parse_timestamp_ns(text) is None or isinstance(parse_timestamp_ns(text), int)

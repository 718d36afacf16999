"""Hours of a session in UTC, with summer time, across midnight, and the months of the calendar."""

from datetime import UTC, datetime

import pytest

from autohedge.core.errors import Misconfigured
from autohedge.market.bar_aggregator import BarAggregator, BarSource, as_dicts
from autohedge.market.bar_spec import BarSpec
from autohedge.market.stream import Kind
from autohedge.market.trading_session import month_segments, parse_session

S = 10**9
NEW_YORK = "09:30-16:00 America/New_York"


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * S


def intervals(session: str, every: str, day: str, end: str) -> list[tuple[str, str]]:
    """Returns start and end, in UTC, of the bars of a trade a minute."""
    maker = BarAggregator(BarSpec.of(every, session), BarSource(Kind.TRADES))
    ts = list(range(at(day), at(end), 60 * S))
    prices = [1.0] * len(ts)
    finished = maker.add({"ts": ts, "price": prices, "size": prices})
    bars = as_dicts(finished) + as_dicts(maker.forming)
    return [
        (
            f"{datetime.fromtimestamp(bar['start_ns'] // S, UTC):%d %H:%M}",
            f"{bar['end_ns'] - bar['start_ns']}",
        )
        for bar in bars
    ]


@pytest.mark.parametrize(("day", "opening"), [("2024-01-09", "14:30"), ("2024-07-09", "13:30")])
def test_day_of_six_and_a_half_hours_has_seven_hours_and_summer_time_moves_them(
    day: str, opening: str
) -> None:
    found = intervals(NEW_YORK, "1h", day, f"{day}T23:59")
    assert len(found) == 7 and found[0][0].endswith(opening)
    assert [int(length) // S for _, length in found] == [3_600] * 6 + [1_800]


def test_hours_across_midnight_belong_to_the_day_on_which_they_begin() -> None:
    found = intervals("22:00-02:00 UTC", "2h", "2024-01-09T12:00", "2024-01-10T12:00")
    assert [start for start, _ in found] == ["09 22:00", "10 00:00"]


def test_session_without_a_break_ends_at_midnight() -> None:
    found = intervals("00:00-24:00 UTC", "7h", "2024-01-09", "2024-01-10")
    assert [start for start, _ in found] == ["09 00:00", "09 07:00", "09 14:00", "09 21:00"]
    assert int(found[-1][1]) == 3 * 3_600 * S


@pytest.mark.parametrize(
    ("day", "starts", "hours"),
    [
        # From 00:00 to 04:00 in New York it is three hours in March, and five in November.
        ("2024-03-10", ["10 05:00", "10 08:00", "10 12:00"], [3, 4, 4]),
        ("2024-11-03", ["03 04:00", "03 09:00", "03 13:00"], [5, 4, 4]),
    ],
)
def test_intervals_are_counted_in_local_time_when_summer_time_changes(
    day: str, starts: list[str], hours: list[int]
) -> None:
    found = intervals("00:00-12:00 America/New_York", "4h", f"{day}T04:00", f"{day}T17:00")
    assert [start for start, _ in found][-3:] == starts
    assert [int(length) // 3_600 // S for _, length in found][-3:] == hours


def test_hour_that_occurs_twice_has_its_intervals_twice() -> None:
    found = intervals("00:00-03:00 America/New_York", "30m", "2024-11-03T04:00", "2024-11-03T08:00")
    assert [int(length) // 60 // S for _, length in found] == [30] * 8


def test_months_are_those_of_the_calendar() -> None:
    found = month_segments(at("2023-12-31T23:59:59"), at("2024-03-01"))
    assert found[:4, 0].tolist() == [
        at(f"{month}-01") for month in ("2023-12", "2024-01", "2024-02", "2024-03")
    ]
    assert found[2, 2] == 29 * 86_400 * S
    assert (found[:-1, 1] == found[1:, 0]).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("09:30-16:00", "write hours and a time zone"),
        ("", "without hours"),
        ("9.30-16 UTC", "write hours and a time zone"),
        ("09:30-25:00 UTC", "hours are from 00:00 to 24:00"),
        ("24:00-25:00 UTC", "hours are from 00:00 to 24:00"),
        ("09:30-16:00 Mars/Base", "unknown time zone"),
        ("09:30-16:00 ../etc/passwd", "unknown time zone"),
        ("09:30-16:00 America", "unknown time zone"),
        ("09:30-16:00 \x00", "session"),
    ],
)
def test_session_that_is_not_understood_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(Misconfigured, match=message) as refused:
        parse_session(text)
    assert str(refused.value).isprintable()

"""The lengths and sizes of bars as people write them, and what they cannot be made of."""

import pytest

from autohedge.core.errors import Misconfigured
from autohedge.market.bar_spec import BarSpec, BarUnit
from autohedge.market.stream import Kind

MINUTE = 60 * 10**9


@pytest.mark.parametrize(
    ("text", "count", "unit"),
    [
        ("1s", 1, BarUnit.SECONDS),
        ("15m", 15, BarUnit.MINUTES),
        (" 4h ", 4, BarUnit.HOURS),
        ("3d", 3, BarUnit.DAYS),
        ("1w", 1, BarUnit.WEEKS),
        ("1M", 1, BarUnit.MONTHS),
        ("1m", 1, BarUnit.MINUTES),
        ("500 ticks", 500, BarUnit.TICKS),
        ("1 tick", 1, BarUnit.TICKS),
        ("1e3 ticks", 1_000, BarUnit.TICKS),
        ("25 volume", 25, BarUnit.VOLUME),
        ("0.5 volume", 0.5, BarUnit.VOLUME),
        (".5volume", 0.5, BarUnit.VOLUME),
        *(
            (f"{number} dollars", 2e6, BarUnit.DOLLARS)
            for number in ("2e6", "2E+6", "2_000_000", "2,000,000", "2 000 000", "2'000'000.0", "2000000")
        ),
    ],
)
def test_length_or_size_is_read_in_its_usual_spellings(text: str, count: float, unit: BarUnit) -> None:
    spec = BarSpec.of(text)
    assert (spec.count, spec.unit) == (count, unit)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "an empty text is not an interval"),
        ("m", "m is not an interval"),
        ("5", "5 is not an interval"),
        ("5x", "5x is not an interval"),
        ("-1m", "-1m is not an interval"),
        ("2,5 volume", "2,5 volume is not an interval"),
        ("1,00 ticks", "is not an interval"),
        ("1.2.3 volume", "is not an interval"),
        ("nan volume", "is not an interval"),
        ("0m", "must be more than 0"),
        ("1e999 dollars", "must be more than 0"),
        ("1.5h", "must be a whole one"),
        ("2.5 ticks", "must be a whole one"),
        ("2w", "1w or 1M"),
        ("3M", "1w or 1M"),
        ("40000d", "at most 100 years"),
        ("5\nm\x1bx", "5 m x is not an interval"),
    ],
)
def test_length_without_a_clear_meaning_is_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(Misconfigured, match=message) as refused:
        BarSpec.of(text)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("every", ["1d", "3d", "24h", "1w", "1M"])
def test_session_of_bars_as_long_as_a_day_is_refused(every: str) -> None:
    with pytest.raises(Misconfigured, match=f"bars of {every} are longer than a session"):
        BarSpec.of(every, "09:30-16:00 America/New_York")


def test_fill_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(Misconfigured, match="write none or carry"):
        BarSpec.of("1m", fill="zero")
    with pytest.raises(Misconfigured, match="bars of 5 ticks have no empty intervals"):
        BarSpec.of("5 ticks", fill="carry")


@pytest.mark.parametrize(
    ("every", "kind", "interval_ns", "message"),
    [
        ("7m", Kind.BARS, 5 * MINUTE, "7m cannot be made of 5m bars"),
        ("30s", Kind.BARS, MINUTE, "30s cannot be made of 1m bars"),
        ("1M", Kind.BARS, 7 * 1_440 * MINUTE, "1M cannot be made of 1w bars"),
        ("1h", Kind.BARS, 0, "1h cannot be made of bars of different lengths"),
        ("500 ticks", Kind.BARS, MINUTE, "500 ticks cannot be made of bars: they have no number of trades"),
        (
            "2e6 dollars",
            Kind.BARS,
            MINUTE,
            "2e6 dollars cannot be made of bars: they have no prices times sizes",
        ),
        ("25 volume", Kind.QUOTES, 0, "25 volume cannot be made of quotes: they have no sizes of trades"),
    ],
)
def test_bars_that_the_source_cannot_make_are_refused(
    every: str, kind: Kind, interval_ns: int, message: str
) -> None:
    with pytest.raises(Misconfigured, match=message):
        BarSpec.of(every).require_made_of(kind, interval_ns)


@pytest.mark.parametrize(
    ("every", "kind", "interval_ns"),
    [
        ("15m", Kind.BARS, 5 * MINUTE),
        ("5m", Kind.BARS, 5 * MINUTE),
        ("1M", Kind.BARS, 240 * MINUTE),
        ("1w", Kind.BARS, 1_440 * MINUTE),
        ("25 volume", Kind.BARS, 0),
        ("500 ticks", Kind.QUOTES, 0),
    ],
)
def test_bars_that_the_source_can_make_are_accepted(every: str, kind: Kind, interval_ns: int) -> None:
    BarSpec.of(every).require_made_of(kind, interval_ns)

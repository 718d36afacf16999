"""Trading hours in a time zone, and the days of them and the months of a calendar as times in UTC."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from autohedge.core.errors import Misconfigured
from autohedge.core.text import one_line
from autohedge.core.units import NS_PER_S

Segments = NDArray[np.int64]

_HOURS = re.compile(r"(\d{1,2}):(\d{2})\s*[-–]\s*(\d{1,2}):(\d{2})(?:\s+(\S+))?")
_WRITTEN_CHARS = 60
_DAY = timedelta(days=1)
_MIDNIGHT = time()


@dataclass(frozen=True, slots=True)
class TradingSession:
    """The hours from `opens` to `closes` of each day in a time zone, across midnight if they close earlier.

    `closes` may be the midnight at the end of the day.
    """

    text: str
    opens: time
    closes: time
    zone: ZoneInfo

    def segments(self, first_ns: int, last_ns: int, length_ns: int) -> Segments:
        """Returns rows of start, end and interval length that cover all sessions between two times.

        Each session is one row, or a row for each interval if summer time begins or ends within it.
        """
        day, end = _day(first_ns, self.zone) - 2 * _DAY, _day(last_ns, self.zone) + 2 * _DAY
        rows: list[tuple[int, int, int]] = []
        while day <= end:
            rows += self._of_day(day, length_ns)
            day += _DAY
        return np.array(rows, np.int64)

    def _of_day(self, day: date, length_ns: int) -> Iterator[tuple[int, int, int]]:
        last_day = day if self.closes > self.opens else day + _DAY
        opens, closes = datetime.combine(day, self.opens), datetime.combine(last_day, self.closes)
        first, last = (each.replace(tzinfo=self.zone) for each in (opens, closes))
        if first.utcoffset() == last.utcoffset():
            yield _ns(first), _ns(last), length_ns
            return
        # Intervals are counted in local time, so one that holds the change is longer or shorter.
        inner = {edge for edge in self._edges(opens, closes, length_ns) if _ns(first) < edge < _ns(last)}
        edges = [_ns(first), *sorted(inner), _ns(last)]
        for start, end in pairwise(edges):
            yield start, end, end - start

    def _edges(self, opens: datetime, closes: datetime, length_ns: int) -> Iterator[int]:
        """Yields the times at which intervals begin; a local time that occurs twice twice, one left out never."""
        step, local = timedelta(seconds=length_ns // NS_PER_S), opens
        while local < closes:
            for fold in (0, 1):
                edge = local.replace(tzinfo=self.zone, fold=fold)
                if edge.astimezone(UTC).astimezone(self.zone).replace(tzinfo=None, fold=0) == local:
                    yield _ns(edge)
            local += step


def parse_session(text: str) -> TradingSession:
    """Parses hours such as `09:30-16:00 America/New_York`. Raises Misconfigured if they are not understood."""
    written = one_line(text, _WRITTEN_CHARS)
    match = _HOURS.fullmatch(text.strip())
    if match is None or not match[5]:
        raise Misconfigured(
            f"session {written or 'without hours'}: write hours and a time zone, as in "
            '"09:30-16:00 America/New_York"'
        )
    try:
        opens = time(int(match[1]), int(match[2]))
        closes = _MIDNIGHT if (match[3], match[4]) == ("24", "00") else time(int(match[3]), int(match[4]))
    except ValueError:
        raise Misconfigured(f"session {written}: hours are from 00:00 to 24:00") from None
    return TradingSession(written, opens, closes, _zone(match[5], written))


def month_segments(first_ns: int, last_ns: int) -> Segments:
    """Returns rows of start, end and length of the calendar's months in UTC from one time to another."""
    month = _day(first_ns, UTC).replace(day=1)
    end = _day(last_ns, UTC) + _DAY
    edges = [_ns(datetime.combine(month, _MIDNIGHT, UTC))]
    while month <= end:
        month = (month + 31 * _DAY).replace(day=1)
        edges.append(_ns(datetime.combine(month, _MIDNIGHT, UTC)))
    starts, ends = np.array(edges[:-1], np.int64), np.array(edges[1:], np.int64)
    return np.column_stack([starts, ends, ends - starts])


def _zone(name: str, written: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError):  # names outside the data, of folders, and unknown ones
        raise Misconfigured(
            f"session {written}: unknown time zone; write one such as America/New_York"
        ) from None


def _day(ns: int, zone: tzinfo) -> date:
    return datetime.fromtimestamp(ns // NS_PER_S, zone).date()


def _ns(at: datetime) -> int:
    return int(at.timestamp()) * NS_PER_S

"""What bars are wanted: their length or size, as a person writes it, and the hours of a session."""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from autohedge.core.errors import Misconfigured
from autohedge.core.text import one_line
from autohedge.core.units import NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE, NS_PER_S
from autohedge.market.bars import length_text
from autohedge.market.stream import Kind
from autohedge.market.trading_session import TradingSession, parse_session


class BarUnit(StrEnum):
    """The unit of a bar's size: of time, or of its trades."""

    SECONDS = "s"
    MINUTES = "m"
    HOURS = "h"
    DAYS = "d"
    WEEKS = "w"
    MONTHS = "M"
    TICKS = "ticks"
    VOLUME = "volume"
    DOLLARS = "dollars"


_LENGTHS_NS = {
    BarUnit.SECONDS: NS_PER_S,
    BarUnit.MINUTES: NS_PER_MINUTE,
    BarUnit.HOURS: NS_PER_HOUR,
    BarUnit.DAYS: NS_PER_DAY,
    BarUnit.WEEKS: 7 * NS_PER_DAY,
}
_LONGEST_NS = 36_500 * NS_PER_DAY
_CALENDAR = (BarUnit.WEEKS, BarUnit.MONTHS)
_TRADES = (BarUnit.TICKS, BarUnit.VOLUME, BarUnit.DOLLARS)
_NAMES = {"tick": BarUnit.TICKS, "dollar": BarUnit.DOLLARS}
_SIZE = re.compile(r"(?P<number>[\d.,_' ]*\d[\d.,_' ]*(?:[eE][+-]?\d+)?)\s*(?P<unit>[A-Za-z]+)")
_GROUPED = re.compile(r"\d{1,3}(?P<mark>[,_' ])\d{3}(?:(?P=mark)\d{3})*(?:\.\d*)?(?:[eE][+-]?\d+)?")
_WRITTEN_CHARS = 60
_FORMS = "write 1s, 5m, 4h, 1d, 1w, 1M, 500 ticks, 25 volume or 2e6 dollars"


@dataclass(frozen=True)
class BarSpec:
    """The bars that are wanted, as `every` says.

    `count` is the number of `unit` in a bar; `carries` makes a bar at the last close of each empty interval.
    """

    every: str
    count: float
    unit: BarUnit
    session: TradingSession | None = None
    carries: bool = False

    @classmethod
    def of(cls, every: str, session: str | None = None, fill: str = "none") -> "BarSpec":
        """Returns the bars that options describe. Raises Misconfigured if one is not understood."""
        written = one_line(every, _WRITTEN_CHARS)
        count, unit = _size(every, written)
        if fill not in ("none", "carry"):
            raise Misconfigured(f"fill {one_line(fill, _WRITTEN_CHARS)}: write none or carry")
        hours = parse_session(session) if session is not None else None
        spec = cls(written, count, unit, hours, fill == "carry")
        if hours is not None and (unit is BarUnit.MONTHS or spec.length_ns >= NS_PER_DAY):
            raise Misconfigured(
                f"session {hours.text}: bars of {written} are longer than a session; leave it out"
            )
        if spec.carries and not spec.is_time:
            raise Misconfigured(f"fill carry: bars of {written} have no empty intervals; leave it out")
        return spec

    @property
    def is_time(self) -> bool:
        """Whether time ends a bar, and not its trades."""
        return self.unit not in _TRADES

    @cached_property
    def length_ns(self) -> int:
        """The length of a bar; 0 for months, which differ, and for bars of trades."""
        return int(self.count) * _LENGTHS_NS.get(self.unit, 0)

    def require_made_of(self, kind: Kind, interval_ns: int) -> None:
        """Raises Misconfigured if these bars cannot be made of rows of this kind; `interval_ns` is that of bars."""
        if not self.is_time:
            self._require_sums(kind)
        elif kind is Kind.BARS and not self._holds_whole(interval_ns):
            if not interval_ns:
                raise Misconfigured(
                    f"{self.every} cannot be made of bars of different lengths; name other rows"
                )
            length = length_text(interval_ns)
            raise Misconfigured(f"{self.every} cannot be made of {length} bars; take a multiple of {length}")

    def _require_sums(self, kind: Kind) -> None:
        has_it = {
            Kind.TRADES: _TRADES,
            Kind.QUOTES: (BarUnit.TICKS,),
            Kind.BARS: (BarUnit.VOLUME,),
        }
        if self.unit not in has_it[kind]:
            lacks = {BarUnit.TICKS: "number of trades", BarUnit.DOLLARS: "prices times sizes"}
            missing = lacks.get(self.unit, "sizes") if kind is Kind.BARS else "sizes of trades"
            raise Misconfigured(f"{self.every} cannot be made of {kind}: they have no {missing}")

    def _holds_whole(self, interval_ns: int) -> bool:
        # A month is a number of days.
        length_ns = self.length_ns or NS_PER_DAY
        return interval_ns > 0 and length_ns % interval_ns == 0


def _size(every: str, written: str) -> tuple[float, BarUnit]:
    match = _SIZE.fullmatch(every.strip())
    unit = _unit(match["unit"]) if match else None
    count = _number(match["number"].strip()) if match else None
    if match is None or unit is None or count is None:
        raise Misconfigured(f"{written or 'an empty text'} is not an interval; {_FORMS}")
    if not 0.0 < count < float("inf"):
        raise Misconfigured(f"{written}: the number must be more than 0; {_FORMS}")
    if unit not in (BarUnit.VOLUME, BarUnit.DOLLARS) and count % 1:
        raise Misconfigured(f"{written}: the number must be a whole one; {_FORMS}")
    if unit in _CALENDAR and count != 1:
        raise Misconfigured(f"{written}: bars of the calendar are 1w or 1M; {_FORMS}")
    if count * _LENGTHS_NS.get(unit, 0) > _LONGEST_NS:
        raise Misconfigured(f"{written}: bars are at most 100 years long; {_FORMS}")
    return count, unit


def _unit(name: str) -> BarUnit | None:
    if name == BarUnit.MONTHS:  # the only unit that differs from another one by its case
        return BarUnit.MONTHS
    lower = name.lower()
    return _NAMES.get(lower) or next((unit for unit in BarUnit if unit == lower), None)


def _number(text: str) -> float | None:
    """Returns a number with or without groups of three digits, such as 2e6 and 2,000,000; None for other text."""
    grouped = _GROUPED.fullmatch(text)
    plain = text.replace(grouped["mark"], "") if grouped else text
    try:
        return None if "," in plain or " " in plain else float(plain)
    except ValueError:
        return None

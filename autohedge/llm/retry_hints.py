"""Reads when a server wants the next try: from the headers of its reply, or from the text of its error."""

import math
import re
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime

from autohedge.core.clock import wall_ns

LONGEST_WAIT_S = 3600.0
_LIMITS = ("requests", "tokens")
_RESETS = ("ratelimit-reset", "x-ratelimit-reset", "x-ratelimit-reset-after")
# A reset that large is a point in time since 1970, in seconds or milliseconds.
_EPOCH_S, _EPOCH_MS = 1e9, 1e12

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = r"\d+(?:\.\d+)?\s*(?:ms|milliseconds?|s|sec(?:ond)?s?|m|min(?:ute)?s?|h|hours?|d|days?)(?![a-z])"
_DURATION = re.compile(rf"(?:{_PART}\s*)+", re.IGNORECASE)
_PARTS = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|milli|s|m|h|d)", re.IGNORECASE)
_IN_TEXT = re.compile(rf"(?:again|retry|wait|resets?)\b\D{{0,30}}?({_PART}(?:\s*{_PART})*)", re.IGNORECASE)
_IN_BODY = re.compile(
    r"retry_?(?:delay|after)(_?ms|_?milliseconds)?(?:_?s|_?seconds)?"
    r"[\\\"']+\s*:\s*[\\\"']*(\d[\d.]*(?:ms|s)?)",
    re.IGNORECASE,
)


def retry_hint_s(headers: Mapping[str, str], body: bytes) -> float:
    """Returns the seconds until the next try that a server asks for with any error; 0 if it does not."""
    exact = _number_s(headers.get("retry-after-ms", "")) / 1000 or retry_after_s(
        headers.get("retry-after", "")
    )
    return _bounded(exact or _in_text_s(body[:20_000].decode(errors="replace")))


def limit_reset_s(headers: Mapping[str, str]) -> float:
    """Returns the seconds until the limit on requests or tokens that is used up is reset; 0 if unknown.

    These headers accompany every reply, so they are a hint only where the limit is what failed.
    """
    found = {each: _reset_s(headers.get(f"x-ratelimit-reset-{each}", "")) for each in _LIMITS}
    used_up = [each for each in _LIMITS if headers.get(f"x-ratelimit-remaining-{each}", "").strip() == "0"]
    general = [_reset_s(headers.get(name, "")) for name in _RESETS]
    return _bounded(max(found[each] for each in used_up or _LIMITS) or max(general))


def retry_after_s(value: str) -> float:
    """Returns the seconds of a Retry-After header, which is a number or a date; 0 if missing or invalid."""
    return _bounded(_number_s(value) or duration_s(value) or _until_s(value))


def duration_s(text: str) -> float:
    """Returns the seconds of a duration such as `20ms`, `1s`, `6m0s` or `2 minutes`; 0 for other text."""
    if not _DURATION.fullmatch(text.strip()):
        return 0.0
    return sum(float(number) * _unit_s(unit.lower()) for number, unit in _PARTS.findall(text))


def _unit_s(unit: str) -> float:
    return _UNITS_S["ms" if unit == "milli" else unit]


def _reset_s(value: str) -> float:
    number = _number_s(value)
    if number >= _EPOCH_S:
        return (number / 1000 if number >= _EPOCH_MS else number) - wall_ns() / 1e9
    return number or duration_s(value) or _until_s(value)


def _in_text_s(text: str) -> float:
    if found := _IN_BODY.search(text):
        value = _number_s(found[2]) or duration_s(found[2])
        return value / 1000 if found[1] else value
    found = _IN_TEXT.search(text)
    return duration_s(found[1]) if found else 0.0


def _number_s(value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        return 0.0
    return number if math.isfinite(number) else 0.0


def _until_s(date: str) -> float:
    """Returns the seconds until a date of HTTP or RFC 3339; 0 for other text."""
    for parse in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            return parse(date).timestamp() - wall_ns() / 1e9
        except (ValueError, OverflowError, IndexError, OSError):
            continue
    return 0.0


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), LONGEST_WAIT_S)

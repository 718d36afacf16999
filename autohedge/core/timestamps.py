"""Parsing of timestamps to nanoseconds; the result is never earlier than the text."""

import re
from datetime import UTC, datetime

from autohedge.core.units import NS_PER_S

_RFC_3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?(?:([Zz])|([+-]\d\d:\d\d))", re.ASCII
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LEAST_NS, MOST_NS = 10**17, 2**63 - 1
TIMESTAMP_HELP = "RFC 3339 with its offset, such as 2024-08-08T23:54:15Z, or nanoseconds since 1970"


def parse_timestamp_ns(written: object) -> int | None:
    """Returns nanoseconds since 1970 for a number of them or an RFC 3339 text; None for anything else.

    Numbers that stand for a time before 1973 are refused: they are likely seconds or milliseconds, and would
    make all headlines old. Digits beyond nanoseconds round up.
    """
    if isinstance(written, bool) or not isinstance(written, int | str):
        return None
    if isinstance(written, str):
        return _number(written) if written.isdecimal() else _rfc_3339(written)
    return written if LEAST_NS <= written <= MOST_NS else None


def _number(written: str) -> int | None:
    # 2**63 - 1 has 19 digits; int() of a very long text would be slow or raise.
    return parse_timestamp_ns(int(written)) if len(written) < 20 else None


def _rfc_3339(written: str) -> int | None:
    found = _RFC_3339.fullmatch(written)
    if found is None:
        return None
    day, time, fraction, _, offset = found.groups()
    try:
        timestamp = datetime.fromisoformat(f"{day}T{time}{offset or '+00:00'}")
        seconds = (timestamp - _EPOCH) // (timestamp.resolution * 10**6)
    except (ValueError, OverflowError):
        return None
    elapsed_ns = seconds * NS_PER_S + _fraction_ns(fraction or "")
    return elapsed_ns if 0 <= elapsed_ns <= MOST_NS else None


def _fraction_ns(digits: str) -> int:
    # Rounded up: a headline that counts as known earlier than it was would leak the future.
    return int(digits[:9].ljust(9, "0")) + bool(digits[9:].strip("0"))

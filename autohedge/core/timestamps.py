"""Times as people write them, turned into nanoseconds without ever making one earlier."""

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
    """Nanoseconds since 1970 of a number of them or an RFC 3339 text; None if it is neither.

    A number before 1973 is taken for seconds or milliseconds by mistake, and refused: it would make all
    news old. Digits beyond nanoseconds round up.
    """
    if isinstance(written, bool) or not isinstance(written, int | str):
        return None
    if isinstance(written, str):
        return _number(written) if written.isdecimal() else _rfc_3339(written)
    return written if LEAST_NS <= written <= MOST_NS else None


def _number(written: str) -> int | None:
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
    return int(digits[:9].ljust(9, "0")) + bool(digits[9:].strip("0"))

"""Headlines from a JSON-lines file, each visible only from the time at which it became available.

A line is an object with `title` and `available_at` (RFC 3339 with an offset, or nanoseconds), and optionally
`source` and `symbols` (a list; without it the headline concerns all symbols). A headline without
`available_at` is undated and never shown; one later than the snapshot's timestamp is not shown yet.
"""

import json
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from autohedge.core.clock import format_utc
from autohedge.core.errors import Misconfigured
from autohedge.core.snapshots import Snapshot
from autohedge.core.text import decode_text
from autohedge.core.timestamps import TIMESTAMP_HELP, parse_timestamp_ns
from autohedge.tools.untrusted import cleaned, fence

NONE = "No recent news."
TITLE_LIMIT, SOURCE_LIMIT = 200, 40


class Headline(NamedTuple):
    """One headline; `symbols` is empty if it concerns all symbols."""

    available_ns: int
    title: str
    source: str = ""
    symbols: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Headlines:
    """All dated headlines of a file, oldest first, and the number of undated ones."""

    dated: tuple[Headline, ...] = ()
    undated: int = 0


@dataclass(frozen=True, slots=True)
class VisibleHeadlines:
    """The headlines visible to one snapshot, newest first, and the numbers of undated and of later ones.

    The number of later headlines is itself information from the future: it may be logged, but never shown in
    a prompt.
    """

    headlines: tuple[Headline, ...]
    undated: int
    later: int


class _Line(msgspec.Struct):
    title: str
    available_at: Any = None
    source: str | None = None
    symbols: tuple[str, ...] | None = None


def read_headlines(path: Path) -> Headlines:
    """Reads all headlines of a file.

    Raises Misconfigured with the number of the first invalid line.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Misconfigured(
            f"cannot read the headlines {path}: {error.strerror}; check tools.headlines"
        ) from None
    lines = decode_text(content, f"the headlines {path}").split("\n")
    return sorted_headlines(_line(path, number, line) for number, line in enumerate(lines, 1) if line.strip())


def sorted_headlines(headlines: Iterable[Headline | None]) -> Headlines:
    """Sorts headlines by the time at which they became available; None is an undated one."""
    found = list(headlines)
    dated = sorted((each for each in found if each), key=lambda each: each.available_ns)
    return Headlines(tuple(dated), len(found) - len(dated))


def headlines_for(snapshot: Snapshot, headlines: Headlines, most: int) -> VisibleHeadlines:
    """Returns the newest headlines of the snapshot's symbol that were available at its timestamp."""
    dated = headlines.dated
    known = bisect_right(dated, snapshot.at_ns, key=lambda each: each.available_ns)
    shown: list[Headline] = []
    for each in reversed(dated[:known]):
        if len(shown) >= most:
            break
        if not each.symbols or snapshot.symbol in each.symbols:
            shown.append(each)
    return VisibleHeadlines(tuple(shown), headlines.undated, len(dated) - known)


def headlines_text(snapshot: Snapshot, headlines: Headlines, most: int) -> str:
    """Returns the headlines between the marks of untrusted text, newest first."""
    shown = headlines_for(snapshot, headlines, most).headlines
    return fence(map(_headline_text, shown)) if shown else NONE


def _headline_text(headline: Headline) -> str:
    source = cleaned(headline.source, SOURCE_LIMIT)
    # Minutes are precise enough for news.
    when = format_utc(headline.available_ns)[:16]
    return f"{when} {cleaned(headline.title, TITLE_LIMIT)}{f' ({source})' if source else ''}"


def _line(path: Path, number: int, text: str) -> Headline | None:
    try:
        line = msgspec.convert(json.loads(text), _Line)
    except (ValueError, RecursionError) as error:
        why = error.msg if isinstance(error, json.JSONDecodeError) else error
        raise Misconfigured(f"{path}, line {number}: {why}; write one object with a title") from None
    if line.available_at is None:
        return None
    available_ns = parse_timestamp_ns(line.available_at)
    if available_ns is None:
        given = str(line.available_at)[:40]
        raise Misconfigured(f"{path}, line {number}: available_at is {TIMESTAMP_HELP}, not {given!r}")
    return Headline(available_ns, line.title, line.source or "", line.symbols or ())

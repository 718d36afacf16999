"""Lessons of the Learning agent, each valid from the time it was formed until its expiry."""

from collections.abc import Sequence
from typing import NamedTuple

from autohedge.core.snapshots import Snapshot
from autohedge.tools.untrusted import cleaned, fence

NONE = "No lessons yet."
TEXT_LIMIT = 200


class Lesson(NamedTuple):
    """One lesson; its text was written by a model."""

    formed_ns: int
    expires_ns: int
    text: str


def drop_expired(lessons: list[Lesson], now_ns: int) -> None:
    """Removes the lessons that are no longer valid at `now_ns`."""
    lessons[:] = [lesson for lesson in lessons if lesson.expires_ns > now_ns]


def lessons_for(snapshot: Snapshot, lessons: Sequence[Lesson], most: int) -> list[Lesson]:
    """Returns the newest lessons that are valid at the snapshot's timestamp, newest first."""
    at_ns = snapshot.at_ns
    valid = [lesson for lesson in lessons if lesson.formed_ns < at_ns < lesson.expires_ns]
    return sorted(valid, reverse=True)[:most]


def lessons_text(snapshot: Snapshot, lessons: Sequence[Lesson], most: int) -> str:
    """Returns the lessons between the marks of untrusted text."""
    shown = lessons_for(snapshot, lessons, most)
    return fence(cleaned(lesson.text, TEXT_LIMIT) for lesson in shown) if shown else NONE

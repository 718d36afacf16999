"""What a run that goes on still knows of its deliberations: prompts and lessons; and what it must forget."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from autohedge.agents import learning
from autohedge.core.events import Decision, DeliberationRequested, JournalEntry, PromptsChanged
from autohedge.core.units import NS_PER_MINUTE
from autohedge.llm.parsing import parse_answer
from autohedge.llm.transcript import TranscriptEntry, TranscriptIndex, read
from autohedge.llm.usage import TokenUsage, total_usage
from autohedge.tools.lessons import Lesson


def prompts_in_force(first: Mapping[str, str], record: Iterable[JournalEntry]) -> dict[str, str]:
    """Each agent's prompt at the end of a record, by the name of its stored file; `first` are the genesis' ones."""
    names = dict(first)
    for entry in record:
        if isinstance(entry.event, PromptsChanged):
            names |= entry.event.prompts
    return names


def restore_lessons(path: Path, record: Iterable[JournalEntry]) -> list[Lesson]:
    """The lessons of a record, from the transcript at `path`, which loses what the record does not know.

    With the end of a record go its last questions, and their numbers are given again. Raises Corrupt for a
    damaged transcript.
    """
    last, taught = 0, list[Decision]()
    for entry in record:
        if isinstance(entry.event, DeliberationRequested):
            last = max(last, entry.event.number)
        elif isinstance(entry.event, Decision) and entry.event.verdict == "lesson":
            taught.append(entry.event)
    transcript = TranscriptIndex(path)
    if (end := transcript.end_of(last)) is not None:
        os.truncate(path, end)
    lessons = (lesson_of(decision, transcript.lines(decision.number)) for decision in taught)
    return [lesson for lesson in lessons if lesson]


def restore_usage(path: Path) -> TokenUsage:
    """What the calls in a transcript cost. Raises Corrupt for a damaged one."""
    return (
        total_usage(line.recorded_call for line in read(path) if line.request)
        if path.is_file()
        else TokenUsage()
    )


def lesson_of(decision: Decision, lines: list[TranscriptEntry]) -> Lesson | None:
    """What a decision taught; None if its lines went with the power."""
    response = lines[-1].response if lines else None
    answer = parse_answer(response, learning.LessonAnswer).answer if response else None
    if answer is None:
        return None
    expires_ns = decision.at_ns + answer.valid_for_minutes * NS_PER_MINUTE
    return Lesson(decision.at_ns, expires_ns, answer.lesson)

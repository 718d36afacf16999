"""Restores prompts, lessons and usage of a run after a restart."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from autohedge.agents import learning
from autohedge.core.events import Decision, JournalEntry, PromptsChanged
from autohedge.core.units import NS_PER_MINUTE
from autohedge.llm.parsing import parse_answer
from autohedge.llm.transcript import TranscriptEntry, TranscriptIndex, read
from autohedge.llm.usage import TokenUsage, total_usage
from autohedge.tools.lessons import Lesson


def prompts_in_force(first: Mapping[str, str], record: Iterable[JournalEntry]) -> dict[str, str]:
    """Returns each agent's prompt file at the end of a record; `first` holds those of the genesis."""
    names = dict(first)
    for entry in record:
        if isinstance(entry.event, PromptsChanged):
            names |= entry.event.prompts
    return names


def restore_lessons(path: Path, record: Iterable[JournalEntry]) -> list[Lesson]:
    """Returns the lessons of a record from the transcript at `path`. Raises Corrupt if it is damaged."""
    decisions = (entry.event for entry in record if isinstance(entry.event, Decision))
    taught = [decision for decision in decisions if decision.verdict == "lesson"]
    transcript = TranscriptIndex(path)
    lessons = (lesson_of(decision, transcript.lines(decision.number)) for decision in taught)
    return [lesson for lesson in lessons if lesson]


def restore_usage(path: Path) -> TokenUsage:
    """Returns the usage of all calls in a transcript. Raises Corrupt if it is damaged."""
    return (
        total_usage(line.recorded_call for line in read(path) if line.request)
        if path.is_file()
        else TokenUsage()
    )


def lesson_of(decision: Decision, lines: list[TranscriptEntry]) -> Lesson | None:
    """Returns the lesson of a decision; None if its lines were lost in a power failure."""
    last = lines[-1] if lines else None
    if last is None or last.request is None or last.response is None:
        return None
    answer = parse_answer(last.response, last.request, learning.LessonAnswer).answer
    if answer is None:
        return None
    expires_ns = decision.at_ns + answer.valid_for_minutes * NS_PER_MINUTE
    return Lesson(decision.at_ns, expires_ns, answer.lesson)

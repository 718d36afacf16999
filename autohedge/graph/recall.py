"""What a run that goes on still knows of its deliberations: prompts and lessons; and what it must forget."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from autohedge.agents import learning
from autohedge.core.events import Decision, Deliberate, Entry, PromptsChanged
from autohedge.graph.deliberator import NS_PER_MINUTE
from autohedge.llm.answers import judge
from autohedge.llm.spending import Spent, spent_on
from autohedge.llm.transcript import Indexed, Line, read
from autohedge.tools.lessons import Lesson


def prompts_in_force(first: Mapping[str, str], record: Iterable[Entry]) -> dict[str, str]:
    """Each agent's prompt at the end of a record, by the name of its stored file; `first` are the genesis' ones."""
    names = dict(first)
    for entry in record:
        if isinstance(entry.event, PromptsChanged):
            names |= entry.event.prompts
    return names


def recall(path: Path, record: Iterable[Entry]) -> list[Lesson]:
    """The lessons of a record, from the transcript at `path`, which loses what the record does not know.

    With the end of a record go its last questions, and their numbers are given again. Raises Corrupt for a
    damaged transcript.
    """
    last, taught = 0, list[Decision]()
    for entry in record:
        if isinstance(entry.event, Deliberate):
            last = max(last, entry.event.number)
        elif isinstance(entry.event, Decision) and entry.event.verdict == "lesson":
            taught.append(entry.event)
    transcript = Indexed(path)
    if (end := transcript.end_of(last)) is not None:
        os.truncate(path, end)
    lessons = (lesson_of(decision, transcript.lines(decision.number)) for decision in taught)
    return [lesson for lesson in lessons if lesson]


def spent(path: Path) -> Spent:
    """What the calls in a transcript cost. Raises Corrupt for a damaged one."""
    return spent_on(line.said for line in read(path) if line.request) if path.is_file() else Spent()


def lesson_of(decision: Decision, lines: list[Line]) -> Lesson | None:
    """What a decision taught; None if its lines went with the power."""
    response = lines[-1].response if lines else None
    answer = judge(response, learning.Lesson).answer if response else None
    if answer is None:
        return None
    expires_ns = decision.at_ns + answer.valid_for_minutes * NS_PER_MINUTE
    return Lesson(decision.at_ns, expires_ns, answer.lesson)

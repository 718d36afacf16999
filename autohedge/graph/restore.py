"""Restores prompts, lessons and usage of a run after a restart."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from autohedge.agents.learning import LessonAnswer
from autohedge.config.sections import LLMSettings
from autohedge.core.events import Decision, JournalEntry, PromptsChanged, Restarted
from autohedge.core.units import NS_PER_MINUTE
from autohedge.engine.deliberations.scheduler import BYPASS, CACHE
from autohedge.llm.parsing import parse_answer
from autohedge.llm.prices import NO_PRICES, PriceTable
from autohedge.llm.transcript import TranscriptEntry, TranscriptIndex, read, read_hashes
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


def restore_usage(path: Path, prices: PriceTable = NO_PRICES) -> TokenUsage:
    """Returns the usage of all calls in a transcript, at these prices. Raises Corrupt if it is damaged."""
    return total_usage((line.recorded_call for line in read(path) if line.request), prices)


def last_number(path: Path) -> int:
    """Returns the highest number of a deliberation in a transcript; 0 without lines."""
    return max((number for number, _ in read_hashes(path)), default=0)


def missing_lines(path: Path, record: Iterable[JournalEntry]) -> dict[Decision, int]:
    """Returns the decisions of a record whose lines a transcript lacks, each with the number of these lines.

    Raises Corrupt if the transcript is damaged.
    """
    known = {line_hash for _, line_hash in read_hashes(path)}
    decisions = (entry.event for entry in record if isinstance(entry.event, Decision))
    return {decision: count for decision in decisions if (count := len(set(decision.calls) - known))}


def missing_answers(path: Path, record: Sequence[JournalEntry]) -> tuple[int, ...]:
    """Returns the deliberations whose lines a transcript lacks, apart from those that a restart named before."""
    named = {
        number
        for entry in record
        if isinstance(entry.event, Restarted)
        for number in entry.event.missing_answers
    }
    return tuple(sorted({decision.number for decision in missing_lines(path, record)} - named))


def largest_usage(
    missing: Mapping[Decision, int], llm: LLMSettings, prices: PriceTable = NO_PRICES
) -> TokenUsage:
    """Returns the largest usage that missing lines can have: every retry made, the whole context used."""
    calls = sum(count for decision, count in missing.items() if decision.source not in (BYPASS, CACHE))
    tries = calls * (1 + llm.retries)
    tokens = tries * llm.context_tokens
    return TokenUsage(tries, tokens, 0, prices.largest_cost_of_any(tokens))


def lesson_of(decision: Decision, lines: list[TranscriptEntry]) -> Lesson | None:
    """Returns the lesson of a decision; None if its lines were lost in a power failure."""
    last = lines[-1] if lines else None
    if last is None or last.request is None or last.response is None:
        return None
    answer = parse_answer(last.response, last.request, LessonAnswer).answer
    if answer is None:
        return None
    expires_ns = decision.at_ns + answer.valid_for_minutes * NS_PER_MINUTE
    return Lesson(decision.at_ns, expires_ns, answer.lesson)

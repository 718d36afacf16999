"""The first answer: each recorded question asked again on its own snapshot, with nothing but the change different."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from autohedge.app import NO_MODELS
from autohedge.core.events import Decision
from autohedge.graph.prompt_builder import recorded_prompts
from autohedge.graph.restore import lesson_of
from autohedge.graph.service import BackendInfo
from autohedge.llm.errors import one_line
from autohedge.llm.replay_client import RecordFirstClient
from autohedge.llm.transcript import TranscriptEntry, lines_of
from autohedge.tools.lessons import Lesson
from autohedge.whatif.change import Plan
from autohedge.whatif.decision_view import DecisionView, transition, view_of
from autohedge.whatif.recorded_run import Record, RecordedQuestion
from autohedge.whatif.services import ReplayingService, variant_service

TEAM = 3  # agents after the Director, who are asked at most
Notify = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class DecisionPair:
    """One question, asked on the tape at `at_ns`: what it came to then, and what now."""

    number: int
    at_ns: int
    symbol: str
    was: DecisionView
    now: DecisionView

    @property
    def same(self) -> bool:
        """Whether nothing but the reason differs."""
        return self.was == self.now


@dataclass(slots=True)
class ReaskResult:
    """What came of asking again; `no_question_reason` says in a sentence why nobody was asked, empty where somebody could be.

    `reused` requests had a recorded answer that still holds, `sent_count` were sent to `who`, `service_ms` is how long
    those took in all. What was not asked again: questions that a `bypass` or the `cache` answered, that
    `unreached` never came to an agent, that were `unanswered`. `lessons` are those learned, and when.
    """

    no_question_reason: str = ""
    who: BackendInfo = field(default_factory=BackendInfo)
    compared: list[DecisionPair] = field(default_factory=list)
    reused: int = 0
    sent_count: int = 0
    service_ms: float = 0.0
    bypassed: int = 0
    cached: int = 0
    unreached: int = 0
    unanswered: int = 0
    lessons: list[tuple[int, int, str]] = field(default_factory=list)
    lines: dict[int, list[TranscriptEntry]] = field(default_factory=dict)

    @property
    def changed(self) -> list[DecisionPair]:
        """The questions that come to something else now."""
        return [each for each in self.compared if not each.same]

    @property
    def transitions(self) -> Counter[str]:
        """How often a decision changed which way."""
        return Counter(transition(each.was, each.now) for each in self.changed)

    def abstentions(self, *, now: bool) -> Counter[str]:
        """The codes of abstentions, then or now."""
        views = [each.now if now else each.was for each in self.compared]
        return Counter(each.code for each in views if each.verdict == "abstain")


def reask(record: Record, plan: Plan, notify: Notify) -> ReaskResult:
    """Ask all questions of a record again that reached an agent.

    Raises Corrupt for a damaged transcript, Misconfigured and Unavailable as opening a model does.
    """
    if not plan.uses_agents:
        return ReaskResult(no_question_reason="nothing is asked: in hft mode no agent decides")
    if not record.pasts:
        return ReaskResult(no_question_reason="nothing is asked again: the recorded run asked nothing")
    return asyncio.run(_Reasker(record, plan, notify).all())


def reusable_entries(plan: Plan, lines: list[TranscriptEntry]) -> list[TranscriptEntry]:
    """What of recorded lines still holds."""
    if plan.failures_reusable:
        return lines
    return [line for line in lines if answered(line)] if plan.answers_reusable else []


def answered(line: TranscriptEntry) -> bool:
    """Whether a line has an answer that came in time."""
    return line.response is not None and line.outcome != "deadline"


def select_questions(record: Record, found: ReaskResult) -> tuple[list[RecordedQuestion], list[Lesson]]:
    """The questions that are to be asked again, and all that the run learned; the others are counted."""
    wanted, lessons = [], []
    for past in record.pasts.values():
        decision, lines = past.decision, record.lines(past)
        if decision is None or not lines:
            found.unanswered += 1
        elif past.question.kind == "learning":
            lessons += _learned(decision, lines, found)
        elif decision.source == "bypass":
            found.bypassed += 1
        elif decision.source == "cache":
            found.cached += 1
        elif lines[0].request is None:
            found.unreached += 1
        else:
            wanted.append(past)
    return wanted, lessons


def _learned(decision: Decision, lines: list[TranscriptEntry], found: ReaskResult) -> list[Lesson]:
    lesson = lesson_of(decision, lines) if decision.verdict == "lesson" else None
    if lesson is None:
        return []
    found.lessons.append((decision.number, decision.asked_ns, one_line(lesson.text)))
    return [lesson]


class _Reasker:
    """Asks one question after the other, as slowly as they are answered."""

    def __init__(self, record: Record, plan: Plan, notify: Notify) -> None:
        self._record, self._plan, self._notify = record, plan, notify
        self._found = ReaskResult()
        self._lines: list[TranscriptEntry] = []
        self._prompts: Mapping[str, str] = record.manifest.prompts

    async def all(self) -> ReaskResult:
        """Ask all of them."""
        assert self._plan.sources
        wanted, lessons = select_questions(self._record, self._found)
        service = await variant_service(
            self._record, self._plan, self._plan.sources, lambda _: self._known(), cache_verdicts=False
        )
        self._found.who = service.ready
        try:
            self._foretell(service, wanted)
            for done, past in enumerate(wanted):
                await self._one(service, past, lessons)
                self._announce_duration(service, len(wanted) - done - 1)
        finally:
            await service.close()
        return self._found

    async def _one(self, service: ReplayingService, past: RecordedQuestion, lessons: list[Lesson]) -> None:
        question, decision = past.question, past.decision
        assert decision
        self._lines = self._record.lines(past)
        snapshot = self._record.snapshot(past, self._lines)
        self._edit(service, past.prompts)
        result = await service.deliberate(question, snapshot, lessons)
        new = lines_of(question.number, snapshot, result.calls, result.outcome, result.failure)
        self._found.lines[question.number] = new
        was, now = (
            view_of(decision, self._lines),
            view_of(result.decision(question, decision.at_ns, ()), new),
        )
        self._found.compared.append(DecisionPair(question.number, question.at_ns, question.symbol, was, now))

    def _edit(self, service: ReplayingService, prompts: Mapping[str, str]) -> None:
        """Ask with the prompts that were in force then, where a person had edited them meanwhile."""
        if prompts != self._prompts:
            self._prompts = prompts
            assert self._plan.sources
            then = recorded_prompts(prompts, self._record.folder.stored_file)
            service.update_prompts({**self._plan.sources.prompts, **then, **self._plan.own})

    def _known(self) -> list[TranscriptEntry]:
        return reusable_entries(self._plan, self._lines)

    def _foretell(self, service: ReplayingService, wanted: list[RecordedQuestion]) -> None:
        """How many calls a real model will get at most."""
        ready, samples = service.ready, self._plan.settings.agents.director.samples
        calls = sum(samples + (TEAM if past.question.kind == "trade" else 0) for past in wanted)
        if ready.server not in NO_MODELS:
            who = f"{ready.provider} · {ready.model} ({ready.server})"
            self._notify(f"[LLM] {who}: {len(wanted)} questions again, {calls} calls at most")

    def _announce_duration(self, service: ReplayingService, left: int) -> None:
        """After the first answer that was not known, say how long the others will take."""
        client, found = service.client, self._found
        assert isinstance(client, RecordFirstClient)
        first = client.sent_count and not found.sent_count
        found.reused, found.sent_count, found.service_ms = client.reused, client.sent_count, client.service_ms
        if first and service.ready.server not in NO_MODELS:
            ms = client.service_ms
            self._notify(
                f"[LLM] the first question took {ms / 1e3:.1f} s: {left} more, about {left * ms / 6e4:.1f} minutes"
            )

"""The first part of a study: re-asks each recorded question on its own snapshot, with the change applied."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from autohedge.config.sections import NO_MODELS
from autohedge.core.events import Decision
from autohedge.graph.prompt_builder import recorded_prompts
from autohedge.graph.recorded_service import ReplayingService
from autohedge.graph.restore import lesson_of
from autohedge.graph.service import BackendInfo
from autohedge.llm.errors import one_line
from autohedge.llm.replay_senders import RecordFirstSender
from autohedge.llm.transcript import TranscriptEntry, lines_of
from autohedge.tools.lessons import Lesson
from autohedge.whatif.change import Plan
from autohedge.whatif.decision_view import DecisionView, transition, view_of
from autohedge.whatif.recorded_run import Record, RecordedQuestion
from autohedge.whatif.services import variant_service

TEAM = 3  # Quant, Risk and Execution, which are called after the Director at most
Notify = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class DecisionPair:
    """One question, asked at `at_ns` of the tape: its recorded outcome and its outcome with the change."""

    number: int
    at_ns: int
    symbol: str
    was: DecisionView
    now: DecisionView

    @property
    def same(self) -> bool:
        """Whether the outcomes are equal; their reasons may differ."""
        return self.was == self.now


@dataclass(slots=True)
class ReaskResult:
    """The outcome of re-asking; `no_question_reason` is why no question was re-asked, else empty.

    `reused` requests had a recorded answer that still holds, `sent_count` requests were sent to `who`, and
    `service_ms` is how long those took in total. Questions not re-asked are counted: `bypassed` and `cached`
    had their answer from a bypass or the verdict cache, `unreached` abstained before the first request,
    `unanswered` have no decision or no entry in the record. `lessons` are number, time and text of the
    recorded ones; `lines` are the new transcript entries by question.
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
        """The questions whose outcome differs."""
        return [each for each in self.compared if not each.same]

    @property
    def transitions(self) -> Counter[str]:
        """The number of changed decisions by the way they changed."""
        return Counter(transition(each.was, each.now) for each in self.changed)

    def abstentions(self, *, now: bool) -> Counter[str]:
        """Counts the abstentions by code: those with the change if `now`, else the recorded ones."""
        views = [each.now if now else each.was for each in self.compared]
        return Counter(each.code for each in views if each.verdict == "abstain")


def reask(record: Record, plan: Plan, notify: Notify) -> ReaskResult:
    """Re-asks all questions of a record that reached an agent.

    Raises Corrupt for a damaged transcript, Misconfigured or Unavailable if the backend cannot be opened.
    """
    if not plan.uses_agents:
        return ReaskResult(no_question_reason="no question is asked: hft mode uses no agents")
    if not record.pasts:
        return ReaskResult(no_question_reason="no question is re-asked: the recorded run has none")
    return asyncio.run(_Reasker(record, plan, notify).all())


def reusable_entries(plan: Plan, lines: list[TranscriptEntry]) -> list[TranscriptEntry]:
    """Returns the recorded entries that hold for the variant as well."""
    if plan.failures_reusable:
        return lines
    return [line for line in lines if answered(line)] if plan.answers_reusable else []


def answered(line: TranscriptEntry) -> bool:
    """Whether an entry has an answer that arrived in time."""
    return line.response is not None and line.outcome != "deadline"


def select_questions(record: Record, found: ReaskResult) -> tuple[list[RecordedQuestion], list[Lesson]]:
    """Returns the questions to re-ask and all lessons of the run; counts the other questions in `found`."""
    wanted, lessons = [], []
    for past in record.pasts.values():
        decision, lines = past.decision, record.lines(past)
        if decision is None or not lines:
            found.unanswered += 1
        elif past.question.kind == "learning":
            lessons += _learned(decision, lines, found)
        # Sources before the check for a request: bypassed and cached questions have no request either.
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
    """Re-asks the questions one after the other: each answer is awaited before the next request."""

    def __init__(self, record: Record, plan: Plan, notify: Notify) -> None:
        self._record, self._plan, self._notify = record, plan, notify
        self._found = ReaskResult()
        self._lines: list[TranscriptEntry] = []
        self._prompts: Mapping[str, str] = record.manifest.prompts

    async def all(self) -> ReaskResult:
        """Re-asks all questions; returns the result."""
        assert self._plan.sources
        wanted, lessons = select_questions(self._record, self._found)
        # Without the verdict cache: every question must be answered for its own snapshot.
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
        # Entries as a run writes them, so that the simulation of the variant finds these answers by request.
        new = lines_of(question.number, snapshot, result.calls, result.outcome, result.failure)
        self._found.lines[question.number] = new
        was, now = (
            view_of(decision, self._lines),
            view_of(result.decision(question, decision.at_ns, ()), new),
        )
        self._found.compared.append(DecisionPair(question.number, question.at_ns, question.symbol, was, now))

    def _edit(self, service: ReplayingService, prompts: Mapping[str, str]) -> None:
        """Applies prompt edits made during the recorded run; the prompts of the change stay in place."""
        if prompts != self._prompts:
            self._prompts = prompts
            assert self._plan.sources
            then = recorded_prompts(prompts, self._record.folder.stored_file)
            # Later ones win: the recorded edit replaces the prompt of the start, the change replaces both.
            service.update_prompts({**self._plan.sources.prompts, **then, **self._plan.own})

    def _known(self) -> list[TranscriptEntry]:
        return reusable_entries(self._plan, self._lines)

    def _foretell(self, service: ReplayingService, wanted: list[RecordedQuestion]) -> None:
        """Announces the maximum number of LLM calls; silent for backends that call no model."""
        ready, samples = service.ready, self._plan.settings.agents.director.samples
        calls = sum(samples + (TEAM if past.question.kind == "trade" else 0) for past in wanted)
        if ready.server not in NO_MODELS:
            who = f"{ready.provider} · {ready.model} ({ready.server})"
            self._notify(f"[LLM] {who}: {len(wanted)} questions to re-ask, {calls} calls at most")

    def _announce_duration(self, service: ReplayingService, left: int) -> None:
        """Announces the expected duration, once, after the first question that was sent to a model."""
        sender, found = service.sender, self._found
        assert isinstance(sender, RecordFirstSender)
        first = sender.sent_count and not found.sent_count
        found.reused, found.sent_count, found.service_ms = sender.reused, sender.sent_count, sender.service_ms
        if first and service.ready.server not in NO_MODELS:
            ms = sender.service_ms
            self._notify(
                f"[LLM] the first question took {ms / 1e3:.1f} s;"
                f" {left} more take about {left * ms / 6e4:.1f} minutes"
            )

"""The replay of deliberations: each is rendered, run and validated again from its record.

A deliberation is rendered from the prompts that were in force at its request in the journal. Prompts,
headlines and settings are those of the run. Only answers and failures of models, and timestamps, come from
the transcript. No model, server or key is needed.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from autohedge.config import Settings
from autohedge.core.errors import Corrupt
from autohedge.core.events import Decision, DeliberationRequested, PromptsChanged, Restarted
from autohedge.core.snapshots import Snapshot
from autohedge.graph.prompt_builder import PromptBuilder, PromptFiles, recorded_prompts
from autohedge.graph.replay_diff import ABSENT, DeliberationDifference, Mismatch
from autohedge.graph.replay_versions import DeliberationComparison, VersionDifferences
from autohedge.graph.restore import lesson_of
from autohedge.graph.runner import DeliberationResult, GraphRunner, abstention
from autohedge.journal import RunFolder, read
from autohedge.journal.genesis import AgentsManifest, Genesis
from autohedge.llm.client import LLMClient
from autohedge.llm.prices import PriceTable
from autohedge.llm.replay_senders import NullBackend, RecordedVerdicts, ReplaySender
from autohedge.llm.transcript import TranscriptEntry, TranscriptIndex, lines_of
from autohedge.tools.lessons import Lesson

TRUSTED_CODES = frozenset({"queue_full", "deadline", "worker_died", "node_error", "graph_error"})
"""Outcomes without a call that are accepted as recorded, since a snapshot cannot reproduce them."""


@dataclass(slots=True)
class DeliberationReplay:
    """The result of a replay.

    `reread` counts deliberations that were replayed, `requests` their requests, which were rendered to the
    same bytes. `taken_over` counts those whose outcome was accepted as recorded (TRUSTED_CODES). `unanswered`
    deliberations have neither a decision nor a line. `ahead` counts deliberations in the transcript of a
    killed run that its journal does not have, `lost` those whose lines a restart found missing. `versions` is set for a run of another version, and has the
    differences that this explains; `difference` is the first other one.
    """

    reread: int = 0
    requests: int = 0
    taken_over: int = 0
    unanswered: int = 0
    ahead: int = 0
    lost: int = 0
    difference: DeliberationDifference | None = None
    versions: VersionDifferences | None = None


@dataclass(slots=True)
class _RecordedDeliberation:
    """A deliberation in the journal: its request, the files of its prompts, and its decisions.

    A forged journal can have a decision without a request, or several decisions for one request.
    """

    question: DeliberationRequested | None = None
    prompts: dict[str, str] = field(default_factory=dict)
    decisions: list[Decision] = field(default_factory=list)
    lost: bool = False

    @property
    def decision(self) -> Decision | None:
        return self.decisions[0] if self.decisions else None

    @property
    def symbol(self) -> str:
        event = self.question or self.decision
        return event.symbol if event else "?"


def replay_deliberations(folder: RunFolder, settings: Settings, genesis: Genesis) -> DeliberationReplay:
    """Replays all deliberations of a record up to the first difference; `settings` are the recorded ones.

    Raises Corrupt if a hash does not match, and Misconfigured if a recorded prompt cannot be read.
    """
    manifest = genesis.agents_manifest
    transcript = TranscriptIndex(folder.transcript)
    questions, lost_to = _recorded_deliberations(folder, manifest.prompts)
    sources = PromptFiles.recorded(msgspec.to_builtins(manifest), folder.stored_file)
    first = PromptBuilder.of(sources, settings.tools, settings.resolved_agents)
    found = DeliberationReplay(versions=VersionDifferences.of(genesis))
    deliberator = _Deliberator(settings, manifest, first, folder.stored_file, found)
    reader = _Replayer(transcript, questions, deliberator, found)
    with _untraced():
        return asyncio.run(reader.read(finished=folder.results.is_file(), lost_to=lost_to))


def _untraced() -> AbstractContextManager[None]:
    """Returns a context without LangGraph's tracing, which would send the replay to a third party."""
    from langsmith import tracing_context

    untraced: AbstractContextManager[None] = tracing_context(enabled=False)
    return untraced


def _recorded_deliberations(
    folder: RunFolder, prompts: dict[str, str]
) -> tuple[dict[int, _RecordedDeliberation], int]:
    """Returns the deliberations of the journal by number, and the number up to which a restart lost some.

    `prompts` are in force at the start.
    Raises Corrupt for a change of prompts with a changed or missing file, or of an unknown agent.
    """
    questions, lost_to = dict[int, _RecordedDeliberation](), 0
    for line in read(folder.journal):
        match line.event:
            case DeliberationRequested() as question:
                at = questions.setdefault(question.number, _RecordedDeliberation())
                at.question, at.prompts = question, prompts
            case Decision() as decision:
                questions.setdefault(decision.number, _RecordedDeliberation()).decisions.append(decision)
            case PromptsChanged() as changed:
                prompts = _changed(prompts, changed, folder)
            case Restarted() as restarted:
                lost_to = max(lost_to, restarted.last_number)
                for number in restarted.missing_answers:
                    questions.setdefault(number, _RecordedDeliberation()).lost = True
    return questions, lost_to


def _changed(prompts: dict[str, str], changed: PromptsChanged, folder: RunFolder) -> dict[str, str]:
    for agent, file in changed.prompts.items():
        if agent not in prompts:
            raise Corrupt(f"{folder.journal}: the prompt of {agent!r} changed, but the run has no such agent")
        folder.stored_file(file)  # raises Corrupt for a changed file
    return prompts | changed.prompts


class _Deliberator:
    """Repeats deliberations from their lines, with one graph runner for each set of prompts of the run."""

    def __init__(
        self,
        settings: Settings,
        manifest: AgentsManifest,
        first: PromptBuilder,
        stored_file: Callable[[str], Path],
        found: DeliberationReplay,
    ) -> None:
        changed = found.versions.changed if found.versions else ()
        self._cache = RecordedVerdicts(checks_keys="schema" not in changed)
        backend = NullBackend(manifest.provider, manifest.model)
        self._sender = ReplaySender(settings.llm.context_tokens, backend)
        prices = PriceTable.of(settings, manifest.provider, manifest.model)
        client = LLMClient(self._sender, settings.llm, prices=prices)
        self._first, self._stored_file = GraphRunner(client, first, verdicts=self._cache), stored_file
        self._made: dict[tuple[tuple[str, str], ...], GraphRunner] = {}

    async def run(
        self, prompts: Mapping[str, str], lines: list[TranscriptEntry], lessons: Sequence[Lesson]
    ) -> DeliberationResult:
        """Repeats the deliberation of these lines. Raises Misconfigured if a prompt cannot be read."""
        assert lines[0].snapshot
        self._sender.begin(lines)
        self._cache.verdict = lines[0].cached
        return await self._runner(prompts).run(lines[0].snapshot, lessons)

    def _runner(self, prompts: Mapping[str, str]) -> GraphRunner:
        key = tuple(sorted(prompts.items()))
        if key not in self._made:
            self._made[key] = self._first.with_prompts(recorded_prompts(prompts, self._stored_file))
        return self._made[key]


class _Replayer:
    """Replays one run, one deliberation after the other, and collects its lessons."""

    def __init__(
        self,
        transcript: TranscriptIndex,
        questions: Mapping[int, _RecordedDeliberation],
        deliberator: _Deliberator,
        found: DeliberationReplay,
    ) -> None:
        self._transcript, self._questions = transcript, questions
        self._changed = found.versions.changed if found.versions else ()
        self._deliberator = deliberator
        self._lessons: list[Lesson] = []
        self._lesson_lost = False
        self._found = found

    async def read(self, *, finished: bool, lost_to: int) -> DeliberationReplay:
        found, last = self._found, max(self._questions, default=0)
        for number in sorted(self._questions.keys() | self._transcript.deliberations):
            # A crash can lose the end of the journal while the transcript keeps its lines.
            lost = number <= lost_to or (number > last and not finished)
            if number not in self._questions and lost:
                found.ahead += 1
                continue
            found.difference = await self._one(number)
            if found.difference:
                break
        return found

    async def _one(self, number: int) -> DeliberationDifference | None:
        recorded, lines = self._questions.get(number, _RecordedDeliberation()), self._transcript.lines(number)
        if recorded.lost:
            self._found.lost += 1
            return None
        if not lines and recorded.question and not recorded.decisions:
            self._found.unanswered += 1
            return None
        if wrong := _unsound(recorded, lines):
            call, parting = wrong
            return DeliberationDifference(number, _symbol(recorded, lines), call, *parting)
        assert recorded.question
        assert lines[0].snapshot
        result = await self._result(recorded.prompts, lines)
        return self._compared(recorded.question, recorded.decision, lines, lines[0].snapshot, result)

    def _compared(
        self,
        question: DeliberationRequested,
        decision: Decision | None,
        lines: list[TranscriptEntry],
        snapshot: Snapshot,
        result: DeliberationResult,
    ) -> DeliberationDifference | None:
        outcome, cached_verdict = result.outcome, result.cached_verdict
        remade = lines_of(question.number, snapshot, result.calls, outcome, cached_verdict=cached_verdict)
        comparison = DeliberationComparison(self._changed, decision, result, lesson_lost=self._lesson_lost)
        difference = self._first_difference(question, lines, remade, comparison)
        if self._found.versions:
            self._found.versions.add(question.number, question.symbol, comparison.explained)
        return difference

    def _first_difference(
        self,
        question: DeliberationRequested,
        lines: list[TranscriptEntry],
        remade: list[TranscriptEntry],
        comparison: DeliberationComparison,
    ) -> DeliberationDifference | None:
        # Requests first: a difference there explains all later ones.
        if wrong := comparison.first_call(lines, remade):
            call, (what, recorded, replayed) = wrong
            why = f" ({comparison.result.failure})" if comparison.result.failure else ""
            return DeliberationDifference(
                question.number, question.symbol, call, what, recorded, replayed + why
            )
        self._found.reread += 1
        self._found.requests += comparison.requests
        decision = comparison.decision
        return self._decided(question, decision, lines, comparison) if decision else None

    async def _result(self, prompts: Mapping[str, str], lines: list[TranscriptEntry]) -> DeliberationResult:
        if lines[0].request is None and lines[0].outcome in TRUSTED_CODES:
            self._found.taken_over += 1
            return abstention(lines[0].outcome)
        return await self._deliberator.run(prompts, lines, self._lessons)

    def _decided(
        self,
        question: DeliberationRequested,
        decision: Decision,
        lines: list[TranscriptEntry],
        comparison: DeliberationComparison,
    ) -> DeliberationDifference | None:
        result, hashes = comparison.result, tuple(line.hash for line in lines)
        if wrong := comparison.of_decision(decision, result.decision(question, decision.at_ns, hashes)):
            return DeliberationDifference(question.number, question.symbol, None, *wrong)
        if comparison.as_recorded:
            lesson = lesson_of(decision, lines) if decision.verdict == "lesson" else None
            self._lesson_lost |= decision.verdict == "lesson" and lesson is None
        else:
            lesson = result.lesson(decision.at_ns)
        if lesson:
            self._lessons.append(lesson)
        return None


def _symbol(recorded: _RecordedDeliberation, lines: list[TranscriptEntry]) -> str:
    return lines[0].symbol if recorded.symbol == "?" and lines else recorded.symbol


def _unsound(
    recorded: _RecordedDeliberation, lines: list[TranscriptEntry]
) -> tuple[int | None, Mismatch] | None:
    """Returns the defect that prevents a replay, and its call if it has one; None if the record is sound."""
    if recorded.question is None:
        return None, ("question", "lines" if lines else "a decision", "no question in the journal")
    if len(recorded.decisions) > 1:
        return None, ("decision", f"{len(recorded.decisions)} decisions", "one")
    if not lines:
        return None, ("transcript", ABSENT, "the lines that its decision names")
    return _out_of_turn(lines) or _other_snapshot(recorded.question, lines[0].snapshot)


def _out_of_turn(lines: list[TranscriptEntry]) -> tuple[int, Mismatch] | None:
    """Returns the first call that is missing or duplicated."""
    for call, line in enumerate(lines):
        if line.call != call:
            return call, ("transcript", f"call {line.call}", f"call {call}")
    return None


def _other_snapshot(
    question: DeliberationRequested, snapshot: Snapshot | None
) -> tuple[int, Mismatch] | None:
    found = snapshot.hash if snapshot else ABSENT
    return None if found == question.snapshot else (0, ("snapshot", found, question.snapshot))

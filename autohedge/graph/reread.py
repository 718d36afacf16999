"""The second replay: every deliberation of a run is rendered, asked and judged again from its record.

Each is rendered from the prompts that were in force where the journal has its question. Prompts, headlines and settings are the run's own; only what models said, how they failed, and times come from the
transcript. No model, server or key is needed.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from autohedge.config import Settings
from autohedge.core.errors import Corrupt
from autohedge.core.events import Decision, Deliberate, PromptsChanged
from autohedge.core.snapshots import Snapshot
from autohedge.graph.deliberator import Deliberator, Resolution, abstained
from autohedge.graph.difference import NOTHING, Difference, Parting, first_call, of_decision
from autohedge.graph.materials import Materials, Sources, recorded_prompts
from autohedge.journal import RunFolder, read
from autohedge.journal.genesis import Genesis
from autohedge.llm.replaying import Recorded, Replaying
from autohedge.llm.transcript import Indexed, Line, lines_of
from autohedge.tools.lessons import Lesson

TAKEN_OVER = frozenset({"queue_full", "deadline", "worker_died", "node_error", "graph_error"})
"""Codes of deliberations without a request that are believed: no snapshot tells whether they were so."""


@dataclass(slots=True)
class Reread:
    """What came of it: how many deliberations were run again, and how many requests rendered to the same bytes.

    `taken_over` deliberations never came as far as the graph. `unanswered` ones have neither an answer nor a
    line. `ahead` are in the transcript of a killed run, whose journal lost the question.
    """

    reread: int = 0
    requests: int = 0
    taken_over: int = 0
    unanswered: int = 0
    ahead: int = 0
    difference: Difference | None = None


class _Slow(msgspec.Struct, frozen=True):
    """What a genesis says of who answered."""

    provider: str
    prompts: dict[str, str]
    model: str = ""
    headlines: str | None = None
    markets: dict[str, str] = {}


@dataclass(slots=True)
class _Asked:
    """A question of the journal, the files of its prompts, and what was decided.

    A forged journal may know a decision without a question, or the other way round.
    """

    question: Deliberate | None = None
    prompts: dict[str, str] = field(default_factory=dict)
    decisions: list[Decision] = field(default_factory=list)

    @property
    def decision(self) -> Decision | None:
        return self.decisions[0] if self.decisions else None

    @property
    def symbol(self) -> str:
        event = self.question or self.decision
        return event.symbol if event else "?"


def reread(folder: RunFolder, settings: Settings, genesis: Genesis) -> Reread:
    """Run all deliberations of a record again, up to the first difference; `settings` are the recorded ones.

    Raises Corrupt where a hash does not fit, Misconfigured where a recorded prompt cannot be read.
    """
    slow = _slow(genesis)
    transcript, asked = Indexed(folder.transcript), _asked(folder, slow.prompts)
    sources = Sources.recorded(msgspec.to_builtins(slow), folder.kept)
    first = Materials.of(sources, settings.tools, settings.agents)
    reader = _Reader(transcript, asked, settings, _Deliberators(slow, first, folder.kept))
    with _untraced():
        return asyncio.run(reader.read(finished=folder.results.is_file()))


def _untraced() -> AbstractContextManager[None]:
    """LangGraph tells a third party what it does if the environment says so; a replay tells nobody."""
    from langsmith import tracing_context

    untraced: AbstractContextManager[None] = tracing_context(enabled=False)
    return untraced


def _slow(genesis: Genesis) -> _Slow:
    try:
        return msgspec.convert(genesis.slow or {"provider": "", "prompts": {}}, _Slow)
    except msgspec.ValidationError as error:
        raise Corrupt(f"the journal's genesis is damaged: {error}") from None


def _asked(folder: RunFolder, prompts: dict[str, str]) -> dict[int, _Asked]:
    """Every question of the journal by its number, with its decision; `prompts` are in force at first.

    Raises Corrupt for a change of prompts whose files are not what it names, or of an agent that there is not.
    """
    asked: dict[int, _Asked] = {}
    for line in read(folder.journal):
        match line.event:
            case Deliberate() as question:
                at = asked.setdefault(question.number, _Asked())
                at.question, at.prompts = question, prompts
            case Decision() as decision:
                asked.setdefault(decision.number, _Asked()).decisions.append(decision)
            case PromptsChanged() as changed:
                prompts = _changed(prompts, changed, folder)
    return asked


def _changed(prompts: dict[str, str], changed: PromptsChanged, folder: RunFolder) -> dict[str, str]:
    for agent, file in changed.prompts.items():
        if agent not in prompts:
            raise Corrupt(f"{folder.journal}: the prompt of {agent!r} changed, but no such agent was asked")
        folder.kept(file)
    return prompts | changed.prompts


class _Deliberators:
    """A deliberator for each set of prompts that a run had; one that it comes back to is made once."""

    def __init__(self, slow: _Slow, first: Materials, kept: Callable[[str], Path]) -> None:
        self._slow, self._first, self._kept = slow, first, kept
        self._made: dict[tuple[tuple[str, str], ...], Deliberator] = {}

    def of(self, prompts: Mapping[str, str], replaying: Replaying, kept: Recorded) -> Deliberator:
        """The one that these files' prompts belong to. Raises Misconfigured where one cannot be read."""
        key = tuple(sorted(prompts.items()))
        if key not in self._made:
            materials = self._first.edited(recorded_prompts(prompts, self._kept))
            slow = self._slow
            self._made[key] = Deliberator(
                replaying, materials, slow.provider, verdicts=kept, model=slow.model
            )
        return self._made[key]


class _Reader:
    """Reads one run, deliberation after deliberation, and learns its lessons on the way."""

    def __init__(
        self,
        transcript: Indexed,
        asked: Mapping[int, _Asked],
        settings: Settings,
        deliberators: _Deliberators,
    ) -> None:
        self._transcript, self._asked = transcript, asked
        self._replaying = Replaying(settings.llm)
        self._kept = Recorded()
        self._deliberators = deliberators
        self._lessons: list[Lesson] = []
        self._found = Reread()

    async def read(self, *, finished: bool) -> Reread:
        found, last = self._found, max(self._asked, default=0)
        for number in sorted(self._asked.keys() | self._transcript.deliberations):
            if number > last and not finished:
                found.ahead += 1
                continue
            found.difference = await self._one(number)
            if found.difference:
                break
        return found

    async def _one(self, number: int) -> Difference | None:
        asked, lines = self._asked.get(number, _Asked()), self._transcript.lines(number)
        if not lines and asked.question and not asked.decisions:
            self._found.unanswered += 1
            return None
        if wrong := _unsound(asked, lines):
            call, parting = wrong
            return Difference(number, _symbol(asked, lines), call, *parting)
        assert asked.question
        assert lines[0].snapshot
        resolution = await self._resolution(asked.prompts, lines[0].snapshot, lines)
        return self._compared(asked.question, asked.decision, lines, lines[0].snapshot, resolution)

    def _compared(
        self,
        question: Deliberate,
        decision: Decision | None,
        lines: list[Line],
        snapshot: Snapshot,
        resolution: Resolution,
    ) -> Difference | None:
        outcome, kept = resolution.outcome, resolution.kept
        remade = lines_of(question.number, snapshot, resolution.calls, outcome, kept=kept)
        if wrong := first_call(lines, remade, decision):
            call, (what, recorded, replayed) = wrong
            why = f" ({resolution.failure})" if resolution.failure else ""
            return Difference(question.number, question.symbol, call, what, recorded, replayed + why)
        self._found.reread += 1
        self._found.requests += len(resolution.calls)
        return self._decided(question, decision, lines, resolution) if decision else None

    async def _resolution(
        self, prompts: Mapping[str, str], snapshot: Snapshot, lines: list[Line]
    ) -> Resolution:
        if lines[0].request is None and lines[0].outcome in TAKEN_OVER:
            self._found.taken_over += 1
            return abstained(lines[0].outcome)
        self._replaying.begin(lines)
        self._kept.kept = lines[0].kept
        deliberator = self._deliberators.of(prompts, self._replaying, self._kept)
        return await deliberator.deliberate(snapshot, self._lessons)

    def _decided(
        self, question: Deliberate, decision: Decision, lines: list[Line], resolution: Resolution
    ) -> Difference | None:
        again = resolution.decision(question, decision.at_ns, tuple(line.hash for line in lines))
        if wrong := of_decision(decision, again):
            return Difference(question.number, question.symbol, None, *wrong)
        if lesson := resolution.lesson(decision.at_ns):
            self._lessons.append(lesson)
        return None


def _symbol(asked: _Asked, lines: list[Line]) -> str:
    return lines[0].symbol if asked.symbol == "?" and lines else asked.symbol


def _unsound(asked: _Asked, lines: list[Line]) -> tuple[int | None, Parting] | None:
    """What keeps a deliberation from being run again, or from being one."""
    if asked.question is None:
        return None, ("question", "lines" if lines else "a decision", "no question in the journal")
    if len(asked.decisions) > 1:
        return None, ("decision", f"{len(asked.decisions)} decisions", "one")
    if not lines:
        return None, ("transcript", NOTHING, "the lines that its decision names")
    return _out_of_turn(lines) or _other_snapshot(asked.question, lines[0].snapshot)


def _out_of_turn(lines: list[Line]) -> tuple[int, Parting] | None:
    """The first call that is missing, or stands there twice."""
    for call, line in enumerate(lines):
        if line.call != call:
            return call, ("transcript", f"call {line.call}", f"call {call}")
    return None


def _other_snapshot(question: Deliberate, snapshot: Snapshot | None) -> tuple[int, Parting] | None:
    found = snapshot.hash if snapshot else NOTHING
    return None if found == question.snapshot else (0, ("snapshot", found, question.snapshot))

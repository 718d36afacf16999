"""The first answer: each recorded question asked again on its own snapshot, with nothing but the change different."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from autohedge.app import NO_MODELS
from autohedge.core.events import Decision
from autohedge.graph.materials import recorded_prompts
from autohedge.graph.mind import Ready
from autohedge.graph.recall import lesson_of
from autohedge.llm.failures import plain
from autohedge.llm.knowing import Knowing
from autohedge.llm.transcript import Line, lines_of
from autohedge.tools.lessons import Lesson
from autohedge.whatif.change import Plan
from autohedge.whatif.minds import Matched, by_variant
from autohedge.whatif.record import Past, Record
from autohedge.whatif.words import Word, way, word

TEAM = 3  # agents after the Director, who are asked at most
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Compared:
    """One question, asked on the tape at `at_ns`: what it came to then, and what now."""

    number: int
    at_ns: int
    symbol: str
    was: Word
    now: Word

    @property
    def same(self) -> bool:
        """Whether nothing but the reason differs."""
        return self.was == self.now


@dataclass(slots=True)
class Again:
    """What came of asking again; `silent` says in a sentence why nobody was asked, empty where somebody could be.

    `taken` requests had a recorded answer that still holds, `asked` were sent to `who`, `service_ms` is how long
    those took in all. What was not asked again: questions that a `bypass` or the `cache` answered, that
    `unreached` never came to an agent, that were `unanswered`. `lessons` are those learned, and when.
    """

    silent: str = ""
    who: Ready = field(default_factory=Ready)
    compared: list[Compared] = field(default_factory=list)
    taken: int = 0
    asked: int = 0
    service_ms: float = 0.0
    bypassed: int = 0
    cached: int = 0
    unreached: int = 0
    unanswered: int = 0
    lessons: list[tuple[int, int, str]] = field(default_factory=list)
    lines: dict[int, list[Line]] = field(default_factory=dict)

    @property
    def changed(self) -> list[Compared]:
        """The questions that come to something else now."""
        return [each for each in self.compared if not each.same]

    @property
    def ways(self) -> Counter[str]:
        """How often a decision changed which way."""
        return Counter(way(each.was, each.now) for each in self.changed)

    def abstentions(self, *, now: bool) -> Counter[str]:
        """The codes of abstentions, then or now."""
        words = [each.now if now else each.was for each in self.compared]
        return Counter(each.code for each in words if each.verdict == "abstain")


def ask_again(record: Record, plan: Plan, tell: Tell) -> Again:
    """Ask all questions of a record again that reached an agent.

    Raises Corrupt for a damaged transcript, Misconfigured and Unavailable as opening a model does.
    """
    if not plan.asks:
        return Again(silent="nothing is asked: in hft mode no agent decides")
    if not record.pasts:
        return Again(silent="nothing is asked again: the recorded run asked nothing")
    return asyncio.run(_Asking(record, plan, tell).all())


def known_lines(plan: Plan, lines: list[Line]) -> list[Line]:
    """What of recorded lines still holds."""
    if plan.failures_hold:
        return lines
    return [line for line in lines if answered(line)] if plan.answers_hold else []


def answered(line: Line) -> bool:
    """Whether a line has an answer that came in time."""
    return line.response is not None and line.outcome != "deadline"


def sorted_out(record: Record, found: Again) -> tuple[list[Past], list[Lesson]]:
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


def _learned(decision: Decision, lines: list[Line], found: Again) -> list[Lesson]:
    lesson = lesson_of(decision, lines) if decision.verdict == "lesson" else None
    if lesson is None:
        return []
    found.lessons.append((decision.number, decision.asked_ns, plain(lesson.text)))
    return [lesson]


class _Asking:
    """Asks one question after the other, as slowly as they are answered."""

    def __init__(self, record: Record, plan: Plan, tell: Tell) -> None:
        self._record, self._plan, self._tell = record, plan, tell
        self._found = Again()
        self._lines: list[Line] = []
        self._prompts: Mapping[str, str] = record.slow.prompts

    async def all(self) -> Again:
        """Ask all of them."""
        assert self._plan.sources
        wanted, lessons = sorted_out(self._record, self._found)
        mind = await by_variant(
            self._record, self._plan, self._plan.sources, lambda _: self._known(), keeps=False
        )
        self._found.who = mind.ready
        try:
            self._foretell(mind, wanted)
            for done, past in enumerate(wanted):
                await self._one(mind, past, lessons)
                self._say_how_long(mind, len(wanted) - done - 1)
        finally:
            await mind.close()
        return self._found

    async def _one(self, mind: Matched, past: Past, lessons: list[Lesson]) -> None:
        question, decision = past.question, past.decision
        assert decision
        self._lines = self._record.lines(past)
        snapshot = self._record.snapshot(past, self._lines)
        self._edit(mind, past.prompts)
        resolution = await mind.deliberate(question, snapshot, lessons)
        new = lines_of(question.number, snapshot, resolution.calls, resolution.outcome, resolution.failure)
        self._found.lines[question.number] = new
        was, now = word(decision, self._lines), word(resolution.decision(question, decision.at_ns, ()), new)
        self._found.compared.append(Compared(question.number, question.at_ns, question.symbol, was, now))

    def _edit(self, mind: Matched, prompts: Mapping[str, str]) -> None:
        """Ask with the prompts that were in force then, where a person had edited them meanwhile."""
        if prompts != self._prompts:
            self._prompts = prompts
            assert self._plan.sources
            then = recorded_prompts(prompts, self._record.folder.kept)
            mind.edit({**self._plan.sources.prompts, **then, **self._plan.own})

    def _known(self) -> list[Line]:
        return known_lines(self._plan, self._lines)

    def _foretell(self, mind: Matched, wanted: list[Past]) -> None:
        """How many calls a real model will get at most."""
        ready, samples = mind.ready, self._plan.settings.agents.director.samples
        calls = sum(samples + (TEAM if past.question.kind == "trade" else 0) for past in wanted)
        if ready.server not in NO_MODELS:
            who = f"{ready.provider} · {ready.model} ({ready.server})"
            self._tell(f"[LLM] {who}: {len(wanted)} questions again, {calls} calls at most")

    def _say_how_long(self, mind: Matched, left: int) -> None:
        """After the first answer that was not known, say how long the others will take."""
        asker, found = mind.asker, self._found
        assert isinstance(asker, Knowing)
        first = asker.left and not found.asked
        found.taken, found.asked, found.service_ms = asker.taken, asker.left, asker.service_ms
        if first and mind.ready.server not in NO_MODELS:
            ms = asker.service_ms
            self._tell(
                f"[LLM] the first question took {ms / 1e3:.1f} s: {left} more, about {left * ms / 6e4:.1f} minutes"
            )

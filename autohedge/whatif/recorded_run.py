"""A recorded run as the study of another needs it: its questions by their place on the tape, and what was said."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

from autohedge.app import origins_of, recorded_settings
from autohedge.config import Settings
from autohedge.core.errors import Corrupt
from autohedge.core.events import Decision, DeliberationRequested, JournalEntry, PromptsChanged
from autohedge.core.snapshots import Snapshot
from autohedge.engine.engine import Engine
from autohedge.journal import RunFolder
from autohedge.journal.genesis import AgentsManifest, Genesis
from autohedge.journal.verification import verified_lines
from autohedge.llm.transcript import TranscriptEntry, TranscriptIndex
from autohedge.market import Tape, reopen
from autohedge.market.tape import Rows
from autohedge.runtime.observers import NullObserver


class QuestionKey(NamedTuple):
    """Where a question stands: `pos` rows of the tape came before it, `nth` questions of its kind since that row."""

    symbol: str
    kind: str
    pos: int
    nth: int


@dataclass(frozen=True, slots=True)
class RecordedQuestion:
    """A question of a run, and what was decided, if anything was; `prompts` are the files it was rendered from."""

    question: DeliberationRequested
    place: QuestionKey
    decision: Decision | None = None
    prompts: Mapping[str, str] = field(default_factory=dict)


class KeyCounter:
    """Gives each question of a run its place, one after the other."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str, int]] = Counter()

    def of(self, question: DeliberationRequested, pos: int) -> QuestionKey:
        """The place of the next question."""
        where = (question.symbol, question.kind, pos)
        self._counts[where] += 1
        return QuestionKey(*where, self._counts[where] - 1)


class KeyTracker(NullObserver):
    """Watches one run: where on the tape the question stands that was asked last, and which run it is."""

    wants: frozenset[type] = frozenset({DeliberationRequested})

    def __init__(self) -> None:
        self._places = KeyCounter()
        self.run = ""
        self.last: QuestionKey | None = None

    def watch(self, engine: Engine, rows: Rows, run: str) -> Self:  # noqa: ARG002  as all watches
        """Be the watcher of a run."""
        self.run = run
        return self

    def on_event(self, entry: JournalEntry) -> None:
        """Note a question; it is put right after this."""
        if isinstance(entry.event, DeliberationRequested):
            self.last = self._places.of(entry.event, entry.pos)


@dataclass(frozen=True, slots=True)
class Record:
    """A run that was recorded: who answered in it, its questions by number, its transcript, its tape.

    `on_clock` says that it ran on a clock, where answers came when they came.
    """

    folder: RunFolder
    settings: Settings
    manifest: AgentsManifest
    tape: Tape
    pasts: dict[int, RecordedQuestion]
    transcript: TranscriptIndex
    on_clock: bool
    results: dict[str, Any] | None

    def lines(self, past: RecordedQuestion) -> list[TranscriptEntry]:
        """What was said about a question; empty if nothing is known of it."""
        return self.transcript.lines(past.question.number)

    def by_place(self) -> dict[QuestionKey, RecordedQuestion]:
        """The questions by where they stand."""
        return {past.place: past for past in self.pasts.values()}

    def snapshot(self, past: RecordedQuestion, lines: list[TranscriptEntry]) -> Snapshot:
        """What a question showed. Raises Corrupt if the transcript has another than the journal names."""
        number, snapshot = past.question.number, lines[0].snapshot
        if snapshot is None or snapshot.hash != past.question.snapshot:
            raise Corrupt(
                f"{self.folder.transcript}: what question {number} showed is not what the journal says"
            )
        return snapshot


def read_record(folder: RunFolder) -> Record:
    """Read and check a run.

    Raises Corrupt where a hash does not fit, Misconfigured where its tape is gone.
    """
    lines = verified_lines(folder)
    genesis = Genesis.of(next(lines))
    manifest = genesis.agents
    pasts = _pasts((line.entry for line in lines), manifest.prompts)
    launch = folder.read_launch()
    return Record(
        folder=folder,
        settings=recorded_settings(folder, genesis),
        manifest=manifest,
        tape=reopen(origins_of(genesis), folder.tape),
        pasts=pasts,
        transcript=TranscriptIndex(folder.transcript),
        on_clock=bool(launch) and not launch.get("seeded", False),
        results=folder.read_results(),
    )


def questions_of(folder: RunFolder) -> dict[QuestionKey, RecordedQuestion]:
    """All questions of a run by where they stand."""
    lines = verified_lines(folder)
    next(lines)
    return {past.place: past for past in _pasts((line.entry for line in lines), {}).values()}


def _pasts(entries: Iterable[JournalEntry], prompts: Mapping[str, str]) -> dict[int, RecordedQuestion]:
    """Every question by its number; `prompts` are in force at first."""
    places, pasts = KeyCounter(), dict[int, RecordedQuestion]()
    for entry in entries:
        match entry.event:
            case DeliberationRequested() as question:
                pasts[question.number] = RecordedQuestion(
                    question, places.of(question, entry.pos), prompts=prompts
                )
            case PromptsChanged() as changed:
                prompts = {**prompts, **changed.prompts}
            case Decision() as decision if decision.number in pasts:
                pasts[decision.number] = replace(pasts[decision.number], decision=decision)
    return pasts

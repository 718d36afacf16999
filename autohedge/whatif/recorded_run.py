"""A recorded run as a study reads it: its questions by their position on the tape, and their transcript."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Self

from autohedge.app import origins_of, recorded_settings, require_trust
from autohedge.config import Settings
from autohedge.core.errors import Corrupt
from autohedge.core.events import Continued, Decision, DeliberationRequested, JournalEntry, PromptsChanged
from autohedge.core.results import RunReport
from autohedge.core.snapshots import Snapshot
from autohedge.journal import RunFolder
from autohedge.journal.genesis import AgentsManifest, Genesis
from autohedge.journal.verification import verified_lines
from autohedge.llm.transcript import TranscriptEntry, TranscriptIndex
from autohedge.market import Tape, reopen
from autohedge.runtime.observers import NullObserver
from autohedge.runtime.recovery import OUTSIDE, reached_in
from autohedge.runtime.run_view import RunView


class QuestionKey(NamedTuple):
    """The position of a question: after `pos` rows of the tape, the `nth` (from 0) of its symbol and kind."""

    symbol: str
    kind: str
    pos: int
    nth: int


@dataclass(frozen=True, slots=True)
class RecordedQuestion:
    """A question of a run with its decision, if any; `prompts` are the files in force when it was asked."""

    question: DeliberationRequested
    place: QuestionKey
    decision: Decision | None = None
    prompts: Mapping[str, str] = field(default_factory=dict)


class KeyCounter:
    """Assigns a key to each question of a run, in the order of the journal."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str, int]] = Counter()

    def of(self, question: DeliberationRequested, pos: int) -> QuestionKey:
        """Returns the key of the next question, asked after `pos` rows."""
        where = (question.symbol, question.kind, pos)
        self._counts[where] += 1
        return QuestionKey(*where, self._counts[where] - 1)


class KeyTracker(NullObserver):
    """Observes a run: its id, and the key of the question asked last."""

    wants: frozenset[type] = frozenset({DeliberationRequested})

    def __init__(self) -> None:
        self._places = KeyCounter()
        self.run = ""
        self.last: QuestionKey | None = None

    def watch(self, view: RunView, run: str) -> Self:  # noqa: ARG002  an ObserverFactory
        """Serves as the observer factory of one run: takes its id and returns itself."""
        self.run = run
        return self

    def on_event(self, entry: JournalEntry) -> None:
        """Stores the key of a question; the runtime requests its decision right after this call."""
        if isinstance(entry.event, DeliberationRequested):
            self.last = self._places.of(entry.event, entry.pos)


@dataclass(frozen=True, slots=True)
class Record:
    """A recorded run: its settings, its agents, its tape, its questions by number, and its transcript.

    `on_clock` is whether it ran on a clock without a seed: the timing of its answers is not reproducible.
    `intervened` is whether it has inputs that no simulation repeats: commands, changed settings, restarts.
    """

    folder: RunFolder
    settings: Settings
    manifest: AgentsManifest
    tape: Tape
    pasts: dict[int, RecordedQuestion]
    transcript: TranscriptIndex
    on_clock: bool
    intervened: bool
    report: RunReport | None

    def lines(self, past: RecordedQuestion) -> list[TranscriptEntry]:
        """Returns the transcript entries of a question; empty if there are none."""
        return self.transcript.lines(past.question.number)

    def by_place(self) -> dict[QuestionKey, RecordedQuestion]:
        """Returns the questions by their key."""
        return {past.place: past for past in self.pasts.values()}

    def snapshot(self, past: RecordedQuestion, lines: list[TranscriptEntry]) -> Snapshot:
        """Returns the snapshot of a question. Raises Corrupt if its hash is not the one in the journal."""
        number, snapshot = past.question.number, lines[0].snapshot
        if snapshot is None or snapshot.hash != past.question.snapshot:
            raise Corrupt(
                f"{self.folder.transcript}: the snapshot of question {number} is not the journal's;"
                " restore the file"
            )
        return snapshot


class _Watched:
    """The entries of a record, and once they are read, whether a simulation lacks some of its inputs."""

    def __init__(self, entries: Iterable[JournalEntry]) -> None:
        self._entries, self.intervened = entries, False
        self.reached: list[tuple[int, int]] = []

    def __iter__(self) -> Iterator[JournalEntry]:
        for entry in self._entries:
            self.intervened |= isinstance(entry.event, (Continued, *OUTSIDE))
            self.reached += reached_in([entry.event])
            yield entry


def read_record(folder: RunFolder, *, trust: bool = False) -> Record:
    """Reads and verifies a run; `trust` allows to execute a stored strategy that the user does not have.

    Raises Corrupt if a hash does not match, Misconfigured if its tape is missing or still grows, Refused if a
    stored strategy is not trusted.
    """
    lines = verified_lines(folder)
    genesis = Genesis.of(next(lines))
    require_trust(folder, genesis, trust=trust)
    manifest = genesis.agents_manifest
    watched = _Watched(line.entry for line in lines)
    pasts = _pasts(watched, manifest.prompts)
    tape = reopen(origins_of(genesis), folder.tape, watched.reached)
    tape.require_finished()
    # Empty for a run in virtual time. A seeded run on a clock has the record of one in virtual time.
    launch = folder.read_launch()
    return Record(
        folder=folder,
        settings=recorded_settings(folder, genesis),
        manifest=manifest,
        tape=tape,
        pasts=pasts,
        transcript=TranscriptIndex(folder.transcript),
        on_clock=bool(launch) and not launch.get("seeded", False),
        intervened=watched.intervened,
        report=folder.read_report(),
    )


def questions_of(folder: RunFolder) -> dict[QuestionKey, RecordedQuestion]:
    """Returns all questions of a run by their key."""
    lines = verified_lines(folder)
    next(lines)  # the genesis
    return {past.place: past for past in _pasts((line.entry for line in lines), {}).values()}


def _pasts(entries: Iterable[JournalEntry], prompts: Mapping[str, str]) -> dict[int, RecordedQuestion]:
    """Returns all questions by number; `prompts` are the ones in force at the start."""
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

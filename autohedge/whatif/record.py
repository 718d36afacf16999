"""A recorded run as the study of another needs it: its questions by their place on the tape, and what was said."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

import msgspec

from autohedge.app import origins_of, recorded_settings
from autohedge.config import Settings
from autohedge.core.errors import Corrupt
from autohedge.core.events import Decision, Deliberate, Entry, PromptsChanged
from autohedge.core.snapshots import Snapshot
from autohedge.engine.engine import Engine
from autohedge.engine.watch import Silent
from autohedge.journal import RunFolder
from autohedge.journal.genesis import Genesis
from autohedge.journal.verification import checked
from autohedge.llm.transcript import Indexed, Line
from autohedge.market import Tape, reopen
from autohedge.market.tape import Rows


class Place(NamedTuple):
    """Where a question stands: `pos` rows of the tape came before it, `nth` questions of its kind since that row."""

    symbol: str
    kind: str
    pos: int
    nth: int


@dataclass(frozen=True, slots=True)
class Past:
    """A question of a run, and what was decided, if anything was; `prompts` are the files it was rendered from."""

    question: Deliberate
    place: Place
    decision: Decision | None = None
    prompts: Mapping[str, str] = field(default_factory=dict)


class Places:
    """Gives each question of a run its place, one after the other."""

    def __init__(self) -> None:
        self._asked: Counter[tuple[str, str, int]] = Counter()

    def of(self, question: Deliberate, pos: int) -> Place:
        """The place of the next question."""
        where = (question.symbol, question.kind, pos)
        self._asked[where] += 1
        return Place(*where, self._asked[where] - 1)


class Positions(Silent):
    """Watches one run: where on the tape the question stands that was asked last, and which run it is."""

    wants: frozenset[type] = frozenset({Deliberate})

    def __init__(self) -> None:
        self._places = Places()
        self.run = ""
        self.last: Place | None = None

    def watch(self, engine: Engine, rows: Rows, run: str) -> Self:  # noqa: ARG002  as all watches
        """Be the watcher of a run."""
        self.run = run
        return self

    def saw(self, entry: Entry) -> None:
        """Note a question; it is put right after this."""
        if isinstance(entry.event, Deliberate):
            self.last = self._places.of(entry.event, entry.pos)


class Slow(msgspec.Struct, frozen=True):
    """What a genesis says of who answered; all of it empty for a run that asks nothing."""

    provider: str = ""
    model: str = ""
    server: str = ""
    prompts: dict[str, str] = {}
    headlines: str | None = None
    markets: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class Record:
    """A run that was recorded: who answered in it, its questions by number, its transcript, its tape.

    `on_clock` says that it ran on a clock, where answers came when they came.
    """

    folder: RunFolder
    settings: Settings
    slow: Slow
    tape: Tape
    pasts: dict[int, Past]
    transcript: Indexed
    on_clock: bool
    results: dict[str, Any] | None

    def lines(self, past: Past) -> list[Line]:
        """What was said about a question; empty if nothing is known of it."""
        return self.transcript.lines(past.question.number)

    def by_place(self) -> dict[Place, Past]:
        """The questions by where they stand."""
        return {past.place: past for past in self.pasts.values()}

    def snapshot(self, past: Past, lines: list[Line]) -> Snapshot:
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
    lines = checked(folder)
    genesis = Genesis.of(next(lines))
    slow = _slow(genesis)
    pasts = _pasts((line.entry for line in lines), slow.prompts)
    pace = folder.read_pace()
    return Record(
        folder=folder,
        settings=recorded_settings(folder, genesis),
        slow=slow,
        tape=reopen(origins_of(genesis), folder.tape),
        pasts=pasts,
        transcript=Indexed(folder.transcript),
        on_clock=bool(pace) and not pace.get("seeded", False),
        results=folder.read_results(),
    )


def questions_of(folder: RunFolder) -> dict[Place, Past]:
    """All questions of a run by where they stand."""
    lines = checked(folder)
    next(lines)
    return {past.place: past for past in _pasts((line.entry for line in lines), {}).values()}


def _pasts(entries: Iterable[Entry], prompts: Mapping[str, str]) -> dict[int, Past]:
    """Every question by its number; `prompts` are in force at first."""
    places, pasts = Places(), dict[int, Past]()
    for entry in entries:
        match entry.event:
            case Deliberate() as question:
                pasts[question.number] = Past(question, places.of(question, entry.pos), prompts=prompts)
            case PromptsChanged() as changed:
                prompts = {**prompts, **changed.prompts}
            case Decision() as decision if decision.number in pasts:
                pasts[decision.number] = replace(pasts[decision.number], decision=decision)
    return pasts


def _slow(genesis: Genesis) -> Slow:
    try:
        return msgspec.convert(genesis.slow or {}, Slow)
    except msgspec.ValidationError as error:
        raise Corrupt(f"the journal's genesis is damaged: {error}") from None

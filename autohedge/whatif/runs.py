"""The second answer: the whole run simulated twice, as recorded and with the change, and what came of each."""

import contextlib
import shutil
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from autohedge import app
from autohedge.config import Settings
from autohedge.core.events import Deliberate
from autohedge.core.money import subtract
from autohedge.graph.materials import Sources
from autohedge.graph.mind import Mind
from autohedge.graph.plane import VirtualPlane
from autohedge.journal import RunFolder
from autohedge.journal.folder import RUNS
from autohedge.llm.knowing import Knowing
from autohedge.llm.transcript import Line
from autohedge.whatif.again import Again, Tell, answered, known_lines
from autohedge.whatif.change import Plan
from autohedge.whatif.minds import Matched, by_record, by_variant
from autohedge.whatif.record import Past, Place, Positions, Record, questions_of
from autohedge.whatif.words import Word, word

MONEY = ("equity", "realized_pnl", "unrealized_pnl", "fees")
COUNTS = ("buys", "sells", "winning_exits")


@dataclass(frozen=True, slots=True)
class Parted:
    """A question that both runs asked at the same place, and that came to different things."""

    at_ns: int
    place: Place
    baseline: Word
    variant: Word


@dataclass(slots=True)
class Runs:
    """Two runs in ./runs that were simulated in the same way: their results, and how their questions compare.

    `taken` and `asked` are the variant's requests as in the first answer. `alone` are questions that only one of
    them asked, of the baseline and of the variant.
    """

    baseline: dict[str, Any]
    variant: dict[str, Any]
    taken: int = 0
    asked: int = 0
    unrecorded: int = 0
    same: int = 0
    parted: list[Parted] = field(default_factory=list)
    alone: tuple[list[Past], list[Past]] = field(default_factory=lambda: ([], []))

    @property
    def comparable(self) -> bool:
        """Whether the record answered nine of ten of the baseline's questions: else it is not that run again."""
        asked = self.same + len(self.parted) + len(self.alone[0])
        return self.unrecorded * 10 <= asked

    def difference(self, figure: str) -> Decimal | int:
        """By how much the variant has more of a figure."""
        old, new = self.baseline[figure], self.variant[figure]
        return subtract(Decimal(new), Decimal(old)) if figure in MONEY else new - old


def run_both(record: Record, plan: Plan, again: Again, tell: Tell) -> Runs:
    """Simulate the recorded run, then the variant; both are ordinary runs in ./runs.

    An end that comes too early, by Ctrl-C too, leaves no half run behind.
    """
    baseline = _baseline(record)
    if plan.asks and again.who.server not in app.NO_MODELS:
        calls = app.expected_calls(plan.settings, record.tape)
        ms = again.service_ms / again.asked if again.asked else 0.0
        long = f", {calls * ms / 6e4:.1f} minutes" if ms else ""
        tell(f"[LLM] now the run with the change: at most {calls} calls{long}, less those that were answered")
    runs = Runs(baseline, *_variant(record, plan, again))
    return _compared(runs, record)


def _baseline(record: Record) -> dict[str, Any]:
    settings, positions, by_place = record.settings, Positions(), record.by_place()
    slow = record.slow

    def known(_: Deliberate) -> list[Line]:
        past = by_place.get(positions.last) if positions.last else None
        return record.lines(past) if past else []

    def opening(settings: Settings, sources: Sources) -> Coroutine[Any, Any, Mind]:
        return by_record(record, settings, sources, known)

    sources = None
    if settings.trading.mode != "hft":
        known_as = {"prompts": slow.prompts, "headlines": slow.headlines, "markets": slow.markets}
        sources = Sources.recorded(known_as, record.folder.kept)
    with _plane(settings, sources, opening) as plane:
        return _played(record, settings, plane, positions)


def _variant(record: Record, plan: Plan, again: Again) -> tuple[dict[str, Any], int, int]:
    """The variant's results, and how many of its requests were known, and how many were not."""
    positions, by_place, minds = Positions(), record.by_place(), list[Matched]()

    def known(_: Deliberate) -> list[Line]:
        past = by_place.get(positions.last) if positions.last else None
        return _known(record, plan, again, past) if past else []

    async def opening(_: Settings, sources: Sources) -> Mind:
        minds.append(await by_variant(record, plan, sources, known, keeps=True))
        return minds[-1]

    with _plane(plan.settings, plan.sources, opening) as plane:
        results = _played(record, plan.settings, plane, positions)
    asker = minds[0].asker if minds else None
    return (results, asker.taken, asker.left) if isinstance(asker, Knowing) else (results, 0, 0)


def _known(record: Record, plan: Plan, again: Again, past: Past) -> list[Line]:
    """What the first answer says of a question at this place; what the record says, if it was not asked there."""
    new = again.lines.get(past.question.number)
    if new is None:
        return known_lines(plan, record.lines(past))
    return new if plan.failures_hold else [line for line in new if answered(line)]


@contextlib.contextmanager
def _plane(
    settings: Settings,
    sources: Sources | None,
    opening: Callable[[Settings, Sources], Coroutine[Any, Any, Mind]],
) -> Iterator[VirtualPlane | None]:
    if sources is None:
        yield None
        return
    with contextlib.closing(VirtualPlane(settings, sources, opening)) as plane:
        yield plane


def _played(
    record: Record, settings: Settings, plane: VirtualPlane | None, positions: Positions
) -> dict[str, Any]:
    try:
        results = app.run_with(plane, settings, record.tape, positions.watch)
    except BaseException:
        if positions.run:
            RunFolder(RUNS / positions.run).discard()
        raise
    if record.folder.tape.is_dir():
        # The path in the genesis may be another machine's: a packed record's runs are packed too.
        shutil.copytree(record.folder.tape, RUNS / results["run"] / record.folder.tape.name)
    return results


def _compared(runs: Runs, record: Record) -> Runs:
    """Hold the questions of both runs against each other, by where they stand on the tape."""
    old, new = (questions_of(RunFolder(RUNS / run["run"])) for run in (runs.baseline, runs.variant))
    runs.unrecorded = sum(
        past.decision is not None and past.decision.code == "unrecorded" for past in old.values()
    )
    for place in old.keys() & new.keys():
        _hold(runs, old[place], new[place])
    runs.parted.sort(key=lambda each: each.at_ns)
    runs.alone = _without(old, new), _without(new, old)
    return runs


def _hold(runs: Runs, old: Past, new: Past) -> None:
    was, now = old.decision and word(old.decision), new.decision and word(new.decision)
    if was == now:
        runs.same += 1
    elif was and now:
        runs.parted.append(Parted(new.question.at_ns, new.place, was, now))


def _without(these: dict[Place, Past], others: dict[Place, Past]) -> list[Past]:
    return [past for place, past in these.items() if place not in others]

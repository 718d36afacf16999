"""The second part of a study: simulates the whole run twice, as recorded and with the change."""

import contextlib
import shutil
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from autohedge import app
from autohedge.app.records import RecordOptions
from autohedge.config import Settings
from autohedge.config.sections import NO_MODELS
from autohedge.core.events import DeliberationRequested
from autohedge.core.money import subtract
from autohedge.core.results import RunReport
from autohedge.graph.prompt_builder import PromptFiles
from autohedge.graph.recorded_service import ReplayingService
from autohedge.graph.runtime import InProcessRuntime
from autohedge.graph.service import DeliberationService
from autohedge.journal import RunFolder
from autohedge.journal.folder import RUNS
from autohedge.journal.genesis import StudyMark
from autohedge.llm.replay_senders import RecordFirstSender
from autohedge.llm.transcript import TranscriptEntry
from autohedge.whatif.change import Plan
from autohedge.whatif.decision_view import DecisionView, view_of
from autohedge.whatif.reask import Notify, ReaskResult, answered, reusable_entries
from autohedge.whatif.recorded_run import KeyTracker, QuestionKey, Record, RecordedQuestion, questions_of
from autohedge.whatif.services import recorded_service, variant_service

MONEY = ("equity", "realized_pnl", "unrealized_pnl", "fees")
COUNTS = ("buys", "sells", "winning_exits")
DIRECTIONS = ("longs", "shorts")


@dataclass(frozen=True, slots=True)
class Divergence:
    """A question that both runs asked at the same position, with different outcomes."""

    at_ns: int
    place: QuestionKey
    baseline: DecisionView
    variant: DecisionView


@dataclass(slots=True)
class RunPair:
    """The baseline and the variant, two runs in `root`: their results, and how their questions compare.

    `reused` and `sent_count` count the variant's requests, as in `ReaskResult`. `unrecorded` counts questions
    of the baseline that the record does not have, `same` those of both runs with equal outcomes. `unmatched`
    are the questions that only the baseline has, and those that only the variant has.
    """

    root: Path
    baseline: RunReport
    variant: RunReport
    reused: int = 0
    sent_count: int = 0
    unrecorded: int = 0
    same: int = 0
    divergences: list[Divergence] = field(default_factory=list)
    unmatched: tuple[list[RecordedQuestion], list[RecordedQuestion]] = field(default_factory=lambda: ([], []))

    @property
    def comparable(self) -> bool:
        """Whether the record answered at least nine tenths of the baseline's questions."""
        question_count = self.same + len(self.divergences) + len(self.unmatched[0])
        return self.unrecorded * 10 <= question_count

    @property
    def figures(self) -> tuple[str, ...]:
        """The names of the figures to compare; entries by direction only where one of the runs may be short."""
        directed = self.baseline.longs is not None or self.variant.longs is not None
        return (*MONEY, *COUNTS, *(DIRECTIONS if directed else ()))

    def difference(self, figure: str) -> Decimal | int:
        """Returns the variant's figure minus the baseline's."""
        old, new = figure_of(self.baseline, figure), figure_of(self.variant, figure)
        return subtract(new, old) if figure in MONEY else new - old


def figure_of(report: RunReport, figure: str) -> Any:
    """Returns a figure of a run; what only a run with shorts shows has its value in the others as well."""
    if figure in DIRECTIONS and report.longs is None:
        return report.buys if figure == "longs" else 0
    return getattr(report, figure)


def simulate_pair(
    record: Record, plan: Plan, reasked: ReaskResult, notify: Notify, root: Path = RUNS
) -> RunPair:
    """Simulates the recorded run, then the variant; both are ordinary runs in the folder of runs `root`.

    An error or Ctrl-C removes the run in progress; a finished baseline stays.
    """
    baseline = _baseline(record, root)
    if plan.uses_agents and reasked.who.server not in NO_MODELS:
        calls = app.estimate_calls(plan.settings, record.tape)
        ms = reasked.service_ms / reasked.sent_count if reasked.sent_count else 0.0
        long = f", {calls * ms / 6e4:.1f} minutes" if ms else ""
        notify(f"[LLM] simulating the variant: at most {calls} calls{long}, less the reused answers")
    runs = RunPair(root, baseline, *_variant(record, plan, reasked, root))
    return _compared(runs, record)


def _baseline(record: Record, root: Path) -> RunReport:
    settings, positions, by_place = record.settings, KeyTracker(), record.by_place()
    manifest = record.manifest

    # Question numbers of the two runs may differ, so the tracker's key finds the recorded question.
    def known(_: DeliberationRequested) -> list[TranscriptEntry]:
        past = by_place.get(positions.last) if positions.last else None
        return record.lines(past) if past else []

    def opening(settings: Settings, sources: PromptFiles) -> Coroutine[Any, Any, DeliberationService]:
        return recorded_service(record, settings, sources, known)

    sources = None
    if settings.trading.mode != "hft":
        known_as = {"prompts": manifest.prompts, "headlines": manifest.headlines, "markets": manifest.markets}
        sources = PromptFiles.recorded(known_as, record.folder.stored_file)
    with _open_agents(settings, sources, opening) as agents:
        return _played(record, settings, agents, positions, _options(record, root, "baseline"))


def _variant(record: Record, plan: Plan, reasked: ReaskResult, root: Path) -> tuple[RunReport, int, int]:
    """Simulates the variant; returns its results and the counts of its reused and its sent requests."""
    positions, by_place, services = KeyTracker(), record.by_place(), list[ReplayingService]()

    def known(_: DeliberationRequested) -> list[TranscriptEntry]:
        past = by_place.get(positions.last) if positions.last else None
        return _known(record, plan, reasked, past) if past else []

    async def opening(_: Settings, sources: PromptFiles) -> DeliberationService:
        services.append(await variant_service(record, plan, sources, known, cache_verdicts=True))
        return services[-1]

    with _open_agents(plan.settings, plan.sources, opening) as agents:
        results = _played(record, plan.settings, agents, positions, _options(record, root, "variant"))
    sender = services[0].sender if services else None
    return (
        (results, sender.reused, sender.sent_count)
        if isinstance(sender, RecordFirstSender)
        else (results, 0, 0)
    )


def _known(record: Record, plan: Plan, reasked: ReaskResult, past: RecordedQuestion) -> list[TranscriptEntry]:
    """Returns the reusable entries of a question: those of re-asking it, else those of the record."""
    new = reasked.lines.get(past.question.number)
    if new is None:
        return reusable_entries(plan, record.lines(past))
    return new if plan.failures_reusable else [line for line in new if answered(line)]


@contextlib.contextmanager
def _open_agents(
    settings: Settings,
    sources: PromptFiles | None,
    open_service: Callable[[Settings, PromptFiles], Coroutine[Any, Any, DeliberationService]],
) -> Iterator[InProcessRuntime | None]:
    if sources is None:
        yield None
        return
    with contextlib.closing(InProcessRuntime(settings, sources, open_service)) as agents:
        yield agents


def _options(record: Record, root: Path, part: Literal["baseline", "variant"]) -> RecordOptions:
    return RecordOptions(root, StudyMark(record.folder.id, part))


def _played(
    record: Record,
    settings: Settings,
    agents: InProcessRuntime | None,
    positions: KeyTracker,
    options: RecordOptions,
) -> RunReport:
    try:
        results = app.run_in_runtime(agents, settings, record.tape, [positions.watch], options=options)
    except BaseException:
        # Also KeyboardInterrupt: an unfinished run must not stay in the folder of runs.
        if positions.run:
            RunFolder(options.root / positions.run).discard()
        raise
    if record.folder.tape.is_dir():
        # The tape's path in the genesis may be another machine's, so runs of a packed record are packed too.
        shutil.copytree(record.folder.tape, options.root / results.run / record.folder.tape.name)
    return results


def _compared(runs: RunPair, record: Record) -> RunPair:
    """Compares the questions of both runs, matched by their position on the tape."""
    old, new = (questions_of(RunFolder(runs.root / run.run)) for run in (runs.baseline, runs.variant))
    runs.unrecorded = sum(
        past.decision is not None and past.decision.code == "unrecorded" for past in old.values()
    )
    for place in old.keys() & new.keys():
        _match(runs, old[place], new[place])
    runs.divergences.sort(key=lambda each: each.at_ns)
    runs.unmatched = _without(old, new), _without(new, old)
    return runs


def _match(runs: RunPair, old: RecordedQuestion, new: RecordedQuestion) -> None:
    was, now = old.decision and view_of(old.decision), new.decision and view_of(new.decision)
    if was == now:
        runs.same += 1
    elif was and now:
        runs.divergences.append(Divergence(new.question.at_ns, new.place, was, now))


def _without(
    these: dict[QuestionKey, RecordedQuestion], others: dict[QuestionKey, RecordedQuestion]
) -> list[RecordedQuestion]:
    return [past for place, past in these.items() if place not in others]

"""Scores the verdicts of recorded runs: what became of the entries that they decided on, or against."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from autohedge.audit.scores import ForecastScore, HitRate, band_rates, count_apart
from autohedge.audit.touches import EntryOutcomes
from autohedge.audit.verdict_outcomes import AttemptResults, EntryAttempt, RunPrices
from autohedge.audit.verdicts import KINDS, RecordedVerdict, RunVerdicts, read_verdicts
from autohedge.core.errors import Misconfigured
from autohedge.journal import RunFolder

ENTRIES = ("long", "short")
MISSED = ("no_trade_long", "no_trade_short", "refused")


@dataclass(frozen=True, slots=True)
class ScoredVerdicts:
    """Verdicts, and the results of the entries that they decided on or against, in the same order."""

    verdicts: list[RecordedVerdict]
    results: AttemptResults

    @property
    def hit_rate(self) -> HitRate:
        """How many of the decided entries met their target."""
        return HitRate.of(self.results.hit)

    @property
    def confidence_pct(self) -> NDArray[np.int64]:
        """The confidence of each decided verdict."""
        given = np.array([each.decision.confidence_pct for each in self.verdicts], np.int64)
        return given[self.results.decided]

    @property
    def apart(self) -> int:
        """The greatest number of decided entries of which no two in a symbol overlap in time."""
        outcomes, decided = self.results.outcomes, self.results.decided
        names = np.array([f"{each.run} {each.symbol}" for each in self.verdicts], np.str_)
        return sum(
            count_apart(outcomes.entry_ns[rows], outcomes.exit_ns[rows])
            for rows in (decided & (names == name) for name in np.unique(names))
        )

    @classmethod
    def joined(cls, parts: Iterable["ScoredVerdicts"]) -> Self:
        """Returns the verdicts of several runs as one."""
        parts = list(parts)
        outcomes = [part.results.outcomes for part in parts]
        columns = (np.concatenate(column) for column in zip(*outcomes, strict=True))
        base_rate = np.concatenate([part.results.base_rate for part in parts])
        verdicts = [each for part in parts for each in part.verdicts]
        return cls(verdicts, AttemptResults(EntryOutcomes(*columns), base_rate))


@dataclass(frozen=True, slots=True)
class VerdictScores:
    """The verdicts of some runs: those that enter with their outcomes, and those against an entry with what it missed.

    `missed` has for each of `MISSED` the verdicts, and the results that entries would have had.
    """

    runs: list[RunVerdicts]
    entries: ScoredVerdicts
    missed: dict[str, ScoredVerdicts]

    @property
    def verdicts(self) -> list[RecordedVerdict]:
        """All verdicts, run by run."""
        return [each for run in self.runs for each in run.verdicts]

    @property
    def kinds(self) -> dict[str, int]:
        """The number of verdicts of each kind."""
        counts = Counter(each.kind for each in self.verdicts)
        return {kind: counts[kind] for kind in KINDS}

    @property
    def forecast(self) -> ForecastScore:
        """How well the confidence forecasts a hit."""
        entries = self.entries
        return ForecastScore.of(entries.confidence_pct, entries.results.hit, entries.results.mean_base_rate)

    @property
    def bands(self) -> list[HitRate]:
        """The hit rate in each band of confidence."""
        return band_rates(self.entries.confidence_pct, self.entries.results.hit)


def score_runs(folders: Sequence[RunFolder]) -> VerdictScores:
    """Scores the verdicts of runs, each on its own tape; a run that is named twice counts once.

    Raises Misconfigured for a run without verdicts or without its tape, Corrupt if a record or a tape is damaged.
    """
    distinct = {folder.path.resolve(): folder for folder in folders}
    runs, parts = [], []
    for folder in distinct.values():
        run = read_verdicts(folder)
        _require_verdicts(folder, run)
        runs.append(run)
        parts.append(_scored(run))
    joined = {name: ScoredVerdicts.joined(part[name] for part in parts) for name in ("entries", *MISSED)}
    return VerdictScores(runs, joined.pop("entries"), joined)


def _require_verdicts(folder: RunFolder, run: RunVerdicts) -> None:
    if run.verdicts:
        return
    asked = sum(run.without_verdict.values())
    why = run.audit.no_question_reason or f"none of its {asked} questions has an answer of the Director"
    raise Misconfigured(f"run {folder.id} has no verdict to score, choose another one: {why}")


def _scored(run: RunVerdicts) -> dict[str, ScoredVerdicts]:
    tape = RunPrices(run)
    known = [each for each in run.verdicts if each.terms]
    refusals = [each for each in known if each.kind == "no_trade"]
    return {
        "entries": _results(tape, [each for each in known if each.kind in ENTRIES]),
        "no_trade_long": _results(tape, refusals if "long" in run.directions else [], "long"),
        "no_trade_short": _results(tape, refusals if "short" in run.directions else [], "short"),
        "refused": _results(tape, [each for each in known if each.kind == "refused"]),
    }


def _results(tape: RunPrices, verdicts: list[RecordedVerdict], direction: str = "") -> ScoredVerdicts:
    """Returns the results of entries in a direction, by default that of each verdict."""
    attempts = [
        EntryAttempt(each.symbol, each.at_ns, direction or each.decision.direction, each.terms)
        for each in verdicts
        if each.terms
    ]
    return ScoredVerdicts(verdicts, tape.results(attempts))

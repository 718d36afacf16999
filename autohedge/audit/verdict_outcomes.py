"""The outcomes of entries on the tape of a run, and how often entries with the same terms meet their target."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from autohedge.audit.touches import NEITHER, OPEN, TARGET, Entries, EntryOutcomes, TouchSearch
from autohedge.audit.verdicts import RunVerdicts, VerdictTerms
from autohedge.core.errors import Corrupt
from autohedge.core.units import NS_PER_MINUTE
from autohedge.market import Origin, reopen_streams
from autohedge.market.stream import prices_of

BASE_ENTRIES_MAX = 1_000_000
"""The most entries that the base rates of a run are computed from."""


class EntryAttempt(NamedTuple):
    """An entry in a symbol, decided at `at_ns`."""

    symbol: str
    at_ns: int
    direction: str
    terms: VerdictTerms

    @property
    def what(self) -> tuple[str, str, VerdictTerms]:
        """The attempt without its time."""
        return self.symbol, self.direction, self.terms


@dataclass(frozen=True, slots=True)
class AttemptResults:
    """Outcomes of attempts, and for each the share of targets among entries like it at the times of all questions.

    `base_rate` is NaN for an attempt without a decided entry like it.
    """

    outcomes: EntryOutcomes
    base_rate: NDArray[np.float64]

    @property
    def decided(self) -> NDArray[np.bool_]:
        """Which attempts have an outcome other than open."""
        decided: NDArray[np.bool_] = self.outcomes.outcome != OPEN
        return decided

    @property
    def hit(self) -> NDArray[np.bool_]:
        """Which of the decided attempts met their target."""
        hit: NDArray[np.bool_] = self.outcomes.outcome[self.decided] == TARGET
        return hit

    @property
    def mean_base_rate(self) -> float | None:
        """The mean of the base rates of the decided attempts."""
        known = self.base_rate[self.decided]
        known = known[np.isfinite(known)]
        return float(known.mean()) if len(known) else None


class RunPrices:
    """The prices of the tape that a run traded, to find the outcomes of entries in."""

    def __init__(self, run: RunVerdicts) -> None:
        """Opens the tape. Raises Misconfigured if it is missing, Corrupt if its content is another."""
        self._times = {
            symbol: np.array(times, np.int64) for symbol, times in sorted(run.question_times.items())
        }
        self._prices = _prices(run)

    def results(self, attempts: Sequence[EntryAttempt]) -> AttemptResults:
        """Returns the outcomes of attempts, in their order, and their base rates."""
        outcomes = EntryOutcomes.unknown(len(attempts))
        for symbol, prices in self._prices.items():
            rows = np.array([row for row, each in enumerate(attempts) if each.symbol == symbol], np.int64)
            if len(rows):
                outcomes.put(rows, prices.outcomes(_entries([attempts[row] for row in rows])))
        rates = self._base_rates([each.what for each in attempts])
        return AttemptResults(outcomes, np.array([rates[each.what] for each in attempts], np.float64))

    def _base_rates(
        self, wanted: Iterable[tuple[str, str, VerdictTerms]]
    ) -> Mapping[tuple[str, str, VerdictTerms], float]:
        """Returns the share of targets among entries at the times of all questions about the symbol.

        Of many questions with many different terms, each takes an equal part of the times, spread over all.
        """
        kinds = sorted(set(wanted))
        total = sum(len(self._times[symbol]) for symbol, _, _ in kinds)
        step = max(1, -(-total // BASE_ENTRIES_MAX))
        rates: dict[tuple[str, str, VerdictTerms], float] = {}
        for symbol, of_symbol in groupby(kinds, key=lambda kind: kind[0]):
            same = list(of_symbol)
            times = [self._times[symbol][number % step :: step] for number in range(len(same))]
            rates |= zip(same, self._target_shares(symbol, same, times), strict=True)
        return rates

    def _target_shares(
        self, symbol: str, kinds: list[tuple[str, str, VerdictTerms]], times: list[NDArray[np.int64]]
    ) -> list[float]:
        owner = np.repeat(np.arange(len(kinds)), [len(each) for each in times])
        terms = _entries([EntryAttempt(symbol, 0, direction, terms) for _, direction, terms in kinds]).at(
            owner
        )
        found = self._prices[symbol].outcomes(terms._replace(at_ns=np.concatenate(times))).outcome
        targets = np.bincount(owner[found == TARGET], minlength=len(kinds))
        decided = np.bincount(owner[found <= NEITHER], minlength=len(kinds))
        return [float(hits / n) if n else float("nan") for hits, n in zip(targets, decided, strict=True)]


def _entries(attempts: Sequence[EntryAttempt]) -> Entries:
    return Entries(
        np.array([each.at_ns for each in attempts], np.int64),
        np.array([each.direction == "long" for each in attempts], np.bool_),
        np.array([each.terms.target_bps for each in attempts], np.float64),
        np.array([each.terms.stop_bps for each in attempts], np.float64),
        np.array([each.terms.horizon_minutes * NS_PER_MINUTE for each in attempts], np.int64),
    )


def _prices(run: RunVerdicts) -> dict[str, TouchSearch]:
    try:
        origins = msgspec.convert(run.audit.tape, list[Origin])
    except msgspec.ValidationError as error:
        raise Corrupt(f"the journal's genesis is damaged: {error}") from None
    found = {}
    for stream in prices_of(reopen_streams(origins, run.audit.tape_folder)):
        quotes = stream.as_quotes()
        found[stream.symbol] = TouchSearch(quotes["ts"], quotes["bid"], quotes["ask"], run.fee_bps)
    return found

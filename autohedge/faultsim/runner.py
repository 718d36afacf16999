"""Runs the histories of a range of seeds, counts the faults that struck, and collects the seeds that failed."""

from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context

import msgspec

from autohedge.core.errors import Misconfigured
from autohedge.faultsim.faults import FAULTS, Fault
from autohedge.faultsim.history import History
from autohedge.faultsim.random_history import random_history
from autohedge.faultsim.scenario import ScenarioResult, run_history

MEANINGFUL = 100  # histories after which each fault should have struck


@dataclass(slots=True)
class Summary:
    """The totals of a range of scenarios, and those that failed."""

    faults: tuple[str, ...]
    histories: int = 0
    rows: int = 0
    orders: int = 0
    crashes: int = 0
    fault_counts: Counter[str] = field(default_factory=Counter)
    failed: list[ScenarioResult] = field(default_factory=list)

    def add(self, outcome: ScenarioResult) -> None:
        """Counts one scenario."""
        self.histories += 1
        self.rows += outcome.rows
        self.orders += outcome.orders
        self.crashes += outcome.crashes
        self.fault_counts += outcome.fault_counts
        if outcome.violation:
            self.failed.append(outcome)

    @property
    def unused_faults(self) -> list[str]:
        """The faults that never struck; empty below `MEANINGFUL` scenarios."""
        if self.histories < MEANINGFUL:
            return []
        return [name for name in self.faults if not self.fault_counts[name]]

    @property
    def passed(self) -> bool:
        """Whether every invariant held and every fault struck."""
        return not self.failed and not self.unused_faults


def parse_faults(names: str | None) -> frozenset[Fault]:
    """The faults of a comma-separated list; all for None or `all`, none for `none`.

    Raises Misconfigured for an unknown name.
    """
    if names is None or names.strip() == "all":
        return frozenset(FAULTS.values())
    wanted = [name.strip() for name in names.split(",") if name.strip() not in {"", "none"}]
    for name in wanted:
        if name not in FAULTS:
            raise Misconfigured(f"--faults {name}: no such fault; known are {', '.join(FAULTS)}")
    return frozenset(FAULTS[name] for name in wanted)


def seeds_of(text: str) -> range:
    """The seeds of `FIRST:END`, without END.

    Raises Misconfigured for any other text or an empty range.
    """
    first, colon, last = text.partition(":")
    if not (colon and first.isdigit() and last.isdigit() and int(first) < int(last)):
        raise Misconfigured(f"--seeds {text}: write FIRST:END, such as 0:200, which excludes 200")
    return range(int(first), int(last))


def history_of(seed: int, faults: frozenset[Fault]) -> History:
    """The history of a seed with only these faults; the others leave everything else as it is."""
    history = random_history(seed)
    return msgspec.structs.replace(
        history, strikes=[strike for strike in history.strikes if FAULTS[strike.fault] in faults]
    )


def run_twice(history: History) -> ScenarioResult:
    """Runs a history twice; that the journals differ is a violation."""
    outcome, repeated = run_history(history), run_history(history)
    if outcome.digest != repeated.digest or outcome.violation != repeated.violation:
        outcome.violation = "6: two runs of the same history differ"
    return outcome


def run_seed(seed: int, faults: frozenset[Fault], *, twice: bool = False) -> ScenarioResult:
    """Runs the history of a seed with only these faults."""
    history = history_of(seed, faults)
    outcome = run_twice(history) if twice else run_history(history)
    outcome.seed = seed
    return outcome


def simulate(
    seeds: Iterable[int],
    faults: frozenset[Fault],
    *,
    jobs: int = 1,
    twice: bool = False,
    done: Callable[[ScenarioResult], None],
) -> Summary:
    """Runs one history per seed in `jobs` processes; calls `done` for each, in the order of the seeds."""
    summary = Summary(tuple(name for name, fault in FAULTS.items() if fault in faults))
    play = partial(run_seed, faults=faults, twice=twice)
    if jobs == 1:
        _collect(map(play, seeds), summary, done)
    else:
        # Not fork: numba's threads and the parent's state would be copied.
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
            _collect(pool.map(play, seeds, chunksize=4), summary, done)
    return summary


def _collect(
    outcomes: Iterable[ScenarioResult], summary: Summary, done: Callable[[ScenarioResult], None]
) -> None:
    for outcome in outcomes:
        summary.add(outcome)
        done(outcome)

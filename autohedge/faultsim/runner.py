"""A range of seeded fault histories: run them, count what struck, name the seeds that failed."""

from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context

from autohedge.core.errors import Misconfigured
from autohedge.faultsim.scenario import FAULTS, Fault, ScenarioResult, run_scenario

MEANINGFUL = 100


@dataclass(slots=True)
class Summary:
    """What a range of histories came to."""

    faults: tuple[str, ...]
    histories: int = 0
    rows: int = 0
    orders: int = 0
    crashes: int = 0
    fault_counts: Counter[str] = field(default_factory=Counter)
    failed: list[ScenarioResult] = field(default_factory=list)

    def add(self, outcome: ScenarioResult) -> None:
        """Count one history."""
        self.histories += 1
        self.rows += outcome.rows
        self.orders += outcome.orders
        self.crashes += outcome.crashes
        self.fault_counts += outcome.fault_counts
        if outcome.violation:
            self.failed.append(outcome)

    @property
    def unused_faults(self) -> list[str]:
        """Faults that never struck, once there were enough histories to expect each."""
        if self.histories < MEANINGFUL:
            return []
        return [name for name in self.faults if not self.fault_counts[name]]

    @property
    def passed(self) -> bool:
        """Whether every invariant held, and every fault was tried."""
        return not self.failed and not self.unused_faults


def parse_faults(names: str | None) -> frozenset[Fault]:
    """The faults of a comma-separated list; all without one, none for `none`.

    Raises Misconfigured for a name that is no fault.
    """
    if names is None or names.strip() == "all":
        return frozenset(FAULTS.values())
    wanted = [name.strip() for name in names.split(",") if name.strip() not in {"", "none"}]
    for name in wanted:
        if name not in FAULTS:
            raise Misconfigured(f"--faults {name}: there is no such fault; known are {', '.join(FAULTS)}")
    return frozenset(FAULTS[name] for name in wanted)


def seeds_of(text: str) -> range:
    """The seeds of `A:B`, B left out.

    Raises Misconfigured for anything else.
    """
    first, colon, last = text.partition(":")
    if not (colon and first.isdigit() and last.isdigit() and int(first) < int(last)):
        raise Misconfigured(f"--seeds {text}: write FIRST:END, such as 0:200, which leaves 200 out")
    return range(int(first), int(last))


def simulate(
    seeds: Iterable[int], faults: frozenset[Fault], *, jobs: int = 1, done: Callable[[ScenarioResult], None]
) -> Summary:
    """Run a history per seed, in `jobs` processes; `done` hears of each, in the order of the seeds."""
    summary = Summary(tuple(name for name, fault in FAULTS.items() if fault in faults))
    play = partial(run_scenario, faults=faults)
    if jobs == 1:
        _collect(map(play, seeds), summary, done)
    else:
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
            _collect(pool.map(play, seeds, chunksize=4), summary, done)
    return summary


def _collect(
    outcomes: Iterable[ScenarioResult], summary: Summary, done: Callable[[ScenarioResult], None]
) -> None:
    for outcome in outcomes:
        summary.add(outcome)
        done(outcome)

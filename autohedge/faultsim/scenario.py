"""One scenario: a seed determines market, settings, faults, crashes and operator commands.

Engine, risk checks, execution, journal and recovery are the real ones. The venue is the simulated one behind
`FaultInjector`. Each source of randomness has its own stream.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum, auto, unique
from hashlib import blake2b
from io import BytesIO
from itertools import takewhile
from pathlib import Path

import msgspec
import numpy as np

from autohedge.core.clock import NEVER
from autohedge.core.errors import AutoHedgeError
from autohedge.core.events import (
    AccountState,
    AnyTradingCommand,
    JournalEntry,
    LoopLag,
    OperatorCommand,
    OrderMassStatus,
    QueryFills,
    Reconciled,
    Restarted,
    SubmitOrder,
    SystemFault,
    TradingCommand,
    VenueEvent,
)
from autohedge.core.ids import Randomness, nonce_from_seed, seeded_random
from autohedge.core.units import NS_PER_S
from autohedge.engine.engine import Engine
from autohedge.exchanges.fault_injection import FaultInjector, MutableVenue
from autohedge.exchanges.faults import INJECTED, VenueFault
from autohedge.exchanges.simulated import VenueModel, lots_of
from autohedge.faultsim.invariants import InvariantChecker
from autohedge.faultsim.question_checks import InvariantViolation
from autohedge.faultsim.random_market import FeedFault, random_market
from autohedge.faultsim.random_settings import random_settings
from autohedge.faultsim.seeded_decisions import DecisionFault, SeededDecisions
from autohedge.journal.chain import Journal, lines_of
from autohedge.market.tape import Rows
from autohedge.runtime.recovery import rehydrate
from autohedge.runtime.replay import replay
from autohedge.runtime.virtual import VirtualRuntime, advance_unattended
from autohedge.strategies import build

ROWS = 1_850
CALM_S = 120.0  # without faults at the end: long enough for every query and reconciliation to finish
CRASH_RATE = 0.004
FAULT_RATE = 0.06
RESUMES = 24
IN_MEMORY = Path("the journal in memory")
ScheduledEvent = OperatorCommand | SystemFault | LoopLag


@unique
class MachineFault(StrEnum):
    """A fault of the process or its disk."""

    CRASH_RECORD = auto()
    CRASH_SUBMIT = auto()
    CRASH_APPLY = auto()
    TORN_TAIL = auto()
    POWER_LOSS = auto()
    DISK_FULL = auto()


Fault = FeedFault | VenueFault | MachineFault | DecisionFault
FAULTS: dict[str, Fault] = {
    str(fault): fault for kind in (FeedFault, INJECTED, MachineFault, DecisionFault) for fault in kind
}


class Crash(Exception):
    """Simulates the death of the process."""


@dataclass(slots=True)
class ScenarioResult:
    """The result of a scenario: how often each fault struck, and the first violation, if any.

    `digest` is the hash of the journal.
    """

    seed: int
    rows: int = 0
    orders: int = 0
    crashes: int = 0
    fault_counts: Counter[str] = field(default_factory=Counter)
    violation: str | None = None
    digest: str = ""


def run_scenario(seed: int, faults: frozenset[Fault]) -> ScenarioResult:
    """Runs the scenario of one seed; the same seed and faults give the same journal."""
    scenario = FaultScenario(seed, faults)
    try:
        scenario.play()
    except InvariantViolation as violated:
        scenario.outcome.violation = str(violated)
    # What the engine raises on bad input is a violation too; other exceptions are bugs of the simulator.
    except (AutoHedgeError, ArithmeticError, LookupError) as error:
        scenario.outcome.violation = f"the engine stopped: {type(error).__name__}: {error}"
    return scenario.outcome


class _Memory(BytesIO):
    """The store of a journal in memory; a power failure may lose what was not synced."""

    synced = 0

    def flush_before_send(self) -> None:
        """Does nothing, as with `process` durability."""

    def sync(self) -> None:
        """Makes what was written until now survive a power failure."""
        self.synced = self.tell()

    def cut(self, size: int) -> None:
        """Drops everything after `size` bytes."""
        self.seek(size)
        self.truncate()


class FaultScenario:
    """Runs one scenario; with `cut`, its market ends after that many rows."""

    def __init__(self, seed: int, faults: frozenset[Fault], cut: int | None = None) -> None:
        self.outcome = ScenarioResult(seed)
        self.entries: list[JournalEntry] = []
        self.seed, self.faults, self.cut = seed, faults, cut
        self.crash_rate = CRASH_RATE
        self._crashes = seeded_random(str(seed), "crashes")
        self._people = seeded_random(str(seed), "people")
        feed = frozenset(fault for fault in faults if isinstance(fault, FeedFault))
        self.tape, self._calm_ns = random_market(
            seeded_random(str(seed), "market"), ROWS, feed, self.outcome.fault_counts, CALM_S
        )
        self.rows = self.tape.rows if cut is None else _first(self.tape.rows, cut)
        self.settings = random_settings(seeded_random(str(seed), "settings"))
        self._nonce = nonce_from_seed(seed)
        self.store = _Memory()
        mutable_venue = MutableVenue(
            VenueModel.of(self.settings),
            lots_of(self.settings, self.tape.symbols),
            self.rows,
            nonce=self._nonce,
        )
        self.venue = FaultInjector(
            mutable_venue,
            _at_venue(faults, seeded_random(str(seed), "venue")),
            seeded_random(str(seed), "faults"),
            rate=FAULT_RATE,
            calm_ns=self._calm_ns,
        )
        self.decisions = self._decision_source()
        self.checker = InvariantChecker(self.settings, self.rows, self.tape.symbols, mutable_venue)
        self.last: dict[type, OrderMassStatus | AccountState] = {}
        self.reconciled = False
        self.journal = Journal.begin(self.store, {"seed": seed})
        self.store.sync()
        self._restart_engine()

    def _decision_source(self) -> SeededDecisions:
        return SeededDecisions(
            self.settings,
            self.tape.symbols,
            frozenset(fault for fault in self.faults if isinstance(fault, DecisionFault)),
            seeded_random(str(self.seed), "counsel"),
            seeded_random(str(self.seed), "mind"),
            self.outcome.fault_counts,
        )

    def _restart_engine(self) -> None:
        self.decisions.disconnect()
        self.engine = Engine(self.settings, self.tape.symbols, build(self.settings, self.tape.streams))
        self.runtime = _Runtime(self)

    # the run

    def play(self) -> None:
        """Runs to the end and makes the checks that are possible only there."""
        self._until(self._calm_ns)
        self._drain()
        self.outcome.rows = self.engine.pos
        content = self.store.getvalue()
        self.outcome.digest = blake2b(content, digest_size=16).hexdigest()
        for fault, times in self.venue.fault_counts.items():
            self.outcome.fault_counts[str(fault)] += times
        self._check_replay(content)
        self._check_no_lookahead()

    def _until(self, end_ns: int) -> None:
        """Runs the market and the scheduled events up to `end_ns`."""
        self._run_or_restart(lambda: self.runtime.begin(self._nonce))
        for at_ns, event in self._scheduled_events():
            if at_ns >= end_ns:
                break
            self._advance(at_ns)
            self._run_or_restart(lambda event=event: self._apply(event))  # type: ignore[misc]
        self._advance(end_ns)

    def _advance(self, at_ns: int) -> None:
        while not self._run_or_restart(lambda: self.runtime.advance(at_ns)):
            pass

    def _run_or_restart(self, act: Callable[[], None]) -> bool:
        """Calls `act`; if the process crashes in it, restarts. Returns whether it did not crash."""
        try:
            act()
        except Crash:
            self._restart()
            return False
        return True

    def _apply(self, event: ScheduledEvent) -> None:
        event = msgspec.structs.replace(event, at_ns=max(event.at_ns, self.engine.now_ns))
        if isinstance(event, OperatorCommand) and event.command == "resume":
            event = msgspec.structs.replace(event, halt_id=self.engine.halt_id)
        self.runtime.inject(event)

    def _scheduled_events(self) -> list[tuple[int, ScheduledEvent]]:
        """The operator commands and machine faults, with their times."""
        start_ns = int(self.tape.rows.ts[0])
        span_ns = self._calm_ns - start_ns
        events: list[ScheduledEvent] = [OperatorCommand(0, "halt", "lunch")] * self._people.randrange(2)
        events += [OperatorCommand(0, "flatten", "a storm")] * (self._people.random() < 0.2)
        events += [LoopLag(0, 5_000.0), LoopLag(0, 1.0)] * (self._people.random() < 0.2)
        if MachineFault.DISK_FULL in self.faults and self._people.random() < 0.2:
            self.outcome.fault_counts["disk_full"] += 1
            events.append(SystemFault(0, "the disk is full"))
        schedule = [(start_ns + self._people.randrange(span_ns), event) for event in events]
        # Regular resumes: a scenario that stays halted after its first fault tests no entries.
        schedule += [
            (start_ns + span_ns * step // RESUMES, OperatorCommand(0, "resume", "back to work"))
            for step in range(1, RESUMES)
        ]
        return sorted(
            ((at_ns, msgspec.structs.replace(event, at_ns=at_ns)) for at_ns, event in schedule),
            key=lambda event: event[0],
        )

    def _drain(self) -> None:
        """Runs the rest without faults and checks that ledger and venue agree and no order is unknown."""
        self.crash_rate = 0.0
        self._apply(OperatorCommand(self._calm_ns, "halt", "the day is over"))
        self.runtime.advance(NEVER)
        self.runtime.finish()
        self.checker.check_final(self.engine)

    # the machine

    def crash_point(self, fault: MachineFault) -> None:
        """Raises Crash with probability `crash_rate`, if `fault` is enabled."""
        luck = self._crashes.random()  # drawn in any case, so that the stream does not depend on the faults
        if fault in self.faults and luck < self.crash_rate:
            self.outcome.fault_counts[str(fault)] += 1
            raise Crash

    def _restart(self) -> None:
        """Restarts from the record up to 4 s after a crash, as `app.wall_run` does with a remote venue."""
        self.outcome.crashes += 1
        rate, self.crash_rate = self.crash_rate, 0.0  # no crash during the recovery
        now_ns = self.engine.now_ns + int(self._crashes.uniform(0.0, 4.0) * NS_PER_S)
        now_ns = max(min(now_ns, self._calm_ns), self.engine.now_ns)
        # Twice: what the venue sends while no process runs is lost as well.
        self.venue.disconnect_trader()
        advance_unattended(self.venue, self.rows, now_ns)
        self.venue.disconnect_trader()
        self._truncate_tail()
        self.store.seek(0)
        genesis, *lines = lines_of(self.store, IN_MEMORY)
        self.journal = Journal(self.store, lines[-1].hash if lines else genesis.hash, len(lines) + 1)
        self._restart_engine()
        self.checker.reset()
        record = [line.entry for line in lines]
        for entry in record:
            self.checker.apply(entry)
        if not record:
            self.runtime.begin(self._nonce)
        else:
            lost = rehydrate(self.engine, record, self.rows, self.runtime.recorder)
            pos = max(self.engine.pos, int(np.searchsorted(self.rows.ts, now_ns, side="right")))
            nonce = nonce_from_seed(self._crashes.getrandbits(62))
            self.runtime.inject(Restarted(now_ns, pos, nonce, lost))
        self.crash_rate = rate

    def _truncate_tail(self) -> None:
        """Drops unsynced lines after a power loss, or tears the last one; what was synced stays."""
        size, luck = self.store.tell(), self._crashes.random()
        content = self.store.getvalue()
        if MachineFault.POWER_LOSS in self.faults and luck < 0.25:
            for _ in range(self._crashes.randrange(1, 6)):
                size = content.rfind(b"\n", 0, size - 1) + 1
            self.outcome.fault_counts["power_loss"] += self.store.synced < self.store.tell()
        elif MachineFault.TORN_TAIL in self.faults and luck < 0.5:
            size -= self._crashes.randrange(1, 40)
            self.outcome.fault_counts["torn_tail"] += self.store.synced < self.store.tell()
        size = max(size, self.store.synced)
        self.store.cut(content.rfind(b"\n", 0, size) + 1)

    # at the end

    def _check_replay(self, content: bytes) -> None:
        """Invariants 6 and 10: replay reproduces the record, and every order at the venue is recorded."""
        record = [line.entry for line in lines_of(BytesIO(content), IN_MEMORY) if line.event]
        engine = Engine(self.settings, self.tape.symbols, build(self.settings, self.tape.streams))
        if difference := replay(engine, self.rows, record):
            raise InvariantViolation(f"6: the record does not replay: {difference}")
        if engine.result() != self.engine.result():
            raise InvariantViolation("6: the replayed engine has another result")
        ordered = {e.event.order_id for e in record if isinstance(e.event, SubmitOrder)}
        ever_recorded = {e.event.order_id for e in self.entries if isinstance(e.event, SubmitOrder)}
        sent = {command.order_id for command in self.venue.sent if isinstance(command, SubmitOrder)}
        self.outcome.orders = len(sent)
        if not sent <= ever_recorded:
            raise InvariantViolation("10: the venue has orders that were never recorded")
        # These faults may take the line of an order that was sent; the restarted engine adopts the order.
        forgetful = self.faults & {MachineFault.POWER_LOSS, MachineFault.TORN_TAIL}
        if not forgetful and not sent <= ordered:
            raise InvariantViolation("10: the venue has orders that are missing from the record")

    def _check_no_lookahead(self) -> None:
        """Invariant 8: without the later market, everything before is the same."""
        stormy = int(np.searchsorted(self.rows.ts, self._calm_ns))
        cut = seeded_random(str(self.seed), "cut").randrange(stormy // 4, stormy // 2)
        short = FaultScenario(self.seed, self.faults, cut)
        short._until(int(self.rows.ts[cut - 1]) + 1)
        end_ns = int(self.rows.ts[cut - 1])
        before = list(takewhile(lambda entry: getattr(entry.event, "at_ns", 0) <= end_ns, short.entries))
        if before != self.entries[: len(before)]:
            raise InvariantViolation(f"8: without the rows from {cut} on, the record before them differs")


class _Runtime(VirtualRuntime):
    """The real runtime, with crash points between record, submit and apply, and checks after each step."""

    def __init__(self, scenario: FaultScenario) -> None:
        self._scenario = scenario
        self.recorder = _Recorder(scenario)
        super().__init__(
            scenario.engine, _CheckedVenue(scenario), scenario.rows, self.recorder, scenario.decisions
        )

    def drain(self) -> None:
        super().drain()
        scenario = self._scenario
        scenario.checker.account_altered |= any(scenario.venue.fault_counts[fault] for fault in TWISTS)
        if scenario.reconciled:
            scenario.reconciled = False
            self._second_pass()
        scenario.checker.step(scenario.engine)

    def _second_pass(self) -> None:
        """Invariant 7: repeated account and order lists have no effect other than queries."""
        scenario = self._scenario
        for kind in (OrderMassStatus, AccountState):
            if kind in scenario.last:
                repeated = msgspec.structs.replace(scenario.last[kind], at_ns=self._engine.now_ns)
                self._engine.step(repeated)
                outputs = [entry.event for entry in self._engine.log][1:]
                super().drain()
                for event in outputs:
                    if not isinstance(event, QueryFills):
                        raise InvariantViolation(f"7: a second pass over an unchanged venue gives {event}")


# Faults that change the account without an order: invariants on free cash and sales do not hold after them.
TWISTS = (VenueFault.BUST, VenueFault.OVERFILL, VenueFault.EXTERNAL)


class _Recorder:
    """Journals an event and applies it to the checker; the process may crash before and after it."""

    def __init__(self, scenario: FaultScenario) -> None:
        self._scenario = scenario

    def append(self, entry: JournalEntry) -> None:
        scenario = self._scenario
        scenario.crash_point(MachineFault.CRASH_RECORD)
        scenario.journal.append(entry)
        scenario.entries.append(entry)
        scenario.checker.apply(entry)
        if isinstance(entry.event, OrderMassStatus | AccountState):
            scenario.last[type(entry.event)] = entry.event
        scenario.reconciled |= isinstance(entry.event, Reconciled)
        if isinstance(entry.event, TradingCommand):
            scenario.crash_point(MachineFault.CRASH_SUBMIT)


class _CheckedVenue:
    """The venue, with each order checked before it arrives."""

    def __init__(self, scenario: FaultScenario) -> None:
        self._scenario = scenario
        self._venue = scenario.venue
        self.poll: Callable[[], VenueEvent | None] = self._venue.poll
        self.on_position, self.advance, self.fill_resting = (
            self._venue.on_position,
            self._venue.advance,
            self._venue.fill_resting,
        )

    @property
    def next_due_ns(self) -> int:
        return self._venue.next_due_ns

    @property
    def next_touch(self) -> int:
        return self._venue.next_touch

    def send(self, command: AnyTradingCommand, now_ns: int) -> None:
        scenario = self._scenario
        if isinstance(command, SubmitOrder):
            scenario.checker.on_submit(command, scenario.engine)
        self._venue.send(command, now_ns)
        scenario.crash_point(MachineFault.CRASH_APPLY)


def _at_venue(faults: frozenset[Fault], draw: Randomness) -> frozenset[VenueFault]:
    """The venue faults of this scenario; each of `TWISTS` is enabled in 40 % of the scenarios."""
    selected = (fault for fault in INJECTED if fault in faults)
    return frozenset(fault for fault in selected if draw.random() < 0.4 or fault not in TWISTS)


def _first(rows: Rows, count: int) -> Rows:
    """A copy of the first rows of a tape."""
    # A slice shares memory, so compiled code without bounds checks could read the later rows.
    columns = {name: getattr(rows, name) for name in Rows.__slots__}
    return Rows(**{name: column[:count].copy() for name, column in columns.items()})

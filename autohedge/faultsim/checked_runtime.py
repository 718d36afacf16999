"""The process of a scenario: the real runtime with crash points, and checks after each step."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from autohedge.core.clock import NEVER
from autohedge.core.events import (
    AccountState,
    AnyTradingCommand,
    JournalEntry,
    LoopLag,
    OrderMassStatus,
    QueryFills,
    Reconciled,
    SubmitOrder,
    SystemFault,
    TradingCommand,
    VenueEvent,
)
from autohedge.core.orders import LEAVE
from autohedge.core.units import NS_PER_S
from autohedge.faultsim.faults import MachineFault as M
from autohedge.faultsim.question_checks import InvariantViolation
from autohedge.faultsim.resting_checks import check_not_external
from autohedge.faultsim.seal_checks import SEAL_ROWS
from autohedge.faultsim.snapshot_checks import CheckedDecisions
from autohedge.runtime.virtual import VirtualRuntime

if TYPE_CHECKING:
    from autohedge.faultsim.scenario import FaultScenario

SLOW_NS = 2 * NS_PER_S
REPEATED_NS = 3 * NS_PER_S


class CheckedRuntime(VirtualRuntime):
    """The real runtime, with crash points between record, submit and apply, and checks after each step."""

    def __init__(self, scenario: "FaultScenario") -> None:
        self._scenario = scenario
        self.recorder = _Recorder(scenario)
        self._reported_fault: str | None = None
        self._slow_since_ns = NEVER
        super().__init__(
            scenario.engine,
            _CheckedGateway(scenario),
            scenario.batches.market,
            self.recorder,
            CheckedDecisions(scenario.decisions, scenario.checker.on_question),
            clock=scenario.venue,
        )
        self.seal_rows = SEAL_ROWS

    def drain(self) -> None:
        """Records and sends as the real runtime does, then checks what must hold after each step."""
        scenario = self._scenario
        lines = scenario.journal.lines
        super().drain()
        scenario.checker.account_altered = scenario.account_altered
        scenario.checker.lines_lost = scenario.lines_lost
        if scenario.reconciled:
            scenario.reconciled = False
            self._second_pass()
        scenario.checker.step(scenario.engine)
        if scenario.journal.lines > lines:
            self._report_disk()

    def settle(self, until_ns: int) -> None:
        """Delivers answers and fires timers up to `until_ns`, without taking rows."""
        while self._due_next_ns <= until_ns:
            self._run_next_due()

    def _report_disk(self) -> None:
        """Reports a fault of the disk, and the lag of a slow one, as `WallRuntime` does."""
        now_ns, fault = self._engine.now_ns, self._scenario.store.fault
        if fault != self._reported_fault:
            self._reported_fault = fault
            if fault:
                self.inject(SystemFault(now_ns, fault))
        if self._scenario.schedule.take(M.DISK_SLOW, now_ns):
            self._slow_since_ns = now_ns
            self.inject(LoopLag(now_ns, 5_000.0))
        elif now_ns - self._slow_since_ns > SLOW_NS:
            self._slow_since_ns = NEVER
            self.inject(LoopLag(now_ns, 1.0))

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


class _Recorder:
    """Journals an event and applies it to the checker; the process may die before and after it."""

    def __init__(self, scenario: "FaultScenario") -> None:
        self._scenario = scenario

    def append(self, entry: JournalEntry) -> None:
        scenario = self._scenario
        scenario.crash_point(M.CRASH_RECORD)
        scenario.journal.append(entry)
        scenario.entries.append(entry)
        scenario.checker.apply(entry)
        check_not_external(entry, scenario.venue.order_ids, altered=scenario.account_altered)
        if isinstance(entry.event, OrderMassStatus | AccountState):
            scenario.last[type(entry.event)] = entry.event
        scenario.reconciled |= isinstance(entry.event, Reconciled)
        if isinstance(entry.event, TradingCommand):
            scenario.crash_point(M.CRASH_SUBMIT)


class _CheckedGateway:
    """The way to the venue, with each command checked before it arrives."""

    def __init__(self, scenario: "FaultScenario") -> None:
        self._scenario = scenario
        self._venue = scenario.venue
        self._last_exits_ns: dict[str, int] = {}
        self.poll: Callable[[], VenueEvent | None] = self._venue.poll

    def send(self, command: AnyTradingCommand, now_ns: int) -> None:
        scenario = self._scenario
        scenario.checker.on_command(command, scenario.engine)
        sent = len(self._venue.sent)
        self._venue.send(command, now_ns)
        if len(self._venue.sent) > sent:
            scenario.checker.on_request(command, now_ns)
        if isinstance(command, SubmitOrder):
            scenario.crash_point(M.CRASH_ORDER)
            if command.purpose is LEAVE and self._repeats_an_exit(command):
                scenario.crash_point(M.CRASH_EXIT)
        scenario.crash_point(M.CRASH_APPLY)

    def _repeats_an_exit(self, command: SubmitOrder) -> bool:
        """Whether another exit of the symbol left shortly before: the lines of its end are not synced yet."""
        last_ns = self._last_exits_ns.get(command.symbol, -NEVER)
        self._last_exits_ns[command.symbol] = command.at_ns
        return command.at_ns - last_ns < REPEATED_NS

"""Runs one history: a market, settings, commands and faults, with deaths of the process in between.

Engine, risk checks, execution, journal, its store and recovery are the real ones. The venue is the simulated
one behind `FaultInjector`, the disk is in memory.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from io import BytesIO
from itertools import takewhile
from pathlib import Path

import numpy as np
from msgspec import structs

from autohedge.core.clock import NEVER
from autohedge.core.errors import AutoHedgeError, Refused, Unavailable
from autohedge.core.events import (
    AccountState,
    JournalEntry,
    LoopLag,
    OperatorCommand,
    OrderMassStatus,
    QueryAccount,
    Restarted,
    SubmitOrder,
    TapeSealed,
)
from autohedge.core.ids import nonce_from_seed
from autohedge.core.units import NS_PER_S
from autohedge.engine.engine import Engine
from autohedge.exchanges.faults import VenueFault
from autohedge.exchanges.simulated import VenueModel, lots_of
from autohedge.faultsim.checked_runtime import CheckedRuntime
from autohedge.faultsim.cut_tape import first_rows, with_feeds_read
from autohedge.faultsim.expected_rows import expected_rows
from autohedge.faultsim.fault_injection import FaultInjector, MutableVenue
from autohedge.faultsim.faults import MachineFault
from autohedge.faultsim.history import History, ScheduledChange, ScheduledCommand
from autohedge.faultsim.invariants import InvariantChecker
from autohedge.faultsim.question_checks import InvariantViolation
from autohedge.faultsim.random_history import settings_of, tape_of_history
from autohedge.faultsim.row_batches import RowBatches
from autohedge.faultsim.row_checks import require_same_rows, require_tape
from autohedge.faultsim.scripted_decisions import ScriptedDecisions
from autohedge.faultsim.settings_in_force import change_of
from autohedge.faultsim.simulated_disk import LONGEST_DOWN_S, Crash, SimulatedDisk
from autohedge.faultsim.strikes import FaultSchedule, Strike
from autohedge.journal.chain import Journal, lines_of
from autohedge.journal.durable import DurableStore
from autohedge.runtime.recovery import rehydrate, was_stopped
from autohedge.runtime.replay import replay
from autohedge.runtime.seals import require_seals
from autohedge.runtime.virtual import advance_unattended
from autohedge.strategies import Strategy, build
from autohedge.strategies.python import PythonStrategyRunner

JOURNAL = Path("/simulated/runs/run/journal.jsonl")
LAST_ANSWERS_NS = 3 * 3600 * NS_PER_S  # more than two passes of reconciliation without rows
M = MachineFault
# Faults that change the account without an order: invariants on free cash and sales do not hold after them.
ACCOUNT_FAULTS = (
    VenueFault.BUST,
    VenueFault.OVERFILL,
    VenueFault.LATE_FILL,
    VenueFault.EXTERNAL,
    VenueFault.TRANSFER,
)
# Faults that may take the line of an order that was sent; the restarted engine adopts the order.
LINE_LOSSES = frozenset({M.POWER_LOSS, M.TORN_TAIL, M.CRASH_EXIT})


@dataclass(slots=True)
class ScenarioResult:
    """The result of a history: how often each fault struck, and the first violation, if any.

    `digest` is the hash of the journal, `ended_ns` the time of the violation or of the end, `order_times_ns` and
    `pass_times_ns` the times at which orders were sent and passes of reconciliation began.
    """

    seed: int = 0
    rows: int = 0
    orders: int = 0
    crashes: int = 0
    fault_counts: Counter[str] = field(default_factory=Counter)
    violation: str | None = None
    digest: str = ""
    ended_ns: int = 0
    order_times_ns: list[int] = field(default_factory=list)
    pass_times_ns: list[int] = field(default_factory=list)


def run_history(history: History) -> ScenarioResult:
    """Runs a history; the same history gives the same journal."""
    scenario = FaultScenario(history)
    outcome = scenario.outcome
    try:
        scenario.play()
    except InvariantViolation as violated:
        outcome.violation = str(violated)
    # What the engine raises on bad input is a violation too; other exceptions are bugs of the simulator.
    except (AutoHedgeError, ArithmeticError, LookupError) as error:
        outcome.violation = f"the engine stopped: {type(error).__name__}: {error}"
    outcome.ended_ns = scenario.now_ns
    for kind, times_ns in ((SubmitOrder, outcome.order_times_ns), (QueryAccount, outcome.pass_times_ns)):
        times_ns += [command.at_ns for command in scenario.venue.sent if isinstance(command, kind)]
    return outcome


class FaultScenario:
    """Runs one history; with `cut`, its market ends after that many rows.

    With `growing`, its rows come in batches while it runs; by default in half of the histories.
    """

    def __init__(self, history: History, cut: int | None = None, *, growing: bool | None = None) -> None:
        self.outcome = ScenarioResult()
        self.entries: list[JournalEntry] = []
        self.history = history
        self.schedule = FaultSchedule(
            (strike for strike in history.strikes if strike.at_ns < history.calm_ns),
            self.outcome.fault_counts,
        )
        self.settings, whole = settings_of(history), tape_of_history(history, self.outcome.fault_counts)
        self.tape = whole if cut is None else first_rows(whole, cut)
        self.rows = self.tape.rows
        several = bool(history.feeds) or self.rows.kinds is not None
        self.expected = expected_rows(whole, self.settings.bars) if several else []
        self.growing = self._share("growing", 0) < 0.5 if growing is None else growing
        self.batches = RowBatches(self.rows, history.nonce, growing=self.growing, whole=whole.rows)
        mutable_venue = MutableVenue(
            VenueModel.of(self.settings, self.tape.symbols),
            lots_of(self.settings, self.tape.symbols),
            self.batches.market,
            nonce=history.nonce,
        )
        self.venue = FaultInjector(mutable_venue, self.schedule)
        self.decisions = ScriptedDecisions(self.settings, self.tape.symbols, history.answers, self.schedule)
        self.checker = InvariantChecker(
            self.settings, self.rows, self.tape.symbols, mutable_venue, self.expected
        )
        self.last: dict[type, OrderMassStatus | AccountState] = {}
        self.reconciled = False
        self.recovering = False
        self.stopped = False
        self._died_ns = 0
        self._begin_engine()
        self.disk = SimulatedDisk(self.schedule, lambda: self.now_ns)
        self.store = self._open_store()
        self.journal = Journal.begin(self.store, {"nonce": history.nonce})
        self.store.sync()
        self.runtime = CheckedRuntime(self)

    @property
    def now_ns(self) -> int:
        """The time of the run; a restarted engine reaches it only at the end of its recovery."""
        return max(self.engine.now_ns, self._died_ns)

    @property
    def account_altered(self) -> bool:
        """Whether a fault has changed the account without an order."""
        return any(map(self.outcome.fault_counts.get, ACCOUNT_FAULTS))

    @property
    def lines_lost(self) -> bool:
        """Whether a fault has taken lines of the record."""
        return any(map(self.outcome.fault_counts.get, LINE_LOSSES))

    def _begin_engine(self) -> None:
        self.engine, self._strategies = self._new_engine()
        self.checker.watch(self._strategies)

    def _new_engine(self) -> tuple[Engine, list[Strategy]]:
        """A new engine, and its strategies if they are in Python."""
        runner = build(self.settings, self.tape.streams)
        strategies = runner.strategies if isinstance(runner, PythonStrategyRunner) else []
        return Engine(self.settings, self.tape.symbols, runner), strategies

    def _open_store(self) -> DurableStore:
        power = self.settings.journal.durability == "power"
        return DurableStore(JOURNAL, power=power, disk=self.disk, syncs_behind=False)

    # the run

    def play(self) -> None:
        """Runs to the end and makes the checks that are possible only there."""
        if self.expected:
            require_tape(self.tape, self.expected)
        self.run_until(self.history.calm_ns)
        self.schedule.clear()
        self.venue.end_faults()
        self.disk.end_faults()
        self._settle() if self.stopped else self._drain()
        self.checker.check_final(self.engine)
        self.outcome.rows = self.engine.pos
        content = self.disk.read(JOURNAL)
        self.outcome.digest = blake2b(content, digest_size=16).hexdigest()
        self._check_replay(content)
        self._check_no_lookahead()

    def run_until(self, end_ns: int) -> None:
        """Runs the market and the scheduled events up to `end_ns`."""
        self._run_or_restart(lambda: self.runtime.begin(self.history.nonce))
        for at_ns, act in self._scheduled_acts():
            if at_ns >= end_ns:
                break
            self._advance(at_ns)
            self._run_or_restart(act)
            if self.stopped:
                return
        self._advance(end_ns)

    def _advance(self, at_ns: int) -> None:
        while not self._run_or_restart(lambda: self._take_rows(at_ns)):
            if self.stopped:
                return

    def _take_rows(self, until_ns: int) -> None:
        """Handles all rows and due events up to a time, batch by batch as rows come."""
        batches, runtime = self.batches, self.runtime
        while not batches.reach(until_ns):
            if self.growing:
                runtime.advance(until_ns)
            self._wait_for_rows()
            batches.write()
            runtime.refresh()
        runtime.advance(until_ns)

    def _wait_for_rows(self) -> None:
        """Lets the process die between two batches if a strike says so."""
        batches = self.batches
        if self.schedule.next_of((M.CRASH_WAITING,)) > batches.last_ns:
            return
        # On a whole tape the run gets as far as one whose rows come: what is due waits for a later row.
        self.runtime.advance_to(batches.written, batches.last_ns - 1)
        if strike := self.schedule.take(M.CRASH_WAITING, self.now_ns):
            raise Crash(strike)

    def _run_or_restart(self, act: Callable[[], None]) -> bool:
        """Calls `act`; if the process dies in it, restarts. Returns whether it did not die."""
        try:
            act()
        except (Crash, Unavailable) as death:  # a disk that takes nothing more ends the process in order
            self._restart(death)
            return False
        return True

    def _scheduled_acts(self) -> list[tuple[int, Callable[[], None]]]:
        """What operators and the machine do, with the times, in order."""
        acts: list[tuple[int, Callable[[], None]]] = [
            (command.at_ns, partial(self._apply, command)) for command in self.history.commands
        ]
        acts += [(change.at_ns, partial(self._change_settings, change)) for change in self.history.changes]
        for strike in self.history.strikes:
            if strike.fault == M.SECOND_PROCESS:
                acts.append((strike.at_ns, self._start_second_process))
            elif strike.fault == M.INTERRUPT:
                acts.append((strike.at_ns, self._interrupt))
        return sorted(acts, key=lambda act: act[0])

    def _apply(self, command: ScheduledCommand) -> None:
        at_ns = max(command.at_ns, self.engine.now_ns)
        if command.command == "lag":
            self.runtime.inject(LoopLag(at_ns, command.lag_ms))
            return
        halt_id = command.halt_id
        if command.command == "resume" and halt_id is None:
            if self.store.fault:
                self.store.reserve()
            if self.store.fault:
                return
            halt_id = self.engine.halt_id
        texts = ("operator", halt_id or None, command.actor, command.request_id)
        self.runtime.inject(OperatorCommand(at_ns, command.command, *texts))

    def _change_settings(self, change: ScheduledChange) -> None:
        at_ns = max(change.at_ns, self.engine.now_ns)
        if event := change_of(self.engine.parameters.settings, change, at_ns):
            self.runtime.inject(event)

    def _start_second_process(self) -> None:
        """Starts a second process on the same run, which must be refused."""
        self.schedule.take(M.SECOND_PROCESS, NEVER)
        try:
            self._open_store()
        except Refused:
            return
        raise InvariantViolation("4: a second process writes the same journal")

    def _interrupt(self) -> None:
        """Interrupts the run: it stops in order, or dies at once where the second interrupt follows."""
        strike = self.schedule.take(M.INTERRUPT, NEVER)
        self.stopped = True
        self.runtime.inject(OperatorCommand(self.engine.now_ns, "stop", "interrupted"))
        if strike and strike.between(0, 1) < 0.5:
            raise Crash(strike)

    def _drain(self) -> None:
        """Runs the rest without faults and checks that ledger and venue agree and no order is unknown."""
        self._apply(ScheduledCommand(self.history.calm_ns, "halt"))
        self._take_rows(NEVER)
        self._settle()

    def _settle(self) -> None:
        """Takes the last answers, once no more rows are taken."""
        self.runtime.settle(self.now_ns + LAST_ANSWERS_NS)
        self.runtime.finish()

    # the machine

    def crash_point(self, fault: MachineFault) -> None:
        """Raises Crash if a strike kills the process at this place."""
        now_ns = self.now_ns
        places = [M.CRASH_RECOVERY] if self.recovering else [fault]
        if self.engine.execution.reconciliation.open:
            places.append(M.CRASH_RECONCILIATION)
        for place in places:
            if strike := self.schedule.take(place, now_ns):
                raise Crash(strike)

    def _restart(self, death: Crash | Unavailable) -> None:
        """Restarts from the record a while after a death, until no other death cuts the restart short."""
        self.recovering = True
        while self.recovering:
            self.outcome.crashes += 1
            try:
                self._recover(self._pass_downtime(death))
            except (Crash, Unavailable) as next_death:
                death = next_death
            else:
                self.recovering = False

    def _pass_downtime(self, death: Crash | Unavailable) -> int:
        """Lets the venue go on without the process, and takes what the death costs; returns the time after."""
        down_s = death.down_s if isinstance(death, Crash) else LONGEST_DOWN_S
        self._lose_unsynced(death.strike if isinstance(death, Crash) else None)
        now_ns = self._died_ns = self.now_ns + int(down_s * NS_PER_S)
        self.disk.release()
        # Twice: what the venue sends while no process runs is lost as well.
        self.venue.disconnect_trader()
        self.venue.attended = False
        self.batches.write_until(now_ns)
        self.batches.market.refresh()
        advance_unattended(self.venue, self.batches.market.rows, now_ns)
        self.venue.attended = True
        self.venue.disconnect_trader()
        self.decisions.disconnect()
        return now_ns

    def _share(self, purpose: str, number: int) -> float:
        """A number in [0, 1) that the history's nonce, a purpose and a number decide."""
        digest = blake2b(f"{self.history.nonce} {purpose} {number}".encode(), digest_size=8).digest()
        return int.from_bytes(digest) / 2**64

    def _lose_unsynced(self, death: Strike | None) -> None:
        """Takes from the disk what was not synced, if the power failed or the last line was torn."""
        now_ns, counts = self.now_ns, self.outcome.fault_counts
        if death and death.fault == M.CRASH_EXIT:
            self.disk.lose_power(death)
            # So the exit before it still seems to work when the lost one is found at the venue.
            self.venue.lose_queries(now_ns + int(death.between(10, 60, 1) * NS_PER_S))
        elif strike := self.schedule.due(M.POWER_LOSS, now_ns):
            counts[M.POWER_LOSS] += self.disk.lose_power(strike)
        elif strike := self.schedule.due(M.TORN_TAIL, now_ns):
            counts[M.TORN_TAIL] += self.disk.tear(JOURNAL, int(strike.between(1, 200)))

    def _recover(self, now_ns: int) -> None:
        """Restarts from the record, as `app.wall_run` does with a remote venue."""
        self._begin_engine()
        self.runtime = CheckedRuntime(self)
        self.store = self._open_store()
        content = self.disk.read(JOURNAL)
        self.store.truncate_torn(len(content) - content.rfind(b"\n") - 1)
        genesis, *lines = lines_of(BytesIO(content), JOURNAL)
        self.journal = Journal(self.store, lines[-1].hash if lines else genesis.hash, len(lines) + 1)
        record = [line.entry for line in lines]
        self.checker.reset(record[-1].seq if record else 0)
        for entry in record:
            self.checker.apply(entry)
        if not record:
            self.runtime.begin(self.history.nonce)
            return
        self.stopped = was_stopped(record)
        market = self.batches.market
        seals = [entry.event for entry in record if isinstance(entry.event, TapeSealed)]
        require_seals(seals, record[-1].pos, market, "the tape")
        lost = rehydrate(self.engine, record, market.rows, self.runtime.recorder)
        self.reconciled = False  # that pass and its answers are older than the restart
        self.venue.admission.hold_until(self.engine.execution.tracker.hold_until_ns)
        pos = max(self.engine.pos, market.rows.end_until(now_ns))
        nonce = nonce_from_seed(int(self._share("nonce", self.outcome.crashes) * 2**62))
        self.runtime.inject(Restarted(now_ns, pos, nonce, lost, self.checker.last_number))

    # at the end

    def _check_replay(self, content: bytes) -> None:
        """Invariants 6 and 10: replay reproduces the record, and every order at the venue is recorded."""
        record = [line.entry for line in lines_of(BytesIO(content), JOURNAL) if line.event]
        engine, strategies = self._new_engine()
        if difference := replay(engine, self.rows, record):
            raise InvariantViolation(f"6: the record does not replay: {difference}")
        if engine.result() != self.engine.result():
            raise InvariantViolation("6: the replayed engine has another result")
        require_same_rows(self._strategies, strategies)
        ordered = {e.event.order_id for e in record if isinstance(e.event, SubmitOrder)}
        ever_recorded = {e.event.order_id for e in self.entries if isinstance(e.event, SubmitOrder)}
        sent = {command.order_id for command in self.venue.sent if isinstance(command, SubmitOrder)}
        self.outcome.orders = len(sent)
        if not sent <= ever_recorded:
            raise InvariantViolation("10: the venue has orders that were never recorded")
        if not self.lines_lost and not sent <= ordered:
            raise InvariantViolation("10: the venue has orders that are missing from the record")

    def _check_no_lookahead(self) -> None:
        """Invariants 8, 32 and 35: the later market, batches, and rows that nobody reads change nothing before."""
        stormy = int(np.searchsorted(self.rows.ts, self.history.calm_ns))
        cut = int(stormy * (1 + self._share("cut", 0)) / 4)
        if not cut:
            return
        end_ns = int(self.rows.ts[cut - 1])
        read = with_feeds_read(self.history, self.tape)
        if self._repeats(read, cut, end_ns, growing=not self.growing):
            return
        if self._repeats(self.history, cut, end_ns, growing=not self.growing):
            raise InvariantViolation(f"35: rows that nobody reads change the record before row {cut}")
        if self._repeats(self.history, cut, end_ns, growing=self.growing):
            raise InvariantViolation(
                f"32: rows in batches and on a tape differ in the record before row {cut}"
            )
        raise InvariantViolation(f"8: without the rows from {cut} on, the record before them differs")

    def _repeats(self, history: History, cut: int, end_ns: int, *, growing: bool) -> bool:
        """Whether a run over the first `cut` rows, which end at `end_ns`, gives the record of this one."""
        short = FaultScenario(history, cut, growing=growing)
        short.run_until(end_ns + 1)
        before = list(takewhile(lambda entry: _is_before(entry, cut, end_ns), short.entries))
        if history is self.history:
            return before == self.entries[: len(before)]
        # The seals of a tape with fewer streams differ: they cover the numbers of streams.
        same = map(_without_seal, self.entries[: len(before)])
        return list(map(_without_seal, before)) == list(same)


def _is_before(entry: JournalEntry, pos: int, at_ns: int) -> bool:
    return entry.pos < pos and getattr(entry.event, "at_ns", 0) <= at_ns


def _without_seal(entry: JournalEntry) -> JournalEntry:
    if not isinstance(entry.event, TapeSealed):
        return entry
    return structs.replace(entry, event=structs.replace(entry.event, hash=""))

"""The trading engine: a deterministic function of its inputs, without clock, randomness or I/O.

`Engine.scan` takes market rows up to the first one that needs a decision; `Engine.step` takes every other
input. Inputs and outputs go to `Engine.log` under one sequence number, which counts rows too. A runtime
writes the log to the journal and then sends the trading commands in it to the venue.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, assert_never

import numpy as np

from autohedge.config import Settings
from autohedge.core.clock import next_midnight_ns
from autohedge.core.events import (
    AccountState,
    AnyInput,
    AnyOutput,
    ChangeRejected,
    ConnectionStatus,
    Continued,
    Decision,
    EndOfTape,
    ExecutionReport,
    JournalEntry,
    LoopLag,
    OperatorCommand,
    OrderAccepted,
    OrderEvent,
    OrderMassStatus,
    OrderNotFound,
    OrderRejected,
    OrderReplaced,
    PromptsChanged,
    RequestThrottled,
    RequestUnknown,
    Restarted,
    RunResult,
    RunStarted,
    SystemFault,
    Timer,
)
from autohedge.core.ids import client_order_id
from autohedge.core.money import ZERO, add, multiply, subtract, to_decimal
from autohedge.core.reasons import STOPS, Reason
from autohedge.core.timers import TimerQueue
from autohedge.core.units import NS_PER_S
from autohedge.engine.deliberations.coordinator import DELIBERATION_TIMERS, DeliberationCoordinator
from autohedge.execution.instrument_state import instrument_states
from autohedge.execution.manager import ExecutionManager
from autohedge.execution.planner import ENTRY, FLATTEN, OrderPlanner
from autohedge.execution.stats import run_result
from autohedge.execution.tracking import TimerKey
from autohedge.kernels.matching import last_valid
from autohedge.kernels.state import EXITING, FLAT, OPEN, PENDING, REFRESH_DUE
from autohedge.market.tape import Rows
from autohedge.risk.state import ReduceCause
from autohedge.strategies import StrategyRunner

REASONS = tuple(Reason)
EXIT_CODES = STOPS - {Reason.ENTRY}
TIME_STOP = Reason.TIME_STOP.label
ORDER_TIMERS = frozenset({"look", "resend", "reprice", "cancel"})
MIDNIGHT: TimerKey = ("midnight", "")
SILENCE: TimerKey = ("silence", "")


class Engine:
    """One account and one strategy over any number of instruments; a lane is an instrument's index."""

    def __init__(self, settings: Settings, symbols: Sequence[str], strategy: StrategyRunner) -> None:
        self.log: deque[JournalEntry] = deque()
        self.seq = 1  # 0 is the genesis, the first line of the journal
        self.pos = 0
        self.now_ns = 0
        self.first_ns = 0
        self.restarts = 0
        self.timers: TimerQueue[TimerKey] = TimerQueue()
        self.instruments = instrument_states(settings, symbols)
        self.execution = ExecutionManager(
            settings, self.instruments, self.timers, self._emit, self._last_bid, self._new_halt_id
        )
        self.ledger, self.orders = self.execution.ledger, self.execution.orders
        self.stats, self.state = self.execution.stats, self.execution.state
        self._held = self.execution.held
        self.planner = OrderPlanner(
            settings,
            self.instruments,
            strategy.lanes,
            self.timers,
            self.execution,
            self._new_id,
            self._last_quote_ns,
        )
        self._strategy = strategy
        self.kernel_states = strategy.lanes
        self._counts = strategy.lanes["counts"]
        self._stop = strategy.lanes["stop"]
        self._bid, self._ask = strategy.lanes["bid"], strategy.lanes["ask"]
        self._status = strategy.lanes["status"]
        self._take_profit, self._stop_loss = strategy.lanes["take_profit"], strategy.lanes["stop_loss"]
        self._trail_from = strategy.lanes["trail_from"]
        # The trailing stop is this share of the highest bid.
        strategy.lanes["trail_keep"] = [
            1.0 - instrument_state.trailing_distance_bps / 10_000.0 for instrument_state in self.instruments
        ]
        self._refresh_in = strategy.lanes["refresh_in"]
        self.deliberations: DeliberationCoordinator | None = None
        if settings.trading.mode != "hft":
            self.deliberations = DeliberationCoordinator(
                settings,
                self.instruments,
                self.kernel_states,
                self.timers,
                self.execution,
                self.planner,
                self._emit,
                self._seen_rows,
                self._exit_position,
            )
        self._feed_timeout_ns = round(settings.risk.silent_feed_s * NS_PER_S)
        self.max_lag_ms = settings.risk.max_lag_ms
        self._feed_timed_out = False
        self._watched = False
        self._row_ns = 0
        self._seen: tuple[Rows | None, int] = (None, 0)
        self._input_seq = 0
        self._nonce = ""

    @property
    def halted(self) -> bool:
        """Whether entries are off until a person resumes."""
        return self.state.halted

    @property
    def halt_id(self) -> str | None:
        """The id of the automatic halt in force, which a resume must name; None without one."""
        return self.state.halt_id

    @property
    def next_deadline_ns(self) -> int:
        """When the engine next needs a `Timer`, whether rows arrive or not; NEVER if no timer is set."""
        return self.timers.next_ns

    def scan(self, rows: Rows, start: int, stop: int) -> int:
        """Takes rows `start` to `stop` of a batch, at most up to the first that needs a decision.

        Returns the first row not taken. Slicing one tape into other batches changes no output.
        """
        # The first row after a feed timeout ends it. Alone, it gives `Active` the same seq in any batching.
        if self._feed_timed_out:
            stop = min(stop, start + 1)
        at = self._strategy.scan(rows, start, stop)
        taken = min(at + 1, stop)
        if taken == start:
            return taken
        if self.first_ns == 0:
            self.first_ns = int(rows.ts[start])
        self.seq += taken - start
        self.pos += taken - start
        self._row_ns = int(rows.ts[taken - 1])
        self._seen = (rows, taken)
        self.now_ns = max(self.now_ns, self._row_ns)
        if self._feed_timed_out:
            self._feed_timed_out = self._watched = False
            self.state.clear(ReduceCause.SILENT)
            self._arm_watchdogs()
        if at < stop:
            self._on_kernel_stop(int(rows.lane[at]), int(rows.ts[at]))
        return taken

    def step(self, event: AnyInput) -> None:
        """Takes one input other than a market row."""
        self._input_seq = self._append(event)
        if not isinstance(event, EndOfTape):  # the only input without a time
            self.now_ns = max(self.now_ns, event.at_ns)
        match event:
            case (
                ExecutionReport()
                | OrderAccepted()
                | OrderRejected()
                | RequestUnknown()
                | RequestThrottled()
                | OrderNotFound()
                | ChangeRejected()
                | OrderReplaced()
            ):
                self._on_order_event(event)
            case RunStarted():
                self._on_run_started(event)
            case Timer():
                self._on_timer(event.at_ns)
            case OperatorCommand():
                self._on_operator(event)
            case SystemFault():
                self._halt(event.cause, self._new_halt_id())
            case Continued():
                self._nonce, self.restarts = event.nonce, self.restarts + 1
            case Restarted():
                self._on_restarted(event)
            case EndOfTape():
                self._emit(RunResult(self.result()))
            case _:
                self._on_account_event(event)

    def _on_account_event(
        self, event: OrderMassStatus | AccountState | ConnectionStatus | LoopLag | Decision | PromptsChanged
    ) -> None:
        """Handles inputs of the venue and the runtime that do not concern a single order."""
        match event:
            case OrderMassStatus():
                self._publish_kernel_states(self.execution.on_mass_status(event, self.now_ns))
                self._arm_watchdogs()  # it may have adopted an order, or the account below a position
            case AccountState():
                self._publish_kernel_states(self.execution.on_account_state(event, self.now_ns))
                self._arm_watchdogs()
            case ConnectionStatus():
                self.execution.on_connection(event, self.now_ns)
            case LoopLag():
                self._on_loop_lag(event.lag_ms)
            case Decision():
                self._on_decision(event)
            case PromptsChanged():
                return  # prompts concern the agents runtime; here they only need a place in the journal
            case _:
                assert_never(event)

    def result(self) -> dict[str, Any]:
        """The results of the run so far, in the form of `results.json`."""
        figures = run_result(self.ledger, self.orders, self.stats, self.codes(), self.unrealized())
        timestamps = {"first_ns": self.first_ns, "last_ns": self.now_ns}
        deliberations = {"deliberations": self.deliberations.result()} if self.deliberations else {}
        return figures | timestamps | {"restarts": self.restarts, "state": self.state.name} | deliberations

    def may_resume(self, halt_id: str | None) -> bool:
        """Whether a person may lift the halt; an automatic halt needs its id."""
        return self.state.may_resume(halt_id)

    def codes(self) -> dict[str, int]:
        """The number of rows per reason code, over all lanes."""
        totals = self._counts.sum(axis=0)
        return {reason.label: int(totals[reason]) for reason in Reason}

    def unrealized(self) -> Decimal:
        """The unrealized P&L: open positions at the last valid bids less their cost, in exact decimals."""
        total = ZERO
        for lane, instrument_state in enumerate(self.instruments):
            position = self.ledger.position(instrument_state.instrument.symbol)
            if position.quantity:
                worth = multiply(position.quantity, to_decimal(self._bid[lane]))
                total = add(total, subtract(worth, position.cost))
        return total

    def _append(self, event: AnyInput | AnyOutput) -> int:
        seq = self.seq
        self.log.append(JournalEntry(seq, self.pos, event))
        self.seq += 1
        return seq

    def _emit(self, output: AnyOutput) -> None:
        self._append(output)

    # decisions at a row

    def _on_kernel_stop(self, lane: int, quote_ns: int) -> None:
        if self._stop[lane] == REFRESH_DUE:
            self._on_refresh_due(lane)
            return
        code = REASONS[self._stop[lane]]
        pending_exit_reason = self.instruments[lane].pending_exit_reason
        if code in EXIT_CODES:
            code = Reason.EXIT_SIGNAL if pending_exit_reason else code
            self._counts[lane, code] += 1
            self.planner.plan_exit(lane, pending_exit_reason or code.label, self.now_ns)
        else:
            code = self.planner.plan_entry(lane, quote_ns, self.now_ns)
            self._counts[lane, code] += 1
        if code is ENTRY or code in EXIT_CODES:
            self._arm_watchdogs()
            self._publish_kernel_state(lane)
        # The kernel gives one reason per stop: a refresh that is due at the same row would be lost.
        if self.deliberations and self._refresh_in[lane] == 0:
            self._on_refresh_due(lane)

    def _on_refresh_due(self, lane: int) -> None:
        if self.deliberations:
            self.deliberations.on_refresh_due(lane, self.now_ns)

    def _seen_rows(self) -> tuple[Rows | None, int]:
        """The last batch, and how many of its rows were taken."""
        return self._seen

    def _last_quote_ns(self, lane: int) -> int:
        """The time of a lane's last valid quote; 0, which counts as stale, if the last batch has none."""
        rows, taken = self._seen
        if rows is None:
            return 0
        row = last_valid(rows.lane, rows.bid, rows.ask, taken, lane)
        return int(rows.ts[row]) if row >= 0 else 0

    # inputs of the venue, the clock and the operator

    def _on_order_event(self, answer: OrderEvent) -> None:
        lane = self.execution.on_order_event(answer, self.now_ns)
        self._arm_watchdogs()
        if lane >= 0:
            self._publish_kernel_state(lane)

    def _last_bid(self, lane: int) -> Decimal:
        return self.planner.last_bid(lane)

    def _new_id(self) -> str:
        return client_order_id(self._nonce, self.seq)

    def _new_halt_id(self) -> str:
        return f"halt-{self._input_seq}"

    def _on_timer(self, at_ns: int) -> None:
        for kind, subject in self.timers.pop_due(at_ns):
            self._fire(kind, subject)

    def _fire(self, kind: str, subject: str | int) -> None:
        """Fires one timer; its `subject` is a lane, an order id or a cause to reduce, depending on `kind`."""
        if isinstance(subject, int):
            self._fire_instrument_timer(kind, subject)
            self._publish_kernel_state(subject)
        elif kind in ORDER_TIMERS:
            self._fire_order_timer(kind, subject)
        elif kind == "relieve":
            self.state.clear(ReduceCause(subject))
        elif kind == "reconcile":
            self.execution.reconciliation.note_idle(self._row_ns)
            self.execution.request_reconciliation(self.now_ns)
        elif kind == "midnight":
            self.planner.start_new_day()
            # Arm the next midnight, but only while there is exposure: an idle run would wake for nothing.
            self._watched = False
            self._arm_watchdogs()
        else:
            self._on_feed_timeout()

    def _fire_instrument_timer(self, kind: str, lane: int) -> None:
        if kind in DELIBERATION_TIMERS and self.deliberations:
            self.deliberations.on_timer(kind, lane, self.now_ns)
        elif kind == "slice":
            self.planner.plan_slice(lane, self.now_ns)
            self._arm_watchdogs()
        elif kind == "time_stop":
            self._time_stop(lane)

    def _fire_order_timer(self, kind: str, order_id: str) -> None:
        if kind == "look":
            lane = self.execution.query_order(order_id, self.now_ns)
            self._publish_kernel_states([lane])
        elif kind == "resend":
            self.execution.resubmit(order_id, self.now_ns)
        elif kind == "reprice":
            self.planner.plan_reprice(order_id, self.now_ns)
        else:
            self.execution.cancel(
                self.orders.working.get(order_id), "resting time limit reached", self.now_ns
            )

    def _time_stop(self, lane: int) -> None:
        """Exits a position that was held for its maximum time."""
        self._exit_position(lane, TIME_STOP)

    def _exit_position(self, lane: int, reason: str) -> bool:
        """Sells the position now, or at the next quote if exits must wait; returns whether there is one."""
        if self._held[lane] <= 0.0:
            return False
        # An exit in flight may fill in part: with a pending reason the next quote sells what it leaves.
        if self.orders.exits_of(lane) or self.execution.exits_wait:
            self.instruments[lane].pending_exit_reason = reason
        else:
            self.planner.plan_exit(lane, reason, self.now_ns)
        return True

    def _on_decision(self, decision: Decision) -> None:
        if self.deliberations is None:
            return
        lane = self.deliberations.on_decision(decision, self.now_ns)
        if lane is not None:
            self._arm_watchdogs()
            self._publish_kernel_state(lane)

    def _on_operator(self, command: OperatorCommand) -> None:
        if command.command != "resume":
            self._halt(command.reason, None)
        elif self.may_resume(command.halt_id):
            self.state.resume(command.reason)
        if command.command == "flatten":
            self._flatten()

    def _halt(self, reason: str, halt_id: str | None) -> None:
        self.execution.tracker.repeat_cancels(self.now_ns)
        self.execution.halt(reason, halt_id, self.now_ns)

    def _flatten(self) -> None:
        """Sells every position now; what an entry in flight still fills is sold at its next quote."""
        for lane, instrument_state in enumerate(self.instruments):
            if self._held[lane] > 0.0 and self.execution.exits_wait:
                instrument_state.pending_exit_reason = FLATTEN
            elif self._held[lane] > 0.0:
                self.planner.plan_exit(lane, FLATTEN, self.now_ns)
                self._publish_kernel_state(lane)
            elif self.orders.entries_of(lane):
                instrument_state.pending_exit_reason = FLATTEN

    def _on_loop_lag(self, lag_ms: float) -> None:
        if lag_ms > self.max_lag_ms:
            if self.state.reduce(ReduceCause.LAG):
                self.execution.cancel_entries("event loop lag limit exceeded", self.now_ns)
        else:
            self.state.clear(ReduceCause.LAG)

    def _on_feed_timeout(self) -> None:
        """Reduces if no row came within the timeout; arms the watchdog again if one did."""
        self._watched = False
        if self._row_ns + self._feed_timeout_ns > self.now_ns:
            self._arm_watchdogs()
        elif self.execution.has_exposure and self.state.reduce(ReduceCause.SILENT):
            self._feed_timed_out = True
            self.execution.cancel_entries("market data timeout", self.now_ns)

    def _on_run_started(self, begun: RunStarted) -> None:
        self._nonce = begun.nonce
        self.state.reduce(ReduceCause.RECONCILING)
        self.execution.reconcile(self.now_ns)

    def _on_restarted(self, restarted: Restarted) -> None:
        """Marks every unfinished order unknown until the venue has answered for it, and reconciles."""
        # `Restarted` itself took seq - 1. The dead process may have used that seq and later ones for orders
        # whose journal lines were lost; their ids derive from the nonce that was in force until now. Rows count
        # too: it may have passed all rows up to this one.
        lost_from, rows = self.seq - 1, max(restarted.pos - self.pos, 0)
        self.pos = max(self.pos, restarted.pos)
        self.restarts += 1
        self.state.reduce(ReduceCause.RECONCILING)
        self.execution.on_restart(self._nonce, lost_from, rows, self.now_ns)
        if self.deliberations:
            self.deliberations.on_restart(restarted.last_number, self.now_ns)
        self._nonce = restarted.nonce
        self._arm_watchdogs()
        self._publish_kernel_states(range(len(self.instruments)))

    def _arm_watchdogs(self) -> None:
        """Sets the timers for midnight and feed timeout while an order works or a position is held."""
        if self._watched or not self.execution.has_exposure:
            return
        self._watched = True
        if MIDNIGHT not in self.timers:
            self.timers.schedule(MIDNIGHT, next_midnight_ns(self.now_ns))
        if self._feed_timeout_ns and SILENCE not in self.timers and not self._feed_timed_out:
            # Later than now even if the last row is older than the timeout: a timer must not fire at once.
            self.timers.schedule(
                SILENCE, max(self._row_ns, self.now_ns - self._feed_timeout_ns + 1) + self._feed_timeout_ns
            )

    def _publish_kernel_states(self, lanes: Iterable[int]) -> None:
        for lane in lanes:
            if lane >= 0:
                self._publish_kernel_state(lane)

    def _publish_kernel_state(self, lane: int) -> None:
        """Writes a lane's status and exit prices into the kernel's record."""
        instrument_state = self.instruments[lane]
        status, take_profit, stop_loss = FLAT, np.inf, -np.inf
        held = self._held.item(lane) > 0.0
        waits = self.execution.exits_wait and held
        # Every bid meets a take-profit of -inf. With EXITING the kernel then counts `exit_pending`; with OPEN
        # the scan stops, and the engine sends the pending exit.
        exits = self.orders.exits_of(lane)
        if waits or exits or (instrument_state.refused and ("exit", lane) in self.timers):
            status, take_profit = EXITING, -np.inf
        elif held and not instrument_state.dust:
            status, take_profit, stop_loss = OPEN, instrument_state.take_profit, instrument_state.stop_loss
            if instrument_state.pending_exit_reason:
                take_profit = -np.inf
        elif self.orders.entries_of(lane):
            status = PENDING
        self._status[lane] = status
        self._take_profit[lane] = take_profit
        self._stop_loss[lane] = stop_loss
        if not held or instrument_state.dust:
            self._trail_from[lane] = np.inf
        elif self._trail_from.item(lane) > -np.inf:  # at -inf the kernel has activated the trail: keep it
            self._trail_from[lane] = instrument_state.trail_from

"""The trading engine: a deterministic function of its inputs, without clock, randomness or I/O.

`Engine.scan` takes market rows up to the first one that needs a decision; `Engine.step` takes every other
input. Inputs and outputs go to `Engine.log` under one sequence number, which counts rows too. A runtime
writes the log to the journal and then sends the trading commands in it to the venue.
"""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec

from autohedge.config import Settings, opening_account
from autohedge.core.events import (
    AccountState,
    AnyInput,
    ChangeRejected,
    ClockReached,
    ConnectionStatus,
    Continued,
    Decision,
    EndOfTape,
    ExecutionReport,
    FillBooked,
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
    RunEnded,
    RunStarted,
    SettingsChanged,
    SystemFault,
    TapeSealed,
    Timer,
)
from autohedge.core.ids import DEFAULT_IDS, RunIds
from autohedge.core.reasons import STOPS, Reason
from autohedge.core.results import RunResult
from autohedge.core.timers import TimerQueue
from autohedge.core.units import NS_PER_S
from autohedge.engine.deliberations.coordinator import DELIBERATION_TIMERS, DeliberationCoordinator
from autohedge.engine.kernel_publisher import KernelPublisher
from autohedge.engine.outbox import Outbox
from autohedge.engine.parameters import Parameters
from autohedge.engine.trade_actions import TradeActions
from autohedge.engine.watchdogs import Watchdogs
from autohedge.execution.applied import Applied
from autohedge.execution.entry_request import LONG, SHORT, EntryRequest
from autohedge.execution.equity_history import EquityHistory
from autohedge.execution.instrument_state import instrument_states
from autohedge.execution.ledger import Ledger
from autohedge.execution.manager import ExecutionManager
from autohedge.execution.market_view import MarketView
from autohedge.execution.orders import Order
from autohedge.execution.planner import OrderPlanner
from autohedge.execution.portfolio import Portfolio, PositionChange
from autohedge.execution.stats import RunStats, currency_figures, trading_figures
from autohedge.execution.tracking import TimerKey
from autohedge.kernels.state import REFRESH_DUE, scalars
from autohedge.market.bar_rings import windows_of
from autohedge.market.rows import Rows
from autohedge.risk.state import ReduceCause
from autohedge.strategies import StrategyRunner

REASONS = tuple(Reason)
EXIT_CODES = STOPS - {Reason.ENTRY}
TIME_STOP = Reason.TIME_STOP.label
REQUESTS_MAX = 1_000  # an operator's client repeats a request soon or not at all
ORDER_EVENTS = (
    ExecutionReport,
    OrderAccepted,
    OrderRejected,
    RequestUnknown,
    RequestThrottled,
    OrderNotFound,
    ChangeRejected,
    OrderReplaced,
)


class Engine:
    """One account and one strategy over any number of instruments; a lane is an instrument's index."""

    def __init__(
        self,
        settings: Settings,
        symbols: Sequence[str],
        strategy: StrategyRunner,
        ids: RunIds = DEFAULT_IDS,
    ) -> None:
        self.now_ns = 0
        self.first_ns = 0
        self.sealed_rows = 0
        self.restarts = 0
        self.outbox = Outbox()
        self.log, self.questions = self.outbox.log, self.outbox.questions
        self.timers: TimerQueue[TimerKey] = TimerQueue()
        self.kernel_states = strategy.lanes
        self.instruments = instrument_states(settings, symbols, ids)
        self.market = MarketView(strategy.lanes, windows_of(settings))
        self.opening = opening_account(settings, symbols)
        ledger = Ledger.of(self.opening, symbols)
        covered = settings.account.kind == "covered"
        self.portfolio = Portfolio(
            ledger, list(symbols), self.market, self.opening.currencies, covered=covered
        )
        self.execution = ExecutionManager(
            settings, self.instruments, self.portfolio, self.timers, self.outbox.emit
        )
        self.ledger, self.orders = self.portfolio.ledger, self.execution.orders
        self.stats, self.state = RunStats(settings.trading.direction != "long"), self.execution.state
        self.equity_history = EquityHistory()
        self.planner = OrderPlanner(settings, self.instruments, self.portfolio, self.orders, self.state)
        self.actions = TradeActions(self.planner, self.execution, self.timers, self.outbox, self.stats)
        self.deliberations: DeliberationCoordinator | None = None
        if settings.trading.mode != "hft":
            self.deliberations = DeliberationCoordinator(
                settings, self.execution, self.actions, self.timers, self.outbox
            )
        self._strategy = strategy
        self._publisher = KernelPublisher(self.execution, self.timers)
        self._watchdogs = Watchdogs(self.timers, round(settings.risk.silent_feed_s * NS_PER_S))
        self.parameters = Parameters(
            settings, strategy, self.execution, self.planner, self._watchdogs, self.deliberations
        )
        self._done_requests: deque[str] = deque(maxlen=REQUESTS_MAX)
        self._counts, self._stop = strategy.lanes["counts"], strategy.lanes["stop"]
        self._refresh_in = strategy.lanes["refresh_in"]
        self._entry_side = scalars(strategy.lanes["entry_side"])
        self._handlers = self._inputs_by_type()
        self._timer_handlers = self._timers_by_kind()

    def _inputs_by_type(self) -> dict[type, Callable[[Any], None]]:
        """The handler of each type of input."""
        handlers: dict[type, Callable[[Any], None]] = dict.fromkeys(ORDER_EVENTS, self._on_order_event)
        return handlers | {
            RunStarted: self._on_run_started,
            Timer: self._on_timer,
            OrderMassStatus: self._on_mass_status,
            AccountState: self._on_account_state,
            ConnectionStatus: self._on_connection,
            LoopLag: self._on_loop_lag,
            ClockReached: lambda _: None,  # the bar that is finished comes as a row
            Decision: self._on_decision,
            PromptsChanged: self._on_prompts_changed,
            OperatorCommand: self._on_operator,
            SettingsChanged: self._on_settings_changed,
            SystemFault: self._on_system_fault,
            Continued: self._on_continued,
            Restarted: self._on_restarted,
            TapeSealed: self._on_tape_sealed,
            EndOfTape: self._on_end_of_tape,
        }

    def _timers_by_kind(self) -> dict[str, Callable[[Any], None]]:
        """The handler of each kind of timer; it takes a lane, an order id, a cause to reduce, or nothing."""
        handlers: dict[str, Callable[[Any], None]] = {
            "look": self._query_order,
            "resend": lambda order_id: self.execution.resubmit(order_id, self.now_ns),
            "reprice": lambda order_id: self.actions.reprice(order_id, self.now_ns),
            "cancel": self._cancel_at_time_limit,
            "slice": lambda lane: self.actions.send_slice(lane, self.now_ns),
            "time_stop": self._on_time_stop,
            "exit": self.execution.touched.add,
            "relieve": lambda cause: self.state.clear(ReduceCause(cause)),
            "reconcile": self._reconcile,
            "midnight": self._on_midnight,
            "silence": self._on_silence,
        }
        return handlers | {kind: partial(self._on_deliberation_timer, kind) for kind in DELIBERATION_TIMERS}

    @property
    def seq(self) -> int:
        """The sequence number of the next input or output."""
        return self.outbox.seq

    @property
    def pos(self) -> int:
        """The number of rows taken."""
        return self.outbox.pos

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
        # The first row after a feed timeout ends it. Alone, it gives the change of state the same seq in any batching.
        watchdogs = self._watchdogs
        if watchdogs.feed_timed_out:
            stop = min(stop, start + 1)
        at = self._strategy.scan(rows, start, stop)
        taken = min(at + 1, stop)
        if taken == start:
            return taken
        if self.first_ns == 0:
            self.first_ns = rows.ts.item(start)
        self.outbox.count_rows(taken - start)
        row_ns = rows.ts.item(taken - 1)
        watchdogs.row_ns = row_ns if rows.kinds is None else self._last_priced_ns(rows, start, taken)
        self.market.advance(rows, start, taken)
        self.now_ns = max(self.now_ns, row_ns)
        if watchdogs.feed_timed_out and rows.is_priced(start):
            watchdogs.on_row_after_timeout()
            self.state.clear(ReduceCause.SILENT)
            self._settle()
        if at < stop:
            lane = rows.lane.item(at)
            self._on_kernel_stop(
                lane, rows.ts.item(at) if rows.is_priced(at) else self.market.last_quote_ns(lane)
            )
        return taken

    def _last_priced_ns(self, rows: Rows, start: int, end: int) -> int:
        """The time of the last row with prices that was taken: only prices keep the feed alive."""
        assert rows.kinds is not None
        back = int(rows.kinds.priced[start:end][::-1].argmax())
        last = end - 1 - back
        return rows.ts.item(last) if rows.kinds.priced[last] else self._watchdogs.row_ns

    def step(self, event: AnyInput) -> None:
        """Takes one input other than a market row."""
        self.outbox.record(event)
        if not isinstance(event, EndOfTape):  # the only input without a time
            self.now_ns = max(self.now_ns, event.at_ns)
        self._handlers[type(event)](event)
        self._settle()

    def _settle(self) -> None:
        """Publishes what has changed to the kernel, and watches the account if it has exposure."""
        execution, watchdogs = self.execution, self._watchdogs
        if execution.touched:
            self._publisher.publish()
        if not watchdogs.armed and execution.has_exposure:
            watchdogs.arm(self.now_ns)

    def result(self) -> RunResult:
        """The result of the run so far."""
        figures = trading_figures(self.portfolio, self.orders, self.stats, self.codes())
        return RunResult(
            **msgspec.structs.asdict(figures),
            first_ns=self.first_ns,
            last_ns=self.now_ns,
            restarts=self.restarts,
            state=self.state.name,
            deliberations=self.deliberations.result() if self.deliberations else None,
            **currency_figures(self.portfolio),
        )

    def may_resume(self, halt_id: str | None) -> bool:
        """Whether a person may lift the halt or the pause; an automatic halt needs its id."""
        return self.state.may_resume(halt_id)

    def codes(self) -> dict[str, int]:
        """The number of rows per reason code, over all lanes."""
        totals = self._counts.sum(axis=0)
        return {reason.label: int(totals[reason]) for reason in Reason}

    # decisions at a row

    def _on_kernel_stop(self, lane: int, quote_ns: int) -> None:
        """Acts on the signal of a row: an entry, an exit, or a deliberation that is due."""
        if self._stop[lane] != REFRESH_DUE:
            self._on_signal(lane, quote_ns)
            self._settle()
        # The kernel gives one reason per stop: a refresh that is due at the same row would be lost.
        if self.deliberations and (self._stop[lane] == REFRESH_DUE or self._refresh_in[lane] == 0):
            self.deliberations.on_refresh_due(lane, self.now_ns)
            self._settle()

    def _on_signal(self, lane: int, quote_ns: int) -> None:
        code = REASONS[self._stop[lane]]
        if code in EXIT_CODES:
            pending_exit_reason = self.instruments[lane].pending_exit_reason
            code = Reason.EXIT_SIGNAL if pending_exit_reason else code
            self._counts[lane, code] += 1
            self.actions.exit_now(lane, pending_exit_reason or code.label, self.now_ns)
        else:
            code = self._enter(lane, self._entry_request(lane), quote_ns)
            self._counts[lane, code] += 1

    def _enter(self, lane: int, request: EntryRequest, quote_ns: int) -> Reason:
        """Enters as signalled, unless the agents have opened the gate of the lane for the other direction."""
        if self.deliberations and not self.deliberations.admits(lane, request.side):
            return Reason.GATE_CLOSED
        return self.actions.enter(lane, request, quote_ns, self.now_ns)

    def _entry_request(self, lane: int) -> EntryRequest:
        """The entry that the strategy has signalled in a lane."""
        request = SHORT if self._entry_side[lane] < 0 else LONG
        signal = self._strategy.entry(lane)
        return EntryRequest(request.side, signal=signal) if signal else request

    # events of the venue

    def _on_order_event(self, event: OrderEvent) -> None:
        if self.execution.count_error(event, self.now_ns) and not self.state.halted:
            self._halt_automatically("request error limit reached")
        self._on_applied(self.execution.apply(event, self.now_ns))

    def _on_mass_status(self, listed: OrderMassStatus) -> None:
        for applied in self.execution.on_mass_status(listed, self.now_ns):
            self._on_applied(applied)
            # A list can close a position and open the next one: the kernel must see the lane flat in between.
            self._publisher.publish()

    def _on_account_state(self, account: AccountState) -> None:
        for applied in self.execution.on_account_state(account, self.now_ns):
            self._on_applied(applied)
            if applied.adjustment:
                self.equity_history.record_adjustment(self.outbox.pos, self.now_ns, *applied.adjustment)

    def _on_applied(self, applied: Applied) -> None:
        """Takes what an event has changed into account: a reason to halt, a booked fill, open questions."""
        if applied.halt_reason:
            self._halt_automatically(applied.halt_reason)
        if applied.order and applied.change:
            self._on_booked(applied.order, applied.change, is_fill=applied.is_fill)
        self.execution.follow_up(applied, self.now_ns)

    def _on_booked(self, order: Order, change: PositionChange, *, is_fill: bool) -> None:
        """Folds a booked fill into statistics and lessons, and records the account after it."""
        if is_fill:
            self.stats.record_fill(order, change)
            if self.deliberations:
                self.deliberations.on_fill(change, order.intent, self.now_ns)
        booked = FillBooked(
            order.id,
            change.held,
            change.cost,
            change.cash,
            change.total_realized,
            change.balances,
            change.rate,
            change.quoted_fee,
            order.intent.venue,
            order.intent.account,
            order.intent.strategy,
        )
        self.equity_history.record_fill(self.outbox.pos, self.now_ns, change.lane, booked)
        self.outbox.emit(booked)

    def _on_connection(self, status: ConnectionStatus) -> None:
        self.execution.on_connection(status, self.now_ns)

    # timers

    def _on_timer(self, timer: Timer) -> None:
        for kind, subject in self.timers.pop_due(timer.at_ns):
            self._timer_handlers[kind](subject)
            self._settle()  # timers of the same time fire in the order in which they were set

    def _on_deliberation_timer(self, kind: str, lane: int) -> None:
        if self.deliberations:
            self.deliberations.on_timer(kind, lane, self.now_ns)

    def _on_time_stop(self, lane: int) -> None:
        self.actions.exit_position(lane, TIME_STOP, self.now_ns)

    def _query_order(self, order_id: str) -> None:
        reason = self.execution.query_order(order_id, self.now_ns)
        if reason and not self.state.halted:
            self._halt_automatically(reason)

    def _cancel_at_time_limit(self, order_id: str) -> None:
        order = self.orders.working.get(order_id)
        self.execution.cancel(order, "resting time limit reached", self.now_ns)

    def _reconcile(self, _: str) -> None:
        self.execution.reconciliation.note_idle(self._watchdogs.row_ns)
        self.execution.request_reconciliation(self.now_ns)

    def _on_midnight(self, _: str) -> None:
        self.portfolio.start_day()
        self._watchdogs.on_midnight()

    def _on_silence(self, _: str) -> None:
        """Reduces if no row came within the timeout and there is exposure."""
        silent = self._watchdogs.on_silence(self.now_ns)
        if silent and self.execution.has_exposure and self.state.reduce(ReduceCause.SILENT):
            self._watchdogs.feed_timed_out = True
            self.execution.cancel_entries("market data timeout", self.now_ns)

    # the agents, the operator and the process

    def _on_decision(self, decision: Decision) -> None:
        if self.deliberations:
            self.deliberations.on_decision(decision, self.now_ns)

    def _on_prompts_changed(self, changed: PromptsChanged) -> None:
        """Prompts concern the agents runtime; here they only need a place in the journal."""

    def was_done(self, request_id: str) -> bool:
        """Whether a request of this id was carried out; the last `REQUESTS_MAX` are known."""
        return request_id in self._done_requests

    def _on_operator(self, command: OperatorCommand) -> None:
        """Carries out a command; a request that was done before and a refused resume have no effect."""
        if self.was_done(command.request_id):
            return
        match command.command:
            case "resume":
                if not self.may_resume(command.halt_id):
                    return
                self._resume(command.reason)
            case "pause":
                self.state.reduce(ReduceCause.PAUSED)
            case "cancel_all":
                self.actions.cancel_all(self.now_ns)
            case "sync":
                self.actions.synchronize(self.now_ns)
            case _:
                self._halt(command.reason, None)
        if command.command == "flatten":
            self.actions.flatten(self.now_ns)
        if command.request_id:
            self._done_requests.append(command.request_id)

    def _resume(self, reason: str) -> None:
        was_paused = self.state.paused
        self.state.resume(reason)
        if was_paused and self.deliberations:
            self.deliberations.on_resumed(self.now_ns)

    def _on_settings_changed(self, changed: SettingsChanged) -> None:
        self.parameters.change(changed.changes, self.now_ns)

    def _on_system_fault(self, fault: SystemFault) -> None:
        self._halt(fault.cause, self.outbox.new_halt_id())

    def _halt(self, reason: str, halt_id: str | None) -> None:
        self.execution.tracker.repeat_cancels(self.now_ns)
        self._halt_entries(reason, halt_id)

    def _halt_automatically(self, reason: str) -> None:
        self._halt_entries(reason, self.outbox.new_halt_id())

    def _halt_entries(self, reason: str, halt_id: str | None) -> None:
        self.execution.halt(reason, halt_id, self.now_ns)
        if self.deliberations:
            self.deliberations.on_halt(self.now_ns)

    def _on_loop_lag(self, lag: LoopLag) -> None:
        if lag.lag_ms <= self.parameters.max_lag_ms:
            self.state.clear(ReduceCause.LAG)
        elif self.state.reduce(ReduceCause.LAG):
            self.execution.cancel_entries("event loop lag limit exceeded", self.now_ns)

    def _on_run_started(self, started: RunStarted) -> None:
        self.outbox.nonce = started.nonce
        self.state.reduce(ReduceCause.RECONCILING)
        self.execution.reconcile(self.now_ns)

    def _on_continued(self, continued: Continued) -> None:
        self.outbox.nonce, self.restarts = continued.nonce, self.restarts + 1

    def _on_restarted(self, restarted: Restarted) -> None:
        """Marks every unfinished order unknown until the venue has answered for it, and reconciles."""
        # `Restarted` itself took seq - 1. The dead process may have used that seq and later ones for orders
        # whose journal lines were lost; their ids derive from the nonce that was in force until now. Rows count
        # too: it may have passed all rows up to this one.
        outbox = self.outbox
        lost_from, rows = outbox.seq - 1, max(restarted.pos - outbox.pos, 0)
        outbox.pos = max(outbox.pos, restarted.pos)
        self.restarts += 1
        self.state.reduce(ReduceCause.RECONCILING)
        self.execution.on_restart(outbox.nonce, lost_from, rows, self.now_ns)
        if self.deliberations:
            self.deliberations.on_restart(restarted.last_number, self.now_ns)
        outbox.nonce = restarted.nonce

    def _on_tape_sealed(self, sealed: TapeSealed) -> None:
        self.sealed_rows = sealed.rows

    def _on_end_of_tape(self, _: EndOfTape) -> None:
        self.outbox.emit(RunEnded(self.result()))

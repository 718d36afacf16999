"""The deterministic core: inputs in, outputs out; no clock, no randomness, no I/O.

`scan` takes market rows until something must be decided, `step` takes every other input. Both
append what happened, inputs and outputs alike, to `log`, numbered by one `seq` that counts rows
too. A runtime writes the log to the journal, then carries the commands in it to the venue.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, assert_never

import numpy as np

from autohedge.config import Settings
from autohedge.core.agenda import Agenda
from autohedge.core.clock import next_midnight_ns
from autohedge.core.events import (
    Accepted,
    Account,
    AnyInput,
    AnyOutput,
    ChangeRefused,
    Decision,
    EndOfTape,
    Entry,
    Lag,
    Link,
    NotFound,
    Operator,
    OrderAnswer,
    OrderList,
    PromptsChanged,
    Rejected,
    Replaced,
    Report,
    Restarted,
    RunNonce,
    RunResult,
    Throttled,
    Timer,
    Trouble,
    Unknown,
)
from autohedge.core.ids import derive
from autohedge.core.money import ZERO, add, multiply, printed, subtract
from autohedge.core.reasons import STOPS, Reason
from autohedge.engine.dealer import ENTRY, FLATTEN, Dealer
from autohedge.engine.desk import desks_for
from autohedge.engine.office import Office
from autohedge.engine.result import run_result
from autohedge.engine.slow import SLOW_MATTERS, SlowPlane
from autohedge.execution.inquiry import NS_PER_S, Matter
from autohedge.kernels.lane import DUE, EXITING, FLAT, OPEN, PENDING
from autohedge.kernels.matching import last_valid
from autohedge.market.tape import Rows
from autohedge.risk.state import Cause
from autohedge.strategies import Scanner

REASONS = tuple(Reason)
EXIT_CODES = STOPS - {Reason.ENTRY}
TIME_STOP = Reason.TIME_STOP.label
ORDER_MATTERS = frozenset({"look", "resend", "reprice", "cancel"})
MIDNIGHT: Matter = ("midnight", "")
SILENCE: Matter = ("silence", "")


class Engine:
    """One account, one strategy, any number of lanes."""

    def __init__(self, settings: Settings, symbols: Sequence[str], scanner: Scanner) -> None:
        self.log: deque[Entry] = deque()
        self.seq = 1
        self.pos = 0
        self.now_ns = 0
        self.first_ns = 0
        self.restarts = 0
        self.agenda: Agenda[Matter] = Agenda()
        self.desks = desks_for(settings, symbols)
        self.office = Office(settings, self.desks, self.agenda, self._emit, self._mark, self._new_halt_id)
        self.ledger, self.orders = self.office.ledger, self.office.orders
        self.tally, self.state = self.office.tally, self.office.state
        self._held = self.office.held
        self.dealer = Dealer(
            settings, self.desks, scanner.lanes, self.agenda, self.office, self._new_id, self._quote_ns
        )
        self._scanner = scanner
        self.lanes = scanner.lanes
        self._counts = scanner.lanes["counts"]
        self._stop = scanner.lanes["stop"]
        self._bid, self._ask = scanner.lanes["bid"], scanner.lanes["ask"]
        self._status = scanner.lanes["status"]
        self._take_profit, self._stop_loss = scanner.lanes["take_profit"], scanner.lanes["stop_loss"]
        self._trail_from = scanner.lanes["trail_from"]
        scanner.lanes["trail_keep"] = [1.0 - desk.trailing_distance_bps / 10_000.0 for desk in self.desks]
        self._refresh_in = scanner.lanes["refresh_in"]
        self.slow: SlowPlane | None = None
        if settings.trading.mode != "hft":
            self.slow = SlowPlane(
                settings,
                self.desks,
                self.lanes,
                self.agenda,
                self.office,
                self.dealer,
                self._emit,
                self._tape,
                self._leave,
            )
        self._silent_ns = round(settings.risk.silent_feed_s * NS_PER_S)
        self.max_lag_ms = settings.risk.max_lag_ms
        self._silent = False
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
        """The id of a halt that no person ordered."""
        return self.state.halt_id

    @property
    def next_deadline_ns(self) -> int:
        """When the engine next wants a `Timer`, rows or not; NEVER if it waits for nothing."""
        return self.agenda.next_ns

    def scan(self, rows: Rows, start: int, stop: int) -> int:
        """Take rows `start` to `stop` of a batch, at most up to the first decision.

        Returns the first row not taken. How a stream is cut into batches changes nothing.
        """
        if self._silent:
            stop = min(stop, start + 1)
        at = self._scanner.scan(rows, start, stop)
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
        if self._silent:
            self._silent = self._watched = False
            self.state.relieve(Cause.SILENT)
            self._watch()
        if at < stop:
            self._decide(int(rows.lane[at]), int(rows.ts[at]))
        return taken

    def step(self, event: AnyInput) -> None:
        """Take one input other than a market row."""
        self._input_seq = self._write(event)
        if not isinstance(event, EndOfTape):
            self.now_ns = max(self.now_ns, event.at_ns)
        match event:
            case (
                Report()
                | Accepted()
                | Rejected()
                | Unknown()
                | Throttled()
                | NotFound()
                | ChangeRefused()
                | Replaced()
            ):
                self._answered(event)
            case RunNonce():
                self._begin(event)
            case Timer():
                self._timer(event.at_ns)
            case Operator():
                self._operate(event)
            case Trouble():
                self._halt(event.cause, self._new_halt_id())
            case Restarted():
                self._restart(event)
            case EndOfTape():
                self._emit(RunResult(self.result()))
            case _:
                self._told(event)

    def _told(self, event: OrderList | Account | Link | Lag | Decision | PromptsChanged) -> None:
        """What the venue or the runtime says that is not about one order."""
        match event:
            case OrderList():
                self._sync_all(self.office.listed(event, self.now_ns))
            case Account():
                self._sync_all(self.office.account(event, self.now_ns))
            case Link():
                self.office.link(event, self.now_ns)
            case Lag():
                self._lag(event.lag_ms)
            case Decision():
                self._decided(event)
            case PromptsChanged():
                return  # which words a question is asked in is the slow plane's business
            case _:
                assert_never(event)

    def result(self) -> dict[str, Any]:
        """What the run has come to so far."""
        figures = run_result(self.ledger, self.orders, self.tally, self.codes(), self.unrealized())
        moments = {"first_ns": self.first_ns, "last_ns": self.now_ns}
        deliberations = {"deliberations": self.slow.result()} if self.slow else {}
        return figures | moments | {"restarts": self.restarts, "state": self.state.name} | deliberations

    def may_resume(self, halt_id: str | None) -> bool:
        """Whether a person may lift the halt: one that no person ordered needs its id."""
        return self.state.may_resume(halt_id)

    def codes(self) -> dict[str, int]:
        """How many rows ended in each code, all lanes together."""
        totals = self._counts.sum(axis=0)
        return {reason.label: int(totals[reason]) for reason in Reason}

    def unrealized(self) -> Decimal:
        """Open positions at the last valid bids, less their cost, exactly."""
        total = ZERO
        for lane, desk in enumerate(self.desks):
            position = self.ledger.position(desk.instrument.symbol)
            if position.quantity:
                worth = multiply(position.quantity, printed(self._bid[lane]))
                total = add(total, subtract(worth, position.cost))
        return total

    def _write(self, event: AnyInput | AnyOutput) -> int:
        seq = self.seq
        self.log.append(Entry(seq, self.pos, event))
        self.seq += 1
        return seq

    def _emit(self, output: AnyOutput) -> None:
        self._write(output)

    # decisions at a row

    def _decide(self, lane: int, quote_ns: int) -> None:
        if self._stop[lane] == DUE:
            self._count_down(lane)
            return
        code = REASONS[self._stop[lane]]
        leaving = self.desks[lane].leaving
        if code in EXIT_CODES:
            code = Reason.EXIT_SIGNAL if leaving else code
            self._counts[lane, code] += 1
            self.dealer.leave(lane, leaving or code.label, self.now_ns)
        else:
            code = self.dealer.enter(lane, quote_ns, self.now_ns)
            self._counts[lane, code] += 1
        if code is ENTRY or code in EXIT_CODES:
            self._watch()
            self._sync(lane)
        if self.slow and self._refresh_in[lane] == 0:
            self._count_down(lane)

    def _count_down(self, lane: int) -> None:
        if self.slow:
            self.slow.counted_down(lane, self.now_ns)

    def _tape(self) -> tuple[Rows | None, int]:
        """The tape, and how much of it is known."""
        return self._seen

    def _quote_ns(self, lane: int) -> int:
        """When a lane's last valid quote came; 0, which is stale, if the batch at hand has none."""
        rows, taken = self._seen
        if rows is None:
            return 0
        row = last_valid(rows.lane, rows.bid, rows.ask, taken, lane)
        return int(rows.ts[row]) if row >= 0 else 0

    # what the venue, the clock and the operator say

    def _answered(self, answer: OrderAnswer) -> None:
        lane = self.office.answered(answer, self.now_ns)
        self._watch()
        if lane >= 0:
            self._sync(lane)

    def _mark(self, lane: int) -> Decimal:
        return self.dealer.mark(lane)

    def _new_id(self) -> str:
        return derive(self._nonce, self.seq)

    def _new_halt_id(self) -> str:
        return f"halt-{self._input_seq}"

    def _timer(self, at_ns: int) -> None:
        for kind, subject in self.agenda.due(at_ns):
            self._due(kind, subject)

    def _due(self, kind: str, subject: str | int) -> None:
        """Something on the agenda is due; its subject is an order's id, a lane or a cause."""
        if isinstance(subject, int):
            self._due_in(kind, subject)
            self._sync(subject)
        elif kind in ORDER_MATTERS:
            self._due_of(kind, subject)
        elif kind == "relieve":
            self.state.relieve(Cause(subject))
        elif kind == "reconcile":
            self.office.reconciliation.idle(self._row_ns)
            self.office.ask(self.now_ns)
        elif kind == "midnight":
            self.dealer.midnight()
            self._watched = False
            self._watch()
        else:
            self._silence()

    def _due_in(self, kind: str, lane: int) -> None:
        if kind in SLOW_MATTERS and self.slow:
            self.slow.due(kind, lane, self.now_ns)
        elif kind == "slice":
            self.dealer.next_slice(lane, self.now_ns)
            self._watch()
        elif kind == "time_stop":
            self._time_stop(lane)

    def _due_of(self, kind: str, order_id: str) -> None:
        if kind == "look":
            lane = self.office.look(order_id, self.now_ns)
            self._sync_all([lane])
        elif kind == "resend":
            self.office.resend(order_id, self.now_ns)
        elif kind == "reprice":
            self.dealer.reprice(order_id, self.now_ns)
        else:
            self.office.cancel(self.orders.working.get(order_id), "it rested too long", self.now_ns)

    def _time_stop(self, lane: int) -> None:
        """A position was held long enough."""
        self._leave(lane, TIME_STOP)

    def _leave(self, lane: int, reason: str) -> bool:
        """Sell what is held, at once, or at its next quote if an exit is on its way; say whether anything is."""
        if self._held[lane] <= 0.0:
            return False
        if self.orders.exit(lane) or self.office.exits_wait:
            self.desks[lane].leaving = reason
        else:
            self.dealer.leave(lane, reason, self.now_ns)
        return True

    def _decided(self, decision: Decision) -> None:
        if self.slow is None:
            return
        lane = self.slow.decided(decision, self.now_ns)
        if lane is not None:
            self._watch()
            self._sync(lane)

    def _operate(self, command: Operator) -> None:
        if command.command != "resume":
            self._halt(command.reason, None)
        elif self.may_resume(command.halt_id):
            self.state.resume(command.reason)
        if command.command == "flatten":
            self._flatten()

    def _halt(self, reason: str, halt_id: str | None) -> None:
        self.office.halt(reason, halt_id, self.now_ns)
        for lane in range(len(self.desks)):
            self.dealer.plan(lane, None)

    def _flatten(self) -> None:
        """Sell every position now; what an entry in flight still brings is sold at its next quote."""
        for lane, desk in enumerate(self.desks):
            if self._held[lane] > 0.0 and self.office.exits_wait:
                desk.leaving = FLATTEN
            elif self._held[lane] > 0.0:
                self.dealer.leave(lane, FLATTEN, self.now_ns)
                self._sync(lane)
            elif self.orders.entry(lane):
                desk.leaving = FLATTEN

    def _lag(self, lag_ms: float) -> None:
        if lag_ms > self.max_lag_ms:
            if self.state.reduce(Cause.LAG):
                self.office.take_back("the loop is late", self.now_ns)
        else:
            self.state.relieve(Cause.LAG)

    def _silence(self) -> None:
        """The feed has been mute for too long, or spoke meanwhile."""
        self._watched = False
        if self._row_ns + self._silent_ns > self.now_ns:
            self._watch()
        elif self.office.at_stake and self.state.reduce(Cause.SILENT):
            self._silent = True
            self.office.take_back("the feed is silent", self.now_ns)

    def _begin(self, begun: RunNonce) -> None:
        self._nonce = begun.nonce
        self.state.reduce(Cause.RECONCILING)
        self.office.reconcile(self.now_ns)

    def _restart(self, restarted: Restarted) -> None:
        """Take nothing for granted: every order without an end is unknown until the venue speaks."""
        lost_from = self.seq - 1
        self.pos = max(self.pos, restarted.pos)
        self.restarts += 1
        self.state.reduce(Cause.RECONCILING)
        self.office.restart(self._nonce, lost_from, self.now_ns)
        if self.slow:
            self.slow.close_all("restarted", self.now_ns)
        self._nonce = restarted.nonce
        self._watch()
        self._sync_all(range(len(self.desks)))

    def _watch(self) -> None:
        """While something is at stake, midnight, silence and the venue's books are watched."""
        if self._watched or not self.office.at_stake:
            return
        self._watched = True
        if MIDNIGHT not in self.agenda:
            self.agenda.put(MIDNIGHT, next_midnight_ns(self.now_ns))
        if self._silent_ns and SILENCE not in self.agenda and not self._silent:
            self.agenda.put(SILENCE, max(self._row_ns, self.now_ns - self._silent_ns + 1) + self._silent_ns)

    def _sync_all(self, lanes: Iterable[int]) -> None:
        for lane in lanes:
            if lane >= 0:
                self._sync(lane)

    def _sync(self, lane: int) -> None:
        """Show the kernel where the lane stands: its status, and the prices that stop the scan."""
        desk = self.desks[lane]
        status, take_profit, stop_loss = FLAT, np.inf, -np.inf
        held = self._held.item(lane) > 0.0
        waits = self.office.exits_wait and held
        if waits or self.orders.exit(lane) or (desk.refused and ("exit", lane) in self.agenda):
            status, take_profit = EXITING, -np.inf
        elif held and not desk.dust:
            status, take_profit, stop_loss = OPEN, desk.take_profit, desk.stop_loss
            if desk.leaving:
                take_profit = -np.inf
        elif self.orders.entry(lane):
            status = PENDING
        self._status[lane] = status
        self._take_profit[lane] = take_profit
        self._stop_loss[lane] = stop_loss
        if not held or desk.dust:
            self._trail_from[lane] = np.inf
        elif self._trail_from.item(lane) > -np.inf:
            self._trail_from[lane] = desk.trail_from

"""The deterministic core: inputs in, outputs out; no clock, no randomness, no I/O.

`scan` takes market rows until something must be decided, `step` takes every other input. Both
append what happened, inputs and outputs alike, to `log`, numbered by one `seq` that counts rows
too. A runtime writes the log to the journal, then carries the commands in it to the venue.
"""

import heapq
from collections import deque
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, assert_never

import numpy as np

from autohedge.config import Settings
from autohedge.core.clock import NEVER, next_midnight_ns
from autohedge.core.events import (
    Accepted,
    Answer,
    AnyInput,
    AnyOutput,
    Booked,
    EndOfTape,
    Entry,
    Halted,
    NotFound,
    Operator,
    QueryFills,
    Rejected,
    Report,
    Restarted,
    Resumed,
    RunNonce,
    RunResult,
    Timer,
    Trouble,
    Unknown,
)
from autohedge.core.ids import derive
from autohedge.core.money import ZERO, add, multiply, printed, subtract
from autohedge.core.orders import BUY, GTC, IOC, LIMIT, MARKET, SELL, Intent, TimeInForce
from autohedge.core.reasons import Reason
from autohedge.engine.desk import Desk, desks_for
from autohedge.engine.result import Tally, run_result
from autohedge.execution.ledger import Ledger
from autohedge.execution.orders import Order, OrderManager
from autohedge.execution.sizing import entry_limit, quantity_for
from autohedge.kernels.lane import EXITING, FLAT, OPEN, PENDING, marked
from autohedge.market.tape import Rows
from autohedge.risk import Approved, Book, Limits, check_entry, check_exit
from autohedge.strategies import Scanner

REASONS = tuple(Reason)
EXIT_CODES = frozenset({Reason.TAKE_PROFIT, Reason.STOP_LOSS, Reason.EXIT_SIGNAL})
FLATTEN = "flatten"
CARRIED_THROUGH = frozenset({Reason.EXIT_SIGNAL.label, FLATTEN})


class Engine:
    """One account, one strategy, any number of lanes."""

    def __init__(self, settings: Settings, symbols: Sequence[str], scanner: Scanner) -> None:
        self.log: deque[Entry] = deque()
        self.seq = 1
        self.pos = 0
        self.now_ns = 0
        self.first_ns = 0
        self.halted = False
        self.halt_id: str | None = None
        self.restarts = 0
        self.ledger = Ledger(settings.simulated.initial_cash)
        self.orders = OrderManager(settings.simulated.fee_bps)
        self.tally = Tally()
        self.desks = desks_for(settings, symbols)
        self._scanner = scanner
        self.lanes = scanner.lanes
        self._counts = scanner.lanes["counts"]
        self._stop = scanner.lanes["stop"]
        self._bid, self._ask = scanner.lanes["bid"], scanner.lanes["ask"]
        self._status = scanner.lanes["status"]
        self._take_profit, self._stop_loss = scanner.lanes["take_profit"], scanner.lanes["stop_loss"]
        self._rate = Limits.of(settings).rate()
        self._time_in_force = TimeInForce(settings.execution.time_in_force)
        self._cancel_after_ns = round(settings.execution.cancel_after_s * 10**9)
        self._held = np.zeros(len(symbols))
        self._holding = 0
        self._nonce = ""
        self._equity_at_midnight = self.ledger.cash
        self._midnight_ns = NEVER
        self._cancels: list[tuple[int, str]] = []
        self._last_fill_ns = 0

    @property
    def next_deadline_ns(self) -> int:
        """When the engine next wants a `Timer`, rows or not; NEVER if it waits for nothing."""
        cancel_ns = self._cancels[0][0] if self._cancels else NEVER
        return min(cancel_ns, self._midnight_ns)

    def scan(self, rows: Rows, start: int, stop: int) -> int:
        """Take rows `start` to `stop` of a batch, at most up to the first decision.

        Returns the first row not taken. How a stream is cut into batches changes nothing.
        """
        at = self._scanner.scan(rows, start, stop)
        taken = min(at + 1, stop)
        if taken == start:
            return taken
        if self.first_ns == 0:
            self.first_ns = int(rows.ts[start])
        self.seq += taken - start
        self.pos += taken - start
        self.now_ns = max(self.now_ns, int(rows.ts[taken - 1]))
        if at < stop:
            self._decide(int(rows.lane[at]), int(rows.ts[at]))
        return taken

    def step(self, event: AnyInput) -> None:
        """Take one input other than a market row."""
        self._write(event)
        match event:
            case Accepted() | Rejected() | Unknown() | NotFound() | Report():
                self._answered(event)
            case RunNonce():
                self._nonce = event.nonce
            case Timer():
                self._timer(event.at_ns)
            case Operator():
                self._operate(event)
            case Trouble():
                self._trouble(event)
            case Restarted():
                self._restart(event)
            case EndOfTape():
                self._emit(RunResult(self.result()))
            case _:
                assert_never(event)

    def result(self) -> dict[str, Any]:
        """What the run has come to so far."""
        figures = run_result(self.ledger, self.orders, self.tally, self.codes(), self.unrealized())
        moments = {"first_ns": self.first_ns, "last_ns": self.now_ns}
        return figures | moments | {"restarts": self.restarts}

    def may_resume(self, halt_id: str | None) -> bool:
        """Whether a person may lift the halt: one that no person ordered needs its id."""
        return self.halted and self.halt_id in (None, halt_id)

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
        code = REASONS[self._stop[lane]]
        leaving = self.desks[lane].leaving
        if code in EXIT_CODES:
            code = Reason.EXIT_SIGNAL if leaving else code
            self._counts[lane, code] += 1
            self._leave(lane, leaving or code.label)
        else:
            self._counts[lane, self._enter(lane, quote_ns)] += 1

    def _enter(self, lane: int, quote_ns: int) -> Reason:
        """Size, price and check an entry; return the code that the quote ends in."""
        desk = self.desks[lane]
        buying_power = subtract(self.ledger.cash, self.orders.reserved)
        notional = desk.sizing.notional(buying_power)
        intent = self._entry_intent(desk, lane, notional)
        verdict = check_entry(intent, self._book(lane, quote_ns, buying_power), desk.limits)
        if not isinstance(verdict, Approved):
            short = verdict is Reason.ZERO_QUANTITY and notional is None
            return Reason.BUYING_POWER if short else verdict
        desk.last_entry_ns = self.now_ns
        desk.leaving = ""
        self._submit(verdict, lane)
        return Reason.ENTRY

    def _entry_intent(self, desk: Desk, lane: int, notional: Decimal | None) -> Intent:
        bid, ask = float(self._bid[lane]), float(self._ask[lane])
        mid = (bid + ask) / 2.0
        limit = entry_limit(bid, ask, desk.aggression_bps, desk.instrument)
        quantity = quantity_for(notional, limit, desk.instrument.lot) if notional and limit else ZERO
        return Intent(
            lane=lane,
            symbol=desk.instrument.symbol,
            side=BUY,
            order_type=LIMIT,
            time_in_force=self._time_in_force,
            quantity=quantity,
            price=limit,
            limit=limit,
            reason=Reason.ENTRY.label,
            take_profit=mid * (1.0 + desk.take_profit_bps / 10_000.0),
            stop_loss=mid * (1.0 - desk.stop_loss_bps / 10_000.0),
        )

    def _leave(self, lane: int, reason: str) -> None:
        """Sell the whole position; a refusal is counted apart and the row keeps its code."""
        desk = self.desks[lane]
        desk.leaving = reason if reason in CARRIED_THROUGH else ""
        held = self.ledger.position(desk.instrument.symbol).quantity
        intent = Intent(
            lane=lane,
            symbol=desk.instrument.symbol,
            side=SELL,
            order_type=MARKET,
            time_in_force=IOC,
            quantity=held,
            price=printed(self._bid[lane]),
            limit=None,
            reason=reason,
            take_profit=np.inf,
            stop_loss=-np.inf,
        )
        verdict = check_exit(intent, held, duplicate=self.orders.exit(lane) is not None)
        if not isinstance(verdict, Approved):
            self.tally.refuse_exit(verdict)
            return
        self._cancel(self.orders.entry(lane), "the position is being closed")
        self._submit(verdict, lane)

    def _book(self, lane: int, quote_ns: int, buying_power: Decimal) -> Book:
        """What the checks may know at this moment."""
        desk = self.desks[lane]
        bid, ask = float(self._bid[lane]), float(self._ask[lane])
        holdings = self._holdings()
        held_here = printed(self._held[lane] * bid) if self._held[lane] else ZERO
        return Book(
            now_ns=self.now_ns,
            quote_ns=quote_ns,
            mid=printed((bid + ask) / 2.0),
            halted=self.halted,
            buying_power=buying_power,
            position_notional=add(held_here, self.orders.reserved_in(lane)),
            exposure=add(holdings, self.orders.reserved),
            equity=add(self.ledger.cash, holdings),
            equity_at_midnight=self._equity_at_midnight,
            last_entry_ns=desk.last_entry_ns,
            last_exit_ns=desk.last_exit_ns,
            duplicate=self.orders.exit(lane) is not None,
            rate=self._rate,
        )

    def _submit(self, approved: Approved, lane: int) -> None:
        intent = approved.intent
        order_id = derive(self._nonce, self.seq)
        self._rate.take(self.now_ns)
        self._emit(self.orders.submit(approved, order_id, self.now_ns))
        if intent.time_in_force is GTC:
            heapq.heappush(self._cancels, (self.now_ns + self._cancel_after_ns, order_id))
        self._watch_midnight()
        self._sync(lane)

    def _cancel(self, order: Order | None, reason: str) -> None:
        if order is not None and order.cancelable:
            self._emit(self.orders.cancel(order, reason, self.now_ns))

    # what the venue, the clock and the operator say

    def _answered(self, answer: Answer) -> None:
        self.now_ns = max(self.now_ns, answer.at_ns)
        order, filled = self.orders.apply(answer)
        if filled and isinstance(answer, Report):
            self._book_fill(order, answer)
        self._sync(order.intent.lane)

    def _book_fill(self, order: Order, report: Report) -> None:
        intent, desk = order.intent, self.desks[order.intent.lane]
        quantity, price, fee = report.quantity or ZERO, report.price or ZERO, report.fee or ZERO
        realized = self.ledger.book(intent.symbol, intent.side, quantity, price, fee)
        position = self.ledger.position(intent.symbol)
        self._last_fill_ns = max(self._last_fill_ns, report.ts_ns)
        self._holding += bool(position.quantity) - bool(self._held[intent.lane])
        self._held[intent.lane] = float(position.quantity)
        if intent.side is BUY:
            desk.take_profit, desk.stop_loss = intent.take_profit, intent.stop_loss
        else:
            desk.last_exit_ns = self.now_ns
            desk.leaving = desk.leaving if position.quantity else ""
        self.tally.fill(order, report, realized)
        self._emit(Booked(order.id, position.quantity, position.cost, self.ledger.cash, self.ledger.realized))

    def _timer(self, at_ns: int) -> None:
        self.now_ns = max(self.now_ns, at_ns)
        while self._cancels and self._cancels[0][0] <= at_ns:
            _, order_id = heapq.heappop(self._cancels)
            self._cancel(self.orders.working.get(order_id), "it rested too long")
        if self._midnight_ns <= at_ns:
            self._equity_at_midnight = self._equity()
            self._midnight_ns = NEVER
            self._watch_midnight()

    def _operate(self, command: Operator) -> None:
        self.now_ns = max(self.now_ns, command.at_ns)
        if command.command != "resume":
            self._halt(command.reason, self.halt_id)
        elif self.may_resume(command.halt_id):
            self.halted, self.halt_id = False, None
            self._emit(Resumed(command.reason))
        if command.command == "flatten":
            self._flatten()

    def _halt(self, reason: str, halt_id: str | None) -> None:
        """No entry from here on; those that rest are asked back, for a fill would add exposure."""
        self.halted, self.halt_id = True, halt_id
        self._emit(Halted(reason, halt_id))
        for order in self.orders.entries():
            self._cancel(order, "entries were halted")

    def _flatten(self) -> None:
        """Sell every position now; what an entry in flight still brings is sold at its next quote."""
        for lane, desk in enumerate(self.desks):
            if self._held[lane] > 0.0:
                self._leave(lane, FLATTEN)
            elif self.orders.entry(lane):
                desk.leaving = FLATTEN

    def _trouble(self, trouble: Trouble) -> None:
        self.now_ns = max(self.now_ns, trouble.at_ns)
        self._halt(trouble.cause, self.halt_id or f"halt-{self.seq}")

    def _restart(self, restarted: Restarted) -> None:
        """Take nothing for granted: every order without an end is unknown until the venue speaks."""
        self.now_ns = max(self.now_ns, restarted.at_ns)
        self.pos = max(self.pos, restarted.pos)
        self._nonce = restarted.nonce
        self.restarts += 1
        self._emit(QueryFills(self.now_ns, self._last_fill_ns))
        for command in self.orders.doubt(self.now_ns):
            self._emit(command)

    def _equity(self) -> Decimal:
        return add(self.ledger.cash, self._holdings())

    def _holdings(self) -> Decimal:
        """Worth of all positions at the last bids, for limits: a float64 sum, not the books."""
        return printed(marked(self.lanes, self._held)) if self._holding else ZERO

    def _watch_midnight(self) -> None:
        """Equity at UTC midnight matters only if it can have moved since the last one."""
        if self._midnight_ns == NEVER and (self.orders.working or self._holding):
            self._midnight_ns = next_midnight_ns(self.now_ns)

    def _sync(self, lane: int) -> None:
        """Show the kernel where the lane stands: its status, and the prices that stop the scan."""
        desk = self.desks[lane]
        status, take_profit, stop_loss = FLAT, np.inf, -np.inf
        if self.orders.exit(lane):
            status, take_profit = EXITING, -np.inf
        elif self._held[lane] > 0.0:
            status, take_profit, stop_loss = OPEN, desk.take_profit, desk.stop_loss
            if desk.leaving:
                take_profit = -np.inf
        elif self.orders.entry(lane):
            status = PENDING
        self._status[lane] = status
        self._take_profit[lane] = take_profit
        self._stop_loss[lane] = stop_loss

"""The invariants that hold at every step of every run, whatever fails around it.

`InvariantChecker` keeps its own account from the record alone. It also reads the true state of the simulated
venue, which the engine cannot. Each violation is one sentence; the first one ends a scenario.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal

from autohedge.config import Settings
from autohedge.core.events import (
    Active,
    ExecutionReport,
    ExternalChange,
    Halted,
    JournalEntry,
    OrderAdopted,
    OrderOverfilled,
    Reducing,
    ReplaceOrder,
    Restarted,
    Resumed,
    SubmitOrder,
)
from autohedge.core.money import ZERO, add, multiply, subtract, with_fee
from autohedge.core.orders import BUY, SELL
from autohedge.engine.engine import Engine
from autohedge.faultsim.fault_injection import MutableVenue
from autohedge.faultsim.gate_checks import GateChecker
from autohedge.faultsim.proposal_checks import ProposalChecker
from autohedge.faultsim.question_checks import InvariantViolation
from autohedge.kernels.matching import last_valid
from autohedge.market.tape import Rows


@dataclass(slots=True)
class _OrderHistory:
    """One order according to the record."""

    quantity: Decimal
    buys: bool
    symbol: str
    fills: dict[str, tuple[Decimal, Decimal, Decimal]] = field(default_factory=dict)
    busted: set[str] = field(default_factory=set)
    overfilled: Decimal = ZERO


class InvariantChecker:
    """Follows one scenario across crashes; every method raises InvariantViolation."""

    def __init__(self, settings: Settings, rows: Rows, symbols: tuple[str, ...], venue: MutableVenue) -> None:
        self._settings = settings
        self._rows = rows
        self._lane_of = {symbol: lane for lane, symbol in enumerate(symbols)}
        self._venue = venue
        self.account_altered = False
        self.reset()

    def reset(self) -> None:
        """Resets the account before the record is applied again from its beginning."""
        self._orders: dict[str, _OrderHistory] = {}
        self._unknown_reports: defaultdict[str, list[ExecutionReport]] = defaultdict(list)
        self._cash = self._settings.simulated.initial_cash
        self._held: defaultdict[str, Decimal] = defaultdict(Decimal)
        self._halted = False
        self._reducing = False
        self._agent_checker = self._entry_checker()
        self.missed = 0

    def _entry_checker(self) -> GateChecker | ProposalChecker | None:
        mode, symbols = self._settings.trading.mode, tuple(self._lane_of)
        if mode == "llm":
            return ProposalChecker(self._settings, symbols, self._rows, lambda: self._cash)
        return GateChecker(self._settings, symbols) if mode == "hybrid" else None

    # 2, 1: the account according to the record

    def apply(self, entry: JournalEntry) -> None:
        """Follows one recorded event."""
        event = entry.event
        if self._agent_checker:
            self._agent_checker.note(entry)
        if isinstance(event, SubmitOrder | ReplaceOrder):
            self._order(entry, event)
        elif isinstance(event, ExecutionReport) and event.kind in {"fill", "bust"}:
            self._report(event)
        elif isinstance(event, Halted | Resumed):
            self._halted = isinstance(event, Halted)
        elif isinstance(event, Reducing | Active):
            self._reducing = isinstance(event, Reducing)
        else:
            self._rare(entry)

    def _order(self, entry: JournalEntry, command: SubmitOrder | ReplaceOrder) -> None:
        if isinstance(command, SubmitOrder):
            scenario = _OrderHistory(command.quantity, command.side is BUY, command.symbol)
            self._orders.setdefault(command.order_id, scenario)
        self._no_new_exposure(entry, command)

    def _rare(self, entry: JournalEntry) -> None:
        match event := entry.event:
            case Restarted():
                self.missed += max(event.pos - entry.pos, 0)
            case OrderAdopted():
                order = event.order
                self._orders[order.order_id] = _OrderHistory(order.quantity, order.side is BUY, order.symbol)
                for report in self._unknown_reports.pop(order.order_id, []):
                    self._report(report)
            case OrderOverfilled():
                scenario = self._orders[event.order_id]
                scenario.overfilled = add(scenario.overfilled, event.excess)
            case ExternalChange(policy="adopt"):
                self._external(event)

    def _no_new_exposure(self, entry: JournalEntry, command: SubmitOrder | ReplaceOrder) -> None:
        """Invariant 5: no command adds exposure while the account is halted or reducing."""
        if isinstance(command, SubmitOrder) and command.side is SELL:  # exits always pass
            return
        if self._halted or self._reducing:
            raise InvariantViolation(f"5: {type(command).__name__} adds exposure while entries are off")
        if self._agent_checker:
            self._agent_checker.on_entry(self._orders[command.order_id].symbol, entry, command)

    def _report(self, report: ExecutionReport) -> None:
        scenario = self._orders.get(report.order_id)
        if scenario is None:
            self._unknown_reports[report.order_id].append(report)
            return
        trade_id = report.trade_id or ""
        if report.kind == "bust":
            known = scenario.fills.get(trade_id)
            if trade_id not in scenario.busted and known:
                self._move(scenario, known, -1)
            scenario.busted.add(trade_id)
        elif trade_id not in scenario.fills:
            scenario.fills[trade_id] = (report.quantity or ZERO, report.price or ZERO, report.fee or ZERO)
            if trade_id not in scenario.busted:
                self._move(scenario, scenario.fills[trade_id], 1)

    def _move(self, scenario: _OrderHistory, fill: tuple[Decimal, Decimal, Decimal], times: int) -> None:
        # Written independently of `Ledger`: the same error must not be on both sides of the comparison.
        quantity, price, fee = fill
        signed = multiply(quantity, Decimal(times if scenario.buys else -times))
        self._held[scenario.symbol] = add(self._held[scenario.symbol], signed)
        self._cash = subtract(self._cash, add(multiply(signed, price), multiply(fee, Decimal(times))))

    def _external(self, event: ExternalChange) -> None:
        if event.kind == "cash":
            self._cash = add(self._cash, event.amount)
        else:
            self._held[event.subject] = add(self._held[event.subject], event.amount)

    # after every step

    def step(self, engine: Engine) -> None:
        """Checks what must hold after each step, once the engine's outputs are recorded."""
        self._books(engine)
        self._fills(engine)
        self._reserved(engine)
        self._alive(engine)
        if self._agent_checker and engine.deliberations:
            self._agent_checker.step(engine.deliberations)
        counted = int(engine.kernel_states["counts"].sum())
        if counted + self.missed != engine.pos:
            raise InvariantViolation(f"9: {engine.pos - self.missed} rows were taken, {counted} have a code")

    def _books(self, engine: Engine) -> None:
        if engine.ledger.cash != self._cash:
            raise InvariantViolation(f"2: cash is {engine.ledger.cash}, its fills make {self._cash}")
        for symbol, position in engine.ledger.positions.items():
            if position.quantity != self._held[symbol]:
                raise InvariantViolation(
                    f"2: {symbol} is {position.quantity}, its fills make {self._held[symbol]}"
                )

    def _fills(self, engine: Engine) -> None:
        for order in engine.orders.working.values():
            scenario = self._orders[order.id]
            filled = sum((fill[0] for fill in scenario.fills.values()), ZERO)
            if order.executed != filled:
                raise InvariantViolation(
                    f"1: order {order.id} has {order.executed} filled, reported were {filled}"
                )
            if filled > add(order.intent.quantity, scenario.overfilled):
                raise InvariantViolation(f"1: order {order.id} is overfilled without `OrderOverfilled`")

    def _reserved(self, engine: Engine) -> None:
        fee_bps, needed = self._settings.simulated.fee_bps, ZERO
        for order in engine.orders.working.values():
            if order.intent.side is BUY:
                left = max(subtract(order.intent.quantity, order.executed), ZERO)
                needed = add(needed, with_fee(multiply(left, order.intent.worst_price), fee_bps))
        if engine.orders.reserved < needed:
            raise InvariantViolation(f"3: {engine.orders.reserved} is reserved, {needed} may still be spent")
        # A bust, an overfill or an external trade may take cash that was free when the order was checked.
        if not self.account_altered and subtract(engine.ledger.cash, engine.orders.reserved) < ZERO:
            raise InvariantViolation("3: more is reserved than there is cash")

    def _alive(self, engine: Engine) -> None:
        """Checks that no order that rests at the venue has ended here: its fill would be unreserved."""
        for order_id in self._venue.resting:
            order = engine.orders.find(order_id)
            if order is not None and not order.working:
                raise InvariantViolation(f"3: order {order_id} rests at the venue and is {order.state} here")

    # 4, 8: orders that are sent

    def on_submit(self, order: SubmitOrder, engine: Engine) -> None:
        """Checks an order that is sent: its intent is recorded, its quote fresh, its position held."""
        if order.order_id not in self._orders:
            raise InvariantViolation(f"4: order {order.order_id} leaves without a recorded intent")
        if order.side is BUY:
            self._fresh(order, engine)
        elif not self.account_altered:
            self._sold_once(order)

    def _fresh(self, order: SubmitOrder, engine: Engine) -> None:
        rows, lane = self._rows, self._lane_of[order.symbol]
        row = last_valid(rows.lane, rows.bid, rows.ask, engine.pos, lane)
        age_ns = engine.now_ns - int(rows.ts[row])
        if age_ns > self._settings.risk.stale_after_ms * 1e6:
            raise InvariantViolation(f"8: {order.symbol} is bought on a quote {age_ns / 1e9:.1f} s old")

    def _sold_once(self, order: SubmitOrder) -> None:
        """Checks that an exit sells no more than is held."""
        if order.quantity > self._held[order.symbol]:
            raise InvariantViolation(
                f"1: {order.quantity} {order.symbol} is sold, {self._held[order.symbol]} is held"
            )

    # at the end

    def check_final(self, engine: Engine) -> None:
        """Checks the end of a scenario: ledger and venue agree exactly, and no order is open or unknown."""
        if engine.orders.working:
            states = {order.id: str(order.state) for order in engine.orders.working.values()}
            raise InvariantViolation(f"7: orders are still open or unknown at the end: {states}")
        if engine.ledger.cash != self._venue.cash:
            raise InvariantViolation(f"7: cash is {engine.ledger.cash}, the venue has {self._venue.cash}")
        held = {s: p.quantity for s, p in engine.ledger.positions.items() if p.quantity}
        if held != self._venue.held:
            raise InvariantViolation(f"7: positions are {held}, the venue has {self._venue.held}")
        if not self.account_altered and any(quantity < ZERO for quantity in self._venue.held.values()):
            raise InvariantViolation(f"1: more was sold than was held: {self._venue.held}")
        if self._agent_checker and engine.deliberations:
            self._agent_checker.settled(engine.deliberations)

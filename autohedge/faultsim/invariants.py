"""The invariants that hold at every step of every run, whatever fails around it.

`InvariantChecker` keeps its own account from the record alone. It also reads the true state of the simulated
venue, which the engine cannot. Each violation is one sentence; the first one ends a scenario.
"""

from collections.abc import Sequence
from decimal import Decimal
from functools import reduce

from autohedge.config import Settings
from autohedge.core.events import (
    AnyTradingCommand,
    FillBooked,
    JournalEntry,
    ReplaceOrder,
    SubmitOrder,
)
from autohedge.core.money import ZERO, add, subtract
from autohedge.core.snapshots import Snapshot
from autohedge.engine.engine import Engine
from autohedge.faultsim.budget_checks import BudgetChecker, StateChecker
from autohedge.faultsim.day_checks import DayChecker
from autohedge.faultsim.exit_checks import ExitChecker
from autohedge.faultsim.expected_rows import ExpectedRow
from autohedge.faultsim.fault_injection import MutableVenue
from autohedge.faultsim.gate_checks import GateChecker
from autohedge.faultsim.ledger_checks import LedgerChecker
from autohedge.faultsim.limit_checks import LimitChecker
from autohedge.faultsim.operator_checks import OperatorChecker
from autohedge.faultsim.order_checks import OrderChecker
from autohedge.faultsim.proposal_checks import ProposalChecker
from autohedge.faultsim.question_checks import InvariantViolation
from autohedge.faultsim.received_quotes import ReceivedQuotes
from autohedge.faultsim.recorded_account import RecordedAccount
from autohedge.faultsim.recorded_balances import RecordedBalances
from autohedge.faultsim.request_checks import RequestChecker
from autohedge.faultsim.resting_checks import RestingOrderChecker
from autohedge.faultsim.row_checks import MeanLengths, RowChecker
from autohedge.faultsim.seal_checks import SealChecker
from autohedge.faultsim.settings_in_force import ChangedSettings, SettingsInForce, directions_of
from autohedge.faultsim.silence_checks import SilenceChecker
from autohedge.faultsim.slice_checks import SliceChecker
from autohedge.faultsim.snapshot_checks import SnapshotChecker
from autohedge.faultsim.state_checks import CauseChecker, ErrorChecker, TimeChecker
from autohedge.faultsim.statement_checks import StatementChecker
from autohedge.kernels.matching import last_valid
from autohedge.market.rows import Rows
from autohedge.market.stream import Kind


class InvariantChecker:
    """Follows one scenario across crashes; every method raises InvariantViolation.

    With `expected`, `rows` are of several kinds, and what the strategies see of them is checked too.
    """

    def __init__(
        self,
        settings: Settings,
        rows: Rows,
        symbols: tuple[str, ...],
        venue: MutableVenue,
        expected: Sequence[ExpectedRow] = (),
    ) -> None:
        self._settings = settings
        self._rows = rows
        self._lane_of = {symbol: lane for lane, symbol in enumerate(symbols)}
        self._venue = venue
        self._quotes = ReceivedQuotes(rows, symbols)
        self._seals = SealChecker(rows)
        self._row_checker: RowChecker | None = None
        if expected:
            self._row_checker = RowChecker(expected, symbols, self._quotes, self._means(expected))
        self._changes = ChangedSettings()
        self.account_altered = self.lines_lost = False
        self.last_number = 0  # of the questions that agents received, also before a restart
        self._begin({})

    def _means(self, expected: Sequence[ExpectedRow]) -> dict[str, MeanLengths]:
        """The means of a crossover that reads bars; empty without one."""
        settings = self._settings
        is_read = settings.trading.mode != "llm" and settings.strategy.name == "crossover"
        if not is_read or all(row.kind is not Kind.BARS for row in expected):
            return {}
        wanted = {symbol: settings.for_symbol(symbol).crossover for symbol in self._lane_of}
        return {symbol: MeanLengths(each.fast, each.slow) for symbol, each in wanted.items()}

    def watch(self, strategies: Sequence[object]) -> None:
        """Follows what the strategies of a new engine see."""
        if self._row_checker:
            self._row_checker.watch(strategies)

    def reset(self, last_seq: int) -> None:
        """Resets the account before a record that ends at `last_seq` is applied again from its beginning."""
        self._quotes.reset()
        self._seals.reset()
        if self._row_checker:
            self._row_checker.reset()
        self._begin({name: seq for name, seq in self._account.absent.items() if seq <= last_seq})

    def _begin(self, absent: dict[str, int]) -> None:
        self._counted = -1  # the rows that had their codes at the last step
        money = RecordedBalances(self._settings, tuple(self._lane_of))
        covered = self._settings.account.kind == "covered"
        self._account = RecordedAccount(money, self._quotes, absent, covered=covered)
        self._crossed: set[tuple[str, Decimal]] = set()
        self._last_crossed = ""
        symbols = tuple(self._lane_of)
        self._in_force = settings = SettingsInForce(self._settings, symbols, self._account, self._changes)
        self._orders = OrderChecker(self._settings, self._account, self._venue)
        self._ledger = LedgerChecker(self._account)
        self._limits = LimitChecker(
            settings, tuple(self._lane_of), self._account, lambda: self._ledger.deposits
        )
        self._exits = ExitChecker(settings, tuple(self._lane_of), self._account)
        self._statement = StatementChecker(self._account, self._venue)
        self._slices = SliceChecker(self._account)
        self._rests = RestingOrderChecker(settings, self._account)
        self._state = StateChecker(settings, self._account)
        self._time = TimeChecker(self._account)
        self._causes = CauseChecker(settings, self._account)
        self._errors = ErrorChecker(settings, self._account)
        self._silence = SilenceChecker(settings, self._account)
        self._day = DayChecker(self._account, lambda: self._ledger.deposits)
        self._requests = RequestChecker(self._account)
        self._operator = OperatorChecker(self._account)
        self._snapshots = SnapshotChecker(self._account, self._settings.account.fee_bps_max)
        self._agent_checker = self._entry_checker()
        self._budgets = self._budget_checker()

    def _entry_checker(self) -> GateChecker | ProposalChecker | None:
        mode, symbols = self._settings.trading.mode, tuple(self._lane_of)
        if mode == "llm":
            return ProposalChecker(self._in_force, symbols, self._rows, self._account)
        return GateChecker(self._settings, symbols, self._account) if mode == "hybrid" else None

    def _budget_checker(self) -> BudgetChecker | None:
        if self._agent_checker is None:
            return None
        symbols, questions = tuple(self._lane_of), self._agent_checker.questions
        return BudgetChecker(self._in_force, symbols, self._account, questions)

    def apply(self, entry: JournalEntry) -> None:
        """Follows one recorded event."""
        if self._agent_checker:
            self._agent_checker.note(entry)
        self._in_force.before(entry)
        self._limits.before(entry)
        self._exits.before(entry)
        self._day.before(entry)
        self._operator.before(entry)
        self._account.apply(entry)
        self._in_force.after(entry)
        self._ledger.apply(entry.pos)
        self._slices.apply(entry)
        self._rests.apply(entry)
        self._limits.after(entry)
        self._exits.after(entry)
        self._statement.apply(entry.event)
        self._state.apply(entry)
        self._causes.apply(entry)
        self._errors.apply(entry)
        self._silence.apply(entry)
        self._day.after()
        self._requests.apply(entry)
        self._operator.after(entry)
        self._snapshots.apply(entry)
        self._seals.apply(entry)
        if self._budgets:
            self._budgets.apply(entry)
        if self._row_checker:
            self._row_checker.apply(entry, self._account.cause)
        self._note_crossed()
        if isinstance(entry.event, SubmitOrder | ReplaceOrder):
            self._no_new_exposure(entry, entry.event)
        elif isinstance(entry.event, FillBooked):
            self._halts_where_crossed(entry.event)

    def _note_crossed(self) -> None:
        """Notes the bookings that closed more than was held; in a cash account each that leaves a short."""
        for booking in self._account.bookings:
            if booking.crosses if self._account.covered else booking.held < ZERO:
                self._crossed.add((booking.order.order_id, booking.held))

    def _halts_where_crossed(self, booked: FillBooked) -> None:
        """Invariant 5: entries halt before a booking that closed more than was held is recorded."""
        if (booked.order_id, booked.position) not in self._crossed:
            return
        self._crossed.discard((booked.order_id, booked.position))
        if not self._account.halted:
            raise InvariantViolation(f"5: entries go on after {booked.order_id} closed too much")
        self._last_crossed = booked.order_id

    def _closed_no_more(self) -> None:
        """Invariant 1: in a covered account, no exit closes more than is held, unless a fault explains it."""
        crossed, self._last_crossed = self._last_crossed, ""
        if crossed and self._account.covered and not self.account_altered and not self.lines_lost:
            raise InvariantViolation(f"1: {crossed} closed more than was held")

    def _no_new_exposure(self, entry: JournalEntry, command: SubmitOrder | ReplaceOrder) -> None:
        """Invariant 5: no command adds exposure while the account is halted or reducing."""
        order = self._account.orders[command.order_id]
        if not order.enters:  # exits always pass
            return
        if self._account.halted or self._account.causes:
            raise InvariantViolation(f"5: {type(command).__name__} adds exposure while entries are off")
        if self._agent_checker:
            self._agent_checker.on_entry(order, entry, command)

    # after every step

    def step(self, engine: Engine) -> None:
        """Checks what must hold after each step, once the engine's outputs are recorded."""
        if self._row_checker:
            self._row_checker.step(engine.pos)
        self._books(engine)
        self._fills(engine)
        self._exits.step(engine.pos)  # before orders end that this step has proven absent
        self._orders.step(engine, lines_lost=self.lines_lost)
        self._rests.step(engine)
        self._ledger.step(engine.ledger)
        self._free_cash(engine)
        self._closed_no_more()
        self._alive(engine)
        self._state.step(engine)
        self._time.step(engine.now_ns)
        self._causes.step(engine)
        self._errors.step()
        self._silence.step(engine.pos, engine.now_ns)
        self._day.step(engine.portfolio)
        self._requests.step(engine)
        self._operator.step(engine)
        if self._agent_checker and self._budgets and engine.deliberations:
            self._agent_checker.step(engine.deliberations)
            self._budgets.step(engine.deliberations, engine.pos)
        if engine.pos != self._counted:  # summing up takes longer than any other of these checks
            self._codes(engine)

    def _codes(self, engine: Engine) -> None:
        """Invariant 9: every row with prices that was taken has one code, another row only if it signals."""
        counted, taken = int(engine.kernel_states["counts"].sum()), self._quotes.priced(engine.pos)
        signals = self._row_checker.signals if self._row_checker else 0
        if not taken <= counted <= taken + signals:
            raise InvariantViolation(f"9: {taken} rows were taken, {counted} have a code")
        self._counted = engine.pos

    def _books(self, engine: Engine) -> None:
        """Invariant 2: cash and positions are what the fills make."""
        for currency, amount in self._account.money.amounts.items():
            cash = engine.portfolio.cash_in(currency)
            if cash != amount:
                raise InvariantViolation(f"2: cash is {cash} {currency}, its fills make {amount}")
        for symbol, position in engine.ledger.positions.items():
            held = self._account.held[symbol]
            if position.quantity != held:
                raise InvariantViolation(f"2: {symbol} is {position.quantity}, its fills make {held}")

    def _fills(self, engine: Engine) -> None:
        """Invariant 1: what is filled was reported, and no more than ordered unless that is recorded."""
        for order in engine.orders.working.values():
            recorded = self._account.orders[order.id]
            if order.executed != recorded.executed:
                raise InvariantViolation(
                    f"1: order {order.id} has {order.executed} filled, reported were {recorded.executed}"
                )
            if recorded.executed > add(order.intent.quantity, recorded.overfilled):
                raise InvariantViolation(f"1: order {order.id} is overfilled without `OrderOverfilled`")

    def _free_cash(self, engine: Engine) -> None:
        # In a covered account the equity pays; what it covers is checked with each entry (14).
        if self._account.covered:
            return
        balances = engine.ledger.balances
        # A bust, an overfill, an external trade, or a fill whose order's lines were lost with the power may take
        # cash that was free when the order was checked.
        if (
            not self.account_altered
            and not self.lines_lost
            and any(subtract(amount, self._needed(engine, name)) < ZERO for name, amount in balances.items())
        ):
            raise InvariantViolation("3: more is reserved than there is cash")

    def _needed(self, engine: Engine, currency: str) -> Decimal:
        """What the working entries in a currency may still spend."""
        quote = self._account.money.quote
        entries = (order for order in engine.orders.entries() if quote(order.intent.symbol) == currency)
        return reduce(add, (order.reserved for order in entries), ZERO)

    def _alive(self, engine: Engine) -> None:
        """Checks that no order that rests at the venue has ended here: its fill would be unreserved."""
        for order_id in self._venue.resting:
            order = engine.orders.find(order_id)
            if order is not None and not order.working:
                raise InvariantViolation(f"3: order {order_id} rests at the venue and is {order.state} here")

    # commands that are sent

    def on_command(self, command: AnyTradingCommand, engine: Engine) -> None:
        """Checks a command that leaves: the intent of an order is recorded, its quote fresh."""
        if not isinstance(command, SubmitOrder | ReplaceOrder):
            return
        order = self._account.orders.get(command.order_id)
        if order is None:
            raise InvariantViolation(f"4: order {command.order_id} leaves without a recorded intent")
        if order.enters:
            self._limits.on_entry(command)
            self._fresh(order.symbol, engine)
        elif isinstance(command, SubmitOrder):
            self._orders.on_exit(command)

    def on_request(self, command: AnyTradingCommand, now_ns: int) -> None:
        """Invariant 19: no request leaves before the end of a throttle or ban that is on record."""
        if now_ns < self._account.quiet_until_ns:
            left_s = (self._account.quiet_until_ns - now_ns) / 1e9
            raise InvariantViolation(f"19: {type(command).__name__} leaves {left_s:.3f} s before a ban ends")

    def on_question(self, snapshot: Snapshot) -> None:
        """Checks a question that the agents receive."""
        if snapshot.number <= self.last_number:
            raise InvariantViolation(f"30: question {snapshot.number} comes after {self.last_number}")
        self.last_number = snapshot.number
        self._snapshots.on_request(snapshot)

    def _fresh(self, symbol: str, engine: Engine) -> None:
        """Invariant 8: no entry is decided on a stale quote."""
        rows, lane = self._rows, self._lane_of[symbol]
        row = last_valid(rows.lane, rows.bid, rows.ask, 0, engine.pos, lane)
        age_ns = engine.now_ns - int(rows.ts[row])
        if age_ns > self._in_force.now.risk.stale_after_ms * 1e6:
            raise InvariantViolation(f"8: {symbol} is entered on a quote {age_ns / 1e9:.1f} s old")

    # at the end

    def check_final(self, engine: Engine) -> None:
        """Checks the end of a scenario: ledger and venue agree exactly, and no order is open or unknown."""
        if engine.orders.working:
            states = {order.id: str(order.state) for order in engine.orders.working.values()}
            raise InvariantViolation(f"7: orders are still open or unknown at the end: {states}")
        if self._account.orders:  # virtual time begins at zero, so no pass is planned before the first order
            self._agrees(engine)
        may_be_short = self._account.covered or self.account_altered
        if not may_be_short and any(quantity < ZERO for quantity in self._venue.held.values()):
            raise InvariantViolation(f"1: more was sold than was held: {self._venue.held}")
        self._statement.settled(engine)
        self._refusals(engine)
        if self._agent_checker and engine.deliberations:
            self._agent_checker.settled(engine.deliberations)

    def _refusals(self, engine: Engine) -> None:
        """Invariant 14: a direction is refused only where it is not allowed."""
        codes = engine.codes()
        for direction in directions_of(self._settings):
            if refused := codes[f"no_{direction}"]:
                raise InvariantViolation(f"14: {refused} entries end in no_{direction}, which is allowed")

    def _agrees(self, engine: Engine) -> None:
        """Checks that the ledger is the venue's account, less the differences that wait for a person."""
        acknowledged = self._account.acknowledged
        for currency, amount in self._venue.account.balances.items():
            cash = add(engine.portfolio.cash_in(currency), acknowledged[currency])
            if cash != amount:
                raise InvariantViolation(f"7: cash is {cash} {currency}, the venue has {amount}")
        held = {
            symbol: quantity
            for symbol in self._lane_of
            if (quantity := add(engine.ledger.position(symbol).quantity, acknowledged[symbol]))
        }
        if held != self._venue.held:
            raise InvariantViolation(f"7: positions are {held}, the venue has {self._venue.held}")

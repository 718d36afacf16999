"""Invariant 15: positions are left at the first quote that meets their stop, target or trail, and in time.

`ExitChecker` computes every level itself, from the mid at the entry's decision and the settings or the
proposal, and looks at every quote that the process received.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from autohedge.core.events import (
    Decision,
    ExternalChange,
    Input,
    JournalEntry,
    OrderAdopted,
    OrderMassStatus,
    OrderRejected,
    Proposal,
    SubmitOrder,
    Timer,
    VenueOrderStatus,
)
from autohedge.core.money import ZERO, multiply, subtract, to_decimal
from autohedge.core.orders import BUY, ENTER
from autohedge.core.units import NS_PER_S
from autohedge.faultsim.exit_levels import (
    STOP_LOSS,
    TAKE_PROFIT,
    TRAILING_STOP,
    ExitLevels,
    TrailingStop,
    levels_met,
)
from autohedge.faultsim.question_checks import InvariantViolation
from autohedge.faultsim.received_quotes import ReceivedQuote
from autohedge.faultsim.recorded_account import RecordedAccount
from autohedge.faultsim.settings_in_force import SettingsInForce

TIME_STOP = "time_stop"
AT_A_QUOTE = frozenset({TAKE_PROFIT, STOP_LOSS, TRAILING_STOP})
# These exits are repeated at every quote until the position is flat.
CARRIED_THROUGH = frozenset({TIME_STOP, "exit_signal", "flatten"})
PATIENT_TRIES = 20


@dataclass(slots=True)
class _Position:
    """How the position of one symbol must be left.

    `must` is why an exit has to leave now, and at which row; empty if none has to. `may` are the levels that
    the last quote meets. `refused` counts rejected exits, the next of which waits until `retry_ns`. `is_long` is
    the side of the last position. With `dust` an exit has found it too small to be closed; with `maybe_dust` a
    signal may have, which leaves no record.
    """

    min_notional: Decimal
    is_long: bool = True
    levels: ExitLevels | None = None
    trail: TrailingStop = field(default_factory=TrailingStop)
    proposal: Proposal | None = None
    time_stop_ns: int | None = None
    overdue: bool = False
    carried: bool = False
    doubtful: bool = False
    dust: bool = False
    maybe_dust: bool = False
    refused: int = 0
    retry_ns: int = 0
    must: str = ""
    must_row: int = -1
    may: frozenset[str] = frozenset()
    may_row: int = -1


class ExitChecker:
    """Follows the positions of one record; every method raises InvariantViolation."""

    def __init__(self, settings: SettingsInForce, symbols: tuple[str, ...], account: RecordedAccount) -> None:
        self._account, self._settings = account, settings
        self._positions = {
            symbol: _Position(settings.now.instrument(symbol).min_notional) for symbol in symbols
        }
        self._levels: dict[str, ExitLevels] = {}
        self._exits: dict[str, str] = {}  # the exits that worked before an event which may reject them
        self._pos = 0
        self._repeats = True  # until the first step: an exit that ended without a report seems to work

    def before(self, entry: JournalEntry) -> None:
        """Looks at the quotes before an event, with the positions as they were at them."""
        self._pass_quotes(entry.pos)
        if isinstance(entry.event, Input):
            self._settle()
        if isinstance(entry.event, OrderRejected | OrderMassStatus):
            self._exits = {o.order_id: o.symbol for o in self._account.working.values() if not o.enters}

    def after(self, entry: JournalEntry) -> None:
        """Follows one recorded event, after the account has."""
        event = entry.event
        self._forget_carried()
        if isinstance(event, OrderAdopted):
            self._taken_over(event.order)
        self._moved()
        match event:
            case SubmitOrder() if event.purpose is ENTER:
                self._entered(event, entry.pos)
            case SubmitOrder():
                self._left(event, entry.pos)
            case OrderRejected():
                self._refused([event.order_id])
            case OrderMassStatus():
                self._refused(found.order_id for found in event.orders if found.status == "rejected")
            case Timer():
                self._pass_time_stops(event.at_ns)

    def step(self, pos: int) -> None:
        """Looks at the quotes up to row `pos`, and checks that every exit that had to leave did."""
        self._pass_quotes(pos)
        self._settle()
        self._repeats = False

    # quotes

    def _pass_quotes(self, pos: int) -> None:
        if pos == self._pos:
            return
        for symbol, position in self._positions.items():
            if self._account.is_open(symbol):
                for quote in self._account.quotes.between(symbol, self._pos, pos):
                    self._quoted(symbol, position, quote)
                if position.must and position.must_row < pos - 1:
                    self._missed(symbol, position)
        self._pos = pos

    def _quoted(self, symbol: str, position: _Position, quote: ReceivedQuote) -> None:
        if position.must:
            self._missed(symbol, position)
        free = self._is_free(symbol) and not (position.refused and quote.ts_ns <= position.retry_ns)
        if position.time_stop_ns is not None and not position.overdue and quote.ts_ns > position.time_stop_ns:
            raise InvariantViolation(f"15: the time stop of {symbol} has not been noticed at row {quote.row}")
        if position.dust or position.levels is None:
            return
        is_long, price = position.is_long, quote.bid if position.is_long else quote.ask
        if not free:
            # When a record is applied again, the exit may have been proven absent before this quote.
            if self._repeats:
                position.trail.follow(price, position.levels.trail_from, is_long=is_long, certain=False)
                self._doubt_if_small(symbol, position, to_decimal(price))
            return
        must, position.may = levels_met(price, position.levels, position.trail, is_long=is_long)
        if position.carried:
            must = "" if position.doubtful else "an exit is carried through"
        position.may_row = quote.row
        self._met(symbol, position, must, to_decimal(price))

    def _met(self, symbol: str, position: _Position, must: str, price: Decimal) -> None:
        """Requires an exit at the last quote, unless a signal may have found the position too small before."""
        is_small = self._doubt_if_small(symbol, position, price)
        if must and (is_small or not position.maybe_dust):
            self._require(symbol, position, must, price, position.may_row)

    def _doubt_if_small(self, symbol: str, position: _Position, price: Decimal) -> bool:
        """Returns whether a position is too small to be closed: a signal at this price ends its trail."""
        is_small = self._is_small(symbol, position, price)
        position.maybe_dust |= is_small
        if position.maybe_dust:
            position.trail.doubt()
        return is_small

    def _is_small(self, symbol: str, position: _Position, price: Decimal) -> bool:
        return multiply(abs(self._account.held[symbol]), price) < position.min_notional

    def _is_free(self, symbol: str) -> bool:
        """Whether an exit may leave: none is on its way, and none waits for reconciliation."""
        exit_works = any(True for _ in self._account.working_in(symbol, enters=False))
        return not self._account.exits_wait and not exit_works

    def _settle(self) -> None:
        """Checks that the exits that had to leave have left."""
        for symbol, position in self._positions.items():
            if position.must:
                self._missed(symbol, position)

    def _require(self, symbol: str, position: _Position, why: str, price: Decimal, row: int) -> None:
        """Notes that an exit must leave now; what is too small to be closed stays until it moves."""
        if self._is_small(symbol, position, price):
            position.dust, position.carried = True, False
            position.trail.stop()
        elif not self._repeats:
            position.must, position.must_row = why, row

    def _missed(self, symbol: str, position: _Position) -> None:
        raise InvariantViolation(f"15: {symbol} is not left at row {position.must_row}: {position.must}")

    # orders

    def _entered(self, order: SubmitOrder, pos: int) -> None:
        """Computes the exit levels of an entry; a slice keeps the proposal of its entry."""
        if order.order_id in self._levels:
            return
        position, cause = self._positions[order.symbol], self._account.cause
        if not isinstance(cause, Timer):
            position.proposal = cause.proposal if isinstance(cause, Decision) else None
            position.carried = False
        quote = self._account.quotes.last(order.symbol, pos)
        mid = (quote.bid + quote.ask) / 2.0 if quote else 0.0
        self._levels[order.order_id] = self._levels_at(
            order.symbol, mid, position.proposal, buys=order.side is BUY
        )

    def _taken_over(self, found: VenueOrderStatus) -> None:
        """Computes the exit levels of an adopted order, whose entry's mid and proposal are not known."""
        reference = float(self._account.orders[found.order_id].price)
        self._levels[found.order_id] = self._levels_at(found.symbol, reference, None, buys=found.side is BUY)

    def _levels_at(
        self, symbol: str, reference: float, proposal: Proposal | None, *, buys: bool
    ) -> ExitLevels:
        return ExitLevels.of(reference, self._settings.terms(symbol).exits, proposal, buys=buys)

    def _left(self, order: SubmitOrder, pos: int) -> None:
        """Checks an exit that leaves: its cause, and that it closes all that is not on its way to be closed."""
        position = self._positions[order.symbol]
        if self._account.resent:
            return
        if not self._repeats:
            self._justify(order, position, pos)
        position.must, position.carried = "", order.reason in CARRIED_THROUGH
        position.doubtful = False

    def _justify(self, order: SubmitOrder, position: _Position, pos: int) -> None:
        symbol = order.symbol
        at_quote = self._account.cause is None and position.may_row == pos - 1
        if order.reason in AT_A_QUOTE and not (at_quote and order.reason in position.may):
            raise InvariantViolation(f"15: {symbol} is left by {order.reason}, no quote meets it")
        is_early = position.time_stop_ns is None or self._account.now_ns < position.time_stop_ns
        if order.reason == TIME_STOP and is_early and not position.carried:
            raise InvariantViolation(f"15: {symbol} is left by its time stop before its time")
        held = self._account.held[symbol]
        closing = self._account.closing(symbol, buys=held < ZERO)
        if closing < abs(held):
            raise InvariantViolation(f"15: of {held} {symbol}, exits close {closing}")

    def _refused(self, order_ids: Iterable[str]) -> None:
        """Notes the pause after an exit that the venue rejected: it doubles each time."""
        for order_id in order_ids:
            if order_id in self._exits:
                position = self._positions[self._exits.pop(order_id)]
                execution = self._settings.now.execution
                pause_s = min(execution.query_backoff_s * 2**position.refused, execution.query_backoff_max_s)
                pause_ns = round(pause_s * NS_PER_S)
                pause_ns *= 2 ** max(position.refused - PATIENT_TRIES, 0)
                position.retry_ns = self._account.now_ns + pause_ns
                position.refused += 1

    # positions

    def _moved(self) -> None:
        """Follows what the last recorded event booked."""
        for booking in self._account.bookings:
            position = self._positions[booking.order.symbol]
            held = self._account.held[booking.order.symbol]
            position.dust = position.maybe_dust = False
            if booking.order.enters and not booking.bust:
                position.levels = self._levels[booking.order.order_id]
            elif not booking.bust:
                position.refused = 0
            if self._account.is_open(booking.order.symbol) and booking.adds is (held > ZERO):  # it grew
                self._start_time_stop(booking.order.symbol, position)
            _turned_or_ended(position, held)
        for change, price in self._account.external:
            if change.kind == "position":
                self._adopted(change, price)

    def _adopted(self, change: ExternalChange, price: Decimal) -> None:
        position, held = self._positions[change.subject], self._account.held[change.subject]
        position.dust = position.maybe_dust = False
        before = subtract(held, change.amount)
        if multiply(before, held) <= ZERO:  # it was flat, or on the other side
            position.levels = self._levels_at(change.subject, float(price), None, buys=held >= ZERO)
        if self._account.is_open(change.subject) and (change.amount > ZERO) is (held > ZERO):  # it grew
            self._start_time_stop(change.subject, position)
        _turned_or_ended(position, held)

    def _forget_carried(self) -> None:
        """Forgets the exits that are carried through once their symbol is flat and no entry can fill."""
        for symbol, position in self._positions.items():
            if position.carried and not self._account.held[symbol]:
                position.carried = any(True for _ in self._account.working_in(symbol, enters=True))
                # When a record is applied again, these entries may have been proven absent before.
                position.doubtful |= position.carried and self._repeats

    def _start_time_stop(self, symbol: str, position: _Position) -> None:
        """Sets the time stop of a new position; later entries do not postpone one that is still to come."""
        hold_ns = round(self._settings.terms(symbol).exits.max_hold_s * NS_PER_S)
        until_ns = self._account.now_ns + hold_ns
        if hold_ns and (
            position.time_stop_ns is None or position.overdue or until_ns < position.time_stop_ns
        ):
            position.time_stop_ns, position.overdue = until_ns, False

    def _pass_time_stops(self, now_ns: int) -> None:
        for symbol, position in self._positions.items():
            if position.time_stop_ns is None or position.overdue or position.time_stop_ns > now_ns:
                continue
            position.overdue = True
            is_open = self._account.is_open(symbol)
            if is_open and self._is_free(symbol):
                price = self._account.exit_price(symbol, self._account.held[symbol], self._pos)
                self._require(symbol, position, TIME_STOP, price, self._pos - 1)
            else:
                position.carried = is_open


def _turned_or_ended(position: _Position, held: Decimal) -> None:
    """Forgets what concerns a position that is closed, or has become one on the other side."""
    if held and position.is_long is (held > ZERO):
        return
    position.trail.stop()
    position.must = ""
    if held:
        position.is_long = held > ZERO
    else:
        position.time_stop_ns, position.overdue = None, False

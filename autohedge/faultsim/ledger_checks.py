"""Invariant 17: cash and cost of the positions are what was paid in, earned and spent."""

from collections import defaultdict
from dataclasses import dataclass
from decimal import Context, Decimal
from functools import reduce

from autohedge.core.events import ExternalChange
from autohedge.core.money import ZERO, add, multiply, subtract
from autohedge.execution.ledger import CashBook, Ledger, Position
from autohedge.faultsim.question_checks import InvariantViolation
from autohedge.faultsim.recorded_account import BookedFill, RecordedAccount

_WIDE = Context(prec=60)
# The ledger rounds shares of a cost to 28 digits.
ROUNDING = Decimal("1e-12")


@dataclass(slots=True)
class _Holding:
    quantity: Decimal = ZERO
    cost: Decimal = ZERO


class LedgerChecker:
    """Follows fees, realized P&L and external changes of one record, in each currency.

    `deposits` are the external changes in the reporting currency, with positions at their price when they
    changed; in the ledger positions change at their average cost.
    """

    def __init__(self, account: RecordedAccount) -> None:
        self._account = account
        self._holdings: dict[str, _Holding] = {}
        self._fees, self._realized, self._external = (defaultdict[str, Decimal](Decimal) for _ in range(3))
        self.deposits = ZERO
        self._moved = False

    def apply(self, pos: int) -> None:
        """Follows what the last recorded event booked, after `pos` rows."""
        for booking in self._account.bookings:
            self._moved = True
            self._booked(booking)
        for change, price in self._account.external:
            self._moved = True
            self._changed(change, price, pos)

    def step(self, ledger: Ledger) -> None:
        """Checks the ledger after a step that moved money; raises InvariantViolation."""
        if not self._moved:
            return
        self._moved = False
        for currency, book in ledger.books.items():
            positions = [
                each for symbol, each in ledger.positions.items() if ledger.quote_currency(symbol) == currency
            ]
            self._currency(currency, book, positions)
        self._near("realized P&L", ledger.realized, reduce(_WIDE.add, self._realized.values(), ZERO))

    def _currency(self, currency: str, book: Ledger | CashBook, positions: list[Position]) -> None:
        realized = reduce(add, (each.realized for each in positions), ZERO)
        owned = reduce(add, (each.cost for each in positions), book.cash)
        initial = self._account.money.initial.get(currency, ZERO)
        earned = subtract(add(add(initial, realized), book.adjustments), book.fees)
        if owned != earned:
            raise InvariantViolation(
                f"17: cash and cost are {owned} {currency}, what was earned and paid in is {earned}"
            )
        if book.fees != self._fees[currency]:
            raise InvariantViolation(
                f"17: fees are {book.fees} {currency}, its fills make {self._fees[currency]}"
            )
        self._near(f"external changes in {currency}", book.adjustments, self._external[currency])
        self._near(f"realized P&L in {currency}", realized, self._realized[currency])

    @staticmethod
    def _near(name: str, here: Decimal, recorded: Decimal) -> None:
        if abs(subtract(here, recorded)) > ROUNDING:
            raise InvariantViolation(f"17: {name} are {here}, the record makes {recorded:f}")

    def _booked(self, booking: BookedFill) -> None:
        sign, symbol = Decimal(-1 if booking.bust else 1), booking.order.symbol
        paid = multiply(booking.fee, sign)
        self._fees[booking.fee_currency] = add(self._fees[booking.fee_currency], paid)
        signed = multiply(booking.quantity, sign if booking.order.buys else sign.copy_negate())
        holding = self._holdings.setdefault(symbol, _Holding())
        closed = _closing(holding.quantity, signed)
        share, quote = _share(holding, closed), self._account.money.quote(symbol)
        self._realized[quote] = _WIDE.subtract(
            self._realized[quote], _WIDE.subtract(_WIDE.multiply(closed, booking.price), share)
        )
        opened = subtract(signed, closed)
        _move(holding, signed, _WIDE.add(share, _WIDE.multiply(opened, booking.price)))

    def _changed(self, change: ExternalChange, price: Decimal, pos: int) -> None:
        """Books a difference to the venue: what leaves goes at its average cost, so it realizes nothing."""
        account, is_cash = self._account, change.kind == "cash"
        currency = change.subject if is_cash else account.money.quote(change.subject)
        amount = change.amount if is_cash else multiply(change.amount, price)
        self.deposits = add(self.deposits, account.worth(currency, amount, pos))
        if is_cash:
            self._external[currency] = add(self._external[currency], amount)
            return
        holding = self._holdings.setdefault(change.subject, _Holding())
        closed = _closing(holding.quantity, change.amount)
        moved = _WIDE.add(_share(holding, closed), _WIDE.multiply(subtract(change.amount, closed), price))
        self._external[currency] = _WIDE.add(self._external[currency], moved)
        _move(holding, change.amount, moved)


def _closing(held: Decimal, signed: Decimal) -> Decimal:
    """The part of a signed quantity that goes against the position."""
    if not held or (held > ZERO) is (signed > ZERO):
        return ZERO
    return min(abs(signed), abs(held)).copy_sign(signed)


def _share(holding: _Holding, closed: Decimal) -> Decimal:
    """The change of the cost when `closed` leaves the position."""
    if not closed:
        return ZERO
    return _WIDE.divide(_WIDE.multiply(holding.cost, closed), holding.quantity)


def _move(holding: _Holding, signed: Decimal, cost: Decimal) -> None:
    holding.quantity = add(holding.quantity, signed)
    holding.cost = _WIDE.add(holding.cost, cost) if holding.quantity else ZERO

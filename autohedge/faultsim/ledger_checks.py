"""Invariant 17: cash and cost of the positions are what was paid in, earned and spent."""

from dataclasses import dataclass
from decimal import Context, Decimal
from functools import reduce

from autohedge.core.events import ExternalChange
from autohedge.core.money import ZERO, add, multiply, subtract
from autohedge.execution.ledger import Ledger
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
    """Follows fees, realized P&L and external changes of one record.

    `external` has positions at their average cost, `deposits` has them at their price when they changed.
    """

    def __init__(self, account: RecordedAccount) -> None:
        self._account = account
        self._initial = account.cash
        self._holdings: dict[str, _Holding] = {}
        self.fees = self.realized = self.external = self.deposits = ZERO
        self._moved = False

    def apply(self) -> None:
        """Follows what the last recorded event booked."""
        for booking in self._account.bookings:
            self._moved = True
            self._booked(booking)
        for change, price in self._account.external:
            self._moved = True
            self._changed(change, price)

    def step(self, ledger: Ledger) -> None:
        """Checks the ledger after a step that moved money; raises InvariantViolation."""
        if not self._moved:
            return
        self._moved = False
        cost = reduce(add, (position.cost for position in ledger.positions.values()), ZERO)
        owned = add(ledger.cash, cost)
        earned = subtract(add(add(self._initial, ledger.realized), ledger.adjustments), ledger.fees)
        if owned != earned:
            raise InvariantViolation(
                f"17: cash and cost are {owned}, what was earned and paid in is {earned}"
            )
        if ledger.fees != self.fees:
            raise InvariantViolation(f"17: fees are {ledger.fees}, its fills make {self.fees}")
        for name, here, recorded in (
            ("realized P&L", ledger.realized, self.realized),
            ("external changes", ledger.adjustments, self.external),
        ):
            if abs(subtract(here, recorded)) > ROUNDING:
                raise InvariantViolation(f"17: {name} are {here}, the record makes {recorded:f}")

    def _booked(self, booking: BookedFill) -> None:
        sign = Decimal(-1 if booking.bust else 1)
        self.fees = add(self.fees, multiply(booking.fee, sign))
        signed = multiply(booking.quantity, sign if booking.order.buys else sign.copy_negate())
        holding = self._holdings.setdefault(booking.order.symbol, _Holding())
        closed = _closing(holding.quantity, signed)
        share = _share(holding, closed)
        self.realized = _WIDE.subtract(
            self.realized, _WIDE.subtract(_WIDE.multiply(closed, booking.price), share)
        )
        opened = subtract(signed, closed)
        _move(holding, signed, _WIDE.add(share, _WIDE.multiply(opened, booking.price)))

    def _changed(self, change: ExternalChange, price: Decimal) -> None:
        """Books a difference to the venue: what leaves goes at its average cost, so it realizes nothing."""
        worth = change.amount if change.kind == "cash" else multiply(change.amount, price)
        self.deposits = add(self.deposits, worth)
        if change.kind == "cash":
            self.external = add(self.external, change.amount)
            return
        holding = self._holdings.setdefault(change.subject, _Holding())
        closed = _closing(holding.quantity, change.amount)
        moved = _WIDE.add(_share(holding, closed), _WIDE.multiply(subtract(change.amount, closed), price))
        self.external = _WIDE.add(self.external, moved)
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

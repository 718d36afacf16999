"""Cash, positions and P&L of one account, in exact decimals.

A position keeps its total cost instead of an average price, because an average is a quotient and would be
rounded. A partial close takes its share of the cost (weighted average). The share is rounded once and the
remainder stays with the position, so no amount is lost.
"""

from dataclasses import dataclass, field
from decimal import Decimal

from autohedge.core.money import ZERO, add, divide, multiply, subtract
from autohedge.core.orders import BUY, Side


@dataclass(slots=True)
class Position:
    """The position in one instrument; `realized` is its P&L before fees so far."""

    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    realized: Decimal = ZERO


@dataclass(slots=True)
class Ledger:
    """The ledger of one account in one currency.

    Invariants: cash = initial - bought + sold - fees + cash adjustments; equity = initial + realized +
    unrealized - fees + adjustments. A short position has a negative quantity and a negative cost, which is
    the proceeds of its sale.

    `adjustments` sums what no fill explains at its cost, `deposits` sums the same at its market price.
    """

    initial_cash: Decimal
    cash: Decimal = field(init=False)
    fees: Decimal = ZERO
    realized: Decimal = ZERO
    adjustments: Decimal = ZERO
    deposits: Decimal = ZERO
    positions: dict[str, Position] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.cash = self.initial_cash

    def position(self, symbol: str) -> Position:
        """The position in `symbol`; a flat one if it was never traded."""
        position = self.positions.get(symbol)
        if position is None:
            position = self.positions[symbol] = Position()
        return position

    def book_fill(self, symbol: str, side: Side, quantity: Decimal, price: Decimal, fee: Decimal) -> Decimal:
        """Books one fill; returns the P&L that it realized, before fees.

        A quantity that exceeds the position opens one on the other side. The ledger refuses no fill, because
        the venue's fills are real whether they were intended or not.
        """
        position = self.position(symbol)
        notional = multiply(quantity, price)
        buys = side is BUY
        held = position.quantity
        realized = ZERO
        if held and buys is (held < 0):
            realized = self._close(position, side, quantity, notional)
        else:
            self._open(position, side, quantity, notional)
        self.cash = subtract(self.cash, notional) if buys else add(self.cash, notional)
        self.fees = add(self.fees, fee)
        self.cash = subtract(self.cash, fee)
        return realized

    def adjust_position(self, symbol: str, quantity: Decimal, price: Decimal) -> None:
        """Books a position difference that no fill explains, at `price`, without moving cash."""
        position = self.position(symbol)
        cost = multiply(quantity, price)
        self.deposits = add(self.deposits, cost)
        # Against the position: a part of it leaves at its average cost, and what crosses zero costs `price`.
        # So an adjustment realizes nothing.
        if position.quantity and (quantity < 0) is not (position.quantity < 0):
            left = add(position.quantity, quantity)
            shrinks = not left or (left < 0) is (position.quantity < 0)
            remaining_cost = (
                divide(multiply(position.cost, left), position.quantity) if shrinks else multiply(left, price)
            )
            cost = subtract(remaining_cost, position.cost)
        position.quantity = add(position.quantity, quantity)
        position.cost = add(position.cost, cost)
        self.adjustments = add(self.adjustments, cost)

    def adjust_cash(self, amount: Decimal) -> None:
        """Books a cash difference that no fill explains."""
        self.cash = add(self.cash, amount)
        self.adjustments = add(self.adjustments, amount)
        self.deposits = add(self.deposits, amount)

    def _open(self, position: Position, side: Side, quantity: Decimal, notional: Decimal) -> None:
        if side is BUY:
            position.quantity = add(position.quantity, quantity)
            position.cost = add(position.cost, notional)
        else:
            position.quantity = subtract(position.quantity, quantity)
            position.cost = subtract(position.cost, notional)

    def _close(self, position: Position, side: Side, quantity: Decimal, notional: Decimal) -> Decimal:
        """Closes up to the whole position; opens the rest, if any, on the other side."""
        size = position.quantity.copy_abs()
        if quantity > size:
            # Split the notional by quantity; the difference takes the rounding, so both parts add up.
            rest = divide(multiply(notional, subtract(quantity, size)), quantity)
            realized = self._close(position, side, size, subtract(notional, rest))
            self._open(position, side, subtract(quantity, size), rest)
            return realized
        share = position.cost
        if quantity < size:  # a full close takes the exact cost: no quotient, no remainder
            share = divide(multiply(position.cost, quantity), size)
        self._open(position, side, quantity, ZERO)
        position.cost = subtract(position.cost, share)
        realized = subtract(notional.copy_negate() if side is BUY else notional, share)
        position.realized = add(position.realized, realized)
        self.realized = add(self.realized, realized)
        return realized

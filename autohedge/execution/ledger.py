"""Cash, positions and P&L of one account, in exact decimals.

A position keeps its total cost, not an average price: the average is a quotient and would round.
Weighted average means that a partial close takes its share of the cost; that share is rounded
once and the remainder stays with the position, so nothing is lost.
"""

from dataclasses import dataclass, field
from decimal import Decimal

from autohedge.core.errors import Unexplained
from autohedge.core.money import ZERO, add, multiply, quotient, subtract
from autohedge.core.orders import BUY, Side


@dataclass(slots=True)
class Position:
    """What is held of one instrument: `quantity`, what it cost, what closing parts of it made."""

    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    realized: Decimal = ZERO


@dataclass(slots=True)
class Ledger:
    """One account in one currency.

    Laws: cash = initial - bought + sold - fees; equity = initial + realized + unrealized - fees.
    """

    initial_cash: Decimal
    cash: Decimal = field(init=False)
    fees: Decimal = ZERO
    realized: Decimal = ZERO
    positions: dict[str, Position] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.cash = self.initial_cash

    def position(self, symbol: str) -> Position:
        """The position in `symbol`; flat if it was never traded."""
        position = self.positions.get(symbol)
        if position is None:
            position = self.positions[symbol] = Position()
        return position

    def book(self, symbol: str, side: Side, quantity: Decimal, price: Decimal, fee: Decimal) -> Decimal:
        """Book one fill; return what it realized before fees.

        Raises Unexplained when more is sold than held.
        """
        position = self.position(symbol)
        notional = multiply(quantity, price)
        realized = ZERO
        if side is BUY:
            position.quantity = add(position.quantity, quantity)
            position.cost = add(position.cost, notional)
            self.cash = subtract(self.cash, notional)
        else:
            realized = self._close(symbol, position, quantity, notional)
            self.cash = add(self.cash, notional)
        self.fees = add(self.fees, fee)
        self.cash = subtract(self.cash, fee)
        return realized

    def _close(self, symbol: str, position: Position, quantity: Decimal, notional: Decimal) -> Decimal:
        if quantity > position.quantity:
            msg = f"{symbol}: a fill sells {quantity}, but only {position.quantity} is held"
            raise Unexplained(msg)
        share = position.cost
        if quantity < position.quantity:
            share = quotient(multiply(position.cost, quantity), position.quantity)
        position.quantity = subtract(position.quantity, quantity)
        position.cost = subtract(position.cost, share)
        realized = subtract(notional, share)
        position.realized = add(position.realized, realized)
        self.realized = add(self.realized, realized)
        return realized

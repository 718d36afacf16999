"""Cash, positions and P&L of one account, in exact decimals.

A position keeps its total cost instead of an average price, because an average is a quotient and would be
rounded. A partial close takes its share of the cost (weighted average). The share is rounded once and the
remainder stays with the position, so no amount is lost.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from autohedge.core.accounts import OpeningAccount
from autohedge.core.money import ZERO, add, divide, multiply, subtract
from autohedge.core.orders import BUY, Side


@dataclass(slots=True)
class Position:
    """The position in one instrument; `realized` is its P&L before fees so far, in its quote currency."""

    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    realized: Decimal = ZERO


@dataclass(slots=True)
class Ledger:
    """The ledger of one account: cash per currency, fees per currency, positions.

    Invariants of each currency: cash = initial - bought + sold - fees + cash adjustments; and with the positions
    that are quoted in it, equity = initial + realized + unrealized - fees + adjustments. A short position has a
    negative quantity and a negative cost, which is the proceeds of its sale.

    `currency` is the reporting one; `quotes` has the symbols that are quoted in another. `realized` sums the P&L
    of all fills, each in the quote currency of its symbol. `adjustments` sum what no fill explains at its cost.
    """

    initial_cash: Decimal
    currency: str = ""
    initial_balances: Mapping[str, Decimal] = field(default_factory=dict)
    quotes: Mapping[str, str] = field(default_factory=dict)
    realized: Decimal = ZERO
    balances: dict[str, Decimal] = field(init=False)
    fees_by_currency: dict[str, Decimal] = field(init=False)
    adjustments_by_currency: dict[str, Decimal] = field(init=False)
    positions: dict[str, Position] = field(default_factory=dict)

    @classmethod
    def of(cls, opening: OpeningAccount, symbols: Sequence[str]) -> "Ledger":
        """Returns the ledger of an account that trades these symbols, in lane order."""
        currencies = opening.currencies
        quotes = {} if currencies.single else dict(zip(symbols, currencies.quotes, strict=True))
        return cls(opening.cash, currencies.reporting, opening.balances, quotes)

    def __post_init__(self) -> None:
        self.balances = {self.currency: self.initial_cash, **self.initial_balances}
        self.fees_by_currency, self.adjustments_by_currency = {self.currency: ZERO}, {self.currency: ZERO}

    @property
    def cash(self) -> Decimal:
        """The cash in the reporting currency."""
        return self.balances[self.currency]

    @property
    def fees(self) -> Decimal:
        """The fees that were paid in the reporting currency."""
        return self.fees_by_currency[self.currency]

    @property
    def adjustments(self) -> Decimal:
        """The adjustments in the reporting currency."""
        return self.adjustments_by_currency[self.currency]

    def quote_currency(self, symbol: str) -> str:
        """The currency in which a symbol is bought and sold."""
        return self.quotes.get(symbol, self.currency)

    def position(self, symbol: str) -> Position:
        """The position in `symbol`; a flat one if it was never traded."""
        position = self.positions.get(symbol)
        if position is None:
            position = self.positions[symbol] = Position()
        return position

    def book_fill(
        self,
        symbol: str,
        side: Side,
        quantity: Decimal,
        price: Decimal,
        fee: Decimal,
        fee_currency: str | None = None,
    ) -> Decimal:
        """Books one fill; returns the P&L that it realized, before fees.

        The fee is in the quote currency if `fee_currency` is None. A quantity that exceeds the position opens
        one on the other side. The ledger refuses no fill, because the venue's fills are real whether they were
        intended or not.
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
        quote = self.quotes.get(symbol, self.currency)
        _add(self.balances, quote, notional.copy_negate() if buys else notional)
        paid_in = quote if fee_currency is None else fee_currency
        _add(self.fees_by_currency, paid_in, fee)
        _add(self.balances, paid_in, fee.copy_negate())
        return realized

    def adjust_position(self, symbol: str, quantity: Decimal, price: Decimal) -> None:
        """Books a position difference that no fill explains, at `price`, without moving cash."""
        position = self.position(symbol)
        cost = multiply(quantity, price)
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
        _add(self.adjustments_by_currency, self.quote_currency(symbol), cost)

    def adjust_cash(self, amount: Decimal, currency: str | None = None) -> None:
        """Books a cash difference that no fill explains; in the reporting currency if `currency` is None."""
        currency = self.currency if currency is None else currency
        _add(self.balances, currency, amount)
        _add(self.adjustments_by_currency, currency, amount)

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


def _add(amounts: dict[str, Decimal], currency: str, amount: Decimal) -> None:
    amounts[currency] = add(amounts.get(currency, ZERO), amount)

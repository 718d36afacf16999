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
class CashBook:
    """The cash, the fees and the adjustments of an account in one currency."""

    cash: Decimal = ZERO
    fees: Decimal = ZERO
    adjustments: Decimal = ZERO


@dataclass(slots=True)
class Ledger:
    """The ledger of one account: cash, fees, positions and P&L.

    Invariants of each currency: cash = initial - bought + sold - fees + cash adjustments; and with the positions
    that are quoted in it, equity = initial + realized + unrealized - fees + adjustments. A short position has a
    negative quantity and a negative cost, which is the proceeds of its sale.

    `cash`, `fees` and `adjustments` are in the reporting `currency`; `others` has the books of the others, and
    `quotes` the symbols that are quoted in another. `adjustments` sum what no fill explains at its cost. `realized`
    sums the P&L of all fills, each in the quote currency of its symbol.
    """

    initial_cash: Decimal
    currency: str = ""
    initial_balances: Mapping[str, Decimal] = field(default_factory=dict)
    quotes: Mapping[str, str] = field(default_factory=dict)
    cash: Decimal = field(init=False)
    fees: Decimal = ZERO
    realized: Decimal = ZERO
    adjustments: Decimal = ZERO
    others: dict[str, CashBook] = field(init=False)
    positions: dict[str, Position] = field(default_factory=dict)

    @classmethod
    def of(cls, opening: OpeningAccount, symbols: Sequence[str]) -> "Ledger":
        """Returns the ledger of an account that trades these symbols, in lane order."""
        reporting, pairs = opening.currencies.reporting, zip(symbols, opening.currencies.quotes, strict=True)
        quotes = {symbol: quote for symbol, quote in pairs if quote != reporting}
        return cls(opening.cash, reporting, opening.balances, quotes)

    def __post_init__(self) -> None:
        self.cash = self.initial_cash
        self.others = {name: CashBook(amount) for name, amount in self.initial_balances.items()}

    @property
    def books(self) -> "dict[str, Ledger | CashBook]":
        """The book of each currency; that of the reporting one is the ledger itself."""
        return {self.currency: self, **self.others}

    @property
    def balances(self) -> dict[str, Decimal]:
        """The cash by currency."""
        return {name: book.cash for name, book in self.books.items()}

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
        quote = self.quotes.get(symbol)
        paid_in = quote if fee_currency is None else fee_currency
        book, fee_book = (
            self if quote is None else self._book(quote),
            self if paid_in is None else self._book(paid_in),
        )
        book.cash = subtract(book.cash, notional) if buys else add(book.cash, notional)
        fee_book.fees = add(fee_book.fees, fee)
        fee_book.cash = subtract(fee_book.cash, fee)
        return realized

    def _book(self, currency: str) -> "Ledger | CashBook":
        return self if currency == self.currency else self.others.setdefault(currency, CashBook())

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
        book = self._book(self.quote_currency(symbol))
        book.adjustments = add(book.adjustments, cost)

    def adjust_cash(self, amount: Decimal, currency: str | None = None) -> None:
        """Books a cash difference that no fill explains; in the reporting currency if `currency` is None."""
        book = self if currency is None else self._book(currency)
        book.cash = add(book.cash, amount)
        book.adjustments = add(book.adjustments, amount)

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

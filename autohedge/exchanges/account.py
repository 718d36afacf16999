"""The account at the simulated venue: cash per currency, positions, and what fees are paid in."""

from collections.abc import Sequence
from decimal import Decimal

from autohedge.core.accounts import OpeningAccount, QuoteOf, Rates
from autohedge.core.events import AccountState
from autohedge.core.ids import DEFAULT_IDS, RunIds
from autohedge.core.money import ZERO, add, divide, multiply, subtract


class VenueAccount:
    """What one account holds at the venue, which trades these symbols in lane order.

    Fees are paid in `fee_currency` at the mid of its symbol, while there is enough of it and a quote of its
    price; else, and by default, in the quote currency of the symbol that was traded.
    """

    def __init__(
        self,
        opening: OpeningAccount,
        fee_currency: str,
        symbols: Sequence[str],
        quote_of: QuoteOf,
        ids: RunIds = DEFAULT_IDS,
    ) -> None:
        self._names = ids.venue, ids.account
        currencies = opening.currencies
        self.balances = opening.amounts
        self.positions: dict[str, Decimal] = {}
        self._currency = currencies.reporting
        self._quotes = {} if currencies.single else dict(zip(symbols, currencies.quotes, strict=True))
        self._rates = Rates(currencies, quote_of)
        self._fee_currency = fee_currency

    @property
    def cash(self) -> Decimal:
        """The cash in the reporting currency."""
        return self.balances[self._currency]

    @property
    def other_balances(self) -> dict[str, Decimal]:
        """The cash in the other currencies."""
        return {name: amount for name, amount in self.balances.items() if name != self._currency}

    @property
    def held(self) -> dict[str, Decimal]:
        """The positions that are not zero."""
        return {symbol: quantity for symbol, quantity in self.positions.items() if quantity}

    def state(self, now_ns: int, asked_ns: int) -> AccountState:
        """Returns the account as a venue reports it."""
        return AccountState(now_ns, asked_ns, self.cash, self.held, self.other_balances, *self._names)

    def book_fill(
        self, symbol: str, quantity: Decimal, cost: Decimal, fee: Decimal
    ) -> tuple[Decimal, str | None]:
        """Buys a quantity for its cost, or sells one, both negative; then takes the fee as `pay_fee` does."""
        self.positions[symbol] = add(self.positions.get(symbol, ZERO), quantity)
        currency = self._quote(symbol)
        left = subtract(self.balances.get(currency, ZERO), cost)
        if self._fee_currency:
            self.balances[currency] = left
            return self.pay_fee(symbol, fee)
        self.balances[currency] = subtract(left, fee)
        return fee, None

    def pay_fee(self, symbol: str, fee: Decimal) -> tuple[Decimal, str | None]:
        """Takes a fee in the quote currency of a symbol; returns what was paid, and in which other currency."""
        paid, currency = self._in_fee_currency(symbol, fee)
        self.deposit(paid.copy_negate(), currency or self._quote(symbol))
        return paid, currency

    def refund_fee(self, symbol: str, fee: Decimal, currency: str | None) -> None:
        """Gives back what `pay_fee` took."""
        self.deposit(fee, currency or self._quote(symbol))

    def move(self, symbol: str, quantity: Decimal, price: Decimal) -> None:
        """Buys a quantity, or sells a negative one."""
        self.positions[symbol] = add(self.positions.get(symbol, ZERO), quantity)
        self.deposit(multiply(quantity, price).copy_negate(), self._quote(symbol))

    def deposit(self, amount: Decimal, currency: str | None = None) -> None:
        """Adds money, or takes a negative amount away; in the reporting currency if `currency` is None."""
        currency = self._currency if currency is None else currency
        self.balances[currency] = add(self.balances.get(currency, ZERO), amount)

    def _quote(self, symbol: str) -> str:
        return self._quotes.get(symbol, self._currency)

    def _in_fee_currency(self, symbol: str, fee: Decimal) -> tuple[Decimal, str | None]:
        quote, currency = self._quote(symbol), self._fee_currency
        if currency in ("", quote):
            return fee, None
        rate, fee_rate = self._rates.rate(quote), self._rates.rate(currency)
        if rate is None or fee_rate is None:
            return fee, None
        paid = divide(multiply(fee, rate), fee_rate)
        enough = paid <= self.balances.get(currency, ZERO)
        return (paid, currency) if enough else (fee, None)

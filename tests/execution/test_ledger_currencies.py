"""The ledger of an account in several currencies: each of them adds up by itself."""

from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from autohedge.core.orders import BUY, SELL, Side
from autohedge.execution.ledger import CashBook, Ledger

D = Decimal
QUOTES = {"ETH/BTC": "BTC", "ETH/EUR": "EUR"}  # BTC/USD is in the reporting currency
SYMBOLS = ("BTC/USD", *QUOTES)
CURRENCIES = ("USD", "BTC", "EUR", "BNB")


class _Fill(NamedTuple):
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    fee: Decimal
    fee_currency: str | None


class _Transfer(NamedTuple):
    currency: str
    amount: Decimal


def _decimals(least: int, most: int) -> st.SearchStrategy[Decimal]:
    return st.integers(least, most).map(lambda n: Decimal(n).scaleb(-6))


FILLS = st.builds(
    _Fill,
    st.sampled_from(SYMBOLS),
    st.sampled_from(Side),
    _decimals(1, 10**8),
    _decimals(1, 10**10),
    _decimals(0, 10**6),
    st.sampled_from([None, "USD", "BNB", "BTC"]),
)
TRANSFERS = st.builds(_Transfer, st.sampled_from(CURRENCIES), _decimals(-(10**9), 10**9))
HISTORIES = st.lists(FILLS | TRANSFERS, max_size=20)


def _ledger() -> Ledger:
    return Ledger(D(10_000), "USD", {"BTC": D("0.5"), "EUR": D(300)}, QUOTES)


def _booked(history: list[_Fill | _Transfer]) -> Ledger:
    ledger = _ledger()
    for each in history:
        if isinstance(each, _Fill):
            ledger.book_fill(*each)
        else:
            ledger.adjust_cash(each.amount, each.currency)
    return ledger


def _book(ledger: Ledger, currency: str) -> Ledger | CashBook:
    return ledger.books.get(currency, CashBook())


def _quote(fill: _Fill) -> str:
    return QUOTES.get(fill.symbol, "USD")


def _signed(fill: _Fill) -> Fraction:
    return Fraction(fill.quantity) * (1 if fill.side is BUY else -1)


def _fees(fills: list[_Fill], currency: str) -> Fraction:
    paid = (fill.fee for fill in fills if (fill.fee_currency or _quote(fill)) == currency)
    return sum(map(Fraction, paid), Fraction(0))


@settings(max_examples=30, deadline=None)
@given(HISTORIES)
def test_cash_and_fees_of_each_currency_add_up(history: list[_Fill | _Transfer]) -> None:
    ledger, fills = _booked(history), [each for each in history if isinstance(each, _Fill)]
    moved = [each for each in history if isinstance(each, _Transfer)]
    for currency in CURRENCIES:
        spent = sum(_signed(each) * Fraction(each.price) for each in fills if _quote(each) == currency)
        given_ = sum((Fraction(each.amount) for each in moved if each.currency == currency), Fraction(0))
        fees, initial = _fees(fills, currency), _ledger().balances.get(currency, D(0))
        assert Fraction(ledger.balances.get(currency, D(0))) == Fraction(initial) - spent - fees + given_
        assert Fraction(_book(ledger, currency).fees) == fees
        assert Fraction(_book(ledger, currency).adjustments) == given_


@settings(max_examples=30, deadline=None)
@given(HISTORIES)
def test_position_is_the_sum_of_its_signed_fills(history: list[_Fill | _Transfer]) -> None:
    ledger = _booked(history)
    for symbol in SYMBOLS:
        fills = (each for each in history if isinstance(each, _Fill) and each.symbol == symbol)
        assert Fraction(ledger.position(symbol).quantity) == sum(map(_signed, fills), Fraction(0))


@settings(max_examples=30, deadline=None)
@given(HISTORIES)
def test_cash_and_costs_of_each_currency_are_what_was_earned_in_it(history: list[_Fill | _Transfer]) -> None:
    ledger = _booked(history)
    for currency in CURRENCIES:
        positions = [
            each for symbol, each in ledger.positions.items() if ledger.quote_currency(symbol) == currency
        ]
        invested = sum((Fraction(each.cost) for each in positions), Fraction(0))
        realized = sum((Fraction(each.realized) for each in positions), Fraction(0))
        initial = Fraction(_ledger().balances.get(currency, D(0)))
        fees = Fraction(_book(ledger, currency).fees)
        adjusted = Fraction(_book(ledger, currency).adjustments)
        owned = Fraction(ledger.balances.get(currency, D(0))) + invested
        assert owned == initial + realized - fees + adjusted


def test_fill_moves_its_quote_currency_and_the_fee_its_own() -> None:
    ledger = _ledger()
    ledger.book_fill("ETH/BTC", BUY, D(2), D("0.05"), D("0.01"), "BNB")
    ledger.book_fill("ETH/BTC", SELL, D(1), D("0.06"), D("0.0001"))
    assert ledger.balances == {"USD": D(10_000), "BTC": D("0.4599"), "EUR": D(300), "BNB": D("-0.01")}
    fees = {name: book.fees for name, book in ledger.books.items() if book.fees}
    assert fees == {"BNB": D("0.01"), "BTC": D("0.0001")}
    assert (ledger.cash, ledger.fees, ledger.realized) == (D(10_000), D(0), D("0.01"))


def test_adjusted_position_counts_in_its_quote_currency() -> None:
    ledger = _ledger()
    ledger.adjust_position("ETH/EUR", D(2), D(50))
    assert (ledger.adjustments, ledger.others["EUR"].adjustments) == (D(0), D(100))
    assert ledger.balances["EUR"] == 300

"""The books: cash, positions and results add up to the last decimal, whatever was traded."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from autohedge.core.errors import Unexplained
from autohedge.core.orders import Side
from autohedge.execution.ledger import Ledger, Position

D = Decimal
Trade = tuple[str, Side, Decimal, Decimal, Decimal]


def _decimals(least: int, most: int, places: int) -> st.SearchStrategy[Decimal]:
    return st.integers(least, most).map(lambda n: Decimal(n).scaleb(-places))


@st.composite
def histories(draw: st.DrawFn) -> list[Trade]:
    """Buys and sells in two symbols that never sell more than is held."""
    held = {"A": D(0), "B": D(0)}
    trades = []
    for _ in range(draw(st.integers(1, 25))):
        symbol = draw(st.sampled_from("AB"))
        price = draw(_decimals(1, 10**9, 4))
        sells = held[symbol] > 0 and draw(st.booleans())
        most = int(held[symbol].scaleb(6)) if sells else 10**9
        quantity = held[symbol] if sells and draw(st.booleans()) else draw(_decimals(1, most, 6))
        held[symbol] += -quantity if sells else quantity
        fee = draw(_decimals(0, 10**6, 8))
        trades.append((symbol, Side.SELL if sells else Side.BUY, quantity, price, fee))
    return trades


def _booked(trades: list[Trade]) -> Ledger:
    ledger = Ledger(D(10_000))
    for trade in trades:
        ledger.book(*trade)
    return ledger


def _signed(trade: Trade) -> Fraction:
    return Fraction(trade[2]) * (1 if trade[1] is Side.BUY else -1)


@budget(max_examples=30)
@given(histories())
def test_cash_is_what_was_there_less_bought_plus_sold_less_fees(trades: list[Trade]) -> None:
    ledger = _booked(trades)
    spent = sum(_signed(trade) * Fraction(trade[3]) for trade in trades)
    fees = sum(Fraction(trade[4]) for trade in trades)
    assert Fraction(ledger.fees) == fees
    assert Fraction(ledger.cash) == 10_000 - spent - fees


@budget(max_examples=30)
@given(histories())
def test_a_position_is_the_sum_of_its_fills(trades: list[Trade]) -> None:
    ledger = _booked(trades)
    for symbol in "AB":
        held = sum(_signed(trade) for trade in trades if trade[0] == symbol)
        assert Fraction(ledger.position(symbol).quantity) == held >= 0


@budget(max_examples=30)
@given(histories(), _decimals(1, 10**9, 4), _decimals(1, 10**9, 4))
def test_results_equal_the_change_of_equity(trades: list[Trade], mark_a: Decimal, mark_b: Decimal) -> None:
    ledger = _booked(trades)
    marks = {"A": Fraction(mark_a), "B": Fraction(mark_b)}
    positions = {symbol: ledger.position(symbol) for symbol in marks}
    worth = sum(Fraction(p.quantity) * marks[symbol] for symbol, p in positions.items())
    unrealized = worth - sum(Fraction(p.cost) for p in positions.values())
    equity = Fraction(ledger.cash) + worth
    assert Fraction(ledger.realized) + unrealized == equity - 10_000 + Fraction(ledger.fees)
    assert Fraction(ledger.realized) == sum(Fraction(p.realized) for p in positions.values())


@budget(max_examples=30)
@given(histories())
def test_a_flat_position_has_no_cost_left(trades: list[Trade]) -> None:
    ledger = _booked(trades)
    for symbol in "AB":
        position = ledger.position(symbol)
        if position.quantity:
            ledger.book(symbol, Side.SELL, position.quantity, D(7), D(0))
        assert position.quantity == position.cost == 0


def test_a_partial_close_takes_its_share_of_the_cost_and_leaves_the_rest() -> None:
    ledger = _booked([("A", Side.BUY, D(1), D(100), D("0.1")), ("A", Side.BUY, D(2), D(130), D("0.26"))])
    assert ledger.position("A") == Position(D(3), D(360))
    assert ledger.book("A", Side.SELL, D(1), D(150), D("0.15")) == 30
    assert ledger.position("A") == Position(D(2), D(240), D(30))
    assert ledger.book("A", Side.SELL, D(2), D(110), D("0.22")) == -20
    assert ledger.position("A") == Position(D(0), D(0), D(10))
    assert (ledger.realized, ledger.fees, ledger.cash) == (D(10), D("0.73"), D("10009.27"))


def test_a_share_that_cannot_be_written_is_rounded_once_and_the_remainder_stays() -> None:
    ledger = _booked([("A", Side.BUY, D(3), D(100) / 3, D(0))])
    cost = ledger.position("A").cost
    ledger.book("A", Side.SELL, D(1), D(40), D(0))
    share = D("33." + "3" * 26)
    assert ledger.position("A").cost == cost - share
    ledger.book("A", Side.SELL, D(1), D(40), D(0))
    ledger.book("A", Side.SELL, D(1), D(40), D(0))
    assert ledger.realized == D(120) - cost


@pytest.mark.parametrize("quantity", ["1.000001", "5"])
def test_selling_more_than_is_held_is_refused_and_changes_nothing(quantity: str) -> None:
    ledger = _booked([("A", Side.BUY, D(1), D(100), D("0.1"))])
    with pytest.raises(Unexplained, match=f"A: a fill sells {quantity}, but only 1 is held"):
        ledger.book("A", Side.SELL, D(quantity), D(100), D("0.1"))
    assert ledger.position("A") == Position(D(1), D(100))
    assert (ledger.cash, ledger.fees, ledger.realized) == (D("9899.9"), D("0.1"), D(0))


def test_what_was_never_traded_cannot_be_sold() -> None:
    with pytest.raises(Unexplained):
        Ledger(D(1)).book("B", Side.SELL, D(1), D(1), D(0))


def test_one_symbols_trades_leave_the_others_alone() -> None:
    ledger = _booked([("A", Side.BUY, D(1), D(5), D(0)), ("B", Side.BUY, D(2), D(7), D(0))])
    assert ledger.position("A") == Position(D(1), D(5))
    assert ledger.position("B") == Position(D(2), D(14))
    assert ledger.position("C") == Position()

"""The ledger: cash, positions and P&L add up exactly, whatever was traded."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from autohedge.core.orders import Side
from autohedge.execution.ledger import Ledger, Position

D = Decimal
Trade = tuple[str, Side, Decimal, Decimal, Decimal]


def _decimals(least: int, most: int, places: int) -> st.SearchStrategy[Decimal]:
    return st.integers(least, most).map(lambda n: Decimal(n).scaleb(-places))


@st.composite
def histories(draw: st.DrawFn) -> list[Trade]:
    """Buys and sells in two symbols, long and short; some close a position, some bust a trade."""
    held = {"A": D(0), "B": D(0)}
    trades: list[Trade] = []
    for _ in range(draw(st.integers(1, 25))):
        symbol = draw(st.sampled_from("AB"))
        if trades and draw(st.integers(0, 5)) == 0:
            trade = _busted(draw(st.sampled_from(trades)))
        else:
            closes = held[symbol] and draw(st.booleans())
            side = draw(st.sampled_from(Side)) if not closes else _closing(held[symbol])
            most = draw(st.sampled_from([D(0), abs(held[symbol])]))
            quantity = most if closes and most else draw(_decimals(1, 10**9, 6))
            price = draw(_decimals(1, 10**9, 4))
            trade = (symbol, side, quantity, price, draw(_decimals(0, 10**6, 8)))
        held[trade[0]] += trade[2] * (1 if trade[1] is Side.BUY else -1)
        trades.append(trade)
    return trades


def _closing(held: Decimal) -> Side:
    return Side.SELL if held > 0 else Side.BUY


def _busted(trade: Trade) -> Trade:
    """The reversal of a busted trade."""
    symbol, side, quantity, price, fee = trade
    return symbol, Side.SELL if side is Side.BUY else Side.BUY, quantity, price, -fee


def _booked(trades: list[Trade]) -> Ledger:
    ledger = Ledger(D(10_000))
    for trade in trades:
        ledger.book_fill(*trade)
    return ledger


def _signed(trade: Trade) -> Fraction:
    return Fraction(trade[2]) * (1 if trade[1] is Side.BUY else -1)


@budget(max_examples=30, deadline=None)
@given(histories())
def test_cash_is_what_was_there_less_bought_plus_sold_less_fees(trades: list[Trade]) -> None:
    ledger = _booked(trades)
    spent = sum(_signed(trade) * Fraction(trade[3]) for trade in trades)
    fees = sum(Fraction(trade[4]) for trade in trades)
    assert Fraction(ledger.fees) == fees
    assert Fraction(ledger.cash) == 10_000 - spent - fees


@budget(max_examples=30, deadline=None)
@given(histories())
def test_a_position_is_the_sum_of_its_fills(trades: list[Trade]) -> None:
    ledger = _booked(trades)
    for symbol in "AB":
        held = sum(_signed(trade) for trade in trades if trade[0] == symbol)
        assert Fraction(ledger.position(symbol).quantity) == held


@budget(max_examples=30, deadline=None)
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


@budget(max_examples=30, deadline=None)
@given(histories())
def test_a_flat_position_has_no_cost_left(trades: list[Trade]) -> None:
    ledger = _booked(trades)
    for symbol in "AB":
        position = ledger.position(symbol)
        if position.quantity:
            ledger.book_fill(symbol, _closing(position.quantity), abs(position.quantity), D(7), D(0))
        assert position.quantity == position.cost == 0


def test_a_partial_close_takes_its_share_of_the_cost_and_leaves_the_rest() -> None:
    ledger = _booked([("A", Side.BUY, D(1), D(100), D("0.1")), ("A", Side.BUY, D(2), D(130), D("0.26"))])
    assert ledger.position("A") == Position(D(3), D(360))
    assert ledger.book_fill("A", Side.SELL, D(1), D(150), D("0.15")) == 30
    assert ledger.position("A") == Position(D(2), D(240), D(30))
    assert ledger.book_fill("A", Side.SELL, D(2), D(110), D("0.22")) == -20
    assert ledger.position("A") == Position(D(0), D(0), D(10))
    assert (ledger.realized, ledger.fees, ledger.cash) == (D(10), D("0.73"), D("10009.27"))


def test_inexact_cost_share_is_rounded_once_and_the_rest_remains() -> None:
    ledger = _booked([("A", Side.BUY, D(3), D(100) / 3, D(0))])
    cost = ledger.position("A").cost
    ledger.book_fill("A", Side.SELL, D(1), D(40), D(0))
    share = D("33." + "3" * 26)
    assert ledger.position("A").cost == cost - share
    ledger.book_fill("A", Side.SELL, D(1), D(40), D(0))
    ledger.book_fill("A", Side.SELL, D(1), D(40), D(0))
    assert ledger.realized == D(120) - cost


def test_sell_beyond_position_opens_short_and_buy_closes_it() -> None:
    ledger = _booked([("A", Side.BUY, D(1), D(100), D("0.1"))])
    assert ledger.book_fill("A", Side.SELL, D(3), D(110), D("0.3")) == 10
    assert ledger.position("A") == Position(D(-2), D(-220), D(10))
    assert ledger.book_fill("A", Side.BUY, D(1), D(90), D(0)) == 20
    assert ledger.position("A") == Position(D(-1), D(-110), D(30))
    assert ledger.book_fill("A", Side.BUY, D(3), D(120), D(0)) == -10
    assert ledger.position("A") == Position(D(2), D(240), D(20))
    assert ledger.cash == D(10_000) - 100 + 330 - 90 - 360 - D("0.4")


def test_short_opened_by_excess_sell_is_rounded_once_without_loss() -> None:
    ledger = _booked([("A", Side.BUY, D(1), D(100), D(0))])
    ledger.book_fill("A", Side.SELL, D(7), D(1) / 3, D(0))
    position = ledger.position("A")
    assert position.quantity == -6
    assert Fraction(ledger.cash) + Fraction(position.cost) == 10_000 + Fraction(ledger.realized)
    assert len(position.cost.as_tuple().digits) == 28


@budget(max_examples=30, deadline=None)
@given(histories(), st.data())
def test_busted_trade_restores_cash_fees_and_quantity(trades: list[Trade], data: st.DataObject) -> None:
    busted = data.draw(st.integers(0, len(trades) - 1))
    with_bust = _booked([*trades, _busted(trades[busted])])
    without = _booked(trades[:busted] + trades[busted + 1 :])
    assert (with_bust.cash, with_bust.fees) == (without.cash, without.fees)
    for symbol in "AB":
        assert with_bust.position(symbol).quantity == without.position(symbol).quantity


def test_busted_entry_restores_the_initial_ledger() -> None:
    trade = ("A", Side.BUY, D(1) / 3, D(100) / 7, D("0.1"))
    ledger = _booked([trade, _busted(trade)])
    assert ledger.position("A") == Position()
    assert (ledger.cash, ledger.fees, ledger.realized) == (D(10_000), D(0), D(0))


Taken = tuple[str, Decimal, Decimal]


@budget(max_examples=30, deadline=None)
@given(
    histories(),
    st.lists(
        st.tuples(st.sampled_from("AB"), _decimals(-(10**9), 10**9, 6), _decimals(0, 10**9, 4)), max_size=4
    ),
    _decimals(-(10**9), 10**9, 4),
    histories(),
)
def test_external_adjustments_change_equity_but_not_results(
    before: list[Trade], taken: list[Taken], money: Decimal, afterwards: list[Trade]
) -> None:
    ledger = _booked(before)
    results, fees, cash = ledger.realized, ledger.fees, ledger.cash
    held = {symbol: ledger.position(symbol).quantity for symbol in "AB"}
    for symbol, quantity, price in taken:
        ledger.adjust_position(symbol, quantity, price)
        held[symbol] += quantity
    ledger.adjust_cash(money)
    assert (ledger.realized, ledger.fees, ledger.cash) == (results, fees, cash + money)
    assert held == {symbol: ledger.position(symbol).quantity for symbol in "AB"}
    for trade in afterwards:
        ledger.book_fill(*trade)
    invested = sum(Fraction(position.cost) for position in ledger.positions.values())
    explained = 10_000 + Fraction(ledger.realized) - Fraction(ledger.fees) + Fraction(ledger.adjustments)
    assert Fraction(ledger.cash) + invested == explained
    assert all(position.quantity or not position.cost for position in ledger.positions.values())


# The quantity held first, the adjustment at 50, and the cost after it.
TAKEN = [("0", "2", "100"), ("2", "2", "300"), ("2", "-1", "100"), ("2", "-2", "0"), ("2", "-3", "-50")]


@pytest.mark.parametrize(("held", "taken", "cost"), TAKEN)
def test_position_adjustment_up_costs_given_price_down_own_cost(held: str, taken: str, cost: str) -> None:
    ledger = Ledger(D(10_000))
    if D(held):
        ledger.book_fill("A", Side.BUY, D(held), D(100), D(0))
    invested = ledger.position("A").cost
    ledger.adjust_position("A", D(taken), D(50))
    assert ledger.position("A") == Position(D(held) + D(taken), D(cost))
    assert ledger.adjustments == D(cost) - invested


def test_one_symbols_trades_leave_the_others_alone() -> None:
    ledger = _booked([("A", Side.BUY, D(1), D(5), D(0)), ("B", Side.BUY, D(2), D(7), D(0))])
    assert ledger.position("A") == Position(D(1), D(5))
    assert ledger.position("B") == Position(D(2), D(14))
    assert ledger.position("C") == Position()

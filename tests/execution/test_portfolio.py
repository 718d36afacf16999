"""The portfolio: what a booking changes, and two views of equity that agree."""

from decimal import Decimal
from functools import reduce

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from autohedge.core.money import add
from autohedge.core.orders import BUY, SELL
from autohedge.execution.ledger import Ledger
from autohedge.execution.market_view import MarketView
from autohedge.execution.orders import Trade
from autohedge.execution.portfolio import Portfolio
from autohedge.kernels.state import new_states, state_dtype

D = Decimal
PRICES = st.integers(1, 10**6).map(lambda cents: D(cents).scaleb(-2))


def _portfolio(bids: list[Decimal], *, covered: bool = False) -> Portfolio:
    lanes = new_states(state_dtype([]), len(bids))
    lanes["bid"], lanes["ask"] = [float(bid) for bid in bids], [float(add(bid, D(1))) for bid in bids]
    symbols = [f"S{lane}" for lane in range(len(bids))]
    return Portfolio(Ledger(D(1_000_000)), symbols, MarketView(lanes), covered=covered)


def test_booking_returns_the_account_after_it() -> None:
    portfolio = _portfolio([D(100)])
    bought = portfolio.book(0, BUY, Trade(D(2), D(100), D(1)), 7)
    assert bought.ts_ns == 7 and bought.grew
    assert [bought.held, bought.cost, bought.cash] == [2, 200, 999_799]
    sold = portfolio.book(0, SELL, Trade(D(2), D(110), D(1)), 8)
    assert not sold.grew
    assert [sold.realized, sold.total_realized, sold.held, sold.cash] == [20, 20, 0, 1_000_018]
    assert portfolio.holding == 0 and portfolio.held[0] == 0.0


def test_reversed_fill_restores_cash_and_position() -> None:
    portfolio = _portfolio([D(100)])
    portfolio.book(0, BUY, Trade(D(2), D(100), D(1)), 7)
    change = portfolio.book(0, SELL, Trade(D(2), D(100), D(-1)), 7)
    assert [change.held, change.cash, portfolio.holding] == [0, 1_000_000, 0]


@settings(deadline=None)
@given(
    fills=st.lists(st.tuples(st.integers(0, 2), st.sampled_from([BUY, SELL]), st.integers(1, 50), PRICES)),
    bids=st.lists(PRICES, min_size=3, max_size=3),
)
def test_equity_of_limits_equals_that_of_the_books(
    fills: list[tuple[int, object, int, Decimal]], bids: list[Decimal]
) -> None:
    portfolio = _portfolio(bids)
    for lane, side, quantity, price in fills:
        portfolio.book(lane, side, Trade(D(quantity), price, D(0)), 0)  # type: ignore[arg-type]
    invested = reduce(add, (each.cost for each in portfolio.ledger.positions.values()), D(0))
    exact = add(add(portfolio.ledger.cash, portfolio.unrealized()), invested)
    assert portfolio.exact_equity() == exact
    assert np.isclose(float(portfolio.equity()), float(exact), rtol=1e-9, atol=1e-6)
    assert portfolio.holding == sum(map(bool, portfolio.held))


def test_position_without_a_quote_is_worth_its_cost() -> None:
    portfolio = _portfolio([D(100), D(1)])
    portfolio.market.bids[1] = np.nan
    portfolio.book(0, BUY, Trade(D(2), D(90), D(0)), 0)
    portfolio.book(1, BUY, Trade(D(3), D(10), D(0)), 0)
    assert portfolio.position_value(1) == 30
    assert list(portfolio.holdings_value()) == [230, 230]
    assert portfolio.equity() == portfolio.exact_equity() == 1_000_020


def test_value_of_a_lane_without_a_position_needs_no_quote() -> None:
    portfolio = _portfolio([D(100), D(1)])
    portfolio.market.bids[1] = np.nan
    portfolio.book(0, BUY, Trade(D(2), D(90), D(0)), 0)
    assert [portfolio.position_value(lane) for lane in (0, 1)] == [200, 0]
    assert list(portfolio.holdings_value()) == [200, 200]


def test_a_long_is_worth_its_bid_and_a_short_its_ask() -> None:
    portfolio = _portfolio([D(100), D(50)])
    portfolio.book(0, BUY, Trade(D(2), D(90), D(0)), 0)
    portfolio.book(1, SELL, Trade(D(4), D(60), D(0)), 0)
    assert [portfolio.position_value(lane) for lane in (0, 1)] == [200, 204]
    assert list(portfolio.holdings_value()) == [-4, 404]
    assert portfolio.unrealized() == 20 + 36
    assert portfolio.equity() == portfolio.exact_equity() == 1_000_056


def test_a_position_grows_on_its_own_side_only() -> None:
    portfolio = _portfolio([D(100)], covered=True)
    sides = [(SELL, 2), (SELL, 1), (BUY, 1), (BUY, 2), (BUY, 1), (SELL, 2), (BUY, 2)]
    changes = [portfolio.book(0, side, Trade(D(n), D(100), D(0)), 0) for side, n in sides]
    assert [int(change.held) for change in changes] == [-2, -3, -2, 0, 1, -1, 1]
    assert [change.grew for change in changes] == [True, True, False, False, True, True, True]


def test_only_a_covered_account_manages_a_short() -> None:
    for covered in (False, True):
        portfolio = _portfolio([D(100), D(1)], covered=covered)
        assert not portfolio.is_open(0)
        portfolio.book(0, BUY, Trade(D(2), D(90), D(0)), 0)
        portfolio.book(1, SELL, Trade(D(2), D(90), D(0)), 0)
        assert [portfolio.is_open(lane) for lane in (0, 1)] == [True, covered]


def test_power_of_a_covered_account_is_equity_less_exposure_and_reserved() -> None:
    cash, covered = (_portfolio([D(100), D(50)], covered=kind) for kind in (False, True))
    for portfolio in (cash, covered):
        portfolio.book(0, BUY, Trade(D(2), D(90), D(1)), 0)
    assert cash.buying_power(D(30)) == covered.buying_power(D(30)) == 1_000_000 - 181 - 30
    covered.book(1, SELL, Trade(D(4), D(60), D(1)), 0)
    # Equity: 1 000 000 - 2 of fees + 20 - 4 * 51 + 240; exposure: 200 + 204.
    assert covered.buying_power(D(30)) == 1_000_054 - 404 - 30

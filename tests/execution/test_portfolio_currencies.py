"""The portfolio of an account in several currencies: what limits and results see is in the reporting one."""

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autohedge.core.accounts import OpeningAccount, currencies_of
from autohedge.core.instruments import Instrument, split_symbol
from autohedge.core.money import add, subtract
from autohedge.core.orders import BUY, SELL
from autohedge.execution.ledger import Ledger
from autohedge.execution.market_view import MarketView
from autohedge.execution.orders import OrderManager, Trade
from autohedge.execution.portfolio import Portfolio
from autohedge.execution.stats import RunStats, trading_figures
from autohedge.kernels.state import new_states, state_dtype

D = Decimal
SYMBOLS = ["BTC/USD", "ETH/BTC", "BNB/USD"]
BTC, ETH, BNB = range(3)
NO_QUOTE = (np.nan, np.nan)


def _portfolio(*quotes: tuple[float, float], balances: dict[str, Decimal] | None = None) -> Portfolio:
    instruments = [
        Instrument(each, base=split_symbol(each)[0], quote=split_symbol(each)[1]) for each in SYMBOLS
    ]
    currencies = currencies_of(instruments, "USD", ["BNB"])
    opening = OpeningAccount(D(10_000), {"BTC": D(1)} if balances is None else balances, currencies)
    lanes = new_states(state_dtype([]), len(SYMBOLS))
    lanes["bid"], lanes["ask"] = zip(*quotes, strict=True)
    return Portfolio(Ledger.of(opening, SYMBOLS), SYMBOLS, MarketView(lanes), currencies)


def _quoted() -> Portfolio:
    return _portfolio((99.0, 101.0), (0.5, 0.6), (9.0, 11.0))


def test_booking_in_another_currency_has_its_balances_rate_and_fee() -> None:
    change = _quoted().book(ETH, BUY, Trade(D(1), D("0.6"), D("0.01"), "BNB"), 7)
    assert change.cash == 10_000 and change.balances == {"BTC": D("0.4"), "BNB": D("-0.01")}
    assert change.rate == 100 and change.fee == D("0.01") and change.fee_currency == "BNB"
    assert change.fee_in_quote == D("0.001")  # 0.01 BNB at 10 USD are 0.1 USD, and a BTC is worth 100


def test_booking_in_the_reporting_currency_has_only_the_balance_of_its_fee() -> None:
    portfolio = _quoted()
    plain = portfolio.book(BTC, BUY, Trade(D(1), D(101), D(2)), 7)
    assert (plain.balances, plain.rate, plain.quoted_fee) == (None, None, None)
    change = portfolio.book(BTC, BUY, Trade(D(1), D(101), D("0.2"), "BNB"), 7)
    assert (change.balances, change.rate, change.quoted_fee) == ({"BNB": D("-0.2")}, None, D(2))


def test_values_are_converted_at_the_mids() -> None:
    portfolio = _quoted()
    assert portfolio.equity() == portfolio.exact_equity() == 10_100
    portfolio.book(ETH, BUY, Trade(D(1), D("0.6"), D(0)), 7)
    assert portfolio.exact_equity() == 10_090  # 0.4 BTC in cash, and one ETH at the bid of 0.5 BTC
    assert float(portfolio.equity()) == pytest.approx(10_090)
    assert float(portfolio.position_value(ETH)) == pytest.approx(50)
    assert [float(each) for each in portfolio.holdings_value()] == pytest.approx([50, 50])


def test_no_entry_is_possible_before_what_is_held_has_a_rate() -> None:
    portfolio = _portfolio(NO_QUOTE, (0.5, 0.6), (9.0, 11.0))
    assert not any(portfolio.can_enter(lane) for lane in (BTC, ETH, BNB))
    assert portfolio.equity() == portfolio.exact_equity() == 10_000
    portfolio.market.bids[BTC], portfolio.market.asks[BTC] = 99.0, 101.0
    assert all(portfolio.can_enter(lane) for lane in (BTC, ETH, BNB))


def test_without_balances_only_what_needs_the_rate_cannot_be_entered() -> None:
    portfolio = _portfolio(NO_QUOTE, (0.5, 0.6), (9.0, 11.0), balances={})
    assert [portfolio.can_enter(lane) for lane in (BTC, ETH, BNB)] == [True, False, True]


def test_day_starts_when_all_that_is_held_first_has_a_value() -> None:
    portfolio = _portfolio(NO_QUOTE, (0.5, 0.6), (9.0, 11.0))
    assert portfolio.day_start_equity() == 10_000
    portfolio.market.bids[BTC], portfolio.market.asks[BTC] = 99.0, 101.0
    assert portfolio.can_enter(ETH) and portfolio.day_start_equity() == 10_100
    portfolio.market.bids[BTC], portfolio.market.asks[BTC] = 49.0, 51.0
    assert portfolio.can_enter(ETH) and portfolio.day_start_equity() == 10_100
    assert portfolio.equity() == 10_050


def test_deposit_moves_the_equity_of_the_day_start_by_its_value() -> None:
    portfolio = _quoted()
    assert portfolio.can_enter(BTC)
    portfolio.adopt_cash("BTC", D("0.5"))
    portfolio.adopt_position(ETH, D(2), D("0.5"))
    assert portfolio.day_start_equity() == 10_250 == portfolio.exact_equity()


AMOUNTS = st.integers(1, 10**6).map(lambda n: D(n).scaleb(-4))


@settings(max_examples=30, deadline=None)
@given(
    fills=st.lists(
        st.tuples(
            st.integers(0, 2),
            st.sampled_from([BUY, SELL]),
            AMOUNTS,
            AMOUNTS,
            AMOUNTS,
            st.sampled_from([None, "BNB"]),
        ),
        max_size=12,
    ),
    bids=st.lists(st.integers(1, 10**6).map(lambda n: n / 1000), min_size=3, max_size=3),
)
def test_results_in_the_reporting_currency_add_up_exactly(
    fills: list[tuple[int, object, Decimal, Decimal, Decimal, str | None]], bids: list[float]
) -> None:
    portfolio = _portfolio(*((bid, bid) for bid in bids))
    for lane, side, quantity, price, fee, currency in fills:
        portfolio.book(lane, side, Trade(quantity, price, fee, currency), 0)  # type: ignore[arg-type]
    portfolio.adopt_cash("BNB", D(3))
    figures = trading_figures(portfolio, OrderManager(lambda _: None), RunStats(), {})
    gained = add(add(figures.realized_pnl, figures.unrealized_pnl), figures.external)
    assert figures.equity == subtract(add(figures.initial_cash, gained), figures.fees)
    assert float(portfolio.equity()) == pytest.approx(float(figures.equity), rel=1e-9, abs=1e-6)

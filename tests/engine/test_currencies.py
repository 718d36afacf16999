"""Runs of an account in several currencies: entries, limits, fees in a third asset, results and the record."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from autohedge.app import engine_for
from autohedge.config import Settings
from autohedge.core.events import ExecutionReport, FillBooked, SubmitOrder
from autohedge.core.money import add, subtract
from autohedge.core.orders import BUY
from autohedge.execution.equity_history import RecordedBookings
from autohedge.market import SyntheticSpec, Tape, synthesize
from autohedge.runtime.replay import replay
from tests.engine.batches import in_batches
from tests.run_harness import Played, columns_tape, play, settings

D = Decimal
SYMBOLS = ("BTC/USD", "ETH/BTC", "BNB/USD")
QUOTES = {"BTC/USD": "USD", "ETH/BTC": "BTC", "BNB/USD": "USD"}
ACCOUNT = {
    "account__currency": "USD",
    "account__balances": "{BTC = 1, BNB = 0.05}",
    "simulated__fee_currency": "BNB",
}
EAGER = {
    "momentum__evaluate_every_quotes": 1,
    "momentum__lookback": 1,
    "momentum__warmup_count": 0,
    "momentum__min_edge_bps": 10,
    "sizing__min_order_amount": 100,
    "sizing__max_order_amount": 100,
}


def _tape(*rows: tuple[str, float, float]) -> Tape:
    """A tape of quotes a second apart."""
    columns = {}
    for symbol in dict.fromkeys(symbol for symbol, _, _ in rows):
        own = [(second, bid, ask) for second, (name, bid, ask) in enumerate(rows, 1) if name == symbol]
        ts, bid, ask = (np.array(column) for column in zip(*own, strict=True))
        columns[symbol] = {"ts": ts * 1_000_000_000, "bid": bid, "ask": ask}
    return columns_tape(columns)


def _played(wanted: Settings, *rows: tuple[str, float, float]) -> Played:
    return play(wanted, _tape(*rows))


BTC, BNB = ("BTC/USD", 50_000.0, 50_010.0), ("BNB/USD", 500.0, 500.1)
ETH = [("ETH/BTC", 0.05, 0.0501), ("ETH/BTC", 0.051, 0.0511)]


def test_entry_is_sized_and_paid_in_its_quote_currency() -> None:
    played = _played(settings(**ACCOUNT | EAGER), BTC, BNB, *ETH)
    (order,) = played.events(SubmitOrder)
    assert order.symbol == "ETH/BTC"
    assert D(99) < order.quantity * order.limit * D("50005") <= 100  # 100 USD, in BTC
    (report,), (booked,) = played.events(ExecutionReport), played.events(FillBooked)
    paid = report.quantity * report.price
    assert report.fee_currency == "BNB" and report.fee < D("0.001")
    assert booked.cash == 10_000 and booked.rate == D("50005")
    assert booked.balances == {"BTC": 1 - paid, "BNB": D("0.05") - report.fee}
    assert float(booked.quoted_fee) == pytest.approx(float(paid) / 1000)


@pytest.mark.parametrize(
    ("rows", "changes", "code"),
    [
        ([BNB, *ETH], {}, "no_rate"),  # nothing says what a BTC is worth
        ([BTC, *ETH], {}, "no_rate"),  # nothing says what the BNB that is held is worth
        ([BTC, BNB, *ETH], {"account__balances": "{BNB = 1}"}, "buying_power"),  # no BTC to buy with
        ([BTC, BNB, *ETH], {"risk__max_order_notional": 99}, "max_notional"),
        ([BTC, BNB, *ETH], {"risk__min_order_notional": 101}, "min_notional"),
        ([BTC, BNB, *ETH], {"risk__max_position_notional": 99}, "max_position"),
        ([BTC, BNB, *ETH], {'instruments."ETH/BTC".min_notional': 0.003}, "min_notional"),
        ([BTC, BNB, *ETH], {'instruments."ETH/BTC".min_notional': 0.0019}, "entry"),
        ([BTC, BNB, *ETH], {'instruments."ETH/BTC".min_quantity': 1}, "min_quantity"),
    ],
)
def test_limits_of_an_entry_are_in_the_reporting_currency(
    rows: list[tuple[str, float, float]], changes: dict[str, object], code: str
) -> None:
    late = [BTC, BNB]  # their rates must be on the tape
    codes = _played(settings(**ACCOUNT | EAGER | changes), *rows, *late).result.codes
    assert codes[code] == 1 and codes["no_edge"] + codes["warming_up"] + codes[code] == len(rows) + 2


def test_symbol_in_the_reporting_currency_needs_no_rate() -> None:
    wanted = settings(**EAGER, account__currency="USD")
    rising = [("BTC/USD", 50_000.0, 50_010.0), ("BTC/USD", 50_100.0, 50_110.0)]
    assert _played(wanted, *rising, ETH[0]).result.codes["entry"] == 1


def test_fall_of_a_rate_is_a_daily_loss() -> None:
    wide = {"exits__take_profit_bps": 9_000, "exits__stop_loss_bps": 9_000}
    wanted = settings(**ACCOUNT | EAGER | wide, risk__max_daily_loss_pct=10)
    risen = ("BNB/USD", 510.0, 510.1)
    for price, code in ((40_000.0, "daily_loss"), (49_000.0, "entry")):
        codes = _played(wanted, BTC, BNB, *ETH, ("BTC/USD", price, price), risen).result.codes
        assert codes[code] == 1 + (code == "entry")


FEE_CURRENCIES = st.sampled_from(["BNB", "", "BNB", "BTC"])


@st.composite
def _runs(draw: st.DrawFn) -> tuple[Settings, Tape]:
    """A run on three symbols, one of which is quoted in bitcoin and has few quotes of its rate."""
    seed = draw(st.integers(0, 500))
    wanted = settings(
        seed=seed,
        account__currency="USD",
        account__balances=draw(st.sampled_from(["{BTC = 1, BNB = 3}", "{BTC = 0.004, BNB = 0.001}", "{}"])),
        account__kind=draw(st.sampled_from(["cash", "covered"])),
        trading__direction=draw(st.sampled_from(["long", "both"])),
        account__maker_bps=1,
        account__taker_bps=5,
        simulated__fee_currency=draw(FEE_CURRENCIES),
        simulated__order_latency_ms=draw(st.sampled_from([0, 300])),
        execution__time_in_force=draw(st.sampled_from(["ioc", "gtc"])),
        execution__aggression_bps=draw(st.sampled_from([0, 50])),
        momentum__lookback=3,
        momentum__warmup_count=5,
        momentum__min_edge_bps=1,
        exits__take_profit_bps=6,
        exits__stop_loss_bps=6,
        sizing__max_order_amount=draw(st.sampled_from([60, 600])),
        sizing__target_balance_pct=20,
    )
    spec = SyntheticSpec(symbols=SYMBOLS, hours=0.03, quotes_per_s=2.0, bad_quote_rate=0.02, seed=seed)
    return wanted, synthesize(spec)


@budget(max_examples=12, deadline=None)
@given(_runs())
def test_books_of_each_currency_add_up_and_the_run_replays(run: tuple[Settings, Tape]) -> None:
    wanted, tape = run
    played = play(wanted, tape)
    ledger, opening = played.engine.ledger, played.engine.opening
    sides = {order.order_id: order for order in played.events(SubmitOrder)}
    cash = {name: Fraction(amount) for name, amount in opening.amounts.items()}
    held: dict[str, Fraction] = {}
    for fill in played.engine.stats.fills:
        order, quote = sides[fill.order_id], QUOTES[fill.symbol]
        signed = Fraction(fill.qty) * (1 if order.side is BUY else -1)
        held[fill.symbol] = held.get(fill.symbol, Fraction(0)) + signed
        cash[quote] = cash.get(quote, Fraction(0)) - signed * Fraction(fill.price)
        paid_in = fill.fee_currency or quote
        cash[paid_in] = cash.get(paid_in, Fraction(0)) - Fraction(fill.fee)
    assert {name: Fraction(amount) for name, amount in ledger.balances.items()} == cash
    assert all(Fraction(ledger.position(symbol).quantity) == held.get(symbol, 0) for symbol in SYMBOLS)
    result = played.result
    gains = add(add(result.realized_pnl, result.unrealized_pnl), result.external)
    assert result.equity == subtract(add(result.initial_cash, gains), result.fees)
    assert replay(engine_for(wanted, tape), tape.rows, played.record) is None
    record = list(played.record)
    assert in_batches(wanted, tape, record, cuts=list(range(len(tape) + 1))) == record
    if wanted.account.kind == "cash":  # nothing was spent that was not there
        assert min(ledger.balances.values()) >= 0


@budget(max_examples=6, deadline=None)
@given(_runs())
def test_equity_series_of_a_record_is_that_of_its_engine(run: tuple[Settings, Tape]) -> None:
    wanted, tape = run
    played = play(wanted, tape)
    engine, recorded = played.engine, RecordedBookings(tape.symbols)
    for entry in played.record:
        recorded.apply(entry)
    series = engine.equity_history.series(tape.rows, engine.pos, engine.opening)
    assert series == recorded.history.series(tape.rows, engine.pos, engine.opening)
    assert series[-1][1] == engine.result().equity

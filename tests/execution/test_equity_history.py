"""The equity series of a run, against one that is computed row by row."""

from collections.abc import Iterator, Sequence
from decimal import Decimal
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as budget
from hypothesis import strategies as st

from autohedge.app import engine_for
from autohedge.core.accounts import OpeningAccount
from autohedge.core.events import (
    AccountState,
    ConnectionStatus,
    ExternalChange,
    FillBooked,
    Input,
    JournalEntry,
    OrderAdopted,
    OrderMassStatus,
    SubmitOrder,
)
from autohedge.core.money import add, multiply, to_decimal
from autohedge.core.units import NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE, NS_PER_S
from autohedge.execution.equity_history import POINTS_LEAST, EquityHistory, EquityPoint, RecordedBookings
from autohedge.faultsim.random_history import random_history
from autohedge.faultsim.scenario import JOURNAL, FaultScenario
from autohedge.journal.chain import lines_of
from autohedge.market import Rows, SyntheticSpec, synthesize
from tests.run_harness import begun, play, quotes_tape, settings

D = Decimal
UNITS_NS = (NS_PER_DAY, NS_PER_HOUR, NS_PER_MINUTE)


class RowByRow:
    """An account that is valued again at every row and event."""

    def __init__(self, symbols: Sequence[str], cash: Decimal) -> None:
        self.symbols, self.cash = list(symbols), cash
        self.held = dict.fromkeys(symbols, D(0))
        self.quotes: dict[str, tuple[float, float]] = {}
        self.costs: dict[str, Decimal] = {}
        self.orders: dict[str, str] = {}
        self.now_ns = self.point_ns = 0

    def points(self, rows: Rows, taken: int, entries: Sequence[JournalEntry]) -> Iterator[EquityPoint]:
        """Yields the points of a run from its rows and its journal's entries, in the order in which they happened."""
        last_rows = _last_rows([int(ts) for ts in rows.ts[:taken]])
        waiting = iter([*entries, JournalEntry(0, taken + 1, ExternalChange("cash", "", D(0), "alert"))])
        entry = next(waiting)
        for pos in range(taken + 1):
            is_last = pos > 0 and pos - 1 in last_rows
            row_ns = int(rows.ts[pos - 1]) if pos else 0
            self.now_ns = max(self.now_ns, row_ns)
            if pos:
                self.take_row(rows, pos - 1)
            while entry.pos <= pos:
                if isinstance(entry.event, Input):
                    self.now_ns = max(self.now_ns, getattr(entry.event, "at_ns", 0))
                if is_last and self.now_ns > row_ns:
                    is_last = False
                    yield self.point(row_ns)
                if self.apply(entry):
                    yield self.point(self.now_ns)
                entry = next(waiting)
            if is_last:
                yield self.point(row_ns)

    def point(self, at_ns: int) -> EquityPoint:
        self.point_ns = max(self.point_ns, at_ns)
        return self.point_ns, self.equity()

    def take_row(self, rows: Rows, row: int) -> None:
        bid, ask = float(rows.bid[row]), float(rows.ask[row])
        if np.isfinite(bid) and np.isfinite(ask) and 0 < bid <= ask:
            self.quotes[self.symbols[rows.lane[row]]] = (bid, ask)

    def apply(self, entry: JournalEntry) -> bool:
        match entry.event:
            case SubmitOrder(order_id=order_id, symbol=symbol):
                self.orders[order_id] = symbol
            case OrderAdopted(order=found):
                self.orders[found.order_id] = found.symbol
            case FillBooked() as booked:
                symbol = self.orders[booked.order_id]
                self.cash, self.held[symbol], self.costs[symbol] = booked.cash, booked.position, booked.cost
                return True
            case ExternalChange(kind="cash", policy="adopt", amount=amount):
                self.cash = add(self.cash, amount)
            case ExternalChange(policy="adopt", subject=subject, amount=amount) if subject in self.held:
                self.held[subject] = add(self.held[subject], amount)
        return False

    def equity(self) -> Decimal:
        total = self.cash
        for symbol, quantity in self.held.items():
            if quantity:
                quote = self.quotes.get(symbol)
                price = quote and quote[quantity < 0]  # a long is sold at the bid, a short covered at the ask
                total = add(total, multiply(quantity, to_decimal(price)) if price else self.costs[symbol])
        return total


def _last_rows(times: list[int]) -> set[int]:
    """Returns the last row of each day, hour or minute: of the longest unit that has at least 30."""
    for unit_ns in UNITS_NS:
        last_rows = set({ts // unit_ns: row for row, ts in enumerate(times)}.values())
        if len(last_rows) >= 30:
            break
    return last_rows


def _without_repeats(points: Iterator[EquityPoint]) -> list[EquityPoint]:
    kept: list[EquityPoint] = []
    for point in points:
        if point not in kept[-1:]:
            kept.append(point)
    return kept


def _recorded(symbols: Sequence[str], entries: Sequence[JournalEntry]) -> EquityHistory:
    bookings = RecordedBookings(symbols)
    for entry in entries:
        bookings.apply(entry)
    return bookings.history


@budget(max_examples=12, deadline=None)
@given(
    seed=st.integers(0, 1_000),
    symbols=st.sampled_from([("A/USD",), ("A/USD", "B/USD", "C/USD")]),
    latency_ms=st.sampled_from([0, 700]),
    aggression_bps=st.sampled_from([1, 100]),
    account=st.sampled_from([("long", "cash"), ("both", "covered")]),
)
def test_series_is_that_of_an_account_valued_at_every_row(
    seed: int, symbols: tuple[str, ...], latency_ms: int, aggression_bps: int, account: tuple[str, str]
) -> None:
    wanted = settings(
        seed=seed,
        momentum__lookback=5,
        momentum__min_edge_bps=2,
        exits__take_profit_bps=8,
        exits__stop_loss_bps=8,
        simulated__order_latency_ms=latency_ms,
        execution__aggression_bps=aggression_bps,
        trading__direction=account[0],
        account__kind=account[1],
    )
    tape = synthesize(SyntheticSpec(symbols=symbols, hours=0.1, bad_quote_rate=0.05, seed=seed))
    played = play(wanted, tape)
    engine = played.engine
    series = engine.equity_history.series(tape.rows, engine.pos, engine.opening)
    expected = RowByRow(tape.symbols, engine.ledger.initial_cash)
    assert series == _without_repeats(expected.points(tape.rows, engine.pos, played.record))
    assert series == _recorded(tape.symbols, played.record).series(tape.rows, engine.pos, engine.opening)
    assert series[-1][1] == engine.result().equity


@pytest.mark.parametrize("seed", [5, 13, 17, 21])
def test_series_survives_deaths_busts_and_lost_orders(seed: int) -> None:
    scenario = FaultScenario(random_history(seed))
    scenario.play()
    engine, rows, symbols = scenario.engine, scenario.rows, scenario.tape.symbols
    lines = lines_of(BytesIO(scenario.disk.read(JOURNAL)), JOURNAL)
    record = [line.entry for line in lines if line.event]
    series = engine.equity_history.series(rows, engine.pos, engine.opening)
    assert series == _without_repeats(RowByRow(symbols, engine.opening.cash).points(rows, engine.pos, record))
    assert series == _recorded(symbols, record).series(rows, engine.pos, engine.opening)


def test_adopted_position_and_withdrawal_change_the_series() -> None:
    quotes = [(minute * NS_PER_MINUTE, 100.0 + minute, 101.0 + minute) for minute in range(1, 4)]
    tape = quotes_tape(quotes)
    engine = begun(engine_for(settings(reconciliation__external='"adopt"'), tape))
    engine.scan(tape.rows, 0, 1)
    for at_ns in (NS_PER_MINUTE + NS_PER_S, NS_PER_MINUTE + 9 * NS_PER_S):
        engine.step(ConnectionStatus(at_ns, "up"))
        engine.step(OrderMassStatus(at_ns, at_ns, ()))
        engine.step(AccountState(at_ns, at_ns, D(4_000), {"X": D(2)}))
    engine.scan(tape.rows, 1, 3)
    series = engine.equity_history.series(tape.rows, 3, OpeningAccount(D(10_000)))
    assert series == [
        (NS_PER_MINUTE, D(10_000)),
        (2 * NS_PER_MINUTE, D(4_204)),
        (3 * NS_PER_MINUTE, D(4_206)),
    ]
    assert series[-1][1] == engine.portfolio.exact_equity()
    recorded = _recorded(tape.symbols, list(engine.log))
    assert recorded.series(tape.rows, 3, OpeningAccount(D(10_000))) == series


@pytest.mark.parametrize(
    ("step_ns", "unit_ns"),
    [
        (NS_PER_DAY, NS_PER_DAY),
        (NS_PER_HOUR, NS_PER_HOUR),
        (NS_PER_HOUR // 2, NS_PER_MINUTE),
        (1, NS_PER_MINUTE),
    ],
)
def test_series_takes_the_longest_unit_with_thirty_points(step_ns: int, unit_ns: int) -> None:
    ts = np.arange(POINTS_LEAST) * step_ns
    rows = Rows.of(np.repeat(ts, 2), [1.0] * 60, [2.0] * 60)
    series = EquityHistory().series(rows, 60, OpeningAccount(D(5)))
    assert series == [(ns, D(5)) for ns in sorted({int(ns) // unit_ns: int(ns) for ns in ts}.values())]


def test_rows_that_were_not_taken_have_no_point() -> None:
    rows = Rows.of([1, NS_PER_MINUTE, 2 * NS_PER_MINUTE], [1.0] * 3, [2.0] * 3)
    assert EquityHistory().series(rows, 2, OpeningAccount(D(5))) == [(1, D(5)), (NS_PER_MINUTE, D(5))]
    assert EquityHistory().series(rows, 0, OpeningAccount(D(5))) == []


def test_position_is_worth_its_cost_until_its_first_quote() -> None:
    minutes = [minute * NS_PER_MINUTE for minute in range(3)]
    rows = Rows.of(minutes, [np.nan, 7.0, 8.0], [np.nan, 7.5, 9.0], [0, 1, 0], lanes=2)
    history = EquityHistory()
    history.record_fill(1, 0, 0, FillBooked("o", D(2), D(10), D(90), D(0)))
    assert history.series(rows, 3, OpeningAccount(D(100))) == [
        (0, D(100)),
        (minutes[1], D(100)),
        (minutes[2], D(106)),
    ]

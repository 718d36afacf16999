"""The daily loss: its base at midnight and its latch, over restarts, deposits and withdrawals."""

from decimal import Decimal
from typing import Any

import pytest

from autohedge.app import engine_for
from autohedge.core.events import (
    AccountState,
    ConnectionStatus,
    OrderMassStatus,
    Restarted,
    Timer,
    TradingStateChanged,
)
from autohedge.core.units import NS_PER_DAY, NS_PER_S
from autohedge.engine.engine import Engine
from autohedge.engine.watchdogs import MIDNIGHT
from autohedge.runtime.recovery import rehydrate
from tests.engine.harness import START_NS, EngineHarness
from tests.execution.trading_factory import EAGER, FLAT, entered
from tests.run_harness import Recording, play, quotes_tape, settings

D = Decimal
MIDNIGHT_NS = (START_NS // NS_PER_DAY + 1) * NS_PER_DAY
LOSS: dict[str, Any] = EAGER | {"risk__max_daily_loss_pct": 0.05, "exits__stop_loss_bps": 100}
# The second quote buys, the third sells at a loss of 10, and the fifth is refused.
FALLING = [
    (MIDNIGHT_NS - 20 * NS_PER_S + i * NS_PER_S, bid, bid + 0.1)
    for i, bid in enumerate((100.0, 100.0, 90.0, 90.0, 90.0))
]


def _restarted_engine(at_ns: int) -> Engine:
    """An engine rebuilt from the record of `FALLING` up to its last quote, and then restarted."""
    wanted, tape = settings(**LOSS), quotes_tape(FALLING)
    played = play(wanted, tape)
    (latched,) = [
        entry.seq
        for entry in played.record
        if isinstance(entry.event, TradingStateChanged) and entry.event.causes and entry.pos == 5
    ]
    record = Recording(entry for entry in played.record if entry.seq <= latched)
    engine = engine_for(wanted, tape)
    rehydrate(engine, record, tape.rows, Recording())
    engine.step(Restarted(at_ns, engine.pos, "second"))
    engine.step(OrderMassStatus(at_ns, at_ns, ()))
    engine.step(AccountState(at_ns, at_ns, engine.ledger.cash, {}))
    return engine


def test_restart_on_the_same_day_keeps_base_and_latch_of_the_daily_loss() -> None:
    engine = _restarted_engine(MIDNIGHT_NS - 5 * NS_PER_S)
    assert engine.portfolio.day_start_equity() == 10_000 > engine.ledger.cash
    assert engine.state.causes == {"daily_loss"}
    engine.step(Timer(MIDNIGHT_NS))
    assert engine.state.causes == set()


def test_restart_after_midnight_starts_the_day_with_the_equity_of_then() -> None:
    engine = _restarted_engine(MIDNIGHT_NS + 3 * NS_PER_DAY)
    engine.step(Timer(engine.now_ns))
    assert engine.portfolio.day_start_equity() == engine.ledger.cash < 10_000
    assert engine.state.causes == set()


def _loss(harness: EngineHarness) -> Decimal:
    """The loss since midnight, as the limit sees it."""
    return harness.engine.portfolio.day_start_equity() - harness.engine.portfolio.equity()


@pytest.mark.parametrize("bid", [90.0, 100.0, 110.0])
@pytest.mark.parametrize("new_day", [False, True])
@pytest.mark.parametrize(
    ("cash", "quantity"), [(5, 0), (-5, 0), (0, D("0.5")), (0, D("-0.5")), (7, D("-0.2"))]
)
def test_deposit_or_withdrawal_changes_no_loss(
    bid: float, new_day: bool, cash: int, quantity: Decimal
) -> None:
    quotes = [*FLAT[:2], (START_NS + 9 * NS_PER_S, bid, bid + 0.1)]
    wide = {"exits__take_profit_bps": 5_000, "exits__stop_loss_bps": 5_000}
    harness, entry = entered(quotes, reconciliation__external="adopt", **wide)
    harness.fill(entry)
    harness.quotes(1)
    if new_day:
        harness.engine.portfolio.start_day()
    before, held = _loss(harness), {"X": entry.quantity + quantity}
    _adopt(harness, harness.engine.ledger.cash + cash, held)
    assert harness.engine.ledger.position("X").quantity == held["X"]
    assert _loss(harness) == pytest.approx(before, abs=D("1e-9"))
    harness.engine.portfolio.start_day()
    assert _loss(harness) == 0


def _adopt(harness: EngineHarness, cash: Decimal, held: dict[str, Decimal]) -> None:
    """Shows the engine another account at the venue, twice and far enough apart to be adopted."""
    for _ in range(2):
        now_ns = harness.engine.now_ns + 6 * NS_PER_S
        harness.step(ConnectionStatus(now_ns, "up"))
        harness.step(OrderMassStatus(now_ns, now_ns, ()))
        harness.step(AccountState(now_ns, now_ns, cash, held))


def test_midnight_is_watched_for_a_position_that_no_order_of_the_run_opened() -> None:
    quiet = EAGER | {"momentum__warmup_count": 50, "reconciliation__external": "adopt"}
    harness = EngineHarness(quiet, FLAT)
    harness.quotes(2)
    assert MIDNIGHT not in harness.engine.timers
    _adopt(harness, harness.engine.ledger.cash, {"X": D(1)})
    assert harness.engine.timers.deadline_ns(MIDNIGHT) == MIDNIGHT_NS

"""After a restart exits wait for the reconciliation: an earlier exit may be on its way, its line lost."""

from typing import Any

import pytest

from autohedge.app import engine_for
from autohedge.core.events import (
    AccountState,
    ExecutionReport,
    OperatorCommand,
    OrderMassStatus,
    Restarted,
    SubmitOrder,
    Timer,
)
from autohedge.core.money import ZERO
from autohedge.core.orders import SELL
from autohedge.core.units import NS_PER_S
from autohedge.engine.engine import Engine
from autohedge.market import Rows
from tests.run_harness import begun, quotes_tape, settings

START_NS = 1_700_000_000_000_000_000
EAGER: dict[str, Any] = {
    "momentum__evaluate_every_quotes": 1,
    "momentum__lookback": 1,
    "momentum__warmup_count": 0,
    "momentum__min_edge_bps": 0,
    "exits__stop_loss_bps": 50,
}
FLAT = [100.0] * 40
FALLING = [100.0] * 5 + [90.0] * 35


def _held(mids: list[float], **changes: Any) -> tuple[Engine, Rows]:
    """An engine that holds a position, bought at the first quotes, and its rows."""
    quotes = [(START_NS + n * NS_PER_S, mid, mid + 0.1) for n, mid in enumerate(mids)]
    tape = quotes_tape(quotes)
    engine = begun(engine_for(settings(**EAGER | changes), tape))
    while not (orders := _orders(engine)):
        engine.scan(tape.rows, engine.pos, engine.pos + 1)
    (entry,) = orders
    now_ns = engine.now_ns
    engine.step(
        ExecutionReport(
            now_ns, entry.order_id, "fill", now_ns, "t1", entry.quantity, entry.limit or ZERO, ZERO
        )
    )
    return engine, tape.rows


def _orders(engine: Engine) -> list[SubmitOrder]:
    """The orders since the last call."""
    orders = [entry.event for entry in engine.log if isinstance(entry.event, SubmitOrder)]
    engine.log.clear()
    return orders


def _scan(engine: Engine, rows: Rows, count: int) -> list[SubmitOrder]:
    end = engine.pos + count
    while engine.pos < end:
        engine.scan(rows, engine.pos, end)
    return _orders(engine)


def _reconcile(engine: Engine) -> None:
    now_ns = engine.now_ns
    held = {symbol: position.quantity for symbol, position in engine.ledger.positions.items()}
    engine.step(OrderMassStatus(now_ns, now_ns, ()))
    engine.step(AccountState(now_ns, now_ns, engine.ledger.cash, held))


@pytest.mark.parametrize("cause", ["stop_loss", "time_stop", "flatten"])
def test_exit_after_a_restart_waits_until_the_venue_has_answered(cause: str) -> None:
    mids = FALLING if cause == "stop_loss" else FLAT
    engine, rows = _held(mids, exits__max_hold_s=5 if cause == "time_stop" else 0)
    engine.step(Restarted(engine.now_ns, engine.pos, "fresh"))
    if cause == "flatten":
        engine.step(OperatorCommand(engine.now_ns, "flatten", "a storm"))
    engine.scan(rows, engine.pos, engine.pos + 10)
    engine.step(Timer(engine.now_ns))
    assert _orders(engine) + _scan(engine, rows, 3) == []
    _reconcile(engine)
    (sale,) = _orders(engine) + _scan(engine, rows, 1)
    assert (sale.side, sale.reason) == (SELL, cause)
    assert _scan(engine, rows, 5) == []

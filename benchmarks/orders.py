"""Rows `histories` and `reconciling`: the rate of fault histories, and a pass over a thousand open orders."""

from decimal import Decimal
from functools import partial

from autohedge.app import engine_for
from autohedge.core.events import (
    AccountState,
    ConnectionStatus,
    OrderMassStatus,
    RunStarted,
    VenueOrderStatus,
)
from autohedge.core.orders import BUY, GTC, LIMIT
from autohedge.core.units import NS_PER_S
from autohedge.engine.engine import Engine
from autohedge.faultsim.faults import FAULTS
from autohedge.faultsim.runner import run_seed
from benchmarks import session
from benchmarks.market import SYMBOL
from benchmarks.row import Row, Timed, clocked

SEEDS, PER_MINUTE_BOUND = 40, 200
OPEN_ORDERS, PASS_BOUND_S, PASSES = 1_000, 1.0, 9


def histories(quotes: int) -> list[Row]:
    """Measures fault histories per minute, with all faults, one after the other."""
    faults = frozenset(FAULTS.values())
    run_seed(0, faults)  # loads the machine code
    seconds = [clocked(partial(run_seed, seed, faults)).wall_s for seed in range(1, SEEDS + 1)]
    per_minute = 60.0 * SEEDS / sum(seconds)
    figure = f"{per_minute:.0f} a minute"
    note = f"{SEEDS} seeds, one core; the slowest took {max(seconds):.2f} s"
    return [Row("fault histories", f">= {PER_MINUTE_BOUND}", figure, per_minute >= PER_MINUTE_BOUND, note)]


def reconciling(quotes: int) -> list[Row]:
    """Measures a pass over unknown open orders, which it adopts, then further passes over the same orders."""
    engine = _begun(quotes)
    orders = tuple(_order(number) for number in range(OPEN_ORDERS))
    adopting = clocked(partial(_pass, engine, orders))
    if len(engine.orders.working) != OPEN_ORDERS:
        msg = f"{len(engine.orders.working)} orders were adopted, not {OPEN_ORDERS}"
        raise AssertionError(msg)
    passes = [clocked(partial(_pass, engine, orders)) for _ in range(PASSES)]
    cpu, wall = Timed.cpu(passes), Timed.wall(passes)
    figure = f"{cpu.median * 1e3:.1f} ms (least {cpu.least * 1e3:.1f})"
    bound = f"<= {PASS_BOUND_S:g} s"
    met = max(cpu.median, adopting.cpu_s) <= PASS_BOUND_S
    note = (
        f"processor time; wall {wall.median * 1e3:.1f} (least {wall.least * 1e3:.1f}); "
        f"adopting them {adopting.cpu_s * 1e3:.0f} ms, wall {adopting.wall_s * 1e3:.0f}"
    )
    return [Row(f"reconciling {OPEN_ORDERS:,} orders", bound, figure, met, note)]


def _begun(quotes: int) -> Engine:
    engine = engine_for(session.settings(["reconciliation.external=adopt"]), session.tape(quotes))
    engine.step(RunStarted("benchmark", 1))
    return engine


def _order(number: int) -> VenueOrderStatus:
    name, one = f"theirs-{number}", Decimal(1)
    return VenueOrderStatus(name, SYMBOL, BUY, LIMIT, GTC, one, one, Decimal(0), "open")


def _pass(engine: Engine, orders: tuple[VenueOrderStatus, ...]) -> None:
    """Runs one reconciliation pass: a restored connection starts it, two lists of the venue complete it."""
    at_ns = engine.now_ns + NS_PER_S
    engine.step(ConnectionStatus(at_ns, "up"))
    engine.step(OrderMassStatus(at_ns, at_ns, orders))
    engine.step(AccountState(at_ns, at_ns, engine.ledger.cash, {}))
    engine.log.clear()  # the events that a runtime would journal

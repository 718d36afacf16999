"""Rows `live`, `checks` and `journal`: single steps of the live path, with warm caches."""

import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

from autohedge.core.events import JournalEntry
from autohedge.core.orders import Intent, OrderType, Purpose, Side, TimeInForce
from autohedge.core.reasons import Reason
from autohedge.journal import Journal
from autohedge.journal.durable import DurableStore
from autohedge.kernels.momentum import step_one
from autohedge.risk import Approved, Limits, RiskContext, check_entry
from autohedge.strategies import build
from benchmarks import session
from benchmarks.market import SYMBOL
from benchmarks.row import Row, Spent, Timed, clocked, percentile

LIVE_BOUND_US, CHECKS_BOUND_US, JOURNAL_BOUND_US = 1.0, 5.0, 50.0
BATCHES, BATCH = 200, 1_000
APPENDS, JOURNAL_ROUNDS = 100_000, 5

_NS_PER_US = 1_000.0


def live(quotes: int) -> list[Row]:
    """Measures the step that a live feed calls for each quote."""
    market = session.tape(quotes)
    rows = market.rows
    lanes = build(session.settings([]), market.streams).lanes
    count = min(len(rows), BATCHES * BATCH)
    calls = list(
        zip(rows.ts[:count].tolist(), rows.bid[:count].tolist(), rows.ask[:count].tolist(), strict=True)
    )
    step_one(lanes, 0, *calls[0], 0.0)  # loads the machine code
    batches = []
    for start in range(0, count, BATCH):
        batch = calls[start : start + BATCH]
        started = time.perf_counter_ns()
        for ts, bid, ask in batch:
            step_one(lanes, 0, ts, bid, ask, 0.0)
        batches.append((time.perf_counter_ns() - started) / len(batch))
    # Single calls have a distribution but include reading the clock; batches have the cost without it.
    singles = []
    for ts, bid, ask in calls:
        started = time.perf_counter_ns()
        step_one(lanes, 0, ts, bid, ask, 0.0)
        singles.append(time.perf_counter_ns() - started)
    median = statistics.median(singles) / _NS_PER_US
    note = (
        f"p99 {percentile(singles, 99) / _NS_PER_US:.2f} us, clock included; in batches of {BATCH}: "
        f"median {statistics.median(batches) / _NS_PER_US:.3f}, least {min(batches) / _NS_PER_US:.3f} us"
    )
    return [Row("live step", f"<= {LIVE_BOUND_US:g} us", f"{median:.3f} us", median <= LIVE_BOUND_US, note)]


def checks(quotes: int) -> list[Row]:
    """Measures the checks of an entry that passes all of them, which is the longest path."""
    intent, book, limits = _intent(), _book(), Limits.of(session.settings([]))
    assert isinstance(check_entry(intent, book, limits), Approved), "a refusal would end the checks early"
    batches = _batches(lambda: check_entry(intent, book, limits))
    cpu, wall = Timed.cpu(batches), Timed.wall(batches)
    us_each = 1e6 / BATCH
    figure = f"{cpu.median * us_each:.2f} us (least {cpu.least * us_each:.2f})"
    note = f"processor time; wall {wall.median * us_each:.2f} (least {wall.least * us_each:.2f})"
    met = cpu.median * us_each <= CHECKS_BOUND_US
    return [Row("risk checks", f"<= {CHECKS_BOUND_US:g} us", figure, met, note)]


def journal(quotes: int) -> list[Row]:
    """Measures journaling the events of a trading run, with one write() for each event."""
    record = session.InMemoryRecord()
    session.play(session.settings([]), session.tape(quotes), record)
    # Without the first and the last, which every run has only once.
    events = list(itertools.islice(itertools.cycle(record[1:-1]), APPENDS))
    rounds = [_appended(events) for _ in range(JOURNAL_ROUNDS)]
    p50, p99, p999 = (
        statistics.median(percentile(spent, at) for spent in rounds) / _NS_PER_US for at in (50, 99, 99.9)
    )
    note = f"p50 {p50:.1f}, p99.9 {p999:.1f} us; one write() an event, {APPENDS} events"
    return [
        Row(
            "journal append",
            f"p99 <= {JOURNAL_BOUND_US:g} us",
            f"{p99:.1f} us",
            p99 <= JOURNAL_BOUND_US,
            note,
        )
    ]


def _appended(events: list[JournalEntry]) -> list[int]:
    """Returns the nanoseconds of each append, its write() included."""
    spent = []
    with tempfile.TemporaryDirectory() as folder:
        target = Journal.begin(DurableStore(Path(folder) / "journal.jsonl"), {"benchmark": True})
        for event in events:
            started = time.perf_counter_ns()
            target.append(event)
            spent.append(time.perf_counter_ns() - started)
        target.close()
    return spent


def _batches(action: Callable[[], object]) -> list[Spent]:
    """Returns the time of each batch of calls."""

    def batch() -> None:
        for _ in range(BATCH):
            action()

    return [clocked(batch) for _ in range(BATCHES)]


def _intent() -> Intent:
    return Intent(
        lane=0,
        symbol=SYMBOL,
        side=Side.BUY,
        purpose=Purpose.ENTER,
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.IOC,
        quantity=Decimal("0.001617"),
        price=Decimal("61800.25"),
        limit=Decimal("61800.25"),
        reason=Reason.ENTRY.label,
        take_profit=62415.1,
        stop_loss=61488.2,
    )


def _book() -> RiskContext:
    """Returns an account in the middle of a day: trades done, and a position in another symbol."""
    now_ns = 1_735_800_000_000_000_000
    return RiskContext(
        now_ns=now_ns,
        quote_ns=now_ns - 1_000_000,
        mid=Decimal("61797.125"),
        halted=False,
        buying_power=Decimal("9213.869665696424"),
        position_notional=Decimal(0),
        exposure=Decimal("99.93109236"),
        equity=Decimal("9313.800758056424"),
        equity_at_midnight=Decimal("9402.11094"),
        last_entry_ns=now_ns - 60_000_000_000,
        last_exit_ns=now_ns - 30_000_000_000,
        duplicate=False,
        rate=Limits.of(session.settings([])).rate(),
    )

"""Tests that killed and restarted runs lose no trade, double none, and keep one valid record."""

import asyncio
import gc
import json
import signal
from collections import Counter
from contextlib import closing
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from autohedge import app
from autohedge.app import wall_run
from autohedge.app.records import RunRecord
from autohedge.app.restart import restart
from autohedge.app.trading_run import TradingRun
from autohedge.app.venue_server import handshake_for
from autohedge.app.wall_run import LaunchOptions, RemoteVenue
from autohedge.core.clock import ReplayClock
from autohedge.core.events import (
    ExecutionReport,
    JournalEntry,
    OperatorCommand,
    RequestThrottled,
    Restarted,
    SubmitOrder,
)
from autohedge.core.ids import seeded_random
from autohedge.exchanges.loopback.client import LoopbackClient, fetch_statement
from autohedge.exchanges.loopback.protocol import Statement
from autohedge.gateway.gateway import VenueGateway
from autohedge.journal import Journal, RunFolder, read, verify
from autohedge.journal.chain import BufferedStore, encode_line
from autohedge.runtime.observers import NullObserver
from autohedge.runtime.recovery import last_ns
from autohedge.runtime.run_view import RunView
from tests.process_harness import Process, ProcessHarness, kill, wait
from tests.run_harness import play, settings

pytestmark = pytest.mark.process

SPEED = 25.0
EAGER: dict[str, Any] = {
    "momentum__min_edge_bps": 0,
    "momentum__warmup_count": 2,
    "momentum__evaluate_every_quotes": 2,
    "exits__take_profit_bps": 3,
    "exits__stop_loss_bps": 3,
    "execution__time_in_force": "gtc",
    "execution__aggression_bps": 0,
    "execution__cancel_after_s": 5,
    "simulated__order_latency_ms": 50,
    "simulated__response_latency_ms": 50,
    "simulated__latency_jitter_ms": 200,
    "synthetic__hours": 1,
    "synthetic__quotes_per_s": 10,
}
FAULTY = EAGER | {"risk__max_errors_per_minute": 10_000, "risk__unknown_halt_s": 3_600}
SMALL = EAGER | {"synthetic__hours": 0.02, "simulated__latency_jitter_ms": 0}


@pytest.mark.parametrize("seed", [1, 2])
def test_run_killed_at_random_times_loses_and_doubles_no_trade(tmp_path: Path, seed: int) -> None:
    _survives_kills(ProcessHarness(tmp_path, EAGER), seeded_random(str(seed), "moments"), kills=5)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(10, 20))
def test_hundred_kills_lose_and_double_no_trade(tmp_path: Path, seed: int) -> None:
    _survives_kills(ProcessHarness(tmp_path, EAGER), seeded_random(str(seed), "moments"), kills=10)


@pytest.mark.parametrize("seed", [1])
def test_run_killed_at_random_times_survives_venue_with_all_faults(tmp_path: Path, seed: int) -> None:
    rng, faults = seeded_random(str(seed), "moments"), ("--faults", "all", "--fault-seed", str(seed))
    _survives_kills(ProcessHarness(tmp_path, FAULTY), rng, 2, *faults)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(20, 30))
def test_hundred_kills_at_a_venue_with_all_faults_are_survived(tmp_path: Path, seed: int) -> None:
    rng, faults = seeded_random(str(seed), "moments"), ("--faults", "all", "--fault-seed", str(seed))
    _survives_kills(ProcessHarness(tmp_path, FAULTY), rng, 10, *faults)


def _survives_kills(harness: ProcessHarness, rng: Any, kills: int, *faults: str) -> None:
    with harness.venue(SPEED, *faults) as port:
        # Without --seed: a remote venue has no reproducible timing.
        trader = harness.start("run", "--venue", str(port), "-q")
        harness.wait_for(trader, b"submit_order")
        before = b""
        for _ in range(kills):
            wait(trader, rng.uniform(0.0, 2.5))
            kill(trader)
            before = _whole_and_longer(harness, before)
            trader = harness.start("restart", _folder(harness).id, "-q")
        harness.wait_for(trader, b'"restarted"', after=len(before))
        _wait_for_trades(trader, _folder(harness), 14)
        trader.send_signal(signal.SIGINT)
        _, err = trader.communicate(timeout=60)
        assert trader.returncode == 1, err
        statement = asyncio.run(fetch_statement(port))
    _agree(_folder(harness), statement)
    assert _folder(harness).journal.read_bytes().startswith(before)


def _folder(harness: ProcessHarness) -> RunFolder:
    journal = harness.journal()
    assert journal
    return RunFolder(journal.parent)


def _wait_for_trades(trader: Process, folder: RunFolder, count: int) -> None:
    """Waits until `count` fills are booked; a fixed time would be too short on a slow machine."""
    while folder.journal.read_bytes().count(b'"fill_booked"') < count and trader.poll() is None:
        wait(trader, 0.5)


def _whole_and_longer(harness: ProcessHarness, before: bytes) -> bytes:
    """Returns the record after a kill; asserts that it verifies, replays and continues `before`."""
    folder = _folder(harness)
    assert not verify(folder).finished
    assert app.replay_engine(folder) == (None, False)
    content = folder.journal.read_bytes()
    # The kill may have cut the last line in half; restart moves it aside.
    whole = content[: content.rfind(b"\n") + 1]
    assert whole.startswith(before)
    return whole


def _agree(folder: RunFolder, venue: Statement) -> None:
    """Asserts that run and venue agree on every order, fill, position and the cash, exactly."""
    assert verify(folder).finished
    assert app.replay_engine(folder) == (None, True)
    events = [line.event for line in read(folder.journal)]
    sent = {event.order_id: event for event in events if isinstance(event, SubmitOrder)}
    times = Counter(event.order_id for event in events if isinstance(event, SubmitOrder))
    throttled = Counter(e.order_id for e in events if isinstance(e, RequestThrottled) and e.about == "submit")
    fills = {
        event.trade_id: event
        for event in events
        if isinstance(event, ExecutionReport) and event.kind == "fill"
    }
    filled: dict[str, Decimal] = {}
    for fill in fills.values():
        filled[fill.order_id] = filled.get(fill.order_id, Decimal(0)) + (fill.quantity or 0)
    assert set(venue.filled) <= set(sent)
    # A throttled submit never reached the venue, so it may be sent again under its id.
    assert all(1 <= times[each] <= 1 + throttled[each] for each in sent)
    assert all(event == sent[event.order_id] for event in events if isinstance(event, SubmitOrder))
    assert filled == {order: quantity for order, quantity in venue.filled.items() if quantity}
    assert not venue.resting
    results = json.loads(folder.results.read_bytes())
    assert results["restarts"] == sum(isinstance(event, Restarted) for event in events) > 0
    assert {s: Decimal(q) for s, q in results["open_positions"].items()} == venue.positions
    assert Decimal(results["cash"]) == venue.cash
    assert results["buys"] > 5


def test_complete_record_without_results_gets_them_on_restart(workplace: Path) -> None:
    wanted = settings(**SMALL)
    results = wall_run.start(wanted, app.tape_for(wanted, []), LaunchOptions(), seeded=True)
    folder = RunFolder.find(results.run)
    record = folder.journal.read_bytes()
    folder.results.unlink()
    restarted = restart(folder)
    assert folder.journal.read_bytes() == record
    assert restarted.interrupted is False
    figures = ("journal_head", "buys", "sells", "cash", "fills", "restarts")
    assert [getattr(restarted, key) for key in figures] == [getattr(results, key) for key in figures]


def test_seeded_run_killed_before_first_event_restarts_with_its_seed(workplace: Path) -> None:
    wanted = settings(**SMALL)
    results = wall_run.start(wanted, app.tape_for(wanted, []), LaunchOptions(), seeded=True)
    folder = RunFolder.find(results.run)
    record = folder.journal.read_bytes()
    folder.results.unlink()
    folder.journal.write_bytes(record[: record.index(b"\n") + 1])
    restart(folder)
    assert folder.journal.read_bytes() == record


def test_stopped_run_killed_before_its_results_is_still_interrupted(workplace: Path) -> None:
    wanted = settings(**SMALL)
    results = wall_run.start(wanted, app.tape_for(wanted, []), LaunchOptions(), seeded=True)
    folder = RunFolder.find(results.run)
    lines = list(read(folder.journal))
    last = next(n for n, (one, two) in enumerate(pairwise(lines)) if n > 9 and two.pos > one.pos + 5)
    at_ns = last_ns([line.entry for line in lines[1 : last + 1]], app.tape_for(wanted, []).rows)
    stop = JournalEntry(lines[last].seq + 1, lines[last].pos, OperatorCommand(at_ns, "stop", "interrupted"))
    whole = folder.journal.read_bytes().splitlines(keepends=True)
    folder.journal.write_bytes(b"".join(whole[: last + 1]) + encode_line(stop, lines[last].hash)[0])
    folder.results.unlink()
    restarted = restart(folder)
    assert restarted.interrupted is True
    assert app.replay_engine(folder) == (None, True)


def test_replayed_objects_are_frozen_before_a_run_goes_on_at_a_remote_venue(workplace: Path) -> None:
    wanted = settings(**SMALL)
    tape = app.tape_for(wanted, [])
    folder, head = app.open_record(wanted, tape)
    with closing(Journal(BufferedStore(folder.journal), head, 1)) as journal:
        record = RunRecord(folder, journal, play(wanted, tape).record)
        engine = app.engine_for(wanted, tape)
        run = TradingRun(
            wanted, tape, engine, record, NullObserver(RunView(engine, tape.rows), folder.id), None
        )
        clock = ReplayClock.begin(last_ns(record.entries, tape.rows), 1.0)
        remote = RemoteVenue(
            VenueGateway(LoopbackClient(0, handshake_for(wanted, tape, folder.id, "")), clock.now_ns, "n"),
            clock,
        )
        gc.unfreeze()
        wall_run._start_remote(run, "n", remote)
    frozen = gc.get_freeze_count()
    gc.unfreeze()
    assert frozen and gc.isenabled()

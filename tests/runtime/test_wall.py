"""Wall time: the same record at every speed, and an interrupted run that ends in order."""

import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from autohedge import app
from autohedge.app import engine_for, wall_run
from autohedge.app.wall_run import LaunchOptions
from autohedge.core.clock import ReplayClock, monotonic_ns
from autohedge.core.events import LoopLag, RunStarted, TradingStateChanged
from autohedge.core.results import RunReport
from autohedge.exchanges.simulated import SimulatedVenue, VenueModel, lots_of
from autohedge.journal import RunFolder, read, verify
from autohedge.market import SyntheticSpec, Tape, synthesize
from autohedge.runtime.virtual import VirtualRuntime
from autohedge.runtime.wall import WallRuntime, in_loop
from tests.process_harness import ProcessHarness
from tests.run_harness import Recording, settings

EAGER = {
    "momentum__min_edge_bps": 0,
    "momentum__warmup_count": 0,
    "momentum__evaluate_every_quotes": 1,
    "exits__take_profit_bps": 1,
    "exits__stop_loss_bps": 1,
}


def _minute() -> Tape:
    return synthesize(SyntheticSpec(hours=1 / 60, quotes_per_s=20, seed=4))


def _journal(report: RunReport) -> bytes:
    return RunFolder.find(report.run).journal.read_bytes()


@pytest.mark.parametrize("latency_ms", [0, 40])
@pytest.mark.parametrize("speed", [None, 200.0])
def test_the_record_is_the_same_at_every_speed(workplace: Path, speed: float | None, latency_ms: int) -> None:
    wanted = settings(**EAGER, simulated__order_latency_ms=latency_ms, seed=9)
    virtual = app.run(wanted, _minute())
    wall = wall_run.start(wanted, _minute(), LaunchOptions(speed), seeded=True)
    assert virtual.buys > 10
    assert _journal(wall) == _journal(virtual)
    assert app.replay_engine(RunFolder.find(wall.run)) == (None, True)


def test_without_a_seed_the_nonce_is_drawn_and_recorded_first(workplace: Path) -> None:
    runs = [wall_run.start(settings(**EAGER), _minute(), LaunchOptions(), seeded=False) for _ in range(2)]
    first, second = (list(read(RunFolder.find(run.run).journal)) for run in runs)
    nonces = [lines[1].entry.event.nonce for lines in (first, second)]  # type: ignore[union-attr]
    assert nonces[0] != nonces[1]
    assert len(first) == len(second)
    assert app.replay_engine(RunFolder.find(runs[0].run)) == (None, True)


def test_a_clock_that_runs_at_tape_speed_takes_as_long_as_the_tape(workplace: Path) -> None:
    tape = synthesize(SyntheticSpec(hours=1 / 3600, quotes_per_s=20, seed=4))
    begun_ns, length_ns = monotonic_ns(), int(tape.rows.ts[-1] - tape.rows.ts[0])
    results = wall_run.start(settings(), tape, LaunchOptions(10.0), seeded=True)
    # A busy machine makes a run late, never early: only the least time is a property of the code.
    assert monotonic_ns() - begun_ns >= length_ns / 10
    assert results.wakes and not results.interrupted


@dataclass
class SteppedClock:
    """A clock that jumps to the time that is waited for."""

    reached_ns: int
    speed: float = 1.0

    def now_ns(self) -> int:
        return self.reached_ns

    def until_ns(self, tape_ns: int) -> int:
        self.reached_ns = max(self.reached_ns, tape_ns)
        return 0


@dataclass
class WorkingDisk:
    """A disk without a fault."""

    fault: str | None = None

    def reserve(self) -> bool:
        return True


def test_run_on_a_clock_wakes_for_each_row_and_takes_none_before_its_time() -> None:
    wanted, tape = settings(), synthesize(SyntheticSpec(hours=1 / 3600, quotes_per_s=20, seed=4))
    engine, times = engine_for(wanted, tape), tape.rows.ts.tolist()
    venue = SimulatedVenue(VenueModel.of(wanted), lots_of(wanted, tape.symbols), tape.rows, nonce="n")
    runtime, clock = (
        VirtualRuntime(engine, venue, tape.rows, Recording(), clock=venue),
        SteppedClock(times[0]),
    )
    taken: list[int] = []
    runtime.on_row = lambda _: taken.append(clock.reached_ns)
    wall = WallRuntime(engine, runtime, cast(ReplayClock, clock), times[0], WorkingDisk())
    wall.reports_lag = False
    in_loop(wall.run(RunStarted("n")))
    assert taken == times
    assert wall.lag.wakes >= len(set(times)) > 5


def interrupt(row: int) -> None:
    """Interrupts this process at the first row."""
    if not row:
        os.kill(os.getpid(), signal.SIGINT)


def test_a_run_behind_its_clock_obeys_an_interrupt_soon() -> None:
    wanted, tape = settings(), synthesize(SyntheticSpec(hours=1, quotes_per_s=20, seed=4))
    engine, began_ns = engine_for(wanted, tape), int(tape.rows.ts[0])
    venue = SimulatedVenue(VenueModel.of(wanted), lots_of(wanted, tape.symbols), tape.rows, nonce="n")
    runtime = VirtualRuntime(engine, venue, tape.rows, Recording(), clock=venue)
    # More than the work of one wake: the run is behind from its first row on.
    runtime.on_row = interrupt
    clock = ReplayClock.begin(began_ns, 1e9)
    wall = WallRuntime(engine, runtime, clock, began_ns, WorkingDisk())
    wall.reports_lag = False
    in_loop(wall.run(RunStarted("n")))
    assert wall.stopped and engine.pos < len(tape.rows) / 2


def test_a_run_in_small_steps_has_the_same_record(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = settings(**EAGER, simulated__order_latency_ms=40, seed=9)
    virtual = app.run(wanted, _minute())
    monkeypatch.setattr("autohedge.runtime.wall.BUSY_NS", 0)
    monkeypatch.setattr("autohedge.runtime.wall.STEP_ROWS", 7)
    wall = wall_run.start(wanted, _minute(), LaunchOptions(), seeded=True)
    assert _journal(wall) == _journal(virtual)


def test_an_interrupt_ends_a_run_well(workplace: Path) -> None:
    harness = ProcessHarness(workplace, {"synthetic__hours": 0.1, "momentum__warmup_count": 0})
    running = harness.start("run", "--speed", "real", "--json")
    harness.wait_for(running, b"run_started")  # the first input: from then on an interrupt is handled
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=20)
    assert running.returncode == 1
    results = json.loads(out)
    assert results["interrupted"]
    assert err.splitlines()[-1] == f"autohedge: run {results['run']} was interrupted; its results are written"
    folder = RunFolder(workplace / "runs" / results["run"])
    assert verify(folder).finished
    assert app.replay_engine(folder) == (None, True)


def test_loop_lag_is_recorded_reduces_trading_and_replays(workplace: Path) -> None:
    wanted = settings(**EAGER | {"risk__max_lag_ms": 0.0001})
    results = wall_run.start(wanted, _minute(), LaunchOptions(speed=500.0), seeded=False)
    lines = list(read(RunFolder.find(results.run).journal))
    lags = [line.event for line in lines if isinstance(line.event, LoopLag)]
    assert lags and lags[0].lag_ms > 0.0001
    changes = [line.event for line in lines if isinstance(line.event, TradingStateChanged)]
    assert ("lag",) in [event.causes for event in changes]
    assert app.replay_engine(RunFolder.find(results.run)) == (None, True)

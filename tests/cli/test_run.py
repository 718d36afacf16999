"""A person's hand on a running run, and runs that end or die in other ways than a kill at the venue."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from autohedge import app
from autohedge.app.restart import restart
from autohedge.core.events import (
    AnyEvent,
    CancelOrder,
    ConnectionStatus,
    Continued,
    OperatorCommand,
    Restarted,
    SettingsChanged,
    SubmitOrder,
    TradingStateChanged,
)
from autohedge.core.orders import Side
from autohedge.journal import RunFolder, read, verify
from tests.process_harness import ROOT, Process, ProcessHarness, kill, wait

pytestmark = pytest.mark.process

EAGER: dict[str, Any] = {
    "momentum__min_edge_bps": -1000,
    "momentum__warmup_count": 2,
    "momentum__evaluate_every_quotes": 1,
    "exits__take_profit_bps": 1000,
    "exits__stop_loss_bps": 900,
    "synthetic__hours": 1,
    "synthetic__quotes_per_s": 20,
}
RESTING = EAGER | {
    "execution__time_in_force": "gtc",
    "execution__aggression_bps": 0,
    "simulated__order_latency_ms": 400,
}


@pytest.fixture
def harness(tmp_path: Path) -> ProcessHarness:
    return ProcessHarness(tmp_path, EAGER)


@pytest.fixture
def running(harness: ProcessHarness) -> Iterator[tuple[ProcessHarness, Process, str]]:
    """A run in real time that holds a position in every symbol."""
    process = harness.start("run", "--speed", "real")
    for symbol in (b"BTC", b"ETH", b"SOL"):
        harness.wait_for(process, b'"symbol":"' + symbol + b'/USD","side":"buy"')
    yield harness, process, _folder(harness).id
    kill(process)


def _folder(harness: ProcessHarness) -> RunFolder:
    journal = harness.journal()
    assert journal
    return RunFolder(journal.parent)


def _events(harness: ProcessHarness, *kinds: type[AnyEvent]) -> list[Any]:
    return [line.event for line in read(_folder(harness).journal) if isinstance(line.event, kinds)]


def _end(process: Process, with_signal: signal.Signals = signal.SIGINT) -> tuple[int, str, str]:
    process.send_signal(with_signal)
    out, err = process.communicate(timeout=60)
    return process.wait(), out, err


def test_halt_resume_and_flatten_are_inputs_with_their_reasons(
    running: tuple[ProcessHarness, Process, str],
) -> None:
    harness, process, run = running
    halted = harness.call("halt", run, "--reason", "lunch", "--json")
    assert halted.returncode == 0, halted.stderr
    assert json.loads(halted.stdout)["halted"] is True
    assert "entries are on again" in harness.call("resume", run, "--reason", "back").stdout
    assert "every position is being closed" in harness.call("flatten", run, "--reason", "storm").stdout
    status = json.loads(harness.call("status", run, "--json").stdout)
    assert status["halted"] is True and status["open_positions"] == {}
    assert harness.call("resume", run, "--halt-id", "x").returncode == 0
    code, _, err = _end(process)
    assert code == 1
    commands = [(event.command, event.reason) for event in _events(harness, OperatorCommand)]
    assert commands[:3] == [("halt", "lunch"), ("resume", "back"), ("flatten", "storm")]
    assert commands[-1] == ("stop", "interrupted")
    sold = [event for event in _events(harness, SubmitOrder) if event.side is Side.SELL]
    assert {event.reason for event in sold} == {"flatten"} and len(sold) == 3
    assert "[RISK] Entries halted: lunch" in err
    assert app.replay_engine(_folder(harness)) == (None, True)


def test_pause_shows_in_status_and_a_repeated_request_is_done_once(
    running: tuple[ProcessHarness, Process, str],
) -> None:
    harness, process, run = running
    asked = ("--actor", "alice", "--request-id", "r1", "--reason", "lunch")
    assert "paused" in harness.call("pause", run, *asked).stdout
    status = json.loads(harness.call("status", run, "--json").stdout)
    assert (status["says"], status["paused"], status["halted"]) == ("paused", True, False)
    assert "resting order" in harness.call("cancel-all", run).stdout
    assert "venue" in harness.call("sync", run).stdout
    assert "entries are on again" in harness.call("resume", run).stdout
    again = harness.call("pause", run, *asked)
    assert again.returncode == 0 and "request r1 was carried out before" in again.stdout
    assert json.loads(harness.call("status", run, "--json").stdout)["paused"] is False
    _end(process)
    paused, *_, repeated, stopped = _events(harness, OperatorCommand)
    assert (paused.actor, paused.request_id, paused.reason) == ("alice", "r1", "lunch")
    assert (repeated.command, repeated.request_id, stopped.command) == ("pause", "r1", "stop")
    assert app.replay_engine(_folder(harness)) == (None, True)


def test_reload_applies_a_file_and_refuses_a_broken_one_and_a_fixed_setting(
    running: tuple[ProcessHarness, Process, str],
) -> None:
    harness, process, run = running
    own = harness.path / "own.toml"
    own.write_text("[risk]\nmax_position_notional = many\n")
    broken = harness.call("reload", run, "--config", "own.toml")
    assert (broken.returncode, broken.stderr.count("\n")) == (2, 1)
    assert f"the settings stay as they were: {own} is not valid TOML: " in broken.stderr
    assert "line 2" in broken.stderr
    own.write_text("[momentum]\nlookback = 3\n[risk]\nmax_position_notional = 500\n")
    fixed = harness.call("reload", run, "--config", "own.toml")
    assert fixed.returncode == 3 and "momentum.lookback cannot change during a run" in fixed.stderr
    own.write_text("[risk]\nmax_position_notional = 500\n")
    done = harness.call("reload", run, "--config", "own.toml", "--actor", "alice")
    assert done.returncode == 0 and "settings changed: risk.max_position_notional = 500" in done.stdout
    same = harness.call("reload", run, "--config", "own.toml")
    assert same.returncode == 0 and "nothing has changed" in same.stdout
    _, _, err = _end(process)
    (changed,) = _events(harness, SettingsChanged)
    assert changed.changes == {"risk.max_position_notional": "500"}
    assert "[OPERATOR] Settings changed by alice: risk.max_position_notional = 500" in err


def test_resume_without_a_halt_is_refused(running: tuple[ProcessHarness, Process, str]) -> None:
    harness, _, run = running
    refused = harness.call("resume", run)
    assert (refused.returncode, refused.stderr) == (
        3,
        f"autohedge: run {run}: it is neither halted nor paused\n",
    )


def test_running_run_cannot_be_restarted_nor_a_finished_one_halted(
    running: tuple[ProcessHarness, Process, str],
) -> None:
    harness, process, run = running
    twice = harness.call("restart", run)
    assert twice.returncode == 3 and "being written by another process" in twice.stderr
    assert _end(process)[0] == 1
    over = harness.call("restart", run)
    assert (over.returncode, over.stderr.count("\n")) == (2, 1)
    assert "finished" in over.stderr
    late = harness.call("halt", run)
    assert (late.returncode, late.stderr.count("\n")) == (1, 1)
    assert "not running" in late.stderr


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_one_signal_finishes_a_run_and_cancels_resting_entries(
    tmp_path: Path, ending: signal.Signals
) -> None:
    harness = ProcessHarness(tmp_path, RESTING)
    process = harness.start("run", "--speed", "real", "--json")
    harness.wait_for(process, b"submit_order")
    code, out, err = _end(process, ending)
    assert code == 1, err
    results = json.loads(out)
    assert results["interrupted"] and results["open_orders"] == 0
    assert verify(_folder(harness)).finished
    canceled = {event.order_id for event in _events(harness, CancelOrder)}
    entries = {event.order_id for event in _events(harness, SubmitOrder) if event.side is Side.BUY}
    assert canceled and canceled <= entries
    assert app.replay_engine(_folder(harness)) == (None, True)


def test_two_interrupts_stop_at_once_and_a_restart_goes_on(tmp_path: Path) -> None:
    harness = ProcessHarness(tmp_path, RESTING | {"synthetic__hours": 0.005})
    with harness.venue(1.0) as port:
        process = harness.start("run", "--venue", str(port))
        harness.wait_for(process, b"submit_order")
        process.send_signal(signal.SIGINT)
        harness.wait_for(process, b'"stop"')
        code, _, err = _end(process)
        assert code == 1
        if not verify(_folder(harness)).finished:
            assert "autohedge: interrupted" in err.splitlines()[-1]
            restarted = harness.call("restart", _folder(harness).id)
            assert restarted.returncode == 1, restarted.stderr
            assert "was interrupted; its results are written" in restarted.stderr
    assert verify(_folder(harness)).finished


def test_open_orders_at_a_venue_give_code_4_until_a_restart_ends_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = (f"{(1_700_000_000_000 + 100 * row) * 1_000_000},100,101\n" for row in range(80))
    (tmp_path / "flat.csv").write_text("ts_ns,bid,ask\n" + "".join(rows))
    tape = ("--tape", f"X={tmp_path / 'flat.csv'}")
    slow = {"risk__max_lag_ms": 1e9, "risk__stale_after_ms": 1e9, "momentum__max_spread_bps": 1_000}
    harness = ProcessHarness(tmp_path, RESTING | slow)
    with harness.venue(8.0, *tape) as port:
        with monkeypatch.context() as patch:
            patch.setattr("autohedge.runtime.wall.LAST_ANSWERS_S", 0.0)  # so that no cancel is answered
            ended = harness.call("run", "--venue", str(port), "-q", *tape)
        folder = _folder(harness)
        (order,) = json.loads(folder.results.read_bytes())["working_orders"]
        assert (ended.returncode, ended.stderr.count("\n")) == (4, 1)
        assert order["order_id"] in ended.stderr and f"autohedge restart {folder.id}" in ended.stderr
        assert [event.order_id for event in _events(harness, CancelOrder)] == [order["order_id"]]
        with monkeypatch.context() as patch, pytest.raises(TypeError):
            patch.setattr("autohedge.runtime.wall.LAST_ANSWERS_S", None)  # so that it dies while it waits
            patch.chdir(tmp_path)
            restart(RunFolder.find(folder.id))
        assert not verify(folder).finished
        restarted = harness.call("restart", folder.id, "-q")
        assert restarted.returncode == 0, restarted.stderr
    results = json.loads(folder.results.read_bytes())
    assert (results["open_orders"], results["working_orders"], results["restarts"]) == (0, [], 2)
    assert verify(folder).finished and app.replay_engine(folder) == (None, True)
    assert harness.call("restart", folder.id).returncode == 2


@pytest.mark.parametrize("speed", ["20", "max", None])
def test_killed_run_with_local_venue_restarts_without_loss(tmp_path: Path, speed: str | None) -> None:
    narrow = {"exits__take_profit_bps": 2, "exits__stop_loss_bps": 2, "synthetic__hours": 3}
    harness = ProcessHarness(tmp_path, RESTING | narrow)
    process = harness.start("run", *(["--speed", speed] if speed else ["--seed", "3"]), "-q")
    harness.wait_for(process, b"run_started" if speed else b"genesis")
    if speed == "20":
        harness.call("halt", _folder(harness).id)
        harness.call("resume", _folder(harness).id)
    wait(process, 0.1)
    kill(process)
    assert not verify(_folder(harness)).finished
    before = _folder(harness).journal.read_bytes()
    before = before[: before.rfind(b"\n") + 1]
    restarted = harness.start("restart", _folder(harness).id, "-q")
    again = b'"restarted"' if speed else b'"continued"'
    harness.wait_for(restarted, again if b"nonce" in before else b"nonce")
    wait(restarted, 0.1)
    kill(restarted)
    folder = _folder(harness)
    assert app.replay_engine(folder)[0] is None
    if not verify(folder).finished:
        assert app.replay_engine(folder) == (None, False)
        second = folder.journal.read_bytes().rfind(b"\n") + 1  # the restart cuts a torn line off
        last = harness.start("restart", folder.id, "-q")
        harness.wait_for(last, again, after=second)
        assert _end(last)[0] in {0, 1} if speed else last.communicate() and not last.returncode
    assert folder.journal.read_bytes().startswith(before)
    assert verify(folder).finished
    assert app.replay_engine(folder) == (None, True)
    results = json.loads(folder.results.read_bytes())
    assert results["restarts"] == len(_events(harness, Restarted, Continued))


def test_dead_venue_ends_the_run_and_another_venue_is_refused(harness: ProcessHarness) -> None:
    with harness.venue(5.0) as port:
        process = harness.start("run", "--venue", str(port), "--patience", "0.5", "-q")
        harness.wait_for(process, b"submit_order")
        wait(process, 1.0)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err.count("\n")) == (1, 1)
    assert "the venue is not reachable" in err and "restart" in err
    assert not verify(_folder(harness)).finished
    gone = harness.call("restart", _folder(harness).id)
    assert gone.returncode == 1 and "no venue answers" in gone.stderr
    with harness.venue(1.0) as other:
        _folder(harness).write_launch(_folder(harness).read_launch() | {"venue_port": other})
        for _ in range(2):
            wrong = harness.call("restart", _folder(harness).id)
            assert wrong.returncode == 3 and "another venue than the one" in wrong.stderr


def test_run_waits_for_a_disconnected_venue_and_refuses_another(harness: ProcessHarness) -> None:
    with harness.venue(5.0) as port:
        process = harness.start("run", "--venue", str(port), "-q")
        harness.wait_for(process, b"submit_order")
    harness.wait_for(process, b'"down"')
    with harness.venue(5.0, "--port", str(port)):
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err.count("\n")) == (3, 1)
    assert "another venue than the one" in err
    assert [event.state for event in _events(harness, ConnectionStatus)] == ["down"]
    assert app.replay_engine(_folder(harness)) == (None, False)


def test_a_venue_refuses_another_market_and_another_run(harness: ProcessHarness) -> None:
    with harness.venue(5.0) as port:
        other = harness.call("run", "--venue", str(port), "--set", "synthetic.hours=0.5")
        assert other.returncode == 3 and "another tape" in other.stderr
        assert not list(harness.path.glob("runs/*"))
        process = harness.start("run", "--venue", str(port), "-q")
        harness.wait_for(process, b"submit_order")
        second = harness.call("run", "--venue", str(port))
        assert second.returncode == 3 and "its account belongs to run" in second.stderr
        kill(process)


def test_full_disk_halts_entries_until_resumed_with_the_halt_id(tmp_path: Path) -> None:
    """On a real file system of 24 MiB: fill it while the run trades, free it, resume."""
    probe = [
        "unshare",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        f"mount -t tmpfs -o size=1m probe {tmp_path}",
    ]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount a small file system")
    command = f"mount -t tmpfs -o size=24m small {tmp_path} && cd {tmp_path} && exec {sys.executable} -c "
    shell = [
        "unshare",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        f"{command} 'import tests.full_disk_harness'",
    ]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(shell, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r"refused: .* pass --halt-id halt-\d+", done.stdout)
    assert "resumed and replayed" in done.stdout


def test_halted_has_no_id_by_default_and_resumed_has_its_reason() -> None:
    assert TradingStateChanged("halted", reason="full").halt_id is None
    assert TradingStateChanged("active", reason="again").reason == "again"

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
from autohedge.core.events import (
    AnyEvent,
    CancelOrder,
    Halted,
    Link,
    Operator,
    Restarted,
    Resumed,
    SubmitOrder,
)
from autohedge.core.orders import Side
from autohedge.journal import RunFolder, read, verify
from tests.process import ROOT, Place, Process, kill, wait

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
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, EAGER)


@pytest.fixture
def running(place: Place) -> Iterator[tuple[Place, Process, str]]:
    """A run in real time that holds a position in every symbol."""
    process = place.start("run", "--speed", "real")
    for symbol in (b"BTC", b"ETH", b"SOL"):
        place.wait_for(process, b'"symbol":"' + symbol)
    yield place, process, _folder(place).id
    kill(process)


def _folder(place: Place) -> RunFolder:
    journal = place.journal()
    assert journal
    return RunFolder(journal.parent)


def _events(place: Place, *kinds: type[AnyEvent]) -> list[Any]:
    return [line.event for line in read(_folder(place).journal) if isinstance(line.event, kinds)]


def _end(process: Process, with_signal: signal.Signals = signal.SIGINT) -> tuple[int, str, str]:
    process.send_signal(with_signal)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_halt_resume_and_flatten_are_inputs_with_their_reasons(running: tuple[Place, Process, str]) -> None:
    place, process, run = running
    halted = place.call("halt", run, "--reason", "lunch", "--json")
    assert halted.returncode == 0, halted.stderr
    assert json.loads(halted.stdout)["halted"] is True
    assert "entries are on again" in place.call("resume", run, "--reason", "back").stdout
    assert "every position is being sold" in place.call("flatten", run, "--reason", "storm").stdout
    status = json.loads(place.call("status", run, "--json").stdout)
    assert status["halted"] is True and status["open_positions"] == {}
    assert place.call("resume", run, "--halt-id", "x").returncode == 0
    code, _, err = _end(process)
    assert code == 0
    said = [(event.command, event.reason) for event in _events(place, Operator)]
    assert said[:3] == [("halt", "lunch"), ("resume", "back"), ("flatten", "storm")]
    assert said[-1] == ("stop", "interrupted")
    sold = [event for event in _events(place, SubmitOrder) if event.side is Side.SELL]
    assert {event.reason for event in sold} == {"flatten"} and len(sold) == 3
    assert "[RISK] Entries halted: lunch" in err
    assert app.replay_run(_folder(place)) == (None, True)


def test_resume_without_a_halt_is_refused(running: tuple[Place, Process, str]) -> None:
    place, _, run = running
    refused = place.call("resume", run)
    assert (refused.returncode, refused.stderr) == (3, f"autohedge: run {run}: it is not halted\n")


def test_a_run_that_runs_cannot_be_restarted_and_one_that_does_not_cannot_be_halted(
    running: tuple[Place, Process, str],
) -> None:
    place, process, run = running
    twice = place.call("restart", run)
    assert twice.returncode == 3 and "being written by another process" in twice.stderr
    assert _end(process)[0] == 0
    over = place.call("restart", run)
    assert (over.returncode, over.stderr.count("\n")) == (2, 1)
    assert "finished" in over.stderr
    late = place.call("halt", run)
    assert (late.returncode, late.stderr.count("\n")) == (1, 1)
    assert "not running" in late.stderr


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_ends_a_run_well_and_takes_resting_entries_back(
    tmp_path: Path, ending: signal.Signals
) -> None:
    place = Place(tmp_path, RESTING)
    process = place.start("run", "--speed", "real", "--json")
    place.wait_for(process, b"submit_order")
    code, out, err = _end(process, ending)
    assert code == 0, err
    results = json.loads(out)
    assert results["interrupted"] and results["open_orders"] == 0
    assert verify(_folder(place)).finished
    taken_back = {event.order_id for event in _events(place, CancelOrder)}
    entries = {event.order_id for event in _events(place, SubmitOrder) if event.side is Side.BUY}
    assert taken_back and taken_back <= entries
    assert app.replay_run(_folder(place)) == (None, True)


def test_two_interrupts_stop_at_once_and_a_restart_goes_on(tmp_path: Path) -> None:
    place = Place(tmp_path, RESTING | {"synthetic__hours": 0.005})
    with place.venue(1.0) as port:
        process = place.start("run", "--venue", str(port))
        place.wait_for(process, b"submit_order")
        process.send_signal(signal.SIGINT)
        place.wait_for(process, b'"stop"')
        code, _, err = _end(process)
        assert code in {0, 1}
        if code == 1:
            assert "autohedge: interrupted" in err.splitlines()[-1]
            again = place.call("restart", _folder(place).id)
            assert again.returncode == 0, again.stderr
    assert verify(_folder(place)).finished


@pytest.mark.parametrize("speed", ["20", "max", None])
def test_a_run_with_its_venue_inside_comes_back_whole(tmp_path: Path, speed: str | None) -> None:
    place = Place(tmp_path, RESTING | {"exits__take_profit_bps": 2, "exits__stop_loss_bps": 2})
    process = place.start("run", *(["--speed", speed] if speed else ["--seed", "3"]), "-q")
    place.wait_for(process, b"run_nonce" if speed else b"genesis")
    if speed == "20":
        place.call("halt", _folder(place).id)
        place.call("resume", _folder(place).id)
    wait(process, 0.3)
    kill(process)
    if verify(_folder(place)).finished:
        pytest.skip("the run was over before it could be killed")
    before = _folder(place).journal.read_bytes()
    before = before[: before.rfind(b"\n") + 1]
    again = place.start("restart", _folder(place).id, "-q")
    place.wait_for(again, b'"restarted"' if b"nonce" in before else b"nonce")
    wait(again, 0.3)
    kill(again)
    folder = _folder(place)
    assert app.replay_run(folder)[0] is None
    if not verify(folder).finished:
        assert app.replay_run(folder) == (None, False)
        second = folder.journal.stat().st_size
        last = place.start("restart", folder.id, "-q")
        place.wait_for(last, b'"restarted"', after=second)
        assert _end(last)[0] == 0
    assert folder.journal.read_bytes().startswith(before)
    assert verify(folder).finished
    assert app.replay_run(folder) == (None, True)
    results = json.loads(folder.results.read_bytes())
    assert results["restarts"] == len(_events(place, Restarted))


def test_a_venue_that_dies_ends_the_run_in_one_line_and_another_one_is_not_taken_for_it(place: Place) -> None:
    with place.venue(5.0) as port:
        process = place.start("run", "--venue", str(port), "--patience", "0.5", "-q")
        place.wait_for(process, b"submit_order")
        wait(process, 1.0)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err.count("\n")) == (1, 1)
    assert "the venue hung up" in err and "restart" in err
    assert not verify(_folder(place)).finished
    gone = place.call("restart", _folder(place).id)
    assert gone.returncode == 1 and "no venue answers" in gone.stderr
    with place.venue(1.0) as other:
        _folder(place).write_pace(_folder(place).read_pace() | {"venue_port": other})
        for _ in range(2):
            wrong = place.call("restart", _folder(place).id)
            assert wrong.returncode == 3 and "another venue than the one" in wrong.stderr


def test_a_run_waits_for_a_venue_that_hung_up_but_takes_no_other_one_in_its_place(place: Place) -> None:
    with place.venue(5.0) as port:
        process = place.start("run", "--venue", str(port), "-q")
        place.wait_for(process, b"submit_order")
    place.wait_for(process, b'"down"')
    with place.venue(5.0, "--port", str(port)):
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err.count("\n")) == (3, 1)
    assert "another venue than the one" in err
    assert [event.state for event in _events(place, Link)] == ["down"]
    assert app.replay_run(_folder(place)) == (None, False)


def test_a_venue_refuses_another_market_and_another_run(place: Place) -> None:
    with place.venue(5.0) as port:
        other = place.call("run", "--venue", str(port), "--set", "synthetic.hours=0.5")
        assert other.returncode == 3 and "another tape" in other.stderr
        assert not list(place.path.glob("runs/*"))
        process = place.start("run", "--venue", str(port), "-q")
        place.wait_for(process, b"submit_order")
        second = place.call("run", "--venue", str(port))
        assert second.returncode == 3 and "its account belongs to run" in second.stderr
        kill(process)


def test_a_full_disk_halts_entries_and_a_person_with_the_id_resumes(tmp_path: Path) -> None:
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
    shell = ["unshare", "--map-root-user", "--mount", "sh", "-c", f"{command} 'import tests.full_disk'"]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(shell, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r"refused: .* give --halt-id halt-\d+", done.stdout)
    assert "resumed and replayed" in done.stdout


def test_events_of_a_halt_name_it() -> None:
    assert Halted("full").halt_id is None
    assert Resumed("again").reason == "again"

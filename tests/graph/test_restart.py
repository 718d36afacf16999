"""Restarts of hybrid runs: gates closed, prompts and lessons restored, one record, no process left."""

import json
import os
import select
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from autohedge import app
from autohedge.app import wall_run
from autohedge.app.restart import restart
from autohedge.app.wall_run import LaunchOptions
from autohedge.core.events import (
    Decision,
    DeliberationRequested,
    EndOfTape,
    Event,
    ExecutionReport,
    GateChanged,
    Restarted,
)
from autohedge.graph.prompt_builder import PromptFiles
from autohedge.graph.restore import restore_usage
from autohedge.journal import RunFolder, read, verify
from autohedge.prompts.library import read as read_prompt
from tests.graph.record_factory import ANSWER, TIGHT, transcribed
from tests.process_harness import Process, ProcessHarness, kill
from tests.run_harness import settings

pytestmark = pytest.mark.process

EAGER: dict[str, Any] = {
    "hybrid__gate_refresh_quotes": 40,
    "hybrid__min_refresh_s": 0,
    "hybrid__no_trade_cooldown_quotes": 5,
}
SCRIPTED: dict[str, Any] = (
    TIGHT
    | EAGER
    | {
        "trading__mode": '"hybrid"',
        "synthetic__hours": 0.1,
        "synthetic__symbols": '["BTC/USD"]',
        "hybrid__learn_every_trades": 1,
        "llm__provider": '"scripted"',
        "llm__script": '"script.jsonl"',
        "llm__retries": 0,
    }
)
CLOCKED: dict[str, Any] = EAGER | {
    "trading__mode": "hybrid",
    "synthetic__hours": 2,
    "hybrid__deadline_s": 120,
    "hybrid__learn_every_trades": 1,
}
TIMEOUT_S = 60.0


def _scripted(path: Path, **changes: Any) -> RunFolder:
    """Makes a seeded run on a clock with scripted answers."""
    (path / "script.jsonl").write_text(f"{json.dumps(ANSWER)}\n" * 400)
    wanted = settings(**SCRIPTED | changes)
    return RunFolder.find(wall_run.start(wanted, app.tape_for(wanted, []), LaunchOptions(), seeded=True).run)


def _events(folder: RunFolder) -> list[Event]:
    return [line.event for line in read(folder.journal) if line.event]


def _died(folder: RunFolder, lines: int) -> RunFolder:
    """Cuts the journal but not the transcript, as a power failure can."""
    left = RunFolder(Path(shutil.copytree(folder.path, folder.path.parent / f"{folder.id}-{lines}")))
    left.results.unlink()
    whole = left.journal.read_bytes().splitlines(keepends=True)
    left.journal.write_bytes(b"".join(whole[:lines]))
    return left


def _holds(folder: RunFolder) -> None:
    """Verifies the record, and replays engine and deliberations."""
    assert verify(folder).finished
    assert app.replay_engine(folder) == (None, True)
    replay = app.replay_deliberations(folder)
    assert replay and replay.difference is None


def test_run_truncated_anywhere_restarts_and_replays_with_its_lessons(workplace: Path) -> None:
    folder = _scripted(workplace)
    events = _events(folder)
    lesson = next(n for n, event in enumerate(events) if isinstance(event, Decision) and event.kind != "gate")
    question = next(
        n for n, event in enumerate(events) if n > lesson and isinstance(event, DeliberationRequested)
    )
    for lines in (2, lesson + 2, question + 2, len(events) // 2, len(events) - 4):
        restarted = _died(folder, lines + 1)
        restart(restarted)
        _holds(restarted)
        assert sum(isinstance(event, Restarted) for event in _events(restarted)) == 1
    first_after = _died(folder, lesson + 2)
    restart(first_after)
    last = max(e.number for e in events[: lesson + 1] if isinstance(e, DeliberationRequested))
    shown = [line for line in transcribed(first_after) if line.deliberation > last and line.request]
    assert shown[0].request and "Patience pays." in shown[0].request.messages[-1].content


def test_restart_continues_with_spent_call_budget(workplace: Path) -> None:
    folder = _scripted(workplace, llm__max_calls=6)
    calls = sum(line.tries for line in transcribed(folder))
    assert calls == 6
    restarted = _died(folder, len(_events(folder)) * 2 // 3)
    restart(restarted)
    _holds(restarted)
    assert sum(line.tries for line in transcribed(restarted)) == 6
    assert restore_usage(restarted.transcript).calls == 6 and restore_usage(Path("nowhere")).calls == 0


def test_decisions_after_last_row_are_reproduced_on_restart(workplace: Path) -> None:
    latency = {"simulated__response_latency_ms": 60_000, "llm__virtual_latency_s": 20}
    folder = _scripted(workplace, **latency)
    record, events = folder.journal.read_bytes(), _events(folder)
    end_ns = int(app.tape_for(settings(**SCRIPTED), []).rows.ts[-1])
    after = [event for event in events if getattr(event, "at_ns", 0) > end_ns]
    assert {type(event) for event in after} >= {Decision, ExecutionReport} and isinstance(
        events[-2], EndOfTape
    )
    folder.results.unlink()
    restart(folder)
    assert folder.journal.read_bytes() == record


@pytest.fixture
def place(tmp_path: Path) -> ProcessHarness:
    return ProcessHarness(tmp_path, CLOCKED)


@pytest.mark.parametrize("seed", [7])
def test_a_seeded_run_on_a_clock_writes_what_it_writes_in_virtual_time(
    place: ProcessHarness, seed: int
) -> None:
    short = ProcessHarness(place.path, CLOCKED | {"synthetic__hours": 0.2})
    records = []
    for how in ([], ["--speed", "max"]):
        done = short.call("run", "--seed", str(seed), "--json", "-q", *how)
        assert done.returncode == 0, done.stderr
        run = RunFolder(place.path / "runs" / json.loads(done.stdout)["run"])
        records.append((run.journal.read_bytes(), run.transcript.read_bytes()))
    assert records[0] == records[1]
    assert b'"gate_changed"' in records[0][0]


def _worker_of(process: Process) -> int:
    """Returns the pid of a run's worker process."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    (pid,) = (int(each) for each in children if b"graph.worker" in Path(f"/proc/{each}/cmdline").read_bytes())
    return pid


@pytest.fixture
def watched() -> Iterator[list[int]]:
    """Handles of processes that must end by themselves; those that do not are killed."""
    handles: list[int] = []
    yield handles
    for handle in handles:
        if not _ended(handle, 0.0):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        os.close(handle)


def _ended(handle: int, within_s: float) -> bool:
    return bool(select.select([handle], [], [], within_s)[0])


def test_killed_hybrid_run_restarts_with_closed_gates_and_own_prompts(
    place: ProcessHarness, watched: list[int]
) -> None:
    trader = place.start("run", "--speed", "240", "-q")
    place.wait_for(trader, b'"state":"open"')
    watched.append(os.pidfd_open(_worker_of(trader)))
    kill(trader)
    assert _ended(watched[0], TIMEOUT_S), "the worker outlives its run"

    journal = place.journal()
    assert journal
    folder, before = RunFolder(journal.parent), journal.read_bytes()
    prompts = place.path / "prompts"
    prompts.mkdir()
    (prompts / "director.md").write_text("{broken")
    (prompts / "stray.md").write_text("")
    trader = place.start("restart", folder.id, "-q")
    place.wait_for(trader, b'"state":"open"', after=len(before))
    watched.append(os.pidfd_open(_worker_of(trader)))
    trader.send_signal(signal.SIGINT)
    _, err = trader.communicate(timeout=TIMEOUT_S)
    assert trader.returncode == 1, err
    assert _ended(watched[1], TIMEOUT_S), "the worker outlives its run"

    assert folder.journal.read_bytes().startswith(before[: before.rfind(b"\n") + 1])
    _require_closed_at_restart(_events(folder))
    _holds(folder)
    for verb in (["journal", "verify"], ["replay"], ["replay", "--engine-only"]):
        done = place.call(*verb, folder.id)
        assert done.returncode == 0, done.stdout + done.stderr


def _require_closed_at_restart(events: list[Event]) -> None:
    (at,) = (n for n, event in enumerate(events) if isinstance(event, Restarted))
    gates: dict[str, str] = {e.symbol: e.state for e in events[:at] if isinstance(e, GateChanged)}
    was_open = {symbol for symbol, state in gates.items() if state == "open"}
    first_decision = next(n for n, event in enumerate(events) if n > at and isinstance(event, Decision))
    between = [event for event in events[at:first_decision] if isinstance(event, GateChanged)]
    assert {event.symbol for event in between if event.why == "restarted"} == was_open
    assert not any(event.state == "open" for event in between)


def test_a_recorded_prompt_comes_back_to_the_byte_whatever_its_line_ends(tmp_path: Path) -> None:
    text = read_prompt("director")[0].replace("\n", "\r\n")
    folder = RunFolder(tmp_path)
    (tmp_path / "files").mkdir()
    agents = PromptFiles({"director": (text, "director.md")}, "").store_files(folder.store_file)
    restored = PromptFiles.recorded(agents, folder.stored_file)
    assert restored.prompts["director"][0] == text

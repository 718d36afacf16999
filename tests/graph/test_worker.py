"""A worker process that is frozen and killed while the run continues."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from autohedge.core.events import DeliberationRequested
from autohedge.graph.prompt_builder import PromptFiles
from autohedge.graph.worker import Worker
from autohedge.llm.usage import TokenUsage
from tests.fork_server import fork_worker
from tests.graph.test_eight_workers import Team
from tests.process_harness import ProcessHarness, kill
from tests.run_harness import settings
from tests.snapshot_factory import snapshot

pytestmark = pytest.mark.process

SPEED = 120
RUN = [
    "run", "--mode", "hybrid", "--speed", str(SPEED), "--json",
    "--set", "synthetic.hours=2", "--set", "hybrid.gate_refresh_quotes=40", "--set", "hybrid.min_refresh_s=0",
    "--set", "llm.provider=rules", "--set", "hybrid.no_trade_cooldown_quotes=5",
    "--set", "hybrid.deadline_s=120", "--set", "chatter_level=normal",
]  # fmt: skip
IN_TIME_S = 60


class RunProcess:
    """A run in a process of its own, and its log lines."""

    def __init__(self, folder: Path) -> None:
        self._process = ProcessHarness(folder, {}).start(*RUN)
        assert self._process.stderr
        self._lines = iter(self._process.stderr.readline, "")
        self.worker = 0

    def until(self, mark: str) -> str:
        """Returns the next line with `mark`."""
        for line in self._lines:
            if mark in line:
                return line
        raise AssertionError(f"it ended without saying {mark!r}")

    def signal_worker(self, which: signal.Signals) -> int:
        """Sends the worker process a signal; returns its pid."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        (pid,) = (int(each) for each in children if b"graph.worker" in _command(each))
        os.kill(pid, which)
        return pid

    def end(self) -> dict[str, Any]:
        """Interrupts the run and returns its results."""
        self._process.send_signal(signal.SIGINT)
        out, _ = self._process.communicate(timeout=IN_TIME_S)
        assert self._process.returncode == 1
        results: dict[str, Any] = json.loads(out)
        return results

    def close(self) -> None:
        kill(self._process)


def _command(pid: str) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


@pytest.fixture
def run_process(tmp_path: Path) -> Iterator[RunProcess]:
    begun = RunProcess(tmp_path)
    yield begun
    begun.close()


def test_killed_worker_closes_gates_and_is_restarted(run_process: RunProcess) -> None:
    run_process.until("Gate OPEN")
    run_process.signal_worker(signal.SIGSTOP)
    run_process.until("timeout")
    run_process.until("Refreshing")
    killed = run_process.signal_worker(signal.SIGKILL)
    run_process.until("worker_died")
    run_process.until("Gate OPEN")
    assert run_process.signal_worker(signal.SIGCONT) != killed
    results = run_process.end()
    assert results["agents"]["worker_deaths"] == 1
    assert results["deliberations"]["abstentions"]["worker_died"] >= 1


def test_a_frozen_worker_is_a_timeout_and_delays_no_quote(run_process: RunProcess) -> None:
    run_process.until("Gate OPEN")
    run_process.signal_worker(signal.SIGSTOP)
    run_process.until("timeout")
    run_process.until("[PROGRESS]")
    run_process.signal_worker(signal.SIGCONT)
    run_process.until("Gate OPEN")
    results = run_process.end()
    assert results["deliberations"]["abstentions"]["timeout"] >= 1
    assert results["agents"]["worker_deaths"] == 0


def test_newer_question_replaces_waiting_one_of_same_symbol(workplace: Path) -> None:
    wanted = settings(trading__mode="hybrid", llm__provider='"rules"')
    with contextlib.closing(Worker(wanted, PromptFiles.of(wanted), fork_worker)) as worker:
        for number, symbol in enumerate(("A", "B", "A", "A"), start=1):
            shot = snapshot(number=number, symbol=symbol)
            worker.request(DeliberationRequested(0, number, "gate", symbol, shot.hash), shot)
        assert worker.waiting == 2


def test_spent_budget_survives_worker_death(workplace: Path) -> None:
    wanted = settings(trading__mode="hybrid", llm__provider='"rules"', llm__max_calls=6)

    async def answer_codes(worker: Worker) -> list[str]:
        team, codes = Team([worker]), list[str]()
        try:
            for symbol in ("A", "B", "C"):
                team.ask(worker, symbol)
                codes += [each.code or each.source for each in await team.answered(1)]
                deaths = worker.deaths
                os.kill(worker.pid, signal.SIGKILL)
                await team.until(lambda deaths=deaths: worker.deaths > deaths)  # type: ignore[misc]
        finally:
            team.end()
        return codes

    before = TokenUsage(calls=4)
    with contextlib.closing(Worker(wanted, PromptFiles.of(wanted), fork_worker, (0.0,), before)) as worker:
        assert asyncio.run(answer_codes(worker)) == ["rules", "rules", "budget"]
        assert worker.spent.calls == 6

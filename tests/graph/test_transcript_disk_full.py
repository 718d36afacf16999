"""A temporarily full disk costs only the answers of that time."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from autohedge.llm.transcript import read
from tests.process_harness import ROOT

pytestmark = pytest.mark.process

# Compiled kernels are there already: with the limit below they could not be stored.
CACHES = {name: os.environ[name] for name in ("AUTOHEDGE_CACHE_DIR", "XDG_CACHE_HOME") if name in os.environ}

SCRIPT = """
import asyncio, contextlib, resource
from pathlib import Path
from autohedge.core.events import DeliberationRequested
from autohedge.graph.prompt_builder import PromptFiles
from autohedge.graph.runtime import WorkerRuntime
from autohedge.llm.policy import sleep
from tests.snapshot_factory import rows, snapshot
from tests.run_harness import settings

wanted = settings(trading__mode="hybrid", llm__provider='"rules"')
agents = WorkerRuntime(wanted, PromptFiles.of(wanted))
received = []


def room(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


async def play():
    path = Path({path!r})
    serving = asyncio.ensure_future(agents.serve(path, lambda make: received.append(make(1).number)))
    for number, size in ((1, 100), (2, resource.RLIM_INFINITY)):
        room(size)
        shown = snapshot(rows([100, 101]), number=number, symbol="X")
        agents.worker.request(DeliberationRequested(0, number, "gate", "X", shown.hash), shown)
        while (agents.worker.waiting or number > 1 and not received) and not serving.done():
            await sleep(0.01)
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


with contextlib.closing(agents):
    asyncio.run(play())
print(*received)
"""


def test_decision_during_full_disk_is_dropped_and_next_one_counts(tmp_path: Path) -> None:
    path = tmp_path / "transcript.jsonl"
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(path=str(path))],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.stdout == "2\n", done.stderr
    assert "File too large; make room" in done.stderr and "Traceback" not in done.stderr
    assert {line.deliberation for line in read(path)} == {2}


def test_run_with_full_transcript_disk_ends_in_one_line_error(tmp_path: Path) -> None:
    run = (
        "import resource, sys; from autohedge.cli import main; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, resource.RLIM_INFINITY)); "
        "wanted = {'synthetic.hours': 0.2, 'synthetic.quotes_per_s': 1, 'synthetic.symbols': '[\"BTC/USD\"]', "
        "'hybrid.gate_refresh_quotes': 20, 'hybrid.min_refresh_s': 0, 'hybrid.cache_verdicts': 'false'}; "
        "sys.argv = ['autohedge', 'run', '--quiet']; "
        "sys.argv += [word for key, value in wanted.items() for word in ('--set', f'{key}={value}')]; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", run],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "", **CACHES},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("autohedge: cannot write ") and line.endswith("File too large; make room")

"""A disk that takes no transcript for a while costs the answers of that while, and no more."""

import os
import subprocess
import sys
from pathlib import Path

from autohedge.llm.transcript import read
from tests.process import ROOT

SCRIPT = """
import asyncio, contextlib, resource
from pathlib import Path
from autohedge.core.events import Deliberate
from autohedge.graph.materials import Sources
from autohedge.graph.plane import WorkerPlane
from autohedge.llm.policy import pause
from tests.showing import rows, snapshot
from tests.support import settings

wanted = settings(trading__mode="hybrid", llm__provider='"rules"')
plane = WorkerPlane(wanted, Sources.of(wanted))
heard = []


def room(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


async def play():
    path = Path({path!r})
    serving = asyncio.ensure_future(plane.serve(path, lambda told: heard.append(told(1).number)))
    for number, size in ((1, 100), (2, resource.RLIM_INFINITY)):
        room(size)
        shown = snapshot(rows([100, 101]), number=number, symbol="X")
        plane.worker.ask(Deliberate(0, number, "gate", "X", shown.hash), shown)
        while plane.worker.waiting and not serving.done():
            await pause(0.01)
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


with contextlib.closing(plane):
    asyncio.run(play())
print(*heard)
"""


def test_an_answer_that_cannot_be_written_down_does_not_count_and_the_next_one_does(tmp_path: Path) -> None:
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
    assert {line.deliberation for line in read(path)} == {1, 2}


def test_a_run_on_a_tape_whose_transcript_finds_no_room_ends_in_one_line(tmp_path: Path) -> None:
    run = (
        "import resource, sys; from autohedge.cli import main; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY)); "
        "sys.argv = ['autohedge', 'run', '--quiet', '--set', 'synthetic.hours=0.2']; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", run],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "", "AUTOHEDGE_CACHE_DIR": os.environ["AUTOHEDGE_CACHE_DIR"]},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("autohedge: cannot write ") and line.endswith("File too large; make room")

"""The program as a process of its own, in a working directory of its own, that can be killed."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
Process = subprocess.Popen[str]


@dataclass(frozen=True)
class ProcessHarness:
    """A working directory and the settings of every process started there; in hft mode if they name none."""

    path: Path
    settings: Mapping[str, object]

    def start(self, *args: str) -> Process:
        """Start `autohedge` with these arguments."""
        wanted: dict[str, object] = {"trading__mode": "hft"} | dict(self.settings)
        named = {f"AUTOHEDGE__{key.upper()}": str(value) for key, value in wanted.items()}
        env = os.environ | named | {"PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-m", "autohedge", *args]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=self.path, env=env, stdout=pipe, stderr=pipe, text=True)

    def call(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Run `autohedge` to its end."""
        process = self.start(*args)
        out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess(args, process.returncode, out, err)

    @contextmanager
    def venue(self, speed: float, *args: str) -> Iterator[int]:
        """A venue in another process; gives its port."""
        process = self.start("venue", "--port", "0", "--speed", str(speed), *args)
        assert process.stdout
        listening = re.search(r"listening on 127\.0\.0\.1:(\d+)", process.stdout.readline())
        assert listening, process.stderr and process.stderr.read()
        try:
            yield int(listening[1])
        finally:
            kill(process)

    def journal(self) -> Path | None:
        """The journal of the only run here, once there is one."""
        return next(iter(self.path.glob("runs/*/journal.jsonl")), None)

    def wait_for(self, process: Process, text: bytes, after: int = 0) -> None:
        """Wait until the journal holds `text` beyond its first `after` bytes."""
        while (journal := self.journal()) is None or text not in journal.read_bytes()[after:]:
            assert process.poll() is None, process.communicate()
            wait(process, 0.01)


def wait(process: Process, seconds: float) -> None:
    """Let a process go on for a while, or until it ends."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return


def kill(process: Process) -> None:
    """As the kernel does it: no last word."""
    process.send_signal(signal.SIGKILL)
    process.communicate()

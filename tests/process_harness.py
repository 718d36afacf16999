"""Runs the program in its own working directory: as a separate process, which a test can kill, or in this one."""

import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from autohedge import cli
from tests.fork_server import ForkedProcess, fork_command

ROOT = Path(__file__).parent.parent
Process = ForkedProcess | subprocess.Popen[str]


@dataclass(frozen=True)
class ProcessHarness:
    """A working directory, and the settings of all processes started there; hft mode is the default."""

    path: Path
    settings: Mapping[str, object]

    @property
    def environment(self) -> dict[str, str]:
        """Returns the variables that hold the settings."""
        wanted: dict[str, object] = {"trading__mode": "hft"} | dict(self.settings)
        return {f"AUTOHEDGE__{key.upper()}": str(value) for key, value in wanted.items()}

    def start(self, *args: str) -> Process:
        """Starts `autohedge` with these arguments in a process of its own."""
        return fork_command(args, self.path, self._variables())

    def start_interpreter(self, *args: str) -> Process:
        """Starts `autohedge` with these arguments in a new interpreter, which takes seconds to import it."""
        command, pipe = [sys.executable, "-m", "autohedge", *args], subprocess.PIPE
        env = self._variables()
        return subprocess.Popen(command, cwd=self.path, env=env, stdout=pipe, stderr=pipe, text=True)

    def _variables(self) -> dict[str, str]:
        return os.environ | self.environment | {"PYTHONPATH": str(ROOT)}

    def call(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Runs `autohedge` in this process until it exits: what ends by itself needs no process of its own."""
        out, err = io.TextIOWrapper(io.BytesIO()), io.TextIOWrapper(io.BytesIO())
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.chdir(self.path)
            patch.setattr(sys, "argv", ["autohedge", *args])
            for name, value in self.environment.items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as ended:
                cli.main()
        return subprocess.CompletedProcess(args, int(ended.value.code or 0), _text(out), _text(err))

    @contextmanager
    def venue(self, speed: float, *args: str) -> Iterator[int]:
        """Runs a venue in another process; yields its port."""
        process = self.start("venue", "--port", "0", "--speed", str(speed), *args)
        assert process.stdout
        listening = re.search(r"listening on 127\.0\.0\.1:(\d+)", process.stdout.readline())
        assert listening, process.stderr and process.stderr.read()
        try:
            yield int(listening[1])
        finally:
            kill(process)

    def journal(self) -> Path | None:
        """Returns the journal of the only run here; None before it exists."""
        return next(iter(self.path.glob("runs/*/journal.jsonl")), None)

    def wait_for(self, process: Process, text: bytes, after: int = 0) -> None:
        """Waits until the journal has `text` after its first `after` bytes."""
        while not (journal := self.journal()):
            assert process.poll() is None, process.communicate()
            wait(process, 0.01)
        with journal.open("rb") as file:
            while True:
                file.seek(after)
                new = file.read()
                if text in new:
                    return
                after += new.rfind(b"\n") + 1  # whole lines stay; a restart cuts a torn one off
                assert process.poll() is None, process.communicate()
                wait(process, 0.01)


def _text(captured: io.TextIOWrapper) -> str:
    captured.seek(0)
    return captured.read()


def wait(process: Process, seconds: float) -> None:
    """Waits for some seconds, or until the process ends."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return


def kill(process: Process) -> None:
    """Kills a process with SIGKILL, which it cannot handle."""
    process.send_signal(signal.SIGKILL)
    process.communicate()

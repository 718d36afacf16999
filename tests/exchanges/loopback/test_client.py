"""The client reports any listener that is not a venue in one line."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest

from autohedge.core.errors import Unavailable
from autohedge.exchanges.loopback import client
from autohedge.exchanges.loopback.client import LoopbackClient, fetch_statement
from autohedge.exchanges.loopback.protocol import HOST, Hello

HELLO = Hello("run", ("tape",), Decimal(10), Decimal(10))


async def _facing(reply: bytes | None, talk: Callable[[int], Awaitable[Any]]) -> None:
    """Runs `talk` against a listener that answers with `reply`; with None it does not answer."""

    gone = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(reply or b"")
        if reply is None:
            await reader.read()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
        gone.set()

    async with await asyncio.start_server(answer, HOST, 0) as server:
        try:
            await talk(server.sockets[0].getsockname()[1])
        finally:
            await gone.wait()


async def _connect(port: int) -> None:
    await LoopbackClient(port, HELLO).connect()


@pytest.mark.parametrize("talk", [_connect, fetch_statement])
@pytest.mark.parametrize(
    "reply", [b"", b"SSH-2.0-OpenSSH\r\n", b'{"type":"accepted"}\n', b"\xff\n", b"x" * (1 << 25)]
)
def test_listener_that_is_no_venue_is_reported_in_one_line(
    reply: bytes, talk: Callable[[int], Awaitable[Any]]
) -> None:
    with pytest.raises(Unavailable, match="start a venue: autohedge venue") as caught:
        asyncio.run(_facing(reply, talk))
    assert "\n" not in str(caught.value)


def test_listener_without_reply_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "ANSWER_S", 0.05)
    with pytest.raises(Unavailable, match="does not answer"):
        asyncio.run(_facing(None, _connect))


def test_port_without_listener_suggests_starting_a_venue() -> None:
    with pytest.raises(Unavailable, match="no venue answers at 127.0.0.1:1; start one: autohedge venue"):
        asyncio.run(_connect(1))

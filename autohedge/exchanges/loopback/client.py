"""The client of a simulated venue in another process of this machine.

Both sides play the same tape on one clock, so killing either process is a realistic fault.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TypeVar

import msgspec

from autohedge.core.clock import ReplayClock
from autohedge.core.errors import (
    Ambiguous,
    Duplicate,
    Misconfigured,
    Refused,
    Rejected,
    Retryable,
    Unavailable,
)
from autohedge.core.events import AnyTradingCommand, VenueEvent
from autohedge.exchanges.loopback.protocol import (
    HOST,
    LINE_BYTES,
    CommandMessage,
    CommandResponse,
    HandshakeRefused,
    Hello,
    PushMessage,
    Statement,
    StatementRequest,
    Status,
    decode_handshake,
    decode_server_message,
    decode_statement,
    encode,
)

Decoded = TypeVar("Decoded")

ANSWER_S = 10.0


def port_of(address: str) -> int:
    """The port of `7001` or `127.0.0.1:7001`.

    Raises Misconfigured for anything else: the two processes share this machine's clock.
    """
    host, _, port = address.rpartition(":")
    if host not in {"", HOST, "localhost"} or not port.isdigit() or not 0 < int(port) < 1 << 16:
        raise Misconfigured(f"--venue {address}: write a port of this machine, such as {HOST}:7001")
    return int(port)


class LoopbackClient:
    """The `ExecutionClient` of a venue in another process; `clock` is the venue's clock, once connected."""

    clock: ReplayClock
    _reader: asyncio.StreamReader
    _writer: asyncio.StreamWriter

    def __init__(self, port: int, hello: Hello) -> None:
        self._port = port
        self._hello = hello
        self._number = 0
        self._pending: dict[int, asyncio.Future[CommandResponse | None]] = {}

    @property
    def venue_id(self) -> str:
        """The id of the venue; a reconnection to any other venue is refused."""
        return self._hello.venue_id

    async def connect(self) -> None:
        """Connects and sends the hello.

        Raises Unavailable if no venue listens there, Refused if its tape or fees differ or if it does not
        have this run's orders.
        """
        reader, writer = await _open(self._port)
        greeting = await _exchange(reader, writer, encode(self._hello), decode_handshake, self._port)
        if isinstance(greeting, HandshakeRefused):
            writer.close()
            raise Refused(f"the venue at {HOST}:{self._port} refuses: {greeting.reason}")
        self._reader, self._writer = reader, writer
        self.clock = ReplayClock(greeting.first_ns, greeting.begun_ns, greeting.speed)
        # A reconnection then fails at another venue, which would not have this run's orders.
        self._hello = msgspec.structs.replace(self._hello, venue_id=greeting.venue_id)

    async def request(self, command: AnyTradingCommand) -> Sequence[VenueEvent]:
        """Sends a command and waits for its response.

        Returns nothing: the answers in a response come through `events`, in the order of the wire. Raises the
        error that the status stands for, and Unavailable if the connection ends meanwhile.
        """
        if self._writer.is_closing():
            raise Unavailable("the connection to the venue is closed")
        self._number += 1
        number, future = self._number, asyncio.get_running_loop().create_future()
        self._pending[number] = future
        try:
            self._writer.write(encode(CommandMessage(number, command)) + b"\n")
            _require_success(await future)
        finally:
            del self._pending[number]
        return ()

    async def events(self) -> AsyncIterator[VenueEvent]:
        """Yields pushed events and the answers in responses, until the connection ends.

        Answers of a response that came after its deadline are yielded too: they are still evidence.
        """
        try:
            # Broken input and a lost connection both end the events; the gateway reconnects.
            with contextlib.suppress(OSError, ValueError, msgspec.MsgspecError):
                async for line in self._reader:
                    for answer in self._on_message(decode_server_message(line)):
                        yield answer
        finally:
            self.close()

    def close(self) -> None:
        """Closes the connection; pending requests end with Unavailable."""
        self._writer.close()
        for future in self._pending.values():
            if not future.done():
                future.set_result(None)

    def _on_message(self, message: CommandResponse | PushMessage) -> Sequence[VenueEvent]:
        if isinstance(message, PushMessage):
            return (message.answer,)
        future = self._pending.get(message.number)
        if future is not None and not future.done():
            future.set_result(message)
        return message.answers


def _require_success(response: CommandResponse | None) -> None:
    """Raises the error that a status stands for; None means that the connection ended first."""
    if response is None:
        raise Unavailable("the connection to the venue was lost")
    match response.status:
        case Status.OK | Status.NOT_FOUND:  # "not found" is an answer, and comes as an event
            return
        case Status.DUPLICATE:
            raise Duplicate("the venue has an order under this id already")
        case Status.TOO_MANY | Status.BANNED:
            raise Retryable(f"the venue answered {response.status}", response.after_s)
        case Status.UNAVAILABLE:
            raise Ambiguous(f"the venue answered {response.status}")
        case Status.BAD_REQUEST:
            raise Rejected("the venue does not trade this symbol")


async def fetch_statement(port: int) -> Statement:
    """Fetches the account as the venue has it. Raises Unavailable if no venue listens there."""
    reader, writer = await _open(port)
    statement = await _exchange(reader, writer, encode(StatementRequest()), decode_statement, port)
    writer.close()
    return statement


async def _open(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        return await asyncio.open_connection(HOST, port, limit=LINE_BYTES)
    except OSError:
        raise Unavailable(f"no venue answers at {HOST}:{port}; start one: autohedge venue") from None


async def _exchange(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    question: bytes,
    decode: Callable[[bytes], Decoded],
    port: int,
) -> Decoded:
    """Sends one line and decodes the answer; raises Unavailable if the listener is not a venue."""
    try:
        writer.write(question + b"\n")
        return decode(await asyncio.wait_for(reader.readline(), ANSWER_S))
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        writer.close()
        what = "does not answer" if isinstance(error, TimeoutError) else "disconnected or is not a venue"
        raise Unavailable(f"the process at {HOST}:{port} {what}; start a venue: autohedge venue") from None
    except asyncio.CancelledError:
        writer.close()
        raise

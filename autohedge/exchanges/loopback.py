"""A simulated venue in another process of this machine, over a loopback socket: the trader's side.

Both sides play the same tape on one clock, so killing one of them is a real fault.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TypeVar

import msgspec

from autohedge.core.clock import TapeClock
from autohedge.core.errors import (
    Ambiguous,
    Duplicate,
    Misconfigured,
    Refused,
    Rejected,
    Retryable,
    Unavailable,
)
from autohedge.core.events import Answer, Command
from autohedge.exchanges.wire import (
    HOST,
    LINE_BYTES,
    Ask,
    Hello,
    Push,
    Refusal,
    Request,
    Response,
    Statement,
    Status,
    decode_greeting,
    decode_statement,
    decode_word,
    encode,
)

Said = TypeVar("Said")

ANSWER_S = 10.0


def port_of(address: str) -> int:
    """The port of `7001` or `127.0.0.1:7001`.

    Raises Misconfigured for anything else: the two processes share this machine's clock.
    """
    host, _, port = address.rpartition(":")
    if host not in {"", HOST, "localhost"} or not port.isdigit() or not 0 < int(port) < 1 << 16:
        raise Misconfigured(f"--venue {address}: write a port of this machine, such as {HOST}:7001")
    return int(port)


class LoopbackVenue:
    """The adapter of a venue in another process; `clock` is that venue's, once connected."""

    clock: TapeClock
    _reader: asyncio.StreamReader
    _writer: asyncio.StreamWriter

    def __init__(self, port: int, hello: Hello) -> None:
        self._port = port
        self._hello = hello
        self._number = 0
        self._asked: dict[int, asyncio.Future[Response | None]] = {}

    @property
    def house(self) -> str:
        """Which venue this is; no other one is taken for it later."""
        return self._hello.house

    async def connect(self) -> None:
        """Knock and say hello.

        Raises Unavailable if no venue listens there, Refused if it sees another market, takes other
        fees, or never had this run's orders.
        """
        reader, writer = await _knock(self._port)
        greeting = await _said(reader, writer, encode(self._hello), decode_greeting, self._port)
        if isinstance(greeting, Refusal):
            writer.close()
            raise Refused(f"the venue at {HOST}:{self._port} refuses: {greeting.reason}")
        self._reader, self._writer = reader, writer
        self.clock = TapeClock(greeting.first_ns, greeting.begun_ns, greeting.speed)
        self._hello = msgspec.structs.replace(self._hello, house=greeting.house)

    async def request(self, command: Command) -> Sequence[Answer]:
        """Send a command and wait for its response; its answers come with the reports, in the wire's order.

        Raises what its status means, and Unavailable if the connection ends meanwhile.
        """
        if self._writer.is_closing():
            raise Unavailable("the connection to the venue is closed")
        self._number += 1
        number, asked = self._number, asyncio.get_running_loop().create_future()
        self._asked[number] = asked
        try:
            self._writer.write(encode(Request(number, command)) + b"\n")
            _require_success(await asked)
        finally:
            del self._asked[number]
        return ()

    async def reports(self) -> AsyncIterator[Answer]:
        """What the venue pushes, and what it responds; that is evidence even if nobody waits any more."""
        try:
            with contextlib.suppress(OSError, ValueError, msgspec.MsgspecError):
                async for line in self._reader:
                    for answer in self._heard(decode_word(line)):
                        yield answer
        finally:
            self.close()

    def close(self) -> None:
        """End the connection; requests that wait for a response learn of it."""
        self._writer.close()
        for asked in self._asked.values():
            if not asked.done():
                asked.set_result(None)

    def _heard(self, word: Response | Push) -> Sequence[Answer]:
        if isinstance(word, Push):
            return (word.answer,)
        asked = self._asked.get(word.number)
        if asked is not None and not asked.done():
            asked.set_result(word)
        return word.answers


def _require_success(response: Response | None) -> None:
    """Raises the error that a status stands for; None is a response that never came."""
    if response is None:
        raise Unavailable("the connection to the venue was lost")
    match response.status:
        case Status.OK | Status.NOT_FOUND:
            return
        case Status.DUPLICATE:
            raise Duplicate("the venue has an order under this id already")
        case Status.TOO_MANY | Status.BANNED:
            raise Retryable(f"the venue answered {response.status}", response.after_s)
        case Status.UNAVAILABLE:
            raise Ambiguous(f"the venue answered {response.status}")
        case Status.BAD_REQUEST:
            raise Rejected("the venue does not trade this symbol")


async def ask_statement(port: int) -> Statement:
    """The venue's books of the account. Raises Unavailable if no venue listens there."""
    reader, writer = await _knock(port)
    statement = await _said(reader, writer, encode(Ask()), decode_statement, port)
    writer.close()
    return statement


async def _knock(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        return await asyncio.open_connection(HOST, port, limit=LINE_BYTES)
    except OSError:
        raise Unavailable(f"no venue answers at {HOST}:{port}; start one: autohedge venue") from None


async def _said(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    question: bytes,
    decode: Callable[[bytes], Said],
    port: int,
) -> Said:
    """The answer to one line; whoever listens there may be no venue at all."""
    try:
        writer.write(question + b"\n")
        return decode(await asyncio.wait_for(reader.readline(), ANSWER_S))
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        writer.close()
        what = "is silent" if isinstance(error, TimeoutError) else "hung up, or speaks another language"
        raise Unavailable(f"what listens at {HOST}:{port} {what}; start a venue: autohedge venue") from None
    except asyncio.CancelledError:
        writer.close()
        raise

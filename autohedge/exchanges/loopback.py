"""A simulated venue in another process of this machine, over a loopback socket.

The wire is one JSON object per line: a hello and its answer, then commands one way and answers the
other. Both sides play the same tape on one clock, so killing one of them is a real fault.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from typing import TypeVar

import msgspec

from autohedge.core.clock import NEVER, TapeClock
from autohedge.core.errors import Misconfigured, Refused, Unavailable
from autohedge.core.events import Answer, Command

Said = TypeVar("Said")

HOST = "127.0.0.1"
ANSWER_S = 10.0
LINE_BYTES = 1 << 24


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """A trader says who it is; both sides must see the same market and take the same fees.

    `house` is the venue that a run that was killed knew; a new run knows none yet.
    """

    run: str
    tape: tuple[str, ...]
    fee_bps: Decimal
    house: str = ""


class Welcome(msgspec.Struct, frozen=True, tag="welcome"):
    """Which venue this is, and its clock, as in `TapeClock`."""

    house: str
    first_ns: int
    begun_ns: int
    speed: float


class Refusal(msgspec.Struct, frozen=True, tag="refusal"):
    """Why the venue does not take this trader."""

    reason: str


class Ask(msgspec.Struct, frozen=True, tag="ask"):
    """Ask for a statement instead of trading."""


class Statement(msgspec.Struct, frozen=True, tag="statement"):
    """The venue's own books of the account: what filled of each order, what is held, the cash."""

    cash: Decimal
    positions: dict[str, Decimal]
    filled: dict[str, Decimal]
    resting: tuple[str, ...]


encode = msgspec.json.Encoder(decimal_format="string").encode
_decode_greeting = msgspec.json.Decoder(Welcome | Refusal).decode
_decode_answer = msgspec.json.Decoder(Answer).decode
_decode_statement = msgspec.json.Decoder(Statement).decode


def port_of(address: str) -> int:
    """The port of `7001` or `127.0.0.1:7001`.

    Raises Misconfigured for anything else: the two processes share this machine's clock.
    """
    host, _, port = address.rpartition(":")
    if host not in {"", HOST, "localhost"} or not port.isdigit() or not 0 < int(port) < 1 << 16:
        raise Misconfigured(f"--venue {address}: write a port of this machine, such as {HOST}:7001")
    return int(port)


class LoopbackVenue:
    """A trader's side of the connection: the gateway seam for a venue that lives elsewhere."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, welcome: Welcome) -> None:
        self.clock = TapeClock(welcome.first_ns, welcome.begun_ns, welcome.speed)
        self.house = welcome.house
        self.lost = False
        self._reader = reader
        self._writer = writer
        self._arrived: deque[Answer] = deque()

    @classmethod
    async def connect(cls, port: int, hello: Hello) -> "LoopbackVenue":
        """Knock and say hello.

        Raises Unavailable if no venue listens there, Refused if it sees another market, takes other
        fees, or never had this run's orders.
        """
        reader, writer = await _knock(port)
        greeting = await _asked(reader, writer, encode(hello), _decode_greeting, port)
        if isinstance(greeting, Refusal):
            writer.close()
            raise Refused(f"the venue at {HOST}:{port} refuses: {greeting.reason}")
        return cls(reader, writer, greeting)

    async def listen(self, wake: Callable[[], None]) -> None:
        """Collect answers until the connection ends, calling `wake` at each."""
        with contextlib.suppress(OSError, ValueError, msgspec.MsgspecError):
            async for line in self._reader:
                answer = _decode_answer(line)
                self._arrived.append(msgspec.structs.replace(answer, at_ns=self.clock.now_ns()))
                wake()
        self.lost = True
        wake()

    def close(self) -> None:
        """End the connection."""
        self._writer.close()

    # the gateway seam; rows and virtual time are the other process's business

    next_due_ns = NEVER
    next_touch = NEVER

    def send(self, command: Command, now_ns: int) -> None:  # noqa: ARG002 - the venue has the same clock
        """Hand a command to the operating system; without a connection it goes nowhere, unanswered."""
        if not self.lost:
            self._writer.write(encode(command) + b"\n")

    def answer(self) -> Answer | None:
        """The next answer that has arrived, or None."""
        return self._arrived.popleft() if self._arrived else None

    def watch(self, pos: int) -> None:
        """Nothing: the venue watches its own tape."""

    def advance(self) -> None:
        """Nothing: nothing is ever due here."""

    def touch(self, row: int) -> None:
        """Nothing: resting orders rest at the venue."""


async def ask_statement(port: int) -> Statement:
    """The venue's books of the account. Raises Unavailable if no venue listens there."""
    reader, writer = await _knock(port)
    statement = await _asked(reader, writer, encode(Ask()), _decode_statement, port)
    writer.close()
    return statement


async def _knock(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    try:
        return await asyncio.open_connection(HOST, port, limit=LINE_BYTES)
    except OSError:
        raise Unavailable(f"no venue answers at {HOST}:{port}; start one: autohedge venue") from None


async def _asked(
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

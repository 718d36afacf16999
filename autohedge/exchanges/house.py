"""The house of a simulated venue: it plays the tape on a clock of its own and serves one trader.

It remembers every order, so a trader that died can come back and ask. Only this machine can reach
it. Answers that find no trader are dropped, as a venue would: the trader must ask.
"""

import asyncio
import contextlib
from collections.abc import Callable
from decimal import Decimal

import msgspec
import numpy as np

from autohedge.core.clock import NEVER, TapeClock
from autohedge.core.events import Command, Report, SubmitOrder
from autohedge.core.money import ZERO, add, multiply, subtract
from autohedge.core.orders import BUY
from autohedge.exchanges.loopback import (
    HOST,
    LINE_BYTES,
    Ask,
    Hello,
    Refusal,
    Statement,
    Welcome,
    encode,
)
from autohedge.exchanges.simulated import SimulatedVenue
from autohedge.market.tape import Rows

OLD_TRADER_S = 5.0
UNREAD_BYTES_MAX = 1 << 24
NS_PER_S = 1_000_000_000

_decode = msgspec.json.Decoder(Hello | Ask | Command).decode


class House:
    """One venue, one account, one trader at a time; the clock starts with the first hello."""

    def __init__(
        self, venue: SimulatedVenue, rows: Rows, hello: Hello, *, initial_cash: Decimal, speed: float
    ) -> None:
        self._venue = venue
        self._rows = rows
        self._hello = hello
        self._cash = initial_cash
        self._positions: dict[str, Decimal] = {}
        self._filled: dict[str, Decimal] = {}
        self._counted = 0
        self._speed = speed
        self._clock: TapeClock | None = None
        self._orders: dict[str, SubmitOrder] = {}
        self._trader: asyncio.StreamWriter | None = None
        self._turn = asyncio.Lock()
        self._wake = asyncio.Event()

    async def serve(self, port: int, ready: Callable[[int], None]) -> None:
        """Listen until cancelled; `ready` gets the port, which the machine chooses for port 0."""
        server = await asyncio.start_server(self._connected, HOST, port, limit=LINE_BYTES)
        ready(server.sockets[0].getsockname()[1])
        async with server:
            while True:
                await self._until_something_is_due()
                self._advance()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, ValueError, msgspec.MsgspecError):
            first = _decode(await reader.readline())
            if isinstance(first, Ask):
                self._advance()
                writer.write(encode(self.statement()) + b"\n")
            elif reason := self._why_not(first):
                writer.write(encode(Refusal(reason)) + b"\n")
            else:
                await self._trade(reader, writer)
        writer.close()

    def _why_not(self, knock: Hello | Command) -> str | None:
        """Why this one may not trade here; the first that may is remembered, for this is its account."""
        if not isinstance(knock, Hello):
            return "say hello first"
        if (knock.tape, knock.fee_bps) != (self._hello.tape, self._hello.fee_bps):
            return "it plays another tape, or takes other fees"
        if knock.house not in {"", self._hello.house}:
            return "it is another venue than the one that has this run's orders"
        if self._hello.run not in {"", knock.run}:
            return f"its account belongs to run {self._hello.run}"
        self._hello = msgspec.structs.replace(self._hello, run=knock.run)
        return None

    async def _trade(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a trader; first hear the one before out, whose last words may still be on the wire."""
        try:
            await asyncio.wait_for(self._turn.acquire(), OLD_TRADER_S)
        except TimeoutError:
            writer.write(encode(Refusal("another trader is connected")) + b"\n")
            return
        try:
            self._trader = writer
            writer.write(encode(self._welcome()) + b"\n")
            async for line in reader:
                self._take(_decode(line))
        finally:
            self._trader = None
            self._turn.release()

    def _welcome(self) -> Welcome:
        if self._clock is None:
            self._clock = TapeClock.begin(int(self._rows.ts[0]), self._speed)
        clock = self._clock
        return Welcome(self._hello.house, clock.first_ns, clock.begun_ns, clock.speed)

    def _take(self, command: Hello | Ask | Command) -> None:
        if self._clock is None or isinstance(command, Hello | Ask):
            return
        if isinstance(command, SubmitOrder):
            self._orders.setdefault(command.order_id, command)
        self._advance()
        self._venue.send(command, self._clock.now_ns())
        self._speak()
        self._wake.set()

    def _advance(self) -> None:
        """Bring the venue to the clock's time: rows and arrivals in their order."""
        if self._clock is None:
            return
        now_ns, venue, ts = self._clock.now_ns(), self._venue, self._rows.ts
        while self._next_ns() <= now_ns:
            due_ns, touch = venue.next_due_ns, venue.next_touch
            if touch < len(ts) and int(ts[touch]) <= due_ns:
                venue.watch(touch + 1)
                venue.touch(touch)
            else:
                venue.watch(int(np.searchsorted(ts, due_ns, side="right")))
                venue.advance()
        venue.watch(int(np.searchsorted(ts, now_ns, side="right")))
        self._speak()

    def _next_ns(self) -> int:
        touch = self._venue.next_touch
        touch_ns = int(self._rows.ts[touch]) if touch < len(self._rows) else NEVER
        return min(touch_ns, self._venue.next_due_ns)

    def _speak(self) -> None:
        while (answer := self._venue.answer()) is not None:
            if isinstance(answer, Report) and answer.kind == "fill":
                self._book(answer)
            if self._trader is None:
                continue
            self._trader.write(encode(answer) + b"\n")
            if self._trader.transport.get_write_buffer_size() > UNREAD_BYTES_MAX:
                self._trader.transport.abort()

    async def _until_something_is_due(self) -> None:
        next_ns = self._next_ns()
        wait_s = None
        if self._clock is not None and next_ns < NEVER:
            wait_s = max(self._clock.until_ns(next_ns), 0) / NS_PER_S
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), wait_s)
        self._wake.clear()

    def statement(self) -> Statement:
        """The account as the venue sees it, from its own fills alone."""
        held = {symbol: quantity for symbol, quantity in self._positions.items() if quantity}
        return Statement(self._cash, held, self._filled, self._venue.resting)

    def _book(self, fill: Report) -> None:
        """Count a fill once, however often it is told: trades are numbered."""
        number = int((fill.trade_id or "t0")[1:])
        if number <= self._counted:
            return
        self._counted = number
        order = self._orders[fill.order_id]
        quantity, price = fill.quantity or ZERO, fill.price or ZERO
        notional, buys = multiply(quantity, price), order.side is BUY
        held = self._positions.get(order.symbol, ZERO)
        self._positions[order.symbol] = add(held, quantity) if buys else subtract(held, quantity)
        cash = subtract(self._cash, notional) if buys else add(self._cash, notional)
        self._cash = subtract(cash, fill.fee or ZERO)
        self._filled[fill.order_id] = add(self._filled.get(fill.order_id, ZERO), quantity)

"""The house of a simulated venue: it plays the tape on a clock of its own and serves one trader.

It remembers every order, so a trader that died can come back and ask. Only this machine can reach
it. What it says to a trader who is gone, or what a fault swallows, is not said again unless asked.
The way to it and back takes the time that the settings say; the venue itself acts at once.
"""

import asyncio
import contextlib
import heapq
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import msgspec
import numpy as np

from autohedge.core.clock import NEVER, TapeClock
from autohedge.core.events import Answer, NotFound, SubmitOrder
from autohedge.core.ids import randomness
from autohedge.exchanges.simulated import SimulatedVenue, Terms
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
    Welcome,
    decode_knock,
    encode,
)
from autohedge.exchanges.wire_faults import Faults, SeededFaults, WireFault
from autohedge.market.tape import Rows

OLD_TRADER_S = 5.0
UNREAD_BYTES_MAX = 1 << 24
NS_PER_S = 1_000_000_000
THROTTLED_S = 1.0
BANNED_S = 5.0


class House:
    """One venue, one account, one trader at a time; the clock starts with the first hello."""

    def __init__(
        self,
        terms: Terms,
        lots: dict[str, Decimal],
        rows: Rows,
        hello: Hello,
        *,
        speed: float,
        faults: Faults | None = None,
    ) -> None:
        at_once = replace(terms, order_latency_ns=0, response_latency_ns=0, jitter_ns=0)
        self._terms = terms
        self._venue = SimulatedVenue(at_once, lots, rows)
        self._rows = rows
        self._hello = hello
        self._speed = speed
        self._faults = faults or SeededFaults((), 0)
        self._jitter = randomness(hello.house, "order latency")
        self._clock: TapeClock | None = None
        self._due: list[tuple[int, int, Callable[[int], None]]] = []
        self._count = 0
        self._last_arrival_ns = 0
        self._banned_until_ns = 0
        self._symbols = frozenset(lots)
        self._taken: set[str] = set()
        self._trader: asyncio.StreamWriter | None = None
        self._turn = asyncio.Lock()
        self._wake = asyncio.Event()

    # who comes in

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
            first = decode_knock(await reader.readline())
            if isinstance(first, Ask):
                self._advance()
                writer.write(encode(self.statement()) + b"\n")
            elif reason := self._why_not(first):
                writer.write(encode(Refusal(reason)) + b"\n")
            else:
                await self._trade(reader, writer)
        writer.close()

    def _why_not(self, knock: Hello | Request) -> str | None:
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
                self._take(decode_knock(line), writer)
        finally:
            self._trader = None
            self._turn.release()

    def _welcome(self) -> Welcome:
        if self._clock is None:
            self._clock = TapeClock.begin(int(self._rows.ts[0]), self._speed)
        clock = self._clock
        return Welcome(self._hello.house, clock.first_ns, clock.begun_ns, clock.speed)

    # time

    def _take(self, knock: Hello | Ask | Request, trader: asyncio.StreamWriter) -> None:
        """A request is on its way in; it never overtakes an earlier one."""
        if self._clock is None or not isinstance(knock, Request):
            return
        self._advance()
        delay_ns = self._terms.order_latency_ns
        if self._terms.jitter_ns:
            delay_ns += self._jitter.randrange(self._terms.jitter_ns + 1)
        self._last_arrival_ns = max(self._clock.now_ns() + delay_ns, self._last_arrival_ns)
        self._schedule(self._last_arrival_ns, lambda now_ns: self._arrive(knock, trader, now_ns))
        self._advance()
        self._wake.set()

    def _schedule(self, due_ns: int, happen: Callable[[int], None]) -> None:
        self._count += 1
        heapq.heappush(self._due, (due_ns, self._count, happen))

    @property
    def _next_due_ns(self) -> int:
        return self._due[0][0] if self._due else NEVER

    def _next_ns(self) -> int:
        touch = self._venue.next_touch
        touch_ns = int(self._rows.ts[touch]) if touch < len(self._rows) else NEVER
        return min(touch_ns, self._next_due_ns)

    def _advance(self) -> None:
        """Bring the venue to the clock's time: rows, arrivals and words in their order."""
        if self._clock is None:
            return
        now_ns, venue, ts = self._clock.now_ns(), self._venue, self._rows.ts
        while self._next_ns() <= now_ns:
            due_ns, touch = self._next_due_ns, venue.next_touch
            if touch < len(ts) and int(ts[touch]) <= due_ns:
                venue.watch(touch + 1)
                venue.touch(touch)
                self._push(self._said(), int(ts[touch]))
            else:
                venue.watch(int(np.searchsorted(ts, due_ns, side="right")))
                heapq.heappop(self._due)[2](due_ns)
        venue.watch(int(np.searchsorted(ts, now_ns, side="right")))

    async def _until_something_is_due(self) -> None:
        next_ns = self._next_ns()
        wait_s = None
        if self._clock is not None and next_ns < NEVER:
            wait_s = max(self._clock.until_ns(next_ns), 0) / NS_PER_S
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), wait_s)
        self._wake.clear()

    # requests and what comes of them

    def _arrive(self, request: Request, trader: asyncio.StreamWriter, now_ns: int) -> None:
        """A request is here: do what it asks and respond, as far as a fault lets that happen."""
        fault = self._faults.of_request()
        if fault is WireFault.LOST:
            return
        response = self._refusal(request.number, fault, now_ns) or self._act(request, now_ns)
        if fault is WireFault.DROP:
            return
        if fault is WireFault.DISCONNECT:
            trader.transport.abort()
            return
        if fault is WireFault.ERROR_AFTER:
            response = Response(request.number, Status.UNAVAILABLE)
        late_ns = self._faults.delay_ns() if fault is WireFault.DELAY else 0
        self._say(response, trader, now_ns + late_ns)

    def _refusal(self, number: int, fault: WireFault | None, now_ns: int) -> Response | None:
        """The response to a request that the venue does not look at; None if it does."""
        if fault is WireFault.BAN:
            self._banned_until_ns = now_ns + int(BANNED_S * NS_PER_S)
        if now_ns < self._banned_until_ns:
            return Response(number, Status.BANNED, after_s=(self._banned_until_ns - now_ns) / NS_PER_S)
        if fault is WireFault.THROTTLE:
            return Response(number, Status.TOO_MANY, after_s=THROTTLED_S)
        if fault is WireFault.ERROR:
            return Response(number, Status.UNAVAILABLE)
        return None

    def _act(self, request: Request, now_ns: int) -> Response:
        """Let the venue do it; an order id that it has already stands for the first order alone."""
        number, command = request.number, request.command
        if isinstance(command, SubmitOrder):
            if command.order_id in self._taken:
                return Response(number, Status.DUPLICATE)
            if command.symbol not in self._symbols:
                return Response(number, Status.BAD_REQUEST)
            self._taken.add(command.order_id)
        self._venue.send(command, now_ns)
        answers = tuple(self._said())
        absent = any(isinstance(answer, NotFound) for answer in answers)
        return Response(number, Status.NOT_FOUND if absent else Status.OK, answers)

    def _said(self) -> list[Answer]:
        """What the venue has just said."""
        said = []
        while (answer := self._venue.answer()) is not None:
            said.append(answer)
        return said

    def _push(self, answers: list[Answer], now_ns: int) -> None:
        """Tell the trader unasked, if there is one and no fault is in the way."""
        for answer in answers:
            fault = self._faults.of_push()
            if self._trader is None or fault is WireFault.DROP_PUSH:
                continue
            late_ns = self._faults.delay_ns() if fault is WireFault.REORDER_PUSH else 0
            for _ in range(2 if fault is WireFault.DUPLICATE_PUSH else 1):
                self._say(Push(answer), self._trader, now_ns + late_ns)

    def _say(self, word: Response | Push, trader: asyncio.StreamWriter, now_ns: int) -> None:
        """Words take their time, too, and find nobody if the trader has gone meanwhile."""
        self._schedule(now_ns + self._terms.response_latency_ns, lambda _: self._write(word, trader))

    def _write(self, word: Response | Push, trader: asyncio.StreamWriter) -> None:
        if trader is not self._trader or trader.is_closing():
            return
        trader.write(encode(word) + b"\n")
        if trader.transport.get_write_buffer_size() > UNREAD_BYTES_MAX:
            trader.transport.abort()

    def statement(self) -> Statement:
        """The account as the venue sees it."""
        venue = self._venue
        filled = {order.order_id: order.filled for order in venue.orders if order.filled}
        return Statement(venue.cash, venue.held, filled, venue.resting)

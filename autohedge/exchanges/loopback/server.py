"""The server of the simulated venue: plays the tape on its own clock and serves one trader.

It remembers every order, so a restarted trader can query it. It listens on the loopback interface only.
Messages that a fault drops, or that are due while no trader is connected, are lost; a query repeats their
content. The latencies of the settings apply to the connection; the venue itself acts at once.
"""

import asyncio
import contextlib
import heapq
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import msgspec

from autohedge.core.clock import NEVER, ReplayClock
from autohedge.core.events import OrderNotFound, SubmitOrder, VenueEvent
from autohedge.core.ids import seeded_random
from autohedge.core.units import NS_PER_S
from autohedge.exchanges.faults import VenueFault
from autohedge.exchanges.loopback.faults import FaultSource, SeededFaults
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
    Welcome,
    decode_client_message,
    encode,
)
from autohedge.exchanges.simulated import SimulatedVenue, VenueModel
from autohedge.market.rows import Rows

OLD_TRADER_S = 5.0
UNREAD_BYTES_MAX = 1 << 24  # a trader that does not read is disconnected: its backlog must not fill memory
THROTTLED_S = 1.0
BANNED_S = 5.0


class SimulatedVenueServer:
    """Serves one account to one trader at a time; the clock starts with the first hello."""

    def __init__(
        self,
        model: VenueModel,
        lots: dict[str, Decimal],
        rows: Rows,
        hello: Hello,
        *,
        speed: float,
        faults: FaultSource | None = None,
    ) -> None:
        # The server applies the latencies itself, so that a fault can strike a message in transit.
        at_once = replace(model, order_latency_ns=0, response_latency_ns=0, jitter_ns=0)
        self._model = model
        self._venue = SimulatedVenue(at_once, lots, rows)
        self._rows = rows
        self._hello = hello
        self._speed = speed
        self._faults = faults or SeededFaults((), 0)
        self._jitter = seeded_random(hello.venue_id, "order latency")
        self._clock: ReplayClock | None = None
        self._due: list[tuple[int, int, Callable[[int], None]]] = []
        self._count = 0
        self._last_arrival_ns = 0
        self._banned_until_ns = 0
        self._symbols = frozenset(lots)
        self._taken: set[str] = set()
        self._trader: asyncio.StreamWriter | None = None
        self._turn = asyncio.Lock()
        self._wake = asyncio.Event()

    # connections

    async def serve(self, port: int, ready: Callable[[int], None]) -> None:
        """Listens until cancelled; calls `ready` with the port, which the machine chooses for port 0."""
        server = await asyncio.start_server(self._connected, HOST, port, limit=LINE_BYTES)
        ready(server.sockets[0].getsockname()[1])
        async with server:
            while True:
                await self._until_something_is_due()
                self._advance()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A trader that dies or sends garbage must not end the venue.
        with contextlib.suppress(OSError, ValueError, msgspec.MsgspecError):
            first = decode_client_message(await reader.readline())
            if isinstance(first, StatementRequest):
                self._advance()
                writer.write(encode(self.account_statement()) + b"\n")
            elif reason := self._refusal_of(first):
                writer.write(encode(HandshakeRefused(reason)) + b"\n")
            else:
                await self._serve_trader(reader, writer)
        writer.close()

    def _refusal_of(self, message: Hello | CommandMessage) -> str | None:
        """Why a trader is refused, or None; the first accepted run owns the account from then on."""
        if not isinstance(message, Hello):
            return "the first message must be a hello"
        if _terms(message) != _terms(self._hello):
            return "it has another tape, other fees or another currency than this run"
        if message.venue_id not in {"", self._hello.venue_id}:
            return "it is another venue than the one that has this run's orders"
        if self._hello.run not in {"", message.run}:
            return f"its account belongs to run {self._hello.run}"
        self._hello = msgspec.structs.replace(self._hello, run=message.run)
        return None

    async def _serve_trader(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serves a trader, after the previous connection has ended."""
        # Requests of the old connection may still be in the socket: they must act before the new trader asks.
        try:
            await asyncio.wait_for(self._turn.acquire(), OLD_TRADER_S)
        except TimeoutError:
            writer.write(encode(HandshakeRefused("another trader is connected")) + b"\n")
            return
        try:
            self._trader = writer
            writer.write(encode(self._welcome()) + b"\n")
            async for line in reader:
                self._enqueue(decode_client_message(line), writer)
        finally:
            self._trader = None
            self._turn.release()

    def _welcome(self) -> Welcome:
        if self._clock is None:
            self._clock = ReplayClock.begin(int(self._rows.ts[0]), self._speed)
        clock = self._clock
        return Welcome(self._hello.venue_id, clock.first_ns, clock.begun_ns, clock.speed)

    # time

    def _enqueue(
        self, message: Hello | StatementRequest | CommandMessage, trader: asyncio.StreamWriter
    ) -> None:
        """Schedules the arrival of a request; it never overtakes an earlier one."""
        if self._clock is None or not isinstance(message, CommandMessage):
            return
        # The venue must be at the present before a request without latency acts on its book.
        self._advance()
        delay_ns = self._model.order_latency_ns
        if self._model.jitter_ns:
            delay_ns += self._jitter.randrange(self._model.jitter_ns + 1)
        self._last_arrival_ns = max(self._clock.now_ns() + delay_ns, self._last_arrival_ns)
        self._schedule(self._last_arrival_ns, lambda now_ns: self._arrive(message, trader, now_ns))
        self._advance()
        self._wake.set()

    def _schedule(self, due_ns: int, happen: Callable[[int], None]) -> None:
        self._count += 1
        heapq.heappush(self._due, (due_ns, self._count, happen))

    @property
    def _next_due_ns(self) -> int:
        return self._due[0][0] if self._due else NEVER

    def _next_ns(self) -> int:
        touch_ns = self._rows.next_ts(self._venue.first_touch(len(self._rows)))
        return min(touch_ns, self._next_due_ns)

    def _advance(self) -> None:
        """Advances the venue to the clock's time: rows, requests and responses in their order."""
        if self._clock is None:
            return
        now_ns, venue, rows = self._clock.now_ns(), self._venue, self._rows
        while self._next_ns() <= now_ns:
            due_ns = self._next_due_ns
            stop = rows.end_until(min(due_ns, now_ns))
            touch = venue.first_touch(stop)
            if touch < stop:
                venue.on_position(touch + 1)
                venue.fill_resting(touch)
                self._push(self._drain(), rows.next_ts(touch))
            else:
                venue.on_position(stop)
                heapq.heappop(self._due)[2](due_ns)
        venue.on_position(rows.end_until(now_ns))

    async def _until_something_is_due(self) -> None:
        next_ns = self._next_ns()
        wait_s = None
        if self._clock is not None and next_ns < NEVER:
            wait_s = max(self._clock.until_ns(next_ns), 0) / NS_PER_S
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._wake.wait(), wait_s)
        self._wake.clear()

    # requests and responses

    def _arrive(self, request: CommandMessage, trader: asyncio.StreamWriter, now_ns: int) -> None:
        """Acts on a request and responds, unless a fault prevents either."""
        fault = self._faults.for_request()
        if fault is VenueFault.TIMEOUT_LOST:
            return
        response = self._fault_response(request.number, fault, now_ns) or self._act(request, now_ns)
        if fault is VenueFault.TIMEOUT_ACCEPTED:
            return
        if fault is VenueFault.DISCONNECT:
            trader.transport.abort()
            return
        if fault is VenueFault.ERROR_ACCEPTED:
            response = CommandResponse(request.number, Status.UNAVAILABLE)
        late_ns = self._faults.delay_ns() if fault is VenueFault.DELAY else 0
        self._send(response, trader, now_ns + late_ns)

    def _fault_response(self, number: int, fault: VenueFault | None, now_ns: int) -> CommandResponse | None:
        """The response to a request that the venue does not process; None if it does."""
        if fault is VenueFault.BAN:
            self._banned_until_ns = now_ns + int(BANNED_S * NS_PER_S)
        if now_ns < self._banned_until_ns:
            return CommandResponse(number, Status.BANNED, after_s=(self._banned_until_ns - now_ns) / NS_PER_S)
        if fault is VenueFault.THROTTLE:
            return CommandResponse(number, Status.TOO_MANY, after_s=THROTTLED_S)
        if fault is VenueFault.ERROR:
            return CommandResponse(number, Status.UNAVAILABLE)
        return None

    def _act(self, request: CommandMessage, now_ns: int) -> CommandResponse:
        """Carries out a request; refuses an order id that exists already and an unknown symbol."""
        number, command = request.number, request.command
        if isinstance(command, SubmitOrder):
            if command.order_id in self._taken:
                return CommandResponse(number, Status.DUPLICATE)
            if command.symbol not in self._symbols:
                return CommandResponse(number, Status.BAD_REQUEST)
            self._taken.add(command.order_id)
        self._venue.send(command, now_ns)
        answers = tuple(self._drain())
        absent = any(isinstance(answer, OrderNotFound) for answer in answers)
        return CommandResponse(number, Status.NOT_FOUND if absent else Status.OK, answers)

    def _drain(self) -> list[VenueEvent]:
        """The answers that the venue has just given."""
        answers = []
        while (answer := self._venue.poll()) is not None:
            answers.append(answer)
        return answers

    def _push(self, answers: list[VenueEvent], now_ns: int) -> None:
        """Sends events to the trader without a request, if one is connected and no fault prevents it."""
        for answer in answers:
            fault = self._faults.for_push()
            if self._trader is None or fault is VenueFault.DROP:
                continue
            late_ns = self._faults.delay_ns() if fault is VenueFault.REORDER else 0
            for _ in range(2 if fault is VenueFault.DUPLICATE else 1):
                self._send(PushMessage(answer), self._trader, now_ns + late_ns)

    def _send(
        self, message: CommandResponse | PushMessage, trader: asyncio.StreamWriter, now_ns: int
    ) -> None:
        """Schedules a message to the trader; it is lost if the trader disconnects meanwhile."""
        self._schedule(now_ns + self._model.response_latency_ns, lambda _: self._write(message, trader))

    def _write(self, message: CommandResponse | PushMessage, trader: asyncio.StreamWriter) -> None:
        if trader is not self._trader or trader.is_closing():
            return
        trader.write(encode(message) + b"\n")
        if trader.transport.get_write_buffer_size() > UNREAD_BYTES_MAX:
            trader.transport.abort()

    def account_statement(self) -> Statement:
        """The account as the venue has it."""
        venue = self._venue
        filled = {order.order_id: order.filled for order in venue.orders if order.filled}
        return Statement(venue.cash, venue.held, filled, venue.resting, venue.account.other_balances)


def _terms(hello: Hello) -> tuple[object, ...]:
    """What a trader and its venue must agree on: the tape, the fees and the reporting currency."""
    return hello.tape, hello.maker_bps, hello.taker_bps, hello.currency

"""The gateway to a venue that lives elsewhere: commands out, answers and silences back as inputs.

Each command is a request with a deadline. Whatever becomes of it, the engine hears of it as an
input and never as an error. A lost connection is an input too; the gateway knocks again until its
patience ends.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from autohedge.core.clock import NEVER, monotonic_ns
from autohedge.core.errors import Refused, Retryable, Unavailable
from autohedge.core.events import AnyTradingCommand, ConnectionStatus, ReplaceOrder, SubmitOrder, VenueEvent
from autohedge.core.ids import seeded_random
from autohedge.core.ports import ExecutionClient
from autohedge.core.units import NS_PER_S
from autohedge.gateway.outcomes import from_error, not_sent, throttled, unknown
from autohedge.gateway.request_queue import RequestQueue

DEADLINE_S = 2.0
PATIENCE_S = 60.0
CONNECT_S = 15.0
PAUSE_S, PAUSE_MAX_S = 0.1, 5.0
IN_FLIGHT_MAX = 16
WAITING_MAX = 1_000

HUNG_UP = "the venue hung up; orders may still be open there: restart the run when it is back"


class VenueGateway:
    """One venue behind one adapter that is connected already.

    `now_ns` is the engine's clock; deadlines, pauses and patience are seconds of the machine's.
    """

    def __init__(
        self,
        client: ExecutionClient,
        now_ns: Callable[[], int],
        nonce: str,
        *,
        deadline_s: float = DEADLINE_S,
        patience_s: float = PATIENCE_S,
        in_flight_max: int = IN_FLIGHT_MAX,
    ) -> None:
        self._client = client
        self._now_ns = now_ns
        self._jitter = seeded_random(nonce, "reconnect")
        self._deadline_s = deadline_s
        self._patience_s = patience_s
        self._pause_s = PAUSE_S
        self._connected = True
        self._quiet_until_ns = 0
        self._queue = RequestQueue(in_flight_max)
        self._out: dict[asyncio.Task[Sequence[VenueEvent]], AnyTradingCommand] = {}
        self._arrived: deque[VenueEvent] = deque()
        self._wake: Callable[[], None] = lambda: None

    # the gateway seam; rows and virtual time are the venue's own business

    next_due_ns = NEVER
    next_touch = NEVER

    def send(self, command: AnyTradingCommand, now_ns: int) -> None:  # noqa: ARG002 - requests keep the machine's time
        """Ask the venue as soon as it is this command's turn; must be called inside the event loop."""
        if len(self._queue) >= WAITING_MAX:
            self._deliver(not_sent(command, "too many requests wait already", self._now_ns()))
            return
        self._queue.add(command, monotonic_ns())
        self._send_ready()

    def poll(self) -> VenueEvent | None:
        """The next answer that has arrived, or None."""
        return self._arrived.popleft() if self._arrived else None

    def on_position(self, pos: int) -> None:
        """Nothing: the venue watches its own market."""

    def advance(self) -> None:
        """Nothing: nothing is ever due here."""

    def fill_resting(self, row: int) -> None:
        """Nothing: resting orders rest at the venue."""

    # the connection

    async def run(self, wake: Callable[[], None]) -> None:
        """Listen, and knock again whenever the connection is lost, until cancelled; `wake` at each answer.

        Raises Refused where the venue does not let this run in again, Unavailable when patience ends.
        """
        self._wake = wake
        while True:
            begun_ns = monotonic_ns()
            await self._read_events()
            if monotonic_ns() - begun_ns > PAUSE_MAX_S * NS_PER_S:
                self._pause_s = PAUSE_S
            self._on_disconnect()
            await self._reconnect()
            self._connected = True
            self._deliver([ConnectionStatus(self._now_ns(), "up")])

    def close(self) -> None:
        """End the connection, and forget what is still out."""
        self._drop_in_flight()
        self._client.close()

    async def _read_events(self) -> None:
        """Take in what the venue says unasked; an adapter that fails has lost its connection."""
        with contextlib.suppress(Exception):
            async for answer in self._client.events():
                self._deliver([answer])

    def _on_disconnect(self) -> None:
        """The connection is gone: what was out has an unknown fate, what waited never left."""
        self._connected = False
        self._client.close()
        now_ns, waiting = self._now_ns(), self._queue.drain()
        out = [
            answer
            for each in self._drop_in_flight()
            for answer in unknown(each, "the connection was lost", now_ns)
        ]
        left = [answer for each in waiting for answer in not_sent(each, "not connected", now_ns)]
        self._deliver([*out, *left, ConnectionStatus(now_ns, "down")])

    def _drop_in_flight(self) -> list[AnyTradingCommand]:
        """Stop waiting for all that is out; return it."""
        commands = list(self._out.values())
        for task in self._out:
            task.cancel()
        self._out.clear()
        return commands

    async def _reconnect(self) -> None:
        """Knock with pauses that grow, each a little different from another trader's."""
        give_up_ns = monotonic_ns() + round(self._patience_s * NS_PER_S)
        while True:
            await _sleep(self._pause_s * self._jitter.uniform(0.5, 1.0))
            self._pause_s = min(2 * self._pause_s, PAUSE_MAX_S)
            try:
                async with asyncio.timeout(CONNECT_S):
                    return await self._client.connect()
            except Refused:
                raise
            except Exception as error:
                if monotonic_ns() > give_up_ns:
                    raise Unavailable(HUNG_UP) from error

    # requests

    def _send_ready(self) -> None:
        """Let those leave whose turn it is."""
        while (turn := self._queue.next_ready()) is not None:
            command, since_ns = turn
            if (instead := self._local_answer(command, since_ns)) is not None:
                self._queue.done(command)
                self._deliver(instead)
                continue
            task = asyncio.get_running_loop().create_task(self._request(command))
            self._out[task] = command
            task.add_done_callback(self._on_request_done)

    def _local_answer(self, command: AnyTradingCommand, since_ns: int) -> list[VenueEvent] | None:
        """What to say of a command that must not leave now; None if it may."""
        now_ns = self._now_ns()
        if not self._connected:
            return not_sent(command, "not connected", now_ns)
        if now_ns < self._quiet_until_ns:
            return throttled(command, now_ns, self._quiet_until_ns)
        late = monotonic_ns() - since_ns > self._deadline_s * NS_PER_S
        if late and isinstance(command, SubmitOrder | ReplaceOrder):
            return not_sent(command, "it waited too long for its turn", now_ns)
        return None

    async def _request(self, command: AnyTradingCommand) -> Sequence[VenueEvent]:
        """Put one request to the venue; what comes of it is an answer in any case."""
        try:
            async with asyncio.timeout(self._deadline_s):
                return await self._client.request(command)
        except TimeoutError:
            return unknown(command, f"no answer within {self._deadline_s:g} s", self._now_ns())
        except Exception as error:  # noqa: BLE001 - whatever an adapter meets, the outcome is open
            return self._from_error(command, error)

    def _from_error(self, command: AnyTradingCommand, error: Exception) -> list[VenueEvent]:
        now_ns = self._now_ns()
        if isinstance(error, Retryable):
            self._quiet_until_ns = max(self._quiet_until_ns, now_ns + round(error.after_s * NS_PER_S))
        return from_error(command, error, now_ns)

    def _on_request_done(self, task: asyncio.Task[Sequence[VenueEvent]]) -> None:
        """A request is over, unless it was given up with its connection."""
        command = self._out.pop(task, None)
        if command is None or task.cancelled():
            return
        self._queue.done(command)
        self._deliver(task.result())
        self._send_ready()

    def _deliver(self, answers: Sequence[VenueEvent]) -> None:
        now_ns = self._now_ns()
        self._arrived.extend(msgspec.structs.replace(answer, at_ns=now_ns) for answer in answers)
        if answers:
            self._wake()


async def _sleep(pause_s: float) -> None:
    """Let time pass at the edge, where no engine timer can: while nothing is connected."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), pause_s)

"""The gateway to a remote venue: sends commands, and returns answers and timeouts as engine inputs.

Each command is a request with a deadline. Its outcome is always an input of the engine, never an exception. A
lost connection is an input too. The gateway reconnects until `patience_s` have passed.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from autohedge.core.clock import monotonic_ns
from autohedge.core.errors import Refused, Retryable, Unavailable
from autohedge.core.events import AnyTradingCommand, ConnectionStatus, ReplaceOrder, SubmitOrder, VenueEvent
from autohedge.core.ids import seeded_random
from autohedge.core.ports import ExecutionClient
from autohedge.core.units import NS_PER_S
from autohedge.gateway.admission import RequestAdmission
from autohedge.gateway.outcomes import from_error, not_sent, unknown
from autohedge.gateway.request_queue import RequestQueue

DEADLINE_S = 2.0
PATIENCE_S = 60.0
CONNECT_S = 15.0  # longer than the loopback client's own timeout, whose message is the better one
PAUSE_S, PAUSE_MAX_S = 0.1, 5.0
IN_FLIGHT_MAX = 16
WAITING_MAX = 1_000

HUNG_UP = "the venue is not reachable; orders may still be open there: restart the run when it is back"


class VenueGateway:
    """Sends requests to one venue through an `ExecutionClient` that is connected already.

    `now_ns` is the engine's clock. `deadline_s` (per request) and `patience_s` (per lost connection) are
    seconds of the machine's clock.
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
        self._admission = RequestAdmission()
        self._queue = RequestQueue(in_flight_max)
        self._out: dict[asyncio.Task[Sequence[VenueEvent]], AnyTradingCommand] = {}
        self._arrived: deque[VenueEvent] = deque()
        self._wake: Callable[[], None] = lambda: None

    def send(
        self,
        command: AnyTradingCommand,
        now_ns: int,  # noqa: ARG002 - part of `Gateway`; deadlines run on the machine's clock
    ) -> None:
        """Queues a command and sends it when its turn comes; must be called inside the event loop."""
        if len(self._queue) >= WAITING_MAX:
            self._deliver(not_sent(command, "too many requests wait already", self._now_ns()))
            return
        self._queue.add(command, monotonic_ns())
        self._send_ready()

    def poll(self) -> VenueEvent | None:
        """The next answer that has arrived, or None."""
        return self._arrived.popleft() if self._arrived else None

    # the connection

    async def run(self, wake: Callable[[], None]) -> None:
        """Reads events and reconnects after each loss, until cancelled; calls `wake` at each answer.

        Raises Refused if the venue rejects this run on reconnecting, Unavailable after `patience_s`.
        """
        self._wake = wake
        while True:
            begun_ns = monotonic_ns()
            await self._read_events()
            # A venue that accepts and drops each connection must not be called at full speed.
            if monotonic_ns() - begun_ns > PAUSE_MAX_S * NS_PER_S:
                self._pause_s = PAUSE_S
            self._on_disconnect()
            await self._reconnect()
            self._admission.connected = True
            self._deliver([ConnectionStatus(self._now_ns(), "up")])

    def hold_until(self, until_ns: int) -> None:
        """Sends no request before `until_ns`, as the venue asked an earlier process of the run."""
        self._admission.hold_until(until_ns)

    def close(self) -> None:
        """Closes the connection and drops the requests in flight."""
        self._drop_in_flight()
        self._client.close()

    async def _read_events(self) -> None:
        """Delivers the events that the venue pushes, until the connection ends."""
        # After any error here the client reads no further events, so the connection counts as lost.
        with contextlib.suppress(Exception):
            async for answer in self._client.events():
                self._deliver([answer])

    def _on_disconnect(self) -> None:
        """Reports the loss: requests in flight as unknown, queued ones as not sent."""
        self._admission.connected = False
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
        """Cancels all requests in flight; returns their commands."""
        commands = list(self._out.values())
        for task in self._out:
            task.cancel()
        self._out.clear()
        return commands

    async def _reconnect(self) -> None:
        """Reconnects with pauses that double, and with jitter so that many runs do not call at once."""
        give_up_ns = monotonic_ns() + round(self._patience_s * NS_PER_S)
        while True:
            await _sleep(self._pause_s * self._jitter.uniform(0.5, 1.0))
            self._pause_s = min(2 * self._pause_s, PAUSE_MAX_S)
            try:
                async with asyncio.timeout(CONNECT_S):
                    return await self._client.connect()
            except Refused:  # another attempt cannot help
                raise
            except Exception as error:  # any other error of a client may pass
                if monotonic_ns() > give_up_ns:
                    raise Unavailable(HUNG_UP) from error

    # requests

    def _send_ready(self) -> None:
        """Sends the queued commands whose turn has come."""
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
        """The outcome of a command that must not be sent now; None if it may be sent."""
        now_ns = self._now_ns()
        if (instead := self._admission.answer_locally(command, now_ns)) is not None:
            return instead
        late = monotonic_ns() - since_ns > self._deadline_s * NS_PER_S
        # An old price adds exposure; a late cancel or query does no harm.
        if late and isinstance(command, SubmitOrder | ReplaceOrder):
            return not_sent(command, "it waited too long for its turn", now_ns)
        return None

    async def _request(self, command: AnyTradingCommand) -> Sequence[VenueEvent]:
        """Sends one request; returns its answers, or the events that its failure means."""
        try:
            async with asyncio.timeout(self._deadline_s):
                return await self._client.request(command)
        except TimeoutError:
            return unknown(command, f"no answer within {self._deadline_s:g} s", self._now_ns())
        except Exception as error:  # noqa: BLE001 - after any error of a client the outcome is unknown
            return self._from_error(command, error)

    def _from_error(self, command: AnyTradingCommand, error: Exception) -> list[VenueEvent]:
        now_ns = self._now_ns()
        if isinstance(error, Retryable):  # hold all requests: venues throttle an account, not one request
            self._admission.hold_until(now_ns + round(error.after_s * NS_PER_S))
        return from_error(command, error, now_ns)

    def _on_request_done(self, task: asyncio.Task[Sequence[VenueEvent]]) -> None:
        """Delivers the outcome of a request, unless it was dropped with its connection."""
        command = self._out.pop(task, None)
        if command is None or task.cancelled():
            return
        self._queue.done(command)
        self._deliver(task.result())
        self._send_ready()

    def _deliver(self, answers: Sequence[VenueEvent]) -> None:
        now_ns = self._now_ns()
        # The engine's clock, not the venue's: inputs are in the order in which the engine learns of them.
        self._arrived.extend(msgspec.structs.replace(answer, at_ns=now_ns) for answer in answers)
        if answers:
            self._wake()


async def _sleep(pause_s: float) -> None:
    """Waits between connection attempts, which no engine timer can do: timers are inputs of a run."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), pause_s)

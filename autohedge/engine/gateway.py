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
from autohedge.core.events import Answer, Command, Link, ReplaceOrder, SubmitOrder
from autohedge.core.ids import randomness
from autohedge.core.ports import Adapter
from autohedge.engine.outcome import NS_PER_S, failed, lost, throttled, unsent
from autohedge.engine.turns import Turns

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
        adapter: Adapter,
        now_ns: Callable[[], int],
        nonce: str,
        *,
        deadline_s: float = DEADLINE_S,
        patience_s: float = PATIENCE_S,
        in_flight_max: int = IN_FLIGHT_MAX,
    ) -> None:
        self._adapter = adapter
        self._now_ns = now_ns
        self._jitter = randomness(nonce, "reconnect")
        self._deadline_s = deadline_s
        self._patience_s = patience_s
        self._pause_s = PAUSE_S
        self._connected = True
        self._quiet_until_ns = 0
        self._turns = Turns(in_flight_max)
        self._out: dict[asyncio.Task[Sequence[Answer]], Command] = {}
        self._arrived: deque[Answer] = deque()
        self._wake: Callable[[], None] = lambda: None

    # the gateway seam; rows and virtual time are the venue's own business

    next_due_ns = NEVER
    next_touch = NEVER

    def send(self, command: Command, now_ns: int) -> None:  # noqa: ARG002 - requests keep the machine's time
        """Ask the venue as soon as it is this command's turn; must be called inside the event loop."""
        if len(self._turns) >= WAITING_MAX:
            self._arrive(unsent(command, "too many requests wait already", self._now_ns()))
            return
        self._turns.put(command, monotonic_ns())
        self._start()

    def answer(self) -> Answer | None:
        """The next answer that has arrived, or None."""
        return self._arrived.popleft() if self._arrived else None

    def watch(self, pos: int) -> None:
        """Nothing: the venue watches its own market."""

    def advance(self) -> None:
        """Nothing: nothing is ever due here."""

    def touch(self, row: int) -> None:
        """Nothing: resting orders rest at the venue."""

    # the connection

    async def serve(self, wake: Callable[[], None]) -> None:
        """Listen, and knock again whenever the connection is lost, until cancelled; `wake` at each answer.

        Raises Refused where the venue does not let this run in again, Unavailable when patience ends.
        """
        self._wake = wake
        while True:
            begun_ns = monotonic_ns()
            await self._listen()
            if monotonic_ns() - begun_ns > PAUSE_MAX_S * NS_PER_S:
                self._pause_s = PAUSE_S
            self._lose()
            await self._reconnect()
            self._connected = True
            self._arrive([Link(self._now_ns(), "up")])

    def close(self) -> None:
        """End the connection, and forget what is still out."""
        self._abandon()
        self._adapter.close()

    async def _listen(self) -> None:
        """Take in what the venue says unasked; an adapter that fails has lost its connection."""
        with contextlib.suppress(Exception):
            async for answer in self._adapter.reports():
                self._arrive([answer])

    def _lose(self) -> None:
        """The connection is gone: what was out has an unknown fate, what waited never left."""
        self._connected = False
        self._adapter.close()
        now_ns, waiting = self._now_ns(), self._turns.clear()
        out = [answer for each in self._abandon() for answer in lost(each, "the connection was lost", now_ns)]
        left = [answer for each in waiting for answer in unsent(each, "not connected", now_ns)]
        self._arrive([*out, *left, Link(now_ns, "down")])

    def _abandon(self) -> list[Command]:
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
            await _pause(self._pause_s * self._jitter.uniform(0.5, 1.0))
            self._pause_s = min(2 * self._pause_s, PAUSE_MAX_S)
            try:
                async with asyncio.timeout(CONNECT_S):
                    return await self._adapter.connect()
            except Refused:
                raise
            except Exception as error:
                if monotonic_ns() > give_up_ns:
                    raise Unavailable(HUNG_UP) from error

    # requests

    def _start(self) -> None:
        """Let those leave whose turn it is."""
        while (turn := self._turns.take()) is not None:
            command, since_ns = turn
            if (instead := self._instead(command, since_ns)) is not None:
                self._turns.done(command)
                self._arrive(instead)
                continue
            task = asyncio.get_running_loop().create_task(self._ask(command))
            self._out[task] = command
            task.add_done_callback(self._asked)

    def _instead(self, command: Command, since_ns: int) -> list[Answer] | None:
        """What to say of a command that must not leave now; None if it may."""
        now_ns = self._now_ns()
        if not self._connected:
            return unsent(command, "not connected", now_ns)
        if now_ns < self._quiet_until_ns:
            return throttled(command, now_ns, self._quiet_until_ns)
        late = monotonic_ns() - since_ns > self._deadline_s * NS_PER_S
        if late and isinstance(command, SubmitOrder | ReplaceOrder):
            return unsent(command, "it waited too long for its turn", now_ns)
        return None

    async def _ask(self, command: Command) -> Sequence[Answer]:
        """Put one request to the venue; what comes of it is an answer in any case."""
        try:
            async with asyncio.timeout(self._deadline_s):
                return await self._adapter.request(command)
        except TimeoutError:
            return lost(command, f"no answer within {self._deadline_s:g} s", self._now_ns())
        except Exception as error:  # noqa: BLE001 - whatever an adapter meets, the outcome is open
            return self._failed(command, error)

    def _failed(self, command: Command, error: Exception) -> list[Answer]:
        now_ns = self._now_ns()
        if isinstance(error, Retryable):
            self._quiet_until_ns = max(self._quiet_until_ns, now_ns + round(error.after_s * NS_PER_S))
        return failed(command, error, now_ns)

    def _asked(self, task: asyncio.Task[Sequence[Answer]]) -> None:
        """A request is over, unless it was given up with its connection."""
        command = self._out.pop(task, None)
        if command is None or task.cancelled():
            return
        self._turns.done(command)
        self._arrive(task.result())
        self._start()

    def _arrive(self, answers: Sequence[Answer]) -> None:
        now_ns = self._now_ns()
        self._arrived.extend(msgspec.structs.replace(answer, at_ns=now_ns) for answer in answers)
        if answers:
            self._wake()


async def _pause(pause_s: float) -> None:
    """Let time pass at the edge, where no engine timer can: while nothing is connected."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(asyncio.Event().wait(), pause_s)

"""Wall time: a tape played on a clock, at its own speed, n times it, or as fast as it goes.

The clock only says how far a run may go; what happens, and in which order, is the virtual
runtime's business. So the same tape and nonce give the same record at every speed.
"""

import asyncio
import signal
from dataclasses import dataclass, field

from autohedge.core.clock import NEVER, monotonic_ns
from autohedge.engine.virtual import VirtualRuntime

SLICE_NS = 60 * 10**9
NS_PER_S = 1_000_000_000


@dataclass(slots=True)
class Lag:
    """How late the loop woke, against when it meant to; in ns."""

    worst_ns: int = 0
    wakes: int = 0

    def note(self, late_ns: int) -> None:
        """Count one wake."""
        self.wakes += 1
        self.worst_ns = max(self.worst_ns, late_ns)


@dataclass(slots=True)
class WallRuntime:
    """Plays a virtual runtime on the wall clock.

    `speed` is how many seconds of the tape pass in one of the clock; None goes as fast as it can,
    but still lets a stop through now and then. `first_ns` is the tape's first time.
    """

    runtime: VirtualRuntime
    first_ns: int
    speed: float | None
    lag: Lag = field(default_factory=Lag)
    stopped: bool = False

    async def run(self, nonce: str) -> None:
        """Play until the tape ends or a stop is asked for; either way the record is whole."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._ask_to_stop, stop, loop)
        self.runtime.begin(nonce)
        begun_ns = monotonic_ns()
        while (next_ns := self.runtime.next_ns) < NEVER and not stop.is_set():
            await self._until(next_ns, begun_ns, stop)
            self.runtime.advance(self._reached_ns(next_ns, begun_ns))
        self.runtime.finish()
        loop.remove_signal_handler(signal.SIGINT)

    def _ask_to_stop(self, stop: asyncio.Event, loop: asyncio.AbstractEventLoop) -> None:
        """First interrupt: end well. The handler is gone then, so a second one ends at once."""
        self.stopped = True
        stop.set()
        loop.remove_signal_handler(signal.SIGINT)

    def _reached_ns(self, next_ns: int, begun_ns: int) -> int:
        """How far the tape may have come by now."""
        if self.speed is None:
            return next_ns + SLICE_NS
        return self.first_ns + int((monotonic_ns() - begun_ns) * self.speed)

    async def _until(self, next_ns: int, begun_ns: int, stop: asyncio.Event) -> None:
        """Wait until the clock reaches `next_ns` of the tape, or a stop."""
        wait_ns = 0
        if self.speed is not None:
            planned_ns = begun_ns + int((next_ns - self.first_ns) / self.speed) + 1
            wait_ns = max(planned_ns - monotonic_ns(), 0)
        try:
            await asyncio.wait_for(stop.wait(), wait_ns / NS_PER_S)
        except TimeoutError:
            if wait_ns:
                self.lag.note(max(monotonic_ns() - planned_ns, 0))

"""Wall time: a run on a clock, at the tape's own speed, n times it, or as fast as it goes.

The clock only says how far a run may go; what happens, and in which order, is the virtual
runtime's business. So the same tape and nonce give the same record at every speed. Answers of a
venue in another process and a person's commands come in between.
"""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from selectors import SelectSelector
from typing import Any, Literal, Protocol

from autohedge.core.clock import NEVER, ReplayClock, monotonic_ns
from autohedge.core.errors import AutoHedgeError
from autohedge.core.events import (
    Decision,
    LoopLag,
    OperatorCommand,
    PromptsChanged,
    Restarted,
    RunStarted,
    SystemFault,
)
from autohedge.core.units import NS_PER_MS, NS_PER_S
from autohedge.engine.engine import Engine
from autohedge.runtime.virtual import VirtualRuntime

SLICE_NS = 60 * 10**9
LAST_ANSWERS_S = 5.0
SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(slots=True)
class LagStats:
    """How late the loop woke, against when it meant to; in ns."""

    worst_ns: int = 0
    last_ns: int = 0
    wakes: int = 0

    def record(self, late_ns: int) -> None:
        """Count one wake."""
        self.wakes += 1
        self.last_ns = late_ns
        self.worst_ns = max(self.worst_ns, late_ns)


class DiskStatus(Protocol):
    """What the record is kept on."""

    fault: str | None

    def reserve(self) -> bool:
        """Make sure that there is room again; say whether there is."""
        ...


@dataclass(slots=True)
class WallRuntime:
    """Plays a virtual runtime on a clock; without one, as fast as it can.

    `reached_ns` is the tape's time up to which everything has happened; `watch` is called at each
    wake. `playing` is whether more is to be asked: from the first input until the rows end, or a stop. With `reports_lag` the engine hears how late the loop is; a seeded run must not depend on that.
    """

    engine: Engine
    runtime: VirtualRuntime
    clock: ReplayClock | None
    reached_ns: int
    disk: DiskStatus
    watch: Callable[[], None] = lambda: None
    lag: LagStats = field(default_factory=LagStats)
    stopped: bool = False
    playing: bool = False
    reports_lag: bool = True
    failure: AutoHedgeError | None = None
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _reported_fault: str | None = None
    _late: bool = False

    def wake(self) -> None:
        """Something came from outside: look now instead of at the next row."""
        self._wake.set()

    def apply_command(
        self, command: Literal["halt", "resume", "flatten", "stop"], reason: str, halt_id: str | None = None
    ) -> None:
        """Carry out a person's command."""
        try:
            self.runtime.inject(OperatorCommand(self.reached_ns, command, reason, halt_id))
        except AutoHedgeError as error:
            self.abort(error)

    def inject(self, event_at: Callable[[int], Decision | PromptsChanged]) -> None:
        """Take in, as of now, a decision or that prompts were edited."""
        try:
            self.runtime.inject(event_at(self.reached_ns))
        except AutoHedgeError as error:
            self.abort(error)
        self._wake.set()

    def recover_disk(self) -> str | None:
        """Make sure of the disk before entries go on; return what is still wrong with it."""
        if self.disk.fault and self.disk.reserve():
            self._reported_fault = None
        return self.disk.fault

    def abort(self, error: AutoHedgeError) -> None:
        """End the run with an error that came up outside its loop."""
        self.failure = error
        self._wake.set()

    async def run(self, first: RunStarted | Restarted) -> None:
        """Play from the first input until the tape ends or a stop is asked for; either way the record is whole."""
        with self._signals():
            self.runtime.inject(first)
            self.playing = True
            while (next_ns := self.runtime.next_ns) < NEVER and not self.stopped:
                await self._wait_until(next_ns)
                self._catch_up(next_ns)
            self.playing = False
            if self.stopped:
                self.apply_command("stop", "interrupted")
            await self._await_final_answers()
            self.runtime.finish()

    def _catch_up(self, next_ns: int) -> None:
        """Let everything happen that the clock has come to, then look around."""
        self._raise_failure()
        reached_ns = self.clock.now_ns() if self.clock else next_ns + SLICE_NS
        self.reached_ns = max(self.reached_ns, reached_ns)
        self.runtime.advance(self.reached_ns)
        self.runtime.drain()
        fault = self.disk.fault
        if fault and fault != self._reported_fault:
            self.runtime.inject(SystemFault(self.reached_ns, fault))
        self._reported_fault = fault
        self._report_lag()
        self.watch()

    def _report_lag(self) -> None:
        """The engine hears when the loop is later than it may be, and when it no longer is."""
        if not self.reports_lag:
            return
        late = self.lag.last_ns > self.engine.max_lag_ms * NS_PER_MS
        if late is not self._late:
            self._late = late
            self.runtime.inject(LoopLag(self.reached_ns, self.lag.last_ns / NS_PER_MS))

    def _raise_failure(self) -> None:
        if self.failure:
            raise self.failure

    async def _wait_until(self, next_ns: int) -> None:
        """Wait until the clock comes to `next_ns`, or something comes from outside."""
        loop = asyncio.get_running_loop()
        wait_ns = self.clock.until_ns(next_ns) if self.clock else 0
        planned_ns = monotonic_ns() + wait_ns
        alarm = loop.call_later(max(wait_ns, 0) / NS_PER_S, self._wake.set)
        await self._wake.wait()
        self._wake.clear()
        alarm.cancel()
        late_ns = monotonic_ns() - planned_ns
        if self.clock and late_ns >= 0:
            self.lag.record(late_ns)

    async def _await_final_answers(self) -> None:
        """What the venue still owes may take a moment, and be asked for; after that it is recorded as owed."""
        if self.clock is None:
            return
        last_ns = self.clock.now_ns() + int(LAST_ANSWERS_S * NS_PER_S * self.clock.speed)
        while self.runtime.awaiting_venue and self.reached_ns < last_ns:
            self._raise_failure()
            await self._wait_until(min(self.runtime.next_deadline_ns, last_ns))
            self.reached_ns = max(self.reached_ns, self.clock.now_ns())
            self.runtime.drain()
            self.runtime.fire_deadlines(self.reached_ns)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """First interrupt or termination: end well. The second ends at once; recovery covers it."""
        loop = asyncio.get_running_loop()
        for each in SIGNALS:
            loop.add_signal_handler(each, self._stop, loop)
        try:
            yield
        finally:
            for each in SIGNALS:
                loop.remove_signal_handler(each)

    def _stop(self, loop: asyncio.AbstractEventLoop) -> None:
        self.stopped = True
        self._wake.set()
        for each in SIGNALS:
            loop.remove_signal_handler(each)


def in_loop(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run on a loop whose timers are exact: `select` waits in microseconds, epoll in milliseconds."""
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(SelectSelector())) as runner:
        return runner.run(coroutine)

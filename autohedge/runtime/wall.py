"""Wall time: a run on a clock, at the tape's own speed, a multiple of it, or as fast as its rows come.

The clock only limits how far a run may go. `VirtualRuntime` decides what happens and in which order, so the
same tape and nonce give the same record at every speed, also where the rows come while it runs. Answers of a
remote venue and operator commands come in between.
"""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from selectors import SelectSelector
from typing import Any, Protocol

from autohedge.core.clock import NEVER, ReplayClock, monotonic_ns
from autohedge.core.errors import AutoHedgeError
from autohedge.core.events import (
    Decision,
    LoopLag,
    OperatorCommand,
    PromptsChanged,
    Restarted,
    RunStarted,
    SettingsChanged,
    SystemFault,
)
from autohedge.core.units import NS_PER_MS, NS_PER_S
from autohedge.engine.engine import Engine
from autohedge.runtime.bar_clock import BarClock
from autohedge.runtime.virtual import VirtualRuntime

SLICE_NS = 60 * 10**9  # without a clock, a minute of the tape per wake: commands and signals come in between
BUSY_NS = 100 * NS_PER_MS  # of work per wake, after which the next rows wait for the next one
STEP_ROWS = 500
POLL_NS = NS_PER_MS  # how often to look for new rows of a market that is still open
LAST_ANSWERS_S = 5.0
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
SIGHUP = getattr(signal, "SIGHUP", None)


@dataclass(slots=True)
class LagStats:
    """How late the loop woke compared with the planned time, in ns."""

    worst_ns: int = 0
    last_ns: int = 0
    wakes: int = 0

    def record(self, late_ns: int) -> None:
        """Counts one wake."""
        self.wakes += 1
        self.last_ns = late_ns
        self.worst_ns = max(self.worst_ns, late_ns)


OutsideInput = Decision | PromptsChanged | OperatorCommand | SettingsChanged


class DiskStatus(Protocol):
    """The state of the disk that holds the record; `fault` is None while it works."""

    fault: str | None

    def reserve(self) -> bool:
        """Reserves disk space again; returns whether that succeeded."""
        ...


class WallRuntime:
    """Runs a virtual runtime on a clock; without one, as fast as possible.

    It waits for rows that have yet to come: the run ends when its market is closed and all rows are taken.

    `reached_ns` is the tape's time up to which everything has happened. `watch` is called at each wake.
    `playing` is true from the first input until the rows end or a stop; `stopped` may be set before, for a run
    that only has to end. With `reports_lag`, the engine receives `LoopLag`; a seeded run must not depend on it.
    With `halts_at_end`, entries halt when the rows end as at a stop, because nobody watches afterwards what rests
    at a venue that lives on. With a `bar_clock`, bars are finished on time while no row comes.
    """

    def __init__(
        self,
        engine: Engine,
        runtime: VirtualRuntime,
        clock: ReplayClock | None,
        reached_ns: int,
        disk: DiskStatus,
        watch: Callable[[], None] = lambda: None,
    ) -> None:
        self.engine, self.runtime = engine, runtime
        self.clock, self.reached_ns = clock, reached_ns
        self.disk, self.watch = disk, watch
        self.lag = LagStats()
        self.stopped = self.playing = self.halts_at_end = False
        self.reports_lag = True
        self.bar_clock: BarClock | None = None
        self.failure: AutoHedgeError | None = None
        self._wake = asyncio.Event()
        self._reported_fault: str | None = None
        self._late = False

    def wake(self) -> None:
        """Wakes the loop now instead of at the next row, because an outside event has arrived."""
        self._wake.set()

    def inject(self, event_at: Callable[[int], OutsideInput]) -> None:
        """Injects an input from outside; `event_at` makes it from the time reached."""
        try:
            self.runtime.interrupt(event_at(self.reached_ns))
        except AutoHedgeError as error:
            self.abort(error)
        self._wake.set()

    def recover_disk(self) -> str | None:
        """Tries to clear a disk fault before entries resume; returns the fault that remains, or None."""
        if self.disk.fault and self.disk.reserve():
            self._reported_fault = None  # the same fault may come back and must halt again
        return self.disk.fault

    def abort(self, error: AutoHedgeError) -> None:
        """Ends the run with an error from outside its loop."""
        self.failure = error
        self._wake.set()

    async def run(self, first: RunStarted | Restarted) -> None:
        """Runs from the first input until the market ends or a stop; either way the record is complete."""
        with self._signals():
            self.runtime.interrupt(first)
            self.playing = True
            while not self.runtime.ended and not self.stopped:
                await self._wait_until(self.runtime.next_ns)
                self._catch_up()
            self.playing = False
            if self.stopped:
                self.inject(lambda at_ns: OperatorCommand(at_ns, "stop", "interrupted"))
            elif self.halts_at_end:
                self.inject(lambda at_ns: OperatorCommand(at_ns, "halt", "the tape has ended"))
            await self._await_final_answers()
            self.runtime.finish()

    def _catch_up(self) -> None:
        """Handles what the clock's time allows, then reports disk faults, lag and progress."""
        self._raise_failure()
        self.runtime.refresh()
        next_ns = self.runtime.next_ns
        if next_ns < NEVER:
            self._advance(self.clock.now_ns() if self.clock else next_ns + SLICE_NS)
        if self.bar_clock:
            self.reached_ns = max(self.reached_ns, self.bar_clock.finish_bars(self.runtime))
        fault = self.disk.fault
        if fault and fault != self._reported_fault:
            self.runtime.interrupt(SystemFault(self.reached_ns, fault))
        self._reported_fault = fault
        self._report_lag()
        self.watch()

    def _advance(self, until_ns: int) -> None:
        """Handles everything up to `until_ns`, or less if it takes long: a stop must not wait for it."""
        give_up_ns = monotonic_ns() + BUSY_NS
        while True:
            reached_ns = min(until_ns, self.runtime.time_after(STEP_ROWS))
            self.reached_ns = max(self.reached_ns, reached_ns)
            self.runtime.advance(self.reached_ns)
            self.runtime.drain()
            done = self.reached_ns >= until_ns or self.runtime.awaits_rows
            if done or monotonic_ns() >= give_up_ns:
                return

    def _report_lag(self) -> None:
        """Injects `LoopLag` when the lag crosses the engine's limit, in either direction."""
        if not self.reports_lag:
            return
        late = self.lag.last_ns > self.engine.parameters.max_lag_ms * NS_PER_MS
        if late is not self._late:  # only crossings: one input per wake would flood the journal
            self._late = late
            self.runtime.interrupt(LoopLag(self.reached_ns, self.lag.last_ns / NS_PER_MS))

    def _raise_failure(self) -> None:
        if self.failure:
            raise self.failure

    async def _wait_until(self, next_ns: int) -> None:
        """Waits until the clock reaches `next_ns`, until it is time to look for new rows, or until `wake`."""
        loop = asyncio.get_running_loop()
        wait_ns = self.clock.until_ns(next_ns) if self.clock else 0
        if next_ns == NEVER:
            wait_ns = POLL_NS
        planned_ns = monotonic_ns() + wait_ns
        alarm = loop.call_later(max(wait_ns, 0) / NS_PER_S, self._wake.set)
        await self._wake.wait()
        self._wake.clear()
        alarm.cancel()
        late_ns = monotonic_ns() - planned_ns
        if self.clock and late_ns >= 0:  # negative: woken early from outside
            self.lag.record(late_ns)

    async def _await_final_answers(self) -> None:
        """Waits up to `LAST_ANSWERS_S` for answers that a remote venue still owes, and queries them."""
        if self.clock is None:
            return
        # In the tape's time; what is not answered by then stays unknown in the record.
        last_ns = self.clock.now_ns() + int(LAST_ANSWERS_S * NS_PER_S * self.clock.speed)
        while self.runtime.awaiting_venue and self.reached_ns < last_ns:
            self._raise_failure()
            await self._wait_until(min(self.runtime.next_deadline_ns, last_ns))
            self.reached_ns = max(self.reached_ns, self.clock.now_ns())
            self.runtime.drain()
            self.runtime.fire_deadlines(self.reached_ns)

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Handles the ending signals: the first one ends the run in order, the second one at once."""
        loop = asyncio.get_running_loop()
        handlers = {each: signal.getsignal(each) for each in SIGNALS}
        if handlers.get(SIGHUP) is signal.SIG_IGN:  # `nohup` keeps a run from ending with its terminal
            del handlers[SIGHUP]
        for each in handlers:
            loop.add_signal_handler(each, self._stop, loop, handlers)
        try:
            yield
        finally:
            _restore(loop, handlers)

    def _stop(self, loop: asyncio.AbstractEventLoop, handlers: Mapping[int, Any]) -> None:
        self.stopped = True
        self._wake.set()
        # The second signal ends the process; a restart recovers the run.
        _restore(loop, handlers)


def _restore(loop: asyncio.AbstractEventLoop, handlers: Mapping[int, Any]) -> None:
    for each, handler in handlers.items():
        loop.remove_signal_handler(each)
        # A second interrupt must count, also in a shell's background job, which ignores the first kind.
        if handler is not signal.SIG_IGN:
            signal.signal(each, handler)


def in_loop(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Runs a coroutine on an event loop with precise timers, and returns its result."""
    # `select` waits in microseconds, epoll in milliseconds (ADR 9).
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(SelectSelector())) as runner:
        return runner.run(coroutine)

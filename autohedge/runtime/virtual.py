"""Virtual time: a tape is one large batch, and time jumps from one thing that happens to the next."""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from autohedge.core.clock import NEVER
from autohedge.core.events import (
    AnyInput,
    Decision,
    DeliberationRequested,
    EndOfTape,
    JournalEntry,
    PromptsChanged,
    RunStarted,
    Timer,
    TradingCommand,
)
from autohedge.core.orders import OrderState
from autohedge.core.ports import Gateway
from autohedge.core.snapshots import Snapshot
from autohedge.engine.engine import Engine
from autohedge.market.tape import Rows

OWED = frozenset({OrderState.SUBMITTED, OrderState.UNKNOWN, OrderState.PENDING_CANCEL})


class SimulatedClockedVenue(Gateway, Protocol):
    """A venue that lives on the tape's time."""

    @property
    def next_due_ns(self) -> int:
        """When something next arrives at either end; NEVER if nothing is on its way."""
        ...

    @property
    def next_touch(self) -> int:
        """The first row that a resting order reacts to; the tape's length if none does."""
        ...

    def on_position(self, pos: int) -> None:
        """The tape has moved on: rows before `pos` are known."""
        ...

    def advance(self) -> None:
        """Let the earliest due thing happen."""
        ...

    def fill_resting(self, row: int) -> None:
        """Let resting orders react to this row."""
        ...


class Recorder(Protocol):
    """Takes the record, event by event; a journal is one."""

    def append(self, entry: JournalEntry) -> None:
        """Add one event; on return it is as safe as this recorder promises to make it."""
        ...


class DecisionSource(Protocol):
    """The slow plane, seen from a runtime: questions in, decisions out, each when it is due."""

    @property
    def next_due_ns(self) -> int:
        """When the next decision is known; NEVER if none is on its way in this process."""
        ...

    def request(self, question: DeliberationRequested, snapshot: Snapshot) -> None:
        """Take a question that is already in the journal."""
        ...

    def poll(self, by_ns: int) -> Decision | None:
        """The next decision that is known by `by_ns`, or None."""
        ...


class NoDecisions:
    """No slow plane: every question stays unanswered, until the engine's own deadline."""

    next_due_ns = NEVER

    def request(self, question: DeliberationRequested, snapshot: Snapshot) -> None:
        """Hear nothing."""

    def poll(self, by_ns: int) -> Decision | None:  # noqa: ARG002
        """Say nothing."""
        return None


class VirtualRuntime:
    """Drives one engine and one venue over one tape.

    What is due at a time happens before the first row later than it, and after all rows up to it;
    of several things due, the venue comes before the engine's timers, and these before decisions. Each event is recorded before
    anything follows from it. With `on_row` rows are taken, and told, one by one. With `late_as_one`
    deadlines that have passed together are one timer, at the last moment before the next row: for a
    venue elsewhere, which cannot answer in between. `on_prompts` hears of a change of prompts once it is recorded,
    and before any question that is recorded later.
    """

    def __init__(
        self,
        engine: Engine,
        venue: SimulatedClockedVenue,
        rows: Rows,
        recorder: Recorder,
        decisions: DecisionSource | None = None,
    ) -> None:
        self._engine = engine
        self._venue = venue
        self._rows = rows
        self._recorder = recorder
        self.decisions: DecisionSource = decisions or NoDecisions()
        self.on_row: Callable[[int], None] | None = None
        self.on_prompts: Callable[[PromptsChanged], None] | None = None
        self.late_as_one = False
        self._due_ns = NEVER
        self._due_row = len(rows)
        self._end = len(rows)

    def run(self, nonce: str) -> None:
        """Play the tape to its end, then deliver what is still on its way."""
        self.begin(nonce)
        self.advance(NEVER)
        self.finish()

    def begin(self, nonce: str) -> None:
        """The first input: what the run's ids derive from."""
        self.inject(RunStarted(nonce))

    def inject(self, event: AnyInput) -> None:
        """Give the engine an input from outside of tape and venue, and let what follows happen."""
        self._engine.step(event)
        self.drain()

    @property
    def next_ns(self) -> int:
        """When something next happens while the tape lasts; NEVER once it has ended."""
        pos = self._engine.pos
        if pos == self._end:
            return NEVER
        return min(int(self._rows.ts[pos]), self._due_next_ns)

    @property
    def _due_next_ns(self) -> int:
        """When the venue or a deadline is due next, rows apart."""
        return min(self._venue.next_due_ns, self._engine.next_deadline_ns, self.decisions.next_due_ns)

    def advance(self, until_ns: int) -> None:
        """Let everything happen up to `until_ns`, as long as the tape lasts."""
        end = self._end if until_ns == NEVER else int(np.searchsorted(self._rows.ts, until_ns, side="right"))
        while self._engine.pos < self._end:
            stop = min(self._next_stop(), end)
            if stop > self._engine.pos:
                self._scan(stop)
            elif self._due_next_ns <= until_ns:
                self._run_next_due(min(until_ns, int(self._rows.ts[stop]) - 1) if self.late_as_one else 0)
            else:
                return

    @property
    def next_deadline_ns(self) -> int:
        """When the engine next wants to be told the time; NEVER if it waits for nothing."""
        return self._engine.next_deadline_ns

    def fire_deadlines(self, until_ns: int) -> None:
        """Once no more rows are taken: deliver the engine's deadlines up to `until_ns`."""
        while (deadline_ns := self._engine.next_deadline_ns) <= until_ns:
            self._engine.step(Timer(deadline_ns))
            self.drain()

    def finish(self) -> None:
        """No more rows: deliver what is still on its way, and sum up."""
        while self._venue.next_due_ns < NEVER:
            self._run_next_due()
        self.inject(EndOfTape())

    def _next_stop(self) -> int:
        """The first row before which something else happens."""
        stop = min(self._end, self._venue.next_touch + 1)
        due_ns = self._due_next_ns
        return min(stop, self._row_after(due_ns)) if due_ns < NEVER else stop

    def _row_after(self, due_ns: int) -> int:
        """The first row later than `due_ns`; the same deadline is often asked for again."""
        if due_ns != self._due_ns:
            self._due_ns = due_ns
            self._due_row = int(np.searchsorted(self._rows.ts, due_ns, side="right"))
        return self._due_row

    def _scan(self, stop: int) -> None:
        engine, venue = self._engine, self._venue
        touch = venue.next_touch
        if self.on_row:
            stop = engine.pos + 1
        pos = engine.scan(self._rows, engine.pos, stop)
        venue.on_position(pos)
        if self.on_row:
            self.on_row(pos - 1)
        if pos == touch + 1:
            venue.fill_resting(touch)
        self.drain()

    def _run_next_due(self, reached_ns: int = 0) -> None:
        deadline_ns, decision_ns = self._engine.next_deadline_ns, self.decisions.next_due_ns
        if self._venue.next_due_ns <= min(deadline_ns, decision_ns):
            self._venue.advance()
        elif deadline_ns <= decision_ns:
            self._engine.step(Timer(max(deadline_ns, reached_ns)))
        elif decision := self.decisions.poll(decision_ns):
            self._engine.step(decision)
        self.drain()

    def drain(self) -> None:
        """Record what happened, carry commands out, take answers in, until nothing moves."""
        self._dispatch_log()
        while (answer := self._venue.poll()) is not None:
            self._engine.step(answer)
            self._dispatch_log()

    @property
    def awaiting_venue(self) -> bool:
        """Whether the venue still owes an answer that is not on its way inside this process."""
        states = (order.state for order in self._engine.orders.working.values())
        return self._venue.next_due_ns == NEVER and any(state in OWED for state in states)

    def _dispatch_log(self) -> None:
        log = self._engine.log
        while log:
            entry = log.popleft()
            self._recorder.append(entry)
            if isinstance(entry.event, TradingCommand):
                self._venue.send(entry.event, self._engine.now_ns)
            elif isinstance(entry.event, DeliberationRequested):
                self._forward_question(entry.event)
            elif isinstance(entry.event, PromptsChanged) and self.on_prompts:
                self.on_prompts(entry.event)

    def _forward_question(self, question: DeliberationRequested) -> None:
        """Pass a question on, unless the very step that asked it gave it up again."""
        deliberations = self._engine.deliberations
        if deliberations and (snapshot := deliberations.snapshots.get(question.number)):
            self.decisions.request(question, snapshot)


def advance_unattended(venue: SimulatedClockedVenue, rows: Rows, until_ns: int) -> None:
    """Let a venue live on to a time with no one listening: rows and arrivals in their order."""
    ts = rows.ts
    while True:
        touch, due_ns = venue.next_touch, venue.next_due_ns
        touch_ns = int(ts[touch]) if touch < len(ts) else NEVER
        if min(touch_ns, due_ns) > until_ns:
            break
        if touch_ns <= due_ns:
            venue.on_position(touch + 1)
            venue.fill_resting(touch)
        else:
            venue.on_position(int(np.searchsorted(ts, due_ns, side="right")))
            venue.advance()
    venue.on_position(int(np.searchsorted(ts, until_ns, side="right")))

"""Virtual time: the rows that have come are one large batch, and time jumps from one event to the next."""

from collections.abc import Callable

from autohedge.core.clock import NEVER
from autohedge.core.events import (
    AnyInput,
    Decision,
    DeliberationRequested,
    EndOfTape,
    PromptsChanged,
    RunStarted,
    TapeSealed,
    Timer,
    TradingCommand,
)
from autohedge.core.orders import OrderState
from autohedge.core.ports import DecisionSource, Gateway, Recorder, VenueClock
from autohedge.core.snapshots import Snapshot
from autohedge.core.units import NS_PER_DAY
from autohedge.engine.engine import Engine
from autohedge.market.cursor import MarketCursor
from autohedge.market.rows import Rows

# How long after the last row messages are still delivered. Where they take longer than the engine waits, its
# timers ask again and again, and there is no last message.
FINISH_NS = NS_PER_DAY
# The rows of a run are sealed in blocks that end at multiples of this, and at the end.
SEAL_ROWS = 1 << 20
# States in which the venue still has to answer.
OWED = frozenset({OrderState.SUBMITTED, OrderState.UNKNOWN, OrderState.PENDING_CANCEL})


class NoDecisions:
    """A decision source without agents: every question ends at the engine's deadline."""

    next_due_ns = NEVER

    def request(self, question: DeliberationRequested, snapshot: Snapshot) -> None:
        """Does nothing."""

    def poll(self, by_ns: int) -> Decision | None:  # noqa: ARG002
        """Returns None: there are no decisions."""
        return None


class NoVenueClock:
    """The clock of a venue in another process, which has its own time and market data: nothing is ever due."""

    next_due_ns = NEVER

    def first_touch(self, stop: int) -> int:
        """Returns `stop`: resting orders fill at the venue."""
        return stop

    def on_position(self, pos: int) -> None:
        """Does nothing: the venue has its own market data."""

    def advance(self) -> None:
        """Does nothing: no message is ever due in this process."""

    def fill_resting(self, row: int) -> None:
        """Does nothing: resting orders fill at the venue."""


class VirtualRuntime:
    """Drives one engine and one venue over the rows of one market, as far as they have come.

    `clock` is that of a simulated venue in this process, usually the venue itself; None for a venue elsewhere.

    What is due at a time happens after all rows up to that time and before the first later row. Of several
    things due at one time, the venue comes before the engine's timers, and these before decisions. Each event
    is recorded before anything follows from it.

    With `on_row`, rows are taken one by one and reported to it. `on_prompts` receives a change of prompts
    once it is recorded, and before any question that is recorded later. With `late_as_one`, deadlines that
    have passed together fire as one timer just before the next row: a remote venue cannot answer in between.
    `seal_rows` is the number of rows that a seal covers.
    """

    def __init__(
        self,
        engine: Engine,
        gateway: Gateway,
        market: MarketCursor,
        recorder: Recorder,
        decisions: DecisionSource | None = None,
        *,
        clock: VenueClock | None,
    ) -> None:
        self._engine = engine
        self._gateway = gateway
        self._clock: VenueClock = clock or NoVenueClock()
        self._market = market
        self._recorder = recorder
        self.decisions: DecisionSource = decisions or NoDecisions()
        self.on_row: Callable[[int], None] | None = None
        self.on_prompts: Callable[[PromptsChanged], None] | None = None
        self.late_as_one = False
        self.seal_rows = SEAL_ROWS
        self._due: tuple[int, Rows | None, int] = NEVER, None, 0
        self._block_end = 0

    def run(self, nonce: str) -> None:
        """Runs the tape to its end, then delivers what is still in transit."""
        self.begin(nonce)
        self.advance(NEVER)
        self.finish()

    def begin(self, nonce: str) -> None:
        """Injects the first input, which holds the nonce that the run's ids derive from."""
        self.inject(RunStarted(nonce))

    def inject(self, event: AnyInput) -> None:
        """Gives the engine an input from outside the tape and the venue, and handles what follows."""
        self._engine.step(event)
        self.drain()

    def interrupt(self, event: AnyInput) -> None:
        """Injects an input after all that is due by its time, even if no later row has come.

        So the rows before an input and its time say what had happened by then; `recovery.rerun` relies on it.
        """
        if not self.late_as_one and not isinstance(event, EndOfTape):
            while self._due_next_ns <= event.at_ns:
                self._run_next_due()
        self.inject(event)

    def refresh(self) -> None:
        """Takes in the rows that have come since the last call."""
        self._market.refresh()

    @property
    def ended(self) -> bool:
        """Whether all rows are taken, and no more will come."""
        return self._market.closed and self._engine.pos >= len(self._market.rows)

    @property
    def awaits_rows(self) -> bool:
        """Whether all rows that have come are taken, and more may come."""
        return not self._market.closed and self._engine.pos >= len(self._market.rows)

    @property
    def next_ns(self) -> int:
        """The time of the next row or due event; NEVER if no row is there, for what is due comes after rows."""
        row_ns = self._market.rows.next_ts(self._engine.pos)
        return min(row_ns, self._due_next_ns) if row_ns < NEVER else NEVER

    def time_after(self, count: int) -> int:
        """The time of the row that comes so many rows later, or of the last that has come.

        NEVER beyond the end of a closed market.
        """
        rows, row = self._market.rows, self._engine.pos + count
        if row >= len(rows) and not self._market.closed:
            return rows.next_ts(len(rows) - 1) if len(rows) else 0
        return rows.next_ts(row)

    @property
    def _due_next_ns(self) -> int:
        """When the venue, an engine timer or a decision is due next."""
        return min(self._clock.next_due_ns, self._engine.next_deadline_ns, self.decisions.next_due_ns)

    def advance(self, until_ns: int) -> None:
        """Handles all rows and due events up to `until_ns`, the latter only if a later row has come."""
        # A row at `until_ns` itself is included.
        self.advance_to(self._market.rows.end_until(until_ns), until_ns)

    def advance_to(self, end: int, until_ns: int) -> None:
        """Handles the rows before `end`, and due events up to `until_ns` before a row that has come."""
        rows = self._market.rows
        count = len(rows)
        self._seal_blocks()  # a restart may have skipped the rows up to the end of one
        while self._engine.pos < count:
            stop = self._next_stop(rows, end)
            if stop > self._engine.pos:
                self._scan(rows, stop)
            elif self._due_next_ns <= until_ns:
                next_row_ns = rows.next_ts(self._engine.pos)
                self._run_next_due(min(until_ns, next_row_ns - 1) if self.late_as_one else 0)
            else:
                return

    @property
    def next_deadline_ns(self) -> int:
        """When the next timer of the engine is due; NEVER if none is set."""
        return self._engine.next_deadline_ns

    def fire_deadlines(self, until_ns: int) -> None:
        """Fires the engine's timers up to `until_ns`, once no more rows are taken."""
        while (deadline_ns := self._engine.next_deadline_ns) <= until_ns:
            self._engine.step(Timer(deadline_ns))
            self.drain()

    def finish(self) -> None:
        """Delivers what is still in transit, seals the last rows, and ends the run with `EndOfTape`."""
        # Timers alone do not keep the run going: a resting order would be queried for ever.
        last_ns = self._last_row_ns + FINISH_NS
        while self._clock.next_due_ns <= last_ns:
            self._run_next_due()
        self._seal_blocks()  # a stop may follow a restart that skipped the rows up to the end of one
        if self._engine.pos > self._engine.sealed_rows:
            self._seal(self._engine.pos)
        self.inject(EndOfTape())

    @property
    def _last_row_ns(self) -> int:
        """The time of the last row taken; that of the engine before the first."""
        pos = self._engine.pos
        return self._market.rows.next_ts(pos - 1) if pos else self._engine.now_ns

    def _next_stop(self, rows: Rows, end: int) -> int:
        """The first row before which something else is due, at most `end`."""
        due_ns = self._due_next_ns
        return min(end, self._row_after(rows, due_ns)) if due_ns < NEVER else end

    def _row_after(self, rows: Rows, due_ns: int) -> int:
        """The first row later than `due_ns`."""
        known_ns, known_rows, row = self._due  # one deadline usually lasts over many scans
        if due_ns != known_ns or rows is not known_rows:
            row = rows.end_until(due_ns)
            self._due = due_ns, rows, row
        return row

    def _scan(self, rows: Rows, stop: int) -> None:
        engine, clock = self._engine, self._clock
        stop = min(stop, self._block_end)
        touch = clock.first_touch(stop)
        # + 1: the engine decides at the touching row before the resting order fills at it.
        stop = engine.pos + 1 if self.on_row else min(stop, touch + 1)
        pos = engine.scan(rows, engine.pos, stop)
        clock.on_position(pos)
        if self.on_row:
            self.on_row(pos - 1)
        if pos == touch + 1:
            clock.fill_resting(touch)
        self.drain()
        if pos >= self._block_end:
            self._seal_blocks()

    def _seal_blocks(self) -> None:
        """Seals every block of which all rows are taken."""
        engine = self._engine
        while (end := (engine.sealed_rows // self.seal_rows + 1) * self.seal_rows) <= engine.pos:
            self._seal(end)
        self._block_end = end

    def _seal(self, end: int) -> None:
        """Journals the hash of the rows before `end` that are not sealed yet."""
        found = self._market.block_hash(self._engine.sealed_rows, end)
        self.inject(TapeSealed(self._market.rows.next_ts(end - 1), end, found))

    def _run_next_due(self, reached_ns: int = 0) -> None:
        deadline_ns, decision_ns = self._engine.next_deadline_ns, self.decisions.next_due_ns
        # A venue's answer at its deadline is in time, a decision at its deadline is late. `recovery.rerun`
        # relies on this order to reproduce a record.
        if self._clock.next_due_ns <= min(deadline_ns, decision_ns):
            self._clock.advance()
        elif deadline_ns <= decision_ns:
            self._engine.step(Timer(max(deadline_ns, reached_ns)))
        elif decision := self.decisions.poll(decision_ns):
            self._engine.step(decision)
        self.drain()

    def drain(self) -> None:
        """Records outputs, sends commands and takes answers in, until there are no more."""
        self._dispatch_log()
        while (answer := self._gateway.poll()) is not None:
            self._engine.step(answer)
            self._dispatch_log()

    @property
    def awaiting_venue(self) -> bool:
        """Whether the venue owes an answer to an order and none is in transit in this process."""
        states = (order.state for order in self._engine.orders.working.values())
        return self._clock.next_due_ns == NEVER and any(state in OWED for state in states)

    def _dispatch_log(self) -> None:
        log = self._engine.log
        while log:
            entry = log.popleft()
            # Before anything leaves: after a crash, an order at the venue must be in the journal.
            self._recorder.append(entry)
            if isinstance(entry.event, TradingCommand):
                self._gateway.send(entry.event, self._engine.now_ns)
            elif isinstance(entry.event, PromptsChanged) and self.on_prompts:
                self.on_prompts(entry.event)
        questions = self._engine.questions
        while questions:
            request, snapshot = questions.popleft()
            self.decisions.request(request, snapshot)


def advance_unattended(clock: VenueClock, rows: Rows, until_ns: int) -> None:
    """Advances a venue to `until_ns` without an engine: rows and messages in their order."""
    end = rows.end_until(until_ns)
    while True:
        due_ns = clock.next_due_ns
        stop = min(end, rows.end_until(due_ns))  # as in a run, a row comes before a message of the same time
        touch = clock.first_touch(stop)
        if touch < stop:
            clock.on_position(touch + 1)
            clock.fill_resting(touch)
        elif due_ns <= until_ns:
            clock.on_position(stop)
            clock.advance()
        else:
            break
    clock.on_position(end)

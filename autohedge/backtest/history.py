"""One history: a seed decides market, settings, faults, crashes and people; here is what came of it.

Engine, risk, execution and journal are the real ones, and so is the way back from a record; the
venue is the simulated one behind `UnreliableVenue`. Faults and crashes draw from streams apart.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum, auto, unique
from hashlib import blake2b
from io import BytesIO
from itertools import takewhile
from pathlib import Path

import msgspec
import numpy as np

from autohedge.backtest.conditions import conditions
from autohedge.backtest.counsel import MindFault, SeededCounsel
from autohedge.backtest.invariants import Checker
from autohedge.backtest.market import FeedFault, market
from autohedge.backtest.violated import Violated
from autohedge.core.clock import NEVER
from autohedge.core.errors import AutoHedgeError
from autohedge.core.events import (
    Account,
    Answer,
    Command,
    Entry,
    Lag,
    Operator,
    OrderList,
    QueryFills,
    Reconciled,
    Request,
    Restarted,
    SubmitOrder,
    Trouble,
)
from autohedge.core.ids import Randomness, nonce_from_seed, randomness
from autohedge.engine.engine import Engine
from autohedge.engine.replay import replay
from autohedge.engine.retrace import rebuild
from autohedge.engine.virtual import VirtualRuntime, pass_by
from autohedge.exchanges.simulated import Terms, lots_of
from autohedge.exchanges.unreliable import MoodyVenue, UnreliableVenue, VenueFault
from autohedge.journal.chain import Journal, lines_of
from autohedge.market.tape import Rows
from autohedge.strategies import build

NS_PER_S = 10**9
ROWS = 1_850
CALM_S = 120.0
CRASH_RATE = 0.004
FAULT_RATE = 0.06
RESUMES = 24
IN_MEMORY = Path("the journal in memory")
Moment = Operator | Trouble | Lag


@unique
class MachineFault(StrEnum):
    """What can happen to the process and its disk."""

    CRASH_RECORD = auto()
    CRASH_SUBMIT = auto()
    CRASH_APPLY = auto()
    TORN_TAIL = auto()
    POWER_LOSS = auto()
    DISK_FULL = auto()


Fault = FeedFault | VenueFault | MachineFault | MindFault
KINDS = (FeedFault, VenueFault, MachineFault, MindFault)
FAULTS: dict[str, Fault] = {str(fault): fault for kind in KINDS for fault in kind}


class Crash(Exception):
    """The process is gone."""


@dataclass(slots=True)
class Outcome:
    """What a history came to: how often each fault struck, and its first violation, if any."""

    seed: int
    rows: int = 0
    orders: int = 0
    crashes: int = 0
    struck: Counter[str] = field(default_factory=Counter)
    violation: str | None = None
    digest: str = ""


def run_history(seed: int, faults: frozenset[Fault]) -> Outcome:
    """Play one seed to its end; the same seed and faults give the same bytes."""
    history = History(seed, faults)
    try:
        history.play()
    except Violated as violated:
        history.outcome.violation = str(violated)
    except (AutoHedgeError, ArithmeticError, LookupError) as error:
        history.outcome.violation = f"the engine stopped: {type(error).__name__}: {error}"
    return history.outcome


class _Memory(BytesIO):
    """A journal's store; what was not synced may be lost with the power."""

    synced = 0

    def secure(self) -> None:
        """Nothing: as with `process` durability."""

    def sync(self) -> None:
        """What was written until now stays."""
        self.synced = self.tell()

    def cut(self, size: int) -> None:
        """Lose the end."""
        self.seek(size)
        self.truncate()


class History:
    """One history under way; with `cut` its market ends early."""

    def __init__(self, seed: int, faults: frozenset[Fault], cut: int | None = None) -> None:
        self.outcome = Outcome(seed)
        self.noted: list[Entry] = []
        self.seed, self.faults, self.cut = seed, faults, cut
        self.crash_rate = CRASH_RATE
        self._crashes = randomness(str(seed), "crashes")
        self._people = randomness(str(seed), "people")
        feed = frozenset(fault for fault in faults if isinstance(fault, FeedFault))
        self.tape, self._calm_ns = market(
            randomness(str(seed), "market"), ROWS, feed, self.outcome.struck, CALM_S
        )
        self.rows = self.tape.rows if cut is None else _first(self.tape.rows, cut)
        self.settings = conditions(randomness(str(seed), "settings"))
        self._nonce = nonce_from_seed(seed)
        self.store = _Memory()
        moody = MoodyVenue(
            Terms.of(self.settings), lots_of(self.settings, self.tape.symbols), self.rows, nonce=self._nonce
        )
        self.venue = UnreliableVenue(
            moody,
            _at_venue(faults, randomness(str(seed), "venue")),
            randomness(str(seed), "faults"),
            rate=FAULT_RATE,
            calm_ns=self._calm_ns,
        )
        self.counsel = self._counsel()
        self.checker = Checker(self.settings, self.rows, self.tape.symbols, moody)
        self.last: dict[type, OrderList | Account] = {}
        self.reconciled = False
        self.journal = Journal.begin(self.store, {"seed": seed})
        self.store.sync()
        self._anew()

    def _counsel(self) -> SeededCounsel:
        return SeededCounsel(
            self.settings,
            self.tape.symbols,
            frozenset(fault for fault in self.faults if isinstance(fault, MindFault)),
            randomness(str(self.seed), "counsel"),
            randomness(str(self.seed), "mind"),
            self.outcome.struck,
        )

    def _anew(self) -> None:
        self.counsel.hang_up()
        self.engine = Engine(self.settings, self.tape.symbols, build(self.settings, self.tape.streams))
        self.runtime = _Runtime(self)

    # playing

    def play(self) -> None:
        """Play to the end, check what can only be checked there, and sum up."""
        self._until(self._calm_ns)
        self._calm_down()
        self.outcome.rows = self.engine.pos
        content = self.store.getvalue()
        self.outcome.digest = blake2b(content, digest_size=16).hexdigest()
        for fault, times in self.venue.struck.items():
            self.outcome.struck[str(fault)] += times
        self._reproduce(content)
        self._know_nothing_of_the_future()

    def _until(self, end_ns: int) -> None:
        """Play the moments before a time, and the market up to it."""
        self._survive(lambda: self.runtime.begin(self._nonce))
        for at_ns, event in self._moments():
            if at_ns >= end_ns:
                break
            self._advance(at_ns)
            self._survive(lambda event=event: self._take(event))  # type: ignore[misc]
        self._advance(end_ns)

    def _advance(self, at_ns: int) -> None:
        while not self._survive(lambda: self.runtime.advance(at_ns)):
            pass

    def _survive(self, act: Callable[[], None]) -> bool:
        """Do something; if the process dies of it, another takes over. Says whether it lived."""
        try:
            act()
        except Crash:
            self._restart()
            return False
        return True

    def _take(self, event: Moment) -> None:
        event = msgspec.structs.replace(event, at_ns=max(event.at_ns, self.engine.now_ns))
        if isinstance(event, Operator) and event.command == "resume":
            event = msgspec.structs.replace(event, halt_id=self.engine.halt_id)
        self.runtime.take(event)

    def _moments(self) -> list[tuple[int, Moment]]:
        """What people and the machine do, and when; someone always comes back to resume."""
        start_ns = int(self.tape.rows.ts[0])
        span_ns = self._calm_ns - start_ns
        events: list[Moment] = [Operator(0, "halt", "lunch")] * self._people.randrange(2)
        events += [Operator(0, "flatten", "a storm")] * (self._people.random() < 0.2)
        events += [Lag(0, 5_000.0), Lag(0, 1.0)] * (self._people.random() < 0.2)
        if MachineFault.DISK_FULL in self.faults and self._people.random() < 0.2:
            self.outcome.struck["disk_full"] += 1
            events.append(Trouble(0, "the disk is full"))
        moments = [(start_ns + self._people.randrange(span_ns), event) for event in events]
        moments += [
            (start_ns + span_ns * step // RESUMES, Operator(0, "resume", "back to work"))
            for step in range(1, RESUMES)
        ]
        return sorted(
            ((at_ns, msgspec.structs.replace(event, at_ns=at_ns)) for at_ns, event in moments),
            key=lambda moment: moment[0],
        )

    def _calm_down(self) -> None:
        """No faults any more: what is in doubt must be cleared up, and the books be the venue's."""
        self.crash_rate = 0.0
        self._take(Operator(self._calm_ns, "halt", "the day is over"))
        self.runtime.advance(NEVER)
        self.runtime.finish()
        self.checker.settled(self.engine)

    # the machine

    def crash_point(self, fault: MachineFault) -> None:
        """The process may die here."""
        luck = self._crashes.random()
        if fault in self.faults and luck < self.crash_rate:
            self.outcome.struck[str(fault)] += 1
            raise Crash

    def _restart(self) -> None:
        """The process died; a while later another one takes over from its record."""
        self.outcome.crashes += 1
        rate, self.crash_rate = self.crash_rate, 0.0
        now_ns = self.engine.now_ns + int(self._crashes.uniform(0.0, 4.0) * NS_PER_S)
        now_ns = max(min(now_ns, self._calm_ns), self.engine.now_ns)
        self.venue.hang_up()
        pass_by(self.venue, self.rows, now_ns)
        self.venue.hang_up()
        self._lose_the_end()
        self.store.seek(0)
        genesis, *lines = lines_of(self.store, IN_MEMORY)
        self.journal = Journal(self.store, lines[-1].hash if lines else genesis.hash, len(lines) + 1)
        self._anew()
        self.checker.reset()
        record = [line.entry for line in lines]
        for entry in record:
            self.checker.note(entry)
        if not record:
            self.runtime.begin(self._nonce)
        else:
            lost = rebuild(self.engine, record, self.rows, self.runtime.recorder)
            pos = max(self.engine.pos, int(np.searchsorted(self.rows.ts, now_ns, side="right")))
            nonce = nonce_from_seed(self._crashes.getrandbits(62))
            self.runtime.take(Restarted(now_ns, pos, nonce, lost))
        self.crash_rate = rate

    def _lose_the_end(self) -> None:
        """With the power go lines that were not synced yet; a last one may be torn."""
        size, luck = self.store.tell(), self._crashes.random()
        content = self.store.getvalue()
        if MachineFault.POWER_LOSS in self.faults and luck < 0.25:
            for _ in range(self._crashes.randrange(1, 6)):
                size = content.rfind(b"\n", 0, size - 1) + 1
            self.outcome.struck["power_loss"] += self.store.synced < self.store.tell()
        elif MachineFault.TORN_TAIL in self.faults and luck < 0.5:
            size -= self._crashes.randrange(1, 40)
            self.outcome.struck["torn_tail"] += self.store.synced < self.store.tell()
        size = max(size, self.store.synced)
        self.store.cut(content.rfind(b"\n", 0, size) + 1)

    # at the end

    def _reproduce(self, content: bytes) -> None:
        """Invariants 6 and 10: the inputs alone bring all outputs again, and with them the orders."""
        record = [line.entry for line in lines_of(BytesIO(content), IN_MEMORY) if line.event]
        engine = Engine(self.settings, self.tape.symbols, build(self.settings, self.tape.streams))
        if difference := replay(engine, self.rows, record):
            raise Violated(f"6: the record does not replay: {difference}")
        if engine.result() != self.engine.result():
            raise Violated("6: the replayed engine stands elsewhere")
        ordered = {e.event.order_id for e in record if isinstance(e.event, SubmitOrder)}
        noted = {e.event.order_id for e in self.noted if isinstance(e.event, SubmitOrder)}
        sent = {command.order_id for command in self.venue.sent if isinstance(command, SubmitOrder)}
        self.outcome.orders = len(sent)
        if not sent <= noted:
            raise Violated("10: the venue has orders that no record ever had")
        forgetful = self.faults & {MachineFault.POWER_LOSS, MachineFault.TORN_TAIL}
        if not forgetful and not sent <= ordered:
            raise Violated("10: the venue has orders that the record lacks")

    def _know_nothing_of_the_future(self) -> None:
        """Invariant 8: with the market cut off, everything until then is the same."""
        stormy = int(np.searchsorted(self.rows.ts, self._calm_ns))
        cut = randomness(str(self.seed), "cut").randrange(stormy // 4, stormy // 2)
        short = History(self.seed, self.faults, cut)
        short._until(int(self.rows.ts[cut - 1]) + 1)
        end_ns = int(self.rows.ts[cut - 1])
        before = list(takewhile(lambda entry: getattr(entry.event, "at_ns", 0) <= end_ns, short.noted))
        if before != self.noted[: len(before)]:
            raise Violated(f"8: without the rows from {cut} on, the history before them differs")


class _Runtime(VirtualRuntime):
    """The real runtime, with crash points between record, submit and apply, and checks after each step."""

    def __init__(self, history: History) -> None:
        self._history = history
        self.recorder = _Recorder(history)
        super().__init__(history.engine, _Door(history), history.rows, self.recorder, history.counsel)

    def settle(self) -> None:
        super().settle()
        history = self._history
        history.checker.twisted |= any(history.venue.struck[fault] for fault in TWISTS)
        if history.reconciled:
            history.reconciled = False
            self._second_pass()
        history.checker.step(history.engine)

    def _second_pass(self) -> None:
        """Invariant 7: the same answers again bring nothing but questions."""
        history = self._history
        for kind in (OrderList, Account):
            if kind in history.last:
                again = msgspec.structs.replace(history.last[kind], at_ns=self._engine.now_ns)
                self._engine.step(again)
                said = [entry.event for entry in self._engine.log][1:]
                super().settle()
                for event in said:
                    if not isinstance(event, QueryFills):
                        raise Violated(f"7: a second pass over an unchanged venue says {event}")


TWISTS = (VenueFault.BUST, VenueFault.OVERFILL, VenueFault.EXTERNAL)


class _Recorder:
    """The journal, with the checker beside it; the process may die before and after a line."""

    def __init__(self, history: History) -> None:
        self._history = history

    def append(self, entry: Entry) -> None:
        history = self._history
        history.crash_point(MachineFault.CRASH_RECORD)
        history.journal.append(entry)
        history.noted.append(entry)
        history.checker.note(entry)
        if isinstance(entry.event, OrderList | Account):
            history.last[type(entry.event)] = entry.event
        history.reconciled |= isinstance(entry.event, Reconciled)
        if isinstance(entry.event, Request):
            history.crash_point(MachineFault.CRASH_SUBMIT)


class _Door:
    """The venue, with the checker at its door."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._venue = history.venue
        self.answer: Callable[[], Answer | None] = self._venue.answer
        self.watch, self.advance, self.touch = self._venue.watch, self._venue.advance, self._venue.touch

    @property
    def next_due_ns(self) -> int:
        return self._venue.next_due_ns

    @property
    def next_touch(self) -> int:
        return self._venue.next_touch

    def send(self, command: Command, now_ns: int) -> None:
        history = self._history
        if isinstance(command, SubmitOrder):
            history.checker.leaving(command, history.engine)
        self._venue.send(command, now_ns)
        history.crash_point(MachineFault.CRASH_APPLY)


def _at_venue(faults: frozenset[Fault], draw: Randomness) -> frozenset[VenueFault]:
    """The faults of this history's venue; those that twist the account itself strike in some only."""
    kept = (fault for fault in VenueFault if fault in faults)
    return frozenset(fault for fault in kept if draw.random() < 0.4 or fault not in TWISTS)


def _first(rows: Rows, count: int) -> Rows:
    """The first rows of a tape, and nothing of the rest."""
    columns = {name: getattr(rows, name) for name in Rows.__slots__}
    return Rows(**{name: column[:count].copy() for name, column in columns.items()})

"""Entry gates of hybrid mode: the agents' verdicts decide whether a symbol may be entered, and in which direction.

There is one gate per symbol, in engine time. Decisions, timers, the end of a cooldown, halts and restarts
change it. Every failure of a question closes it. `docs/gate.md` has the state table.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from autohedge.config.sections import HybridSettings
from autohedge.core.clock import NEVER
from autohedge.core.events import Decision, GateChanged
from autohedge.core.orders import SIDE_OF, Side
from autohedge.core.reasons import GATES_FROM, Reason
from autohedge.core.snapshots import DeliberationKind, Direction
from autohedge.core.timers import TimerQueue
from autohedge.core.units import NS_PER_S
from autohedge.engine.deliberations.scheduler import VERDICTS, DeliberationScheduler
from autohedge.engine.outbox import Outbox
from autohedge.engine.trade_actions import TradeActions
from autohedge.execution.instrument_state import InstrumentState
from autohedge.execution.tracking import TimerKey

State = Literal["open", "closed", "cooldown", "expired"]

CODES: dict[State, int] = {
    "open": 0,
    "closed": int(Reason.GATE_CLOSED),
    "cooldown": int(Reason.GATE_COOLDOWN),
    "expired": int(Reason.GATE_EXPIRED),
}
EXPIRY = "verdict"
# Entry signals that a gate answered: blocked by it, or passed on to sizing and risk.
MEETING_THE_GATE = [
    int(code)
    for code in Reason
    if Reason.ENTRY <= code <= Reason.NOT_FINITE
    or GATES_FROM <= code < Reason.DELIBERATING
    or code in (Reason.NO_SHORT, Reason.NO_LONG, Reason.NO_RATE)
]


@dataclass(slots=True)
class Gate:
    """The gate of one symbol; an open one closes at `valid_until_ns`.

    It admits entries in its `direction`; an empty one, of a gate that starts open, admits every entry.
    """

    state: State = "closed"
    valid_until_ns: int = 0
    direction: Direction | Literal[""] = ""


class EntryGates:
    """All gates of an account; an open gate that closes cancels the entries of its symbol."""

    kind: DeliberationKind = "gate"

    def __init__(
        self,
        hybrid: HybridSettings,
        instruments: Sequence[InstrumentState],
        scheduler: DeliberationScheduler,
        actions: TradeActions,
        timers: TimerQueue[TimerKey],
        outbox: Outbox,
    ) -> None:
        first: State = "open" if hybrid.starts_open else "closed"
        self.gates = [Gate(first, NEVER) for _ in instruments]
        self._verdict_ttl_ns = round(hybrid.verdict_ttl_s * NS_PER_S)
        self._instruments = instruments
        self._scheduler, self._stats = scheduler, scheduler.stats
        self._actions, self._timers, self._outbox = actions, timers, outbox

    def state(self, lane: int) -> str:
        """The state of a lane's gate, as its snapshot shows it."""
        return self.gates[lane].state

    def code(self, lane: int) -> int:
        """The reason code in which entry signals of a lane end; 0 if they pass."""
        return CODES[self.gates[lane].state]

    def admits(self, lane: int, side: Side) -> bool:
        """Whether an open gate admits entries of a side."""
        direction = self.gates[lane].direction
        return not direction or SIDE_OF[direction] is side

    def figures(self) -> dict[str, Any]:
        """The figures of gates for the result."""
        gates = zip(self._instruments, self.gates, strict=True)
        states = {each.instrument.symbol: gate.state for each, gate in gates}
        gated_signals = self._scheduler.count(MEETING_THE_GATE)
        changes = {"opened": self._stats.opened, "closed": self._stats.closed}
        return changes | {"gated_signals": gated_signals, "gates": states}

    def on_timeout(self, lane: int, _: int, now_ns: int) -> None:
        """Handles the deadline of the pending question."""
        self._on_abstention(lane, "timeout", now_ns)

    def on_decision(self, lane: int, decision: Decision, now_ns: int) -> None:
        """Applies the answer to the pending question."""
        if decision.verdict not in VERDICTS:
            self._on_abstention(lane, decision.code or "unexplained", now_ns)
            return
        self._stats.verdicts[decision.verdict] += 1
        if decision.verdict == "trade":
            self._on_trade(lane, decision, now_ns)
        elif decision.verdict == "no_trade":
            self._on_no_trade(lane, decision.code or "no_trade", now_ns)

    def close(self, lane: int, why: str, now_ns: int) -> None:
        """Closes the gate; a cooldown ends by its quotes alone."""
        self._timers.cancel((EXPIRY, lane))
        if self.gates[lane].state != "cooldown":
            self._transition(lane, "closed", why, now_ns)

    def expire(self, lane: int, now_ns: int) -> None:
        """Ends the verdict's time; a question is due again."""
        self._transition(lane, "expired", "the verdict's time is over", now_ns)
        self._scheduler.states[lane].due = True

    def on_cooldown_over(self, lane: int, now_ns: int) -> None:
        """Handles the quote that ends the cooldown."""
        self._transition(lane, "closed", "the cooldown is over", now_ns)

    def _on_trade(self, lane: int, decision: Decision, now_ns: int) -> None:
        requested_ns = self._scheduler.states[lane].requested_ns or 0
        # A cached verdict counts from its own request. The minimum keeps a wrong time from extending it.
        decided_ns = min(decision.decided_ns or requested_ns, requested_ns)
        valid_until_ns = decided_ns + self._verdict_ttl_ns
        if SIDE_OF.get(decision.direction) not in self._instruments[lane].limits.entry_sides:
            self.close(lane, f"direction {decision.direction or 'missing'}", now_ns)
        elif valid_until_ns <= now_ns:
            self._stats.abstentions["stale"] += 1
            self.close(lane, "stale", now_ns)
        else:
            self.gates[lane].valid_until_ns = valid_until_ns
            self._timers.schedule((EXPIRY, lane), valid_until_ns)
            direction: Direction = "short" if decision.direction == "short" else "long"
            self._transition(lane, "open", decision.source or "decision", now_ns, direction)

    def _on_no_trade(self, lane: int, why: str, now_ns: int) -> None:
        """Closes the gate and starts the cooldown of `no_trade_cooldown_quotes`."""
        wait = self._scheduler.cadence.cooldown_quotes
        self._timers.cancel((EXPIRY, lane))
        if wait:
            self._scheduler.start_cooldown(lane, wait)
        self._transition(lane, "cooldown" if wait else "closed", why, now_ns)

    def _on_abstention(self, lane: int, code: str, now_ns: int) -> None:
        self._stats.abstentions[code] += 1
        self.close(lane, code, now_ns)

    def _transition(
        self, lane: int, state: State, why: str, now_ns: int, direction: Direction = "long"
    ) -> None:
        """Moves a gate to a state, open for a direction, and emits `GateChanged`."""
        gate = self.gates[lane]
        was, gate.state = gate.state, state
        gate.direction = direction
        if state != "open":
            gate.valid_until_ns = 0
        if state == was != "open":  # open again is an event of its own: the gate now holds longer
            return
        instrument, ids = self._instruments[lane].instrument, self._instruments[lane].ids
        self._outbox.emit(
            GateChanged(now_ns, instrument.symbol, state, why, gate.valid_until_ns, *ids, direction)
        )
        self._stats.opened += state == "open" != was
        self._stats.closed += was == "open" != state
        # Last, so that in the journal the gate closes before its entry is cancelled.
        is_other_side = self._instruments[lane].entry.side is not SIDE_OF[direction]
        if was == "open" and (state != "open" or is_other_side):
            self._actions.cancel_entry(lane, "gate closed", now_ns)

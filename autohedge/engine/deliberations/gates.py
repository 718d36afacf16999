"""Entry gates of hybrid mode: whether a symbol may be bought, decided by verdicts of the agents.

There is one gate per symbol, in engine time. Decisions, timers, the end of a cooldown, halts and restarts
change it. Every failure of a question closes it. `docs/gate.md` has the state table.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from autohedge.config.sections import HybridSettings
from autohedge.core.clock import NEVER
from autohedge.core.events import Decision, GateChanged
from autohedge.core.reasons import Reason
from autohedge.core.units import NS_PER_S
from autohedge.engine.deliberations.scheduler import (
    REQUEST,
    VERDICTS,
    Cadence,
    DeliberationScheduler,
    RequestState,
    SchedulerContext,
)

State = Literal["open", "closed", "cooldown", "expired"]

CODES: dict[State, int] = {
    "open": 0,
    "closed": int(Reason.GATE_CLOSED),
    "cooldown": int(Reason.GATE_COOLDOWN),
    "expired": int(Reason.GATE_EXPIRED),
}
EXPIRY = "verdict"


@dataclass(slots=True)
class Gate(RequestState):
    """The gate of one symbol; an open one closes at `valid_until_ns`."""

    state: State = "closed"
    valid_until_ns: int = 0


class EntryGates(DeliberationScheduler):
    """All gates of an account; `on_close(lane, now_ns)` is called right after an open gate has closed."""

    def __init__(
        self, hybrid: HybridSettings, context: SchedulerContext, on_close: Callable[[int, int], None]
    ) -> None:
        first: State = "open" if hybrid.starts_open else "closed"
        self.gates = [Gate(state=first, valid_until_ns=NEVER) for _ in context.symbols]
        cadence = Cadence(hybrid.gate_refresh_quotes, hybrid.min_refresh_s, hybrid.deadline_s)
        super().__init__(cadence, context, self.gates)
        self._terms = hybrid
        self._on_close = on_close
        self._code[:] = CODES[first]

    def state(self, lane: int) -> str:
        """The state of a lane's gate, as its snapshot shows it."""
        return self.gates[lane].state

    def on_timer(self, kind: str, lane: int, now_ns: int) -> None:
        """Handles a timer of this lane's gate: the next request, the verdict's end, or the deadline."""
        if kind == REQUEST:
            self._request_if_due(lane, now_ns)
        elif kind == EXPIRY:
            self._expire(lane, now_ns)
        else:
            self._on_abstention(lane, "timeout", now_ns)

    def on_decision(self, decision: Decision, now_ns: int) -> None:
        """Applies a decision if it answers the pending question; others are counted as late."""
        lane = self._match(decision)
        if lane < 0:
            return
        if decision.verdict not in VERDICTS:
            self._on_abstention(lane, decision.code or "unexplained", now_ns)
            return
        self._clear_pending(lane)
        self.stats.verdicts[decision.verdict] += 1
        if decision.verdict == "trade":
            self._on_trade(lane, decision, now_ns)
        elif decision.verdict == "no_trade":
            self._on_no_trade(lane, decision.code or "no_trade", now_ns)
        self._request_if_due(lane, now_ns)

    def close_all(self, why: str, now_ns: int) -> None:
        """Closes every gate and drops pending questions, after a halt or a restart."""
        for lane in range(len(self.gates)):
            self._cancel_pending(lane)
            self._close(lane, why, now_ns)

    def _on_cooldown_over(self, lane: int, now_ns: int) -> None:
        self._transition(lane, "closed", "the cooldown is over", now_ns)

    def _on_trade(self, lane: int, decision: Decision, now_ns: int) -> None:
        requested_ns = self.gates[lane].requested_ns or 0
        # A cached verdict counts from its own request. The minimum keeps a wrong time from extending it.
        decided_ns = min(decision.decided_ns or requested_ns, requested_ns)
        valid_until_ns = decided_ns + round(self._terms.verdict_ttl_s * NS_PER_S)
        if decision.direction != "long":
            self._close(lane, f"direction {decision.direction or 'missing'}", now_ns)
        elif valid_until_ns <= now_ns:
            self.stats.abstentions["stale"] += 1
            self._close(lane, "stale", now_ns)
        else:
            self.gates[lane].valid_until_ns = valid_until_ns
            self._timers.schedule((EXPIRY, lane), valid_until_ns)
            self._transition(lane, "open", decision.source or "decision", now_ns)

    def _on_no_trade(self, lane: int, why: str, now_ns: int) -> None:
        """Closes the gate and starts the cooldown of `no_trade_cooldown_quotes`."""
        wait = self._terms.no_trade_cooldown_quotes
        self._timers.cancel((EXPIRY, lane))
        if wait:
            self._start_cooldown(lane, wait)
        self._transition(lane, "cooldown" if wait else "closed", why, now_ns)

    def _on_abstention(self, lane: int, code: str, now_ns: int) -> None:
        self._clear_pending(lane)
        self.stats.abstentions[code] += 1
        self._close(lane, code, now_ns)
        self._request_if_due(lane, now_ns)

    def _close(self, lane: int, why: str, now_ns: int) -> None:
        self._timers.cancel((EXPIRY, lane))
        if self.gates[lane].state != "cooldown":  # a cooldown ends by its quotes alone
            self._transition(lane, "closed", why, now_ns)

    def _expire(self, lane: int, now_ns: int) -> None:
        self._transition(lane, "expired", "the verdict's time is over", now_ns)
        self.gates[lane].due = True
        self._request_if_due(lane, now_ns)

    def _transition(self, lane: int, state: State, why: str, now_ns: int) -> None:
        """Moves a gate to a state, writes its code into the kernel's record, and emits `GateChanged`."""
        gate = self.gates[lane]
        was, gate.state = gate.state, state
        if state != "open":
            gate.valid_until_ns = 0
        if state == was != "open":  # open again is an event of its own: the gate now holds longer
            return
        self._code[lane] = CODES[state]
        self._emit(GateChanged(now_ns, self._symbols[lane], state, why, gate.valid_until_ns))
        self.stats.opened += state == "open" != was
        self.stats.closed += was == "open" != state
        # Last, so that in the journal the gate closes before its entry is cancelled.
        if was == "open" != state:
            self._on_close(lane, now_ns)

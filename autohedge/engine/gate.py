"""The gates: whether a symbol may be bought, decided by verdicts that come when they come.

One gate per symbol, in engine time. It changes by a decision, a timer or a person, never by arithmetic,
and whatever goes wrong with a question closes it. `docs/gate.md` has the table of its states.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from autohedge.config.sections import Hybrid
from autohedge.core.clock import NEVER
from autohedge.core.events import Decision, GateChanged
from autohedge.core.reasons import Reason
from autohedge.engine.questions import ASK, VERDICTS, Asking, Pace, Questions, Surroundings
from autohedge.execution.inquiry import NS_PER_S

State = Literal["open", "closed", "cooldown", "expired"]

CODES: dict[State, int] = {
    "open": 0,
    "closed": int(Reason.GATE_CLOSED),
    "cooldown": int(Reason.GATE_COOLDOWN),
    "expired": int(Reason.GATE_EXPIRED),
}
EXPIRY = "verdict"


@dataclass(slots=True)
class Gate(Asking):
    """One symbol's gate, and when it is asked about."""

    state: State = "closed"
    valid_until_ns: int = 0


class Gates(Questions):
    """All gates of an account. `shut` is called when one stops being open, before anything else happens."""

    def __init__(self, hybrid: Hybrid, around: Surroundings, shut: Callable[[int, int], None]) -> None:
        first: State = "open" if hybrid.starts_open else "closed"
        self.gates = [Gate(state=first, valid_until_ns=NEVER) for _ in around.symbols]
        pace = Pace(hybrid.gate_refresh_quotes, hybrid.min_refresh_s, hybrid.deadline_s)
        super().__init__(pace, around, self.gates)
        self._terms = hybrid
        self._shut = shut
        self._code[:] = CODES[first]

    def state(self, lane: int) -> str:
        """What a snapshot says of a lane's gate."""
        return self.gates[lane].state

    def due(self, kind: str, lane: int, now_ns: int) -> None:
        """A time of this lane's gate has come."""
        if kind == ASK:
            self._try(lane, now_ns)
        elif kind == EXPIRY:
            self._expire(lane, now_ns)
        else:
            self._abstain(lane, "timeout", now_ns)

    def decided(self, decision: Decision, now_ns: int) -> None:
        """Take an answer, if it is the one that is waited for."""
        lane = self._heard(decision)
        if lane < 0:
            return
        if decision.verdict not in VERDICTS:
            self._abstain(lane, decision.code or "unexplained", now_ns)
            return
        self._answered(lane)
        self.tally.verdicts[decision.verdict] += 1
        if decision.verdict == "trade":
            self._trade(lane, decision, now_ns)
        elif decision.verdict == "no_trade":
            self._no_trade(lane, decision.code or "no_trade", now_ns)
        self._try(lane, now_ns)

    def close_all(self, why: str, now_ns: int) -> None:
        """A person halted, or the process died: questions on their way count no more, verdicts neither."""
        for lane in range(len(self.gates)):
            self._given_up(lane)
            self._close(lane, why, now_ns)

    def _cooled(self, lane: int, now_ns: int) -> None:
        self._change(lane, "closed", "the cooldown is over", now_ns)

    def _trade(self, lane: int, decision: Decision, now_ns: int) -> None:
        asked_ns = self.gates[lane].asked_ns or 0
        decided_ns = min(decision.decided_ns or asked_ns, asked_ns)
        valid_until_ns = decided_ns + round(self._terms.verdict_ttl_s * NS_PER_S)
        if decision.direction != "long":
            self._close(lane, f"direction {decision.direction or 'missing'}", now_ns)
        elif valid_until_ns <= now_ns:
            self.tally.abstentions["stale"] += 1
            self._close(lane, "stale", now_ns)
        else:
            self.gates[lane].valid_until_ns = valid_until_ns
            self._agenda.put((EXPIRY, lane), valid_until_ns)
            self._change(lane, "open", decision.source or "decision", now_ns)

    def _no_trade(self, lane: int, why: str, now_ns: int) -> None:
        """Shut, and not asked again for a number of quotes."""
        wait = self._terms.no_trade_cooldown_quotes
        self._agenda.drop((EXPIRY, lane))
        if wait:
            self._cool(lane, wait)
        self._change(lane, "cooldown" if wait else "closed", why, now_ns)

    def _abstain(self, lane: int, code: str, now_ns: int) -> None:
        self._answered(lane)
        self.tally.abstentions[code] += 1
        self._close(lane, code, now_ns)
        self._try(lane, now_ns)

    def _close(self, lane: int, why: str, now_ns: int) -> None:
        self._agenda.drop((EXPIRY, lane))
        if self.gates[lane].state != "cooldown":
            self._change(lane, "closed", why, now_ns)

    def _expire(self, lane: int, now_ns: int) -> None:
        self._change(lane, "expired", "the verdict's time is over", now_ns)
        self.gates[lane].ripe = True
        self._try(lane, now_ns)

    def _change(self, lane: int, state: State, why: str, now_ns: int) -> None:
        """Move to a state; a verdict that says the same again is told again, for it holds longer."""
        gate = self.gates[lane]
        was, gate.state = gate.state, state
        if state != "open":
            gate.valid_until_ns = 0
        if state == was != "open":
            return
        self._code[lane] = CODES[state]
        self._emit(GateChanged(now_ns, self._symbols[lane], state, why, gate.valid_until_ns))
        self.tally.opened += state == "open" != was
        self.tally.closed += was == "open" != state
        if was == "open" != state:
            self._shut(lane, now_ns)

"""The gates: whether a symbol may be bought, decided by verdicts that come when they come.

One gate per symbol, in engine time. It changes by a decision, a timer or a person, never by arithmetic,
and whatever goes wrong with a question closes it. `docs/gate.md` has the table of its states.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from autohedge.config.sections import Hybrid
from autohedge.core.agenda import Agenda
from autohedge.core.clock import NEVER
from autohedge.core.events import AnyOutput, Decision, Deliberate, GateChanged
from autohedge.core.reasons import Reason
from autohedge.execution.inquiry import NS_PER_S, Matter
from autohedge.kernels.lane import Lanes

State = Literal["open", "closed", "cooldown", "expired"]

CODES: dict[State, int] = {
    "open": 0,
    "closed": int(Reason.GATE_CLOSED),
    "cooldown": int(Reason.GATE_COOLDOWN),
    "expired": int(Reason.GATE_EXPIRED),
}
BYPASS = "bypass"
VERDICTS = frozenset({"trade", "no_trade", "keep"})
ASK, DEADLINE, EXPIRY = "ask", "answer", "verdict"


@dataclass(slots=True)
class Gate:
    """One symbol's gate.

    `ripe` says that it is time to ask, as quotes go; `later` counts the quotes until then that follow a
    cooldown. `waits_for` is the number of the question on its way, 0 without one.
    """

    state: State
    valid_until_ns: int = 0
    asked_ns: int | None = None
    waits_for: int = 0
    ripe: bool = False
    later: int = 0


@dataclass(slots=True)
class GateTally:
    """What became of all questions: verdicts and abstentions by code, openings, answers that came too late."""

    opened: int = 0
    closed: int = 0
    late: int = 0
    bypassed: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    abstentions: Counter[str] = field(default_factory=Counter)


class Gates:
    """All gates of an account. `shut` is called when one stops being open, before anything else happens."""

    def __init__(
        self,
        hybrid: Hybrid,
        symbols: list[str],
        warmups: list[int],
        lanes: Lanes,
        agenda: Agenda[Matter],
        emit: Callable[[AnyOutput], None],
        number: Callable[[], int],
        shoot: Callable[[int, int, int], str],
        shut: Callable[[int, int], None],
    ) -> None:
        self._terms = hybrid
        self._symbols = symbols
        self._warmups = warmups
        self._lane_of = {symbol: lane for lane, symbol in enumerate(symbols)}
        self._gate, self._refresh_in = lanes["gate"], lanes["refresh_in"]
        self._counts = lanes["counts"]
        self._agenda = agenda
        self._emit = emit
        self._shoot = shoot
        self._shut = shut
        self._number = number
        self.tally = GateTally()
        first: State = "open" if hybrid.starts_open else "closed"
        self.gates = [Gate(first, valid_until_ns=NEVER) for _ in symbols]
        self._gate[:] = CODES[first]
        self._refresh_in[:] = hybrid.gate_refresh_quotes

    def is_open(self, lane: int) -> bool:
        """Whether a lane may be bought."""
        return self.gates[lane].state == "open"

    def seen(self, lane: int) -> int:
        """Valid quotes of a lane so far."""
        return int(self._counts[lane].sum() - self._counts[lane, Reason.BAD_QUOTE])

    def counted_down(self, lane: int, now_ns: int) -> None:
        """As many quotes came as the gate waited for."""
        gate = self.gates[lane]
        self._refresh_in[lane] = gate.later or NEVER
        gate.ripe = gate.ripe or not gate.later
        gate.later = 0
        if gate.state == "cooldown":
            self._change(lane, "closed", "the cooldown is over", now_ns)
        self._try(lane, now_ns)

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
        lane = self._lane_of.get(decision.symbol, -1)
        if lane < 0 or not 0 < self.gates[lane].waits_for == decision.number:
            self.tally.late += 1
            return
        self.tally.bypassed += decision.source == BYPASS
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
        for lane, gate in enumerate(self.gates):
            self._answered(lane)
            gate.ripe = True
            self._close(lane, why, now_ns)

    def _try(self, lane: int, now_ns: int) -> None:
        """Ask, once it is time: quotes enough, no question on its way, not too soon after the last."""
        gate = self.gates[lane]
        if not gate.ripe or gate.waits_for or gate.state == "cooldown":
            return
        short = self._warmups[lane] - self.seen(lane)
        if short > 0:
            gate.ripe = False
            self._refresh_in[lane] = short
            return
        soonest_ns = (
            0 if gate.asked_ns is None else gate.asked_ns + round(self._terms.min_refresh_s * NS_PER_S)
        )
        if now_ns < soonest_ns:
            self._agenda.put((ASK, lane), soonest_ns)
        else:
            self._ask(lane, now_ns)

    def _ask(self, lane: int, now_ns: int) -> None:
        gate = self.gates[lane]
        number = self._number()
        gate.waits_for, gate.asked_ns, gate.ripe, gate.later = number, now_ns, False, 0
        self._refresh_in[lane] = self._terms.gate_refresh_quotes
        self._agenda.drop((ASK, lane))
        self._agenda.put((DEADLINE, lane), now_ns + round(self._terms.deadline_s * NS_PER_S))
        snapshot = self._shoot(lane, number, now_ns)
        self._emit(Deliberate(now_ns, number, "gate", self._symbols[lane], snapshot))

    def _answered(self, lane: int) -> None:
        self.gates[lane].waits_for = 0
        self._agenda.drop((DEADLINE, lane))

    def _trade(self, lane: int, decision: Decision, now_ns: int) -> None:
        valid_until_ns = (self.gates[lane].asked_ns or 0) + round(self._terms.verdict_ttl_s * NS_PER_S)
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
        gate, wait = self.gates[lane], self._terms.no_trade_cooldown_quotes
        self._agenda.drop((EXPIRY, lane))
        if not wait:
            self._change(lane, "closed", why, now_ns)
            return
        left = 0 if gate.ripe else int(self._refresh_in[lane])
        gate.later = max(left - wait, 0)
        self._refresh_in[lane] = wait
        self._change(lane, "cooldown", why, now_ns)

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
        self._gate[lane] = CODES[state]
        self._emit(GateChanged(now_ns, self._symbols[lane], state, why, gate.valid_until_ns))
        self.tally.opened += state == "open" != was
        self.tally.closed += was == "open" != state
        if was == "open" != state:
            self._shut(lane, now_ns)

"""What the agents propose where they alone decide, and what becomes of it.

A proposal is a wish like a strategy's: sizing, price, limits and checks are the engine's, and the agents' figures
can only make it smaller, cheaper, or end it. An answer that is no answer buys nothing and takes back what rests.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from autohedge.config.sections import LLM, Hybrid
from autohedge.core.events import Cooldown, Decision, Disposed, Proposal
from autohedge.core.reasons import Reason
from autohedge.core.snapshots import Bounds, Kind
from autohedge.engine.questions import ASK, VERDICTS, Asking, Pace, Questions, Surroundings

IDLE, WAITING, COOLING = int(Reason.NO_SIGNAL), int(Reason.DELIBERATING), int(Reason.AGENTS_COOLDOWN)


@dataclass(frozen=True, slots=True)
class Hands:
    """What a proposal may set in motion: an entry, an exit of what is held, taking back an entry that rests."""

    enter: Callable[[int, Proposal, int], Reason]
    leave: Callable[[int], bool]
    take_back: Callable[[int, int], None]


class Proposals(Questions):
    """Asks about each lane as often as `llm` allows, and disposes of what comes back."""

    kind: Kind = "trade"

    def __init__(
        self, llm: LLM, hybrid: Hybrid, around: Surroundings, bounds: Sequence[Bounds], hands: Hands
    ) -> None:
        self._lanes = [Asking() for _ in around.symbols]
        super().__init__(Pace(1, llm.min_interval_s, hybrid.deadline_s), around, self._lanes)
        self._cooldown_quotes = llm.no_trade_cooldown_quotes
        self._bounds, self._hands = bounds, hands
        self._code[:] = IDLE

    def state(self, lane: int) -> str:
        """What a snapshot says of a lane: whether an answer could buy at once."""
        return "cooldown" if self._lanes[lane].cooling else "open"

    def due(self, kind: str, lane: int, now_ns: int) -> None:
        """A time of this lane has come."""
        if kind == ASK:
            self._try(lane, now_ns)
            return
        number = self._lanes[lane].waits_for
        self._answered(lane)
        self.tally.abstentions["timeout"] += 1
        self._hands.take_back(lane, now_ns)
        self._dispose(lane, number, "timeout", now_ns)
        self._try(lane, now_ns)

    def decided(self, decision: Decision, now_ns: int) -> None:
        """Take an answer, if it is the one that is waited for."""
        lane = self._heard(decision)
        if lane < 0:
            return
        self._answered(lane)
        if decision.verdict in VERDICTS:
            self.tally.verdicts[decision.verdict] += 1
        else:
            self.tally.abstentions[decision.code or "unexplained"] += 1
        self._dispose(lane, decision.number, self._carried_out(lane, decision, now_ns), now_ns)
        self._try(lane, now_ns)

    def close_all(self, why: str, now_ns: int) -> None:  # noqa: ARG002  as gates are
        """A person halted, or the process died: questions on their way count no more."""
        for lane in range(len(self._lanes)):
            self._given_up(lane)
            self._hands.take_back(lane, now_ns)

    def _carried_out(self, lane: int, decision: Decision, now_ns: int) -> str:
        """Do what an answer says, as far as that may be; the code that it ends in."""
        if decision.verdict == "keep":
            return decision.code or "keep"
        if decision.verdict == "trade" and decision.direction == "long":
            return self._enter(lane, decision.proposal, now_ns)
        self._hands.take_back(lane, now_ns)
        if decision.verdict == "trade" and decision.direction == "exit":
            return Reason.EXIT_SIGNAL.label if self._hands.leave(lane) else "nothing_held"
        if decision.verdict == "trade":
            return "no_short"
        if decision.verdict == "no_trade":
            self._rest(lane, decision.code or "no_trade", now_ns)
            return decision.code or "no_trade"
        return decision.code or "unexplained"

    def _enter(self, lane: int, proposal: Proposal | None, now_ns: int) -> str:
        if proposal is None or not within(proposal, self._bounds[lane]):
            self._hands.take_back(lane, now_ns)
            return "bad_proposal"
        return self._hands.enter(lane, proposal, now_ns).label

    def _rest(self, lane: int, why: str, now_ns: int) -> None:
        """Ask nothing for a number of quotes."""
        if self._cooldown_quotes:
            self._cool(lane, self._cooldown_quotes)
            self._show(lane)
            self._emit(Cooldown(now_ns, self._symbols[lane], self._cooldown_quotes, why))

    def _cooled(self, lane: int, now_ns: int) -> None:
        self._show(lane)
        self._emit(Cooldown(now_ns, self._symbols[lane], 0, "expired"))

    def _dispose(self, lane: int, number: int, code: str, now_ns: int) -> None:
        self.tally.disposed[code] += 1
        self._emit(Disposed(now_ns, number, self._symbols[lane], code))

    def _ask(self, lane: int, now_ns: int) -> None:
        super()._ask(lane, now_ns)
        self._show(lane)

    def _answered(self, lane: int) -> None:
        super()._answered(lane)
        self._show(lane)

    def _show(self, lane: int) -> None:
        """Tell the kernel what a quote of this lane ends in."""
        asking = self._lanes[lane]
        self._code[lane] = COOLING if asking.cooling else WAITING if asking.waits_for else IDLE


def within(proposal: Proposal, bounds: Bounds) -> bool:
    """Whether a proposal keeps to the bounds that were told to the agents; not a number never does."""
    least_stop, most_stop = bounds.stop_losses_bps
    least_take, most_take = bounds.take_profits_bps
    return (
        0 < proposal.size_pct <= 100
        and least_stop <= proposal.stop_loss_bps <= most_stop
        and least_take <= proposal.take_profit_bps <= most_take
        and proposal.take_profit_bps >= bounds.least_reward_to_risk * proposal.stop_loss_bps
        and 0 <= proposal.offset_bps <= bounds.most_offset_bps
    )

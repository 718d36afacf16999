"""Proposals of llm mode: entries and exits that agents propose without a strategy.

The engine sizes, prices and checks a proposal like a strategy's signal. The agents' figures can only make an
entry smaller or its limit lower. Every answer other than `keep` that proposes no valid entry buys nothing and
cancels the resting entry.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from autohedge.config.sections import HybridSettings, LLMSettings
from autohedge.core.events import CooldownChanged, Decision, Proposal, ProposalResolved
from autohedge.core.reasons import Reason
from autohedge.core.snapshots import AgentLimits, DeliberationKind
from autohedge.engine.deliberations.scheduler import (
    REQUEST,
    VERDICTS,
    Cadence,
    DeliberationScheduler,
    RequestState,
    SchedulerContext,
)

IDLE, WAITING, COOLING = int(Reason.NO_SIGNAL), int(Reason.DELIBERATING), int(Reason.AGENTS_COOLDOWN)


@dataclass(frozen=True, slots=True)
class TradeActions:
    """The actions of a proposal: an entry, an exit of the position, the cancel of a resting entry.

    `enter` returns the code in which the proposal ends; `exit` whether there was a position to sell.
    """

    enter: Callable[[int, Proposal, int], Reason]
    exit: Callable[[int], bool]
    cancel_entry: Callable[[int, int], None]


class ProposalHandler(DeliberationScheduler):
    """Requests proposals for each lane as often as `llm` allows, and resolves the answers."""

    kind: DeliberationKind = "trade"

    def __init__(
        self,
        llm: LLMSettings,
        hybrid: HybridSettings,
        context: SchedulerContext,
        bounds: Sequence[AgentLimits],
        actions: TradeActions,
    ) -> None:
        self._lanes = [RequestState() for _ in context.symbols]
        super().__init__(Cadence(1, llm.min_interval_s, hybrid.deadline_s), context, self._lanes)
        self._cooldown_quotes = llm.no_trade_cooldown_quotes
        self._bounds, self._actions = bounds, actions
        self._code[:] = IDLE

    def state(self, lane: int) -> str:
        """The state of a lane, as its snapshot shows it: `open` or `cooldown`."""
        return "cooldown" if self._lanes[lane].cooling else "open"

    def on_timer(self, kind: str, lane: int, now_ns: int) -> None:
        """Handles a timer of this lane: the next request, or the deadline of the pending one."""
        if kind == REQUEST:
            self._request_if_due(lane, now_ns)
            return
        number = self._lanes[lane].pending_id
        self._clear_pending(lane)
        self.stats.abstentions["timeout"] += 1
        self._actions.cancel_entry(lane, now_ns)
        self._resolve(lane, number, "timeout", now_ns)
        self._request_if_due(lane, now_ns)

    def on_decision(self, decision: Decision, now_ns: int) -> None:
        """Applies a decision if it answers the pending question; others are counted as late."""
        lane = self._match(decision)
        if lane < 0:
            return
        self._clear_pending(lane)
        if decision.verdict in VERDICTS:
            self.stats.verdicts[decision.verdict] += 1
        else:
            self.stats.abstentions[decision.code or "unexplained"] += 1
        self._resolve(lane, decision.number, self._apply(lane, decision, now_ns), now_ns)
        self._request_if_due(lane, now_ns)

    def close_all(self, why: str, now_ns: int) -> None:  # noqa: ARG002 - one signature with EntryGates
        """Drops every pending question and cancels resting entries, after a halt or a restart."""
        for lane in range(len(self._lanes)):
            self._cancel_pending(lane)
            self._actions.cancel_entry(lane, now_ns)

    def _apply(self, lane: int, decision: Decision, now_ns: int) -> str:
        """Carries out a decision; returns the code in which it ends."""
        if decision.verdict == "keep":
            return decision.code or "keep"
        if decision.verdict == "trade" and decision.direction == "long":
            return self._enter(lane, decision.proposal, now_ns)
        # Fail closed: whatever else the answer is, it no longer supports the entry that rests.
        self._actions.cancel_entry(lane, now_ns)
        if decision.verdict == "trade" and decision.direction == "exit":
            return Reason.EXIT_SIGNAL.label if self._actions.exit(lane) else "nothing_held"
        if decision.verdict == "trade":
            return "no_short"
        if decision.verdict == "no_trade":
            self._cool_down(lane, decision.code or "no_trade", now_ns)
            return decision.code or "no_trade"
        return decision.code or "unexplained"

    def _enter(self, lane: int, proposal: Proposal | None, now_ns: int) -> str:
        if proposal is None or not within_limits(proposal, self._bounds[lane]):
            self._actions.cancel_entry(lane, now_ns)
            return "bad_proposal"
        return self._actions.enter(lane, proposal, now_ns).label

    def _cool_down(self, lane: int, why: str, now_ns: int) -> None:
        """Starts the cooldown of `no_trade_cooldown_quotes`, if it is not 0."""
        if self._cooldown_quotes:
            self._start_cooldown(lane, self._cooldown_quotes)
            self._publish(lane)
            self._emit(CooldownChanged(now_ns, self._symbols[lane], self._cooldown_quotes, why))

    def _on_cooldown_over(self, lane: int, now_ns: int) -> None:
        self._publish(lane)
        self._emit(CooldownChanged(now_ns, self._symbols[lane], 0, "expired"))

    def _resolve(self, lane: int, number: int, code: str, now_ns: int) -> None:
        self.stats.disposed[code] += 1
        self._emit(ProposalResolved(now_ns, number, self._symbols[lane], code))

    def _request(self, lane: int, now_ns: int) -> None:
        super()._request(lane, now_ns)
        self._publish(lane)

    def _clear_pending(self, lane: int) -> None:
        super()._clear_pending(lane)
        self._publish(lane)

    def _publish(self, lane: int) -> None:
        """Writes the code in which this lane's quotes end into the kernel's record."""
        state = self._lanes[lane]
        self._code[lane] = COOLING if state.cooling else WAITING if state.pending_id else IDLE


def within_limits(proposal: Proposal, bounds: AgentLimits) -> bool:
    """Whether a proposal keeps to the bounds that the agents were given; a NaN never does."""
    least_stop, most_stop = bounds.stop_losses_bps
    least_take, most_take = bounds.take_profits_bps
    return (
        0 < proposal.size_pct <= 100
        and least_stop <= proposal.stop_loss_bps <= most_stop
        and least_take <= proposal.take_profit_bps <= most_take
        and proposal.take_profit_bps >= bounds.least_reward_to_risk * proposal.stop_loss_bps
        and 0 <= proposal.offset_bps <= bounds.most_offset_bps
    )

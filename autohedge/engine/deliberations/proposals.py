"""Proposals of llm mode: entries and exits that agents propose without a strategy.

The engine sizes, prices and checks a proposal like a strategy's signal. The agents' figures can only make an
entry smaller or its limit harder to reach. Every answer other than `keep` that proposes no valid entry sends none
and cancels the resting entry.
"""

from collections.abc import Sequence
from typing import Any

from autohedge.core.events import CooldownChanged, Decision, Proposal, ProposalResolved
from autohedge.core.orders import SIDE_OF
from autohedge.core.reasons import Reason
from autohedge.core.snapshots import AgentLimits, DeliberationKind
from autohedge.engine.deliberations.scheduler import VERDICTS, DeliberationScheduler
from autohedge.engine.outbox import Outbox
from autohedge.engine.trade_actions import TradeActions
from autohedge.execution.entry_request import EntryRequest
from autohedge.execution.instrument_state import InstrumentState

IDLE, WAITING, COOLING = int(Reason.NO_SIGNAL), int(Reason.DELIBERATING), int(Reason.AGENTS_COOLDOWN)
WITHDRAWN = "withdrawn by the agents"


class ProposalHandler:
    """Resolves the answers of the agents to entries, exits and cancels."""

    kind: DeliberationKind = "trade"

    def __init__(
        self,
        bounds: Sequence[AgentLimits],
        instruments: Sequence[InstrumentState],
        scheduler: DeliberationScheduler,
        actions: TradeActions,
        outbox: Outbox,
    ) -> None:
        self._bounds, self._instruments = bounds, instruments
        self._scheduler, self._stats = scheduler, scheduler.stats
        self._actions, self._outbox = actions, outbox

    def state(self, lane: int) -> str:
        """The state of a lane, as its snapshot shows it: `open` or `cooldown`."""
        return "cooldown" if self._scheduler.states[lane].cooling else "open"

    def code(self, lane: int) -> int:
        """The reason code in which the quotes of a lane end."""
        state = self._scheduler.states[lane]
        return COOLING if state.cooling else WAITING if state.pending_id else IDLE

    def figures(self) -> dict[str, Any]:
        """The figures of proposals for the result."""
        return {"proposals": dict(sorted(self._stats.proposals.items()))}

    def on_timeout(self, lane: int, number: int, now_ns: int) -> None:
        """Handles the deadline of question `number`."""
        self._stats.abstentions["timeout"] += 1
        self._actions.cancel_entry(lane, WITHDRAWN, now_ns)
        self._resolve(lane, number, "timeout", now_ns)

    def on_decision(self, lane: int, decision: Decision, now_ns: int) -> None:
        """Applies the answer to the pending question."""
        if decision.verdict in VERDICTS:
            self._stats.verdicts[decision.verdict] += 1
        else:
            self._stats.abstentions[decision.code or "unexplained"] += 1
        self._resolve(lane, decision.number, self._apply(lane, decision, now_ns), now_ns)

    def close(self, lane: int, why: str, now_ns: int) -> None:  # noqa: ARG002 - one signature with EntryGates
        """Cancels resting entries, after a halt or a restart."""
        self._actions.cancel_entry(lane, WITHDRAWN, now_ns)

    def on_cooldown_over(self, lane: int, now_ns: int) -> None:
        """Handles the quote that ends the cooldown."""
        self._emit_cooldown(lane, 0, "expired", now_ns)

    def _apply(self, lane: int, decision: Decision, now_ns: int) -> str:
        """Carries out a decision; returns the code in which it ends."""
        if decision.verdict == "keep":
            return decision.code or "keep"
        if decision.verdict == "trade" and decision.direction in self._bounds[lane].directions:
            return self._enter(lane, decision, now_ns)
        # Fail closed: whatever else the answer is, it no longer supports the entry that rests.
        self._actions.cancel_entry(lane, WITHDRAWN, now_ns)
        if decision.verdict == "trade" and decision.direction == "exit":
            return Reason.EXIT_SIGNAL.label if self._actions.exit_for_agents(lane, now_ns) else "nothing_held"
        if decision.verdict == "trade":
            return (Reason.NO_LONG if decision.direction == "long" else Reason.NO_SHORT).label
        if decision.verdict == "no_trade":
            self._cool_down(lane, decision.code or "no_trade", now_ns)
            return decision.code or "no_trade"
        return decision.code or "unexplained"

    def _enter(self, lane: int, decision: Decision, now_ns: int) -> str:
        bounds, proposal, side = self._bounds[lane], decision.proposal, SIDE_OF[decision.direction]
        if self._actions.turns(lane, side, WITHDRAWN, now_ns):
            return Reason.IN_POSITION.label  # only `exit` ends a position
        if proposal is None or not within_limits(proposal, bounds):
            self._actions.cancel_entry(lane, WITHDRAWN, now_ns)
            return "bad_proposal"
        request = EntryRequest(side, proposal)
        return self._actions.enter_proposal(lane, request, bounds.max_spread_bps, now_ns).label

    def _cool_down(self, lane: int, why: str, now_ns: int) -> None:
        """Starts the cooldown of `no_trade_cooldown_quotes`, if it is not 0."""
        if quotes := self._scheduler.cadence.cooldown_quotes:
            self._scheduler.start_cooldown(lane, quotes)
            self._emit_cooldown(lane, quotes, why, now_ns)

    def _resolve(self, lane: int, number: int, code: str, now_ns: int) -> None:
        self._stats.proposals[code] += 1
        instrument, ids = self._instruments[lane].instrument, self._instruments[lane].ids
        self._outbox.emit(ProposalResolved(now_ns, number, instrument.symbol, code, *ids))

    def _emit_cooldown(self, lane: int, quotes: int, why: str, now_ns: int) -> None:
        instrument, ids = self._instruments[lane].instrument, self._instruments[lane].ids
        self._outbox.emit(CooldownChanged(now_ns, instrument.symbol, quotes, why, *ids))


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

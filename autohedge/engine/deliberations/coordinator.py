"""The engine's side of the agents: asks questions with their snapshots, and applies decisions.

In hybrid mode a decision opens or closes a gate and does nothing else. In llm mode it proposes an entry or
exits a position. Sizing, limits and risk checks apply in both modes.
"""

import msgspec

from autohedge.config import Settings
from autohedge.core.abstentions import ABSTENTIONS, BUDGET
from autohedge.core.events import Alert, Decision, DeliberationRequested
from autohedge.core.money import ZERO
from autohedge.core.orders import BUY, SELL, Intent, Side
from autohedge.core.results import DeliberationFigures
from autohedge.core.snapshots import (
    ONLY_LONG,
    AgentLimits,
    ClosedTrade,
    DeliberationKind,
    Direction,
    PositionView,
    Snapshot,
)
from autohedge.core.spend import SpendTotals
from autohedge.core.timers import TimerQueue
from autohedge.core.units import NS_PER_S
from autohedge.engine.deliberations.gates import EXPIRY, EntryGates
from autohedge.engine.deliberations.lessons import LEARNED, LessonScheduler
from autohedge.engine.deliberations.proposals import ProposalHandler
from autohedge.engine.deliberations.scheduler import DEADLINE, REQUEST, Cadence, DeliberationScheduler
from autohedge.engine.outbox import Outbox
from autohedge.engine.trade_actions import TradeActions
from autohedge.execution.entry_funds import EntryFunds
from autohedge.execution.manager import ExecutionManager
from autohedge.execution.portfolio import PositionChange
from autohedge.execution.tracking import TimerKey

DIRECTIONS: dict[frozenset[Side], tuple[Direction, ...]] = {
    frozenset(): (),
    frozenset({BUY}): ONLY_LONG,
    frozenset({SELL}): ("short",),
    frozenset({BUY, SELL}): ("long", "short"),
}
DELIBERATION_TIMERS = frozenset({REQUEST, DEADLINE, EXPIRY, LEARNED})


class DeliberationCoordinator:
    """Asks when a question is due, and passes decisions to the gates, the proposals or the lessons."""

    def __init__(
        self,
        settings: Settings,
        execution: ExecutionManager,
        actions: TradeActions,
        timers: TimerQueue[TimerKey],
        outbox: Outbox,
    ) -> None:
        self._execution, self._portfolio = execution, execution.portfolio
        self._funds = EntryFunds(execution.portfolio, execution.orders)
        self._instruments = execution.instruments
        self._outbox = outbox
        self._number = self._skipped = 0
        self._spend, self._is_budget_spent = SpendTotals(), False
        lanes, hybrid = execution.portfolio.market.lanes, settings.hybrid
        self._symbols = symbols = [each.instrument.symbol for each in execution.instruments]
        self._lane_of = {symbol: lane for lane, symbol in enumerate(symbols)}
        own = [settings.for_symbol(symbol) for symbol in symbols]
        self._bounds = [agent_limits(each) for each in own]
        self.proposes = settings.trading.mode == "llm"
        warmups = [each.momentum.warmup_count for each in own]
        self.scheduler = DeliberationScheduler(Cadence.of(settings), symbols, warmups, lanes, timers)
        self.gates: EntryGates | ProposalHandler
        if self.proposes:
            self.gates = ProposalHandler(self._bounds, execution.instruments, self.scheduler, actions, outbox)
        else:
            self.gates = EntryGates(hybrid, execution.instruments, self.scheduler, actions, timers, outbox)
        self._gate_codes = lanes["gate"]
        self._gate_codes[:] = [self.gates.code(lane) for lane in range(len(symbols))]
        self.lesson_scheduler: LessonScheduler | None = None
        if hybrid.learn_every_trades:
            deadline_ns = round(hybrid.deadline_s * NS_PER_S)
            self.lesson_scheduler = LessonScheduler(symbols, hybrid.learn_every_trades, deadline_ns, timers)

    def update(self, settings: Settings, now_ns: int) -> None:
        """Takes over changed settings: how often to ask, cooldowns, and the limits that agents are shown."""
        self.scheduler.cadence = Cadence.of(settings)
        self._bounds[:] = [agent_limits(settings.for_symbol(symbol)) for symbol in self._symbols]
        for lane in range(len(self._instruments)):
            self._ask_if_due(lane, now_ns)  # sets the timer of a question that waits, by the new pause

    def admits(self, lane: int, side: Side) -> bool:
        """Whether the open gate of a lane admits entries of a side."""
        return not isinstance(self.gates, EntryGates) or self.gates.admits(lane, side)

    # requests of a person, for `autohedge ask`

    def pause(self) -> None:
        """Stops scheduled questions; call it before the first row."""
        self.scheduler.pause()

    def request_now(self, symbol: str, now_ns: int) -> Snapshot:
        """Requests a deliberation outside the schedule; returns its snapshot. Not used in a run."""
        lane = self._lane_of[symbol]
        snapshot = self._ask(lane, now_ns)
        self._gate_codes[lane] = self.gates.code(lane)
        return snapshot

    # inputs

    def on_refresh_due(self, lane: int, now_ns: int) -> None:
        """Handles the quote that completes a lane's refresh count."""
        if self.scheduler.on_refresh_due(lane):
            self.gates.on_cooldown_over(lane, now_ns)
        self._ask_if_due(lane, now_ns)

    def on_timer(self, kind: str, lane: int, now_ns: int) -> None:
        """Handles a timer of a gate, a proposal or a lesson."""
        if kind == LEARNED and self.lesson_scheduler:
            self.lesson_scheduler.cancel(lane)
            return
        if kind == DEADLINE:
            number = self.scheduler.states[lane].pending_id
            self.scheduler.clear_pending(lane)
            self.gates.on_timeout(lane, number, now_ns)
        elif kind == EXPIRY and isinstance(self.gates, EntryGates):
            self.gates.expire(lane, now_ns)
        self._ask_if_due(lane, now_ns)

    def on_decision(self, decision: Decision, now_ns: int) -> None:
        """Applies a decision if it answers the pending question; others are counted as late."""
        if decision.spend:
            self._spend.add(decision.spend, now_ns, decision.symbol, decision.verdict)
        if decision.code == BUDGET:
            self._on_budget_spent(decision)
        if decision.kind == self.gates.kind:
            lane = self.scheduler.match(decision)
            if lane >= 0:
                self.gates.on_decision(lane, decision, now_ns)
                self._ask_if_due(lane, now_ns)
        elif decision.kind == "learning" and self.lesson_scheduler and decision.symbol in self._lane_of:
            self.lesson_scheduler.on_decision(decision, self._lane_of[decision.symbol])

    def _on_budget_spent(self, decision: Decision) -> None:
        """Alerts once that the run has used its budget of requests to models."""
        if not self._is_budget_spent:
            self._outbox.emit(Alert(BUDGET, decision.symbol, ABSTENTIONS[BUDGET].text))
        self._is_budget_spent = True

    def on_fill(self, change: PositionChange, intent: Intent, now_ns: int) -> None:
        """Follows a booked fill of an order; asks for a lesson if one is due, but not during a pause."""
        if self.lesson_scheduler is None:
            return
        closed = self.lesson_scheduler.on_fill(change, intent, now_ns)
        if closed and not self._execution.state.paused:
            number = self._next_number()
            self._send(self._snapshot(change.lane, number, now_ns, "learning", closed))
            self.lesson_scheduler.on_asked(change.lane, number, now_ns)

    def on_halt(self, now_ns: int) -> None:
        """Drops what is pending and closes every gate."""
        self._close_all("halted", now_ns)

    def on_resumed(self, now_ns: int) -> None:
        """Asks what has become due during a pause."""
        for lane in range(len(self._instruments)):
            self._ask_if_due(lane, now_ns)

    def on_restart(self, last_number: int, now_ns: int) -> None:
        """Drops what is pending, and skips the numbers of deliberations that the record may have lost."""
        self._close_all("restarted", now_ns)
        skipped = max(last_number - self._number, 0)
        self._number += skipped
        self._skipped += skipped

    def _close_all(self, why: str, now_ns: int) -> None:
        """Drops every pending question and closes every gate; in llm mode cancels resting entries."""
        self._outbox.questions.clear()
        for lane in range(len(self._instruments)):
            self.scheduler.cancel_pending(lane)
            self.gates.close(lane, why, now_ns)
            self._gate_codes[lane] = self.gates.code(lane)
        if self.lesson_scheduler:
            for lane in range(len(self._instruments)):
                self.lesson_scheduler.cancel(lane)

    def result(self) -> DeliberationFigures:
        """The deliberation figures of the run so far."""
        stats = self.scheduler.stats
        figures = DeliberationFigures(
            asked=self._number - self._skipped,
            late=stats.late,
            given_up=stats.given_up,
            bypassed=stats.bypassed,
            cached=stats.cached,
            verdicts=dict(sorted(stats.verdicts.items())),
            abstentions=dict(sorted(stats.abstentions.items())),
            lessons=self.lesson_scheduler.lessons if self.lesson_scheduler else 0,
            llm=self._spend.figures(),
        )
        return msgspec.structs.replace(figures, **self.gates.figures())

    # questions

    def _ask_if_due(self, lane: int, now_ns: int) -> None:
        if not self._execution.state.paused and self.scheduler.may_ask(lane, now_ns):
            self._ask(lane, now_ns)
        self._gate_codes[lane] = self.gates.code(lane)

    def _ask(self, lane: int, now_ns: int) -> Snapshot:
        number = self._next_number()
        self.scheduler.on_asked(lane, number, now_ns)
        return self._send(self._snapshot(lane, number, now_ns, self.gates.kind))

    def _next_number(self) -> int:
        self._number += 1
        return self._number

    def _send(self, snapshot: Snapshot) -> Snapshot:
        request = DeliberationRequested(
            at_ns=snapshot.at_ns,
            number=snapshot.number,
            kind=snapshot.kind,
            symbol=snapshot.symbol,
            snapshot=snapshot.hash,
            venue=snapshot.venue,
            account=snapshot.account,
            strategy=snapshot.strategy,
        )
        self._outbox.ask(request, snapshot)
        return snapshot

    def _snapshot(
        self,
        lane: int,
        number: int,
        now_ns: int,
        kind: DeliberationKind,
        closed: tuple[ClosedTrade, ...] = (),
    ) -> Snapshot:
        portfolio = self._portfolio
        equity, exposure = portfolio.equity_and_exposure(self._funds.reserved())
        ids = self._instruments[lane].ids
        return Snapshot(
            number,
            kind,
            symbol=self._symbols[lane],
            at_ns=now_ns,
            quotes=portfolio.market.recent_quotes(lane),
            valid_quotes=self.scheduler.valid_quotes(lane),
            position=self._position_view(lane),
            cash=portfolio.cash,
            equity=equity,
            buying_power=self._funds.buying_power(lane),
            exposure=exposure,
            state=self._execution.state.name,
            gate=self.gates.state(lane),
            limits=self._bounds[lane],
            closed_trades=closed,
            venue=ids.venue,
            account=ids.account,
            strategy=ids.strategy,
            bars=portfolio.market.bars(lane, now_ns),
        )

    def _position_view(self, lane: int) -> PositionView:
        """The position as agents see it; dust, which no order can close, counts as none."""
        instrument_state, position = self._instruments[lane], self._portfolio.position(lane)
        if not position.quantity or instrument_state.dust:
            return PositionView(ZERO if instrument_state.dust else position.quantity, 0.0, 0.0, 0.0)
        price = float(position.cost) / float(position.quantity)
        return PositionView(
            position.quantity, price, instrument_state.take_profit, instrument_state.stop_loss
        )


def agent_limits(settings: Settings) -> AgentLimits:
    """The limits of one symbol for agents, from its settings."""
    sizing, risk, exits, momentum = settings.sizing, settings.risk, settings.exits, settings.momentum
    risk_agent = settings.agents.risk
    # Agents only narrow what code allows: their stop is never wider than that of a strategy's position.
    most_stop_bps = min(risk_agent.most_stop_loss_bps, int(exits.stop_loss_bps))
    return AgentLimits(
        min_order_notional=max(sizing.min_order_amount, risk.min_order_notional),
        max_order_notional=min(sizing.max_order_amount, risk.max_order_notional),
        max_position_notional=risk.max_position_notional,
        max_exposure_notional=risk.max_exposure_notional,
        take_profit_bps=exits.take_profit_bps,
        stop_loss_bps=exits.stop_loss_bps,
        fee_bps=settings.account.taker_bps,
        min_edge_bps=momentum.min_edge_bps,
        max_spread_bps=momentum.max_spread_bps,
        stop_losses_bps=(min(risk_agent.least_stop_loss_bps, most_stop_bps), most_stop_bps),
        take_profits_bps=(risk_agent.least_take_profit_bps, risk_agent.most_take_profit_bps),
        least_reward_to_risk=risk_agent.least_reward_to_risk,
        most_offset_bps=settings.agents.execution.most_offset_bps,
        directions=DIRECTIONS[settings.entry_sides],
    )

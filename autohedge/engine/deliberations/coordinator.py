"""The engine's side of the agents: requests deliberations, takes their snapshots, applies decisions.

In hybrid mode a decision opens or closes a gate and does nothing else. In llm mode it proposes an entry or
exits a position. Sizing, limits and risk checks apply in both modes.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autohedge.config import Settings
from autohedge.core.events import AnyOutput, Decision, Proposal
from autohedge.core.money import ZERO, add, subtract
from autohedge.core.reasons import GATES_FROM, Reason
from autohedge.core.snapshots import (
    AgentLimits,
    ClosedTrade,
    DeliberationKind,
    PositionView,
    QuoteRow,
    Snapshot,
)
from autohedge.core.timers import TimerQueue
from autohedge.core.units import NS_PER_S
from autohedge.engine.deliberations.gates import EXPIRY, EntryGates
from autohedge.engine.deliberations.lessons import LEARNED, LessonScheduler
from autohedge.engine.deliberations.proposals import ProposalHandler, TradeActions
from autohedge.engine.deliberations.scheduler import DEADLINE, REQUEST, SchedulerContext
from autohedge.execution.instrument_state import InstrumentState
from autohedge.execution.manager import ExecutionManager
from autohedge.execution.planner import OrderPlanner
from autohedge.execution.tracking import TimerKey
from autohedge.kernels.matching import recent_valid
from autohedge.kernels.state import KernelStates
from autohedge.market.tape import Rows

SHOWN_ROWS = 50
# Entry signals that a gate answered: blocked by it, or passed on to sizing and risk.
MEETING_THE_GATE = [
    int(code)
    for code in Reason
    if Reason.ENTRY <= code <= Reason.NOT_FINITE or GATES_FROM <= code < Reason.DELIBERATING
]
DELIBERATION_TIMERS = frozenset({REQUEST, DEADLINE, EXPIRY, LEARNED})


class DeliberationCoordinator:
    """Owns the gates or the proposals, the lessons, and the snapshots of pending questions."""

    def __init__(
        self,
        settings: Settings,
        instruments: list[InstrumentState],
        lanes: KernelStates,
        timers: TimerQueue[TimerKey],
        execution: ExecutionManager,
        planner: OrderPlanner,
        emit: Callable[[AnyOutput], None],
        tape: Callable[[], tuple[Rows | None, int]],
        exit_position: Callable[[int, str], bool],
    ) -> None:
        self._instruments = instruments
        self._execution, self._planner = execution, planner
        self._tape = tape
        self._found: NDArray[np.int64] = np.zeros(SHOWN_ROWS, np.int64)
        self._number = self._skipped = 0
        self._counts = lanes["counts"]
        self._lane_of = {
            instrument_state.instrument.symbol: lane for lane, instrument_state in enumerate(instruments)
        }
        self.snapshots: dict[int, Snapshot] = {}
        symbols = list(self._lane_of)
        hybrid = settings.hybrid
        own = [settings.for_symbol(symbol) for symbol in symbols]
        self._bounds = [agent_limits(each) for each in own]
        warmups = [each.momentum.warmup_count for each in own]
        context = SchedulerContext(
            symbols, warmups, lanes, timers, emit, self._next_number, self._take_snapshot
        )
        self._exit_position = exit_position
        self.proposes = settings.trading.mode == "llm"
        self.gates: EntryGates | ProposalHandler
        if self.proposes:
            actions = TradeActions(self._enter, self._exit_for_agents, self._cancel_entry)
            self.gates = ProposalHandler(settings.llm, hybrid, context, self._bounds, actions)
        else:
            self.gates = EntryGates(hybrid, context, self._cancel_entry)
        execution.on_halt = self._on_halt
        deadline_ns = round(hybrid.deadline_s * NS_PER_S)
        self.lesson_scheduler: LessonScheduler | None = None
        if hybrid.learn_every_trades:
            self.lesson_scheduler = LessonScheduler(
                symbols,
                hybrid.learn_every_trades,
                deadline_ns,
                timers,
                emit,
                self._next_number,
                self._take_snapshot,
            )
            execution.on_fill = self.lesson_scheduler.on_fill

    # requests of a person, for `autohedge ask`

    def pause(self) -> None:
        """Stops scheduled questions; call it before the first row."""
        self.gates.pause()

    def request_now(self, symbol: str, now_ns: int) -> Snapshot:
        """Requests a deliberation outside the schedule; returns its snapshot. Not used in a run."""
        self.gates.request_now(self._lane_of[symbol], now_ns)
        return self.snapshots[self._number]

    # inputs

    def on_refresh_due(self, lane: int, now_ns: int) -> None:
        """Handles the quote that completes a lane's refresh count."""
        self.gates.on_refresh_due(lane, now_ns)

    def on_timer(self, kind: str, lane: int, now_ns: int) -> None:
        """Handles a timer of a gate, a proposal or a lesson."""
        if kind == LEARNED and self.lesson_scheduler:
            self.lesson_scheduler.cancel(lane)
        else:
            self.gates.on_timer(kind, lane, now_ns)

    def on_decision(self, decision: Decision, now_ns: int) -> int | None:
        """Applies a decision; returns the lane of its symbol, None for an unknown symbol."""
        self.snapshots.pop(decision.number, None)
        lane = self._lane_of.get(decision.symbol)
        if decision.kind == self.gates.kind:
            self.gates.on_decision(decision, now_ns)
        elif decision.kind == "learning" and self.lesson_scheduler and lane is not None:
            self.lesson_scheduler.on_decision(decision, lane)
        return lane

    def _on_halt(self, now_ns: int) -> None:
        self._invalidate_all("halted", now_ns)

    def on_restart(self, last_number: int, now_ns: int) -> None:
        """Drops what is pending, and skips the numbers of deliberations that the record may have lost."""
        self._invalidate_all("restarted", now_ns)
        skipped = max(last_number - self._number, 0)
        self._number += skipped
        self._skipped += skipped

    def _invalidate_all(self, why: str, now_ns: int) -> None:
        """Drops every pending question and closes every gate; in llm mode cancels resting entries."""
        self.snapshots.clear()
        self.gates.close_all(why, now_ns)
        if self.lesson_scheduler:
            for lane in range(len(self._instruments)):
                self.lesson_scheduler.cancel(lane)

    def result(self) -> dict[str, Any]:
        """The deliberation figures of the run, as `results.json` lists them."""
        stats = self.gates.stats
        figures = {
            "asked": self._number - self._skipped,
            "late": stats.late,
            "given_up": stats.given_up,
            "bypassed": stats.bypassed,
            "cached": stats.cached,
            "verdicts": dict(sorted(stats.verdicts.items())),
            "abstentions": dict(sorted(stats.abstentions.items())),
            "lessons": self.lesson_scheduler.lessons if self.lesson_scheduler else 0,
        }
        if isinstance(self.gates, ProposalHandler):
            return figures | {"disposed": dict(sorted(stats.disposed.items()))}
        states = {symbol: gate.state for symbol, gate in zip(self._lane_of, self.gates.gates, strict=True)}
        opened = {"opened": stats.opened, "closed": stats.closed}
        return figures | opened | {"wishes": self._gated_signals(), "gates": states}

    def _gated_signals(self) -> int:
        """The number of entry signals that a gate answered, open or not, without a request."""
        return int(self._counts[:, MEETING_THE_GATE].sum())

    def _cancel_entry(self, lane: int, now_ns: int) -> None:
        """Cancels a lane's resting entries and the remaining slices of one sent in parts."""
        self._execution.cancel_slices(lane)
        why = "withdrawn by the agents" if self.proposes else "gate closed"
        self._execution.cancel_entries(why, now_ns, lane)

    def _enter(self, lane: int, proposal: Proposal, now_ns: int) -> Reason:
        """Plans an entry as proposed, unless a position, an order or a wide spread forbids it."""
        orders, instrument_state = self._execution.orders, self._instruments[lane]
        if orders.exits_of(lane):
            return Reason.EXIT_PENDING
        if self._execution.held[lane] and not instrument_state.dust:
            return Reason.IN_POSITION
        if orders.entries_of(lane) or instrument_state.slices:
            return Reason.ORDER_PENDING
        if self._planner.spread_bps(lane) > self._bounds[lane].max_spread_bps:
            return Reason.WIDE_SPREAD
        return self._planner.plan_entry(lane, self._planner.quote_ns(lane), now_ns, proposal)

    def _exit_for_agents(self, lane: int) -> bool:
        # Dust stays held: the resolution must not claim an exit that no order can carry out.
        return self._exit_position(lane, Reason.EXIT_SIGNAL.label) and not self._instruments[lane].dust

    # snapshots

    def _next_number(self) -> int:
        self._number += 1
        return self._number

    def _take_snapshot(
        self, lane: int, number: int, now_ns: int, closed: tuple[ClosedTrade, ...] = ()
    ) -> str:
        """Takes the snapshot of a question and returns its hash; it is kept until the answer."""
        kind: DeliberationKind = "learning" if closed else self.gates.kind
        instrument_state = self._instruments[lane]
        orders, ledger = self._execution.orders, self._execution.ledger
        net, gross = self._planner.holdings_value()
        snapshot = Snapshot(
            number=number,
            kind=kind,
            symbol=instrument_state.instrument.symbol,
            at_ns=now_ns,
            quotes=self._quotes(lane),
            seen=self.gates.valid_quotes(lane),
            held=self._position_view(instrument_state),
            cash=ledger.cash,
            equity=add(ledger.cash, net),
            buying_power=subtract(ledger.cash, orders.reserved),
            exposure=add(gross, orders.reserved),
            state=self._execution.state.name,
            gate=self.gates.state(lane),
            bounds=self._bounds[lane],
            closed=closed,
        )
        self.snapshots[number] = snapshot
        # A question that timed out leaves its snapshot. At most two per symbol are pending, so 4 keep those.
        while len(self.snapshots) > 4 * len(self._instruments):
            del self.snapshots[next(iter(self.snapshots))]
        return snapshot.hash

    def _quotes(self, lane: int) -> tuple[QuoteRow, ...]:
        rows, taken = self._tape()
        if rows is None:
            return ()
        count = recent_valid(rows.lane, rows.bid, rows.ask, taken, lane, self._found)
        at = self._found[SHOWN_ROWS - count :]
        columns = (rows.ts, rows.bid, rows.bid_size, rows.ask, rows.ask_size)
        return tuple(QuoteRow(*row) for row in zip(*(column[at].tolist() for column in columns), strict=True))

    def _position_view(self, instrument_state: InstrumentState) -> PositionView:
        """The position as agents see it; dust, which no order can sell, counts as none."""
        position = self._execution.ledger.position(instrument_state.instrument.symbol)
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
        fee_bps=settings.simulated.fee_bps,
        min_edge_bps=momentum.min_edge_bps,
        max_spread_bps=momentum.max_spread_bps,
        stop_losses_bps=(min(risk_agent.least_stop_loss_bps, most_stop_bps), most_stop_bps),
        take_profits_bps=(risk_agent.least_take_profit_bps, risk_agent.most_take_profit_bps),
        least_reward_to_risk=risk_agent.least_reward_to_risk,
        most_offset_bps=settings.agents.execution.most_offset_bps,
    )

"""Trading actions: plans an order and submits it if it passes the checks.

Signals of the kernel, proposals of agents, timers and operator commands all come through here.
"""

from autohedge.core.clock import next_midnight_ns
from autohedge.core.money import ZERO
from autohedge.core.orders import LEAVE, OrderState, Side, closable
from autohedge.core.reasons import Reason
from autohedge.core.timers import TimerQueue
from autohedge.engine.outbox import Outbox
from autohedge.execution.entry_request import EntryRequest
from autohedge.execution.manager import ExecutionManager
from autohedge.execution.planner import OrderPlanner
from autohedge.execution.stats import RunStats
from autohedge.execution.tracking import TimerKey
from autohedge.execution.twap import ExecutionSchedule
from autohedge.risk import Approved
from autohedge.risk.state import ReduceCause

FLATTEN = "flatten"
# Unlike a price level, the cause of these exits does not return with the next quote: repeat them until flat.
CARRIED_THROUGH = frozenset({Reason.EXIT_SIGNAL.label, Reason.TIME_STOP.label, FLATTEN})


class TradeActions:
    """Enters and exits positions of one account."""

    def __init__(
        self,
        planner: OrderPlanner,
        execution: ExecutionManager,
        timers: TimerQueue[TimerKey],
        outbox: Outbox,
        stats: RunStats,
    ) -> None:
        self._planner, self._execution = planner, execution
        self._instruments, self._orders = execution.instruments, execution.orders
        self._portfolio, self._market = execution.portfolio, execution.portfolio.market
        self._timers, self._outbox, self._stats = timers, outbox, stats

    # entries

    def enter(self, lane: int, request: EntryRequest, quote_ns: int, now_ns: int) -> Reason:
        """Enters a position if every check allows it; returns the code in which that ends."""
        instrument_state = self._instruments[lane]
        terms = instrument_state.terms
        plan = self._planner.plan_entry(lane, request, quote_ns, now_ns)
        if isinstance(plan, Reason):
            instrument_state.terms = terms  # those of slices that are left
            self._on_entry_refused(plan, now_ns)
            return plan
        instrument_state.last_entry_ns = now_ns
        instrument_state.pending_exit_reason, instrument_state.entry = "", request
        self._set_schedule(lane, plan.slices)
        self._submit(plan.approved, now_ns)
        return Reason.ENTRY

    def enter_proposal(self, lane: int, request: EntryRequest, max_spread_bps: float, now_ns: int) -> Reason:
        """Enters a position as proposed, unless a position, an order or a wide spread forbids it."""
        instrument_state, market = self._instruments[lane], self._market
        if self._orders.exits_of(lane):
            return Reason.EXIT_PENDING
        if self._portfolio.held[lane] and not instrument_state.dust:
            return Reason.IN_POSITION
        if self._orders.entries_of(lane) or instrument_state.slices:
            return Reason.ORDER_PENDING
        if market.spread_bps(lane) > max_spread_bps:
            return Reason.WIDE_SPREAD
        return self.enter(lane, request, market.last_quote_ns(lane), now_ns)

    def turns(self, lane: int, side: Side, reason: str, now_ns: int) -> bool:
        """Cancels resting entries if the last request was for the other side; returns whether that side is held."""
        instrument_state, position = self._instruments[lane], self._portfolio.position(lane)
        if instrument_state.entry.side is not side:
            self.cancel_entry(lane, reason, now_ns)
        return closable(position.quantity, side) > ZERO and not instrument_state.dust

    def send_slice(self, lane: int, now_ns: int) -> None:
        """Sends the next slice of an entry, or drops what is left of it once the position is being closed."""
        instrument_state = self._instruments[lane]
        slices = instrument_state.slices
        if slices is None or instrument_state.pending_exit_reason or self._orders.exits_of(lane):
            self._execution.cancel_slices(lane)
        elif self._orders.entries_of(lane):  # one slice after the other: wait for its end
            self._timers.schedule(("slice", lane), now_ns + slices.interval_ns)
        else:
            checked = self._planner.plan_slice(lane, slices, now_ns)
            self._set_schedule(lane, slices)
            if isinstance(checked, Approved):
                self._submit(checked, now_ns)
            else:
                self._on_entry_refused(checked, now_ns)
                self._stats.slice_refusals[checked.label] += 1

    def reprice(self, order_id: str, now_ns: int) -> None:
        """Moves a resting entry to the current limit, if the checks would admit it there."""
        order = self._orders.working.get(order_id)
        if order is None or order.intent.purpose is LEAVE or order.cancel_requested:
            return
        if reprice_ns := self._instruments[order.intent.lane].terms.reprice_ns:
            self._timers.schedule(("reprice", order_id), now_ns + reprice_ns)
        if limit := self._planner.plan_reprice(order, now_ns):
            self._execution.replace(order, limit, now_ns)

    def cancel_entry(self, lane: int, reason: str, now_ns: int) -> None:
        """Cancels a lane's resting entries and the remaining slices of one sent in parts."""
        self._execution.cancel_slices(lane)
        self._execution.cancel_entries(reason, now_ns, lane)

    def _on_entry_refused(self, code: Reason, now_ns: int) -> None:
        """Reduces the account for refusals that last: the order rate limit and the daily loss."""
        state = self._execution.state
        if code is Reason.ORDER_RATE and state.reduce(ReduceCause.ORDER_RATE):
            available_ns = self._planner.order_rate.available_at_ns(now_ns)
            self._timers.schedule(("relieve", ReduceCause.ORDER_RATE), available_ns)
        elif code is Reason.DAILY_LOSS and state.reduce(ReduceCause.DAILY_LOSS):
            # A row at midnight comes before the midnight timer: `- 1` ends its refusal at this midnight.
            self._timers.schedule(("relieve", ReduceCause.DAILY_LOSS), next_midnight_ns(now_ns - 1))

    def _set_schedule(self, lane: int, slices: ExecutionSchedule | None) -> None:
        """Sets the slices of an entry that are left, and the timer of the next one."""
        if slices is None or slices.next_ns is None:
            self._execution.cancel_slices(lane)
        else:
            self._instruments[lane].slices = slices
            self._timers.schedule(("slice", lane), slices.next_ns)

    # exits

    def exit_now(self, lane: int, reason: str, now_ns: int) -> None:
        """Closes the whole position; a refusal is counted apart, and the row keeps its code."""
        instrument_state = self._instruments[lane]
        instrument_state.pending_exit_reason = reason if reason in CARRIED_THROUGH else ""
        self._execution.touched.add(lane)
        self._execution.cancel_slices(lane)
        checked = self._planner.plan_exit(lane, reason, now_ns)
        if not isinstance(checked, Approved):
            if checked is Reason.DUST:
                instrument_state.dust, instrument_state.pending_exit_reason = True, ""
            self._stats.count_refused_exit(checked)
            return
        self._execution.cancel_entries("position is being closed", now_ns, lane)
        self._submit(checked, now_ns)

    def exit_position(self, lane: int, reason: str, now_ns: int) -> bool:
        """Closes the position now, or at the next quote if exits must wait; returns whether there is one."""
        if not self._portfolio.is_open(lane):
            return False
        # An exit in flight may fill in part: with a pending reason the next quote closes what it leaves.
        if self._orders.exits_of(lane) or self._execution.exits_wait:
            self._set_pending_exit(lane, reason)
        else:
            self.exit_now(lane, reason, now_ns)
        return True

    def exit_for_agents(self, lane: int, now_ns: int) -> bool:
        """Closes the position because the agents propose it; returns whether an order can carry that out."""
        closes = self.exit_position(lane, Reason.EXIT_SIGNAL.label, now_ns)
        return closes and not self._instruments[lane].dust  # dust stays held

    # an operator's requests

    def cancel_all(self, now_ns: int) -> None:
        """Cancels every resting order, an adopted exit too, and drops all slices that are left."""
        self._execution.tracker.repeat_cancels(now_ns)
        for order in list(self._orders.working.values()):
            self._execution.cancel(order, "all orders cancelled", now_ns)
        for lane in range(len(self._instruments)):
            self._execution.cancel_slices(lane)

    def synchronize(self, now_ns: int) -> None:
        """Reconciles now, and queries every order that waits for an answer; entries go on meanwhile."""
        self._execution.request_reconciliation(now_ns)
        for order in list(self._orders.working.values()):
            if order.state is OrderState.UNKNOWN or order.cancel_unanswered:
                self._execution.tracker.requery(order, now_ns)

    def flatten(self, now_ns: int) -> None:
        """Closes every position now; what an entry in flight still fills is closed at its next quote."""
        for lane in range(len(self._instruments)):
            is_open = self._portfolio.is_open(lane)
            if is_open and not self._execution.exits_wait:
                self.exit_now(lane, FLATTEN, now_ns)
            elif is_open or self._orders.entries_of(lane):
                self._set_pending_exit(lane, FLATTEN)

    def _set_pending_exit(self, lane: int, reason: str) -> None:
        self._instruments[lane].pending_exit_reason = reason
        self._execution.touched.add(lane)

    def _submit(self, approved: Approved, now_ns: int) -> None:
        self._execution.submit(approved, self._outbox.new_order_id(), now_ns)

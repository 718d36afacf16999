"""The order planner: turns signals and proposals into orders that passed every check.

It plans entries, whole or in slices, reprices resting entries, and plans exits. Strategies, agents and exit
rules decide when to trade; the execution manager follows the orders.
"""

from collections.abc import Callable
from decimal import Decimal

import msgspec
import numpy as np

from autohedge.config import Settings
from autohedge.core.clock import next_midnight_ns
from autohedge.core.events import Proposal
from autohedge.core.money import ZERO, add, multiply, subtract, to_decimal
from autohedge.core.orders import BUY, IOC, LIMIT, MARKET, SELL, Intent, OrderState, TimeInForce
from autohedge.core.reasons import Reason
from autohedge.core.timers import TimerQueue
from autohedge.core.units import NS_PER_S
from autohedge.execution.instrument_state import InstrumentState
from autohedge.execution.manager import ExecutionManager
from autohedge.execution.sizing import entry_limit, quantity_for, scaled, with_offset
from autohedge.execution.tracking import TimerKey
from autohedge.execution.twap import ExecutionSchedule, Twap
from autohedge.kernels.state import KernelStates, net_and_gross
from autohedge.risk import Approved, Limits, RiskContext, Throttler, check_entry, check_exit
from autohedge.risk.state import ReduceCause

FLATTEN = "flatten"
ENTRY = Reason.ENTRY
ENTERS = ENTRY.label
# Unlike a price level, the cause of these exits does not return with the next quote: repeat them until flat.
CARRIED_THROUGH = frozenset({Reason.EXIT_SIGNAL.label, Reason.TIME_STOP.label, FLATTEN})
RESTS = frozenset({OrderState.OPEN, OrderState.PARTIAL})


class OrderPlanner:
    """Plans the orders of one account and submits those that pass every check."""

    def __init__(
        self,
        settings: Settings,
        instruments: list[InstrumentState],
        lanes: KernelStates,
        timers: TimerQueue[TimerKey],
        execution: ExecutionManager,
        new_id: Callable[[], str],
        quote_ns: Callable[[int], int],
    ) -> None:
        self._equity_at_midnight = execution.ledger.cash
        self._deposits_at_midnight = execution.ledger.deposits
        self._instruments = instruments
        self._lanes = lanes
        self._bid, self._ask = lanes["bid"], lanes["ask"]
        self._timers = timers
        self._execution = execution
        self._held = execution.held
        self._new_id = new_id
        self.quote_ns = quote_ns
        self._rate = Limits.of(settings).rate()
        self._time_in_force = TimeInForce(settings.execution.time_in_force)
        self._twap = (settings.execution.twap_slices, round(settings.execution.twap_s * NS_PER_S))
        self._reprice_ns = round(settings.execution.reprice_after_s * NS_PER_S)

    @property
    def order_rate(self) -> Throttler:
        """The limiter of all orders of the account."""
        return self._rate

    def plan_entry(self, lane: int, quote_ns: int, now_ns: int, proposal: Proposal | None = None) -> Reason:
        """Sizes, prices and checks an entry; returns the reason code in which it ends.

        A `proposal` can only lower size and limit; it also sets the exits and the time in force.
        """
        instrument_state = self._instruments[lane]
        buying_power = subtract(self._execution.ledger.cash, self._execution.orders.reserved)
        notional = instrument_state.sizing.notional(buying_power)
        if proposal and notional:
            notional = scaled(notional, proposal.size_pct)
            if notional < instrument_state.sizing.min_notional:
                return Reason.MIN_NOTIONAL
        intent = self._entry_intent(instrument_state, lane, notional, proposal)
        slices = self._schedule_for(intent, instrument_state, now_ns)
        # The checks see the first slice alone; each later one is checked when it is due.
        if slices:
            intent = msgspec.structs.replace(intent, quantity=slices.next_quantity(now_ns))
        verdict = check_entry(
            intent, self._risk_context(lane, quote_ns, buying_power, now_ns), instrument_state.limits
        )
        if not isinstance(verdict, Approved):
            self._on_entry_refused(verdict, now_ns)
            # Without buying power the quantity is zero: report the cause, not the symptom.
            short = verdict is Reason.ZERO_QUANTITY and notional is None
            return Reason.BUYING_POWER if short else verdict
        instrument_state.last_entry_ns = now_ns
        instrument_state.pending_exit_reason, instrument_state.proposal = "", proposal
        self._set_schedule(lane, slices)
        self._submit(verdict, now_ns)
        return ENTRY

    def _on_entry_refused(self, code: Reason, now_ns: int) -> None:
        """Reduces the account for refusals that last: the order rate limit and the daily loss."""
        if code is Reason.ORDER_RATE and self._execution.state.reduce(ReduceCause.ORDER_RATE):
            self._timers.schedule(("relieve", ReduceCause.ORDER_RATE), self._rate.available_at_ns(now_ns))
        elif code is Reason.DAILY_LOSS and self._execution.state.reduce(ReduceCause.DAILY_LOSS):
            # A row at midnight comes before the midnight timer: `- 1` ends its refusal at this midnight.
            self._timers.schedule(("relieve", ReduceCause.DAILY_LOSS), next_midnight_ns(now_ns - 1))

    def _schedule_for(self, intent: Intent, instrument_state: InstrumentState, now_ns: int) -> Twap | None:
        """The TWAP schedule of an entry; None if it is sent whole."""
        parts, over_ns = self._twap
        if parts == 1 or not intent.quantity:
            return None
        return Twap.of(intent.quantity, parts, over_ns, instrument_state.instrument.lot, now_ns)

    def _set_schedule(self, lane: int, slices: ExecutionSchedule | None) -> None:
        """Sets the slices of an entry that are left, and the timer of the next one."""
        if slices is None or slices.next_ns is None:
            self._execution.cancel_slices(lane)
        else:
            self._instruments[lane].slices = slices
            self._timers.schedule(("slice", lane), slices.next_ns)

    def plan_slice(self, lane: int, now_ns: int) -> None:
        """Plans the next slice of an entry at the current price, through all checks."""
        instrument_state = self._instruments[lane]
        if (
            instrument_state.slices is None
            or instrument_state.pending_exit_reason
            or self._execution.orders.exits_of(lane)
        ):
            self._execution.cancel_slices(lane)
        elif self._execution.orders.entries_of(lane):  # one slice after the other: wait for its end
            self._timers.schedule(("slice", lane), now_ns + instrument_state.slices.interval_ns)
        else:
            intent = self._entry_intent(instrument_state, lane, None, instrument_state.proposal)
            intent = msgspec.structs.replace(intent, quantity=instrument_state.slices.next_quantity(now_ns))
            buying_power = subtract(self._execution.ledger.cash, self._execution.orders.reserved)
            verdict = check_entry(
                intent,
                self._risk_context(lane, self.quote_ns(lane), buying_power, now_ns),
                instrument_state.limits,
            )
            self._set_schedule(lane, instrument_state.slices)
            if isinstance(verdict, Approved):
                self._submit(verdict, now_ns)
            else:
                self._on_entry_refused(verdict, now_ns)
                self._execution.stats.slice_refusals[verdict.label] += 1

    def _entry_intent(
        self,
        instrument_state: InstrumentState,
        lane: int,
        notional: Decimal | None,
        proposal: Proposal | None,
    ) -> Intent:
        """An entry intent at the current prices; zero quantity without a notional."""
        bid, ask = float(self._bid[lane]), float(self._ask[lane])
        take_profit, stop_loss, trail_from = instrument_state.exit_levels((bid + ask) / 2.0, proposal)
        most = entry_limit(bid, ask, instrument_state.aggression_bps, instrument_state.instrument)
        # Sized at the settings' limit: the agents' lower one must not buy more.
        quantity = (
            quantity_for(notional, most, instrument_state.instrument.lot) if notional and most else ZERO
        )
        limit, time_in_force = most, self._time_in_force
        if proposal:
            limit = with_offset(most, proposal.offset_bps, bid, instrument_state.instrument)
            time_in_force = TimeInForce(proposal.time_in_force)
        return Intent(
            lane=lane,
            symbol=instrument_state.instrument.symbol,
            side=BUY,
            order_type=LIMIT,
            time_in_force=time_in_force,
            quantity=quantity,
            price=limit,
            limit=limit,
            reason=ENTERS,
            take_profit=take_profit,
            stop_loss=stop_loss,
            trail_from=trail_from,
        )

    def plan_exit(self, lane: int, reason: str, now_ns: int) -> None:
        """Plans the sale of the whole position; a refusal is counted apart, and the row keeps its code."""
        instrument_state = self._instruments[lane]
        instrument_state.pending_exit_reason = reason if reason in CARRIED_THROUGH else ""
        self._execution.cancel_slices(lane)
        held = self._execution.ledger.position(instrument_state.instrument.symbol).quantity
        bid = self.last_bid(lane)
        intent = Intent(
            lane=lane,
            symbol=instrument_state.instrument.symbol,
            side=SELL,
            order_type=MARKET,
            time_in_force=IOC,
            quantity=held,
            price=bid,
            limit=None,
            reason=reason,
            take_profit=np.inf,
            stop_loss=-np.inf,
        )
        verdict = check_exit(intent, held, duplicate=bool(self._execution.orders.exits_of(lane)))
        # The venue would reject it at every quote. A later entry adds to the position and makes it sellable.
        if isinstance(verdict, Approved) and multiply(held, bid) < instrument_state.instrument.min_notional:
            instrument_state.dust, instrument_state.pending_exit_reason = True, ""
            verdict = Reason.DUST
        if not isinstance(verdict, Approved):
            self._execution.stats.count_refused_exit(verdict)
            return
        self._execution.cancel_entries("position is being closed", now_ns, lane)
        self._submit(verdict, now_ns)

    def _risk_context(self, lane: int, quote_ns: int, buying_power: Decimal, now_ns: int) -> RiskContext:
        """The figures for the risk checks of an entry."""
        instrument_state = self._instruments[lane]
        bid, ask = float(self._bid[lane]), float(self._ask[lane])
        net, gross = self.holdings_value()
        held_here = to_decimal(abs(self._held[lane]) * bid) if self._held[lane] else ZERO
        return RiskContext(
            now_ns=now_ns,
            quote_ns=quote_ns,
            mid=to_decimal((bid + ask) / 2.0),
            halted=self._execution.state.halted,
            buying_power=buying_power,
            position_notional=add(held_here, self._execution.orders.reserved_in(lane)),
            exposure=add(gross, self._execution.orders.reserved),
            equity=add(self._execution.ledger.cash, net),
            equity_at_midnight=self._day_start_equity(),
            last_entry_ns=instrument_state.last_entry_ns,
            last_exit_ns=instrument_state.last_exit_ns,
            duplicate=bool(self._execution.orders.exits_of(lane)),
            rate=self._rate,
            reducing=bool(self._execution.state.causes),
        )

    def _submit(self, approved: Approved, now_ns: int) -> None:
        self._rate.record(now_ns)
        self._execution.submit(approved, self._new_id(), now_ns)

    def plan_reprice(self, order_id: str, now_ns: int) -> None:
        """Moves a resting entry to the current limit, if the checks would admit it there."""
        order = self._execution.orders.working.get(order_id)
        if order is None or order.intent.side is SELL or order.cancel_requested:
            return
        self._timers.schedule(("reprice", order_id), now_ns + self._reprice_ns)
        lane, instrument_state = order.intent.lane, self._instruments[order.intent.lane]
        limit = self._entry_intent(instrument_state, lane, None, instrument_state.proposal).price
        if order.state not in RESTS or limit == order.intent.limit:
            return
        intent = msgspec.structs.replace(order.intent, quantity=order.remaining, price=limit, limit=limit)
        buying_power = add(
            subtract(self._execution.ledger.cash, self._execution.orders.reserved), order.reserved
        )
        context = self._risk_context(lane, self.quote_ns(lane), buying_power, now_ns)
        # Check it as if it were not there yet: it must not count against its own limits or interval.
        context = msgspec.structs.replace(
            context,
            position_notional=subtract(context.position_notional, order.reserved),
            exposure=subtract(context.exposure, order.reserved),
            last_entry_ns=None,
        )
        if isinstance(check_entry(intent, context, instrument_state.limits), Approved):
            self._rate.record(now_ns)
            self._execution.replace(order, limit, now_ns)

    def spread_bps(self, lane: int) -> float:
        """The spread of a lane's last valid quote, in bps; infinite before the first."""
        bid, ask = float(self._bid[lane]), float(self._ask[lane])
        return (ask - bid) / ((bid + ask) / 2.0) * 10_000.0 if bid > 0.0 else np.inf

    def last_bid(self, lane: int) -> Decimal:
        """The bid of a lane's last valid quote; zero before the first."""
        bid = float(self._bid[lane])
        return to_decimal(bid) if bid > 0.0 else ZERO

    def equity(self) -> Decimal:
        """Cash plus positions at the last bids, for limits."""
        return add(self._execution.ledger.cash, self.holdings_value()[0])

    def start_new_day(self) -> None:
        """Starts a trading day: the daily loss is measured from the equity at this time."""
        self._equity_at_midnight = self.equity()
        self._deposits_at_midnight = self._execution.ledger.deposits

    def _day_start_equity(self) -> Decimal:
        """Equity at midnight plus later deposits, less withdrawals: they are not a gain or loss."""
        deposits = self._execution.ledger.deposits
        if deposits == self._deposits_at_midnight:
            return self._equity_at_midnight
        return add(self._equity_at_midnight, subtract(deposits, self._deposits_at_midnight))

    def holdings_value(self) -> tuple[Decimal, Decimal]:
        """The net and gross value of all positions at the last bids; shorts count negative in the net."""
        if not self._execution.holding:
            return ZERO, ZERO
        # In float64, for limits only (ADR 6): hundreds of decimal products per decision would cost too much.
        net, gross = net_and_gross(self._lanes, self._held)
        worth = to_decimal(net)
        return worth, worth if gross == net else to_decimal(gross)

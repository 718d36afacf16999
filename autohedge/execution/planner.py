"""The order planner: turns signals and proposals into orders that passed every check, or into a reason.

Strategies, agents and exit rules decide when to trade. The planner reads the portfolio, the market and the
state of the instrument, and submits nothing. An approved order counts towards the order rate limit, and a planned
slice leaves its schedule.
"""

from dataclasses import dataclass
from decimal import Decimal

import msgspec
import numpy as np

from autohedge.config import Settings
from autohedge.core.money import ZERO, add, multiply, subtract, to_decimal
from autohedge.core.orders import (
    BUY,
    ENTER,
    IOC,
    LEAVE,
    LIMIT,
    MARKET,
    SELL,
    Intent,
    OrderState,
    TimeInForce,
)
from autohedge.core.reasons import Reason
from autohedge.execution.entry_funds import EntryFunds
from autohedge.execution.entry_request import EntryRequest
from autohedge.execution.instrument_state import InstrumentState
from autohedge.execution.orders import Order, OrderManager
from autohedge.execution.portfolio import Portfolio
from autohedge.execution.sizing import entry_limit, quantity_for
from autohedge.execution.twap import ExecutionSchedule, Twap
from autohedge.risk import Approved, Limits, RiskContext, Throttler, check_entry, check_exit
from autohedge.risk.state import TradingState

RESTS = frozenset({OrderState.OPEN, OrderState.PARTIAL})


@dataclass(frozen=True, slots=True)
class EntryPlan:
    """An entry that passed every check, and the schedule of its later slices if it is sent in parts."""

    approved: Approved
    slices: ExecutionSchedule | None


class OrderPlanner:
    """Plans the orders of one account; each approved one counts towards the order rate limit."""

    def __init__(
        self,
        settings: Settings,
        instruments: list[InstrumentState],
        portfolio: Portfolio,
        orders: OrderManager,
        state: TradingState,
    ) -> None:
        self._instruments, self._portfolio, self._market = instruments, portfolio, portfolio.market
        self._orders, self._state = orders, state
        self._funds = EntryFunds(portfolio, orders)
        self.order_rate: Throttler = Limits.of(settings).rate()

    # entries

    def plan_entry(self, lane: int, request: EntryRequest, quote_ns: int, now_ns: int) -> EntryPlan | Reason:
        """Sizes, prices and checks an entry; returns its plan, or the reason of its refusal.

        What is behind a request can only lower the size and make the limit harder to reach; it also sets the exits
        and the time in force.
        """
        instrument_state = self._instruments[lane]
        instrument_state.begin_entry()
        if not self._portfolio.can_enter(lane):
            return Reason.NO_RATE
        buying_power = self._funds.buying_power(lane)
        notional = instrument_state.terms.sizing.notional(buying_power)
        if notional and (wanted := request.narrowed(notional)) is not notional:
            notional = wanted
            if notional < instrument_state.terms.sizing.min_notional:
                return Reason.MIN_NOTIONAL
        intent = self._entry_intent(lane, notional, request)
        slices = self._schedule_for(intent, instrument_state, now_ns)
        # The checks see the first slice alone; each later one is checked when it is due.
        if slices:
            intent = msgspec.structs.replace(intent, quantity=slices.next_quantity(now_ns))
        context = self._risk_context(lane, quote_ns, buying_power, now_ns)
        checked = self._count(check_entry(intent, context, instrument_state.limits), now_ns)
        if isinstance(checked, Approved):
            return EntryPlan(checked, slices)
        # Without buying power the quantity is zero: report the cause, not the symptom.
        short = checked is Reason.ZERO_QUANTITY and notional is None
        return Reason.BUYING_POWER if short else checked

    def plan_slice(self, lane: int, slices: ExecutionSchedule, now_ns: int) -> Approved | Reason:
        """Plans the next slice of an entry at the current price, through all checks."""
        if not self._portfolio.can_enter(lane):
            return Reason.NO_RATE
        instrument_state = self._instruments[lane]
        intent = self._entry_intent(lane, None, instrument_state.entry)
        intent = msgspec.structs.replace(intent, quantity=slices.next_quantity(now_ns))
        quote_ns = self._market.last_quote_ns(lane)
        context = self._risk_context(lane, quote_ns, self._funds.buying_power(lane), now_ns)
        return self._count(check_entry(intent, context, instrument_state.limits), now_ns)

    def plan_reprice(self, order: Order, now_ns: int) -> Decimal | None:
        """Returns the current limit for a resting entry, if it is another one and the checks would admit it."""
        lane = order.intent.lane
        instrument_state = self._instruments[lane]
        limit = self._entry_intent(lane, None, self._request_behind(order)).price
        if order.state not in RESTS or limit == order.intent.limit or not self._portfolio.can_enter(lane):
            return None
        intent = msgspec.structs.replace(order.intent, quantity=order.remaining, price=limit, limit=limit)
        reserved = self._portfolio.valued(order.reserved, lane)
        buying_power = add(self._funds.buying_power(lane), reserved)
        context = self._risk_context(lane, self._market.last_quote_ns(lane), buying_power, now_ns)
        # Check it as if it were not there yet: it must not count against its own limits or interval.
        context = msgspec.structs.replace(
            context,
            position_notional=subtract(context.position_notional, reserved),
            exposure=subtract(context.exposure, reserved),
            last_entry_ns=None,
        )
        checked = self._count(check_entry(intent, context, instrument_state.limits), now_ns)
        return limit if isinstance(checked, Approved) else None

    def _count(self, checked: Approved | Reason, now_ns: int) -> Approved | Reason:
        if isinstance(checked, Approved):
            self.order_rate.record(now_ns)
        return checked

    def _schedule_for(self, intent: Intent, instrument_state: InstrumentState, now_ns: int) -> Twap | None:
        """The TWAP schedule of an entry; None if it is sent whole."""
        terms = instrument_state.terms
        if terms.slices == 1 or not intent.quantity:
            return None
        return Twap.of(
            intent.quantity, terms.slices, terms.slices_ns, instrument_state.instrument.lot, now_ns
        )

    def _request_behind(self, order: Order) -> EntryRequest:
        """What asked for an entry; an adopted order may be on the other side than the last request."""
        entry = self._instruments[order.intent.lane].entry
        return entry if entry.side is order.intent.side else EntryRequest(order.intent.side)

    def _entry_intent(self, lane: int, notional: Decimal | None, request: EntryRequest) -> Intent:
        """An entry intent at the current prices; zero quantity without a notional."""
        instrument_state, quote = self._instruments[lane], self._market.quote(lane)
        instrument, terms = instrument_state.instrument, instrument_state.terms
        mid = (quote[0] + quote[1]) / 2.0
        take_profit, stop_loss, trail_from = instrument_state.exit_levels(mid, request)
        nearest = entry_limit(request.side, quote, terms.aggression_bps, instrument)
        limit, time_in_force = request.narrowed_limit(nearest, quote, instrument), terms.time_in_force
        if request.proposal:
            time_in_force = TimeInForce(request.proposal.time_in_force)
        # At the higher price: a wanted limit below must not buy more, one above not sell for more.
        price = self._portfolio.valued(max(nearest, limit), lane)
        quantity = quantity_for(notional, price, instrument.lot) if notional and price else ZERO
        ids = instrument_state.ids
        # More than 14 keywords would take 2 us more: CPython then makes a dict of them.
        return Intent(
            lane,
            instrument.symbol,
            side=request.side,
            purpose=ENTER,
            order_type=LIMIT,
            time_in_force=time_in_force,
            quantity=quantity,
            price=limit,
            limit=limit,
            reason=Reason.ENTRY.label,
            take_profit=take_profit,
            stop_loss=stop_loss,
            trail_from=trail_from,
            venue=ids.venue,
            account=ids.account,
            strategy=ids.strategy,
        )

    def _risk_context(self, lane: int, quote_ns: int, buying_power: Decimal, now_ns: int) -> RiskContext:
        """The figures for the risk checks of an entry."""
        instrument_state, (bid, ask) = self._instruments[lane], self._market.quote(lane)
        equity, exposure = self._portfolio.equity_and_exposure(self._funds.reserved())
        return RiskContext(
            now_ns=now_ns,
            quote_ns=quote_ns,
            mid=to_decimal((bid + ask) / 2.0),
            halted=self._state.halted,
            buying_power=buying_power,
            position_notional=add(self._portfolio.position_value(lane), self._funds.reserved_in(lane)),
            exposure=exposure,
            equity=equity,
            equity_at_midnight=self._portfolio.day_start_equity(),
            last_entry_ns=instrument_state.last_entry_ns,
            last_exit_ns=instrument_state.last_exit_ns,
            duplicate=bool(self._orders.exits_of(lane)),
            rate=self.order_rate,
            reducing=bool(self._state.causes),
            currency_rate=self._portfolio.rate(lane) if self._portfolio.rates else None,
        )

    # exits

    def plan_exit(self, lane: int, reason: str, now_ns: int) -> Approved | Reason:
        """Plans the order that closes the whole position: a long at the bid, a short at the ask."""
        instrument_state, held = self._instruments[lane], self._portfolio.position(lane).quantity
        size, price = held.copy_abs(), self._market.exit_price(lane, held)
        ids = instrument_state.ids
        intent = Intent(
            lane,
            instrument_state.instrument.symbol,
            side=SELL if held > ZERO else BUY,
            purpose=LEAVE,
            order_type=MARKET,
            time_in_force=IOC,
            quantity=size,
            price=price,
            limit=None,
            reason=reason,
            take_profit=np.inf,
            stop_loss=-np.inf,
            venue=ids.venue,
            account=ids.account,
            strategy=ids.strategy,
        )
        checked = check_exit(intent, held, duplicate=bool(self._orders.exits_of(lane)))
        # The venue would reject it at every quote. A later entry adds to the position and makes it large enough.
        if isinstance(checked, Approved) and instrument_state.instrument.is_dust(size, multiply(size, price)):
            return Reason.DUST
        return self._count(checked, now_ns)

"""The execution manager: orders, fills and positions, from the approved intent on.

It applies venue events, queries missing answers, reconciles the ledger, and halts or reduces entries.
"""

from collections.abc import Callable, Iterator
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from autohedge.config import Settings
from autohedge.core.events import (
    AccountState,
    Alert,
    AnyOutput,
    ConnectionStatus,
    ExecutionReport,
    ExternalChange,
    FillBooked,
    OrderAccepted,
    OrderAdopted,
    OrderEvent,
    OrderMassStatus,
    OrderNotFound,
    OrderRejected,
    OrderReplaced,
    QueryFills,
    RequestThrottled,
    RequestUnknown,
    VenueOrderStatus,
)
from autohedge.core.money import ZERO
from autohedge.core.orders import BUY, GTC, SELL, OrderState
from autohedge.core.timers import TimerQueue
from autohedge.core.units import NS_PER_DAY, NS_PER_MINUTE, NS_PER_S
from autohedge.execution.instrument_state import InstrumentState
from autohedge.execution.ledger import Ledger
from autohedge.execution.lost_orders import LostOrderIds
from autohedge.execution.orders import BUST, FILL, BookEffect, Order, OrderManager
from autohedge.execution.reconciliation import (
    CASH,
    RECONCILE,
    ExternalOrder,
    Reconciliation,
    ReconciliationPolicy,
    status_evidence,
)
from autohedge.execution.stats import RunStats
from autohedge.execution.tracking import LOOK, OrderTracker, QueryTimeouts, TimerKey
from autohedge.risk import Approved, Throttler
from autohedge.risk.state import ReduceCause, TradingState

EXTERNAL_ORDERS_MAX = 1_000  # bounds memory and alerts if a venue keeps reporting unknown ids
ERRORS = (OrderRejected, RequestUnknown, RequestThrottled)


class ExecutionManager:
    """The orders, positions and open questions of one account at one venue."""

    def __init__(
        self,
        settings: Settings,
        instruments: list[InstrumentState],
        timers: TimerQueue[TimerKey],
        emit: Callable[[AnyOutput], None],
        mark: Callable[[int], Decimal],
        new_halt_id: Callable[[], str],
    ) -> None:
        self._mark = mark
        self._new_halt_id = new_halt_id
        self.ledger = Ledger(settings.simulated.initial_cash)
        self.orders = OrderManager(emit, settings.simulated.fee_bps)
        self.state = TradingState(emit)
        self.stats = RunStats()
        self.instruments = instruments
        self.held: NDArray[np.float64] = np.zeros(len(instruments))
        self.holding = 0
        self.last_fill_ns = 0
        self.tracker = OrderTracker(QueryTimeouts.of(settings), self.orders, timers, emit)
        self.reconciliation = Reconciliation(ReconciliationPolicy.of(settings), timers, emit)
        self._timers = timers
        self._emit = emit
        self._lane_of = {
            instrument_state.instrument.symbol: lane for lane, instrument_state in enumerate(instruments)
        }
        self._moved_ns = [0] * len(instruments)
        self._errors = Throttler(settings.risk.max_errors_per_minute, NS_PER_MINUTE)
        execution = settings.execution
        expiry_ns = execution.limit_order_expiration_days * NS_PER_DAY
        self._rest_ns = min(round(execution.cancel_after_s * NS_PER_S), expiry_ns)
        self._reprice_ns = round(execution.reprice_after_s * NS_PER_S)
        self._lost_ids = LostOrderIds()
        self._external_orders: dict[str, ExternalOrder] = {}
        self.exits_wait = False
        self.on_fill: Callable[..., None] | None = None
        self.on_halt: Callable[[int], None] | None = None

    @property
    def has_exposure(self) -> bool:
        """Whether an order works or a position is held."""
        return bool(self.orders.working or self.holding)

    # requests

    def submit(self, approved: Approved, order_id: str, now_ns: int) -> None:
        """Submits an approved order and tracks it to its end."""
        order = self.orders.submit(approved, order_id, now_ns)
        self._moved_ns[order.intent.lane] = now_ns
        self.tracker.track(order, now_ns)
        if order.intent.time_in_force is GTC:
            self._timers.schedule(("cancel", order_id), now_ns + self._rest_ns)
            if self._reprice_ns:
                self._timers.schedule(("reprice", order_id), now_ns + self._reprice_ns)
        self.reconciliation.plan_next(now_ns)

    def cancel(self, order: Order | None, reason: str, now_ns: int) -> None:
        """Cancels an order if it may rest and no cancel was requested yet."""
        if order is not None and order.cancelable:
            self.orders.cancel(order, reason, now_ns)
            self.tracker.track(order, now_ns)

    def replace(self, order: Order, limit: Decimal, now_ns: int) -> None:
        """Requests another limit for a resting order."""
        self.orders.replace(order, limit, now_ns)
        self.tracker.track(order, now_ns)

    def halt(self, reason: str, halt_id: str | None, now_ns: int) -> None:
        """Halts entries and cancels resting ones, because a fill would add exposure."""
        self.state.halt(reason, halt_id)
        self.cancel_entries("entries halted", now_ns)
        for lane in range(len(self.instruments)):
            self.cancel_slices(lane)
        if self.on_halt:
            self.on_halt(now_ns)

    def _halt_automatically(self, reason: str, now_ns: int) -> None:
        self.halt(reason, self._new_halt_id(), now_ns)

    def cancel_entries(self, reason: str, now_ns: int, lane: int | None = None) -> None:
        """Cancels all resting entries, or those of one lane."""
        for order in self.orders.entries() if lane is None else self.orders.entries_of(lane):
            self.cancel(order, reason, now_ns)

    def cancel_slices(self, lane: int) -> None:
        """Drops the remaining slices of an entry that is sent in parts."""
        if self.instruments[lane].slices is not None:
            self.instruments[lane].slices = None
            self._timers.cancel(("slice", lane))

    def on_restart(self, nonce: str, seq: int, rows: int, now_ns: int) -> None:
        """Marks and queries every working order.

        The dead process may have passed `rows` more rows and sent orders whose ids derive from `nonce` and from
        `seq` on.
        """
        self._lost_ids.add(nonce, seq, rows)
        self.exits_wait = True  # an exit may be in flight whose journal line was lost
        self.reconcile(now_ns)
        self.tracker.restarted_ns = now_ns
        for order in list(self.orders.working.values()):
            self.orders.mark_unknown(order)
            self.tracker.track(order, now_ns)
            self.tracker.requery(order, now_ns)

    def reconcile(self, now_ns: int) -> None:
        """Starts a new reconciliation pass; the caller decides whether entries wait for its end."""
        self.reconciliation.abort()  # answers to queries from before an interruption prove nothing
        self.request_reconciliation(now_ns)

    def request_reconciliation(self, now_ns: int) -> None:
        """Sends the queries of a pass, or repeats those of an open one; later if the venue throttles."""
        if now_ns < self.tracker.hold_until_ns:
            self._timers.schedule(RECONCILE, self.tracker.hold_until_ns)
        else:
            self.reconciliation.request(now_ns, self.last_fill_ns)

    # events

    def on_order_event(self, answer: OrderEvent, now_ns: int) -> int:
        """Applies an event of one order; returns its lane, -1 for an unknown order."""
        self._count_error(answer, now_ns)
        order = self.orders.find(answer.order_id)
        if order is None:
            self._on_external_order(answer, now_ns)
            return -1
        self._apply(answer, order, now_ns)
        return order.intent.lane

    def _apply(self, answer: OrderEvent, order: Order, now_ns: int) -> None:
        lane, was_working, was_unknown = order.intent.lane, order.working, order.state is OrderState.UNKNOWN
        news = self.orders.apply(answer, order)
        if was_working or news:
            self._moved_ns[lane] = now_ns
        if isinstance(answer, ExecutionReport):
            self._on_report(answer, order, news, now_ns)
        match answer:
            case ExecutionReport() | OrderAccepted() | OrderReplaced():
                self.tracker.on_seen(order)
            case OrderNotFound():
                self.tracker.on_not_found(order, answer, now_ns)
            case RequestThrottled():
                self._on_throttled(order, answer, now_ns)
            case OrderRejected() if order.intent.side is SELL and was_working:
                self._on_exit_rejected(order, now_ns)
        self.tracker.track(order, now_ns)
        if was_unknown and order.state is OrderState.PENDING_CANCEL:  # it rests: the cancel was lost
            self.tracker.requery(order, now_ns)
        if was_working and order.intent.time_in_force is GTC and not order.working:
            self._timers.cancel(("cancel", order.id))
            self._timers.cancel(("reprice", order.id))
        self._clear_pending_exit(lane)

    def _on_report(self, report: ExecutionReport, order: Order, news: BookEffect, now_ns: int) -> None:
        if news:
            self._book_fill(order, report, news, now_ns)
        elif not order.working:  # a second report of its end may tell of more fills than the first
            self._query_missing_fills(order, report.filled or ZERO, now_ns)

    def _query_missing_fills(self, order: Order, filled: Decimal, now_ns: int) -> None:
        """Queries the fills of an order if the venue reports more of it `filled` than is known here."""
        if filled > order.executed:
            since_ns = max(order.sent_ns - self.reconciliation.policy.overlap_ns, 0)
            self._emit(QueryFills(now_ns, since_ns))

    def _book_fill(self, order: Order, report: ExecutionReport, news: BookEffect, now_ns: int) -> None:
        """Books one fill, or the reversal of a busted one."""
        lane, symbol = order.intent.lane, order.intent.symbol
        quantity, price, fee = order.trades[report.trade_id or ""]
        side = order.intent.side
        if news is BUST:  # the opposite trade, with the fee refunded
            side, fee = SELL if side is BUY else BUY, fee.copy_negate()
        realized = self.ledger.book_fill(symbol, side, quantity, price, fee)
        self.last_fill_ns = max(self.last_fill_ns, report.ts_ns)
        self._on_position_changed(lane, now_ns)
        if news is FILL:
            self._set_exit_levels(order, now_ns)
            self.stats.record_fill(order, report, realized)
        position = self.ledger.position(symbol)
        if self.on_fill and news is FILL:
            held, reason = position.quantity, order.intent.reason
            self.on_fill(lane, side, quantity, price, fee, realized, held, reason, now_ns)
        self._emit(
            FillBooked(order.id, position.quantity, position.cost, self.ledger.cash, self.ledger.realized)
        )

    def _on_position_changed(self, lane: int, now_ns: int) -> None:
        instrument_state = self.instruments[lane]
        quantity = self.ledger.position(instrument_state.instrument.symbol).quantity
        self.holding += bool(quantity) - bool(self.held[lane])
        grew = float(quantity) > self.held[lane]
        self.held[lane] = float(quantity)
        instrument_state.dust = False
        if quantity > ZERO:
            if grew:
                self._schedule_time_stop(lane, now_ns)
        elif not quantity:
            self._timers.cancel(("time_stop", lane))
            instrument_state.refused = 0
        else:
            text = f"{instrument_state.instrument.symbol}: position {quantity}, more sold than held"
            self._emit(Alert("short", instrument_state.instrument.symbol, text))
            self._halt_automatically(text, now_ns)

    def _set_exit_levels(self, order: Order, now_ns: int) -> None:
        """Sets the exit levels after a buy; after a sell stores its time."""
        intent, instrument_state = order.intent, self.instruments[order.intent.lane]
        if intent.side is BUY:
            instrument_state.set_exit_levels(intent.take_profit, intent.stop_loss, intent.trail_from)
        else:
            instrument_state.last_exit_ns = now_ns
            instrument_state.refused = 0

    def _clear_pending_exit(self, lane: int) -> None:
        """Forgets the exit that is to be repeated, once the lane is flat and no entry of it can still fill."""
        instrument_state = self.instruments[lane]
        done = instrument_state.pending_exit_reason and not self.held[lane]
        if done and not self.orders.entries_of(lane):
            instrument_state.pending_exit_reason = ""

    def _schedule_time_stop(self, lane: int, now_ns: int) -> None:
        until_ns = now_ns + self.instruments[lane].max_hold_ns  # 0 means no time stop
        if until_ns > now_ns and self._timers.deadline_ns(("time_stop", lane)) > until_ns:  # never later
            self._timers.schedule(("time_stop", lane), until_ns)

    def _on_throttled(self, order: Order, answer: RequestThrottled, now_ns: int) -> None:
        """Reduces and sends no queries until `answer.until_ns`; then resubmits an exit under its id."""
        self.tracker.hold_until(answer.until_ns)
        if answer.until_ns > now_ns:
            self.state.reduce(ReduceCause.THROTTLED)
            self._timers.schedule(("relieve", ReduceCause.THROTTLED), self.tracker.hold_until_ns)
        if answer.about == "submit" and order.state is OrderState.SUBMITTED:
            self._timers.schedule(("resend", order.id), self.tracker.hold_until_ns)

    def _on_exit_rejected(self, order: Order, now_ns: int) -> None:
        """Delays the next exit after a rejected one, so that it is not repeated at every quote."""
        instrument_state = self.instruments[order.intent.lane]
        self._timers.schedule(
            ("exit", order.intent.lane),
            now_ns + self.tracker.timeouts.query_pause_ns(instrument_state.refused),
        )
        instrument_state.refused += 1

    def _count_error(self, answer: OrderEvent, now_ns: int) -> None:
        if not isinstance(answer, ERRORS):
            return
        if not self._errors.has_room(now_ns) and not self.state.halted:
            self._halt_automatically("request error limit reached", now_ns)
        self._errors.record(now_ns)

    # orders that are not in the record

    def _on_external_order(self, answer: OrderEvent, now_ns: int) -> None:
        """Keeps the fills of an unknown order until the venue's list shows what it is."""
        if answer.order_id not in self._external_orders and len(self._external_orders) >= EXTERNAL_ORDERS_MAX:
            return
        external_order = self._external_orders.setdefault(answer.order_id, ExternalOrder([]))
        if isinstance(answer, ExecutionReport):
            external_order.fills.append(answer)
        if not external_order.alerted:
            external_order.alerted = True
            text = "the venue reported an order that this run did not send"
            self._emit(Alert("external_order", answer.order_id, text))
            self.reconcile(now_ns)

    def on_mass_status(self, answer: OrderMassStatus, now_ns: int) -> Iterator[int]:
        """Applies the venue's list of orders; yields the lanes whose state may have changed."""
        differences = 0
        for found in answer.orders:
            order = self.orders.find(found.order_id)
            if order is None:
                differences += self._reconcile_unknown(found, now_ns)
                yield self._lane_of.get(found.symbol, -1)
            elif self._reconcile_known(found, order, now_ns):
                differences += 1
                yield order.intent.lane
        for order in self.tracker.absent_in(answer):
            self.orders.prove_absent(order)
            self.tracker.track(order, now_ns)
            differences += 1
            yield order.intent.lane
        for external_order in self._external_orders.values():
            external_order.listed = True
        if self._on_reconciliation_part("orders", answer.asked_ns, differences, now_ns):
            yield from range(len(self.instruments))

    def _reconcile_known(self, found: VenueOrderStatus, order: Order, now_ns: int) -> bool:
        """Applies the listed status of a known order; returns whether its state changed."""
        before = order.state
        self._query_missing_fills(order, found.filled, now_ns)
        if evidence := status_evidence(found, order, now_ns):
            self._apply(evidence, order, now_ns)
        return order.state is not before

    def _reconcile_unknown(self, found: VenueOrderStatus, now_ns: int) -> int:
        """Adopts, alerts or halts for a listed order that is unknown here; returns the differences."""
        external_order = self._external_orders.setdefault(found.order_id, ExternalOrder([]))
        lane = self._lane_of.get(found.symbol)
        if lane is not None and found.order_id in self._lost_ids:
            self._adopt(found, lane, external_order, now_ns, lost=True)
            return 1
        if found.status != "open" or external_order.judged:
            return 0
        external_order.alerted = external_order.judged = True
        policy = self.reconciliation.policy.external
        if policy == "adopt" and lane is not None:
            self._adopt(found, lane, external_order, now_ns, lost=False)
            return 1
        text = f"{found.side} {found.quantity} {found.symbol}: external order"
        self._emit(Alert("external_order", found.order_id, text))
        if policy == "halt":
            self._halt_automatically(f"{found.symbol}: external order", now_ns)
        return 1

    def _adopt(
        self, found: VenueOrderStatus, lane: int, external_order: ExternalOrder, now_ns: int, *, lost: bool
    ) -> None:
        self._emit(OrderAdopted(found, "lost_intent" if lost else "external"))
        intent = self.instruments[lane].intent_of(found, lane, self._mark(lane))
        order = self.orders.adopt(found, intent, now_ns)
        del self._external_orders[found.order_id]
        # Fills first: the listed status may be an end, which counts once all of its fills are known.
        for fill in external_order.fills:
            self._apply(fill, order, now_ns)
        if found.time_in_force is GTC and lost:  # an external order keeps its own lifetime
            self._timers.schedule(("cancel", order.id), now_ns + self._rest_ns)
        self._reconcile_known(found, order, now_ns)
        self.tracker.track(order, now_ns)
        if order.intent.side is SELL:
            self.cancel_slices(lane)
        elif self.state.halted:
            self.cancel(order, "entries halted", now_ns)

    # positions and cash

    def on_account_state(self, answer: AccountState, now_ns: int) -> Iterator[int]:
        """Compares the ledger with the venue's account; yields the lanes that change."""
        differences = 0
        for subject, amount in list(  # adopting a difference changes what the generator reads
            self.reconciliation.confirmed_differences(answer, self.ledger, self._is_idle)
        ):
            differences += 1
            yield self._apply_external_change(subject, amount, now_ns)
        if self._on_reconciliation_part("account", answer.asked_ns, differences, now_ns):
            yield from range(len(self.instruments))

    def _is_idle(self, subject: str, since_ns: int) -> bool:
        """Whether no order works in a symbol and none moved since `since_ns`; for cash, in all symbols."""
        # An unknown order may be a lost one, until the venue's list shows what it is.
        if any(order.fills and not order.listed for order in self._external_orders.values()):
            return False
        lane = self._lane_of.get(subject)
        lanes = range(len(self.instruments)) if subject == CASH else [] if lane is None else [lane]
        busy = {order.intent.lane for order in self.orders.working.values()}
        return all(each not in busy and self._moved_ns[each] < since_ns for each in lanes)

    def _apply_external_change(self, subject: str, amount: Decimal, now_ns: int) -> int:
        """Adopts, alerts or halts for a difference that no order explains; returns its lane or -1."""
        policy = self.reconciliation.policy.external
        lane = self._lane_of.get(subject, -1)
        if policy == "adopt" and lane >= 0 and not self._mark(lane):  # no quote yet to value it
            self.reconciliation.defer(subject, amount, now_ns)
            return -1
        self._emit(ExternalChange("cash" if subject == CASH else "position", subject, amount, policy))
        if policy == "adopt" and subject == CASH:
            self.ledger.adjust_cash(amount)
        elif policy == "adopt" and lane >= 0:
            self.adopt_position(lane, amount, self._mark(lane), now_ns)
        else:
            self.reconciliation.acknowledge(subject, amount)
        if policy == "halt":
            self._halt_automatically(f"{subject or 'cash'} differs from the venue by {amount}", now_ns)
        return lane

    def adopt_position(self, lane: int, amount: Decimal, price: Decimal, now_ns: int) -> None:
        """Books a position change at `price` without cash; a new position gets exit levels from there."""
        instrument_state, was_flat = self.instruments[lane], self.held[lane] <= 0.0
        self.ledger.adjust_position(instrument_state.instrument.symbol, amount, price)
        self._on_position_changed(lane, now_ns)
        if was_flat:
            instrument_state.set_exit_levels(*instrument_state.exit_levels(float(price)))
        if amount < ZERO:  # someone else sells: this run buys no more slices
            self.cancel_slices(lane)
        self._clear_pending_exit(lane)

    def _on_reconciliation_part(self, what: str, requested_ns: int, differences: int, now_ns: int) -> bool:
        """Notes one part of the pass; returns whether the pass is complete and exits waited for it."""
        if not self.reconciliation.on_part(
            what, requested_ns, differences, now_ns, at_stake=self.has_exposure
        ):
            return False
        self.state.clear(ReduceCause.RECONCILING)
        waited, self.exits_wait = self.exits_wait, False
        return waited

    def on_connection(self, answer: ConnectionStatus, now_ns: int) -> None:
        """Reduces while the connection is down; reconciles and queries working orders when it is up."""
        if answer.state == "up":
            for cause in (ReduceCause.LINK, ReduceCause.MAINTENANCE):
                self.state.clear(cause)
            self.state.reduce(ReduceCause.RECONCILING)
            self.reconcile(now_ns)
            for order in list(self.orders.working.values()):
                self.tracker.requery(order, now_ns)
            return
        self.state.reduce(ReduceCause.LINK if answer.state == "down" else ReduceCause.MAINTENANCE)

    # timers

    def query_order(self, order_id: str, now_ns: int) -> int:
        """Queries an order; halts entries if that is of no avail for too long. Returns its lane or -1."""
        order = self.orders.working.get(order_id)
        if order is None or ("resend", order_id) in self._timers:  # throttled: sent again, not queried
            return -1
        self.tracker.query(order, now_ns)
        reason = self.tracker.halt_reason(order, now_ns)
        if reason and not self.state.halted:
            self._halt_automatically(reason, now_ns)
        return order.intent.lane

    def resubmit(self, order_id: str, now_ns: int) -> None:
        """Sends a throttled exit again under its id; the venue did not process the first request."""
        order = self.orders.working.get(order_id)
        if order is None or order.state is not OrderState.SUBMITTED or order.command is None:
            return
        if now_ns < self.tracker.hold_until_ns:
            self._timers.schedule(("resend", order_id), self.tracker.hold_until_ns)
            return
        intent = order.intent
        held = self.ledger.position(intent.symbol).quantity
        if intent.quantity > held or len(self.orders.exits_of(intent.lane)) > 1:
            # Meanwhile an adopted exit or another account sold: ended only by proof, then the rest is sold.
            self.orders.mark_unknown(order)
            self.tracker.track(order, now_ns)
            return
        self._emit(order.command)
        order.sent_ns = now_ns
        self._timers.schedule((LOOK, order_id), now_ns + self.tracker.timeouts.ack_ns)

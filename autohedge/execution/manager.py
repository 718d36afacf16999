"""The execution manager: orders, fills and positions, from the approved intent on.

It applies venue events, queries missing answers, reconciles the ledger, and halts or reduces entries.
"""

from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal

from autohedge.config import Settings
from autohedge.core.accounts import ONE
from autohedge.core.events import (
    AccountState,
    Alert,
    AnyOutput,
    ConnectionStatus,
    ExecutionReport,
    ExternalChange,
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
from autohedge.core.money import ZERO, add, multiply
from autohedge.core.orders import BUY, ENTER, GTC, LEAVE, SELL, OrderState, closable
from autohedge.core.timers import TimerQueue
from autohedge.core.units import NS_PER_MINUTE
from autohedge.execution.applied import NOTHING, Adjustment, Applied
from autohedge.execution.entry_request import LONG, SHORT
from autohedge.execution.instrument_state import InstrumentState
from autohedge.execution.orders import BUST, FILL, BookEffect, Order, OrderManager
from autohedge.execution.portfolio import Portfolio, PositionChange
from autohedge.execution.reconciler import Adopt, External, Known, Lost, Missing, Reconciler
from autohedge.execution.reconciliation import (
    RECONCILE,
    Reconciliation,
    ReconciliationPolicy,
    Subject,
    status_evidence,
)
from autohedge.execution.sides import SideRules, crossed_alert
from autohedge.execution.tracking import LOOK, OrderTracker, QueryTimeouts, TimerKey
from autohedge.risk import Approved, Throttler
from autohedge.risk.state import ReduceCause, TradingState

ERRORS = (OrderRejected, RequestUnknown, RequestThrottled)


class ExecutionManager:
    """The orders and open questions of one account at one venue.

    The caller takes each `Applied` into account and then calls `follow_up` with it, before it goes on.
    `touched` has the lanes whose orders, position or exits may have changed, until the engine has published them.
    """

    def __init__(
        self,
        settings: Settings,
        instruments: list[InstrumentState],
        portfolio: Portfolio,
        timers: TimerQueue[TimerKey],
        emit: Callable[[AnyOutput], None],
    ) -> None:
        self.instruments, self.portfolio = instruments, portfolio
        self.orders = OrderManager(emit, settings.account.fee_bps_max)
        self.state = TradingState(emit)
        self.touched: set[int] = set()
        self.last_fill_ns = 0
        policy, symbols = ReconciliationPolicy.of(settings), [each.instrument.symbol for each in instruments]
        self.tracker = OrderTracker(QueryTimeouts.of(settings), self.orders, timers, emit)
        self.reconciliation = Reconciliation(policy, timers, emit)
        self.reconciler = Reconciler(policy.external, symbols, self.orders, self.tracker)
        self._timers = timers
        self._emit = emit
        self._lane_of = {symbol: lane for lane, symbol in enumerate(symbols)}
        self._moved_ns = [0] * len(instruments)
        self.errors = Throttler(settings.risk.max_errors_per_minute, NS_PER_MINUTE)
        self.exits_wait = False
        self._sides = SideRules(settings)

    @property
    def has_exposure(self) -> bool:
        """Whether an order works or a position is held."""
        return bool(self.orders.working or self.portfolio.holding)

    # requests

    def submit(self, approved: Approved, order_id: str, now_ns: int) -> None:
        """Submits an approved order and tracks it to its end."""
        order = self.orders.submit(approved, order_id, now_ns)
        lane = order.intent.lane
        self._moved_ns[lane] = now_ns
        self.touched.add(lane)
        self.tracker.track(order, now_ns)
        if order.intent.time_in_force is GTC:
            terms = self.instruments[lane].terms
            self._timers.schedule(("cancel", order_id), now_ns + terms.rest_ns)
            if terms.reprice_ns:
                self._timers.schedule(("reprice", order_id), now_ns + terms.reprice_ns)
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
        self.reconciler.lost_ids.add(nonce, seq, rows)
        self.exits_wait = True  # an exit may be in flight whose journal line was lost
        self._touch_all()
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

    def _touch_all(self) -> None:
        self.touched.update(range(len(self.instruments)))

    # events of one order

    def count_error(self, event: OrderEvent, now_ns: int) -> bool:
        """Counts an event that reports an error; returns whether entries must halt because of their number."""
        if not isinstance(event, ERRORS):
            return False
        reached = not self.errors.has_room(now_ns)
        self.errors.record(now_ns)
        return reached

    def apply(self, event: OrderEvent, now_ns: int) -> Applied:
        """Applies an event to its order and books its fill."""
        if order := self.orders.find(event.order_id):
            return self._apply(event, order, now_ns)
        if self.reconciler.on_unknown_order(event):
            text = "the venue reported an order that this run did not send"
            self._emit(Alert("external_order", event.order_id, text))
            self.reconcile(now_ns)
        return NOTHING

    def _apply(self, event: OrderEvent, order: Order, now_ns: int) -> Applied:
        lane, was_working, was_unknown = order.intent.lane, order.working, order.state is OrderState.UNKNOWN
        effect = self.orders.apply(event, order)
        if was_working or effect:
            self._moved_ns[lane] = now_ns
        self.touched.add(lane)
        change, halt_reason = None, ""
        if isinstance(event, ExecutionReport):
            if effect:
                change = self._book(order, event, effect, now_ns)
                if change.held and self._has_crossed(order, change, effect):
                    halt_reason = self._alert_crossed(lane)
            elif not order.working:  # a second report of its end may tell of more fills than the first
                self._query_missing_fills(order, event.filled or ZERO, now_ns)
        return Applied(event, order, change, effect is FILL, was_working, was_unknown, halt_reason)

    def _query_missing_fills(self, order: Order, filled: Decimal, now_ns: int) -> None:
        """Queries the fills of an order if the venue reports more of it `filled` than is known here."""
        if filled > order.executed:
            since_ns = max(order.sent_ns - self.reconciliation.policy.overlap_ns, 0)
            self._emit(QueryFills(now_ns, since_ns))

    def _book(self, order: Order, report: ExecutionReport, effect: BookEffect, now_ns: int) -> PositionChange:
        """Books one fill, or the reversal of a busted one."""
        lane, side = order.intent.lane, order.intent.side
        trade = order.trades[report.trade_id or ""]
        if effect is BUST:  # the opposite trade, with the fee refunded
            side = SELL if side is BUY else BUY
            trade = trade._replace(fee=trade.fee.copy_negate())
        change = self.portfolio.book(lane, side, trade, report.ts_ns)
        if trade.fee_currency is not None and not self.portfolio.knows(trade.fee_currency):
            text = f"its fee of {trade.fee} {trade.fee_currency} has no rate: no result counts it"
            self._emit(Alert("no_rate", order.id, text))
        self.last_fill_ns = max(self.last_fill_ns, report.ts_ns)
        self._on_position_changed(lane, change.held, now_ns, grew=change.grew)
        if effect is FILL:
            self._set_exit_levels(order, now_ns)
        return change

    def _on_position_changed(self, lane: int, held: Decimal, now_ns: int, *, grew: bool) -> None:
        instrument_state = self.instruments[lane]
        instrument_state.dust = False
        if self.portfolio.is_open(lane):
            if grew:
                self._schedule_time_stop(lane, now_ns)
        elif not held:
            self._timers.cancel(("time_stop", lane))
            instrument_state.refused = 0

    def _has_crossed(self, order: Order, change: PositionChange, effect: BookEffect) -> bool:
        leaves = order.intent.reduce_only is not (effect is BUST)  # the bust of an entry leaves
        return self._sides.crossed(change.held, change.side, leaves=leaves)

    def _alert_crossed(self, lane: int) -> str:
        """Alerts that more was closed than was held; returns why entries must halt."""
        symbol = self.instruments[lane].instrument.symbol
        code, text = crossed_alert(symbol, self.portfolio.position(lane).quantity)
        self._emit(Alert(code, symbol, text))
        return text

    def _set_exit_levels(self, order: Order, now_ns: int) -> None:
        """Sets the exit levels after an entry; after an exit stores its time."""
        intent, instrument_state = order.intent, self.instruments[order.intent.lane]
        if intent.purpose is ENTER:
            instrument_state.set_exit_levels(intent.take_profit, intent.stop_loss, intent.trail_from)
        else:
            instrument_state.last_exit_ns = now_ns
            instrument_state.refused = 0

    def _schedule_time_stop(self, lane: int, now_ns: int) -> None:
        until_ns = now_ns + self.instruments[lane].hold_ns  # 0 means no time stop
        if until_ns > now_ns and self._timers.deadline_ns(("time_stop", lane)) > until_ns:  # never later
            self._timers.schedule(("time_stop", lane), until_ns)

    def follow_up(self, applied: Applied, now_ns: int) -> None:
        """Sends the queries and sets the timers that an applied event calls for."""
        event, order = applied.event, applied.order
        if event is None or order is None:
            return
        match event:
            case ExecutionReport() | OrderAccepted() | OrderReplaced():
                self.tracker.on_seen(order)
            case OrderNotFound():
                self.tracker.on_not_found(order, event, now_ns)
            case RequestThrottled():
                self._on_throttled(order, event, now_ns)
            case OrderRejected() if order.intent.purpose is LEAVE and applied.was_working:
                self._on_exit_rejected(order, now_ns)
        self.tracker.track(order, now_ns)
        if applied.was_unknown and order.state is OrderState.PENDING_CANCEL:  # it rests: the cancel was lost
            self.tracker.requery(order, now_ns)
        if applied.was_working and order.intent.time_in_force is GTC and not order.working:
            self._timers.cancel(("cancel", order.id))
            self._timers.cancel(("reprice", order.id))
        self._clear_pending_exit(order.intent.lane)

    def _clear_pending_exit(self, lane: int) -> None:
        """Forgets the exit that is to be repeated, once the lane is flat and no entry of it can still fill."""
        instrument_state = self.instruments[lane]
        done = instrument_state.pending_exit_reason and not self.portfolio.held[lane]
        if done and not self.orders.entries_of(lane):
            instrument_state.pending_exit_reason = ""

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

    # reconciliation

    def on_mass_status(self, listed: OrderMassStatus, now_ns: int) -> Iterator[Applied]:
        """Applies the venue's list of orders; yields fills of adopted orders and reasons to halt."""
        differences = 0
        for finding in self.reconciler.compare(listed):
            match finding:
                case Known(found, order):
                    differences += self._apply_listed_status(found, order, now_ns)
                    continue
                case Lost() | Adopt():
                    yield from self._adopt(finding, now_ns)
                case External(found, halts):
                    text = f"{found.side} {found.quantity} {found.symbol}: external order"
                    self._emit(Alert("external_order", found.order_id, text))
                    if halts:
                        yield Applied(halt_reason=f"{found.symbol}: external order")
                case Missing(order):
                    self.orders.prove_absent(order)
                    self.tracker.track(order, now_ns)
                    self.touched.add(order.intent.lane)
            differences += 1
        self._on_reconciliation_part("orders", listed.asked_ns, differences, now_ns)

    def _apply_listed_status(self, found: VenueOrderStatus, order: Order, now_ns: int) -> bool:
        """Applies the listed status of an order; returns whether its state changed."""
        before = order.state
        self._query_missing_fills(order, found.filled, now_ns)
        if evidence := status_evidence(found, order, now_ns):  # never a fill, so nothing is booked
            self.follow_up(self._apply(evidence, order, now_ns), now_ns)
        return order.state is not before

    def _adopt(self, finding: Lost | Adopt, now_ns: int) -> Iterator[Applied]:
        found, lane = finding.found, finding.lane
        is_lost = isinstance(finding, Lost)
        purpose = self._sides.purpose_of(found.side, self.portfolio.position(lane).quantity)
        strategy = self.instruments[lane].ids.strategy
        self._emit(OrderAdopted(found, "lost_intent" if is_lost else "external", purpose, strategy))
        self._begin_adopted(lane)
        intent = self.instruments[lane].intent_of(found, purpose, lane, self.portfolio.market.mark(lane))
        order = self.orders.adopt(found, intent, now_ns)
        self.touched.add(lane)
        # Fills first: the listed status may be an end, which counts once all of its fills are known.
        for fill in finding.fills:
            yield self._apply(fill, order, now_ns)
        if found.time_in_force is GTC and is_lost:  # an external order keeps its own lifetime
            self._timers.schedule(("cancel", order.id), now_ns + self.instruments[lane].terms.rest_ns)
        self._apply_listed_status(found, order, now_ns)
        self.tracker.track(order, now_ns)
        if purpose is LEAVE:
            self.cancel_slices(lane)
        elif self.state.halted:
            self.cancel(order, "entries halted", now_ns)

    def _begin_adopted(self, lane: int) -> None:
        """Gives what is adopted the terms that the settings have now, unless an entry's are in use."""
        instrument_state = self.instruments[lane]
        in_use = self.portfolio.held[lane] or self.orders.entries_of(lane) or instrument_state.slices
        if not in_use:
            instrument_state.begin_entry()

    def on_account_state(self, account: AccountState, now_ns: int) -> Iterator[Applied]:
        """Compares the ledger with the venue's account; yields what came of each difference."""
        confirmed = self.reconciliation.confirmed_differences(account, self.portfolio.ledger, self._is_idle)
        differences = list(confirmed)  # adopting a difference changes what the generator reads
        for subject, amount in differences:
            yield self._apply_external_change(account, subject, amount, now_ns)
        self._on_reconciliation_part("account", account.asked_ns, len(differences), now_ns)

    def _is_idle(self, subject: Subject, since_ns: int) -> bool:
        """Whether no order works in a symbol and none moved since `since_ns`; for cash, in all symbols."""
        if self.reconciler.has_unlisted_fills:
            return False
        lane = self._lane_of.get(subject.name)
        lanes: Iterable[int] = [] if lane is None else [lane]
        lanes = range(len(self.instruments)) if subject.kind == "cash" else lanes
        busy = {order.intent.lane for order in self.orders.working.values()}
        return all(each not in busy and self._moved_ns[each] < since_ns for each in lanes)

    def _apply_external_change(
        self, account: AccountState, subject: Subject, amount: Decimal, now_ns: int
    ) -> Applied:
        """Adopts, alerts or halts for a difference that no order explains."""
        policy = self.reconciliation.policy.external
        adopts = policy == "adopt" and self._is_known(subject)
        price = self._price_of(subject, amount) if adopts else ZERO
        if adopts and not price:  # no quote yet to value it
            self.reconciliation.defer(subject, amount, now_ns)
            return NOTHING
        names = account.venue, account.account
        self._emit(ExternalChange(subject.kind, subject.name, amount, policy, *names))
        if adopts:
            return self._adopt_difference(subject, amount, price, now_ns)
        self.reconciliation.acknowledge(subject, amount)
        text = f"{subject} differs from the venue by {amount}" if policy == "halt" else ""
        return Applied(halt_reason=text)

    def _is_known(self, subject: Subject) -> bool:
        """Whether this run trades a symbol, or may hold a currency."""
        is_cash = subject.kind == "cash"
        return self.portfolio.knows(subject.name) if is_cash else subject.name in self._lane_of

    def _price_of(self, subject: Subject, amount: Decimal) -> Decimal:
        """The price at which a difference is adopted, 1 for cash; zero before the first quote that values it."""
        portfolio = self.portfolio
        if subject.kind == "cash":
            return ONE if portfolio.converts(subject.name) else ZERO
        lane = self._lane_of[subject.name]
        held = portfolio.position(lane).quantity
        price = portfolio.market.exit_price(lane, add(held, amount) or held)
        return price if portfolio.converts(portfolio.currency(lane)) else ZERO

    def _adopt_difference(self, subject: Subject, amount: Decimal, price: Decimal, now_ns: int) -> Applied:
        if subject.kind == "cash":
            self.portfolio.adopt_cash(subject.name, amount)
            return Applied(adjustment=Adjustment(-1, amount, subject.name))
        lane = self._lane_of[subject.name]
        reason = self.adopt_position(lane, amount, price, now_ns)
        return Applied(halt_reason=reason, adjustment=Adjustment(lane, amount, self.portfolio.currency(lane)))

    def adopt_position(self, lane: int, amount: Decimal, price: Decimal, now_ns: int) -> str:
        """Books a position change at `price` without cash; a new position gets exit levels from there.

        Returns why entries must halt, empty if they need not.
        """
        instrument_state, before = self.instruments[lane], self.portfolio.position(lane).quantity
        self._begin_adopted(lane)
        grew = self.portfolio.adopt_position(lane, amount, price)
        held = self.portfolio.position(lane).quantity
        self._on_position_changed(lane, held, now_ns, grew=grew)
        self.touched.add(lane)
        if multiply(before, held) <= ZERO:  # it was flat, or on the other side
            side = SHORT if held < ZERO else LONG
            instrument_state.set_exit_levels(*instrument_state.exit_levels(float(price), side))
        # Someone else trades against the slices of this run: no more of them.
        if closable(amount, instrument_state.entry.side) > ZERO:
            self.cancel_slices(lane)
        self._clear_pending_exit(lane)
        return self._alert_crossed(lane) if held < ZERO and not self.portfolio.covered else ""

    def _on_reconciliation_part(self, what: str, requested_ns: int, differences: int, now_ns: int) -> None:
        """Notes one part of the pass; with the last one, entries and exits need not wait any more."""
        if not self.reconciliation.on_part(
            what, requested_ns, differences, now_ns, at_stake=self.has_exposure
        ):
            return
        self.state.clear(ReduceCause.RECONCILING)
        if self.exits_wait:
            self.exits_wait = False
            self._touch_all()

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

    def query_order(self, order_id: str, now_ns: int) -> str:
        """Queries an order; returns why entries must halt if that is of no avail for too long, else empty."""
        order = self.orders.working.get(order_id)
        if order is None or ("resend", order_id) in self._timers:  # throttled: sent again, not queried
            return ""
        self.tracker.query(order, now_ns)
        self.touched.add(order.intent.lane)
        return self.tracker.halt_reason(order, now_ns)

    def resubmit(self, order_id: str, now_ns: int) -> None:
        """Sends a throttled exit again under its id; the venue did not process the first request."""
        order = self.orders.working.get(order_id)
        if order is None or order.state is not OrderState.SUBMITTED or order.command is None:
            return
        if now_ns < self.tracker.hold_until_ns:
            self._timers.schedule(("resend", order_id), self.tracker.hold_until_ns)
            return
        intent = order.intent
        available = closable(self.portfolio.position(intent.lane).quantity, intent.side)
        if intent.quantity > available or len(self.orders.exits_of(intent.lane)) > 1:
            # Meanwhile an adopted exit or another account closed: ended only by proof, then the rest is closed.
            self.orders.mark_unknown(order)
            self.tracker.track(order, now_ns)
            return
        self._emit(order.command)
        order.sent_ns = now_ns
        self._timers.schedule((LOOK, order_id), now_ns + self.tracker.timeouts.ack_ns)

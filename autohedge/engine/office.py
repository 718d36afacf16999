"""The back office: orders, books and the venue's word, from the command on.

It takes every answer, asks where one is missing, holds the books against the venue's, and says
when the account may not take entries. What to trade is not its business.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from autohedge.config import Settings
from autohedge.core.agenda import Agenda
from autohedge.core.events import (
    Accepted,
    Account,
    Adopted,
    Alarm,
    AnyOutput,
    Booked,
    External,
    Link,
    NotFound,
    OrderAnswer,
    OrderList,
    QueryFills,
    Rejected,
    Replaced,
    Report,
    Throttled,
    Unknown,
    VenueOrder,
)
from autohedge.core.ids import derive
from autohedge.core.money import ZERO
from autohedge.core.orders import BUY, GTC, SELL, Intent, OrderState, Side
from autohedge.engine.desk import Desk
from autohedge.engine.result import Tally
from autohedge.execution.inquiry import LOOK, NS_PER_S, Inquiry, Matter, Patience
from autohedge.execution.ledger import Ledger
from autohedge.execution.orders import BUST, FILL, News, Order, OrderManager
from autohedge.execution.reconciliation import CASH, PASS, Reconciliation, Terms
from autohedge.risk import Approved, Rate
from autohedge.risk.state import Cause, TradingState

LOST_IDS_MAX = 2_000
STRANGERS_MAX = 1_000
DAY_NS = 86_400 * NS_PER_S
ERRORS = (Rejected, Unknown, Throttled)
MINUTE_NS = 60 * NS_PER_S


@dataclass(slots=True)
class _Stranger:
    """An order id that is not ours so far, and the fills that were told of it."""

    fills: list[Report]
    told: bool = False
    judged: bool = False


class Office:
    """All that is owed, held and in doubt at one venue, for one account."""

    def __init__(
        self,
        settings: Settings,
        desks: list[Desk],
        agenda: Agenda[Matter],
        emit: Callable[[AnyOutput], None],
        mark: Callable[[int], Decimal],
        new_halt_id: Callable[[], str],
    ) -> None:
        self._mark = mark
        self._new_halt_id = new_halt_id
        self.ledger = Ledger(settings.simulated.initial_cash)
        self.orders = OrderManager(emit, settings.simulated.fee_bps)
        self.state = TradingState(emit)
        self.tally = Tally()
        self.desks = desks
        self.held: NDArray[np.float64] = np.zeros(len(desks))
        self.holding = 0
        self.last_fill_ns = 0
        self.inquiry = Inquiry(Patience.of(settings), self.orders, agenda, emit)
        self.reconciliation = Reconciliation(Terms.of(settings), agenda, emit)
        self._agenda = agenda
        self._emit = emit
        self._lane_of = {desk.instrument.symbol: lane for lane, desk in enumerate(desks)}
        self._moved_ns = [0] * len(desks)
        self._errors = Rate(settings.risk.max_errors_per_minute, MINUTE_NS)
        self._unknown_ns = round(settings.risk.unknown_halt_s * NS_PER_S)
        execution = settings.execution
        expiry_ns = execution.limit_order_expiration_days * DAY_NS
        self._rest_ns = min(round(execution.cancel_after_s * NS_PER_S), expiry_ns)
        self._reprice_ns = round(execution.reprice_after_s * NS_PER_S)
        self._lost_from: list[tuple[str, int]] = []
        self._lost_ids: set[str] = set()
        self._strangers: dict[str, _Stranger] = {}
        self.exits_wait = False
        self.on_fill: Callable[..., None] | None = None
        self.on_halt: Callable[[int], None] | None = None

    @property
    def at_stake(self) -> bool:
        """Whether anything works or is held."""
        return bool(self.orders.working or self.holding)

    # what goes out

    def submit(self, approved: Approved, order_id: str, now_ns: int) -> None:
        """Send an approved order and watch it to its end."""
        order = self.orders.submit(approved, order_id, now_ns)
        self._moved_ns[order.intent.lane] = now_ns
        self.inquiry.watch(order, now_ns)
        if order.intent.time_in_force is GTC:
            self._agenda.put(("cancel", order_id), now_ns + self._rest_ns)
            if self._reprice_ns:
                self._agenda.put(("reprice", order_id), now_ns + self._reprice_ns)
        self.reconciliation.again(now_ns)

    def cancel(self, order: Order | None, reason: str, now_ns: int) -> None:
        """Take an order back, if it may rest and no one has asked yet."""
        if order is not None and order.cancelable:
            self.orders.cancel(order, reason, now_ns)
            self.inquiry.watch(order, now_ns)

    def replace(self, order: Order, limit: Decimal, now_ns: int) -> None:
        """Ask for another limit of a resting order."""
        self.orders.replace(order, limit, now_ns)
        self.inquiry.watch(order, now_ns)

    def halt(self, reason: str, halt_id: str | None, now_ns: int) -> None:
        """No entry from here on; those that rest are asked back, for a fill would add exposure."""
        self.state.halt(reason, halt_id)
        self.take_back("entries were halted", now_ns)
        if self.on_halt:
            self.on_halt(now_ns)

    def _stop(self, reason: str, now_ns: int) -> None:
        self.halt(reason, self._new_halt_id(), now_ns)

    def take_back(self, reason: str, now_ns: int) -> None:
        """Ask all resting entries back."""
        for order in self.orders.entries():
            self.cancel(order, reason, now_ns)

    def restart(self, nonce: str, seq: int, now_ns: int) -> None:
        """Take nothing for granted: every order is unknown until the venue speaks.

        Orders of `nonce` from `seq` on may live at the venue without a line in the record: until its
        list is in, exits wait too, for one may be under way already.
        """
        self._lost_from.append((nonce, seq))
        self.exits_wait = True
        self.reconcile(now_ns)
        for order in list(self.orders.working.values()):
            self.orders.lose(order)
            self.inquiry.watch(order, now_ns)
            self.inquiry.look(order, now_ns)

    def reconcile(self, now_ns: int) -> None:
        """Begin a pass; at the start, and after an interruption, entries wait for its end."""
        self.reconciliation.give_up()
        self.ask(now_ns)

    def ask(self, now_ns: int) -> None:
        """Ask what a pass needs, or what is missing of the one under way, unless the venue wants rest."""
        if now_ns < self.inquiry.hold_until_ns:
            self._agenda.put(PASS, self.inquiry.hold_until_ns)
        else:
            self.reconciliation.ask(now_ns, self.last_fill_ns)

    # what comes in

    def answered(self, answer: OrderAnswer, now_ns: int) -> int:
        """Take an answer about one order; return the lane that it concerns, -1 if none."""
        self._count_error(answer, now_ns)
        order = self.orders.find(answer.order_id)
        if order is None:
            self._strange(answer, now_ns)
            return -1
        self._take(answer, order, now_ns)
        return order.intent.lane

    def _take(self, answer: OrderAnswer, order: Order, now_ns: int) -> None:
        lane, was_working = order.intent.lane, order.working
        news = self.orders.apply(answer, order)
        if was_working or news:
            self._moved_ns[lane] = now_ns
        if news and isinstance(answer, Report):
            self._book(order, answer, news, now_ns)
        match answer:
            case Report() | Accepted() | Replaced():
                self.inquiry.shown(order)
            case NotFound():
                self.inquiry.denied(order, answer, now_ns)
            case Throttled():
                self._throttled(order, answer, now_ns)
            case Rejected() if order.intent.side is SELL and was_working:
                self._refused_exit(order, now_ns)
        self.inquiry.watch(order, now_ns)
        if was_working and order.intent.time_in_force is GTC and not order.working:
            self._agenda.drop(("cancel", order.id))
            self._agenda.drop(("reprice", order.id))

    def _book(self, order: Order, report: Report, news: News, now_ns: int) -> None:
        """Bring the books up to one fill, or to one that was taken back."""
        lane, symbol = order.intent.lane, order.intent.symbol
        quantity, price, fee = order.trades[report.trade_id or ""]
        side = order.intent.side
        if news is BUST:
            side, fee = SELL if side is BUY else BUY, fee.copy_negate()
        realized = self.ledger.book(symbol, side, quantity, price, fee)
        self.last_fill_ns = max(self.last_fill_ns, report.ts_ns)
        self._held_changed(lane, now_ns)
        self._guard(order, now_ns)
        if news is FILL:
            self.tally.fill(order, report, realized)
        position = self.ledger.position(symbol)
        if self.on_fill and news is FILL:
            held, reason = position.quantity, order.intent.reason
            self.on_fill(lane, side, quantity, price, fee, realized, held, reason, now_ns)
        self._emit(Booked(order.id, position.quantity, position.cost, self.ledger.cash, self.ledger.realized))

    def _held_changed(self, lane: int, now_ns: int) -> None:
        desk = self.desks[lane]
        quantity = self.ledger.position(desk.instrument.symbol).quantity
        self.holding += bool(quantity) - bool(self.held[lane])
        self.held[lane] = float(quantity)
        desk.dust = False
        if desk.max_hold_ns and not quantity:
            self._agenda.drop(("time_stop", lane))
        if quantity < ZERO:
            text = f"{quantity} {desk.instrument.symbol}: more was sold than was held"
            self._emit(Alarm("short", desk.instrument.symbol, text))
            self._stop(text, now_ns)

    def _guard(self, order: Order, now_ns: int) -> None:
        """Set what guards the position that an entry brought; remember when it was left."""
        desk, lane = self.desks[order.intent.lane], order.intent.lane
        if order.intent.side is BUY:
            desk.take_profit, desk.stop_loss = order.intent.take_profit, order.intent.stop_loss
            desk.trail_from = order.intent.trail_from
            self._time(lane, now_ns)
        else:
            desk.last_exit_ns = now_ns
            desk.refused = 0
            desk.leaving = desk.leaving if self.held[lane] else ""

    def _time(self, lane: int, now_ns: int) -> None:
        until_ns = now_ns + self.desks[lane].max_hold_ns
        if until_ns > now_ns and self._agenda.due_ns(("time_stop", lane)) > until_ns:
            self._agenda.put(("time_stop", lane), until_ns)

    def _throttled(self, order: Order, answer: Throttled, now_ns: int) -> None:
        """Be still until the venue listens again; an exit is sent again then, under its id."""
        self.inquiry.hold(answer.until_ns)
        if answer.until_ns > now_ns:
            self.state.reduce(Cause.THROTTLED)
            self._agenda.put(("relieve", Cause.THROTTLED), self.inquiry.hold_until_ns)
        if answer.about == "submit" and order.state is OrderState.SUBMITTED:
            self._agenda.put(("resend", order.id), self.inquiry.hold_until_ns)

    def _refused_exit(self, order: Order, now_ns: int) -> None:
        """An exit that the venue refused is tried again, but not at every quote."""
        desk = self.desks[order.intent.lane]
        self._agenda.put(("exit", order.intent.lane), now_ns + self.inquiry.patience.pause_ns(desk.refused))
        desk.refused += 1

    def _count_error(self, answer: OrderAnswer, now_ns: int) -> None:
        if not isinstance(answer, ERRORS):
            return
        if not self._errors.allows(now_ns) and not self.state.halted:
            self._stop("the venue refuses or loses too many requests", now_ns)
        self._errors.take(now_ns)

    # orders that the record does not know

    def _strange(self, answer: OrderAnswer, now_ns: int) -> None:
        """Keep what is told of an unknown order until the venue's list says what it is."""
        if answer.order_id not in self._strangers and len(self._strangers) >= STRANGERS_MAX:
            return
        stranger = self._strangers.setdefault(answer.order_id, _Stranger([]))
        if isinstance(answer, Report):
            stranger.fills.append(answer)
        if not stranger.told:
            stranger.told = True
            self._emit(
                Alarm("unknown_order", answer.order_id, "the venue speaks of an order that is not ours")
            )
            self.reconcile(now_ns)

    def listed(self, answer: OrderList, now_ns: int) -> Iterator[int]:
        """Take the venue's list of orders; give the lanes that it concerns."""
        differences = 0
        for found in answer.orders:
            order = self.orders.find(found.order_id)
            if order is None:
                differences += self._meet(found, now_ns)
            elif self._agree(found, order, now_ns):
                differences += 1
                yield order.intent.lane
        for order in self.inquiry.missing_from(answer):
            self.orders.prove_absent(order)
            self.inquiry.watch(order, now_ns)
            differences += 1
            yield order.intent.lane
        if self._heard("orders", answer.asked_ns, differences, now_ns):
            yield from range(len(self.desks))

    def _agree(self, found: VenueOrder, order: Order, now_ns: int) -> bool:
        """Take what the list says of an order of ours; say whether it was news."""
        before = order.state
        if found.filled > order.executed:
            since_ns = max(order.sent_ns - self.reconciliation.terms.overlap_ns, 0)
            self._emit(QueryFills(now_ns, since_ns))
        if evidence := _evidence(found, order, now_ns):
            self._take(evidence, order, now_ns)
        return order.state is not before

    def _meet(self, found: VenueOrder, now_ns: int) -> int:
        """An order at the venue that we do not know: lost from our record, or another's."""
        stranger = self._strangers.setdefault(found.order_id, _Stranger([]))
        lane = self._lane_of.get(found.symbol)
        if lane is not None and self._is_ours(found.order_id):
            self._adopt(found, lane, stranger, now_ns, lost=True)
            return 1
        if found.status != "open" or stranger.judged:
            return 0
        stranger.told = stranger.judged = True
        policy = self.reconciliation.terms.policy
        if policy == "adopt" and lane is not None:
            self._adopt(found, lane, stranger, now_ns, lost=False)
            return 1
        text = f"{found.side} {found.quantity} {found.symbol}: not an order of this run"
        self._emit(Alarm("external_order", found.order_id, text))
        if policy == "halt":
            self._stop(f"{found.symbol}: an order of someone else", now_ns)
        return 1

    def _is_ours(self, order_id: str) -> bool:
        """Whether an id derives from a nonce of ours, at a place that the record may have lost."""
        while self._lost_from:
            nonce, first = self._lost_from.pop()
            self._lost_ids.update(derive(nonce, seq) for seq in range(first, first + LOST_IDS_MAX))
        return order_id in self._lost_ids

    def _adopt(self, found: VenueOrder, lane: int, stranger: _Stranger, now_ns: int, *, lost: bool) -> None:
        self._emit(Adopted(found, "lost_intent" if lost else "external"))
        order = self.orders.adopt(found, _intent_of(found, lane, self.desks[lane], self._mark(lane)), now_ns)
        del self._strangers[found.order_id]
        for fill in stranger.fills:
            self._take(fill, order, now_ns)
        if found.time_in_force is GTC and lost:
            self._agenda.put(("cancel", order.id), now_ns + self._rest_ns)
        self._agree(found, order, now_ns)
        self.inquiry.watch(order, now_ns)

    # positions and cash

    def account(self, answer: Account, now_ns: int) -> Iterator[int]:
        """Hold the books against the venue's account; give the lanes that change."""
        differences = 0
        for subject, amount in list(self.reconciliation.unexplained(answer, self.ledger, self._rests)):
            differences += 1
            yield self._external(subject, amount, now_ns)
        if self._heard("account", answer.asked_ns, differences, now_ns):
            yield from range(len(self.desks))

    def _rests(self, subject: str, since_ns: int) -> bool:
        """Whether nothing of ours works in a symbol, or has moved since then; cash: in any."""
        lane = self._lane_of.get(subject)
        lanes = range(len(self.desks)) if subject == CASH else [] if lane is None else [lane]
        busy = {order.intent.lane for order in self.orders.working.values()}
        return all(each not in busy and self._moved_ns[each] < since_ns for each in lanes)

    def _external(self, subject: str, amount: Decimal, now_ns: int) -> int:
        """Deal with what no order of ours explains, as the settings say."""
        policy = self.reconciliation.terms.policy
        lane = self._lane_of.get(subject, -1)
        if policy == "adopt" and lane >= 0 and not self._mark(lane):
            self.reconciliation.wait_for_price(subject, amount, now_ns)
            return -1
        self._emit(External("cash" if subject == CASH else "position", subject, amount, policy))
        if policy == "adopt" and subject == CASH:
            self.ledger.take_cash(amount)
        elif policy == "adopt" and lane >= 0:
            self.take_over(lane, amount, self._mark(lane), now_ns)
        else:
            self.reconciliation.told(subject, amount)
        if policy == "halt":
            self._stop(f"{subject or 'cash'} differs from the venue's by {amount}", now_ns)
        return lane

    def take_over(self, lane: int, amount: Decimal, price: Decimal, now_ns: int) -> None:
        """Hold what the venue holds, as bought at `price`, without cash; what was flat is guarded from there on."""
        desk, was_flat = self.desks[lane], not self.held[lane]
        self.ledger.take_over(desk.instrument.symbol, amount, price)
        self._held_changed(lane, now_ns)
        if was_flat:
            guards = desk.guards(float(price))
            desk.take_profit, desk.stop_loss, desk.trail_from = guards
            self._time(lane, now_ns)

    def _heard(self, what: str, asked_ns: int, differences: int, now_ns: int) -> bool:
        """A part of the pass is in; say whether exits that waited for all of it may go."""
        if not self.reconciliation.heard(what, asked_ns, differences, now_ns, at_stake=self.at_stake):
            return False
        self.state.relieve(Cause.RECONCILING)
        waited, self.exits_wait = self.exits_wait, False
        return waited

    def link(self, answer: Link, now_ns: int) -> None:
        """The connection went, or came: what was said meanwhile is asked for."""
        if answer.state == "up":
            for cause in (Cause.LINK, Cause.MAINTENANCE):
                self.state.relieve(cause)
            self.state.reduce(Cause.RECONCILING)
            self.reconcile(now_ns)
            for order in list(self.orders.working.values()):
                self.inquiry.look(order, now_ns)
            return
        self.state.reduce(Cause.LINK if answer.state == "down" else Cause.MAINTENANCE)

    # what is due

    def look(self, order_id: str, now_ns: int) -> int:
        """Look after an order in doubt; one that stays unknown too long halts entries."""
        order = self.orders.working.get(order_id)
        if order is None or ("resend", order_id) in self._agenda:
            return -1
        self.inquiry.look(order, now_ns)
        since_ns = self.inquiry.in_doubt_since(order)
        if since_ns is not None and now_ns - since_ns >= self._unknown_ns and not self.state.halted:
            if order.intent.side is SELL:
                self._emit(Alarm("exit_unknown", order.id, "whether the position was sold is not known"))
            self._stop(f"the fate of order {order.id} is not known", now_ns)
        return order.intent.lane

    def resend(self, order_id: str, now_ns: int) -> None:
        """Send an order once more under its id: the venue has not looked at it."""
        order = self.orders.working.get(order_id)
        if order is None or order.state is not OrderState.SUBMITTED or order.sent is None:
            return
        if now_ns < self.inquiry.hold_until_ns:
            self._agenda.put(("resend", order_id), self.inquiry.hold_until_ns)
            return
        self._emit(order.sent)
        order.sent_ns = now_ns
        self._agenda.put((LOOK, order_id), now_ns + self.inquiry.patience.ack_ns)


def _evidence(found: VenueOrder, order: Order, now_ns: int) -> OrderAnswer | None:
    """What a line of the venue's list proves; None where it says nothing new."""
    if found.status == "open":
        known = order.state not in (OrderState.SUBMITTED, OrderState.UNKNOWN, OrderState.NOT_PLACED)
        return None if known else Accepted(now_ns, found.order_id, "listed")
    if not order.working or found.status == "filled":
        return None
    if found.status == "rejected":
        return Rejected(now_ns, found.order_id, "listed as rejected")
    return Report(now_ns, found.order_id, found.status, now_ns, filled=found.filled)


def _intent_of(found: VenueOrder, lane: int, desk: Desk, mark: Decimal) -> Intent:
    """The intent of an adopted order, as far as the venue's list tells; its guards are today's."""
    price = found.limit or mark
    take_profit, stop_loss, trail_from = desk.guards(float(price))
    return Intent(
        lane=lane,
        symbol=found.symbol,
        side=Side(found.side),
        order_type=found.order_type,
        time_in_force=found.time_in_force,
        quantity=found.quantity,
        price=price,
        limit=found.limit,
        reason="adopted",
        take_profit=take_profit,
        stop_loss=stop_loss,
        trail_from=trail_from,
    )

"""The order manager: working orders, the money that they reserve, and the effect of each venue event.

An order's state follows from the set of events, not from their order of arrival. Fills are counted by trade
id, a known end stays, and a bust that arrives before its fill cancels it.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from enum import IntEnum, unique
from functools import reduce
from typing import NamedTuple

import msgspec

from autohedge.core.errors import Corrupt
from autohedge.core.events import (
    Alert,
    AnyOutput,
    CancelOrder,
    ChangeRejected,
    ExecutionReport,
    OrderAccepted,
    OrderEvent,
    OrderNotFound,
    OrderOverfilled,
    OrderRejected,
    OrderReplaced,
    ReplaceOrder,
    RequestThrottled,
    RequestUnknown,
    SubmitOrder,
    VenueOrderStatus,
)
from autohedge.core.money import ZERO, add, multiply, subtract, with_fee
from autohedge.core.orders import (
    ENTER,
    FINAL,
    GTC,
    LEAVE,
    TRANSITIONS,
    Intent,
    OrderState,
    OrderTrigger,
    transition,
)
from autohedge.risk import Approved

REMEMBERED_MAX = 10_000

_FILL_PART, _FILL_REST, _SUBMIT = OrderTrigger.FILL_PART, OrderTrigger.FILL_REST, OrderTrigger.SUBMIT
_OPEN, _PARTIAL, _SUBMITTED = OrderState.OPEN, OrderState.PARTIAL, OrderState.SUBMITTED
_RESTS = frozenset({_OPEN, _PARTIAL})


class Trade(NamedTuple):
    """One fill; the fee is in the quote currency if `fee_currency` is None."""

    quantity: Decimal
    price: Decimal
    fee: Decimal
    fee_currency: str | None = None


@unique
class BookEffect(IntEnum):
    """The effect of an event on the ledger."""

    NONE = 0
    FILL = 1
    BUST = 2


NONE, FILL, BUST = BookEffect


@dataclass(slots=True)
class Order:
    """One order: its intent, its state and its fills.

    `executed` sums all fills, busted ones too, and decides the state; `filled` sums the fills that stand in
    the ledger. `pending_replace` is the requested new limit and total quantity, `superseded` has the versions
    that later ones have replaced. `reported_end` is an end that
    the venue reported with the quantity filled until then; it takes effect once those fills have arrived.
    """

    id: str
    intent: Intent
    command: SubmitOrder | None = None
    sent_ns: int = 0
    state: OrderState = OrderState.INTENT
    filled: Decimal = ZERO
    executed: Decimal = ZERO
    reserved: Decimal = ZERO
    accepted: bool = False
    cancel_requested_ns: int | None = None
    pending_replace: tuple[Decimal, Decimal] | None = None
    superseded: frozenset[tuple[Decimal, Decimal]] = frozenset()
    reported_end: tuple[OrderTrigger, Decimal] | None = None
    trades: dict[str, Trade] = field(default_factory=dict)
    busted: frozenset[str] = frozenset()

    @property
    def remaining(self) -> Decimal:
        """The quantity that may still fill."""
        return subtract(self.intent.quantity, self.executed)

    @property
    def working(self) -> bool:
        """Whether the order may still fill, as far as is known."""
        return self.state not in FINAL

    @property
    def cancel_requested(self) -> bool:
        """Whether a cancel was requested, answered or not."""
        return self.cancel_requested_ns is not None

    @property
    def cancel_unanswered(self) -> bool:
        """Whether a cancel was requested and the venue has not reported how the order ended."""
        return self.cancel_requested and self.working and self.reported_end is None

    @property
    def cancelable(self) -> bool:
        """Whether a cancel makes sense: the order may rest and no cancel was requested yet."""
        rests = self.intent.time_in_force is GTC
        return rests and not self.cancel_requested and OrderTrigger.REQUEST_CANCEL in TRANSITIONS[self.state]

    def open_notional(self) -> Decimal:
        """The money that this order may still spend, before fees."""
        if not self.working or self.intent.purpose is LEAVE:
            return ZERO
        spends = multiply(max(self.remaining, ZERO), self.intent.worst_price)
        if self.pending_replace is None:
            return spends
        # Until the venue answers, either version of the order may be the live one: reserve the dearer.
        limit, quantity = self.pending_replace
        return max(spends, multiply(max(subtract(quantity, self.executed), ZERO), limit))


class OrderManager:
    """All orders of the account; the last `REMEMBERED_MAX` finished ones are kept for late events."""

    def __init__(self, emit: Callable[[AnyOutput], None], fee_bps: Decimal = ZERO) -> None:
        self._emit = emit
        self._fee_bps = fee_bps
        self.working: dict[str, Order] = {}
        self.reserved = ZERO
        self.expired = 0
        # Per lane all working orders of that purpose, oldest first: an adopted order comes beside one of this run.
        self._entries: dict[int, tuple[Order, ...]] = {}
        self._exits: dict[int, tuple[Order, ...]] = {}
        self._finished: OrderedDict[str, Order] = OrderedDict()

    def entries_of(self, lane: int) -> tuple[Order, ...]:
        """The working entries of a lane, oldest first."""
        return self._entries.get(lane, ())

    def exits_of(self, lane: int) -> tuple[Order, ...]:
        """The working exits of a lane, oldest first."""
        return self._exits.get(lane, ())

    @property
    def lanes_with_entries(self) -> list[int]:
        """The lanes that have a working entry."""
        return [lane for lane, orders in self._entries.items() if orders]

    def reserved_in(self, lane: int) -> Decimal:
        """The money that the lane's working entries may still spend, fees included."""
        return reduce(add, [order.reserved for order in self.entries_of(lane)], ZERO)

    def entries(self) -> list[Order]:
        """All working entries, oldest first."""
        return [order for order in self.working.values() if order.intent.purpose is ENTER]

    def find(self, order_id: str) -> Order | None:
        """A working order, or one that finished recently; None for an unknown id."""
        return self.working.get(order_id) or self._finished.get(order_id)

    # requests

    def submit(self, approved: Approved, order_id: str, at_ns: int) -> Order:
        """Turns an approved intent into an order and emits its `SubmitOrder`."""
        intent = approved.intent
        order = Order(order_id, intent, sent_ns=at_ns)
        order.state = transition(order.state, _SUBMIT)
        self._add(order)
        is_entry = intent.purpose is ENTER
        order.command = SubmitOrder(
            at_ns,
            order_id,
            symbol=intent.symbol,
            side=intent.side,
            purpose=intent.purpose,
            order_type=intent.order_type,
            time_in_force=intent.time_in_force,
            quantity=intent.quantity,
            limit=intent.limit,
            reason=intent.reason,
            take_profit=intent.take_profit if is_entry else None,
            stop_loss=intent.stop_loss if is_entry else None,
            venue=intent.venue,
            account=intent.account,
            strategy=intent.strategy,
        )
        self._emit(order.command)
        return order

    def cancel(self, order: Order, reason: str, at_ns: int) -> None:
        """Requests a cancel; the order keeps working until the venue reports its end."""
        order.state = transition(order.state, OrderTrigger.REQUEST_CANCEL)
        order.cancel_requested_ns = at_ns
        self._emit(CancelOrder(at_ns=at_ns, order_id=order.id, reason=reason))

    def replace(self, order: Order, limit: Decimal, at_ns: int) -> None:
        """Requests another limit; until the venue answers, the dearer of both is reserved."""
        order.state = transition(order.state, OrderTrigger.REQUEST_REPLACE)
        order.pending_replace = (limit, order.intent.quantity)
        self._reserve(order)
        self._emit(ReplaceOrder(at_ns, order.id, limit, order.intent.quantity))

    def mark_unknown(self, order: Order) -> None:
        """Marks the state of an order unknown; it stays working and keeps its reservation."""
        order.state = transition(order.state, OrderTrigger.LOSE_ANSWER)

    def adopt(self, found: VenueOrderStatus, intent: Intent, at_ns: int) -> Order:
        """Takes over an order found at the venue; its fills are still to be reported."""
        order = Order(found.order_id, intent, sent_ns=at_ns, state=OrderState.UNKNOWN)
        self._add(order)
        return order

    def prove_absent(self, order: Order) -> None:
        """Ends an order that is proven absent at the venue, and releases what it reserved."""
        if order.accepted or order.executed:
            self._alarm("vanished", order.id, "the venue had this order and does not know it any more")
            order.state = transition(order.state, OrderTrigger.CANCEL)
        else:
            order.state = transition(order.state, OrderTrigger.PROVE_ABSENT)
        self._release(order)

    # venue events

    def apply(self, answer: OrderEvent, order: Order) -> BookEffect:
        """Applies a venue event to its order; returns the effect on the ledger.

        Raises Corrupt for an impossible fill, IllegalTransition where the state table has no edge.
        """
        news = self._apply_event(order, answer)
        # An end counts once its fills are here; until then the order stays unknown, whatever else arrives.
        if order.reported_end and (order.executed >= order.reported_end[1] or not order.working):
            self._apply_proven(order, order.reported_end[0])
        elif order.reported_end and order.working:
            self.mark_unknown(order)
        if order.state is _OPEN and order.executed > ZERO:  # accepted after its first fill
            order.state = _PARTIAL
        if order.cancel_requested and order.state in _RESTS:  # a cancel request outlives a lost answer
            order.state = transition(order.state, OrderTrigger.REQUEST_CANCEL)
        self._release(order)
        return news

    def _release(self, order: Order) -> None:
        self._reserve(order)
        if not order.working:
            self._finish(order)

    def _reserve(self, order: Order) -> None:
        """Updates the money reserved for an entry, fees included."""
        if order.intent.purpose is ENTER:
            money = with_fee(order.open_notional(), self._fee_bps)
            self.reserved = add(self.reserved, subtract(money, order.reserved))
            order.reserved = money

    def _apply_event(self, order: Order, answer: OrderEvent) -> BookEffect:
        match answer:
            case ExecutionReport(kind="fill"):
                return self._on_fill(order, answer)
            case ExecutionReport(kind="bust"):
                return self._on_bust(order, answer)
            case OrderAccepted():
                self._on_accepted(order)
            case OrderRejected():
                order.state = transition(order.state, OrderTrigger.REJECT)
            case RequestUnknown() | RequestThrottled():
                self._on_unknown(order, answer)
            case OrderReplaced():
                self._on_replaced(order, answer)
            case ChangeRejected():
                self._on_change_rejected(order)
            case ExecutionReport():
                self._on_end(order, answer)
            case OrderNotFound():
                pass  # absence takes more than one answer: see OrderTracker
        return NONE

    def _apply_proven(self, order: Order, event: OrderTrigger) -> None:
        order.accepted = True
        order.state = transition(order.state, event)

    def _on_end(self, order: Order, report: ExecutionReport) -> None:
        """Ends an order; if reports of fills are missing, keeps the end until they have arrived."""
        event = OrderTrigger.CANCEL if report.kind == "canceled" else OrderTrigger.EXPIRE
        filled = report.filled or ZERO
        if order.reported_end:  # of two reported ends, "canceled" and the larger quantity hold
            event = event if order.reported_end[0] is OrderTrigger.EXPIRE else order.reported_end[0]
            filled = max(filled, order.reported_end[1])
        if order.working and filled > order.executed:
            # Ended now, an exit would be sold again in full although part of it has filled.
            order.reported_end, order.accepted = (event, filled), True
            self.mark_unknown(order)
            return
        self.expired += event is OrderTrigger.EXPIRE and order.working and order.executed == ZERO
        self._apply_proven(order, event)

    def _on_accepted(self, order: Order) -> None:
        if order.state is OrderState.NOT_PLACED:
            self._alarm(
                "alive", order.id, "the venue has an order that was treated as absent; it is being cancelled"
            )
            self._emit(CancelOrder(order.sent_ns, order.id, "treated as absent before"))
        self._apply_proven(order, OrderTrigger.ACCEPT)

    def _on_unknown(self, order: Order, answer: RequestUnknown | RequestThrottled) -> None:
        """Applies a lost or throttled request; it changes only an order that was just submitted."""
        if answer.about != "submit" or order.state is not _SUBMITTED:
            return
        if isinstance(answer, RequestUnknown):
            self.mark_unknown(order)
        elif order.intent.purpose is ENTER:  # a throttled entry is dropped; an exit is sent again later
            order.state = transition(order.state, OrderTrigger.REJECT)

    def _on_replaced(self, order: Order, answer: OrderReplaced) -> None:
        version, before = (answer.limit, answer.quantity), (order.intent.worst_price, order.intent.quantity)
        is_known, answers = version in order.superseded, order.pending_replace in (None, version)
        if is_known and version != order.pending_replace:
            return  # the answer to an earlier request is repeated
        order.superseded = (order.superseded | {before}) - {version}
        order.intent = msgspec.structs.replace(
            order.intent, limit=answer.limit, price=answer.limit, quantity=answer.quantity
        )
        if answers:
            # Asked for twice: it may answer the first request, so what was in force until now may still be.
            order.pending_replace = before if is_known else None
            self._apply_proven(order, OrderTrigger.REPLACE)

    def _on_change_rejected(self, order: Order) -> None:
        # With a cancel requested too, the refusal may be that of the cancel: keep reserving for both limits.
        order.pending_replace = order.pending_replace if order.cancel_requested else None
        order.state = transition(order.state, OrderTrigger.REFUSE_CHANGE)

    def _on_fill(self, order: Order, report: ExecutionReport) -> BookEffect:
        trade = _trade_of(order, report)
        trade_id = report.trade_id or ""
        known = order.trades.get(trade_id)
        if known is not None:
            if known != trade:
                self._alarm(
                    "fill_changed", order.id, f"trade {trade_id} was reported again with other figures"
                )
            return NONE
        order.trades[trade_id] = trade
        order.accepted = True
        order.executed = add(order.executed, trade.quantity)
        over = subtract(order.executed, order.intent.quantity)
        order.state = transition(order.state, _FILL_REST if over >= ZERO else _FILL_PART)
        if over > ZERO:
            self._emit(OrderOverfilled(order.id, min(over, trade.quantity)))
        if trade_id in order.busted:  # its bust arrived first
            return NONE
        order.filled = add(order.filled, trade.quantity)
        return FILL

    def _on_bust(self, order: Order, report: ExecutionReport) -> BookEffect:
        trade_id = report.trade_id or ""
        if trade_id in order.busted:
            return NONE
        order.busted |= {trade_id}
        self._alarm("bust", order.id, f"the venue busted trade {trade_id}")
        trade = order.trades.get(trade_id)
        if trade is None:  # its fill has not arrived yet
            return NONE
        order.filled = subtract(order.filled, trade.quantity)
        return BUST

    def _alarm(self, code: str, order_id: str, text: str) -> None:
        self._emit(Alert(code, order_id, text))

    def _add(self, order: Order) -> None:
        self.working[order.id] = order
        orders, lane = self._orders_like(order.intent), order.intent.lane
        orders[lane] = (*orders.get(lane, ()), order)
        self._reserve(order)

    def _orders_like(self, intent: Intent) -> dict[int, tuple[Order, ...]]:
        """The working orders of the intent's purpose, by lane."""
        return self._entries if intent.purpose is ENTER else self._exits

    def _finish(self, order: Order) -> None:
        if self.working.pop(order.id, None) is None:
            return
        orders_of, lane = self._orders_like(order.intent), order.intent.lane
        orders = orders_of[lane]
        orders_of[lane] = () if len(orders) == 1 else tuple(other for other in orders if other is not order)
        self._finished[order.id] = order
        if len(self._finished) > REMEMBERED_MAX:
            self._finished.popitem(last=False)


def _trade_of(order: Order, report: ExecutionReport) -> Trade:
    if not report.trade_id or not _positive(report.quantity) or not _positive(report.price):
        msg = f"the venue reports an impossible fill of order {order.id}: {report}"
        raise Corrupt(msg)
    return Trade(report.quantity or ZERO, report.price or ZERO, report.fee or ZERO, report.fee_currency)


def _positive(amount: Decimal | None) -> bool:
    return amount is not None and amount.is_finite() and amount > ZERO

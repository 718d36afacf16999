"""The order manager: what is working, what it reserves, what each venue answer means for it."""

from collections import OrderedDict
from dataclasses import dataclass, field
from decimal import Decimal

from autohedge.core.errors import Corrupt
from autohedge.core.events import (
    Accepted,
    Answer,
    CancelOrder,
    Command,
    NotFound,
    QueryOrder,
    Rejected,
    Report,
    SubmitOrder,
    Unknown,
)
from autohedge.core.money import ZERO, add, multiply, subtract, with_fee
from autohedge.core.orders import (
    BUY,
    FINAL,
    GTC,
    SELL,
    TRANSITIONS,
    Intent,
    OrderEvent,
    OrderState,
    after,
)
from autohedge.risk import Approved

REMEMBERED_MAX = 1_000

_FILL_PART, _FILL_REST, _SUBMIT = OrderEvent.FILL_PART, OrderEvent.FILL_REST, OrderEvent.SUBMIT
_OPEN, _PARTIAL = OrderState.OPEN, OrderState.PARTIAL
_RESTS = frozenset({_OPEN, _PARTIAL})


@dataclass(slots=True)
class Order:
    """One order: its intent, its state, and the fills that prove how far it got."""

    id: str
    intent: Intent
    state: OrderState = OrderState.INTENT
    filled: Decimal = ZERO
    reserved: Decimal = ZERO
    asked_back: bool = False
    trades: set[str] = field(default_factory=set)

    @property
    def remaining(self) -> Decimal:
        """What may still fill."""
        return subtract(self.intent.quantity, self.filled)

    @property
    def working(self) -> bool:
        """Whether the order may still fill, as far as anyone knows."""
        return self.state not in FINAL

    @property
    def cancelable(self) -> bool:
        """Whether asking for it back makes sense: it may rest, and no one has asked yet."""
        rests = self.intent.time_in_force is GTC
        return rests and OrderEvent.REQUEST_CANCEL in TRANSITIONS[self.state]

    def may_spend(self) -> Decimal:
        """Money that this order may still spend before fees, as far as anyone knows."""
        if not self.working or self.intent.side is SELL:
            return ZERO
        return multiply(max(self.remaining, ZERO), self.intent.worst_price)


class OrderManager:
    """All orders of the account; finished ones are remembered for late answers, up to a bound."""

    def __init__(self, fee_bps: Decimal = ZERO) -> None:
        self._fee_bps = fee_bps
        self.working: dict[str, Order] = {}
        self.reserved = ZERO
        self.expired = 0
        self._entries: dict[int, Order] = {}
        self._exits: dict[int, Order] = {}
        self._finished: OrderedDict[str, Order] = OrderedDict()

    def entry(self, lane: int) -> Order | None:
        """The working entry of a lane."""
        return self._entries.get(lane)

    def exit(self, lane: int) -> Order | None:
        """The working exit of a lane."""
        return self._exits.get(lane)

    def reserved_in(self, lane: int) -> Decimal:
        """Money that the lane's working entry may still spend."""
        order = self._entries.get(lane)
        return order.reserved if order else ZERO

    def submit(self, approved: Approved, order_id: str, at_ns: int) -> SubmitOrder:
        """Turn an approved intent into an order and the command that places it."""
        intent = approved.intent
        order = Order(order_id, intent)
        order.state = after(order.state, _SUBMIT)
        self.working[order_id] = order
        self._side(intent)[intent.lane] = order
        self._reserve(order)
        guards = intent.side is BUY
        return SubmitOrder(
            at_ns=at_ns,
            order_id=order_id,
            symbol=intent.symbol,
            side=intent.side,
            order_type=intent.order_type,
            time_in_force=intent.time_in_force,
            quantity=intent.quantity,
            limit=intent.limit,
            reason=intent.reason,
            take_profit=intent.take_profit if guards else None,
            stop_loss=intent.stop_loss if guards else None,
        )

    def cancel(self, order: Order, reason: str, at_ns: int) -> CancelOrder:
        """Ask for an order back; it stays working until the venue says it is gone."""
        order.state = after(order.state, OrderEvent.REQUEST_CANCEL)
        order.asked_back = True
        return CancelOrder(at_ns=at_ns, order_id=order.id, reason=reason)

    def entries(self) -> list[Order]:
        """All working entries, oldest first."""
        return list(self._entries.values())

    def doubt(self, at_ns: int) -> list[Command]:
        """After a restart nothing about working orders is certain: ask for each, take back again.

        Whether a cancel that was journaled ever left is unknown too; asking twice does no harm.
        """
        commands: list[Command] = []
        for order in self.working.values():
            order.state = after(order.state, OrderEvent.LOSE_ANSWER)
            commands.append(QueryOrder(at_ns, order.id))
            if order.asked_back:
                commands.append(self.cancel(order, "asked again after a restart", at_ns))
        return commands

    def apply(self, answer: Answer) -> tuple[Order, bool]:
        """Apply a venue's answer; return its order, and whether it brought a new fill.

        Raises Corrupt for an order that this run never sent, IllegalTransition where the answer
        contradicts what is known.
        """
        order = self._find(answer.order_id)
        fresh = self._advance(order, answer)
        if order.state is _OPEN and order.filled > ZERO:
            order.state = _PARTIAL
        if order.asked_back and order.state in _RESTS:
            order.state = after(order.state, OrderEvent.REQUEST_CANCEL)
        self._reserve(order)
        if not order.working:
            self._finish(order)
        return order, fresh

    def _reserve(self, order: Order) -> None:
        """Bring the money reserved for an order, fees included, up to date."""
        if order.intent.side is BUY:
            money = with_fee(order.may_spend(), self._fee_bps)
            self.reserved = add(self.reserved, subtract(money, order.reserved))
            order.reserved = money

    def _find(self, order_id: str) -> Order:
        order = self.working.get(order_id) or self._finished.get(order_id)
        if order is None:
            msg = f"the venue answers for order {order_id}, which this run never sent"
            raise Corrupt(msg)
        return order

    def _advance(self, order: Order, answer: Answer) -> bool:
        match answer:
            case Report(kind="fill"):
                return self._fill(order, answer)
            case Accepted():
                order.state = after(order.state, OrderEvent.ACCEPT)
            case Rejected():
                order.state = after(order.state, OrderEvent.REJECT)
            case Unknown():
                order.state = after(order.state, OrderEvent.LOSE_ANSWER)
            case NotFound():
                self._prove_absent(order)
            case Report(kind="canceled"):
                order.state = after(order.state, OrderEvent.CANCEL)
            case Report():
                self.expired += order.working and order.filled == ZERO
                order.state = after(order.state, OrderEvent.EXPIRE)
        return False

    def _prove_absent(self, order: Order) -> None:
        if order.filled > ZERO:
            msg = f"the venue does not know order {order.id}, of which it reported fills"
            raise Corrupt(msg)
        order.state = after(order.state, OrderEvent.PROVE_ABSENT)

    def _fill(self, order: Order, report: Report) -> bool:
        if report.trade_id is None or not all(map(_positive, (report.quantity, report.price))):
            msg = f"the venue reports an impossible fill of order {order.id}: {report}"
            raise Corrupt(msg)
        if report.trade_id in order.trades:
            return False
        order.trades.add(report.trade_id)
        order.filled = add(order.filled, report.quantity or ZERO)
        done = order.filled >= order.intent.quantity
        order.state = after(order.state, _FILL_REST if done else _FILL_PART)
        return True

    def _side(self, intent: Intent) -> dict[int, Order]:
        return self._entries if intent.side is BUY else self._exits

    def _finish(self, order: Order) -> None:
        if self.working.pop(order.id, None) is None:
            return
        if self._side(order.intent).get(order.intent.lane) is order:
            del self._side(order.intent)[order.intent.lane]
        self._finished[order.id] = order
        if len(self._finished) > REMEMBERED_MAX:
            self._finished.popitem(last=False)


def _positive(amount: Decimal | None) -> bool:
    return amount is not None and amount.is_finite() and amount > 0

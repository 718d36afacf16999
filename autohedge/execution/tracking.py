"""What the venue owes an answer to: when to ask, how often, and when silence proves absence.

Nothing here waits: each question that is still to be asked is a time on the engine's agenda. A
venue may not see an order for a while that it has taken, so one "not found" proves nothing: it
must be said again to a question asked beyond the venue's visibility lag, and then the order must
be missing from the list of open and recent orders, too.
"""

from collections.abc import Callable
from dataclasses import dataclass

from autohedge.config import Settings
from autohedge.core.events import (
    AnyOutput,
    CancelOrder,
    OrderMassStatus,
    OrderNotFound,
    QueryOpenOrders,
    QueryOrder,
)
from autohedge.core.orders import OrderState
from autohedge.core.timers import TimerQueue
from autohedge.core.units import NS_PER_S
from autohedge.execution.orders import Order, OrderManager

LOOK = "look"
CANCELS_MAX = 10
PATIENT_TRIES = 20
TimerKey = tuple[str, str | int]

_S = OrderState
_RESTS = frozenset({_S.OPEN, _S.PARTIAL})


@dataclass(frozen=True, slots=True)
class QueryTimeouts:
    """How long an answer may take, in ns."""

    ack_ns: int
    backoff_ns: int
    backoff_max_ns: int
    visibility_ns: int
    audit_ns: int

    @classmethod
    def of(cls, settings: Settings) -> "QueryTimeouts":
        """The patience that the settings ask for."""
        execution = settings.execution
        return cls(
            ack_ns=round(execution.ack_timeout_s * NS_PER_S),
            backoff_ns=round(execution.query_backoff_s * NS_PER_S),
            backoff_max_ns=round(execution.query_backoff_max_s * NS_PER_S),
            visibility_ns=round(execution.visibility_lag_s * NS_PER_S),
            audit_ns=round(execution.audit_s * NS_PER_S),
        )

    def query_pause_ns(self, tries: int) -> int:
        """How long to wait before asking once more: twice as long each time, up to a bound.

        A venue that stays mute far beyond that is asked ever more seldom.
        """
        extra_tries = max(tries - PATIENT_TRIES, 0)
        return min(self.backoff_ns << min(tries, 32), self.backoff_max_ns) << min(extra_tries, 20)


@dataclass(slots=True)
class _PendingQuery:
    """What was asked of one order, and what the venue denied."""

    since_ns: int
    tries: int = 0
    denied_ns: int | None = None
    list_requested_ns: int | None = None


class OrderTracker:
    """Watches each working order until the venue has said how it ended."""

    def __init__(
        self,
        timeouts: QueryTimeouts,
        orders: OrderManager,
        timers: TimerQueue[TimerKey],
        emit: Callable[[AnyOutput], None],
    ) -> None:
        self.timeouts = timeouts
        self._orders = orders
        self._timers = timers
        self._emit = emit
        self._doubts: dict[str, _PendingQuery] = {}
        self.hold_until_ns = 0

    def track(self, order: Order, now_ns: int) -> None:
        """Set when to look after an order next, from the state it is in now."""
        key = (LOOK, order.id)
        if not order.working:
            self._doubts.pop(order.id, None)
            self._timers.cancel(key)
        elif order.state is _S.SUBMITTED:
            self._timers.schedule(key, now_ns + self.timeouts.ack_ns)
        elif order.state in _RESTS:
            self._doubts.pop(order.id, None)
            self._timers.schedule(key, now_ns + self.timeouts.audit_ns)
        elif order.id not in self._doubts:
            self._doubts[order.id] = _PendingQuery(now_ns)
            self._timers.schedule(key, now_ns + self.timeouts.backoff_ns)

    def hold_until(self, until_ns: int) -> None:
        """The venue wants to hear nothing before `until_ns`."""
        self.hold_until_ns = max(self.hold_until_ns, until_ns)

    def in_doubt_since(self, order: Order) -> int | None:
        """Since when nothing certain is known of an order; None if its state is known."""
        doubt = self._doubts.get(order.id)
        return doubt.since_ns if doubt and order.state is _S.UNKNOWN else None

    def query(self, order: Order, now_ns: int) -> None:
        """Ask what became of an order; ask for it back once more, if it was."""
        if now_ns < self.hold_until_ns:
            self._timers.schedule((LOOK, order.id), self.hold_until_ns)
            return
        if order.state is _S.SUBMITTED:
            self._orders.mark_unknown(order)
        doubt = self._doubts.setdefault(order.id, _PendingQuery(now_ns))
        if order.cancel_requested and doubt.tries < CANCELS_MAX:
            self._emit(CancelOrder(now_ns, order.id, "not answered yet"))
        self._emit(QueryOrder(now_ns, order.id))
        if doubt.list_requested_ns is not None:
            self._query_list(doubt, now_ns)
        self._timers.schedule((LOOK, order.id), now_ns + self.timeouts.query_pause_ns(doubt.tries))
        doubt.tries += 1

    def on_not_found(self, order: Order, answer: OrderNotFound, now_ns: int) -> None:
        """The venue does not know an order; if it said so before, and late enough, look at its list."""
        if not order.working:
            return
        if order.state in _RESTS or order.state is _S.SUBMITTED:
            self._orders.mark_unknown(order)
            self.track(order, now_ns)
        doubt = self._doubts.setdefault(order.id, _PendingQuery(now_ns))
        visible_ns = order.sent_ns + self.timeouts.visibility_ns
        if doubt.denied_ns is None:
            doubt.denied_ns = answer.asked_ns
        elif answer.asked_ns > max(doubt.denied_ns, visible_ns) and doubt.list_requested_ns is None:
            self._query_list(doubt, now_ns)

    def on_seen(self, order: Order) -> None:
        """The venue knows an order after all: what it denied before counts no more."""
        doubt = self._doubts.get(order.id)
        if doubt:
            doubt.denied_ns = doubt.list_requested_ns = None

    def absent_in(self, listed: OrderMassStatus) -> list[Order]:
        """The orders that this list proves absent: it was asked for once all else had been."""
        names = {found.order_id for found in listed.orders}
        missing = []
        for order_id, doubt in self._doubts.items():
            requested_later = (
                doubt.list_requested_ns is not None and listed.asked_ns >= doubt.list_requested_ns
            )
            if requested_later and order_id not in names and order_id in self._orders.working:
                missing.append(self._orders.working[order_id])
        return missing

    def _query_list(self, doubt: _PendingQuery, now_ns: int) -> None:
        doubt.list_requested_ns = now_ns if doubt.list_requested_ns is None else doubt.list_requested_ns
        self._emit(QueryOpenOrders(now_ns))

"""Tracks orders whose state at the venue is uncertain, and queries them until it is known.

Queries are engine timers; this module never blocks. A venue may not show an order for a while after accepting
it, so one "not found" does not prove absence. Absence takes three answers: "not found", "not found" to a
query sent after the visibility lag, and then a list of open and recent orders without the order.
"""

from collections.abc import Callable
from dataclasses import dataclass

from autohedge.config import Settings
from autohedge.core.events import (
    Alert,
    AnyOutput,
    CancelOrder,
    OrderMassStatus,
    OrderNotFound,
    QueryOpenOrders,
    QueryOrder,
)
from autohedge.core.orders import LEAVE, SELL, OrderState
from autohedge.core.timers import TimerQueue
from autohedge.core.units import NS_PER_MINUTE, NS_PER_S
from autohedge.execution.orders import Order, OrderManager

LOOK = "look"
# Tries before the pauses grow beyond the configured bound, so that a dead venue does not fill the journal.
PATIENT_TRIES = 20
# An unanswered cancel is repeated at least this often, as long as its order works.
PAUSE_MAX_NS = 5 * NS_PER_MINUTE
TimerKey = tuple[str, str | int]

_S = OrderState
_RESTS = frozenset({_S.OPEN, _S.PARTIAL})


@dataclass(frozen=True, slots=True)
class QueryTimeouts:
    """Timeouts and pauses of queries, in ns.

    `ack_ns` is the time for the first answer to an order, `backoff_ns` and `backoff_max_ns` bound the pauses
    between queries, `visibility_ns` is the venue's visibility lag, `audit_ns` the pause between checks of a
    resting order, `halt_ns` how long an order may be unknown or its cancel unanswered before entries halt.
    """

    ack_ns: int
    backoff_ns: int
    backoff_max_ns: int
    visibility_ns: int
    audit_ns: int
    halt_ns: int

    @classmethod
    def of(cls, settings: Settings) -> "QueryTimeouts":
        """The timeouts of the settings."""
        execution = settings.execution
        return cls(
            ack_ns=round(execution.ack_timeout_s * NS_PER_S),
            backoff_ns=round(execution.query_backoff_s * NS_PER_S),
            backoff_max_ns=round(execution.query_backoff_max_s * NS_PER_S),
            visibility_ns=round(execution.visibility_lag_s * NS_PER_S),
            audit_ns=round(execution.audit_s * NS_PER_S),
            halt_ns=round(settings.risk.unknown_halt_s * NS_PER_S),
        )

    def query_pause_ns(self, tries: int) -> int:
        """The pause before the next query: doubles with each try up to `backoff_max_ns`.

        After `PATIENT_TRIES` tries it doubles beyond that bound, up to `PAUSE_MAX_NS`.
        """
        extra_tries = max(tries - PATIENT_TRIES, 0)
        # The shifts are bounded: Python's integers would grow without limit.
        pause_ns = min(self.backoff_ns << min(tries, 32), self.backoff_max_ns) << min(extra_tries, 20)
        return min(pause_ns, max(self.backoff_max_ns, PAUSE_MAX_NS))


@dataclass(slots=True)
class _PendingQuery:
    """The queries about one order.

    `denied_ns` is when the first query answered by "not found" was sent, `list_requested_ns` when the list of
    orders was first requested for it. `alerted` is whether an alert said that it takes too long.
    """

    since_ns: int
    tries: int = 0
    denied_ns: int | None = None
    list_requested_ns: int | None = None
    alerted: bool = False


class OrderTracker:
    """Follows each working order until the venue has reported how it ended."""

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
        self.restarted_ns = 0  # the venue has the whole time to answer from then on

    def track(self, order: Order, now_ns: int) -> None:
        """Schedules the next query of an order, from its present state."""
        key = (LOOK, order.id)
        if not order.working:
            self._doubts.pop(order.id, None)
            self._timers.cancel(key)
        elif order.state is _S.SUBMITTED:
            self._timers.schedule(key, now_ns + self.timeouts.ack_ns)
        elif order.state in _RESTS:
            self._doubts.pop(order.id, None)
            self._timers.schedule(key, now_ns + self.timeouts.audit_ns)
        elif order.id not in self._doubts:  # keep the backoff of a query that is pending already
            self._doubts[order.id] = _PendingQuery(now_ns)
            self._timers.schedule(key, now_ns + self.timeouts.backoff_ns)

    def hold_until(self, until_ns: int) -> None:
        """Sends no queries before `until_ns`; the venue has throttled this account."""
        self.hold_until_ns = max(self.hold_until_ns, until_ns)

    def halt_reason(self, order: Order, now_ns: int) -> str:
        """Returns why entries must halt because of an order, empty if they need not; alerts once per order.

        What the run does not know or cannot stop may still fill.
        """
        doubt, late_ns = self._doubts.get(order.id), now_ns - self.timeouts.halt_ns
        if doubt is None or self.restarted_ns > late_ns:
            return ""
        if order.cancel_unanswered and (order.cancel_requested_ns or 0) <= late_ns:
            text = "the venue does not answer its cancel: it may rest and fill; cancel it at the venue"
            self._alert_once(doubt, Alert("cancel_unanswered", order.id, text))
            return f"the cancel of order {order.id} is unanswered"
        if order.state is not _S.UNKNOWN or doubt.since_ns > late_ns:
            return ""
        if order.intent.purpose is LEAVE:
            done = "sold" if order.intent.side is SELL else "covered"
            text = f"the exit order is in an unknown state: the position may be {done} or not"
            self._alert_once(doubt, Alert("exit_unknown", order.id, text))
        return f"order {order.id} is in an unknown state"

    def _alert_once(self, doubt: _PendingQuery, alert: Alert) -> None:
        if not doubt.alerted:
            doubt.alerted = True
            self._emit(alert)

    def repeat_cancels(self, now_ns: int) -> None:
        """Sends every unanswered cancel again at once."""
        for order in list(self._orders.working.values()):
            if order.cancel_unanswered:
                self.requery(order, now_ns)

    def requery(self, order: Order, now_ns: int) -> None:
        """Queries an order like `query`; its back-off starts again."""
        if order.id in self._doubts:
            self._doubts[order.id].tries = 0
        self.query(order, now_ns)

    def query(self, order: Order, now_ns: int) -> None:
        """Queries an order, and repeats its cancel if that is unanswered."""
        if now_ns < self.hold_until_ns:
            self._timers.schedule((LOOK, order.id), self.hold_until_ns)
            return
        if order.state is _S.SUBMITTED:
            self._orders.mark_unknown(order)
        doubt = self._doubts.setdefault(order.id, _PendingQuery(now_ns))
        if order.cancel_unanswered:
            self._emit(CancelOrder(now_ns, order.id, "cancel not acknowledged"))
        self._emit(QueryOrder(now_ns, order.id))
        if doubt.list_requested_ns is not None:
            self._query_list(doubt, now_ns)
        self._timers.schedule((LOOK, order.id), now_ns + self.timeouts.query_pause_ns(doubt.tries))
        doubt.tries += 1

    def on_not_found(self, order: Order, answer: OrderNotFound, now_ns: int) -> None:
        """Handles "not found"; requests the list of orders on the second one after the visibility lag."""
        if not order.working:
            return
        if order.state in _RESTS or order.state is _S.SUBMITTED:
            self._orders.mark_unknown(order)
            self.track(order, now_ns)
        doubt = self._doubts.setdefault(order.id, _PendingQuery(now_ns))
        visible_ns = order.sent_ns + self.timeouts.visibility_ns
        # By the time of the query, not of its answer: a slow answer proves nothing about what came after.
        if doubt.denied_ns is None:
            doubt.denied_ns = answer.asked_ns
        elif answer.asked_ns > max(doubt.denied_ns, visible_ns) and doubt.list_requested_ns is None:
            self._query_list(doubt, now_ns)

    def on_seen(self, order: Order) -> None:
        """Discards earlier "not found" answers: the venue has the order."""
        doubt = self._doubts.get(order.id)
        if doubt:
            doubt.denied_ns = doubt.list_requested_ns = None

    def absent_in(self, listed: OrderMassStatus) -> list[Order]:
        """The orders that this list proves absent: missing from it, and requested for them."""
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

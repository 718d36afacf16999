"""Invariants 28 and 29: what is not asked during a ban, and what is asked after an interruption."""

from autohedge.core.events import (
    CancelOrder,
    ConnectionStatus,
    Input,
    JournalEntry,
    OperatorCommand,
    OrderEventBase,
    QueryAccount,
    QueryOrder,
    RequestThrottled,
    Restarted,
    SubmitOrder,
    SystemFault,
)
from autohedge.core.orders import OrderState
from autohedge.engine.engine import Engine
from autohedge.faultsim.question_checks import InvariantViolation
from autohedge.faultsim.recorded_account import RecordedAccount

# An order whose answers may have been missed is in none of these.
TRUSTED = frozenset({OrderState.SUBMITTED, OrderState.OPEN, OrderState.PARTIAL})
REPEATING_CANCELS = frozenset({"halt", "flatten", "stop", "cancel_all"})


class RequestChecker:
    """Follows the queries and cancels of each step; every method raises InvariantViolation."""

    def __init__(self, account: RecordedAccount) -> None:
        self._account = account
        self._until_ns = 0
        self._strangers: set[str] = set()
        self._queried: set[str] = set()
        self._cancelled: set[str] = set()
        self._pass_began = False
        self._cause: Input | None = None
        self._command: OperatorCommand | None = None
        self._is_first = False

    def apply(self, entry: JournalEntry) -> None:
        """Follows one recorded event, after the account has."""
        event = entry.event
        if isinstance(event, Input):
            self._received(event)
        elif isinstance(event, QueryOrder):
            self._queried.add(event.order_id)
            self._not_banned(f"order {event.order_id} is queried")
        elif isinstance(event, QueryAccount):
            self._pass_began = True
            self._not_banned("a pass of reconciliation begins")
        elif isinstance(event, SubmitOrder) and self._account.resent:
            self._not_banned(f"order {event.order_id} is sent again")
        elif isinstance(event, CancelOrder):
            self._cancelled.add(event.order_id)

    def _received(self, event: Input) -> None:
        self._cause, self._command = event, self._account.command
        if self._queried or self._cancelled:
            self._queried.clear()
            self._cancelled.clear()
        self._pass_began = self._is_first = False
        if not isinstance(event, OrderEventBase):
            return
        if event.order_id not in self._account.orders:
            self._is_first = event.order_id not in self._strangers
            self._strangers.add(event.order_id)
        elif isinstance(event, RequestThrottled):
            self._until_ns = max(self._until_ns, event.until_ns)

    def _not_banned(self, what: str) -> None:
        """Invariant 28: the engine requests nothing that can wait before a ban ends."""
        left_ns = self._until_ns - self._account.now_ns  # an order that is sent again keeps its first time
        if left_ns > 0:
            raise InvariantViolation(f"28: {what} {left_ns / 1e9:.3f} s before a ban ends")

    def step(self, engine: Engine) -> None:
        """Invariant 29: what an interruption, a halt or an unknown order requires is sent in the same step."""
        cause, self._cause = self._cause, None
        if cause is None:
            return
        if isinstance(cause, Restarted):
            self._none_trusted(engine)
        if engine.now_ns < self._until_ns:
            return
        if isinstance(cause, Restarted) or (isinstance(cause, ConnectionStatus) and cause.state == "up"):
            self._all_queried(engine)
        elif isinstance(cause, SystemFault) or (
            self._command is not None and self._command.command in REPEATING_CANCELS
        ):
            self._cancels_repeated(engine)
        elif self._is_first and not self._pass_began:
            raise InvariantViolation(f"29: {cause} of an unknown order begins no pass of reconciliation")

    def _none_trusted(self, engine: Engine) -> None:
        for order in engine.orders.working.values():
            if order.state in TRUSTED:
                raise InvariantViolation(f"29: order {order.id} is still {order.state} after a restart")

    def _all_queried(self, engine: Engine) -> None:
        for order_id in engine.orders.working:
            if order_id not in self._queried:
                raise InvariantViolation(f"29: order {order_id} is not queried after an interruption")

    def _cancels_repeated(self, engine: Engine) -> None:
        for order_id in engine.orders.working:
            order = self._account.orders[order_id]
            unanswered = order.cancel_requested and order.reported is None
            if unanswered and order_id not in self._cancelled:
                raise InvariantViolation(f"29: the cancel of order {order_id} is not repeated at a halt")

"""Invariant 31: an operator's commands do what they say and no more, and each request is done once."""

from autohedge.core.events import (
    CancelOrder,
    DeliberationRequested,
    Input,
    JournalEntry,
    OperatorCommand,
    Output,
    QueryAccount,
    QueryFills,
    QueryOpenOrders,
    QueryOrder,
    TradingStateChanged,
)
from autohedge.core.orders import OrderState
from autohedge.engine.engine import Engine
from autohedge.faultsim.question_checks import InvariantViolation
from autohedge.faultsim.recorded_account import RecordedAccount, RecordedOrder

QUERIES = (QueryOrder, QueryOpenOrders, QueryFills, QueryAccount)
# What may follow from a command in its step; a halt and a flatten may also close gates and positions.
OUTPUTS: dict[str, tuple[type[Output], ...]] = {
    "pause": (TradingStateChanged,),
    "resume": (TradingStateChanged, DeliberationRequested),
    "cancel_all": (CancelOrder, *QUERIES),
    "sync": (CancelOrder, *QUERIES),
}


class OperatorChecker:
    """Follows the commands of one record; every method raises InvariantViolation."""

    def __init__(self, account: RecordedAccount) -> None:
        self._account = account
        self._command: OperatorCommand | None = None
        self._requested: set[type[Output]] = set()
        self._queried: set[str] = set()
        self._repeats = True  # until the first step: an order that was proven absent still seems to work

    def before(self, entry: JournalEntry) -> None:
        """Checks the outcome of a command before the next input."""
        if self._command is not None and isinstance(entry.event, Input):
            self._settle(self._command)

    def after(self, entry: JournalEntry) -> None:
        """Follows one recorded event, after the account has."""
        event, account = entry.event, self._account
        if isinstance(event, OperatorCommand):
            self._command = account.command
            self._requested.clear()
            self._queried.clear()
        elif isinstance(event, Output) and isinstance(account.cause, OperatorCommand):
            self._follows(event, account.cause)
        if isinstance(event, DeliberationRequested) and account.paused:
            raise InvariantViolation(f"31: {event.symbol} is asked about during a pause")

    def step(self, engine: Engine) -> None:
        """Checks the outcome of the last command, if no other input came after it in its step."""
        self._repeats, command = False, self._command
        if command is None:
            return
        self._settle(command)
        if command.command == "sync" and engine.now_ns >= self._account.quiet_until_ns:
            for order in engine.orders.working.values():
                if order.state is OrderState.UNKNOWN and order.id not in self._queried:
                    raise InvariantViolation(f"31: a sync does not query order {order.id}, which is unknown")

    def _follows(self, event: Output, command: OperatorCommand) -> None:
        """Checks that an output may follow from a command."""
        if self._account.command is None:
            raise InvariantViolation(f"31: {event} follows from {command}, which must have no effect")
        if not isinstance(event, OUTPUTS.get(command.command, Output)):
            raise InvariantViolation(f"31: {event} follows from a {command.command}")
        self._requested.add(type(event))
        if isinstance(event, QueryOrder):
            self._queried.add(event.order_id)

    def _settle(self, command: OperatorCommand) -> None:
        self._command = None
        if self._repeats:
            return
        if command.command == "cancel_all":
            self._require_cancels()
        elif command.command == "sync":
            self._require_queries()
        elif command.command in {"halt", "flatten", "stop"} and not self._account.halted:
            raise InvariantViolation(f"31: entries go on after a {command.command}")

    def _require_cancels(self) -> None:
        for order in self._account.working.values():
            if order.may_rest and not order.cancel_requested:
                raise InvariantViolation(f"31: {order.order_id} has no cancel after a cancel of all orders")

    def _require_queries(self) -> None:
        """Checks that a sync has asked for all, unless the venue takes no request; then it waits for that end."""
        if self._account.now_ns < self._account.quiet_until_ns:
            return
        if missing := {QueryOpenOrders, QueryFills, QueryAccount} - self._requested:
            names = sorted(each.__name__ for each in missing)
            raise InvariantViolation(f"31: a sync does not send {', '.join(names)}")
        for order in self._account.working.values():
            if _is_unanswered(order) and order.order_id not in self._queried:
                raise InvariantViolation(f"31: a sync does not query the cancel of {order.order_id}")


def _is_unanswered(order: RecordedOrder) -> bool:
    return order.cancel_requested and order.reported is None

"""Invariant 21: the slices of an entry end with an exit of its symbol, a halt, and a cancel of all orders."""

from autohedge.core.events import JournalEntry, OperatorCommand, SubmitOrder, Timer, TradingStateChanged
from autohedge.core.orders import LEAVE
from autohedge.faultsim.question_checks import InvariantViolation
from autohedge.faultsim.recorded_account import RecordedAccount


class SliceChecker:
    """Follows entries that are sent in slices; every method raises InvariantViolation.

    An entry that a timer causes is a later slice; every other entry begins a schedule.
    """

    def __init__(self, account: RecordedAccount) -> None:
        self._account = account
        self._ended: dict[str, str] = {}

    def apply(self, entry: JournalEntry) -> None:
        """Follows one recorded event."""
        match event := entry.event:
            case TradingStateChanged(is_halt=True):
                self._end_all("a halt")
            case OperatorCommand(command="cancel_all") if self._account.command is event:
                self._end_all("a cancel of all orders")
            case SubmitOrder() if event.purpose is LEAVE:
                self._ended[event.symbol] = "an exit"
            case SubmitOrder() if isinstance(self._account.cause, Timer):
                if event.symbol in self._ended:
                    raise InvariantViolation(
                        f"21: a slice of {event.symbol} is sent after {self._ended[event.symbol]}"
                    )
            case SubmitOrder():
                self._ended.pop(event.symbol, None)

    def _end_all(self, why: str) -> None:
        self._ended = dict.fromkeys({order.symbol for order in self._account.orders.values()}, why)

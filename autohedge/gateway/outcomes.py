"""Maps outcomes of requests to engine inputs: errors, timeouts and rejections.

A failed query about the account gives no input, because the engine repeats it by its own timers.
"""

from typing import Literal, assert_never

from autohedge.core.errors import Duplicate, Rejected, Retryable
from autohedge.core.events import (
    AnyTradingCommand,
    CancelOrder,
    ChangeRejected,
    OrderAccepted,
    QueryAccount,
    QueryFills,
    QueryOpenOrders,
    QueryOrder,
    ReplaceOrder,
    RequestThrottled,
    RequestUnknown,
    SubmitOrder,
    VenueEvent,
)
from autohedge.core.events import OrderRejected as RejectedAnswer
from autohedge.core.units import NS_PER_S

About = Literal["submit", "cancel", "replace", "query"]


def from_error(command: AnyTradingCommand, error: Exception, now_ns: int) -> list[VenueEvent]:
    """The inputs for an exception of an `ExecutionClient`.

    `Duplicate`, `Rejected` and `Retryable` have a definite meaning. Every other error means unknown.
    """
    match error:
        case Duplicate() if isinstance(command, SubmitOrder):  # an earlier request for it arrived
            return [OrderAccepted(now_ns, command.order_id, "")]
        case Rejected():
            return rejected(command, str(error), now_ns)
        case Retryable():
            return throttled(command, now_ns, now_ns + round(error.after_s * NS_PER_S))
        case _:
            return unknown(command, str(error) or type(error).__name__, now_ns)


def rejected(command: AnyTradingCommand, reason: str, now_ns: int) -> list[VenueEvent]:
    """The inputs for a definite rejection; a rejected query proves nothing about its order."""
    match command:
        case SubmitOrder():
            return [RejectedAnswer(now_ns, command.order_id, reason)]
        case CancelOrder() | ReplaceOrder():
            return [ChangeRejected(now_ns, command.order_id, reason)]
        case _:
            return unknown(command, reason, now_ns)


def not_sent(command: AnyTradingCommand, cause: str, now_ns: int) -> list[VenueEvent]:
    """The inputs for a request that was not sent: a rejection for an order, unknown for the rest."""
    if isinstance(command, SubmitOrder):
        return rejected(command, cause, now_ns)
    return unknown(command, cause, now_ns)


def throttled(command: AnyTradingCommand, now_ns: int, until_ns: int) -> list[VenueEvent]:
    """The inputs for a request that the venue throttled, or that was held back until `until_ns`."""
    about = _subject_of(command)
    return [] if about is None else [RequestThrottled(now_ns, about[0], until_ns, about[1])]


def unknown(command: AnyTradingCommand, cause: str, now_ns: int) -> list[VenueEvent]:
    """The inputs for a request that may or may not have taken effect."""
    about = _subject_of(command)
    return [] if about is None else [RequestUnknown(now_ns, about[0], cause, about[1])]


def _subject_of(command: AnyTradingCommand) -> tuple[str, About] | None:
    """The order id and kind of a request; None for a query about the account."""
    match command:
        case SubmitOrder():
            return command.order_id, "submit"
        case CancelOrder():
            return command.order_id, "cancel"
        case ReplaceOrder():
            return command.order_id, "replace"
        case QueryOrder():
            return command.order_id, "query"
        case QueryOpenOrders() | QueryFills() | QueryAccount():
            return None
        case _:
            assert_never(command)

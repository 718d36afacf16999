"""What the end of a request means for the engine: an error, a silence and a no, said as inputs.

A lost answer to a question about the account says nothing: the engine asks again by itself.
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
    """What an error of an adapter proves: little, unless it says so."""
    match error:
        case Duplicate() if isinstance(command, SubmitOrder):
            return [OrderAccepted(now_ns, command.order_id, "")]
        case Rejected():
            return rejected(command, str(error), now_ns)
        case Retryable():
            return throttled(command, now_ns, now_ns + round(error.after_s * NS_PER_S))
        case _:
            return unknown(command, str(error) or type(error).__name__, now_ns)


def rejected(command: AnyTradingCommand, reason: str, now_ns: int) -> list[VenueEvent]:
    """A definite no."""
    match command:
        case SubmitOrder():
            return [RejectedAnswer(now_ns, command.order_id, reason)]
        case CancelOrder() | ReplaceOrder():
            return [ChangeRejected(now_ns, command.order_id, reason)]
        case _:
            return unknown(command, reason, now_ns)


def not_sent(command: AnyTradingCommand, cause: str, now_ns: int) -> list[VenueEvent]:
    """Nothing left: an order is certainly not there, of the others nothing new is known."""
    if isinstance(command, SubmitOrder):
        return rejected(command, cause, now_ns)
    return unknown(command, cause, now_ns)


def throttled(command: AnyTradingCommand, now_ns: int, until_ns: int) -> list[VenueEvent]:
    """The venue did not look, or was not asked because it wants quiet."""
    about = _subject_of(command)
    return [] if about is None else [RequestThrottled(now_ns, about[0], until_ns, about[1])]


def unknown(command: AnyTradingCommand, cause: str, now_ns: int) -> list[VenueEvent]:
    """What was asked for may or may not have happened."""
    about = _subject_of(command)
    return [] if about is None else [RequestUnknown(now_ns, about[0], cause, about[1])]


def _subject_of(command: AnyTradingCommand) -> tuple[str, About] | None:
    """The order that a command is about and what it asks; None for the account."""
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

"""What the end of a request means for the engine: an error, a silence and a no, said as inputs.

A lost answer to a question about the account says nothing: the engine asks again by itself.
"""

from typing import Literal, assert_never

from autohedge.core.errors import Duplicate, Rejected, Retryable
from autohedge.core.events import (
    Accepted,
    Answer,
    CancelOrder,
    ChangeRefused,
    Command,
    QueryAccount,
    QueryFills,
    QueryOpen,
    QueryOrder,
    ReplaceOrder,
    SubmitOrder,
    Throttled,
    Unknown,
)
from autohedge.core.events import Rejected as RejectedAnswer

About = Literal["submit", "cancel", "replace", "query"]
NS_PER_S = 1_000_000_000


def failed(command: Command, error: Exception, now_ns: int) -> list[Answer]:
    """What an error of an adapter proves: little, unless it says so."""
    match error:
        case Duplicate() if isinstance(command, SubmitOrder):
            return [Accepted(now_ns, command.order_id, "")]
        case Rejected():
            return refused(command, str(error), now_ns)
        case Retryable():
            return throttled(command, now_ns, now_ns + round(error.after_s * NS_PER_S))
        case _:
            return lost(command, str(error) or type(error).__name__, now_ns)


def refused(command: Command, reason: str, now_ns: int) -> list[Answer]:
    """A definite no."""
    match command:
        case SubmitOrder():
            return [RejectedAnswer(now_ns, command.order_id, reason)]
        case CancelOrder() | ReplaceOrder():
            return [ChangeRefused(now_ns, command.order_id, reason)]
        case _:
            return lost(command, reason, now_ns)


def unsent(command: Command, cause: str, now_ns: int) -> list[Answer]:
    """Nothing left: an order is certainly not there, of the others nothing new is known."""
    if isinstance(command, SubmitOrder):
        return refused(command, cause, now_ns)
    return lost(command, cause, now_ns)


def throttled(command: Command, now_ns: int, until_ns: int) -> list[Answer]:
    """The venue did not look, or was not asked because it wants quiet."""
    about = _about(command)
    return [] if about is None else [Throttled(now_ns, about[0], until_ns, about[1])]


def lost(command: Command, cause: str, now_ns: int) -> list[Answer]:
    """What was asked for may or may not have happened."""
    about = _about(command)
    return [] if about is None else [Unknown(now_ns, about[0], cause, about[1])]


def _about(command: Command) -> tuple[str, About] | None:
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
        case QueryOpen() | QueryFills() | QueryAccount():
            return None
        case _:
            assert_never(command)

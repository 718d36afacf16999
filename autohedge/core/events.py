"""Everything that enters and leaves the engine, as it is journaled.

The engine is a function from inputs to outputs. Market rows are inputs too, recorded by their
place on the tape instead of one by one. All carry one running `seq`, rows included, so a record
does not depend on how the stream was cut into batches.
"""

from decimal import Decimal
from typing import Any, Literal

import msgspec

from autohedge.core.orders import OrderType, Side, TimeInForce


class Event(msgspec.Struct, frozen=True, gc=False, tag_field="type"):
    """Base of all journaled events; `type` on the wire is each class's tag."""


class Input(Event, frozen=True, gc=False):
    """What the engine is told."""


class Output(Event, frozen=True, gc=False):
    """What the engine says."""


class RunNonce(Input, frozen=True, gc=False, tag="run_nonce"):
    """First of all inputs: what the ids of this run derive from."""

    nonce: str


class VenueAnswer(Input, frozen=True, gc=False):
    """What a gateway brings back; `at_ns` is when the engine learns of it."""

    at_ns: int
    order_id: str


class Accepted(VenueAnswer, frozen=True, gc=False, tag="accepted"):
    """The venue has the order."""

    venue_order_id: str


class Rejected(VenueAnswer, frozen=True, gc=False, tag="rejected"):
    """The venue refused the order; it has no exposure."""

    reason: str


class Unknown(VenueAnswer, frozen=True, gc=False, tag="unknown"):
    """The answer was lost: the order may or may not live."""

    cause: str


class Report(VenueAnswer, frozen=True, gc=False, tag="report"):
    """What happened to a live order, at `ts_ns` on the venue's clock.

    `quantity`, `price`, `fee` and `trade_id` belong to fills only.
    """

    kind: Literal["fill", "expired", "canceled"]
    ts_ns: int
    trade_id: str | None = None
    quantity: Decimal | None = None
    price: Decimal | None = None
    fee: Decimal | None = None


class Timer(Input, frozen=True, gc=False, tag="timer"):
    """A deadline of the engine has passed."""

    at_ns: int


class Operator(Input, frozen=True, gc=False, tag="operator"):
    """A person's command."""

    at_ns: int
    command: Literal["halt", "resume"]
    reason: str


class EndOfTape(Input, frozen=True, gc=False, tag="end_of_tape"):
    """No more rows will come; the engine sums up."""


class SubmitOrder(Output, frozen=True, gc=False, tag="submit_order"):
    """The intent, recorded before anything leaves for the venue; `at_ns` is engine time."""

    at_ns: int
    order_id: str
    symbol: str
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    limit: Decimal | None
    quantity: Decimal
    reason: str
    take_profit: float | None
    stop_loss: float | None


class CancelOrder(Output, frozen=True, gc=False, tag="cancel_order"):
    """A wish to take a resting order back; `at_ns` is engine time."""

    at_ns: int
    order_id: str
    reason: str


class Booked(Output, frozen=True, gc=False, tag="booked"):
    """The books after one fill, so that a difference shows where it begins."""

    order_id: str
    position: Decimal
    cost: Decimal
    cash: Decimal
    realized: Decimal


class Halted(Output, frozen=True, gc=False, tag="halted"):
    """Entries are off from here on, until an operator resumes."""

    reason: str


class Resumed(Output, frozen=True, gc=False, tag="resumed"):
    """Entries are on again."""

    reason: str


class RunResult(Output, frozen=True, gc=False, tag="run_result"):
    """The last output: what the run came to."""

    result: dict[str, Any]


Command = SubmitOrder | CancelOrder
Answer = Accepted | Rejected | Unknown | Report
AnyInput = RunNonce | Answer | Timer | Operator | EndOfTape
AnyOutput = SubmitOrder | CancelOrder | Booked | Halted | Resumed | RunResult
AnyEvent = AnyInput | AnyOutput


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One journaled event: its number, and how many rows of the tape came before it."""

    seq: int
    pos: int
    event: AnyEvent

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


class NotFound(VenueAnswer, frozen=True, gc=False, tag="not_found"):
    """The venue was asked, and never had the order: it has no exposure."""


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
    """A person's command; `halt_id` names the automatic halt that a `resume` lifts.

    After `stop` no more rows are taken: the run delivers what is on its way, and ends.
    """

    at_ns: int
    command: Literal["halt", "resume", "flatten", "stop"]
    reason: str
    halt_id: str | None = None


class Trouble(Input, frozen=True, gc=False, tag="trouble"):
    """The machine failed in a way that must stop entries, such as a full disk."""

    at_ns: int
    cause: str


class Restarted(Input, frozen=True, gc=False, tag="restarted"):
    """The run goes on after its process died.

    Rows before `pos` that were not taken are missed. Later ids derive from `nonce`, so that an id
    lost with the end of a record is never given twice. `lost_at_crash` are the orders that the
    rebuilding made beyond the end of the record; they were not sent.
    """

    at_ns: int
    pos: int
    nonce: str
    lost_at_crash: tuple[str, ...] = ()


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


class QueryOrder(Output, frozen=True, gc=False, tag="query_order"):
    """A question: what became of this order? Answered by all that the venue ever said of it."""

    at_ns: int
    order_id: str


class QueryFills(Output, frozen=True, gc=False, tag="query_fills"):
    """A question: which fills were there at or after `since_ns`? Answered by their reports."""

    at_ns: int
    since_ns: int


class Booked(Output, frozen=True, gc=False, tag="booked"):
    """The books after one fill, so that a difference shows where it begins."""

    order_id: str
    position: Decimal
    cost: Decimal
    cash: Decimal
    realized: Decimal


class Halted(Output, frozen=True, gc=False, tag="halted"):
    """Entries are off from here on, until an operator resumes.

    A halt that no person ordered has a `halt_id`, which the person who resumes must give.
    """

    reason: str
    halt_id: str | None = None


class Resumed(Output, frozen=True, gc=False, tag="resumed"):
    """Entries are on again."""

    reason: str


class RunResult(Output, frozen=True, gc=False, tag="run_result"):
    """The last output: what the run came to."""

    result: dict[str, Any]


Command = SubmitOrder | CancelOrder | QueryOrder | QueryFills
Answer = Accepted | Rejected | Unknown | NotFound | Report
AnyInput = RunNonce | Answer | Timer | Operator | Trouble | Restarted | EndOfTape
AnyOutput = Command | Booked | Halted | Resumed | RunResult
COMMANDS = (SubmitOrder, CancelOrder, QueryOrder, QueryFills)
AnyEvent = AnyInput | AnyOutput


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One journaled event: its number, and how many rows of the tape came before it."""

    seq: int
    pos: int
    event: AnyEvent

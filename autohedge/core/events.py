"""Everything that enters and leaves the engine, as it is journaled.

The engine is a function from inputs to outputs. Market rows are inputs too, recorded by their
place on the tape instead of one by one. All carry one running `seq`, rows included, so a record
does not depend on how the stream was cut into batches.
"""

from decimal import Decimal
from typing import Any, Literal

import msgspec

from autohedge.core.orders import OrderType, Side, TimeInForce
from autohedge.core.snapshots import DeliberationKind


class Event(msgspec.Struct, frozen=True, gc=False, tag_field="type"):
    """Base of all journaled events; `type` on the wire is each class's tag."""


class Input(Event, frozen=True, gc=False):
    """What the engine is told."""


class Output(Event, frozen=True, gc=False):
    """What the engine says."""


class RunStarted(Input, frozen=True, gc=False, tag="run_nonce"):
    """First of all inputs: what the ids of this run derive from; `at_ns` is 0 long before a tape."""

    nonce: str
    at_ns: int = 0


class OrderEventBase(Input, frozen=True, gc=False):
    """What a gateway brings back; `at_ns` is when the engine learns of it."""

    at_ns: int
    order_id: str


class OrderAccepted(OrderEventBase, frozen=True, gc=False, tag="accepted"):
    """The venue has the order."""

    venue_order_id: str


class OrderRejected(OrderEventBase, frozen=True, gc=False, tag="rejected"):
    """The venue refused the order; it has no exposure."""

    reason: str


class RequestUnknown(OrderEventBase, frozen=True, gc=False, tag="unknown"):
    """The answer to a request was lost: what was asked for may or may not have happened."""

    cause: str
    about: Literal["submit", "cancel", "replace", "query"] = "submit"


class RequestThrottled(OrderEventBase, frozen=True, gc=False, tag="throttled"):
    """The venue did not look at the request, and wants none before `until_ns`: a 429, or a ban (418)."""

    until_ns: int
    about: Literal["submit", "cancel", "replace", "query"] = "submit"


class OrderNotFound(OrderEventBase, frozen=True, gc=False, tag="not_found"):
    """Asked at `asked_ns`, the venue knows no such order: it never came, or is not visible yet."""

    asked_ns: int


class ChangeRejected(OrderEventBase, frozen=True, gc=False, tag="change_refused"):
    """The venue did not cancel or replace: the order may be gone already, or rest as it was."""

    reason: str


class OrderReplaced(OrderEventBase, frozen=True, gc=False, tag="replaced"):
    """The order rests on, with this limit and this whole quantity."""

    limit: Decimal
    quantity: Decimal


class ExecutionReport(OrderEventBase, frozen=True, gc=False, omit_defaults=True, tag="report"):
    """What happened to a live order, at `ts_ns` on the venue's clock.

    `quantity`, `price`, `fee` and `trade_id` belong to fills; a bust takes the fill `trade_id` back.
    An end says how much had `filled` until then, so that a fill whose report was lost is missed.
    """

    kind: Literal["fill", "expired", "canceled", "bust"]
    ts_ns: int
    trade_id: str | None = None
    quantity: Decimal | None = None
    price: Decimal | None = None
    fee: Decimal | None = None
    filled: Decimal | None = None


class VenueOrderStatus(msgspec.Struct, frozen=True, gc=False):
    """An order as its venue sees it; `filled` is what has filled of `quantity`."""

    order_id: str
    symbol: str
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    limit: Decimal | None
    quantity: Decimal
    filled: Decimal
    status: Literal["open", "filled", "canceled", "expired", "rejected"]


class OrderMassStatus(Input, frozen=True, gc=False, tag="order_list"):
    """All open orders of the account, and those that ended recently, as asked for at `asked_ns`."""

    at_ns: int
    asked_ns: int
    orders: tuple[VenueOrderStatus, ...]


class AccountState(Input, frozen=True, gc=False, tag="account"):
    """What the venue says is held, asked at `asked_ns`: cash, and each quantity that is not zero."""

    at_ns: int
    asked_ns: int
    cash: Decimal
    positions: dict[str, Decimal]


class ConnectionStatus(Input, frozen=True, gc=False, tag="link"):
    """The connection to the venue; while it is not `up`, answers may be missed."""

    at_ns: int
    state: Literal["up", "down", "maintenance"]


class LoopLag(Input, frozen=True, gc=False, tag="lag"):
    """The runtime is late by `lag_ms`; told when it crosses the limit, either way."""

    at_ns: int
    lag_ms: float


class Timer(Input, frozen=True, gc=False, tag="timer"):
    """A deadline of the engine has passed."""

    at_ns: int


class OperatorCommand(Input, frozen=True, gc=False, tag="operator"):
    """A person's command; `halt_id` names the automatic halt that a `resume` lifts.

    After `stop` no more rows are taken: the run delivers what is on its way, and ends.
    """

    at_ns: int
    command: Literal["halt", "resume", "flatten", "stop"]
    reason: str
    halt_id: str | None = None


class SystemFault(Input, frozen=True, gc=False, tag="trouble"):
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


class Proposal(msgspec.Struct, frozen=True, gc=False):
    """What the agents made of an entry; it narrows what sizing, limits and exits allow, and nothing else.

    `size_pct` is of what sizing allows, `offset_bps` how far the limit lies below the one that the settings
    give; the exits are in bps of the mid.
    """

    size_pct: int
    take_profit_bps: int
    stop_loss_bps: int
    offset_bps: int
    time_in_force: Literal["ioc", "gtc"]


class Decision(Input, frozen=True, gc=False, omit_defaults=True, tag="decision"):
    """What deliberation `number` came to; it was asked at `asked_ns` and is known from `at_ns` on.

    `keep` changes nothing. The `code` of an abstention says why there is no verdict, that of a no_trade which
    agent refused; `calls` are the hashes of the transcript's lines, `source` who answered: a model, the rules,
    nobody where `bypass` sufficed, or `cache`: then the verdict was asked for at `decided_ns`. `agreement_pct`
    is how many of several samples said so, `unsupported` what the thesis cites and nothing bears out.
    """

    at_ns: int
    number: int
    kind: DeliberationKind
    symbol: str
    asked_ns: int
    verdict: Literal["trade", "no_trade", "keep", "abstain", "lesson"]
    code: str = ""
    direction: Literal["long", "short", "exit", ""] = ""
    confidence_pct: int = 0
    source: str = ""
    calls: tuple[str, ...] = ()
    proposal: Proposal | None = None
    decided_ns: int = 0
    agreement_pct: int = 100
    unsupported: tuple[str, ...] = ()


class PromptsChanged(Input, frozen=True, gc=False, tag="prompts_changed"):
    """A person edited prompts: `prompts` are the agents whose words changed, and their new files in the run's folder.

    Questions asked after this are rendered from the new files, those asked before from the old ones, whenever
    they are answered.
    """

    at_ns: int
    prompts: dict[str, str]


class EndOfTape(Input, frozen=True, gc=False, tag="end_of_tape"):
    """No more rows will come; the engine sums up."""


class TradingCommand(Output, frozen=True, gc=False):
    """What a gateway is to carry to the venue."""


class SubmitOrder(TradingCommand, frozen=True, gc=False, tag="submit_order"):
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


class CancelOrder(TradingCommand, frozen=True, gc=False, tag="cancel_order"):
    """A wish to take a resting order back; `at_ns` is engine time."""

    at_ns: int
    order_id: str
    reason: str


class ReplaceOrder(TradingCommand, frozen=True, gc=False, tag="replace_order"):
    """A wish to give a resting order another limit and whole quantity; its id stays."""

    at_ns: int
    order_id: str
    limit: Decimal
    quantity: Decimal


class QueryOrder(TradingCommand, frozen=True, gc=False, tag="query_order"):
    """A question: what became of this order? Answered by all that the venue ever said of it."""

    at_ns: int
    order_id: str


class QueryFills(TradingCommand, frozen=True, gc=False, tag="query_fills"):
    """A question: which fills were there at or after `since_ns`? Answered by their reports."""

    at_ns: int
    since_ns: int


class QueryOpenOrders(TradingCommand, frozen=True, gc=False, tag="query_open"):
    """A question: which orders are open, and which ended recently? Answered by an `OrderMassStatus`."""

    at_ns: int


class QueryAccount(TradingCommand, frozen=True, gc=False, tag="query_account"):
    """A question: what is held? Answered by an `AccountState`."""

    at_ns: int


class DeliberationRequested(Output, frozen=True, gc=False, tag="deliberate"):
    """A question to the slow plane; the snapshot that it is about has the hash `snapshot`."""

    at_ns: int
    number: int
    kind: DeliberationKind
    symbol: str
    snapshot: str


class GateChanged(Output, frozen=True, gc=False, tag="gate_changed"):
    """Whether a symbol may be bought from here on; an open gate closes by itself at `valid_until_ns`."""

    at_ns: int
    symbol: str
    state: Literal["open", "closed", "cooldown", "expired"]
    why: str
    valid_until_ns: int


class ProposalResolved(Output, frozen=True, gc=False, tag="disposed"):
    """What became of the agents' proposal `number`: `code` is `entry`, the exit's, or why there is no order."""

    at_ns: int
    number: int
    symbol: str
    code: str


class CooldownChanged(Output, frozen=True, gc=False, tag="cooldown"):
    """No question about a symbol for so many `quotes`, and `why`; 0 quotes: it is over."""

    at_ns: int
    symbol: str
    quotes: int
    why: str


class FillBooked(Output, frozen=True, gc=False, tag="booked"):
    """The books after one fill, so that a difference shows where it begins."""

    order_id: str
    position: Decimal
    cost: Decimal
    cash: Decimal
    realized: Decimal


class OrderOverfilled(Output, frozen=True, gc=False, tag="overfilled"):
    """The venue filled more than was ordered; the excess is booked, for the position is real."""

    order_id: str
    excess: Decimal


class Alert(Output, frozen=True, gc=False, tag="alarm"):
    """Something that a person should know of; `subject` is an order or a symbol."""

    code: str
    subject: str
    text: str


class OrderAdopted(Output, frozen=True, gc=False, tag="adopted"):
    """An order found at the venue is now managed as our own."""

    order: VenueOrderStatus
    why: Literal["lost_intent", "external"]


class ExternalChange(Output, frozen=True, gc=False, tag="external"):
    """The venue holds `amount` more than the books explain; `policy` says what was done about it."""

    kind: Literal["position", "cash"]
    subject: str
    amount: Decimal
    policy: Literal["adopt", "alert", "halt"]


class Reconciled(Output, frozen=True, gc=False, tag="reconciled"):
    """Orders, fills, positions and cash were held against the venue's."""

    at_ns: int
    differences: int


class Reducing(Output, frozen=True, gc=False, tag="reducing"):
    """Entries are off while `causes` last; what reduces exposure goes on."""

    causes: tuple[str, ...]


class Active(Output, frozen=True, gc=False, tag="active"):
    """No cause to reduce is left."""


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


AnyTradingCommand = (
    SubmitOrder | CancelOrder | ReplaceOrder | QueryOrder | QueryOpenOrders | QueryFills | QueryAccount
)
OrderEvent = (
    OrderAccepted
    | OrderRejected
    | RequestUnknown
    | RequestThrottled
    | OrderNotFound
    | ChangeRejected
    | OrderReplaced
    | ExecutionReport
)
VenueEvent = OrderEvent | OrderMassStatus | AccountState | ConnectionStatus
AnyInput = (
    RunStarted
    | VenueEvent
    | Decision
    | PromptsChanged
    | Timer
    | OperatorCommand
    | SystemFault
    | LoopLag
    | Restarted
    | EndOfTape
)
AnyOutput = (
    AnyTradingCommand
    | DeliberationRequested
    | GateChanged
    | ProposalResolved
    | CooldownChanged
    | FillBooked
    | OrderOverfilled
    | Alert
    | OrderAdopted
    | ExternalChange
    | Reconciled
    | Reducing
    | Active
    | Halted
    | Resumed
    | RunResult
)
AnyEvent = AnyInput | AnyOutput


class JournalEntry(msgspec.Struct, frozen=True, gc=False):
    """One journaled event: its number, and how many rows of the tape came before it."""

    seq: int
    pos: int
    event: AnyEvent

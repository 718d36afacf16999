"""The engine's inputs and outputs, as the journal records them.

The engine is a function from inputs to outputs. Market rows are inputs too, but the journal records their
position on the tape instead of their content. All inputs and outputs share one running `seq`, rows included,
so a record does not depend on how the stream was cut into batches.
"""

from decimal import Decimal
from typing import Literal

import msgspec

from autohedge.core.orders import OrderType, Side, TimeInForce
from autohedge.core.results import RunResult
from autohedge.core.snapshots import DeliberationKind


# gc=False in this module: events hold no reference cycles, and the collector need not track them.
# Tags, fields and their order are the record format: a change needs a new FORMAT in journal/genesis.py.
class Event(msgspec.Struct, frozen=True, gc=False, tag_field="type"):
    """Base of all journaled events; `type` in the JSON is the tag of the class."""


class Input(Event, frozen=True, gc=False):
    """Base of what the engine receives."""


class Output(Event, frozen=True, gc=False):
    """Base of what the engine emits."""


class RunStarted(Input, frozen=True, gc=False, tag="run_nonce"):
    """The first input of a run: the nonce from which its ids derive.

    `at_ns` is 0, before any row, unless the clock of a remote venue is already running.
    """

    nonce: str
    at_ns: int = 0


class OrderEventBase(Input, frozen=True, gc=False):
    """Base of a venue's answers about one order; `at_ns` is when the engine receives the answer."""

    at_ns: int
    order_id: str


class OrderAccepted(OrderEventBase, frozen=True, gc=False, tag="accepted"):
    """The venue has the order."""

    venue_order_id: str


class OrderRejected(OrderEventBase, frozen=True, gc=False, tag="rejected"):
    """The venue refused the order; it has no exposure."""

    reason: str


class RequestUnknown(OrderEventBase, frozen=True, gc=False, tag="unknown"):
    """The answer to a request was lost: the request may have taken effect or not."""

    cause: str
    about: Literal["submit", "cancel", "replace", "query"] = "submit"


class RequestThrottled(OrderEventBase, frozen=True, gc=False, tag="throttled"):
    """The venue refused to process the request and accepts none before `until_ns`: a 429, or a ban (418)."""

    until_ns: int
    about: Literal["submit", "cancel", "replace", "query"] = "submit"


class OrderNotFound(OrderEventBase, frozen=True, gc=False, tag="not_found"):
    """When queried at `asked_ns`, the venue knew no such order: it never arrived, or is not visible yet."""

    asked_ns: int


class ChangeRejected(OrderEventBase, frozen=True, gc=False, tag="change_refused"):
    """The venue did not cancel or replace: the order may have ended already, or rests unchanged."""

    reason: str


class OrderReplaced(OrderEventBase, frozen=True, gc=False, tag="replaced"):
    """The order rests with this new limit and total quantity."""

    limit: Decimal
    quantity: Decimal


class ExecutionReport(OrderEventBase, frozen=True, gc=False, omit_defaults=True, tag="report"):
    """What happened to a live order, at `ts_ns` on the venue's clock.

    `quantity`, `price`, `fee` and `trade_id` belong to fills; a bust cancels the fill `trade_id`. The report
    of an end has the quantity `filled` until then, so that a fill whose report was lost is detected.
    """

    kind: Literal["fill", "expired", "canceled", "bust"]
    ts_ns: int
    trade_id: str | None = None
    quantity: Decimal | None = None
    price: Decimal | None = None
    fee: Decimal | None = None
    filled: Decimal | None = None


class VenueOrderStatus(msgspec.Struct, frozen=True, gc=False):
    """An order as its venue reports it; `filled` is the filled part of `quantity`."""

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
    """All open and recently ended orders of the account, as requested at `asked_ns`."""

    at_ns: int
    asked_ns: int
    orders: tuple[VenueOrderStatus, ...]


class AccountState(Input, frozen=True, gc=False, tag="account"):
    """The account at the venue, as requested at `asked_ns`: cash, and each quantity that is not zero."""

    at_ns: int
    asked_ns: int
    cash: Decimal
    positions: dict[str, Decimal]


class ConnectionStatus(Input, frozen=True, gc=False, tag="link"):
    """The state of the connection to the venue; while it is not `up`, answers may be missed."""

    at_ns: int
    state: Literal["up", "down", "maintenance"]


class LoopLag(Input, frozen=True, gc=False, tag="lag"):
    """The runtime is late by `lag_ms`; sent when the lag crosses the limit, in either direction."""

    at_ns: int
    lag_ms: float


class Timer(Input, frozen=True, gc=False, tag="timer"):
    """A deadline of the engine has passed."""

    at_ns: int


class OperatorCommand(Input, frozen=True, gc=False, tag="operator"):
    """A command of the operator; `halt_id` names the automatic halt that a `resume` lifts.

    After `stop` the engine takes no more rows: the run delivers what is in flight, and ends.
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
    """The run continues after its process died.

    Rows before `pos` that the engine had not taken are skipped. Later ids derive from `nonce`, so that an id
    lost with the end of the record is never used twice. `lost_at_crash` are the orders that recovery derived
    beyond the end of the record; they were not sent. Later deliberations have numbers above `last_number`: the
    transcript may have lines of deliberations whose requests were lost with the end of the record. The other
    way round, `missing_answers` are the deliberations whose decision names lines that the transcript lacks, apart
    from those that an earlier restart named: a power failure can lose them, and the run goes on without them.
    """

    at_ns: int
    pos: int
    nonce: str
    lost_at_crash: tuple[str, ...] = ()
    last_number: int = 0
    missing_answers: tuple[int, ...] = ()


class Continued(Input, frozen=True, gc=False, tag="continued"):
    """A run in virtual time continues after its process died.

    Engine, venue and agents are what they were, since the run was repeated up to here: no order is unknown
    and no gate closes. Only later ids differ, because they derive from `nonce`.
    """

    at_ns: int
    nonce: str


class Proposal(msgspec.Struct, frozen=True, gc=False):
    """The agents' parameters for an entry; it can only narrow what sizing, limits and exits allow.

    `size_pct` is a percentage of what sizing allows, `offset_bps` how far the limit lies below the one that
    the settings give; the exits are in bps of the mid.
    """

    size_pct: int
    take_profit_bps: int
    stop_loss_bps: int
    offset_bps: int
    time_in_force: Literal["ioc", "gtc"]


class Decision(Input, frozen=True, gc=False, omit_defaults=True, tag="decision"):
    """The result of deliberation `number`, requested at `asked_ns` and known from `at_ns` on.

    `keep` has no effect. The `code` of an abstention gives the cause, the `code` of a `no_trade` the agent
    that refused. `calls` are the hashes of the transcript's lines. `source` is what answered: a model, the
    rules, `bypass` where no agent was asked, or `cache`; a cached verdict was requested at `decided_ns`.
    `agreement_pct` is the share of samples that agreed, `unsupported` the figures in the thesis that the
    snapshot does not support, and the key levels that are far from the market, such as `key level 0.46`.
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
    """The user edited prompts: `prompts` maps the agents concerned to their new files in the run's folder.

    Requests made after this are rendered from the new files, those made before from the old ones, whenever
    they are answered.
    """

    at_ns: int
    prompts: dict[str, str]


class EndOfTape(Input, frozen=True, gc=False, tag="end_of_tape"):
    """The tape has no more rows; the engine emits its result."""


class TradingCommand(Output, frozen=True, gc=False):
    """Base of the commands that a gateway carries to the venue."""


class SubmitOrder(TradingCommand, frozen=True, gc=False, tag="submit_order"):
    """Places an order; journaled before it leaves for the venue. `at_ns` is engine time."""

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
    """Requests the cancellation of a resting order; `at_ns` is engine time."""

    at_ns: int
    order_id: str
    reason: str


class ReplaceOrder(TradingCommand, frozen=True, gc=False, tag="replace_order"):
    """Requests another limit and total quantity for a resting order; its id stays."""

    at_ns: int
    order_id: str
    limit: Decimal
    quantity: Decimal


class QueryOrder(TradingCommand, frozen=True, gc=False, tag="query_order"):
    """Requests the state of one order; the answer is every event that the venue has sent about it."""

    at_ns: int
    order_id: str


class QueryFills(TradingCommand, frozen=True, gc=False, tag="query_fills"):
    """Requests the fills at or after `since_ns`; the answer is their reports."""

    at_ns: int
    since_ns: int


class QueryOpenOrders(TradingCommand, frozen=True, gc=False, tag="query_open"):
    """Requests the open and recently ended orders; the answer is an `OrderMassStatus`."""

    at_ns: int


class QueryAccount(TradingCommand, frozen=True, gc=False, tag="query_account"):
    """Requests cash and positions; the answer is an `AccountState`."""

    at_ns: int


class DeliberationRequested(Output, frozen=True, gc=False, tag="deliberate"):
    """A request to the agents; `snapshot` is the hash of the snapshot that it is about."""

    at_ns: int
    number: int
    kind: DeliberationKind
    symbol: str
    snapshot: str


class GateChanged(Output, frozen=True, gc=False, tag="gate_changed"):
    """The new state of a symbol's entry gate; an open gate closes by itself at `valid_until_ns`."""

    at_ns: int
    symbol: str
    state: Literal["open", "closed", "cooldown", "expired"]
    why: str
    valid_until_ns: int


class ProposalResolved(Output, frozen=True, gc=False, tag="disposed"):
    """The outcome of the agents' proposal `number`: `code` is `entry`, the exit's code, or the refusal."""

    at_ns: int
    number: int
    symbol: str
    code: str


class CooldownChanged(Output, frozen=True, gc=False, tag="cooldown"):
    """No deliberation about a symbol for this many `quotes`, and `why`; 0 quotes end the cooldown."""

    at_ns: int
    symbol: str
    quotes: int
    why: str


class FillBooked(Output, frozen=True, gc=False, tag="booked"):
    """The ledger after one fill, so that a replay shows where a difference begins."""

    order_id: str
    position: Decimal
    cost: Decimal
    cash: Decimal
    realized: Decimal


class OrderOverfilled(Output, frozen=True, gc=False, tag="overfilled"):
    """The venue filled more than was ordered; the excess is booked, because the position is real."""

    order_id: str
    excess: Decimal


class Alert(Output, frozen=True, gc=False, tag="alarm"):
    """An event that an operator should know of; `subject` is an order or a symbol."""

    code: str
    subject: str
    text: str


class OrderAdopted(Output, frozen=True, gc=False, tag="adopted"):
    """An order found at the venue is now managed as one of this run."""

    order: VenueOrderStatus
    why: Literal["lost_intent", "external"]


class ExternalChange(Output, frozen=True, gc=False, tag="external"):
    """The venue holds `amount` more than the ledger explains; `policy` is how it was handled."""

    kind: Literal["position", "cash"]
    subject: str
    amount: Decimal
    policy: Literal["adopt", "alert", "halt"]


class Reconciled(Output, frozen=True, gc=False, tag="reconciled"):
    """Orders, fills, positions and cash were compared with the venue's."""

    at_ns: int
    differences: int


class Reducing(Output, frozen=True, gc=False, tag="reducing"):
    """Entries are off while `causes` last; orders that reduce exposure continue."""

    causes: tuple[str, ...]


class Active(Output, frozen=True, gc=False, tag="active"):
    """The last cause to reduce is gone; entries are on."""


class Halted(Output, frozen=True, gc=False, tag="halted"):
    """Entries are off until an operator resumes.

    An automatic halt has a `halt_id`, which `resume` must name.
    """

    reason: str
    halt_id: str | None = None


class Resumed(Output, frozen=True, gc=False, tag="resumed"):
    """Entries are on after a halt."""

    reason: str


class RunEnded(Output, frozen=True, gc=False, tag="run_result"):
    """The last output: the result of the run."""

    result: RunResult


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
    | Continued
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
    | RunEnded
)
AnyEvent = AnyInput | AnyOutput


class JournalEntry(msgspec.Struct, frozen=True, gc=False):
    """One journaled event: its number, and the count of tape rows before it."""

    seq: int
    pos: int
    event: AnyEvent

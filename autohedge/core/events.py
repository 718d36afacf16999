"""The engine's inputs and outputs, as the journal records them.

The engine is a function from inputs to outputs. Market rows are inputs too, but the journal records their
position on the tape instead of their content. All inputs and outputs share one running `seq`, rows included,
so a record does not depend on how the stream was cut into batches.
"""

from decimal import Decimal
from typing import Literal

import msgspec

from autohedge.core.agent_events import (
    CooldownChanged,
    Decision,
    DeliberationRequested,
    GateChanged,
    PromptsChanged,
    Proposal,
    ProposalResolved,
)
from autohedge.core.commands import (
    AnyTradingCommand,
    CancelOrder,
    QueryAccount,
    QueryFills,
    QueryOpenOrders,
    QueryOrder,
    ReplaceOrder,
    SubmitOrder,
    TradingCommand,
)
from autohedge.core.event_base import Event, Input, Output
from autohedge.core.ids import (
    DEFAULT_ACCOUNT,
    DEFAULT_STRATEGY,
    DEFAULT_VENUE,
    AccountId,
    StrategyId,
    VenueId,
)
from autohedge.core.orders import OrderType, Purpose, Side, TimeInForce
from autohedge.core.results import RunResult

__all__ = [  # beside the classes below: every event can be imported from here
    "AnyTradingCommand",
    "CancelOrder",
    "CooldownChanged",
    "Decision",
    "DeliberationRequested",
    "Event",
    "GateChanged",
    "Input",
    "Output",
    "PromptsChanged",
    "Proposal",
    "ProposalResolved",
    "QueryAccount",
    "QueryFills",
    "QueryOpenOrders",
    "QueryOrder",
    "ReplaceOrder",
    "SubmitOrder",
    "TradingCommand",
]


class RunStarted(Input, frozen=True, gc=False):
    """The first input of a run: the nonce from which its ids derive.

    `at_ns` is 0, before any row, unless the clock of a remote venue is already running.
    """

    nonce: str
    at_ns: int = 0


class OrderEventBase(Input, frozen=True, gc=False):
    """Base of a venue's answers about one order; `at_ns` is when the engine receives the answer."""

    at_ns: int
    order_id: str


class OrderAccepted(OrderEventBase, frozen=True, gc=False):
    """The venue has the order."""

    venue_order_id: str


class OrderRejected(OrderEventBase, frozen=True, gc=False):
    """The venue refused the order; it has no exposure."""

    reason: str


class RequestUnknown(OrderEventBase, frozen=True, gc=False):
    """The answer to a request was lost: the request may have taken effect or not."""

    cause: str
    about: Literal["submit", "cancel", "replace", "query"] = "submit"


class RequestThrottled(OrderEventBase, frozen=True, gc=False):
    """The venue refused to process the request and accepts none before `until_ns`: a 429, or a ban (418)."""

    until_ns: int
    about: Literal["submit", "cancel", "replace", "query"] = "submit"


class OrderNotFound(OrderEventBase, frozen=True, gc=False):
    """When queried at `asked_ns`, the venue knew no such order: it never arrived, or is not visible yet."""

    asked_ns: int


class ChangeRejected(OrderEventBase, frozen=True, gc=False):
    """The venue did not cancel or replace: the order may have ended already, or rests unchanged."""

    reason: str


class OrderReplaced(OrderEventBase, frozen=True, gc=False):
    """The order rests with this new limit and total quantity."""

    limit: Decimal
    quantity: Decimal


class ExecutionReport(OrderEventBase, frozen=True, gc=False, omit_defaults=True):
    """What happened to a live order, at `ts_ns` on the venue's clock.

    `quantity`, `price`, `fee` and `trade_id` belong to fills; a bust cancels the fill `trade_id`. The fee is in
    the quote currency if `fee_currency` is None. The report of an end has the quantity `filled` until then, so
    that a fill whose report was lost is detected. `liquidity` is reserved for venues that report it.
    """

    kind: Literal["fill", "expired", "canceled", "bust"]
    ts_ns: int
    trade_id: str | None = None
    quantity: Decimal | None = None
    price: Decimal | None = None
    fee: Decimal | None = None
    filled: Decimal | None = None
    fee_currency: str | None = None
    venue: VenueId = DEFAULT_VENUE
    account: AccountId = DEFAULT_ACCOUNT
    strategy: StrategyId = DEFAULT_STRATEGY
    liquidity: Literal["maker", "taker"] | None = None


class VenueOrderStatus(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
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
    venue: VenueId = DEFAULT_VENUE
    account: AccountId = DEFAULT_ACCOUNT


class OrderMassStatus(Input, frozen=True, gc=False, omit_defaults=True):
    """All open and recently ended orders of the account, as requested at `asked_ns`."""

    at_ns: int
    asked_ns: int
    orders: tuple[VenueOrderStatus, ...]
    venue: VenueId = DEFAULT_VENUE
    account: AccountId = DEFAULT_ACCOUNT


class AccountState(Input, frozen=True, gc=False, omit_defaults=True):
    """The account at the venue, as requested at `asked_ns`: cash, and each quantity that is not zero.

    `cash` is in the reporting currency, `balances` has the other currencies. `margin_used` is reserved for
    accounts with margin.
    """

    at_ns: int
    asked_ns: int
    cash: Decimal
    positions: dict[str, Decimal]
    balances: dict[str, Decimal] = msgspec.field(default_factory=dict)
    venue: VenueId = DEFAULT_VENUE
    account: AccountId = DEFAULT_ACCOUNT
    margin_used: Decimal | None = None


class ConnectionStatus(Input, frozen=True, gc=False):
    """The state of the connection to the venue; while it is not `up`, answers may be missed."""

    at_ns: int
    state: Literal["up", "down", "maintenance"]


class LoopLag(Input, frozen=True, gc=False):
    """The runtime is late by `lag_ms`; sent when the lag crosses the limit, in either direction."""

    at_ns: int
    lag_ms: float


class ClockReached(Input, frozen=True, gc=False):
    """No row came, and the clock finishes a bar at the time `at_ns`, which is that of the bar's row.

    It happened once `rows` rows of all streams of the live store had come.
    """

    at_ns: int
    rows: int


class Timer(Input, frozen=True, gc=False):
    """A deadline of the engine has passed."""

    at_ns: int


class OperatorCommand(Input, frozen=True, gc=False, omit_defaults=True):
    """A command of `actor`, done once per `request_id`; `resume` names an automatic halt by `halt_id`.

    After `stop` the engine takes no more rows: the run delivers what is in flight, and ends.
    """

    at_ns: int
    command: Literal["halt", "resume", "flatten", "pause", "cancel_all", "sync", "stop"]
    reason: str
    halt_id: str | None = None
    actor: str = ""
    request_id: str = ""


class SettingsChanged(Input, frozen=True, gc=False, omit_defaults=True):
    """A person changed settings: `changes` has the new value of each by its full name, null where it has none.

    The hashes name the files of all settings, before and after, in the run's folder. What each change waits for
    is declared in `config/sections.py`.
    """

    at_ns: int
    old_hash: str
    new_hash: str
    changes: dict[str, bool | int | float | str | None]
    reason: str = ""
    actor: str = ""


class SystemFault(Input, frozen=True, gc=False):
    """The machine failed in a way that must stop entries, such as a full disk."""

    at_ns: int
    cause: str


class Restarted(Input, frozen=True, gc=False):
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


class Continued(Input, frozen=True, gc=False):
    """A run in virtual time continues after its process died.

    Engine, venue and agents are what they were, since the run was repeated up to here: no order is unknown
    and no gate closes. Only later ids differ, because they derive from `nonce`.
    """

    at_ns: int
    nonce: str


class TapeSealed(Input, frozen=True, gc=False):
    """The content of the rows since the last seal: `hash` is the XXH3-128 of those before row `rows`.

    For a live store of several kinds it has such a hash for each table of the store, joined by dots.

    It is taken of every block of rows and of the rest before the end, and names what the run has traded also
    where rows came while it ran. The last of these rows has the time `at_ns`.
    """

    at_ns: int
    rows: int
    hash: str


class EndOfTape(Input, frozen=True, gc=False):
    """The tape has no more rows; the engine emits its result."""


class FillBooked(Output, frozen=True, gc=False, omit_defaults=True):
    """The ledger after one fill, so that a replay shows where a difference begins.

    `cash` is in the reporting currency. `realized` is the P&L of all fills so far, each in the quote currency of
    its symbol. The others belong to a fill that moved another currency than the reporting one: the `balances` that
    it moved; the `rate` of the quote currency, in the reporting one; and the fee in the quote currency, if it was
    paid in another.
    """

    order_id: str
    position: Decimal
    cost: Decimal
    cash: Decimal
    realized: Decimal
    balances: dict[str, Decimal] | None = None
    rate: Decimal | None = None
    quoted_fee: Decimal | None = None
    venue: VenueId = DEFAULT_VENUE
    account: AccountId = DEFAULT_ACCOUNT
    strategy: StrategyId = DEFAULT_STRATEGY


class OrderOverfilled(Output, frozen=True, gc=False):
    """The venue filled more than was ordered; the excess is booked, because the position is real."""

    order_id: str
    excess: Decimal


class Alert(Output, frozen=True, gc=False):
    """An event that an operator should know of; `subject` is an order or a symbol."""

    code: str
    subject: str
    text: str


class OrderAdopted(Output, frozen=True, gc=False, omit_defaults=True):
    """An order found at the venue is now managed as one of this run.

    The venue knows no `purpose`: an order against the position leaves it.
    """

    order: VenueOrderStatus
    why: Literal["lost_intent", "external"]
    purpose: Purpose
    strategy: StrategyId = DEFAULT_STRATEGY


class ExternalChange(Output, frozen=True, gc=False, omit_defaults=True):
    """The venue holds `amount` more than the ledger explains; `policy` is how it was handled.

    The subject is a symbol, or the currency of cash.
    """

    kind: Literal["position", "cash"]
    subject: str
    amount: Decimal
    policy: Literal["adopt", "alert", "halt"]
    venue: VenueId = DEFAULT_VENUE
    account: AccountId = DEFAULT_ACCOUNT


class Reconciled(Output, frozen=True, gc=False):
    """Orders, fills, positions and cash were compared with the venue's."""

    at_ns: int
    differences: int


class TradingStateChanged(Output, frozen=True, gc=False, omit_defaults=True):
    """The trading state of the account, complete as it is after a change.

    `causes` are why entries are off for a time; they may come and go while trading is halted, too. A halt and
    a resume have a `reason`, other changes have none. An automatic halt has a `halt_id`, which a `resume`
    must name.
    """

    state: Literal["active", "reducing", "halted"]
    causes: tuple[str, ...] = ()
    reason: str = ""
    halt_id: str | None = None

    @property
    def is_halt(self) -> bool:
        """Whether this halts entries until an operator resumes; also a later halt during a halt."""
        return self.state == "halted" and bool(self.reason)

    @property
    def is_resume(self) -> bool:
        """Whether this lifts a halt or a pause; entries are on again if there are no `causes`."""
        return self.state != "halted" and bool(self.reason)


class RunEnded(Output, frozen=True, gc=False):
    """The last output: the result of the run."""

    result: RunResult


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
    | SettingsChanged
    | Timer
    | OperatorCommand
    | SystemFault
    | LoopLag
    | ClockReached
    | Restarted
    | Continued
    | TapeSealed
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
    | TradingStateChanged
    | RunEnded
)
AnyEvent = AnyInput | AnyOutput


class JournalEntry(msgspec.Struct, frozen=True, gc=False):
    """One journaled event: its number, and the count of tape rows before it."""

    seq: int
    pos: int
    event: AnyEvent

"""The commands that a gateway carries to the venue: outputs of the engine, journaled before they leave."""

from decimal import Decimal

from autohedge.core.event_base import Output
from autohedge.core.ids import (
    DEFAULT_ACCOUNT,
    DEFAULT_STRATEGY,
    DEFAULT_VENUE,
    AccountId,
    StrategyId,
    VenueId,
)
from autohedge.core.orders import OrderType, Purpose, Side, TimeInForce


class TradingCommand(Output, frozen=True, gc=False):
    """Base of the commands that a gateway carries to the venue."""


class SubmitOrder(TradingCommand, frozen=True, gc=False, omit_defaults=True):
    """Places an order; journaled before it leaves for the venue. `at_ns` is engine time."""

    at_ns: int
    order_id: str
    symbol: str
    side: Side
    purpose: Purpose
    order_type: OrderType
    time_in_force: TimeInForce
    limit: Decimal | None
    quantity: Decimal
    reason: str
    take_profit: float | None
    stop_loss: float | None
    venue: VenueId = DEFAULT_VENUE
    account: AccountId = DEFAULT_ACCOUNT
    strategy: StrategyId = DEFAULT_STRATEGY


class CancelOrder(TradingCommand, frozen=True, gc=False):
    """Requests the cancellation of a resting order; `at_ns` is engine time."""

    at_ns: int
    order_id: str
    reason: str


class ReplaceOrder(TradingCommand, frozen=True, gc=False):
    """Requests another limit and total quantity for a resting order; its id stays."""

    at_ns: int
    order_id: str
    limit: Decimal
    quantity: Decimal


class QueryOrder(TradingCommand, frozen=True, gc=False):
    """Requests the state of one order; the answer is every event that the venue has sent about it."""

    at_ns: int
    order_id: str


class QueryFills(TradingCommand, frozen=True, gc=False):
    """Requests the fills at or after `since_ns`; the answer is their reports."""

    at_ns: int
    since_ns: int


class QueryOpenOrders(TradingCommand, frozen=True, gc=False):
    """Requests the open and recently ended orders; the answer is an `OrderMassStatus`."""

    at_ns: int


class QueryAccount(TradingCommand, frozen=True, gc=False):
    """Requests cash and positions; the answer is an `AccountState`."""

    at_ns: int


AnyTradingCommand = (
    SubmitOrder | CancelOrder | ReplaceOrder | QueryOrder | QueryOpenOrders | QueryFills | QueryAccount
)

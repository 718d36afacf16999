"""Orders and the table of their state transitions.

UNKNOWN means that the venue's answer was lost. It can follow any working state, keeps the order's exposure
reserved, and ends only on evidence from the venue. An order whose cancellation was requested stays
PENDING_CANCEL until the venue reports how it ended. A late fill on a final order is legal: it changes the
ledger. If several ends are reported, the strongest one holds, in any order of arrival.
"""

from decimal import Decimal
from enum import StrEnum, auto, unique
from math import inf

import msgspec

from autohedge.core.errors import IllegalTransition
from autohedge.core.ids import (
    DEFAULT_ACCOUNT,
    DEFAULT_STRATEGY,
    DEFAULT_VENUE,
    AccountId,
    StrategyId,
    VenueId,
)


@unique
class Side(StrEnum):
    """The direction of an order."""

    __hash__ = str.__hash__

    BUY = auto()
    SELL = auto()


@unique
class Purpose(StrEnum):
    """What an order is for: to enter a position or add to it, or to leave it."""

    __hash__ = str.__hash__

    ENTER = auto()
    LEAVE = auto()


@unique
class OrderType(StrEnum):
    """How an order sets its price."""

    MARKET = auto()
    LIMIT = auto()


@unique
class TimeInForce(StrEnum):
    """How long an order stays: immediate or cancel, or good till cancelled."""

    IOC = auto()
    GTC = auto()


@unique
class OrderState(StrEnum):
    """The state of an order, from intent to end."""

    __hash__ = str.__hash__

    INTENT = auto()
    SUBMITTED = auto()
    UNKNOWN = auto()
    OPEN = auto()
    PARTIAL = auto()
    PENDING_CANCEL = auto()
    PENDING_REPLACE = auto()
    FILLED = auto()
    CANCELED = auto()
    EXPIRED = auto()
    REJECTED = auto()
    DENIED = auto()
    NOT_PLACED = auto()


@unique
class OrderTrigger(StrEnum):
    """What can happen to an order."""

    __hash__ = str.__hash__

    SUBMIT = auto()
    DENY = auto()
    ACCEPT = auto()
    REJECT = auto()
    LOSE_ANSWER = auto()
    FILL_PART = auto()
    FILL_REST = auto()
    REQUEST_CANCEL = auto()
    REQUEST_REPLACE = auto()
    REPLACE = auto()
    REFUSE_CHANGE = auto()
    CANCEL = auto()
    EXPIRE = auto()
    PROVE_ABSENT = auto()


# Module-level names, because Python 3.11 takes a quarter of a microsecond to look up an enum member.
BUY, SELL = Side
SIDE_OF = {"long": BUY, "short": SELL}
"""The side of an entry in each direction."""
ENTER, LEAVE = Purpose
MARKET, LIMIT = OrderType
IOC, GTC = TimeInForce

ACTIONS = {(BUY, ENTER): "buy", (SELL, LEAVE): "sell", (SELL, ENTER): "sell short", (BUY, LEAVE): "cover"}
"""What an order does, in a word for people."""

_S, _E = OrderState, OrderTrigger

FINAL = frozenset({_S.FILLED, _S.CANCELED, _S.EXPIRED, _S.REJECTED, _S.DENIED, _S.NOT_PLACED})
WORKING = frozenset(OrderState) - FINAL

_ENDS = {
    _E.FILL_REST: _S.FILLED,
    _E.CANCEL: _S.CANCELED,
    _E.EXPIRE: _S.EXPIRED,
    _E.LOSE_ANSWER: _S.UNKNOWN,
}
_LIVE = _ENDS | {
    _E.FILL_PART: _S.PARTIAL,
    _E.REQUEST_CANCEL: _S.PENDING_CANCEL,
    _E.REQUEST_REPLACE: _S.PENDING_REPLACE,
}
# The ends by strength, weakest first: an end that proves more about the order replaces a weaker one.
_RANK = (_S.NOT_PLACED, _S.REJECTED, _S.EXPIRED, _S.CANCELED, _S.FILLED)
_REPORTED_ENDS = {
    _E.PROVE_ABSENT: _S.NOT_PLACED,
    _E.REJECT: _S.REJECTED,
    _E.EXPIRE: _S.EXPIRED,
    _E.CANCEL: _S.CANCELED,
    _E.FILL_REST: _S.FILLED,
}


def _final_transitions(state: OrderState) -> dict[OrderTrigger, OrderState]:
    """Returns the transitions of a final state: the strongest reported end holds, in any order of arrival."""
    stays = dict.fromkeys((_E.FILL_PART, _E.ACCEPT, _E.REPLACE, _E.REFUSE_CHANGE), state)
    if state is _S.DENIED:
        return {}  # the risk checks refused it, so it was never sent and no venue can report on it
    return stays | {event: max(state, end, key=_RANK.index) for event, end in _REPORTED_ENDS.items()}


def _late_change_transitions(state: OrderState) -> dict[OrderTrigger, OrderState]:
    """Returns the transitions for a late or repeated answer to a replace request: the state stays."""
    return dict.fromkeys((_E.REPLACE, _E.REFUSE_CHANGE), state)


TRANSITIONS: dict[OrderState, dict[OrderTrigger, OrderState]] = {
    _S.INTENT: {_E.SUBMIT: _S.SUBMITTED, _E.DENY: _S.DENIED, _E.LOSE_ANSWER: _S.UNKNOWN},
    _S.SUBMITTED: _LIVE | {_E.ACCEPT: _S.OPEN, _E.REJECT: _S.REJECTED},
    _S.UNKNOWN: _LIVE
    | {
        _E.ACCEPT: _S.OPEN,
        _E.REPLACE: _S.OPEN,
        _E.REFUSE_CHANGE: _S.UNKNOWN,
        _E.REJECT: _S.REJECTED,
        _E.PROVE_ABSENT: _S.NOT_PLACED,
        _E.REQUEST_CANCEL: _S.UNKNOWN,
        _E.REQUEST_REPLACE: _S.UNKNOWN,
    },
    # Answers can arrive late, twice or out of order, so ACCEPT and REJECT stay legal.
    _S.OPEN: _LIVE | {_E.ACCEPT: _S.OPEN, _E.REJECT: _S.REJECTED} | _late_change_transitions(_S.OPEN),
    _S.PARTIAL: _LIVE
    | {_E.ACCEPT: _S.PARTIAL, _E.REJECT: _S.REJECTED}
    | _late_change_transitions(_S.PARTIAL),
    # A fill does not answer the cancel request, so it does not lead to PARTIAL.
    _S.PENDING_CANCEL: _ENDS
    | {
        _E.ACCEPT: _S.PENDING_CANCEL,
        _E.REJECT: _S.REJECTED,
        _E.FILL_PART: _S.PENDING_CANCEL,
        _E.REQUEST_CANCEL: _S.PENDING_CANCEL,
        _E.PROVE_ABSENT: _S.NOT_PLACED,
    }
    | _late_change_transitions(_S.PENDING_CANCEL),
    _S.PENDING_REPLACE: _LIVE
    | {
        _E.ACCEPT: _S.PENDING_REPLACE,
        _E.REJECT: _S.REJECTED,
        _E.FILL_PART: _S.PENDING_REPLACE,
        _E.REPLACE: _S.OPEN,
        _E.REFUSE_CHANGE: _S.OPEN,
        _E.PROVE_ABSENT: _S.NOT_PLACED,
    },
} | {state: _final_transitions(state) for state in FINAL}


def transition(state: OrderState, event: OrderTrigger) -> OrderState:
    """Returns the state that `event` leads to.

    Raises IllegalTransition where the table has no such transition.
    """
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        text = f"an order that is {state} cannot {event}; its record contradicts the venue's answer"
        raise IllegalTransition(text) from None


def closable(position: Decimal, side: Side) -> Decimal:
    """Returns how much of a position an order of this side closes; negative for a position on its own side."""
    return position if side is SELL else position.copy_negate()


class Intent(msgspec.Struct, frozen=True, gc=False):
    """A sized and priced order request, before the risk checks.

    `lane` is the index of the instrument's kernel state. `price` is what the order is expected to pay or get;
    `limit` is None for a market order. `take_profit`, `stop_loss` and `trail_from` are the exit levels of the
    position, as float64.
    """

    lane: int
    symbol: str
    side: Side
    purpose: Purpose
    order_type: OrderType
    time_in_force: TimeInForce
    quantity: Decimal
    price: Decimal
    limit: Decimal | None
    reason: str
    take_profit: float
    stop_loss: float
    trail_from: float = inf
    venue: VenueId = DEFAULT_VENUE
    account: AccountId = DEFAULT_ACCOUNT
    strategy: StrategyId = DEFAULT_STRATEGY

    @property
    def worst_price(self) -> Decimal:
        """The price at which money is reserved: the limit, or the expected price of a market order.

        A short may be sold above its limit, as the price improves until it arrives.
        """
        return self.price if self.limit is None else self.limit

    @property
    def reduce_only(self) -> bool:
        """Whether the order only reduces the position."""
        return self.purpose is LEAVE

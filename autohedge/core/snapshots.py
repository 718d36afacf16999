"""The snapshot of one symbol and the account that a deliberation is about; it holds no later data.

The engine takes a snapshot when it requests a deliberation. The hash of the snapshot is in the journal, so
the prompts can be rendered from it again, byte for byte.
"""

from decimal import Decimal
from hashlib import blake2b
from typing import Literal

import msgspec

from autohedge.core.ids import (
    DEFAULT_ACCOUNT,
    DEFAULT_STRATEGY,
    DEFAULT_VENUE,
    AccountId,
    StrategyId,
    VenueId,
)
from autohedge.core.money import subtract

DeliberationKind = Literal["gate", "trade", "learning"]
Direction = Literal["long", "short"]
# One object, because msgspec leaves out a default that is the same object.
ONLY_LONG: tuple[Direction, ...] = ("long",)


class QuoteRow(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One valid quote; a size that the tape does not have is 0."""

    ts_ns: int
    bid: float
    bid_size: float
    ask: float
    ask_size: float

    @property
    def mid(self) -> float:
        """The price between bid and ask: positive and finite, as they are."""
        # Not (bid + ask) / 2: that sum can overflow to infinity.
        return self.bid + (self.ask - self.bid) / 2


class BarWindow(msgspec.Struct, frozen=True, gc=False):
    """The last finished bars of one length, oldest first, as columns: their starts, and the mids' prices."""

    length_s: int
    start_ns: tuple[int, ...]
    open: tuple[float, ...]
    high: tuple[float, ...]
    low: tuple[float, ...]
    close: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.start_ns)


class PositionView(msgspec.Struct, frozen=True, gc=False):
    """The position in the symbol: `price` is its average cost; price and exit levels are 0 if flat.

    A short has a negative quantity.
    """

    quantity: Decimal
    price: float
    take_profit: float
    stop_loss: float

    @property
    def direction(self) -> Direction | Literal[""]:
        """The direction of the position; empty if flat."""
        return "long" if self.quantity > 0 else "short" if self.quantity < 0 else ""

    def gain_bps(self, quote: QuoteRow) -> float:
        """What closing the position at a quote would gain, in bps of its price: a long at the bid, a short at the ask."""
        exit_price = quote.bid if self.quantity > 0 else quote.ask
        gain = exit_price / self.price - 1 if self.quantity > 0 else 1 - exit_price / self.price
        return gain * 1e4


class ClosedTrade(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A finished round trip: `realized` is before `fees`, both in money; `reason` is the exit's code."""

    symbol: str
    opened_ns: int
    closed_ns: int
    quantity: Decimal
    entry_price: float
    exit_price: float
    realized: Decimal
    fees: Decimal
    reason: str
    direction: Direction = "long"

    @property
    def net(self) -> Decimal:
        """The profit after fees."""
        return subtract(self.realized, self.fees)

    @property
    def move_bps(self) -> float:
        """The gain from entry price to exit price in bps of the entry price; 0 for an entry without a price."""
        if self.entry_price <= 0:
            return 0.0
        rise = self.exit_price / self.entry_price - 1
        return (rise if self.direction == "long" else -rise) * 1e4


class AgentLimits(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The fixed limits, as the agents see them; an answer cannot change them.

    `stop_losses_bps` and `take_profits_bps` are the least and the most that the Risk agent may ask for. `directions`
    are those that an entry may have.
    """

    min_order_notional: Decimal
    max_order_notional: Decimal
    max_position_notional: Decimal
    max_exposure_notional: Decimal
    take_profit_bps: float
    stop_loss_bps: float
    fee_bps: Decimal
    min_edge_bps: float
    max_spread_bps: float
    stop_losses_bps: tuple[int, int]
    take_profits_bps: tuple[int, int]
    least_reward_to_risk: float
    most_offset_bps: int
    directions: tuple[Direction, ...] = ONLY_LONG


class Snapshot(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One symbol and the account at `at_ns`, the decision clock.

    `quotes` are the last valid ones, oldest first; `valid_quotes` counts all so far. `state` is the account's
    trading state, `gate` the symbol's. `closed_trades` are those of a learning deliberation, newest last. `bars` are
    windows of finished bars, the shortest length first.
    """

    number: int
    kind: DeliberationKind
    symbol: str
    at_ns: int
    quotes: tuple[QuoteRow, ...]
    valid_quotes: int
    position: PositionView
    cash: Decimal
    equity: Decimal
    buying_power: Decimal
    exposure: Decimal
    state: str
    gate: str
    limits: AgentLimits
    closed_trades: tuple[ClosedTrade, ...] = ()
    venue: VenueId = DEFAULT_VENUE
    account: AccountId = DEFAULT_ACCOUNT
    strategy: StrategyId = DEFAULT_STRATEGY
    bars: tuple[BarWindow, ...] = ()

    @property
    def plausible_prices(self) -> tuple[float, float]:
        """The least and the greatest price within 50 % of the last mid; all prices without a quote."""
        if not self.quotes:
            return 0.0, float("inf")
        mid = self.quotes[-1].mid
        return mid * 0.5, mid * 1.5

    @property
    def hash(self) -> str:
        """BLAKE2b-128 of the snapshot as JSON."""
        return blake2b(encode(self), digest_size=16).hexdigest()


encode = msgspec.json.Encoder(decimal_format="string").encode
decode = msgspec.json.Decoder(Snapshot).decode

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

DeliberationKind = Literal["gate", "trade", "learning"]


class QuoteRow(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One valid quote; a size that the tape does not have is 0."""

    ts_ns: int
    bid: float
    bid_size: float
    ask: float
    ask_size: float


class PositionView(msgspec.Struct, frozen=True, gc=False):
    """The position in the symbol: `price` is its average cost; price and exit levels are 0 if flat."""

    quantity: Decimal
    price: float
    take_profit: float
    stop_loss: float


class ClosedTrade(msgspec.Struct, frozen=True, gc=False):
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


class AgentLimits(msgspec.Struct, frozen=True, gc=False):
    """The fixed limits, as the agents see them; an answer cannot change them.

    `stop_losses_bps` and `take_profits_bps` are the least and the most that the Risk agent may ask for.
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


class Snapshot(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One symbol and the account at `at_ns`, the decision clock.

    `quotes` are the last valid ones, oldest first; `valid_quotes` counts all so far. `state` is the account's
    trading state, `gate` the symbol's. `closed_trades` are those of a learning deliberation, newest last.
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

    @property
    def plausible_prices(self) -> tuple[float, float]:
        """The least and the greatest price within 50 % of the last mid; all prices without a quote."""
        if not self.quotes:
            return 0.0, float("inf")
        last = self.quotes[-1]
        # Not (bid + ask) / 2: that sum can overflow to infinity.
        mid = last.bid + (last.ask - last.bid) / 2
        return mid * 0.5, mid * 1.5

    @property
    def hash(self) -> str:
        """BLAKE2b-128 of the snapshot as JSON."""
        return blake2b(encode(self), digest_size=16).hexdigest()


encode = msgspec.json.Encoder(decimal_format="string").encode
decode = msgspec.json.Decoder(Snapshot).decode

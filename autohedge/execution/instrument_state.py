"""The engine's state of one instrument, beside the kernel's record."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np

from autohedge.config import Settings
from autohedge.core.events import Proposal, VenueOrderStatus
from autohedge.core.instruments import Instrument
from autohedge.core.orders import Intent, Purpose
from autohedge.core.units import NS_PER_S
from autohedge.execution.sizing import Sizing
from autohedge.execution.twap import ExecutionSchedule
from autohedge.risk import Limits


@dataclass(slots=True)
class InstrumentState:
    """The instrument, settings and execution state of one lane.

    `take_profit`, `stop_loss` and `trail_from` are the exit levels of the open position, as prices.
    `last_entry_ns` and `last_exit_ns` are None before the first. `pending_exit_reason` is the reason of an
    exit that must be repeated until the position is flat, else empty. `refused` counts consecutive exits that
    the venue rejected. `dust` marks a position too small to be sold. `slices` is the rest of an entry that is
    sent in parts, `proposal` the agents' proposal behind the entry. Without a trailing stop,
    `trailing_activation_bps` is infinite.
    """

    instrument: Instrument
    sizing: Sizing
    limits: Limits
    aggression_bps: float | None
    take_profit_bps: float
    stop_loss_bps: float
    trailing_activation_bps: float
    trailing_distance_bps: float
    take_profit: float = np.inf
    stop_loss: float = -np.inf
    trail_from: float = np.inf
    last_entry_ns: int | None = None
    last_exit_ns: int | None = None
    pending_exit_reason: str = ""
    max_hold_ns: int = 0
    refused: int = 0
    dust: bool = False
    slices: ExecutionSchedule | None = None
    proposal: Proposal | None = None

    def set_exit_levels(self, take_profit: float, stop_loss: float, trail_from: float) -> None:
        """Sets the exit levels of the open position, as prices."""
        self.take_profit, self.stop_loss, self.trail_from = take_profit, stop_loss, trail_from

    def exit_levels(self, reference: float, proposal: Proposal | None = None) -> tuple[float, float, float]:
        """The take-profit, stop-loss and trail activation prices of an entry at `reference`."""
        # Proposals set the two exits; the trailing stop is never the agents' to change.
        exits = proposal or self
        return (
            reference * (1.0 + exits.take_profit_bps / 10_000.0),
            reference * (1.0 - exits.stop_loss_bps / 10_000.0),
            reference * (1.0 + self.trailing_activation_bps / 10_000.0),
        )

    def intent_of(self, found: VenueOrderStatus, purpose: Purpose, lane: int, mark: Decimal) -> Intent:
        """The intent of an adopted order from the venue's list, with exit levels from the current settings."""
        price = found.limit or mark
        take_profit, stop_loss, trail_from = self.exit_levels(float(price))
        return Intent(
            lane=lane,
            symbol=found.symbol,
            side=found.side,
            purpose=purpose,
            order_type=found.order_type,
            time_in_force=found.time_in_force,
            quantity=found.quantity,
            price=price,
            limit=found.limit,
            reason="adopted",
            take_profit=take_profit,
            stop_loss=stop_loss,
            trail_from=trail_from,
        )


def instrument_states(settings: Settings, symbols: Sequence[str]) -> list[InstrumentState]:
    """One state per lane, each with the settings of its symbol."""
    return [_instrument_state(settings.for_symbol(symbol), symbol) for symbol in symbols]


def _instrument_state(settings: Settings, symbol: str) -> InstrumentState:
    instrument = settings.instrument(symbol)
    limits = Limits.of(settings)
    return InstrumentState(
        instrument=instrument,
        sizing=Sizing.of(settings),
        # The account's minimum and the venue's both hold.
        limits=replace(
            limits,
            min_quantity=max(limits.min_quantity, instrument.min_quantity),
            min_notional=max(limits.min_notional, instrument.min_notional),
        ),
        aggression_bps=settings.execution.aggression_bps,
        take_profit_bps=settings.exits.take_profit_bps,
        stop_loss_bps=settings.exits.stop_loss_bps,
        trailing_activation_bps=settings.exits.trailing_activation_bps or np.inf,
        trailing_distance_bps=settings.exits.trailing_distance_bps,
        max_hold_ns=round(settings.exits.max_hold_s * NS_PER_S),
    )

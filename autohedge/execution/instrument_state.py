"""The engine's state of one instrument, beside the kernel's record."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np

from autohedge.config import Settings
from autohedge.core.events import Proposal, VenueOrderStatus
from autohedge.core.ids import DEFAULT_IDS, RunIds
from autohedge.core.instruments import Instrument
from autohedge.core.orders import Intent, Purpose, TimeInForce
from autohedge.core.units import NS_PER_DAY, NS_PER_S
from autohedge.execution.sizing import Sizing
from autohedge.execution.twap import ExecutionSchedule
from autohedge.risk import Limits


@dataclass(frozen=True, slots=True)
class EntryTerms:
    """What the settings give an entry, its orders and its position.

    An entry is sent in `slices` parts over `slices_ns`. A limit order rests for `rest_ns` at most and is moved every
    `reprice_ns`; 0 does not move it. A position is held for `max_hold_ns` at most; 0 has no limit. Without a trailing
    stop, `trailing_activation_bps` is infinite; `trail_keep` is the trailing stop as a share of the highest bid.
    """

    sizing: Sizing
    time_in_force: TimeInForce
    aggression_bps: float | None
    slices: int
    slices_ns: int
    rest_ns: int
    reprice_ns: int
    take_profit_bps: float
    stop_loss_bps: float
    trailing_activation_bps: float
    trail_keep: float
    max_hold_ns: int

    @classmethod
    def of(cls, settings: Settings) -> "EntryTerms":
        """The terms that the settings of a symbol give its next entry."""
        execution, exits = settings.execution, settings.exits
        expiry_ns = execution.limit_order_expiration_days * NS_PER_DAY
        return cls(
            sizing=Sizing.of(settings),
            time_in_force=TimeInForce(execution.time_in_force),
            aggression_bps=execution.aggression_bps,
            slices=execution.twap_slices,
            slices_ns=round(execution.twap_s * NS_PER_S),
            rest_ns=min(round(execution.cancel_after_s * NS_PER_S), expiry_ns),
            reprice_ns=round(execution.reprice_after_s * NS_PER_S),
            take_profit_bps=exits.take_profit_bps,
            stop_loss_bps=exits.stop_loss_bps,
            trailing_activation_bps=exits.trailing_activation_bps or np.inf,
            trail_keep=1.0 - exits.trailing_distance_bps / 10_000.0,
            max_hold_ns=round(exits.max_hold_s * NS_PER_S),
        )


@dataclass(slots=True)
class InstrumentState:
    """The instrument, settings and execution state of one lane, which `ids` trades.

    `limits` are those in force. `terms` are those of the last entry, `next_terms` those of the next one, which differ
    after a change of the settings.
    `take_profit`, `stop_loss` and `trail_from` are the exit levels of the open position, as prices.
    `last_entry_ns` and `last_exit_ns` are None before the first. `pending_exit_reason` is the reason of an
    exit that must be repeated until the position is flat, else empty. `refused` counts consecutive exits that
    the venue rejected. `dust` marks a position too small to be sold. `slices` is the rest of an entry that is
    sent in parts, `proposal` the agents' proposal behind the entry.
    """

    instrument: Instrument
    ids: RunIds
    limits: Limits
    terms: EntryTerms
    next_terms: EntryTerms
    take_profit: float = np.inf
    stop_loss: float = -np.inf
    trail_from: float = np.inf
    last_entry_ns: int | None = None
    last_exit_ns: int | None = None
    pending_exit_reason: str = ""
    refused: int = 0
    dust: bool = False
    slices: ExecutionSchedule | None = None
    proposal: Proposal | None = None

    def update(self, settings: Settings) -> None:
        """Takes over changed settings of the symbol: limits now, the terms of an entry with the next one."""
        self.limits = _limits(settings, self.instrument)
        self.next_terms = EntryTerms.of(settings)

    def begin_entry(self) -> None:
        """Takes the terms of the settings for an entry that is planned; slices that are left keep theirs."""
        if self.slices is None:
            self.terms = self.next_terms

    def set_exit_levels(self, take_profit: float, stop_loss: float, trail_from: float) -> None:
        """Sets the exit levels of the open position, as prices."""
        self.take_profit, self.stop_loss, self.trail_from = take_profit, stop_loss, trail_from

    def exit_levels(self, reference: float, proposal: Proposal | None = None) -> tuple[float, float, float]:
        """The take-profit, stop-loss and trail activation prices of an entry at `reference`."""
        # Proposals set the two exits; the trailing stop is never the agents' to change.
        exits = proposal or self.terms
        return (
            reference * (1.0 + exits.take_profit_bps / 10_000.0),
            reference * (1.0 - exits.stop_loss_bps / 10_000.0),
            reference * (1.0 + self.terms.trailing_activation_bps / 10_000.0),
        )

    def intent_of(self, found: VenueOrderStatus, purpose: Purpose, lane: int, mark: Decimal) -> Intent:
        """The intent of an adopted order from the venue's list, with exit levels from the current settings."""
        price = found.limit or mark
        take_profit, stop_loss, trail_from = self.exit_levels(float(price))
        return Intent(
            lane,
            found.symbol,
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
            venue=found.venue,
            account=found.account,
            strategy=self.ids.strategy,
        )


def instrument_states(
    settings: Settings, symbols: Sequence[str], ids: RunIds = DEFAULT_IDS
) -> list[InstrumentState]:
    """One state per lane, each with the settings of its symbol."""
    return [_instrument_state(settings.for_symbol(symbol), symbol, ids) for symbol in symbols]


def _instrument_state(settings: Settings, symbol: str, ids: RunIds) -> InstrumentState:
    instrument, terms = settings.instrument(symbol), EntryTerms.of(settings)
    return InstrumentState(instrument, ids, _limits(settings, instrument), terms, terms)


def _limits(settings: Settings, instrument: Instrument) -> Limits:
    limits = Limits.of(settings)
    # The account's minimum and the venue's both hold.
    return replace(
        limits,
        min_quantity=max(limits.min_quantity, instrument.min_quantity),
        min_notional=max(limits.min_notional, instrument.min_notional),
    )

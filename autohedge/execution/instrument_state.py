"""The engine's state of one instrument, beside the kernel's record."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np

from autohedge.config import Settings
from autohedge.core.events import VenueOrderStatus
from autohedge.core.ids import DEFAULT_IDS, RunIds
from autohedge.core.instruments import Instrument
from autohedge.core.orders import BUY, Intent, Purpose, TimeInForce
from autohedge.core.units import NS_PER_DAY, NS_PER_S
from autohedge.execution.entry_request import LONG, EntryRequest
from autohedge.execution.sizing import Sizing
from autohedge.execution.twap import ExecutionSchedule
from autohedge.risk import Limits


@dataclass(frozen=True, slots=True)
class EntryTerms:
    """What the settings give an entry, its orders and its position.

    An entry is sent in `slices` parts over `slices_ns`. A limit order rests for `rest_ns` at most and is moved every
    `reprice_ns`; 0 does not move it. A position is held for `max_hold_ns` at most; 0 has no limit. Without a trailing
    stop, `trailing_activation_bps` is infinite; `trail_distance` is how far the stop is from the best exit price, as a
    share of it.
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
    trail_distance: float
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
            trail_distance=exits.trailing_distance_bps / 10_000.0,
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
    the venue rejected. `dust` marks a position too small to be closed. `entry` is what asked for the last entry,
    `slices` the rest of it if it is sent in parts.
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
    entry: EntryRequest = LONG

    def update(self, settings: Settings) -> None:
        """Takes over changed settings of the symbol: limits now, the terms of an entry with the next one."""
        self.limits = _limits(settings, self.instrument)
        self.next_terms = EntryTerms.of(settings)

    def begin_entry(self) -> None:
        """Takes the terms of the settings for an entry that is planned."""
        self.terms = self.next_terms

    def set_exit_levels(self, take_profit: float, stop_loss: float, trail_from: float) -> None:
        """Sets the exit levels of the open position, as prices."""
        self.take_profit, self.stop_loss, self.trail_from = take_profit, stop_loss, trail_from

    def exit_levels(self, reference: float, entry: EntryRequest = LONG) -> tuple[float, float, float]:
        """The take-profit, stop-loss and trail activation prices of an entry at `reference`."""
        # Proposals and signals set the two exits; the trailing stop is only the settings' to change.
        exits = entry.proposal or self.terms
        gain = 1.0 if entry.side is BUY else -1.0
        take_profit = reference * (1.0 + gain * exits.take_profit_bps / 10_000.0)
        stop_loss = reference * (1.0 - gain * exits.stop_loss_bps / 10_000.0)
        if entry.signal:
            target, stop = entry.signal.target, entry.signal.stop
            take_profit = take_profit if target is None else float(target)
            stop_loss = stop_loss if stop is None else float(stop)
        return (
            take_profit,
            stop_loss,
            reference * (1.0 + gain * self.terms.trailing_activation_bps / 10_000.0),
        )

    @property
    def hold_ns(self) -> int:
        """The longest time to hold what the last entry bought or sold short; 0 means no limit."""
        most_ns, signal = self.terms.max_hold_ns, self.entry.signal
        if signal is None or signal.horizon is None:
            return most_ns
        horizon_ns = round(signal.horizon * NS_PER_S)
        return min(horizon_ns, most_ns or horizon_ns)

    def intent_of(self, found: VenueOrderStatus, purpose: Purpose, lane: int, mark: Decimal) -> Intent:
        """The intent of an adopted order from the venue's list, with exit levels from the current settings."""
        price = found.limit or mark
        take_profit, stop_loss, trail_from = self.exit_levels(float(price), EntryRequest(found.side))
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
        venue_min_notional=instrument.min_notional,
    )

"""What asks for an entry, and what narrows it."""

from dataclasses import dataclass
from decimal import Decimal

from autohedge.core.events import Proposal
from autohedge.core.instruments import Instrument
from autohedge.core.money import multiply, to_decimal
from autohedge.core.orders import BUY, SELL, Side
from autohedge.execution.sizing import scaled, tightened, with_offset
from autohedge.strategies.signals import Signal


@dataclass(frozen=True, slots=True)
class EntryRequest:
    """The side of an entry, and the agents' proposal or the strategy's signal behind it, if there is one.

    Both only narrow what settings, sizing and limits allow.
    """

    side: Side
    proposal: Proposal | None = None
    signal: Signal | None = None

    def narrowed(self, notional: Decimal) -> Decimal:
        """The share of a notional that is wanted."""
        if self.proposal:
            return scaled(notional, self.proposal.size_pct)
        if self.signal and self.signal.size_hint is not None:
            return multiply(notional, to_decimal(self.signal.size_hint))
        return notional

    def narrowed_limit(self, limit: Decimal, quote: tuple[float, float], instrument: Instrument) -> Decimal:
        """The wanted limit, which is no easier to reach than the limit that the settings give."""
        if self.proposal:
            return with_offset(self.side, limit, self.proposal.offset_bps, quote, instrument)
        if self.signal is None or self.signal.limit is None:
            return limit
        return tightened(self.side, limit, to_decimal(self.signal.limit), quote, instrument)


LONG, SHORT = EntryRequest(BUY), EntryRequest(SELL)

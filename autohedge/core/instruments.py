"""Tradable instruments, and the rules that their venue sets for prices and quantities."""

from dataclasses import dataclass
from decimal import Decimal

DEFAULT_LOT = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class Instrument:
    """One tradable symbol with its rules.

    `tick` is the price increment; None means that it follows from the prices printed on the tape. `lot` is
    the quantity increment, `min_notional` the venue's least order value.
    """

    symbol: str
    tick: Decimal | None = None
    lot: Decimal = DEFAULT_LOT
    min_notional: Decimal = Decimal(0)

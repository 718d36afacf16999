"""The first node: arithmetic that spares a call where no answer could change anything.

It keeps a gate as it is, or shuts it; it never opens one.
"""

from typing import Literal

from autohedge.core.money import ZERO, add
from autohedge.core.snapshots import Snapshot
from autohedge.core.units import NS_PER_S

STALE_S = 60.0

Bypass = tuple[Literal["keep", "close"], str]


def bypass(snapshot: Snapshot) -> Bypass | None:
    """What to do without asking, and its code; None where a model must be asked."""
    if code := _block_reason(snapshot):
        return "close", code
    if code := _skip_reason(snapshot):
        return "keep", code
    return None


def _block_reason(snapshot: Snapshot) -> str:
    """Why nothing may be bought now, whatever a model said."""
    if snapshot.state == "halted":
        return "halted"
    if len(snapshot.quotes) < 2:
        return "no_history"
    age_ns = snapshot.at_ns - snapshot.quotes[-1].ts_ns
    return "stale_data" if age_ns > STALE_S * NS_PER_S else ""


def _skip_reason(snapshot: Snapshot) -> str:
    """Why nothing would be bought now, whatever a model said; where it may also sell, only if nothing is held."""
    if snapshot.kind == "trade" and snapshot.held.quantity:
        return ""
    if _no_room(snapshot):
        return "limits"
    return "no_edge" if _flat_price(snapshot) else ""


def _no_room(snapshot: Snapshot) -> bool:
    """Whether not even the least order could pass: no money for it, or no room below the limit of exposure."""
    least, bounds = max(snapshot.bounds.min_order_notional, ZERO), snapshot.bounds
    return snapshot.buying_power < least or add(snapshot.exposure, least) > bounds.max_exposure_notional


def _flat_price(snapshot: Snapshot) -> bool:
    """Whether the mid has not moved at all over the snapshot."""
    first = snapshot.quotes[0].bid + snapshot.quotes[0].ask
    return all(quote.bid + quote.ask == first for quote in snapshot.quotes)

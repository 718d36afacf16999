"""Skips the model where no answer could change the outcome.

It leaves a gate as it is or closes it, and never opens one.
"""

from typing import Literal

from autohedge.core.money import ZERO, add
from autohedge.core.snapshots import Snapshot
from autohedge.core.units import NS_PER_S

# A model would judge a market that no longer exists.
STALE_S = 60.0

Bypass = tuple[Literal["keep", "close"], str]


def bypass(snapshot: Snapshot) -> Bypass | None:
    """Returns what to do without a model, and its code; None if a model must be asked."""
    # Closing comes first: a snapshot that meets both kinds of condition must not keep an open gate.
    if code := _block_reason(snapshot):
        return "close", code
    if code := _skip_reason(snapshot):
        return "keep", code
    return None


def _block_reason(snapshot: Snapshot) -> str:
    """Returns the code of why no entry is allowed, whatever a model would answer."""
    if snapshot.state == "halted":
        return "halted"
    if len(snapshot.quotes) < 2:
        return "no_history"
    age_ns = snapshot.at_ns - snapshot.quotes[-1].ts_ns
    return "stale_data" if age_ns > STALE_S * NS_PER_S else ""


def _skip_reason(snapshot: Snapshot) -> str:
    """Returns the code of why no entry is possible, whatever a model would answer."""
    # An answer about a trade can also end a position that is held.
    if snapshot.kind == "trade" and snapshot.position.quantity:
        return ""
    if _no_room(snapshot):
        return "limits"
    return "no_edge" if _flat_price(snapshot) else ""


def _no_room(snapshot: Snapshot) -> bool:
    """Whether not even the smallest order would pass, for lack of money or room below the exposure limit."""
    least, bounds = max(snapshot.limits.min_order_notional, ZERO), snapshot.limits
    return snapshot.buying_power < least or add(snapshot.exposure, least) > bounds.max_exposure_notional


def _flat_price(snapshot: Snapshot) -> bool:
    """Whether the mid is constant over the whole snapshot."""
    first = snapshot.quotes[0].bid + snapshot.quotes[0].ask
    return all(quote.bid + quote.ask == first for quote in snapshot.quotes)

"""Closed trades as the learning agent reads them."""

from decimal import Decimal

from autohedge.core.clock import readable
from autohedge.core.money import subtract
from autohedge.core.snapshots import Closed, Snapshot
from autohedge.tools.wording import amount, name, plain, price

NONE = "No closed trades."
MOST = 10


def trades_text(snapshot: Snapshot, most: int = MOST) -> str:
    """The last `most` closed trades, one line each, newest last."""
    return "\n".join(map(_told, snapshot.closed[-most:])) or NONE


def net(trade: Closed) -> Decimal:
    """What the trade earned after its fees."""
    return subtract(trade.realized, trade.fees)


def move_bps(trade: Closed) -> float:
    """The exit's price over the entry's, in bps; 0 for an entry without a price."""
    return (trade.exit_price / trade.entry_price - 1) * 1e4 if trade.entry_price > 0 else 0.0


def _told(trade: Closed) -> str:
    held_s = (trade.closed_ns - trade.opened_ns) // 10**9
    return (
        f"{readable(trade.closed_ns)[:19]} {name(trade.symbol)}: "
        f"bought {plain(trade.quantity)} at {price(trade.entry_price)}, "
        f"sold at {price(trade.exit_price)} ({move_bps(trade):+.1f} bps) after {held_s} s, {name(trade.reason)}; "
        f"gain {amount(trade.realized)}, fees {amount(trade.fees)}, net {amount(net(trade))}"
    )

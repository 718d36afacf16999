"""Closed trades as text for the Learning agent."""

from autohedge.core.clock import format_utc
from autohedge.core.snapshots import ClosedTrade, Snapshot
from autohedge.core.units import NS_PER_S
from autohedge.tools.formatting import clean_name, format_decimal, format_money, format_price

NONE = "No closed trades."
MOST = 10


def trades_text(snapshot: Snapshot, most: int = MOST) -> str:
    """Returns the last `most` closed trades, one line each, newest last."""
    return "\n".join(map(_trade_text, snapshot.closed_trades[-most:])) or NONE


def _trade_text(trade: ClosedTrade) -> str:
    entered, left = ("bought", "sold") if trade.direction == "long" else ("sold short", "bought back")
    held_s = (trade.closed_ns - trade.opened_ns) // NS_PER_S
    return (
        f"{format_utc(trade.closed_ns)[:19]} {clean_name(trade.symbol)}: "
        f"{entered} {format_decimal(trade.quantity)} at {format_price(trade.entry_price)}, "
        f"{left} at {format_price(trade.exit_price)} ({trade.move_bps:+.1f} bps) after {held_s} s, "
        f"{clean_name(trade.reason)}; "
        f"gain {format_money(trade.realized)}, fees {format_money(trade.fees)}, "
        f"net {format_money(trade.net)}"
    )

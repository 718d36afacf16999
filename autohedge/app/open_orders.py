"""The orders that a run leaves open at its end, and which of them need attention."""

from collections.abc import Mapping
from typing import Any

from autohedge.core.orders import OrderState
from autohedge.journal import RunFolder

RESTS = frozenset({OrderState.OPEN, OrderState.PARTIAL})


def orders_at_remote_venue(folder: RunFolder, results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Returns the open orders of a finished run at a venue in another process, where they can still fill.

    Raises Corrupt if the file `launch.json` of the run is damaged.
    """
    remote = folder.read_launch().get("venue_port") is not None
    return results.get("working_orders", []) if remote else []


def unsettled_text(folder: RunFolder, results: Mapping[str, Any]) -> str:
    """Returns one line that names the open orders that need attention, and the cure; empty without any.

    Raises Corrupt if the file `launch.json` of the run is damaged.
    """
    orders = orders_at_remote_venue(folder, results)
    cure = f"cancel them at the venue, or run `autohedge restart {folder.argument}`"
    if not orders:
        # A simulated venue in the same process ends with its run: what rests there is settled.
        orders = [order for order in results.get("working_orders", []) if order["state"] not in RESTS]
        cure = "their venue has ended with the run; see its journal"
    if not orders:
        return ""
    ended = "was interrupted" if results.get("interrupted") else "ended"
    named = ", ".join(
        f"{order['order_id']} ({order['side']} {order['quantity']} {order['symbol']}, {order['state']})"
        for order in orders
    )
    return f"run {folder.id} {ended}, and orders are still open: {named}; {cure}"

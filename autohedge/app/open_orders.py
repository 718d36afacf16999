"""The orders that a run leaves open at its end, and which of them need attention."""

from autohedge.core.orders import OrderState
from autohedge.core.results import RunReport, WorkingOrder
from autohedge.journal import RunFolder

RESTS = frozenset({OrderState.OPEN, OrderState.PARTIAL})


def orders_at_remote_venue(folder: RunFolder, report: RunReport) -> list[WorkingOrder]:
    """Returns the open orders of a finished run at a venue in another process, where they can still fill.

    Raises Corrupt if the file `launch.json` of the run is damaged.
    """
    remote = folder.read_launch().get("venue_port") is not None
    return report.working_orders if remote else []


def unsettled_text(folder: RunFolder, report: RunReport) -> str:
    """Returns one line that names the open orders that need attention, and the cure; empty without any.

    Raises Corrupt if the file `launch.json` of the run is damaged.
    """
    orders = orders_at_remote_venue(folder, report)
    cure = f"cancel them at the venue, or run `autohedge restart {folder.argument}`"
    if not orders:
        # A simulated venue in the same process ends with its run: what rests there is settled.
        orders = [order for order in report.working_orders if order.state not in RESTS]
        cure = "their venue has ended with the run; see its journal"
    if not orders:
        return ""
    ended = "was interrupted" if report.interrupted else "ended"
    named = ", ".join(
        f"{order.order_id} ({order.side} {order.quantity} {order.symbol}, {order.state})" for order in orders
    )
    return f"run {folder.id} {ended}, and orders are still open: {named}; {cure}"

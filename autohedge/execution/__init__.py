"""From signals and proposals to orders, fills and positions: planner, manager, order tracking, reconciliation, ledger."""

from autohedge.execution.ledger import Ledger, Position
from autohedge.execution.manager import ExecutionManager
from autohedge.execution.orders import Order, OrderManager
from autohedge.execution.planner import OrderPlanner
from autohedge.execution.tracking import OrderTracker

__all__ = ["ExecutionManager", "Ledger", "Order", "OrderManager", "OrderPlanner", "OrderTracker", "Position"]

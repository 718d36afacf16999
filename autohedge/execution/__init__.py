"""Execution: order planning, order states, fills and positions, venue queries, reconciliation, the ledger."""

from autohedge.execution.ledger import Ledger, Position
from autohedge.execution.manager import ExecutionManager
from autohedge.execution.orders import Order, OrderManager
from autohedge.execution.planner import OrderPlanner
from autohedge.execution.tracking import OrderTracker

__all__ = ["ExecutionManager", "Ledger", "Order", "OrderManager", "OrderPlanner", "OrderTracker", "Position"]

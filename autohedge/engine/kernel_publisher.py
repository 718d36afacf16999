"""Publishes the state of instruments to the kernel's records, once after each step of the engine."""

import numpy as np

from autohedge.core.timers import TimerQueue
from autohedge.execution.manager import ExecutionManager
from autohedge.execution.tracking import TimerKey
from autohedge.kernels.state import EXITING, FLAT, OPEN, PENDING, scalars


class KernelPublisher:
    """Writes status and exit prices of the lanes that a step has touched."""

    def __init__(self, execution: ExecutionManager, timers: TimerQueue[TimerKey]) -> None:
        lanes = execution.portfolio.market.lanes
        self._execution, self._timers = execution, timers
        self._instruments, self._orders = execution.instruments, execution.orders
        self._portfolio, self._touched = execution.portfolio, execution.touched
        self._held, self._short = scalars(execution.portfolio.held), scalars(lanes["short"])
        self._status = scalars(lanes["status"])
        self._take_profit, self._stop_loss = scalars(lanes["take_profit"]), scalars(lanes["stop_loss"])
        self._trail_from, self._trail_keep = scalars(lanes["trail_from"]), scalars(lanes["trail_keep"])

    def publish(self) -> None:
        """Publishes the touched lanes."""
        while self._touched:
            self._publish_lane(self._touched.pop())

    def _publish_lane(self, lane: int) -> None:
        instrument_state = self._instruments[lane]
        status, take_profit, stop_loss = FLAT, np.inf, -np.inf
        held, short = self._portfolio.is_open(lane), self._held[lane] < 0.0
        if self._short[lane] != short:
            # The levels of a short are those of a long, negated; a trail of the former side has ended.
            self._short[lane], self._trail_from[lane] = short, np.inf
        # Every price meets a take-profit of -inf. With EXITING the kernel then counts `exit_pending`; with OPEN
        # the scan stops, and the engine sends the pending exit.
        if self._exit_is_pending(lane, held=held):
            status, take_profit = EXITING, -np.inf
        elif held and not instrument_state.dust:
            status, take_profit, stop_loss = OPEN, instrument_state.take_profit, instrument_state.stop_loss
            if short:
                take_profit, stop_loss = -take_profit, -stop_loss
            if instrument_state.pending_exit_reason:
                take_profit = -np.inf
        elif self._orders.entries_of(lane):
            status = PENDING
        self._status[lane] = status
        # The trailing stop is this multiple of the best exit price: of the highest bid, or of the lowest ask.
        distance = instrument_state.terms.trail_distance
        self._trail_keep[lane] = 1.0 + distance if short else 1.0 - distance
        self._take_profit[lane] = take_profit
        self._stop_loss[lane] = stop_loss
        if not held or instrument_state.dust:
            self._trail_from[lane] = np.inf
        elif self._trail_from[lane] > -np.inf:  # at -inf the kernel has activated the trail: keep it
            self._trail_from[lane] = -instrument_state.trail_from if short else instrument_state.trail_from

    def _exit_is_pending(self, lane: int, *, held: bool) -> bool:
        """Whether an exit works, or none may be sent yet: after a restart, or right after a rejected one."""
        if self._orders.exits_of(lane) or (held and self._execution.exits_wait):
            return True
        return bool(self._instruments[lane].refused and ("exit", lane) in self._timers)

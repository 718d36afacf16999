"""The request queue of the gateway: which command is sent next."""

import heapq
from collections import deque

from autohedge.core.events import (
    AnyTradingCommand,
    CancelOrder,
    QueryAccount,
    QueryFills,
    QueryOpenOrders,
    QueryOrder,
    ReplaceOrder,
    SubmitOrder,
)

# Lower goes first. What reduces exposure precedes queries, and these precede what may add exposure.
_RANK: dict[type[AnyTradingCommand], int] = {
    CancelOrder: 0,
    QueryOrder: 1,
    QueryOpenOrders: 1,
    QueryFills: 1,
    QueryAccount: 1,
    ReplaceOrder: 2,
    SubmitOrder: 2,
}
_Waiting = tuple[int, int, int, AnyTradingCommand]


class RequestQueue:
    """A priority queue with at most `most` requests in flight, and one per order.

    One per order means that no cancel or replace overtakes the order's submit. Cancels go before queries, and
    queries before submits and replaces.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._out = 0
        self._count = 0
        self._ready: list[_Waiting] = []
        self._behind: dict[str, deque[_Waiting]] = {}

    def add(self, command: AnyTradingCommand, since_ns: int) -> None:
        """Queues a command that waits from `since_ns` on."""
        self._count += 1  # first in, first out within a rank
        waiting = (_RANK[type(command)], self._count, since_ns, command)
        order_id = order_id_of(command)
        if order_id in self._behind:
            self._behind[order_id].append(waiting)
            return
        if order_id:
            self._behind[order_id] = deque()
        heapq.heappush(self._ready, waiting)

    def next_ready(self) -> tuple[AnyTradingCommand, int] | None:
        """The command to send now and the time it was queued; None while none may be sent."""
        if self._out >= self._most or not self._ready:
            return None
        self._out += 1
        _, _, since_ns, command = heapq.heappop(self._ready)
        return command, since_ns

    def done(self, command: AnyTradingCommand) -> None:
        """Ends a command that was in flight; the next one of its order may be sent."""
        self._out -= 1
        order_id = order_id_of(command)
        if behind := self._behind.get(order_id):
            heapq.heappush(self._ready, behind.popleft())
        else:  # an empty deque marks an order with a request in flight: remove it
            self._behind.pop(order_id, None)

    def drain(self) -> list[AnyTradingCommand]:
        """Empties the queue and forgets the requests in flight; returns the queued ones, oldest first."""
        left = [*self._ready, *(waiting for behind in self._behind.values() for waiting in behind)]
        self._out = 0
        self._ready.clear()
        self._behind.clear()
        return [waiting[-1] for waiting in sorted(left, key=lambda waiting: waiting[1])]

    def __len__(self) -> int:
        """The number of queued commands."""
        return len(self._ready) + sum(map(len, self._behind.values()))


def order_id_of(command: AnyTradingCommand) -> str:
    """The order id of a command; empty for a query about the account."""
    return "" if isinstance(command, QueryOpenOrders | QueryFills | QueryAccount) else command.order_id

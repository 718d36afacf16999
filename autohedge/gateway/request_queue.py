"""Whose turn it is at the door to a venue: which command may leave next."""

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
    """At most `most` commands are out together, and never two of one order.

    So nothing overtakes its order's submit. Of those that wait, cancels leave before questions, and
    questions before what may add exposure.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._out = 0
        self._count = 0
        self._ready: list[_Waiting] = []
        self._behind: dict[str, deque[_Waiting]] = {}

    def add(self, command: AnyTradingCommand, since_ns: int) -> None:
        """Let a command wait from `since_ns` on."""
        self._count += 1
        waiting = (_RANK[type(command)], self._count, since_ns, command)
        order_id = order_id_of(command)
        if order_id in self._behind:
            self._behind[order_id].append(waiting)
            return
        if order_id:
            self._behind[order_id] = deque()
        heapq.heappush(self._ready, waiting)

    def next_ready(self) -> tuple[AnyTradingCommand, int] | None:
        """The command that leaves now, and since when it waited; None while none may."""
        if self._out >= self._most or not self._ready:
            return None
        self._out += 1
        _, _, since_ns, command = heapq.heappop(self._ready)
        return command, since_ns

    def done(self, command: AnyTradingCommand) -> None:
        """A command that was taken is over: the next one of its order may leave."""
        self._out -= 1
        order_id = order_id_of(command)
        if behind := self._behind.get(order_id):
            heapq.heappush(self._ready, behind.popleft())
        else:
            self._behind.pop(order_id, None)

    def drain(self) -> list[AnyTradingCommand]:
        """Give up all that wait, and forget what is out; return the former, oldest first."""
        left = [*self._ready, *(waiting for behind in self._behind.values() for waiting in behind)]
        self._out = 0
        self._ready.clear()
        self._behind.clear()
        return [waiting[-1] for waiting in sorted(left, key=lambda waiting: waiting[1])]

    def __len__(self) -> int:
        """How many wait."""
        return len(self._ready) + sum(map(len, self._behind.values()))


def order_id_of(command: AnyTradingCommand) -> str:
    """The order that a command is about; empty for one about the account."""
    return "" if isinstance(command, QueryOpenOrders | QueryFills | QueryAccount) else command.order_id

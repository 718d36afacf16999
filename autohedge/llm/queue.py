"""The request queue of a model: bounded, ordered by priority, with a deadline for each request.

A free slot goes to the first lane with a waiting request: continuation, then gate, then learning. A lane that
was passed over ten times in a row is served next, so that no lane waits for ever. Within a lane the key whose
last turn is longest ago is served first, and is also preferred when the queue is full. So it is not always
the same key whose deadline passes before its turn. Running requests are never interrupted.
"""

import asyncio
import math
from collections import Counter, OrderedDict
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from typing import get_args

from autohedge.core.errors import AutoHedgeError
from autohedge.llm.outcome import Priority

LANES: tuple[Priority, ...] = get_args(Priority)
MAX_PASSED_OVER = 10
# Bounds the memory for last turns; a forgotten key counts as never served.
KEYS_MAX = 100_000


class Dropped(AutoHedgeError):
    """A request that left the queue without being sent; `code` is the reason."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


CODES = {
    "deadline": "the deadline passed before the model was free",
    "superseded": "a newer question of the same kind took its place",
    "queue_full": "too many questions wait already: ask less often or raise llm.queue_size",
    "cancelled": "the queue was closed",
}


class _Waiter:
    """One waiting request; `code` is why it was dropped, empty when its turn came, None until then."""

    __slots__ = ("code", "deadline", "ended", "key", "lane", "number")

    def __init__(self, number: int, lane: Priority, key: Hashable | None, deadline: float) -> None:
        self.number, self.lane, self.key, self.deadline = number, lane, key, deadline
        self.code: str | None = None
        self.ended = asyncio.Event()

    def end(self, code: str) -> None:
        self.code = code
        self.ended.set()


class LLMQueue:
    """A queue in which at most `size` requests wait and `concurrent` run; `now` is monotonic, in seconds.

    A full queue makes room for a higher lane by dropping the newest request of the lowest lane, and for a key
    of the same lane by dropping the request whose key had the latest turn. A request without a key displaces
    none of its own lane. `counts` are the dropped requests by reason, `high_water` is the largest number that
    ever waited, `running` the number of running requests.
    """

    def __init__(self, size: int, concurrent: int, now: Callable[[], float]) -> None:
        self._size, self._concurrent, self._now = size, concurrent, now
        self._lanes: dict[Priority, OrderedDict[int, _Waiter]] = {lane: OrderedDict() for lane in LANES}
        self._keys: dict[Hashable, _Waiter] = {}
        self._passed: Counter[Priority] = Counter()
        self._turns: OrderedDict[Hashable, int] = OrderedDict()
        self._number = 0
        self._granted = 0
        self._closed = False
        self.running = 0
        self.high_water = 0
        self.counts: Counter[str] = Counter()

    @property
    def waiting(self) -> int:
        """The number of waiting requests."""
        return sum(map(len, self._lanes.values()))

    @asynccontextmanager
    async def slot(
        self, lane: Priority, key: Hashable | None = None, deadline: float = math.inf
    ) -> AsyncIterator[None]:
        """Holds a slot in which a call may run. Raises Dropped if the request leaves the queue without one.

        Of several requests that wait under one `key` only the newest stays; in the same lane it takes over
        the position of the older one.
        """
        await self._admit(lane, key, deadline)
        try:
            yield
        finally:
            self._leave()

    def close(self) -> None:
        """Drops all waiting requests and rejects new ones; running requests may finish."""
        self._closed = True
        for lane in self._lanes.values():
            for waiter in list(lane.values()):
                self._drop(waiter, "cancelled")

    async def _admit(self, lane: Priority, key: Hashable | None, deadline: float) -> None:
        if self._closed:
            raise self._refused("cancelled")
        if self._now() >= deadline:
            raise self._refused("deadline")
        if self.running < self._concurrent:
            self._begin(key)
        else:
            await self._wait(self._queued(lane, key, deadline))

    def _queued(self, lane: Priority, key: Hashable | None, deadline: float) -> _Waiter:
        older = self._keys.get(key) if key is not None else None
        if older is not None and older.lane == lane:
            self.counts["superseded"] += 1
            older.end("superseded")
            # The newer one keeps the number, else a key that is requested often would never reach the front.
            return self._insert(_Waiter(older.number, lane, key, deadline))
        if older is not None:
            self._drop(older, "superseded")
        elif self.waiting >= self._size:
            self._evict_for(lane, key)
        self._number += 1
        return self._insert(_Waiter(self._number, lane, key, deadline))

    def _insert(self, waiter: _Waiter) -> _Waiter:
        self._lanes[waiter.lane][waiter.number] = waiter
        if waiter.key is not None:
            self._keys[waiter.key] = waiter
        self.high_water = max(self.high_water, self.waiting)
        return waiter

    def _evict_for(self, lane: Priority, key: Hashable | None) -> None:
        worst = next(each for each in reversed(LANES) if self._lanes[each])
        if LANES.index(worst) < LANES.index(lane):
            raise self._refused("queue_full")
        if worst != lane:
            self._drop(next(reversed(self._lanes[worst].values())), "queue_full")
            return
        latest = max(self._lanes[worst].values(), key=lambda waiter: self._last_turn(waiter.key))
        if self._last_turn(latest.key) <= self._last_turn(key):
            raise self._refused("queue_full")
        self._drop(latest, "queue_full")

    def _last_turn(self, key: Hashable | None) -> float:
        """Returns the number of a key's last turn: 0 if it had none, infinity without a key."""
        return math.inf if key is None else self._turns.get(key, 0)

    def _begin(self, key: Hashable | None) -> None:
        """Starts a request and records the turn of its key."""
        self.running += 1
        if key is not None:
            self._granted += 1
            self._turns[key] = self._granted
            self._turns.move_to_end(key)
            if len(self._turns) > KEYS_MAX:
                self._turns.popitem(last=False)

    async def _wait(self, waiter: _Waiter) -> None:
        try:
            async with asyncio.timeout(_until(waiter.deadline, self._now())):
                await waiter.ended.wait()
        except TimeoutError:
            self._abandon(waiter, "deadline")
        except asyncio.CancelledError:
            self._abandon(waiter, "cancelled")
            raise
        if waiter.code:
            raise Dropped(waiter.code, CODES[waiter.code])

    def _abandon(self, waiter: _Waiter, code: str) -> None:
        """Removes a request that stopped waiting, even if its turn has just come."""
        if waiter.code is None:
            self._drop(waiter, code)
        elif not waiter.code:
            # It was granted a slot in the same step of the event loop and will not use it.
            self.counts[code] += 1
            waiter.code = code
            self._leave()

    def _refused(self, code: str) -> Dropped:
        self.counts[code] += 1
        return Dropped(code, CODES[code])

    def _drop(self, waiter: _Waiter, code: str) -> None:
        self.counts[code] += 1
        self._end(waiter, code)

    def _end(self, waiter: _Waiter, code: str) -> None:
        del self._lanes[waiter.lane][waiter.number]
        if waiter.key is not None:
            del self._keys[waiter.key]
        waiter.end(code)

    def _leave(self) -> None:
        self.running -= 1
        # A loop, since requests whose deadline has passed are dropped and do not take the slot.
        while self.running < self._concurrent and (waiter := self._next()):
            if self._now() >= waiter.deadline:
                self._drop(waiter, "deadline")
            else:
                self._grant(waiter)

    def _next(self) -> _Waiter | None:
        busy = [lane for lane in LANES if self._lanes[lane]]
        if not busy:
            return None
        lane = next((lane for lane in busy if self._passed[lane] >= MAX_PASSED_OVER), busy[0])
        return min(self._lanes[lane].values(), key=lambda each: (self._turns.get(each.key, 0), each.number))

    def _grant(self, waiter: _Waiter) -> None:
        for lane in LANES[LANES.index(waiter.lane) + 1 :]:
            self._passed[lane] += bool(self._lanes[lane])
        self._passed[waiter.lane] = 0
        self._begin(waiter.key)
        self._end(waiter, "")


def _until(deadline: float, now: float) -> float | None:
    return None if math.isinf(deadline) else deadline - now

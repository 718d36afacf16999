"""A semaphore over several processes that limits their concurrent calls to a model."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

from autohedge.core.clock import monotonic_s
from autohedge.core.ids import fresh_nonce, seeded_random
from autohedge.llm.cache.leases import Leases
from autohedge.llm.cache.redis_link import RedisUnavailable
from autohedge.llm.queue import CODES, Dropped

# Bounds of a random polling interval: short against a model's answer, long against a round trip to Redis.
POLL_S = (0.02, 0.2)


class Semaphore(Protocol):
    """Slots, each held until all calls for one answer, including a repair, are done."""

    def acquire(self, deadline: float = math.inf) -> AbstractAsyncContextManager[None]:
        """Holds a slot; `deadline` is monotonic, in seconds. Raises Dropped if none is free by then."""
        ...


class RedisSemaphore:
    """At most `limit` slots for all processes of a scope; the request that waits longest is served first.

    Without Redis this process uses at most `share` slots.
    """

    def __init__(
        self, leases: Leases, limit: int, share: int, now: Callable[[], float] = monotonic_s
    ) -> None:
        self._leases, self._limit, self._share, self._now = leases, limit, share, now
        self._jitter = seeded_random(fresh_nonce(), "slots")
        self._news = asyncio.Event()

    @asynccontextmanager
    async def acquire(self, deadline: float = math.inf) -> AsyncIterator[None]:
        """Holds a slot; `deadline` is monotonic, in seconds. Raises Dropped if none is free by then."""
        token = fresh_nonce()
        try:
            while not await self._took(token, deadline):
                await self._rest(deadline)
            yield
        finally:
            self._leave(token)

    async def _took(self, token: str, deadline: float) -> bool:
        if self._now() >= deadline:
            raise Dropped("deadline", CODES["deadline"])
        try:
            return await self._leases.take_slot(token, self._limit)
        except RedisUnavailable:
            # Slots that were taken before the outage count against the share of this process.
            return len(self._leases.slots) < self._share and self._leases.register_slot(token, known=False)

    async def _rest(self, deadline: float) -> None:
        """Waits until a slot of this process is released, but no longer than one polling interval."""
        news, longest_s = self._news, self._jitter.uniform(*POLL_S)
        try:
            async with asyncio.timeout(max(0.0, min(longest_s, deadline - self._now()))):
                await news.wait()
        except TimeoutError:
            return

    def _leave(self, token: str) -> None:
        """Releases a slot, or leaves the queue for one, without waiting for the server's reply."""
        self._leases.release_slot(token).add_done_callback(self._notify)

    def _notify(self, _: asyncio.Task[None]) -> None:
        # A new event, so that later waiters wait for the next release.
        self._news.set()
        self._news = asyncio.Event()

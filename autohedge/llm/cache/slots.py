"""The places at a model that several processes share: at most so many calls at a time, whoever makes them."""

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

POLL_S = (0.02, 0.2)


class Semaphore(Protocol):
    """Places that are held for as long as a question's calls last."""

    def acquire(self, deadline: float = math.inf) -> AbstractAsyncContextManager[None]:
        """Hold one; `deadline` is monotonic, in seconds. Raises Dropped if none came free by then."""
        ...


class RedisSemaphore:
    """At most `limit` places among all processes of a scope; the longest waiting is served first.

    Without Redis this process has `share` of them for itself.
    """

    def __init__(
        self, leases: Leases, limit: int, share: int, now: Callable[[], float] = monotonic_s
    ) -> None:
        self._leases, self._limit, self._share, self._now = leases, limit, share, now
        self._jitter = seeded_random(fresh_nonce(), "slots")
        self._news = asyncio.Event()

    @asynccontextmanager
    async def acquire(self, deadline: float = math.inf) -> AsyncIterator[None]:
        """Hold one; `deadline` is monotonic, in seconds. Raises Dropped if none came free by then."""
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
            # Its own part only: places that were held when Redis fell count against it.
            return len(self._leases.slots) < self._share and self._leases.register_slot(token, known=False)

    async def _rest(self, deadline: float) -> None:
        """Wait until a place of this process came free, or for a little."""
        news, longest_s = self._news, self._jitter.uniform(*POLL_S)
        try:
            async with asyncio.timeout(max(0.0, min(longest_s, deadline - self._now()))):
                await news.wait()
        except TimeoutError:
            return

    def _leave(self, token: str) -> None:
        """Give a place back, or the wish for one; nobody waits until the server has heard of it."""
        self._leases.release_slot(token).add_done_callback(self._notify)

    def _notify(self, _: asyncio.Task[None]) -> None:
        self._news.set()
        self._news = asyncio.Event()

"""What several processes share through Redis: verdicts, one flight per key, and the slots of a model.

Redis is optional at all times. While it is unavailable, slow or returns invalid data, each process uses its
own cache and its own share of the slots, and trading is not affected.
"""

import asyncio
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

import msgspec

from autohedge import config
from autohedge.config import Settings
from autohedge.core.clock import NEVER, monotonic_s
from autohedge.core.ids import fresh_nonce, seeded_random
from autohedge.core.units import NS_PER_S
from autohedge.llm.cache.leases import Leases
from autohedge.llm.cache.memory import CachedVerdict, CacheStats, MemoryVerdictCache, VerdictCache
from autohedge.llm.cache.redis_link import RedisLink, RedisUnavailable
from autohedge.llm.cache.slots import POLL_S, RedisSemaphore, Semaphore
from autohedge.llm.policy import sleep

# The expiry in Redis only bounds its memory: the reader decides in engine time whether a verdict is valid.
MIN_TTL_MS, MAX_TTL_MS = 60_000, 7 * 86_400_000

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(CachedVerdict).decode


def read_cached(raw: bytes, key: str, longest_ns: int = NEVER) -> CachedVerdict | None:
    """Decodes a stored verdict; returns None unless it is a verdict for this key.

    It is valid for at most `longest_ns`, whatever validity its writer gave it.
    """
    try:
        verdict = _decode(raw)
    except (ValueError, RecursionError):
        return None
    # `source` is printed and recorded, and any program may have written it.
    if verdict.key != key or not verdict.source.isprintable():
        return None
    until_ns = min(verdict.valid_until_ns, verdict.decided_ns + longest_ns)
    return msgspec.structs.replace(verdict, valid_until_ns=until_ns)


class RedisVerdictCache:
    """The verdicts of all processes, with a local cache of those that this process has used.

    Single flight spans all processes, and without Redis each process by itself. Verdicts of other processes
    are valid for at most `longest_ns`: the engine would reject a verdict that is older than its own limit as
    stale.
    """

    def __init__(
        self,
        memory: MemoryVerdictCache,
        leases: Leases,
        now: Callable[[], float] = monotonic_s,
        longest_ns: int = NEVER,
    ) -> None:
        self._memory, self._leases, self._now = memory, leases, now
        self._longest_ns = longest_ns
        self._jitter = seeded_random(fresh_nonce(), "flights")

    async def get(self, key: str, at_ns: int, deadline_s: float | None = None) -> CachedVerdict | None:
        """Returns the verdict for a reader at `at_ns`; waits at most `deadline_s` for another's flight."""
        until = math.inf if deadline_s is None else self._now() + deadline_s
        verdict, leads = await self._memory.claim(key, at_ns, until)
        # Only the leader within this process contacts Redis; the others wait in memory.
        if leads:
            verdict, leads = await self._lead(key, at_ns, until)
        return self._memory.stats.found(verdict, leads=leads)

    async def put(self, verdict: CachedVerdict) -> None:
        """Stores a verdict and ends the flight."""
        await self._memory.put(verdict)
        ttl_ms = (verdict.valid_until_ns - verdict.decided_ns) // 10**6
        stored = self._leases.store(verdict.key, _encode(verdict), min(max(MIN_TTL_MS, ttl_ms), MAX_TTL_MS))
        # A caller that is cancelled here must not keep other processes waiting.
        await asyncio.shield(stored)

    async def abandon(self, key: str) -> None:
        """Ends the flight without a verdict."""
        if self._memory.left(key):
            await asyncio.shield(self._leases.end_flight(key))

    async def close(self) -> None:
        """Deletes the local verdicts."""
        await self._memory.close()

    async def _lead(self, key: str, at_ns: int, until: float) -> tuple[CachedVerdict | None, bool]:
        """Looks in Redis for another process's verdict or flight; the caller leads within this process."""
        try:
            verdict, leads = await self._claimed(key, at_ns, until)
        except BaseException:  # also when cancelled: local waiters would otherwise wait for this flight
            self._memory.left(key)
            raise
        if verdict is not None:
            await self._memory.put(verdict)
        return verdict, leads

    async def _claimed(self, key: str, at_ns: int, until: float) -> tuple[CachedVerdict | None, bool]:
        token = fresh_nonce()
        try:
            return await self._claim_or_wait(key, token, at_ns, until)
        except RedisUnavailable:
            # The server may have granted the flight just before the failure. Registered, it is ended together
            # with the local flight; otherwise it expires.
            self._leases.register_flight(key, token)
            return None, True
        except BaseException:
            self._leases.end_flight(key, token)
            raise

    async def _claim_or_wait(
        self, key: str, token: str, at_ns: int, until: float
    ) -> tuple[CachedVerdict | None, bool]:
        wanted = waited = False
        while True:
            taken, raw = await self._leases.claim(key, token, wanted=wanted)
            verdict = read_cached(raw, key, self._longest_ns) if raw else None
            if verdict is not None and verdict.valid_at(at_ns):
                return self._taken_over(verdict, token if taken else ""), False
            if taken:
                self._leases.register_flight(key, token)
                return None, True
            # Without a verdict, or with `wanted`, another process holds the flight. Otherwise a verdict that
            # is not valid for this reader prevented the claim, and the next round claims the flight despite
            # it.
            if wanted or not raw:
                self._memory.stats.waited += not waited
                waited = True
                if not await self._poll_wait(until):
                    return None, False
            wanted = True

    def _taken_over(self, verdict: CachedVerdict, token: str) -> CachedVerdict:
        """Returns another process's verdict, and ends the flight of `token` if the same step took it."""
        if token:
            self._leases.end_flight(verdict.key, token)
        return verdict

    async def _poll_wait(self, until: float) -> bool:
        """Waits for one polling interval; returns False if no time is left."""
        left_s = until - self._now()
        if left_s <= 0:
            return False
        # Random intervals, so that waiting processes do not poll in step.
        await sleep(min(left_s, self._jitter.uniform(*POLL_S)))
        return True


@dataclass(frozen=True, slots=True)
class _Server:
    """The connection and leases behind shared verdicts and slots."""

    link: RedisLink
    leases: Leases


class SharedResources:
    """The resources that the processes of one scope share; `slots` is None if nothing is shared."""

    def __init__(
        self,
        stats: CacheStats,
        verdicts: VerdictCache,
        slots: Semaphore | None = None,
        server: _Server | None = None,
    ) -> None:
        self.verdicts, self.slots = verdicts, slots
        self._stats, self._server = stats, server

    @property
    def counts(self) -> dict[str, int]:
        """Counts of all lookups, and of the outages of Redis as `fallbacks`."""
        fallbacks = self._server.link.outages if self._server else 0
        return asdict(self._stats) | {"fallbacks": fallbacks}

    async def close(self) -> None:
        """Releases all leases and closes the connection; takes a few round trips at most."""
        await self.verdicts.close()
        if self._server:
            self._server.leases.close()
            await self._server.link.close()


async def open_shared_resources(
    settings: Settings, scope: str, notify: Callable[[str], None]
) -> SharedResources:
    """Joins the processes that share `redis.url` and, for a model's slots, `scope`: its provider and server.

    An unavailable Redis is no error: `notify` receives one line about it, and one when it is back. Raises
    Misconfigured for a password that no server could accept.
    """
    stats = CacheStats()
    memory = MemoryVerdictCache(stats=stats)
    if not settings.redis.url:
        return SharedResources(stats, memory)
    llm, redis, password = settings.llm, settings.redis, config.load_secrets().redis_password
    share = max(1, llm.max_concurrent // llm.expected_processes)
    instead = f"this process uses its own cache and at most {share} of the model's slots"
    link = RedisLink(redis.url, password, redis.timeout_s, notify, instead)
    leases = Leases(link, scope, redis.lease_s, stats)
    # After an outage the server gets back all leases that are still held, before anything else is sent.
    link.on_connect = leases.renew
    await link.probe()
    slots = RedisSemaphore(leases, llm.max_concurrent, share)
    longest_ns = round(settings.hybrid.verdict_ttl_s * NS_PER_S)
    return SharedResources(
        stats, RedisVerdictCache(memory, leases, longest_ns=longest_ns), slots, _Server(link, leases)
    )

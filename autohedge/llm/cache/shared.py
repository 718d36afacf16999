"""What several processes share through Redis: verdicts, one flight a key, and the places at a model.

Redis is a hint and a courtesy. When it is away, slow or full of garbage, each process goes on alone with its
own memory and its own part of the places, and trading notices nothing.
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

# Redis forgets verdicts only to stay clean; whether one holds is the reader's to judge, in engine time.
MIN_TTL_MS, MAX_TTL_MS = 60_000, 7 * 86_400_000

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(CachedVerdict).decode


def read_cached(raw: bytes, key: str, longest_ns: int = NEVER) -> CachedVerdict | None:
    """A stored verdict; None for anything that is not one about this key.

    It holds for `longest_ns` at most, however long whoever wrote it would have let it.
    """
    try:
        verdict = _decode(raw)
    except (ValueError, RecursionError):
        return None
    if verdict.key != key or not verdict.source.isprintable():
        return None
    until_ns = min(verdict.valid_until_ns, verdict.decided_ns + longest_ns)
    return msgspec.structs.replace(verdict, valid_until_ns=until_ns)


class RedisVerdictCache:
    """The verdicts of all processes, with those that this one has seen in its own memory.

    Single flight holds among all processes, and without Redis within each. Others' verdicts are taken for
    `longest_ns` at most: an engine that lets them hold for less would find each of them stale.
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
        """The verdict for a reader at `at_ns`; waits at most `deadline_s` for one who asks already."""
        until = math.inf if deadline_s is None else self._now() + deadline_s
        verdict, leads = await self._memory.claim(key, at_ns, until)
        if leads:
            verdict, leads = await self._lead(key, at_ns, until)
        return self._memory.stats.found(verdict, leads=leads)

    async def put(self, verdict: CachedVerdict) -> None:
        """Store what was answered, and end the flight."""
        await self._memory.put(verdict)
        ttl_ms = (verdict.valid_until_ns - verdict.decided_ns) // 10**6
        stored = self._leases.store(verdict.key, _encode(verdict), min(max(MIN_TTL_MS, ttl_ms), MAX_TTL_MS))
        await asyncio.shield(stored)

    async def abandon(self, key: str) -> None:
        """End the flight without a verdict."""
        if self._memory.left(key):
            await asyncio.shield(self._leases.end_flight(key))

    async def close(self) -> None:
        """Forget all."""
        await self._memory.close()

    async def _lead(self, key: str, at_ns: int, until: float) -> tuple[CachedVerdict | None, bool]:
        """First in this process: look whether another has the verdict, or asks."""
        try:
            verdict, leads = await self._claimed(key, at_ns, until)
        except BaseException:
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
            # The flight may have been granted in the moment of the fall: it is ended with ours, or by itself.
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
            if wanted or not raw:
                self._memory.stats.waited += not waited
                waited = True
                if not await self._poll_wait(until):
                    return None, False
            wanted = True

    def _taken_over(self, verdict: CachedVerdict, token: str) -> CachedVerdict:
        """Another's verdict, which came in the moment in which we took the flight for it, if there is a token."""
        if token:
            self._leases.end_flight(verdict.key, token)
        return verdict

    async def _poll_wait(self, until: float) -> bool:
        """Wait a little for another process; false if there is no time left."""
        left_s = until - self._now()
        if left_s <= 0:
            return False
        await sleep(min(left_s, self._jitter.uniform(*POLL_S)))
        return True


@dataclass(frozen=True, slots=True)
class _Server:
    """What stands behind shared verdicts and slots."""

    link: RedisLink
    leases: Leases


class SharedResources:
    """What the processes of one scope have together; `slots` is None where each is for itself."""

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
        """What came of all searches, and how often Redis was away."""
        fallbacks = self._server.link.outages if self._server else 0
        return asdict(self._stats) | {"fallbacks": fallbacks}

    async def close(self) -> None:
        """Give back what is held, and let go; waits no longer than a round trip or two."""
        await self.verdicts.close()
        if self._server:
            self._server.leases.close()
            await self._server.link.close()


async def open_shared_resources(
    settings: Settings, scope: str, notify: Callable[[str], None]
) -> SharedResources:
    """Join the processes that share `redis.url` and, for places at a model, the `scope`: its server and name.

    Never fails because Redis is away: `notify` hears of it, in one line, and of its return. Raises Misconfigured
    for a password that no server could take.
    """
    stats = CacheStats()
    memory = MemoryVerdictCache(stats=stats)
    if not settings.redis.url:
        return SharedResources(stats, memory)
    llm, redis, password = settings.llm, settings.redis, config.load_secrets().redis_password
    share = max(1, llm.max_concurrent // llm.expected_processes)
    instead = f"this process remembers for itself and takes at most {share} of the model's places"
    link = RedisLink(redis.url, password, redis.timeout_s, notify, instead)
    leases = Leases(link, scope, redis.lease_s, stats)
    link.on_connect = leases.renew
    await link.probe()
    slots = RedisSemaphore(leases, llm.max_concurrent, share)
    longest_ns = round(settings.hybrid.verdict_ttl_s * NS_PER_S)
    return SharedResources(
        stats, RedisVerdictCache(memory, leases, longest_ns=longest_ns), slots, _Server(link, leases)
    )

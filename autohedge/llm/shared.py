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
from autohedge.core.ids import fresh_nonce, randomness
from autohedge.llm.leases import Leases
from autohedge.llm.link import Away, Link
from autohedge.llm.policy import pause
from autohedge.llm.slots import POLL_S, SharedSlots, Slots
from autohedge.llm.verdicts import InMemory, Kept, Tally, Verdicts

# Redis forgets verdicts only to stay clean; whether one holds is the reader's to judge, in engine time.
LEAST_LIFE_MS, MOST_LIFE_MS = 60_000, 7 * 86_400_000

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Kept).decode


def read_kept(raw: bytes, key: str, longest_ns: int = NEVER) -> Kept | None:
    """A stored verdict; None for anything that is not one about this key.

    It holds for `longest_ns` at most, however long whoever wrote it would have let it.
    """
    try:
        kept = _decode(raw)
    except (ValueError, RecursionError):
        return None
    if kept.key != key or not kept.source.isprintable():
        return None
    until_ns = min(kept.valid_until_ns, kept.decided_ns + longest_ns)
    return msgspec.structs.replace(kept, valid_until_ns=until_ns)


class SharedVerdicts:
    """The verdicts of all processes, with those that this one has seen in its own memory.

    Single flight holds among all processes, and without Redis within each. Others' verdicts are taken for
    `longest_ns` at most: an engine that lets them hold for less would find each of them stale.
    """

    def __init__(
        self,
        memory: InMemory,
        leases: Leases,
        now: Callable[[], float] = monotonic_s,
        longest_ns: int = NEVER,
    ) -> None:
        self._memory, self._leases, self._now = memory, leases, now
        self._longest_ns = longest_ns
        self._jitter = randomness(fresh_nonce(), "flights")

    async def find(self, key: str, at_ns: int, deadline_s: float | None = None) -> Kept | None:
        """The verdict for a reader at `at_ns`; waits at most `deadline_s` for one who asks already."""
        until = math.inf if deadline_s is None else self._now() + deadline_s
        kept, leads = await self._memory.claim(key, at_ns, until)
        if leads:
            kept, leads = await self._led(key, at_ns, until)
        return self._memory.tally.found(kept, leads=leads)

    async def keep(self, kept: Kept) -> None:
        """Store what was answered, and end the flight."""
        await self._memory.keep(kept)
        life_ms = (kept.valid_until_ns - kept.decided_ns) // 10**6
        stored = self._leases.keep(kept.key, _encode(kept), min(max(LEAST_LIFE_MS, life_ms), MOST_LIFE_MS))
        await asyncio.shield(stored)

    async def leave(self, key: str) -> None:
        """End the flight without a verdict."""
        if self._memory.left(key):
            await asyncio.shield(self._leases.leave(key))

    async def close(self) -> None:
        """Forget all."""
        await self._memory.close()

    async def _led(self, key: str, at_ns: int, until: float) -> tuple[Kept | None, bool]:
        """First in this process: look whether another has the verdict, or asks."""
        try:
            kept, leads = await self._claimed(key, at_ns, until)
        except BaseException:
            self._memory.left(key)
            raise
        if kept is not None:
            await self._memory.keep(kept)
        return kept, leads

    async def _claimed(self, key: str, at_ns: int, until: float) -> tuple[Kept | None, bool]:
        token = fresh_nonce()
        try:
            return await self._asked(key, token, at_ns, until)
        except Away:
            # The flight may have been granted in the moment of the fall: it is ended with ours, or by itself.
            self._leases.hold_flight(key, token)
            return None, True
        except BaseException:
            self._leases.leave(key, token)
            raise

    async def _asked(self, key: str, token: str, at_ns: int, until: float) -> tuple[Kept | None, bool]:
        wanted = waited = False
        while True:
            taken, raw = await self._leases.claim(key, token, wanted=wanted)
            kept = read_kept(raw, key, self._longest_ns) if raw else None
            if kept is not None and kept.serves(at_ns):
                return self._taken_over(kept, token if taken else ""), False
            if taken:
                self._leases.hold_flight(key, token)
                return None, True
            if wanted or not raw:
                self._memory.tally.waited += not waited
                waited = True
                if not await self._rest(until):
                    return None, False
            wanted = True

    def _taken_over(self, kept: Kept, token: str) -> Kept:
        """Another's verdict, which came in the moment in which we took the flight for it, if there is a token."""
        if token:
            self._leases.leave(kept.key, token)
        return kept

    async def _rest(self, until: float) -> bool:
        """Wait a little for another process; false if there is no time left."""
        left_s = until - self._now()
        if left_s <= 0:
            return False
        await pause(min(left_s, self._jitter.uniform(*POLL_S)))
        return True


@dataclass(frozen=True, slots=True)
class _Server:
    """What stands behind shared verdicts and slots."""

    link: Link
    leases: Leases


class Shared:
    """What the processes of one scope have together; `slots` is None where each is for itself."""

    def __init__(
        self, tally: Tally, verdicts: Verdicts, slots: Slots | None = None, server: _Server | None = None
    ) -> None:
        self.verdicts, self.slots = verdicts, slots
        self._tally, self._server = tally, server

    @property
    def counts(self) -> dict[str, int]:
        """What came of all searches, and how often Redis was away."""
        fallbacks = self._server.link.outages if self._server else 0
        return asdict(self._tally) | {"fallbacks": fallbacks}

    async def close(self) -> None:
        """Give back what is held, and let go; waits no longer than a round trip or two."""
        await self.verdicts.close()
        if self._server:
            self._server.leases.close()
            await self._server.link.close()


async def open_shared(settings: Settings, scope: str, tell: Callable[[str], None]) -> Shared:
    """Join the processes that share `redis.url` and, for places at a model, the `scope`: its server and name.

    Never fails because Redis is away: `tell` hears of it, in one line, and of its return. Raises Misconfigured
    for a password that no server could take.
    """
    tally = Tally()
    memory = InMemory(tally=tally)
    if not settings.redis.url:
        return Shared(tally, memory)
    llm, redis, password = settings.llm, settings.redis, config.secrets().redis_password
    share = max(1, llm.max_concurrent // llm.expected_processes)
    instead = f"this process remembers for itself and takes at most {share} of the model's places"
    link = Link(redis.url, password, redis.timeout_s, tell, instead)
    leases = Leases(link, scope, redis.lease_s, tally)
    link.greet = leases.renew
    await link.begin()
    slots = SharedSlots(leases, llm.max_concurrent, share)
    longest_ns = round(settings.hybrid.verdict_ttl_s * 10**9)
    return Shared(tally, SharedVerdicts(memory, leases, longest_ns=longest_ns), slots, _Server(link, leases))

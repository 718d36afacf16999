"""The Director's verdicts, kept for as long as they hold: what was asked a moment ago is not asked again.

A verdict is found by what it is about, and taken only by a reader to whose moment it belongs. Of those who want
the same one at the same time, one asks and the others wait: that one holds the flight.
"""

import asyncio
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Annotated, Any, Protocol

import msgspec

from autohedge.core.clock import NEVER, monotonic_s

MOST_KEYS = 10_000

TimestampNs = Annotated[int, msgspec.Meta(ge=0, le=NEVER)]


class VerdictKey(msgspec.Struct, frozen=True):
    """What a verdict is about: another model, prompt, schema or regime is another question."""

    venue: str
    symbol: str
    prompt_hash: str
    model: str
    schema_version: str
    regime: str

    @property
    def text(self) -> str:
        """The same in every process; no name, whatever is in it, can be mistaken for another."""
        encoded = json.dumps(msgspec.structs.astuple(self))
        return blake2b(encoded.encode(), digest_size=16).hexdigest()


class CachedVerdict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A verdict: `answer` as JSON values, asked at `decided_ns`, known from `known_ns`, over at `valid_until_ns`.

    All in engine time. `source` says who answered. From Redis it may be anybody's: judge `answer` before use.
    """

    key: str
    answer: dict[str, Any]
    decided_ns: TimestampNs
    valid_until_ns: TimestampNs
    known_ns: TimestampNs
    source: Annotated[str, msgspec.Meta(max_length=200)]

    def valid_at(self, at_ns: int) -> bool:
        """Whether a reader at `at_ns` may take it: one from the reader's future, or past its end, does not exist."""
        return max(self.decided_ns, self.known_ns) <= at_ns < self.valid_until_ns


@dataclass(slots=True)
class CacheStats:
    """What came of all searches: every one is a hit or a miss, every miss a flight or waited out.

    `waited` counts waits for another's flight; `lost` are places that ended under their holder.
    """

    hits: int = 0
    misses: int = 0
    waited: int = 0
    waited_out: int = 0
    flights: int = 0
    lost: int = 0

    def found(self, verdict: CachedVerdict | None, *, leads: bool) -> CachedVerdict | None:
        """Count a search that ended so."""
        self.hits += verdict is not None
        self.misses += verdict is None
        self.flights += verdict is None and leads
        self.waited_out += verdict is None and not leads
        return verdict


class VerdictCache(Protocol):
    """A cache of verdicts with one flight a key.

    Who finds nothing must ask, and then call either `put` or `abandon`, once.
    """

    async def get(self, key: str, at_ns: int, deadline_s: float | None = None) -> CachedVerdict | None:
        """The verdict for a reader at `at_ns`; waits at most `deadline_s` for one who asks already."""
        ...

    async def put(self, verdict: CachedVerdict) -> None:
        """Store what was answered, and end the flight."""
        ...

    async def abandon(self, key: str) -> None:
        """End the flight without a verdict."""
        ...

    async def close(self) -> None:
        """Let go of everything."""
        ...


class _Flight:
    """Those who ask for one key: the first, and who could wait no longer."""

    __slots__ = ("news", "requesters")

    def __init__(self) -> None:
        self.requesters = 1
        self.news = asyncio.Event()

    def notify_waiters(self) -> None:
        """Let all who wait look again."""
        self.news.set()
        self.news = asyncio.Event()


class MemoryVerdictCache:
    """The verdicts of one process: at most `most_keys`, the one stored longest ago goes first."""

    def __init__(
        self,
        most_keys: int = MOST_KEYS,
        stats: CacheStats | None = None,
        now: Callable[[], float] = monotonic_s,
    ) -> None:
        self.stats = stats or CacheStats()
        self._most_keys, self._now = most_keys, now
        self._verdicts: dict[str, CachedVerdict] = {}
        self._flights: dict[str, _Flight] = {}

    async def get(self, key: str, at_ns: int, deadline_s: float | None = None) -> CachedVerdict | None:
        """The verdict for a reader at `at_ns`; waits at most `deadline_s` for one who asks already."""
        until = math.inf if deadline_s is None else self._now() + deadline_s
        verdict, leads = await self.claim(key, at_ns, until)
        return self.stats.found(verdict, leads=leads)

    async def claim(self, key: str, at_ns: int, until: float) -> tuple[CachedVerdict | None, bool]:
        """The verdict, or whether the flight is the caller's alone: it is not where waiting took until `until`."""
        if (verdict := self.peek(key, at_ns)) is not None:
            return verdict, False
        self.stats.waited += key in self._flights
        while (flight := self._flights.get(key)) is not None:
            if not await self._news(flight, until):
                return None, self._joined(key)
            if (verdict := self.peek(key, at_ns)) is not None:
                return verdict, False
        return None, self._joined(key)

    def peek(self, key: str, at_ns: int) -> CachedVerdict | None:
        """The verdict if it is here, without waiting."""
        verdict = self._verdicts.get(key)
        return verdict if verdict is not None and verdict.valid_at(at_ns) else None

    async def put(self, verdict: CachedVerdict) -> None:
        """Store what was answered, and end the flight."""
        self.store(verdict)
        self.left(verdict.key)

    async def abandon(self, key: str) -> None:
        """End the flight without a verdict."""
        self.left(key)

    def store(self, verdict: CachedVerdict) -> None:
        """Store a verdict and tell those who wait for it."""
        self._verdicts.pop(verdict.key, None)
        self._verdicts[verdict.key] = verdict
        if len(self._verdicts) > self._most_keys:
            del self._verdicts[next(iter(self._verdicts))]
        if flight := self._flights.get(verdict.key):
            flight.notify_waiters()

    def left(self, key: str) -> bool:
        """One who asked is done; true if nobody in this process asks any more."""
        flight = self._flights.get(key)
        if flight is None:
            return True
        flight.requesters -= 1
        if flight.requesters:
            return False
        del self._flights[key]
        flight.notify_waiters()
        return True

    async def close(self) -> None:
        """Forget all, and let all who wait look again."""
        self._verdicts.clear()
        for key in list(self._flights):
            self._flights.pop(key).notify_waiters()

    def _joined(self, key: str) -> bool:
        """Ask for a key, whoever does already; true for the first."""
        flight = self._flights.get(key)
        if flight is None:
            self._flights[key] = _Flight()
            return True
        flight.requesters += 1
        return False

    async def _news(self, flight: _Flight, until: float) -> bool:
        """Wait until the flight has news; false if that took until `until`."""
        try:
            async with asyncio.timeout(None if math.isinf(until) else until - self._now()):
                await flight.news.wait()
        except TimeoutError:
            return False
        return True

"""A cache of the Director's verdicts with single flight: equal requests share one call.

A verdict is stored under a key of its inputs, and is used only by a reader whose timestamp lies within its
validity. Of several concurrent readers without a verdict, one queries the model and the others wait for it.
The one that queries holds the flight of the key.
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
    """The inputs of a verdict; a change of any of them, such as model or regime, needs a new verdict."""

    venue: str
    symbol: str
    prompt_hash: str
    model: str
    schema_version: str
    regime: str

    @property
    def text(self) -> str:
        """A hash that is the same in every process."""
        # JSON quotes and separates the fields, so that no two different keys have the same encoding.
        encoded = json.dumps(msgspec.structs.astuple(self))
        return blake2b(encoded.encode(), digest_size=16).hexdigest()


class CachedVerdict(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A verdict: `answer` as JSON values, requested at `decided_ns`.

    It is known from `known_ns` and valid until `valid_until_ns`. All timestamps are engine time. `source`
    names the backend. A verdict from Redis may have been written by any program, so `answer` must be
    validated before use.
    """

    key: str
    answer: dict[str, Any]
    decided_ns: TimestampNs
    valid_until_ns: TimestampNs
    known_ns: TimestampNs
    source: Annotated[str, msgspec.Meta(max_length=200)]

    def valid_at(self, at_ns: int) -> bool:
        """Whether a reader at `at_ns` may use it: not before it is known, and not after its end."""
        return max(self.decided_ns, self.known_ns) <= at_ns < self.valid_until_ns


@dataclass(slots=True)
class CacheStats:
    """Counts of all lookups: each is a hit or a miss; each miss takes a flight or waited out its deadline.

    `waited` counts waits for another reader's flight; `lost` counts slots that expired while they were held.
    """

    hits: int = 0
    misses: int = 0
    waited: int = 0
    waited_out: int = 0
    flights: int = 0
    lost: int = 0

    def found(self, verdict: CachedVerdict | None, *, leads: bool) -> CachedVerdict | None:
        """Counts a finished lookup and returns its verdict."""
        self.hits += verdict is not None
        self.misses += verdict is None
        self.flights += verdict is None and leads
        self.waited_out += verdict is None and not leads
        return verdict


class VerdictCache(Protocol):
    """A cache of verdicts with one flight per key.

    A caller whose `get` returns None must query the model, and then call `put` or `abandon` exactly once.
    """

    async def get(self, key: str, at_ns: int, deadline_s: float | None = None) -> CachedVerdict | None:
        """Returns the verdict for a reader at `at_ns`; waits at most `deadline_s` for another's flight."""
        ...

    async def put(self, verdict: CachedVerdict) -> None:
        """Stores a verdict and ends the flight."""
        ...

    async def abandon(self, key: str) -> None:
        """Ends the flight without a verdict."""
        ...

    async def close(self) -> None:
        """Releases everything that is held."""
        ...


class _Flight:
    """The readers that query the model for one key: the first, and those whose wait timed out."""

    __slots__ = ("news", "requesters")

    def __init__(self) -> None:
        self.requesters = 1
        self.news = asyncio.Event()

    def notify_waiters(self) -> None:
        """Wakes all waiters, so that they look again."""
        self.news.set()
        # A new event: a waiter that finds nothing waits for the next change instead of running in circles.
        self.news = asyncio.Event()


class MemoryVerdictCache:
    """The verdicts of one process: at most `most_keys`, of which the one stored first is evicted first."""

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
        """Returns the verdict for a reader at `at_ns`; waits at most `deadline_s` for another's flight."""
        until = math.inf if deadline_s is None else self._now() + deadline_s
        verdict, leads = await self.claim(key, at_ns, until)
        return self.stats.found(verdict, leads=leads)

    async def claim(self, key: str, at_ns: int, until: float) -> tuple[CachedVerdict | None, bool]:
        """Returns a verdict, or None and whether the caller leads the flight.

        It does not lead if another reader still queries at `until`, when its wait ends.
        """
        if (verdict := self.peek(key, at_ns)) is not None:
            return verdict, False
        self.stats.waited += key in self._flights
        # A loop, since the flight can end without a verdict, or with one that does not hold at `at_ns`.
        while (flight := self._flights.get(key)) is not None:
            if not await self._news(flight, until):
                return None, self._joined(key)
            if (verdict := self.peek(key, at_ns)) is not None:
                return verdict, False
        return None, self._joined(key)

    def peek(self, key: str, at_ns: int) -> CachedVerdict | None:
        """Returns the verdict if it is stored and valid, without waiting."""
        verdict = self._verdicts.get(key)
        return verdict if verdict is not None and verdict.valid_at(at_ns) else None

    async def put(self, verdict: CachedVerdict) -> None:
        """Stores a verdict and ends the flight."""
        self.store(verdict)
        self.left(verdict.key)

    async def abandon(self, key: str) -> None:
        """Ends the flight without a verdict."""
        self.left(key)

    def store(self, verdict: CachedVerdict) -> None:
        """Stores a verdict and wakes those that wait for it."""
        # Removed first, so that the key moves to the end: the dict is in the order of storing.
        self._verdicts.pop(verdict.key, None)
        self._verdicts[verdict.key] = verdict
        if len(self._verdicts) > self._most_keys:
            del self._verdicts[next(iter(self._verdicts))]
        if flight := self._flights.get(verdict.key):
            flight.notify_waiters()

    def left(self, key: str) -> bool:
        """Ends one reader's part in a flight; returns whether no reader of this process is left in it."""
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
        """Deletes all verdicts and wakes all waiters."""
        self._verdicts.clear()
        for key in list(self._flights):
            self._flights.pop(key).notify_waiters()

    def _joined(self, key: str) -> bool:
        """Adds the caller to the flight of a key; returns whether it is the first."""
        flight = self._flights.get(key)
        if flight is None:
            self._flights[key] = _Flight()
            return True
        flight.requesters += 1
        return False

    async def _news(self, flight: _Flight, until: float) -> bool:
        """Waits for a change of the flight; returns False if none comes by `until`."""
        try:
            async with asyncio.timeout(None if math.isinf(until) else until - self._now()):
                await flight.news.wait()
        except TimeoutError:
            return False
        return True

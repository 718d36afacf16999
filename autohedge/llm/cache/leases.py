"""What this process holds on a Redis server: places and flights that end by themselves when it dies.

Every lease runs by the server's clock and is renewed at a third of its time. All state changes in Lua, which
the server runs as one step.
"""

import asyncio
import contextlib
from typing import Any

from autohedge.llm.cache.memory import CacheStats
from autohedge.llm.cache.redis_link import RedisLink, RedisUnavailable
from autohedge.llm.policy import sleep

VERDICT, FLIGHT = "autohedge:verdict:", "autohedge:flight:"
SLOTS, WAITING, SEEN = "autohedge:slots:", "autohedge:waiting:", "autohedge:seen:"
MOST_BYTES = 1 << 16  # of a verdict; more is not read

_NOW = """
local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now = math.floor(now_us / 1000)
"""

# Whatever else somebody put under our names is removed.
_MEND = """
for _, key in ipairs(KEYS) do
  local kind = redis.call('TYPE', key).ok
  if kind ~= 'zset' and kind ~= 'none' then redis.call('DEL', key) end
end
"""

# KEYS: places by the ms at which they end, those who wait by the μs at which they came, and by the ms until
# which they count as there. ARGV: token, limit, lease in ms, which is also how long who waits may be silent.
TAKE_SLOT = (
    _NOW
    + _MEND
    + """
local places, waiting, seen = KEYS[1], KEYS[2], KEYS[3]
local token, limit, lease = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
redis.call('ZREMRANGEBYSCORE', places, '-inf', now)
redis.call('ZREMRANGEBYSCORE', places, '(' .. (now + 3600000), '+inf')
redis.call('ZREMRANGEBYSCORE', seen, '-inf', now)
local first = redis.call('ZRANGE', waiting, 0, 0)[1]
while first and first ~= token and not redis.call('ZSCORE', seen, first) do
  redis.call('ZREM', waiting, first)
  first = redis.call('ZRANGE', waiting, 0, 0)[1]
end
local before = redis.call('ZRANK', waiting, token)
local waits = before
if not before then before = redis.call('ZCARD', waiting) end
local taken = 0
if before < limit - redis.call('ZCARD', places) then
  redis.call('ZADD', places, now + lease, token)
  redis.call('ZREM', waiting, token)
  redis.call('ZREM', seen, token)
  taken = 1
else
  if not waits then redis.call('ZADD', waiting, now_us, token) end
  redis.call('ZADD', seen, now + lease, token)
end
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, 3600000) end
return taken
"""
)

# KEYS: as for taking. ARGV: lease in ms, tokens. Says of each whether its place was still there.
RENEW_SLOTS = (
    _NOW
    + _MEND
    + """
local had = {}
for i = 2, #ARGV do
  had[i - 1] = redis.call('ZADD', KEYS[1], now + tonumber(ARGV[1]), ARGV[i]) == 0 and 1 or 0
  redis.call('ZREM', KEYS[2], ARGV[i])
  redis.call('ZREM', KEYS[3], ARGV[i])
end
redis.call('PEXPIRE', KEYS[1], 3600000)
return had
"""
)

# KEYS: as for taking. ARGV: token.
DROP_SLOT = _MEND + "for _, key in ipairs(KEYS) do redis.call('ZREM', key, ARGV[1]) end return 1"

# KEYS: flight, verdict. ARGV: token, lease in ms, most bytes, and 1 if the flight is wanted even if there is a
# verdict. A flight without an end is nobody's.
CLAIM = """
local found = redis.pcall('GETRANGE', KEYS[2], 0, tonumber(ARGV[3]) - 1)
if type(found) ~= 'string' then found = '' end
if found ~= '' and ARGV[4] == '0' then return {0, found} end
if redis.call('PTTL', KEYS[1]) == -1 then redis.call('DEL', KEYS[1]) end
local taken = redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2])
return {taken and 1 or 0, found}
"""

_HELD = "local function held(key, token) return redis.pcall('GET', key) == token end\n"

# KEYS: flights. ARGV: lease in ms, their tokens.
RENEW_FLIGHTS = (
    _HELD
    + """
for i, key in ipairs(KEYS) do
  if held(key, ARGV[i + 1]) then redis.call('PEXPIRE', key, ARGV[1]) end
end
return 1
"""
)

# KEYS: flight, verdict. ARGV: token, verdict, its life in ms.
STORE = (
    _HELD
    + """
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
if held(KEYS[1], ARGV[1]) then redis.call('DEL', KEYS[1]) end
return 1
"""
)

# KEYS: flight. ARGV: token.
LEAVE = _HELD + "if held(KEYS[1], ARGV[1]) then redis.call('DEL', KEYS[1]) end return 1"


class Leases:
    """The places of one scope and the flights that this process holds, kept alive while there are any.

    `slots` says of each place whether the server knows of it; `flights` has the token of each key.
    """

    def __init__(self, link: RedisLink, scope: str, lease_s: float, stats: CacheStats) -> None:
        self._link, self._lease_s, self._stats = link, lease_s, stats
        self._lease_ms = max(1, round(lease_s * 1000))
        self._keys = (SLOTS + scope, WAITING + scope, SEEN + scope)
        self._keeper: asyncio.Task[None] | None = None
        self.slots: dict[str, bool] = {}
        self.flights: dict[str, str] = {}

    async def take_slot(self, token: str, limit: int) -> bool:
        """Take a place if it is this token's turn, or stand in line for one. Raises RedisUnavailable."""
        arguments = (token, limit, self._lease_ms)
        taken = await self._link.call(_yes, "EVAL", TAKE_SLOT, 3, *self._keys, *arguments)
        return taken and self.register_slot(token, known=True)

    def register_slot(self, token: str, *, known: bool) -> bool:
        """Hold a place, which the server knows of or will be told of when it is back; always true."""
        self.slots[token] = known
        self._watch()
        return True

    def release_slot(self, token: str) -> asyncio.Task[None]:
        """Give a place back, or the wish for one; the task ends when the server has heard of it."""
        self.slots.pop(token, None)
        return self._link.send_nowait("EVAL", DROP_SLOT, 3, *self._keys, token)

    async def claim(self, key: str, token: str, *, wanted: bool) -> tuple[bool, bytes]:
        """Whether the flight was taken, and the verdict as it is stored, empty without one.

        The flight of a key that has a verdict is taken only if it is `wanted`. Raises RedisUnavailable.
        """
        arguments = (token, self._lease_ms, MOST_BYTES, int(wanted))
        return await self._link.call(_claimed, "EVAL", CLAIM, 2, FLIGHT + key, VERDICT + key, *arguments)

    def register_flight(self, key: str, token: str) -> None:
        """Renew a flight from now on."""
        self.flights[key] = token
        self._watch()

    def store(self, key: str, value: bytes, ttl_ms: int) -> asyncio.Task[None]:
        """Store a verdict and end the flight, in one step."""
        token = self.flights.pop(key, "")
        return self._link.send_nowait("EVAL", STORE, 2, FLIGHT + key, VERDICT + key, token, value, ttl_ms)

    def end_flight(self, key: str, token: str | None = None) -> asyncio.Task[None]:
        """End a flight that is held, or that this token may have taken."""
        held = token or self.flights.pop(key, "")
        return self._link.send_nowait("EVAL", LEAVE, 1, FLIGHT + key, held)

    async def renew(self) -> None:
        """One round for all that is held; also finds out whether the server is there. Raises RedisUnavailable."""
        flights = dict(self.flights)
        names, tokens = [FLIGHT + key for key in flights], flights.values()
        await self._link.call_always(_yes, "EVAL", RENEW_FLIGHTS, len(names), *names, self._lease_ms, *tokens)
        slots = tuple(self.slots)
        had = await self._link.call_always(list, "EVAL", RENEW_SLOTS, 3, *self._keys, self._lease_ms, *slots)
        for token, known in zip(slots, had, strict=True):
            self._renewed(token, known=bool(known))

    def close(self) -> None:
        """Give everything back."""
        if self._keeper is not None:
            self._keeper.cancel()
        for token in tuple(self.slots):
            self.release_slot(token)
        for key in tuple(self.flights):
            self.end_flight(key)

    def _renewed(self, token: str, *, known: bool) -> None:
        """A place that had ended was put back, above the limit if need be.

        Its call is under way and will be finished: to cut it off would help nobody, and who comes next must count it.
        """
        if token not in self.slots:
            self.release_slot(token)  # given back while the renewal was on its way, which put it back
            return
        self._stats.lost += self.slots[token] and not known
        self.slots[token] = True

    def _watch(self) -> None:
        if self._keeper is None or self._keeper.done():
            self._keeper = asyncio.get_running_loop().create_task(self._keep_alive())

    async def _keep_alive(self) -> None:
        while self.slots or self.flights:
            await sleep(self._lease_s / 3)
            if self._link.up:
                with contextlib.suppress(RedisUnavailable):
                    await self.renew()


def _yes(reply: Any) -> bool:
    return int(reply) == 1


def _claimed(reply: Any) -> tuple[bool, bytes]:
    taken, found = reply
    return int(taken) == 1, bytes(found)

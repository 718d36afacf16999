"""Leases of this process on a Redis server: slots and single-flight locks that expire when the process dies.

A flight is the lock of the one process that queries the model for a key. Every lease runs by the server's
clock and is renewed after a third of its duration. All changes are Lua scripts, which the server runs
atomically.
"""

import asyncio
import contextlib
from typing import Any

from autohedge.llm.cache.memory import CacheStats
from autohedge.llm.cache.redis_link import RedisLink, RedisUnavailable
from autohedge.llm.policy import sleep

VERDICT, FLIGHT = "autohedge:verdict:", "autohedge:flight:"
SLOTS, WAITING, SEEN = "autohedge:slots:", "autohedge:waiting:", "autohedge:seen:"
MOST_BYTES = 1 << 16  # of a stored verdict; anybody may have written it, so no more is read

# The server's clock, so that processes whose clocks differ agree on the end of a lease.
_NOW = """
local time = redis.call('TIME')
local now_us = time[1] * 1000000 + time[2]
local now = math.floor(now_us / 1000)
"""

# A key of another type, written by some other program, would make every command on it fail: it is deleted.
_MEND = """
for _, key in ipairs(KEYS) do
  local kind = redis.call('TYPE', key).ok
  if kind ~= 'zset' and kind ~= 'none' then redis.call('DEL', key) end
end
"""

# KEYS: three sorted sets of tokens: slots by the ms of their expiry; waiting tokens by the μs of their
# arrival; and waiting tokens by the ms until which they count as present. ARGV: token, limit, lease in ms. A
# waiting token that does not poll for the length of a lease loses its place in the queue. An expiry more than
# an hour away cannot be ours (redis.lease_s is at most an hour) and is removed. A slot goes to the token only
# if fewer tokens wait ahead of it than slots are free, so that the one that waits longest is served first.
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

# KEYS: as for TAKE_SLOT. ARGV: lease in ms, tokens. Returns for each token whether its slot still existed. A
# slot that had expired is created again, above the limit if necessary: its call is in progress.
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

# KEYS: as for TAKE_SLOT. ARGV: token.
DROP_SLOT = _MEND + "for _, key in ipairs(KEYS) do redis.call('ZREM', key, ARGV[1]) end return 1"

# KEYS: flight, verdict. ARGV: token, lease in ms, largest size, and 1 to claim the flight even if a verdict
# exists. A flight without an expiry was not written by this program and is deleted, as it would block the key
# for ever.
CLAIM = """
local found = redis.pcall('GETRANGE', KEYS[2], 0, tonumber(ARGV[3]) - 1)
if type(found) ~= 'string' then found = '' end
if found ~= '' and ARGV[4] == '0' then return {0, found} end
if redis.call('PTTL', KEYS[1]) == -1 then redis.call('DEL', KEYS[1]) end
local taken = redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2])
return {taken and 1 or 0, found}
"""

# Only the holder may renew or delete a flight: it may have expired and belong to another process by now.
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

# KEYS: flight, verdict. ARGV: token, verdict, its lifetime in ms.
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
    """The slots of one scope and the flights that this process holds, renewed in the background.

    `slots` maps the token of each held slot to whether the server has it; `flights` maps each key to its
    token.
    """

    def __init__(self, link: RedisLink, scope: str, lease_s: float, stats: CacheStats) -> None:
        self._link, self._lease_s, self._stats = link, lease_s, stats
        self._lease_ms = max(1, round(lease_s * 1000))
        self._keys = (SLOTS + scope, WAITING + scope, SEEN + scope)
        self._keeper: asyncio.Task[None] | None = None
        self.slots: dict[str, bool] = {}
        self.flights: dict[str, str] = {}

    async def take_slot(self, token: str, limit: int) -> bool:
        """Takes a slot if it is this token's turn, else queues the token. Raises RedisUnavailable."""
        arguments = (token, limit, self._lease_ms)
        taken = await self._link.call(_yes, "EVAL", TAKE_SLOT, 3, *self._keys, *arguments)
        return taken and self.register_slot(token, known=True)

    def register_slot(self, token: str, *, known: bool) -> bool:
        """Holds a slot, which the server has (`known`) or receives with the next renewal; returns True."""
        self.slots[token] = known
        self._watch()
        return True

    def release_slot(self, token: str) -> asyncio.Task[None]:
        """Releases a slot, or leaves the queue for one; the task ends with the server's reply."""
        self.slots.pop(token, None)
        return self._link.send_nowait("EVAL", DROP_SLOT, 3, *self._keys, token)

    async def claim(self, key: str, token: str, *, wanted: bool) -> tuple[bool, bytes]:
        """Returns whether the flight was taken, and the stored verdict, empty if there is none.

        The flight of a key with a verdict is taken only if `wanted`. Raises RedisUnavailable.
        """
        arguments = (token, self._lease_ms, MOST_BYTES, int(wanted))
        return await self._link.call(_claimed, "EVAL", CLAIM, 2, FLIGHT + key, VERDICT + key, *arguments)

    def register_flight(self, key: str, token: str) -> None:
        """Renews a flight from now on."""
        self.flights[key] = token
        self._watch()

    def store(self, key: str, value: bytes, ttl_ms: int) -> asyncio.Task[None]:
        """Stores a verdict and ends the flight, in one step."""
        token = self.flights.pop(key, "")
        return self._link.send_nowait("EVAL", STORE, 2, FLIGHT + key, VERDICT + key, token, value, ttl_ms)

    def end_flight(self, key: str, token: str | None = None) -> asyncio.Task[None]:
        """Ends the flight that is held, or the one that `token` may have taken."""
        held = token or self.flights.pop(key, "")
        return self._link.send_nowait("EVAL", LEAVE, 1, FLIGHT + key, held)

    async def renew(self) -> None:
        """Renews all slots and flights; also serves as a connection test. Raises RedisUnavailable."""
        # Copies, as both can change during the round trips.
        flights = dict(self.flights)
        names, tokens = [FLIGHT + key for key in flights], flights.values()
        await self._link.call_always(_yes, "EVAL", RENEW_FLIGHTS, len(names), *names, self._lease_ms, *tokens)
        slots = tuple(self.slots)
        had = await self._link.call_always(list, "EVAL", RENEW_SLOTS, 3, *self._keys, self._lease_ms, *slots)
        for token, known in zip(slots, had, strict=True):
            self._renewed(token, known=bool(known))

    def close(self) -> None:
        """Releases all slots and flights."""
        if self._keeper is not None:
            self._keeper.cancel()
        for token in tuple(self.slots):
            self.release_slot(token)
        for key in tuple(self.flights):
            self.end_flight(key)

    def _renewed(self, token: str, *, known: bool) -> None:
        """Records a renewal; counts a slot that had expired and was created again.

        A slot is created again even above the limit: its call is in progress and is not interrupted, and the
        next process must count it.
        """
        if token not in self.slots:
            self.release_slot(token)  # it was released during the renewal, which created it again
            return
        self._stats.lost += self.slots[token] and not known
        self.slots[token] = True

    def _watch(self) -> None:
        if self._keeper is None or self._keeper.done():
            self._keeper = asyncio.get_running_loop().create_task(self._keep_alive())

    async def _keep_alive(self) -> None:
        while self.slots or self.flights:
            # A third of the lease, so that two renewals can fail before it expires.
            await sleep(self._lease_s / 3)
            if self._link.up:
                with contextlib.suppress(RedisUnavailable):
                    await self.renew()


def _yes(reply: Any) -> bool:
    return int(reply) == 1


def _claimed(reply: Any) -> tuple[bool, bytes]:
    taken, found = reply
    return int(taken) == 1, bytes(found)

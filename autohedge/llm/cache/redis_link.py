"""A connection to one Redis server with a timeout per call, and without calls during an outage."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import SecretStr

from autohedge.core.clock import monotonic_s
from autohedge.core.errors import Unavailable
from autohedge.core.text import one_line
from autohedge.llm.errors import HIDDEN
from autohedge.llm.policy import sleep

if TYPE_CHECKING:
    from redis.asyncio import Redis

Read = TypeVar("Read")
RedisArgument = str | bytes | int
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
CONNECTIONS = 16
REASON_CHARS = 100


class RedisUnavailable(Unavailable):
    """Redis gave no answer in time or an invalid one: continue without it. The outage has been reported."""


class RedisLink:
    """Round trips to a server, each at most `timeout_s` long.

    The first failure starts an outage: `call` raises at once until a reconnection in the background succeeds,
    which is tried after pauses of 1 to 30 s. `notify` receives one line per outage, which ends with
    `instead`, and one when the outage ends.
    """

    def __init__(
        self,
        url: str,
        password: SecretStr | None,
        timeout_s: float,
        notify: Callable[[str], None],
        instead: str = "this process continues without it",
        pause: Callable[[float], Awaitable[None]] = sleep,
    ) -> None:
        self._url, self._password, self._timeout_s = url, password, timeout_s
        self._notify, self._instead, self._pause = notify, instead, pause
        self._client: Any = _client(url, password)  # its commands have no types
        self._trying: asyncio.Task[None] | None = None
        self._posted: set[asyncio.Task[None]] = set()
        self._closed = False
        self._pause_s = FIRST_PAUSE_S
        self._back_s = monotonic_s()
        self.outages = 0
        self.on_connect: Callable[[], Awaitable[None]] = self._ping

    @property
    def up(self) -> bool:
        """Whether there is no outage and the link is not closed."""
        return self._trying is None and not self._closed

    async def probe(self) -> None:
        """Tests the connection with one round trip; a failure starts an outage and is not raised."""
        with contextlib.suppress(RedisUnavailable):
            await self._ping()

    async def call(self, read: Callable[[Any], Read], *command: RedisArgument) -> Read:
        """Sends a command and returns what `read` makes of the reply; an exception in `read` is a failure.

        Raises RedisUnavailable, during an outage at once.
        """
        if not self.up:
            raise RedisUnavailable("Redis is not available")
        return await self.call_always(read, *command)

    async def call_always(self, read: Callable[[Any], Read], *command: RedisArgument) -> Read:
        """Does the same as `call`, but sends the command during an outage too."""
        outage = self.outages
        try:
            async with asyncio.timeout(self._timeout_s):
                return read(await self._client.execute_command(*command))
        except Exception as error:
            # Any exception: unexpected bytes make the client raise exceptions of many kinds. A call that was
            # in progress when the outage began does not start another one.
            if self.up and outage == self.outages:
                self._on_failure(error)
            raise RedisUnavailable("Redis does not answer") from error

    def send_nowait(self, *command: RedisArgument) -> asyncio.Task[None]:
        """Sends a command in the background; ignores failures, and survives the caller's cancellation."""
        task = asyncio.get_running_loop().create_task(self._post(command))
        # The loop holds only weak references to tasks.
        self._posted.add(task)
        task.add_done_callback(self._posted.discard)
        return task

    async def close(self) -> None:
        """Waits for commands in the background, then closes the connections."""
        await asyncio.gather(*self._posted, return_exceptions=True)
        self._closed = True
        if self._trying is not None:
            self._trying.cancel()
        # Closing must not fail, whatever state an outage left the client in.
        with contextlib.suppress(Exception):
            async with asyncio.timeout(self._timeout_s):
                await self._client.aclose()

    async def _post(self, command: tuple[RedisArgument, ...]) -> None:
        # Without the command the lease that it would have ended expires by itself.
        with contextlib.suppress(RedisUnavailable):
            await self.call(bool, *command)

    async def _ping(self) -> None:
        await self.call_always(bool, "PING")

    def _on_failure(self, error: Exception) -> None:
        self.outages += 1
        # A server that fails again soon after its return keeps the longer pause.
        if monotonic_s() - self._back_s > LONGEST_PAUSE_S:
            self._pause_s = FIRST_PAUSE_S
        self._trying = asyncio.get_running_loop().create_task(self._reconnect_loop())
        self._notify(f"{self._named()} {self._reason(error)}; until it is back {self._instead}")

    async def _reconnect_loop(self) -> None:
        while True:
            await self._pause(self._pause_s)
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
            with contextlib.suppress(RedisUnavailable):
                await self.on_connect()
                break
        self._trying, self._back_s = None, monotonic_s()
        self._notify(f"{self._named()} is back")

    def _named(self) -> str:
        return f"Redis at {self._url.partition('://')[2]}"

    def _reason(self, error: Exception) -> str:
        from redis import exceptions

        if isinstance(error, TimeoutError | exceptions.TimeoutError):
            return f"does not answer within {self._timeout_s:g} s (redis.timeout_s)"
        if isinstance(error, exceptions.AuthenticationError):
            return "refuses the password: set AUTOHEDGE_REDIS_PASSWORD to the right one"
        if isinstance(error, OSError | exceptions.ConnectionError):
            return "cannot be reached: start it or set redis.url"
        return f"cannot be used: {self._error_text(error)}"

    def _error_text(self, error: Exception) -> str:
        """Returns the server's message on one line, without the password, however short that is."""
        text = str(error)
        if self._password and (secret := self._password.get_secret_value()):
            text = text.replace(secret, HIDDEN)
        return one_line(text, REASON_CHARS)


def _client(url: str, password: SecretStr | None) -> "Redis":
    from redis.asyncio import BlockingConnectionPool, Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    pool = BlockingConnectionPool.from_url(
        url,
        password=password.get_secret_value() if password else None,
        max_connections=CONNECTIONS,
        timeout=None,  # the timeout of the round trip includes the wait for a connection
        retry=Retry(NoBackoff(), 0),  # `_reconnect_loop` decides when to try again
        protocol=2,  # every Redis version speaks it, without a handshake
    )
    return Redis.from_pool(pool)

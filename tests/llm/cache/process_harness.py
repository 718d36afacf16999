"""Processes that share slots and verdicts through Redis.

Usage: `process_harness.py URL SLOTS LEASE_S COUNT ask PORT`, or `call PORT TIMES` or `hold TIMES` in place of
`ask PORT`. SLOTS is the number of the model's slots. COUNT processes do the same concurrently; each prints
its result as one line of JSON. The model is a server at PORT that reads one line and answers with one.
"""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from autohedge import config
from autohedge.config import Settings
from autohedge.llm.cache.memory import CachedVerdict
from autohedge.llm.cache.shared import SharedResources, open_shared_resources

AT_NS, END_NS, KEY = 1_000, 2_000, "one-key"


def shared_settings(url: str, places: str, lease_s: str) -> Settings:
    redis = (f"redis.url={url}", f"redis.lease_s={lease_s}", "redis.timeout_s=5")
    return config.load(overrides=(*redis, f"llm.max_concurrent={places}"))


async def call_model(port: int) -> None:
    """Makes one call, which the server counts."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"ask\n")
    assert await reader.readline() == b"answer\n"
    writer.close()
    await writer.wait_closed()


async def ask(shared: SharedResources, port: str) -> str:
    """Finds a verdict or queries the model; returns its source."""
    verdict = await shared.verdicts.get(KEY, AT_NS, 60.0)
    if verdict is None:
        await call_model(int(port))
        verdict = CachedVerdict(KEY, {"decision": "trade"}, AT_NS, END_NS, AT_NS, str(os.getpid()))
        await shared.verdicts.put(verdict)
    return verdict.source


async def call(shared: SharedResources, port: str, times: str) -> str:
    """Calls the model `times` times concurrently, as far as slots allow."""

    async def once() -> None:
        assert shared.slots
        async with shared.slots.acquire():
            await call_model(int(port))

    await asyncio.gather(*(once() for _ in range(int(times))))
    return times


async def hold(shared: SharedResources, times: str) -> str:
    """Holds `times` slots and never releases them."""
    async with AsyncExitStack() as stack:
        for _ in range(int(times)):
            assert shared.slots
            await stack.enter_async_context(shared.slots.acquire())
        print("held", flush=True)
        await asyncio.Event().wait()
    return times


DOING: dict[str, Callable[..., Awaitable[str]]] = {"ask": ask, "call": call, "hold": hold}


async def one(settings: Settings, doing: str, args: list[str]) -> None:
    messages: list[str] = []
    shared = await open_shared_resources(settings, "model", messages.append)
    try:
        result = await DOING[doing](shared, *args)
    finally:
        await shared.close()
    print(json.dumps({"came": result, "told": messages} | shared.counts), flush=True)


def main(url: str, places: str, lease_s: str, count: str, doing: str, *args: str) -> None:
    import redis.asyncio  # noqa: F401  # imported once before forking, to save time in each process

    settings = shared_settings(url, places, lease_s)
    if count == "1":
        asyncio.run(one(settings, doing, list(args)))
        return
    children = []
    for _ in range(int(count)):
        child = os.fork()
        if not child:
            asyncio.run(one(settings, doing, list(args)))
            os._exit(0)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    sys.exit(max(codes))


if __name__ == "__main__":
    main(*sys.argv[1:])

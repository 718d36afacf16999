"""Processes that share verdicts and slots through a real server, also with garbage in it."""

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import msgspec
import pytest

from autohedge.llm.cache.leases import FLIGHT, MOST_BYTES, SEEN, SLOTS, VERDICT, WAITING
from autohedge.llm.policy import sleep
from tests.llm.redis_server import (
    A_VERDICT,
    IN_TIME_S,
    Server,
    now_ms,
    process,
    run,
    slots,
    until,
)
from tests.process_harness import ROOT

pytestmark = pytest.mark.process

STORED = msgspec.json.encode(A_VERDICT)


def test_verdict_stored_by_one_process_is_found_by_another(redis_server: Server) -> None:
    async def play() -> None:
        async with process(redis_server.url) as one, process(redis_server.url) as other:
            assert await one.verdicts.get("k", 150) is None
            await one.verdicts.put(A_VERDICT)
            assert await other.verdicts.get("k", 150) == A_VERDICT
            assert one.counts["flights"] == 1 and other.counts["hits"] == 1
        with redis_server.client as client:
            assert 0 < client.pttl(VERDICT + "k") and not client.exists(FLIGHT + "k")

    run(play())


@pytest.mark.parametrize("at_ns", [99, 119, 200])
def test_verdict_outside_its_validity_is_a_miss_and_is_replaced(redis_server: Server, at_ns: int) -> None:
    async def play() -> None:
        with redis_server.client as client:
            client.set(VERDICT + "k", STORED)
        async with process(redis_server.url) as shared:
            assert await shared.verdicts.get("k", at_ns) is None
            assert shared.counts["flights"] == 1
            newer = msgspec.structs.replace(A_VERDICT, decided_ns=at_ns, known_ns=at_ns, valid_until_ns=900)
            await shared.verdicts.put(newer)
            assert await shared.verdicts.get("k", at_ns) == newer

    run(play())


def test_verdict_with_longer_validity_is_capped_at_own_ttl(redis_server: Server) -> None:
    long = msgspec.structs.replace(A_VERDICT, decided_ns=0, known_ns=0, valid_until_ns=3600 * 10**9)

    async def play() -> None:
        with redis_server.client as client:
            client.set(VERDICT + "k", msgspec.json.encode(long))
        async with process(redis_server.url, hybrid__verdict_ttl_s=300) as shared:
            assert await shared.verdicts.get("k", 300 * 10**9) is None
            assert shared.counts["flights"] == 1
            await shared.verdicts.abandon("k")
        async with process(redis_server.url, hybrid__verdict_ttl_s=300) as shared:
            found = await shared.verdicts.get("k", 299 * 10**9)
            assert found and found.valid_until_ns == 300 * 10**9

    run(play())


GARBAGE: dict[str, bytes] = {
    "no json": b"\xff\xfe not json",
    "another shape": b"[1, 2]",
    "another key": STORED.replace(b'"key":"k"', b'"key":"other"'),
    "numbers as text": STORED.replace(b"100", b'"100"'),
    "a time beyond all": STORED.replace(b"200", b"99999999999999999999"),
    "a time before all": STORED.replace(b"100", b"-1"),
    "more than there is": STORED.replace(b'"key"', b'"more":1,"key"'),
    "a source that paints": STORED.replace(b'"m"', b'"\\u001b[2J"'),
    "very deep": b'{"answer":' + b"[" * 20_000,
    "very long": STORED.replace(b'"m"', b'"' + b"m" * MOST_BYTES + b'"'),
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_a_miss_and_is_replaced(redis_server: Server, garbage: bytes) -> None:
    with redis_server.client as client:
        client.set(VERDICT + "k", garbage)
    run(_replaced(redis_server))


def test_keys_of_wrong_redis_type_are_a_miss_and_are_replaced(redis_server: Server) -> None:
    with redis_server.client as client:
        for name in (VERDICT + "k", FLIGHT + "k", SLOTS + "model", WAITING + "model", SEEN + "model"):
            client.rpush(name, "a list")
    run(_replaced(redis_server))


async def _replaced(server: Server) -> None:
    messages: list[str] = []
    async with process(server.url, messages) as one, process(server.url, messages) as other:
        assert await one.verdicts.get("k", 150, IN_TIME_S) is None
        await one.verdicts.put(A_VERDICT)
        assert await other.verdicts.get("k", 150, IN_TIME_S) == A_VERDICT
        async with slots(one).acquire():
            assert messages == [] and one.counts["waited_out"] == 0


def test_flight_without_expiry_is_taken_over(redis_server: Server) -> None:
    async def play() -> None:
        with redis_server.client as client:
            client.set(FLIGHT + "k", "somebody")
        async with process(redis_server.url) as shared:
            assert await shared.verdicts.get("k", 150, IN_TIME_S) is None
            assert shared.counts["flights"] == 1

    run(play())


def test_waiter_that_times_out_gets_a_miss_and_flight_remains(redis_server: Server) -> None:
    async def play() -> None:
        async with process(redis_server.url) as one, process(redis_server.url) as other:
            assert await one.verdicts.get("k", 150) is None
            assert await other.verdicts.get("k", 150, 0.01) is None
            await other.verdicts.abandon("k")
            with redis_server.client as client:
                assert client.exists(FLIGHT + "k"), "the first reader still leads the flight"
            assert other.counts | {"misses": 1, "waited_out": 1, "waited": 1, "flights": 0} == other.counts

    run(play())


@pytest.mark.parametrize("how", ["leaves", "is cancelled while waiting"])
def test_flight_abandoned_by_holder_passes_to_one_waiter(redis_server: Server, how: str) -> None:
    async def play() -> None:
        url = redis_server.url
        async with process(url) as one, process(url) as other, process(url) as third:
            assert await one.verdicts.get("k", 150) is None
            waiting = [asyncio.create_task(each.verdicts.get("k", 150)) for each in (other, third)]
            await until(lambda: other.counts["waited"] and third.counts["waited"])
            if how != "leaves":
                waiting.pop().cancel()
            await one.verdicts.abandon("k")
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            assert other.counts["flights"] + third.counts["flights"] == 1
            await (other if other.counts["flights"] else third).verdicts.put(A_VERDICT)
            found = await asyncio.gather(*waiting)
            assert Counter(map(repr, found)) == Counter([repr(None), *[repr(A_VERDICT)] * (len(waiting) - 1)])

    run(play())


def test_a_flight_is_renewed_while_its_holder_lives(redis_server: Server) -> None:
    async def play() -> None:
        async with process(redis_server.url, redis__lease_s=2.0) as shared:
            assert await shared.verdicts.get("k", 150) is None
            with redis_server.client as client:
                seen_ms = [int(client.pttl(FLIGHT + "k"))]
                assert 0 < seen_ms[0] <= 2000

                def rose() -> bool:
                    seen_ms.append(int(client.pttl(FLIGHT + "k")))
                    return seen_ms[-1] > seen_ms[-2]

                await until(rose)
                assert min(seen_ms) > 0

    run(play())


class Model:
    """A server that answers each line with a line after a short delay, and counts the calls."""

    def __init__(self) -> None:
        self.calls = self.running = self.most = 0
        self.port = 0

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        self.calls, self.running = self.calls + 1, self.running + 1
        self.most = max(self.most, self.running)
        await sleep(0.05)
        self.running -= 1
        writer.write(b"answer\n")
        await writer.drain()
        writer.close()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield


def command(server: Server, places: int, lease_s: float, count: int, *doing: object) -> list[str]:
    script = str(ROOT / "tests" / "llm" / "cache" / "process_harness.py")
    return [sys.executable, script, server.url, *map(str, (places, lease_s, count, *doing))]


def together(server: Server, places: int, count: int, *doing: object) -> tuple[Model, list[dict[str, Any]]]:
    """Runs `count` processes at once, with the model's port as first argument, and returns their results."""
    model = Model()

    async def play() -> bytes:
        async with model.serving():
            argv = command(server, places, 10.0, count, doing[0], model.port, *doing[1:])
            pipe, env = asyncio.subprocess.PIPE, {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
            child = await asyncio.create_subprocess_exec(*argv, stdout=pipe, stderr=pipe, env=env)
            out, err = await child.communicate()
            assert child.returncode == 0, err.decode()
            return out

    return model, [json.loads(line) for line in run(play()).splitlines()]


@pytest.mark.parametrize("count", [2, 8])
def test_processes_wanting_one_verdict_make_one_call(redis_server: Server, count: int) -> None:
    model, results = together(redis_server, 3, count, "ask")
    assert model.calls == 1
    assert len(results) == count and len({each["came"] for each in results}) == 1
    assert (
        sum(each["flights"] for each in results) == 1 and sum(each["hits"] for each in results) == count - 1
    )


def test_concurrency_limit_holds_across_processes_and_is_reached(redis_server: Server) -> None:
    model, results = together(redis_server, 3, 4, "call", 5)
    assert (model.calls, model.most) == (20, 3)
    assert [each["told"] for each in results] == [[]] * 4
    with redis_server.client as client:
        assert not client.exists(SLOTS + "model", WAITING + "model", SEEN + "model")


def test_slots_of_killed_process_are_free_within_lease(redis_server: Server) -> None:
    with redis_server.client as client, holding(redis_server, 300, lease_s=1.0) as child:
        child.kill()
        child.wait()
        ends_ms = [end for _, end in client.zrange(SLOTS + "model", 0, -1, withscores=True)]
        assert len(ends_ms) == 300 and max(ends_ms) <= now_ms(client) + 1000

        async def play() -> None:
            async with process(redis_server.url, llm__max_concurrent=1) as shared, slots(shared).acquire():
                assert client.zcard(SLOTS + "model") == 1

        run(play())


@contextmanager
def holding(server: Server, times: int, lease_s: float) -> Iterator[subprocess.Popen[bytes]]:
    """Starts a process that holds slots and releases none."""
    argv, env = command(server, times, lease_s, 1, "hold", times), {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env=env) as child:
        try:
            assert child.stdout and child.stdout.readline() == b"held\n"
            yield child
        finally:
            child.kill()

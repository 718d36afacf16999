"""Outages of Redis: killed, silent, sending garbage, never started, and back again."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from autohedge.core.clock import monotonic_s
from autohedge.llm.cache.leases import FLIGHT
from autohedge.llm.cache.redis_link import RedisLink, RedisUnavailable
from autohedge.llm.client import LLMClient
from autohedge.llm.queue import Dropped
from autohedge.llm.senders import ServerSender
from tests.llm.redis_server import (
    A_VERDICT,
    IN_TIME_S,
    Server,
    at_a_port,
    babbling_server,
    held,
    process,
    run,
    slots,
    unresponsive_server,
    until,
)
from tests.llm.request_factory import GOOD, Stuck, Verdict, llm, make_request, make_response

pytestmark = pytest.mark.process

PASSWORD = "a-password-of-redis"


@pytest.fixture
def password(monkeypatch: pytest.MonkeyPatch, redis_server: Server) -> str:
    monkeypatch.setenv("AUTOHEDGE_REDIS_PASSWORD", PASSWORD)
    return PASSWORD


def test_redis_outage_falls_back_to_local_and_recovers_on_restart(password: str) -> None:
    async def play() -> None:
        messages: list[str] = []
        several: dict[str, Any] = {"llm__max_concurrent": 5, "llm__expected_processes": 2}
        async with process(server.url, messages, **several) as shared, AsyncExitStack() as stack:
            await shared.verdicts.put(A_VERDICT)
            await stack.enter_async_context(slots(shared).acquire())
            server.kill()
            assert await shared.verdicts.get("k", 150) == A_VERDICT
            assert await shared.verdicts.get("other", 150, IN_TIME_S) is None
            await shared.verdicts.put(msgspec.structs.replace(A_VERDICT, key="other"))
            await stack.enter_async_context(slots(shared).acquire())
            with pytest.raises(Dropped, match="deadline"):
                await stack.enter_async_context(slots(shared).acquire(monotonic_s() + 0.05))
            assert len(messages) == shared.counts["fallbacks"] == 1
            assert "at most 2 of the model's slots" in messages[0] and password not in messages[0]
            server.start()
            await until(lambda: len(messages) == 2)
            assert "is back" in messages[1] and held(server) == (2, 0), (
                "the server did not get back the held slots"
            )
            await stack.enter_async_context(slots(shared).acquire())
            assert await shared.verdicts.get("third", 150) is None
            with server.client as client:
                assert client.exists(FLIGHT + "third")
        assert held(server) == (0, 0)
        assert len(messages) == 2

    with at_a_port(password) as server:
        run(play())


def test_redis_killed_during_request_leaks_no_slot(password: str) -> None:
    async def play() -> None:
        async with process(server.url) as shared:
            stuck = Stuck(make_response(GOOD), make_response(GOOD))
            terms = llm(max_concurrent=1)
            client = LLMClient(ServerSender(stuck, terms), terms, shared.slots)
            question = asyncio.create_task(client.ask(make_request(), Verdict, lane="gate"))
            await stuck.requested.wait()
            server.kill()
            stuck.free.set()
            assert (await question).answer and client.queue.running == 0
            second = await client.ask(make_request(), Verdict, lane="gate", deadline_s=IN_TIME_S)
            assert second.answer and client.queue.running == 0

    with at_a_port(password) as server:
        run(play())


def test_frozen_redis_is_bypassed_until_it_answers(
    redis_server: Server,
) -> None:
    async def play() -> None:
        messages: list[str] = []
        async with process(redis_server.url, messages, redis__timeout_s=0.5) as shared:
            async with slots(shared).acquire():
                with redis_server.frozen():
                    assert await shared.verdicts.get("k", 150) is None
                    async with slots(shared).acquire(monotonic_s() + IN_TIME_S):
                        await shared.verdicts.put(A_VERDICT)
                    assert len(messages) == 1
                await until(lambda: len(messages) == 2)
                assert held(redis_server) == (1, 0)
            await until(lambda: held(redis_server) == (0, 0))

    run(play())


def test_unavailable_redis_is_retried_with_growing_capped_pauses(
    redis_server: Server, tmp_path: Path
) -> None:
    async def play() -> None:
        pauses_s, enough, messages = list[float](), asyncio.Event(), list[str]()

        async def noted(seconds: float) -> None:
            pauses_s.append(seconds)
            if len(pauses_s) == 8:
                enough.set()
                await asyncio.Event().wait()

        link = RedisLink(f"unix://{tmp_path}/nobody", None, 5.0, messages.append, pause=noted)
        await link.probe()
        await enough.wait()
        with pytest.raises(RedisUnavailable):
            await link.call(bool, "PING")
        await link.close()
        assert pauses_s == [1, 2, 4, 8, 16, 30, 30, 30]
        assert len(messages) == link.outages == 1

    run(play())


def test_dropped_connection_does_not_stop_cache_or_slots(redis_server: Server) -> None:
    async def play() -> None:
        async with process(redis_server.url, redis__lease_s=0.3) as shared:
            async with slots(shared).acquire():
                with redis_server.client as client:
                    client.client_kill_filter(_type="normal", skipme=True)
                assert await shared.verdicts.get("k", 150, IN_TIME_S) is None
                await shared.verdicts.put(A_VERDICT)
            await until(lambda: held(redis_server) == (0, 0))

    run(play())


async def _alone(url: str, messages: list[str], timeout_s: float = 5.0) -> None:
    """Does everything that a process does, without Redis."""
    async with process(url, messages, redis__timeout_s=timeout_s) as shared:
        for key in ("a", "b"):
            verdict = msgspec.structs.replace(A_VERDICT, key=key)
            assert await shared.verdicts.get(key, 150) is None
            await shared.verdicts.put(verdict)
            assert await shared.verdicts.get(key, 150) == verdict
        async with slots(shared).acquire(), slots(shared).acquire():
            pass
        assert await shared.verdicts.get("c", 150) is None
        await shared.verdicts.abandon("c")


def test_unresponsive_redis_is_reported_once_as_timeout(redis_server: Server) -> None:
    async def play() -> None:
        messages: list[str] = []
        async with unresponsive_server() as url:
            await _alone(url, messages, timeout_s=0.05)
        assert len(messages) == 1 and "does not answer within 0.05 s" in messages[0]

    run(play())


def test_process_with_unreachable_redis_works_alone_and_warns_once(
    redis_server: Server, tmp_path: Path
) -> None:
    messages: list[str] = []
    run(_alone(f"unix://{tmp_path}/nobody", messages))
    assert len(messages) == 1 and "cannot be reached" in messages[0]


def test_wrong_redis_password_is_reported_once_without_revealing_it(
    redis_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOHEDGE_REDIS_PASSWORD", "guessed")
    messages: list[str] = []
    with at_a_port(PASSWORD) as server:
        run(_alone(server.url, messages))
    assert len(messages) == 1 and "AUTOHEDGE_REDIS_PASSWORD" in messages[0] and "guessed" not in messages[0]


@pytest.mark.parametrize(
    "reply",
    [
        b"-ERR you said pw1 \x1b[2J\r\n",
        b"!!!\r\n",
        b"$-7\r\n",
        b"*1000000\r\n",
        b"+" + b"x" * 10_000 + b"\r\n",
    ],
)
def test_redis_with_malformed_replies_is_treated_as_unavailable(
    redis_server: Server, monkeypatch: pytest.MonkeyPatch, reply: bytes
) -> None:
    monkeypatch.setenv("AUTOHEDGE_REDIS_PASSWORD", "pw1")

    async def play() -> None:
        messages: list[str] = []
        async with babbling_server(reply) as url, process(url, messages, redis__timeout_s=0.2) as shared:
            assert await shared.verdicts.get("k", 150) is None
            await shared.verdicts.put(A_VERDICT)
            async with slots(shared).acquire():
                pass
        assert len(messages) == 1
        assert messages[0].isprintable() and "pw1" not in messages[0] and len(messages[0]) < 300

    run(play())


def test_process_without_redis_url_uses_memory_cache_and_no_slots(
    redis_server: Server,
) -> None:
    async def play() -> None:
        async with process("") as shared:
            assert shared.slots is None
            assert await shared.verdicts.get("k", 150) is None
            await shared.verdicts.put(A_VERDICT)
            assert await shared.verdicts.get("k", 150) == A_VERDICT
            assert (shared.counts["hits"], shared.counts["fallbacks"]) == (1, 0)

    run(play())

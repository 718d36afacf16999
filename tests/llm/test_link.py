"""Without Redis: killed, mute, babbling, never there, and back."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from autohedge.core.clock import monotonic_s
from autohedge.llm.asking import Asker
from autohedge.llm.leases import FLIGHT
from autohedge.llm.link import Away, Link
from autohedge.llm.queue import Dropped
from tests.llm.questions import GOOD, Stuck, Verdict, asked, llm, said
from tests.llm.redis_server import (
    A_VERDICT,
    IN_TIME_S,
    Server,
    at_a_port,
    babbling_server,
    held,
    mute_server,
    process,
    run,
    slots,
    until,
)

PASSWORD = "a-password-of-redis"


@pytest.fixture
def password(monkeypatch: pytest.MonkeyPatch, redis_server: Server) -> str:
    monkeypatch.setenv("AUTOHEDGE_REDIS_PASSWORD", PASSWORD)
    return PASSWORD


def test_when_redis_is_killed_each_goes_on_alone_and_when_it_is_back_together(password: str) -> None:
    async def play() -> None:
        told: list[str] = []
        several: dict[str, Any] = {"llm__max_concurrent": 5, "llm__expected_processes": 2}
        async with process(server.url, told, **several) as shared, AsyncExitStack() as stack:
            await shared.verdicts.keep(A_VERDICT)
            await stack.enter_async_context(slots(shared).hold())
            server.kill()
            assert await shared.verdicts.find("k", 150) == A_VERDICT
            assert await shared.verdicts.find("other", 150, IN_TIME_S) is None
            await shared.verdicts.keep(msgspec.structs.replace(A_VERDICT, key="other"))
            await stack.enter_async_context(slots(shared).hold())
            with pytest.raises(Dropped, match="deadline"):
                await stack.enter_async_context(slots(shared).hold(monotonic_s() + 0.05))
            assert len(told) == shared.counts["fallbacks"] == 1
            assert "takes at most 2 of the model's places" in told[0] and password not in told[0]
            server.start()
            await until(lambda: len(told) == 2)
            assert "is back" in told[1] and held(server) == (2, 0), "the server was not told who holds places"
            await stack.enter_async_context(slots(shared).hold())
            assert await shared.verdicts.find("third", 150) is None
            with server.client as client:
                assert client.exists(FLIGHT + "third")
        assert held(server) == (0, 0)
        assert len(told) == 2

    with at_a_port(password) as server:
        run(play())


def test_a_server_that_dies_while_a_question_is_asked_costs_no_place(password: str) -> None:
    async def play() -> None:
        async with process(server.url) as shared:
            stuck = Stuck(said(GOOD), said(GOOD))
            asker = Asker(stuck, llm(max_concurrent=1), slots=shared.slots)
            question = asyncio.create_task(asker.ask(asked(), Verdict, lane="gate"))
            await stuck.asked.wait()
            server.kill()
            stuck.free.set()
            assert (await question).answer and asker.queue.running == 0
            again = await asker.ask(asked(), Verdict, lane="gate", deadline_s=IN_TIME_S)
            assert again.answer and asker.queue.running == 0

    with at_a_port(password) as server:
        run(play())


def test_a_server_that_freezes_in_the_middle_of_a_run_is_left_alone_until_it_thaws(
    redis_server: Server,
) -> None:
    async def play() -> None:
        told: list[str] = []
        async with process(redis_server.url, told, redis__timeout_s=0.5) as shared:
            async with slots(shared).hold():
                with redis_server.frozen():
                    assert await shared.verdicts.find("k", 150) is None
                    async with slots(shared).hold(monotonic_s() + IN_TIME_S):
                        await shared.verdicts.keep(A_VERDICT)
                    assert len(told) == 1
                await until(lambda: len(told) == 2)
                assert held(redis_server) == (1, 0)
            await until(lambda: held(redis_server) == (0, 0))

    run(play())


def test_a_server_that_is_away_is_tried_ever_more_seldom(redis_server: Server, tmp_path: Path) -> None:
    async def play() -> None:
        pauses_s, enough, told = list[float](), asyncio.Event(), list[str]()

        async def noted(seconds: float) -> None:
            pauses_s.append(seconds)
            if len(pauses_s) == 8:
                enough.set()
                await asyncio.Event().wait()

        link = Link(f"unix://{tmp_path}/nobody", None, 5.0, told.append, pause=noted)
        await link.begin()
        await enough.wait()
        with pytest.raises(Away):
            await link.call(bool, "PING")
        await link.close()
        assert pauses_s == [1, 2, 4, 8, 16, 30, 30, 30]
        assert len(told) == link.outages == 1

    run(play())


def test_a_dropped_connection_is_no_end(redis_server: Server) -> None:
    async def play() -> None:
        async with process(redis_server.url, redis__lease_s=0.3) as shared:
            async with slots(shared).hold():
                with redis_server.client as client:
                    client.client_kill_filter(_type="normal", skipme=True)
                assert await shared.verdicts.find("k", 150, IN_TIME_S) is None
                await shared.verdicts.keep(A_VERDICT)
            await until(lambda: held(redis_server) == (0, 0))

    run(play())


async def _alone(url: str, told: list[str], timeout_s: float = 5.0) -> None:
    """All that a process does, where there is no Redis."""
    async with process(url, told, redis__timeout_s=timeout_s) as shared:
        for key in ("a", "b"):
            verdict = msgspec.structs.replace(A_VERDICT, key=key)
            assert await shared.verdicts.find(key, 150) is None
            await shared.verdicts.keep(verdict)
            assert await shared.verdicts.find(key, 150) == verdict
        async with slots(shared).hold(), slots(shared).hold():
            pass
        assert await shared.verdicts.find("c", 150) is None
        await shared.verdicts.leave("c")


def test_a_server_that_never_answers_is_waited_for_once(redis_server: Server) -> None:
    async def play() -> None:
        told: list[str] = []
        async with mute_server() as url:
            await _alone(url, told, timeout_s=0.05)
        assert len(told) == 1 and "does not answer within 0.05 s" in told[0]

    run(play())


def test_without_any_server_a_process_begins_alone(redis_server: Server, tmp_path: Path) -> None:
    told: list[str] = []
    run(_alone(f"unix://{tmp_path}/nobody", told))
    assert len(told) == 1 and "cannot be reached" in told[0]


def test_a_wrong_password_is_told_in_one_line_that_does_not_show_it(
    redis_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOHEDGE_REDIS_PASSWORD", "guessed")
    told: list[str] = []
    with at_a_port(PASSWORD) as server:
        run(_alone(server.url, told))
    assert len(told) == 1 and "AUTOHEDGE_REDIS_PASSWORD" in told[0] and "guessed" not in told[0]


@pytest.mark.parametrize(
    "word",
    [
        b"-ERR you said pw1 \x1b[2J\r\n",
        b"!!!\r\n",
        b"$-7\r\n",
        b"*1000000\r\n",
        b"+" + b"x" * 10_000 + b"\r\n",
    ],
)
def test_a_server_that_talks_nonsense_is_away(
    redis_server: Server, monkeypatch: pytest.MonkeyPatch, word: bytes
) -> None:
    monkeypatch.setenv("AUTOHEDGE_REDIS_PASSWORD", "pw1")

    async def play() -> None:
        told: list[str] = []
        async with babbling_server(word) as url, process(url, told, redis__timeout_s=0.2) as shared:
            assert await shared.verdicts.find("k", 150) is None
            await shared.verdicts.keep(A_VERDICT)
            async with slots(shared).hold():
                pass
        assert len(told) == 1
        assert told[0].isprintable() and "pw1" not in told[0] and len(told[0]) < 300

    run(play())


def test_where_no_url_is_set_a_process_has_its_own_memory_and_no_places_to_share(
    redis_server: Server,
) -> None:
    async def play() -> None:
        async with process("") as shared:
            assert shared.slots is None
            assert await shared.verdicts.find("k", 150) is None
            await shared.verdicts.keep(A_VERDICT)
            assert await shared.verdicts.find("k", 150) == A_VERDICT
            assert (shared.counts["hits"], shared.counts["fallbacks"]) == (1, 0)

    run(play())

"""What processes share through a real server, which may be full of garbage, slow, killed, and back."""

import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autohedge.core.clock import monotonic_s
from autohedge.llm.asking import Asker
from autohedge.llm.leases import DROP_SLOT, FLIGHT, MOST_BYTES, SEEN, SLOTS, TAKE_SLOT, VERDICT, WAITING
from autohedge.llm.policy import pause
from autohedge.llm.queue import Dropped
from autohedge.llm.shared import Shared
from autohedge.llm.slots import Slots
from autohedge.llm.verdicts import Kept
from tests.llm.questions import GOOD, Script, Stuck, Verdict, asked, llm, said
from tests.llm.redis_server import IN_TIME_S, Server, at_a_port, babbling_server, mute_server, process, until
from tests.process import ROOT

A_VERDICT = Kept("k", {"decision": "trade", "confidence_pct": 70}, 100, 200, 120, "m")
STORED = msgspec.json.encode(A_VERDICT)
PASSWORD = "a-password-of-redis"


def run(play: Any) -> Any:
    """In a loop of its own, and never for long."""

    async def bounded() -> Any:
        async with asyncio.timeout(2 * IN_TIME_S):
            return await play

    return asyncio.run(bounded())


def slots(shared: Shared) -> Slots:
    assert shared.slots
    return shared.slots


# Verdicts


def test_what_one_process_was_told_another_finds(redis_server: Server) -> None:
    async def play() -> None:
        async with process(redis_server.url) as one, process(redis_server.url) as other:
            assert await one.verdicts.find("k", 150) is None
            await one.verdicts.keep(A_VERDICT)
            assert await other.verdicts.find("k", 150) == A_VERDICT
            assert one.counts["flights"] == 1 and other.counts["hits"] == 1
        with redis_server.client as client:
            assert 0 < client.pttl(VERDICT + "k") and not client.exists(FLIGHT + "k")

    run(play())


@pytest.mark.parametrize("at_ns", [99, 119, 200])
def test_what_is_of_the_readers_future_or_past_is_asked_for(redis_server: Server, at_ns: int) -> None:
    async def play() -> None:
        with redis_server.client as client:
            client.set(VERDICT + "k", STORED)
        async with process(redis_server.url) as shared:
            assert await shared.verdicts.find("k", at_ns) is None
            assert shared.counts["flights"] == 1
            newer = msgspec.structs.replace(A_VERDICT, decided_ns=at_ns, known_ns=at_ns, valid_until_ns=900)
            await shared.verdicts.keep(newer)
            assert await shared.verdicts.find("k", at_ns) == newer

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


def test_what_is_no_text_at_all_is_a_miss_and_is_replaced(redis_server: Server) -> None:
    with redis_server.client as client:
        for name in (VERDICT + "k", FLIGHT + "k", SLOTS + "model", WAITING + "model", SEEN + "model"):
            client.rpush(name, "a list")
    run(_replaced(redis_server))


async def _replaced(server: Server) -> None:
    told: list[str] = []
    async with process(server.url, told) as one, process(server.url, told) as other:
        assert await one.verdicts.find("k", 150, IN_TIME_S) is None
        await one.verdicts.keep(A_VERDICT)
        assert await other.verdicts.find("k", 150, IN_TIME_S) == A_VERDICT
        async with slots(one).hold():
            assert told == [] and one.counts["waited_out"] == 0


def test_a_flight_without_an_end_is_nobodys(redis_server: Server) -> None:
    async def play() -> None:
        with redis_server.client as client:
            client.set(FLIGHT + "k", "somebody")
        async with process(redis_server.url) as shared:
            assert await shared.verdicts.find("k", 150, IN_TIME_S) is None
            assert shared.counts["flights"] == 1

    run(play())


def test_who_cannot_wait_any_longer_asks_by_itself(redis_server: Server) -> None:
    async def play() -> None:
        async with process(redis_server.url) as one, process(redis_server.url) as other:
            assert await one.verdicts.find("k", 150) is None
            assert await other.verdicts.find("k", 150, 0.01) is None
            await other.verdicts.leave("k")
            with redis_server.client as client:
                assert client.exists(FLIGHT + "k"), "the first still asks"
            assert other.counts | {"misses": 1, "waited_out": 1, "waited": 1, "flights": 0} == other.counts

    run(play())


@pytest.mark.parametrize("how", ["leaves", "is cancelled while waiting"])
def test_a_flight_goes_to_one_of_those_who_wait_when_its_holder_goes(redis_server: Server, how: str) -> None:
    async def play() -> None:
        url = redis_server.url
        async with process(url) as one, process(url) as other, process(url) as third:
            assert await one.verdicts.find("k", 150) is None
            waiting = [asyncio.create_task(each.verdicts.find("k", 150)) for each in (other, third)]
            await until(lambda: other.counts["waited"] and third.counts["waited"])
            if how != "leaves":
                waiting.pop().cancel()
            await one.verdicts.leave("k")
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            assert other.counts["flights"] + third.counts["flights"] == 1
            await (other if other.counts["flights"] else third).verdicts.keep(A_VERDICT)
            found = await asyncio.gather(*waiting)
            assert Counter(map(repr, found)) == Counter([repr(None), *[repr(A_VERDICT)] * (len(waiting) - 1)])

    run(play())


def test_a_flight_outlives_its_lease_while_its_holder_lives(redis_server: Server) -> None:
    async def play() -> None:
        async with process(redis_server.url, redis__lease_s=0.3) as one, process(redis_server.url) as other:
            assert await one.verdicts.find("k", 150) is None
            assert await other.verdicts.find("k", 150, 1.0) is None
            assert other.counts["waited_out"] == 1

    run(play())


# Several processes


class Model:
    """A server that answers a line with a line after a moment, and counts."""

    def __init__(self) -> None:
        self.calls = self.running = self.most = 0
        self.port = 0

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        self.calls, self.running = self.calls + 1, self.running + 1
        self.most = max(self.most, self.running)
        await pause(0.05)
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


def command(server: Server, places: int, count: int, *doing: object) -> list[str]:
    script = str(ROOT / "tests" / "llm" / "sharing.py")
    return [sys.executable, script, server.url, str(places), str(count), *map(str, doing)]


def together(server: Server, places: int, count: int, *doing: object) -> tuple[Model, list[dict[str, Any]]]:
    """What came of it in so many processes at once, with the model's port put in after the first word."""
    model = Model()

    async def play() -> bytes:
        async with model.serving():
            words = command(server, places, count, doing[0], model.port, *doing[1:])
            pipe, env = asyncio.subprocess.PIPE, {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
            child = await asyncio.create_subprocess_exec(*words, stdout=pipe, stderr=pipe, env=env)
            out, err = await child.communicate()
            assert child.returncode == 0, err.decode()
            return out

    return model, [json.loads(line) for line in run(play()).splitlines()]


@pytest.mark.parametrize("count", [2, 8])
def test_so_many_processes_that_want_one_verdict_make_one_call(redis_server: Server, count: int) -> None:
    model, came = together(redis_server, 3, count, "ask")
    assert model.calls == 1
    assert len(came) == count and len({each["came"] for each in came}) == 1
    assert sum(each["flights"] for each in came) == 1 and sum(each["hits"] for each in came) == count - 1


def test_the_limit_holds_among_processes_and_is_used(redis_server: Server) -> None:
    model, came = together(redis_server, 3, 4, "call", 5)
    assert (model.calls, model.most) == (20, 3)
    assert [each["told"] for each in came] == [[]] * 4
    with redis_server.client as client:
        assert not client.exists(SLOTS + "model", WAITING + "model", SEEN + "model")


def test_hundreds_of_places_of_a_killed_process_are_free_within_the_lease(redis_server: Server) -> None:
    async def play() -> None:
        async with process(redis_server.url, llm__max_concurrent=300) as shared:
            with pytest.raises(Dropped):
                async with slots(shared).hold(monotonic_s() + 0.05):
                    pass
            child.kill()
            child.wait()
            with redis_server.client as client:
                ends_ms = [end for _, end in client.zrange(SLOTS + "model", 0, -1, withscores=True)]
                now_s, now_us = client.time()
                assert len(ends_ms) == 300 and max(ends_ms) <= now_s * 1000 + now_us // 1000 + 1000
                async with slots(shared).hold():
                    assert client.zcard(SLOTS + "model") == 1

    words, env = command(redis_server, 300, 1, "hold", 300), {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(words, stdout=subprocess.PIPE, env=env) as child:
        try:
            assert child.stdout and child.stdout.readline() == b"held\n"
            run(play())
        finally:
            child.kill()


# Places


def held(server: Server) -> tuple[int, int]:
    """How many places are held, and how many wait for one, as the server knows it."""
    with server.client as client:
        now_s, now_us = client.time()
        places = client.zcount(SLOTS + "model", now_s * 1000 + now_us // 1000, "+inf")
        return places, client.zcard(WAITING + "model")


async def hold(shared: Shared, over: asyncio.Event, order: list[str], name: str) -> None:
    async with slots(shared).hold():
        order.append(name)
        await over.wait()


def test_who_waits_longest_is_served_first_whichever_process_it_is_in(redis_server: Server) -> None:
    async def play() -> None:
        order: list[str] = []
        url, alone = redis_server.url, {"llm__max_concurrent": 1}
        async with process(url, **alone) as one, process(url, **alone) as other:
            overs = [asyncio.Event() for _ in range(4)]
            tasks = []
            for number, (name, each) in enumerate([("a", one), ("b", other), ("c", one), ("d", other)]):
                tasks.append(asyncio.create_task(hold(each, overs[number], order, name)))
                await until(lambda number=number: held(redis_server) == (1, number))
            for number, over in enumerate(overs):
                await until(lambda number=number: len(order) == number + 1)
                over.set()
            await asyncio.gather(*tasks)
            assert order == ["a", "b", "c", "d"]

    run(play())


def test_a_place_and_the_wish_for_one_end_with_whoever_is_cancelled(redis_server: Server) -> None:
    async def play() -> None:
        async with process(redis_server.url, llm__max_concurrent=1) as shared:
            order, over = list[str](), asyncio.Event()
            holds = asyncio.create_task(hold(shared, over, order, "holds"))
            await until(lambda: held(redis_server) == (1, 0))
            waits = asyncio.create_task(hold(shared, over, order, "waits"))
            await until(lambda: held(redis_server) == (1, 1))
            waits.cancel()
            await until(lambda: held(redis_server) == (1, 0))
            holds.cancel()
            await until(lambda: held(redis_server) == (0, 0))
            assert order == ["holds"]

    run(play())


def test_closing_gives_back_what_is_held_and_leaves_nothing_running(redis_server: Server) -> None:
    async def play() -> None:
        async with process(redis_server.url) as shared:
            assert await shared.verdicts.find("k", 150) is None
            task = asyncio.create_task(hold(shared, asyncio.Event(), [], "holds"))
            await until(lambda: held(redis_server) == (1, 0))
        with redis_server.client as client:
            assert not client.exists(FLIGHT + "k", SLOTS + "model")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})

    run(play())


def test_a_place_that_ended_under_its_holder_is_put_back_and_counted(redis_server: Server) -> None:
    async def play() -> None:
        async with process(redis_server.url, redis__lease_s=0.3) as shared:
            async with slots(shared).hold():
                with redis_server.client as client:
                    client.delete(SLOTS + "model")
                await until(lambda: shared.counts["lost"] == 1)
                assert held(redis_server) == (1, 0)
            await until(lambda: held(redis_server) == (0, 0))

    run(play())


def test_those_who_wait_and_died_or_never_were_do_not_stand_in_the_way(redis_server: Server) -> None:
    async def play() -> None:
        with redis_server.client as client:
            client.zadd(WAITING + "model", {"ghost": 1, "died": 2})
            client.zadd(SEEN + "model", {"died": 1})
            client.zadd(SLOTS + "model", {"over": 1, "never over": 1e18})
        async with process(redis_server.url, llm__max_concurrent=1) as shared:
            async with slots(shared).hold():
                assert held(redis_server) == (1, 0)

    run(play())


Steps = st.lists(st.tuples(st.sampled_from(["take", "drop"]), st.integers(0, 5)), max_size=30)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(Steps, st.integers(1, 3))
def test_places_go_in_order_and_never_above_the_limit(
    redis_server: Server, steps: list[tuple[str, int]], limit: int
) -> None:
    places, waiting = set[int](), list[int]()
    with redis_server.client as client:
        client.flushall()
        for step, token in steps:
            if step == "drop":
                client.eval(DROP_SLOT, 3, "places", "waiting", "seen", token)
                places.discard(token)
                waiting = [each for each in waiting if each != token]
                continue
            if token in places:
                continue
            waiting += [token] * (token not in waiting)
            served = waiting.index(token) < limit - len(places)
            took = client.eval(TAKE_SLOT, 3, "places", "waiting", "seen", token, limit, 10**6, 10**6)
            assert took == served
            if served:
                places.add(token)
                waiting.remove(token)
            assert {int(each) for each in client.zrange("places", 0, -1)} == places
            assert [int(each) for each in client.zrange("waiting", 0, -1)] == waiting


def test_an_asker_takes_a_shared_place_inside_its_own_and_gives_both_back(redis_server: Server) -> None:
    async def play() -> None:
        async with process(redis_server.url, llm__max_concurrent=1) as shared:
            asker = Asker(Script(said(GOOD)), llm(max_concurrent=1), slots=shared.slots)
            async with slots(shared).hold():
                late = await asker.ask(asked(), Verdict, lane="gate", deadline_s=0.05)
            assert (late.answer, late.code, late.calls[0].tries) == (None, "deadline", 0)
            assert asker.queue.running == 0
            good = await asker.ask(asked(), Verdict, lane="gate", deadline_s=IN_TIME_S)
            assert good.answer and asker.queue.running == 0

    run(play())


# Without Redis


@pytest.fixture
def password(monkeypatch: pytest.MonkeyPatch, redis_server: Server) -> str:
    monkeypatch.setenv("AUTOHEDGE_REDIS_PASSWORD", PASSWORD)
    return PASSWORD


def test_when_redis_is_killed_each_goes_on_alone_and_when_it_is_back_together(password: str) -> None:
    async def play() -> None:
        told: list[str] = []
        alone = {"llm__max_concurrent": 5, "llm__expected_processes": 2}
        async with process(server.url, told, **alone) as shared, AsyncExitStack() as stack:
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
            assert "at most 2 model calls at a time" in told[0] and password not in told[0]
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


async def _alone(url: str, told: list[str]) -> None:
    """All that a process does, where there is no Redis."""
    async with process(url, told, redis__timeout_s=0.05) as shared:
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
            await _alone(url, told)
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
        async with babbling_server(word) as url:
            async with process(url, told, redis__timeout_s=0.2) as shared:
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

"""Slots of a model: in order, never above the limit, and expired after the death of their holder."""

import asyncio

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autohedge.llm.cache.leases import DROP_SLOT, FLIGHT, SEEN, SLOTS, TAKE_SLOT, WAITING
from autohedge.llm.cache.shared import SharedResources
from autohedge.llm.client import LLMClient
from autohedge.llm.senders import ServerSender
from tests.llm.redis_server import (
    IN_TIME_S,
    Server,
    held,
    process,
    run,
    slots,
    until,
)
from tests.llm.request_factory import GOOD, Script, Verdict, llm, make_request, make_response


async def hold(shared: SharedResources, over: asyncio.Event, order: list[str], name: str) -> None:
    async with slots(shared).acquire():
        order.append(name)
        await over.wait()


def test_longest_waiter_of_any_process_is_served_first(redis_server: Server) -> None:
    async def play() -> None:
        order: list[str] = []
        url = redis_server.url
        async with process(url, llm__max_concurrent=1) as one, process(url, llm__max_concurrent=1) as other:
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


def test_cancelled_task_releases_its_slot_or_queue_position(redis_server: Server) -> None:
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


def test_close_releases_slots_and_flights_and_ends_all_tasks(redis_server: Server) -> None:
    async def play() -> None:
        async with process(redis_server.url) as shared:
            assert await shared.verdicts.get("k", 150) is None
            task = asyncio.create_task(hold(shared, asyncio.Event(), [], "holds"))
            await until(lambda: held(redis_server) == (1, 0))
        with redis_server.client as client:
            assert not client.exists(FLIGHT + "k", SLOTS + "model")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await until(lambda: asyncio.all_tasks() == {asyncio.current_task()})

    run(play())


def test_slot_lost_under_its_holder_is_restored_and_counted(redis_server: Server) -> None:
    async def play() -> None:
        async with process(redis_server.url, redis__lease_s=1.0) as shared:
            async with slots(shared).acquire():
                with redis_server.client as client:
                    client.delete(SLOTS + "model")
                await until(lambda: shared.counts["lost"] == 1)
                assert held(redis_server) == (1, 0)
            await until(lambda: held(redis_server) == (0, 0))

    run(play())


def test_stale_waiters_and_slots_do_not_block_new_holder(redis_server: Server) -> None:
    async def play() -> None:
        with redis_server.client as client:
            client.zadd(WAITING + "model", {"ghost": 1, "died": 2})
            client.zadd(SEEN + "model", {"died": 1})
            client.zadd(SLOTS + "model", {"over": 1, "never over": 1e18})
        async with process(redis_server.url, llm__max_concurrent=1) as shared, slots(shared).acquire():
            assert held(redis_server) == (1, 0)

    run(play())


Steps = st.lists(st.tuples(st.sampled_from(["take", "drop"]), st.integers(0, 5)), max_size=30)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(Steps, st.integers(1, 3))
def test_slots_are_granted_in_order_and_never_above_limit(
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
            took = client.eval(TAKE_SLOT, 3, "places", "waiting", "seen", token, limit, 10**6)
            assert took == served
            if served:
                places.add(token)
                waiting.remove(token)
            assert {int(each) for each in client.zrange("places", 0, -1)} == places
            assert [int(each) for each in client.zrange("waiting", 0, -1)] == waiting


def test_client_takes_shared_slot_within_queue_slot_and_frees_both(redis_server: Server) -> None:
    async def play() -> None:
        async with process(redis_server.url, llm__max_concurrent=1) as shared:
            terms = llm(max_concurrent=1)
            client = LLMClient(ServerSender(Script(make_response(GOOD)), terms), terms, shared.slots)
            async with slots(shared).acquire():
                late = await client.ask(make_request(), Verdict, lane="gate", deadline_s=0.05)
            assert (late.answer, late.code, late.calls[0].tries) == (None, "deadline", 0)
            assert client.queue.running == 0
            good = await client.ask(make_request(), Verdict, lane="gate", deadline_s=IN_TIME_S)
            assert good.answer and client.queue.running == 0

    run(play())

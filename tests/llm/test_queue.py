"""The request queue: bounded, by priority, fair to all lanes, and each request leaves it exactly once."""

import asyncio
from collections import Counter
from collections.abc import Coroutine, Hashable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autohedge.llm.outcome import Priority
from autohedge.llm.queue import LANES, MAX_PASSED_OVER, Dropped, LLMQueue
from tests.llm.request_factory import Clock


class Play:
    """Requests in a queue, each running until the test ends it; `ends` has the outcome of each."""

    def __init__(self, size: int = 10, concurrent: int = 1) -> None:
        self.clock = Clock()
        self.queue = LLMQueue(size, concurrent, self.clock)
        self.began: list[str] = []
        self.ends: dict[str, list[str]] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.leave: dict[str, asyncio.Event] = {}

    async def submit(
        self, name: str, lane: Priority = "gate", key: Hashable | None = None, deadline: float = float("inf")
    ) -> None:
        self.ends[name], self.leave[name] = [], asyncio.Event()
        self.tasks[name] = asyncio.create_task(self._question(name, lane, key, deadline))
        await settled()

    async def _question(self, name: str, lane: Priority, key: Hashable | None, deadline: float) -> None:
        try:
            async with self.queue.slot(lane, key, deadline):
                self.began.append(name)
                await self.leave[name].wait()
            self.ends[name].append("done")
        except Dropped as dropped:
            self.ends[name].append(dropped.code)
        except asyncio.CancelledError:
            self.ends[name].append("cancelled")
            raise

    async def finish(self, name: str) -> None:
        self.leave[name].set()
        await settled()

    async def cancel(self, name: str) -> None:
        self.tasks[name].cancel()
        await settled()

    def code(self, name: str) -> str:
        [code] = self.ends[name] or ["waits"]
        return code

    async def over(self) -> None:
        for event in self.leave.values():
            event.set()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)


async def settled() -> None:
    """Lets all tasks run until they wait."""
    for _ in range(6):
        turn = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(turn.set_result, None)
        await turn


def run(play: Coroutine[Any, Any, None]) -> None:
    asyncio.run(play)


def test_the_best_lane_is_served_first_and_each_lane_in_order() -> None:
    async def act() -> None:
        play = Play()
        await play.submit("running", "learning")
        for name, lane in (("l", "learning"), ("g1", "gate"), ("g2", "gate"), ("c", "continuation")):
            await play.submit(name, lane)  # type: ignore[arg-type]
        for name in ("running", "c", "g1", "g2", "l"):
            await play.finish(name)
        assert play.began == ["running", "c", "g1", "g2", "l"]
        await play.over()

    run(act())


def test_a_lane_that_was_passed_over_ten_times_is_next() -> None:
    async def act() -> None:
        play = Play(size=50)
        await play.submit("running")
        await play.submit("patient", "learning")
        for number in range(MAX_PASSED_OVER + 3):
            await play.submit(f"g{number}")
        await play.finish("running")
        for number in range(MAX_PASSED_OVER):
            await play.finish(f"g{number}")
        assert play.began[-1] == "patient" and len(play.began) == MAX_PASSED_OVER + 2
        await play.finish("patient")
        assert play.began[-1] == f"g{MAX_PASSED_OVER}"
        await play.over()

    run(act())


def test_newer_request_with_same_key_replaces_older_in_position() -> None:
    async def act() -> None:
        play = Play()
        await play.submit("running")
        await play.submit("old", key=("BTC", "gate"))
        await play.submit("other", key=("ETH", "gate"))
        await play.submit("new", key=("BTC", "gate"))
        assert play.code("old") == "superseded" and play.queue.counts == {"superseded": 1}
        assert play.queue.waiting == 2
        await play.finish("running")
        assert play.began == ["running", "new"]
        await play.over()

    run(act())


def test_newer_request_in_another_lane_supersedes_and_queues_there() -> None:
    async def act() -> None:
        play = Play()
        await play.submit("running")
        await play.submit("old", "learning", key="BTC")
        await play.submit("other", "gate")
        await play.submit("new", "gate", key="BTC")
        assert play.code("old") == "superseded"
        await play.finish("running")
        await play.finish("other")
        assert play.began == ["running", "other", "new"]
        await play.over()

    run(act())


def test_full_queue_refuses_request_of_same_or_lower_lane() -> None:
    async def act() -> None:
        play = Play(size=1)
        await play.submit("running")
        await play.submit("waiting")
        await play.submit("same")
        await play.submit("worse", "learning")
        assert (play.code("waiting"), play.code("same"), play.code("worse")) == (
            "waits",
            "queue_full",
            "queue_full",
        )
        await play.over()

    run(act())


def test_full_queue_drops_newest_of_lowest_lane_for_higher_lane() -> None:
    async def act() -> None:
        play = Play(size=3)
        await play.submit("running", "learning")
        for name, lane in (("l1", "learning"), ("l2", "learning"), ("g", "gate"), ("c", "continuation")):
            await play.submit(name, lane)  # type: ignore[arg-type]
        assert {name: play.code(name) for name in ("l1", "l2", "g", "c")} == {
            "l1": "waits",
            "l2": "queue_full",
            "g": "waits",
            "c": "waits",
        }
        assert play.queue.high_water == 3
        await play.over()

    run(act())


def test_full_queue_prefers_keys_not_yet_served() -> None:
    async def act() -> None:
        play = Play(size=2)
        await play.submit("first", key="A")
        await play.submit("b", key="B")
        await play.finish("first")
        await play.submit("a", key="A")
        await play.submit("c", key="C")
        await play.submit("d", key="D")
        assert play.code("a") == "queue_full"  # A had its turn already, C and D did not
        await play.submit("nobody")
        assert play.code("nobody") == "queue_full"
        await play.submit("e", key="E")
        assert play.code("e") == "queue_full"  # same priority, but arrived later
        assert {name: play.code(name) for name in ("c", "d")} == {"c": "waits", "d": "waits"}
        await play.over()

    run(act())


def test_overloaded_queue_serves_all_keys_evenly() -> None:
    async def act() -> None:
        play, keys = Play(size=3), [f"K{number}" for number in range(10)]
        served: Counter[str] = Counter()
        for turn in range(60):
            for key in keys:
                name = f"{key} {turn}"
                await play.submit(name, key=key)
            begun = play.began[-1]
            served[begun.split()[0]] += 1
            await play.finish(begun)
        assert set(served) == set(keys) and max(served.values()) - min(served.values()) <= 3, served
        await play.over()

    run(act())


def test_key_dropped_at_deadline_is_served_before_key_already_served() -> None:
    async def act() -> None:
        play = Play()
        await play.submit("a1", key="A")
        await play.submit("b1", key="B", deadline=5.0)
        play.clock.now_s = 5.0
        await play.finish("a1")
        assert play.code("b1") == "deadline"
        await play.submit("c1", key="C")
        await play.submit("a2", key="A")
        await play.submit("b2", key="B")
        await play.finish("c1")
        assert play.began == ["a1", "c1", "b2"]
        await play.over()

    run(act())


def test_request_past_its_deadline_is_dropped() -> None:
    async def act() -> None:
        play = Play()
        await play.submit("running")
        await play.submit("late", deadline=5.0)
        await play.submit("patient")
        play.clock.now_s = 5.0
        await play.finish("running")
        assert play.code("late") == "deadline" and play.began == ["running", "patient"]
        await play.submit("too late", deadline=5.0)
        assert play.code("too late") == "deadline"
        await play.over()

    run(act())


def test_waiting_request_ends_at_deadline_without_other_events() -> None:
    async def act() -> None:
        play = Play()
        await play.submit("running")
        await play.submit("late", deadline=0.01)
        await play.tasks["late"]
        assert play.code("late") == "deadline" and play.queue.waiting == 0
        await play.over()

    run(act())


@pytest.mark.parametrize("name", ["running", "waiting"])
def test_cancelled_request_frees_its_slot(name: str) -> None:
    async def act() -> None:
        play = Play(size=1)
        await play.submit("running")
        await play.submit("waiting")
        await play.cancel(name)
        await play.submit("next")
        assert play.code("next") == "waits" and play.queue.running == 1
        await play.over()
        assert play.queue.running == 0 and play.queue.waiting == 0

    run(act())


def test_request_cancelled_when_admitted_passes_slot_to_next() -> None:
    async def act() -> None:
        play = Play()
        async with play.queue.slot("gate"):
            await play.submit("unlucky")
            await play.submit("next")
        await play.cancel("unlucky")
        assert play.began == ["next"] and play.queue.running == 1
        await play.over()

    run(act())


def test_close_cancels_waiting_and_lets_running_request_finish() -> None:
    async def act() -> None:
        play = Play()
        for name in ("running", "waiting"):
            await play.submit(name)
        play.queue.close()
        await settled()
        await play.submit("after")
        assert (play.code("running"), play.code("waiting"), play.code("after")) == (
            "waits",
            "cancelled",
            "cancelled",
        )
        await play.finish("running")
        assert play.code("running") == "done"
        await play.over()

    run(act())


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("submit"), st.sampled_from(LANES), st.sampled_from([None, "a", "b"]), st.integers(1, 9)
        ),
        st.tuples(st.just("finish"), st.integers(0, 30)),
        st.tuples(st.just("cancel"), st.integers(0, 30)),
        st.tuples(st.just("burst"), st.integers(0, 30), st.integers(0, 30)),
        st.tuples(st.just("tick")),
        st.tuples(st.just("close")),
    ),
    max_size=30,
)


@settings(deadline=None)
@given(STEPS, st.integers(1, 3), st.integers(1, 3))
def test_queue_under_any_steps_stays_bounded_and_ends_each_request_once(
    steps: list[tuple[Any, ...]], size: int, concurrent: int
) -> None:
    async def act() -> None:
        play = Play(size, concurrent)
        for step in steps:
            await _take(play, step)
            assert play.queue.running <= concurrent and play.queue.waiting <= size
            assert not play.queue.waiting or play.queue.running == concurrent
        await play.over()
        assert play.queue.running == 0 and play.queue.waiting == 0 and play.queue.high_water <= size
        ended = Counter(code for codes in play.ends.values() for code in codes)
        assert all(len(codes) == 1 for name, codes in play.ends.items() if name in play.began or codes)
        assert sum(ended.values()) == len(play.ends) - _never_began(play)
        dropped = sum(play.queue.counts.values())
        assert dropped == len(play.ends) - _never_began(play) - len(play.began)

    run(act())


def _never_began(play: Play) -> int:
    return sum(not codes for codes in play.ends.values())


async def _take(play: Play, step: tuple[Any, ...]) -> None:
    names = list(play.tasks)
    match step:
        case ("submit", lane, key, wait_s):
            await play.submit(f"q{len(names)}", lane, key, play.clock.now_s + wait_s)
        case ("finish", at) if names:
            await play.finish(names[at % len(names)])
        case ("cancel", at) if names:
            await play.cancel(names[at % len(names)])
        case ("burst", finished, cancelled) if names:
            play.leave[names[finished % len(names)]].set()
            await play.cancel(names[cancelled % len(names)])
        case ("tick",):
            play.clock.now_s += 1.0
        case ("close",):
            play.queue.close()
            await settled()

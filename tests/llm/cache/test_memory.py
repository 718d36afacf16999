"""The cache of one process: validity of verdicts, single flight, waiting, and keys."""

import asyncio
import subprocess
import sys

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autohedge.llm.cache.memory import CachedVerdict, CacheStats, MemoryVerdictCache, VerdictKey
from tests.process_harness import ROOT

A_KEY = VerdictKey("paper", "BTC/USD", "p1", "m", "1", "calm/up")


def cached_verdict(
    key: str = "k", decided_ns: int = 100, known_ns: int = 120, valid_until_ns: int = 200
) -> CachedVerdict:
    return CachedVerdict(
        key, {"decision": "trade", "confidence_pct": 70}, decided_ns, valid_until_ns, known_ns, "m"
    )


async def stored(*verdicts: CachedVerdict, most_keys: int = 10) -> MemoryVerdictCache:
    memory = MemoryVerdictCache(most_keys)
    for each in verdicts:
        await memory.put(each)
    return memory


@pytest.mark.parametrize(
    ("at_ns", "found"), [(99, False), (119, False), (120, True), (199, True), (200, False)]
)
def test_a_verdict_is_found_from_when_it_is_known_until_it_ends(at_ns: int, found: bool) -> None:
    async def find() -> CachedVerdict | None:
        return await (await stored(cached_verdict())).get("k", at_ns)

    assert (asyncio.run(find()) is not None) is found


def test_verdict_known_before_decided_time_is_valid_from_decided_time() -> None:
    early = cached_verdict(decided_ns=100, known_ns=0)
    assert not early.valid_at(99) and early.valid_at(100)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50), st.integers(0, 50))
def test_verdict_is_valid_from_decided_and_known_until_its_end(
    decided: int, known: int, end: int, at: int
) -> None:
    verdict = cached_verdict(decided_ns=decided, known_ns=known, valid_until_ns=end)
    assert verdict.valid_at(at) is (decided <= at and known <= at and at < end)


def test_full_cache_evicts_verdict_stored_longest_ago() -> None:
    async def play() -> list[bool]:
        memory = await stored(*(cached_verdict(each) for each in "abac"), most_keys=2)
        return [memory.peek(each, 150) is not None for each in "abc"]

    assert asyncio.run(play()) == [True, False, True]


async def settled() -> None:
    """Lets all tasks run until they wait."""
    for _ in range(10):
        await asyncio.get_running_loop().run_in_executor(None, int)


def test_concurrent_readers_share_verdict_of_one_flight() -> None:
    async def play() -> tuple[list[CachedVerdict | None], CacheStats]:
        memory = MemoryVerdictCache()
        assert await memory.get("k", 150) is None
        others = [asyncio.create_task(memory.get("k", 150)) for _ in range(5)]
        await settled()
        assert not any(each.done() for each in others)
        await memory.put(cached_verdict())
        return await asyncio.gather(*others), memory.stats

    found, stats = asyncio.run(play())
    assert found == [cached_verdict()] * 5
    assert stats == CacheStats(hits=5, misses=1, waited=5, flights=1)


def test_abandoned_flight_passes_to_next_waiter() -> None:
    async def play() -> CacheStats:
        memory = MemoryVerdictCache()
        assert await memory.get("k", 150) is None
        others = [asyncio.create_task(memory.get("k", 150)) for _ in range(3)]
        for waiting in (3, 2, 1):
            await settled()
            assert sum(not each.done() for each in others) == waiting
            await memory.abandon("k")
        await asyncio.gather(*others)
        return memory.stats

    assert asyncio.run(play()) == CacheStats(misses=4, waited=3, flights=4)


def test_waiter_that_times_out_misses_and_leaves_flight_running() -> None:
    async def play() -> MemoryVerdictCache:
        memory = MemoryVerdictCache()
        assert await memory.get("k", 150) is None
        assert await memory.get("k", 150, 0.0) is None
        await memory.abandon("k")
        waiting = asyncio.create_task(memory.get("k", 150))
        await settled()
        assert not waiting.done(), "the first reader still leads the flight"
        await memory.put(cached_verdict())
        assert await waiting == cached_verdict()
        return memory

    assert asyncio.run(play()).stats == CacheStats(hits=1, misses=2, waited=2, waited_out=1, flights=1)


def test_cancelled_waiter_holds_no_flight() -> None:
    async def play() -> None:
        memory = MemoryVerdictCache()
        assert await memory.get("k", 150) is None
        waiting = asyncio.create_task(memory.get("k", 150))
        await settled()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await memory.abandon("k")
        assert memory.left("k"), "a cancelled reader still counts as part of the flight"

    asyncio.run(play())


def test_a_key_is_the_same_in_another_process() -> None:
    fields = msgspec.structs.astuple(A_KEY)
    code = f"from autohedge.llm.cache.memory import VerdictKey; print(VerdictKey(*{fields!r}).text)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == A_KEY.text == "b58839deea3648a47745f10e16191930"


Names = st.tuples(*[st.text(st.characters(categories=("L", "P", "Cs", "Cc")), max_size=3)] * 6)


@given(Names, Names)
def test_different_names_make_different_keys(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    assert (VerdictKey(*one).text == VerdictKey(*other).text) is (one == other)


def test_separators_in_names_do_not_make_keys_equal() -> None:
    names = [("a|b", "c"), ("a", "b|c"), ('a","b', "c"), ("a", 'b","c'), ("a\x00b", "c"), ("a", "b\x00c")]
    assert len({VerdictKey(*each, "", "", "", "").text for each in names}) == len(names)

"""The cache of one process: what a reader may take, who asks, who waits, and what a key is."""

import asyncio
import subprocess
import sys

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autohedge.llm.verdicts import InMemory, Kept, Key, Tally
from tests.process import ROOT

A_KEY = Key("paper", "BTC/USD", "p1", "m", "1", "calm/up")


def kept(key: str = "k", decided_ns: int = 100, known_ns: int = 120, valid_until_ns: int = 200) -> Kept:
    return Kept(key, {"decision": "trade", "confidence_pct": 70}, decided_ns, valid_until_ns, known_ns, "m")


async def stored(*verdicts: Kept, most_keys: int = 10) -> InMemory:
    memory = InMemory(most_keys)
    for each in verdicts:
        await memory.keep(each)
    return memory


@pytest.mark.parametrize(
    ("at_ns", "found"), [(99, False), (119, False), (120, True), (199, True), (200, False)]
)
def test_a_verdict_is_found_from_when_it_is_known_until_it_ends(at_ns: int, found: bool) -> None:
    async def find() -> Kept | None:
        return await (await stored(kept())).find("k", at_ns)

    assert (asyncio.run(find()) is not None) is found


def test_a_verdict_said_to_be_known_before_it_was_asked_for_begins_when_it_was_asked_for() -> None:
    early = kept(decided_ns=100, known_ns=0)
    assert not early.serves(99) and early.serves(100)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50), st.integers(0, 50))
def test_nobody_takes_what_is_of_his_future_or_past(decided: int, known: int, end: int, at: int) -> None:
    verdict = kept(decided_ns=decided, known_ns=known, valid_until_ns=end)
    assert verdict.serves(at) is (decided <= at and known <= at and at < end)


def test_of_too_many_the_one_stored_longest_ago_goes() -> None:
    async def play() -> list[bool]:
        memory = await stored(*(kept(each) for each in "abac"), most_keys=2)
        return [memory.seen(each, 150) is not None for each in "abc"]

    assert asyncio.run(play()) == [True, False, True]


async def settled() -> None:
    """Let everything run that can."""
    for _ in range(10):
        await asyncio.get_running_loop().run_in_executor(None, int)


def test_one_asks_and_the_others_take_what_it_was_told() -> None:
    async def play() -> tuple[list[Kept | None], Tally]:
        memory = InMemory()
        assert await memory.find("k", 150) is None
        others = [asyncio.create_task(memory.find("k", 150)) for _ in range(5)]
        await settled()
        assert not any(each.done() for each in others)
        await memory.keep(kept())
        return await asyncio.gather(*others), memory.tally

    found, tally = asyncio.run(play())
    assert found == [kept()] * 5
    assert tally == Tally(hits=5, misses=1, waited=5, flights=1)


def test_when_the_one_that_asks_leaves_another_asks() -> None:
    async def play() -> Tally:
        memory = InMemory()
        assert await memory.find("k", 150) is None
        others = [asyncio.create_task(memory.find("k", 150)) for _ in range(3)]
        for waiting in (3, 2, 1):
            await settled()
            assert sum(not each.done() for each in others) == waiting
            await memory.leave("k")
        await asyncio.gather(*others)
        return memory.tally

    assert asyncio.run(play()) == Tally(misses=4, waited=3, flights=4)


def test_a_verdict_that_comes_too_late_is_asked_for_by_oneself() -> None:
    async def play() -> InMemory:
        memory = InMemory()
        assert await memory.find("k", 150) is None
        assert await memory.find("k", 150, 0.0) is None
        await memory.leave("k")
        waiting = asyncio.create_task(memory.find("k", 150))
        await settled()
        assert not waiting.done(), "the first still asks"
        await memory.keep(kept())
        assert await waiting == kept()
        return memory

    assert asyncio.run(play()).tally == Tally(hits=1, misses=2, waited=2, waited_out=1, flights=1)


def test_who_stops_waiting_holds_nothing() -> None:
    async def play() -> None:
        memory = InMemory()
        assert await memory.find("k", 150) is None
        waiting = asyncio.create_task(memory.find("k", 150))
        await settled()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await memory.leave("k")
        assert memory.left("k"), "somebody is still taken for asking"

    asyncio.run(play())


def test_a_key_is_the_same_in_another_process() -> None:
    code = f"from autohedge.llm.verdicts import Key; print(Key(*{msgspec.structs.astuple(A_KEY)!r}).text)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == A_KEY.text == "b58839deea3648a47745f10e16191930"


Names = st.tuples(*[st.text(st.characters(categories=("L", "P", "Cs", "Cc")), max_size=3)] * 6)


@given(Names, Names)
def test_no_name_makes_one_key_of_two(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    assert (Key(*one).text == Key(*other).text) is (one == other)


def test_separators_in_names_separate_nothing() -> None:
    names = [("a|b", "c"), ("a", "b|c"), ('a","b', "c"), ("a", 'b","c'), ("a\x00b", "c"), ("a", "b\x00c")]
    assert len({Key(*each, "", "", "", "").text for each in names}) == len(names)

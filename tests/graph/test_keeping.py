"""A verdict that still holds is not asked for again: when it is taken, what it says, and that a replay knows it."""

import asyncio
from contextlib import chdir
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from autohedge import app
from autohedge.agents.director import Verdict
from autohedge.core.events import Decision, GateChanged
from autohedge.core.regimes import regime
from autohedge.engine.questions import CACHE
from autohedge.graph.keeping import Flight, key_of, verdict_in
from autohedge.journal import RunFolder, read
from autohedge.llm.transcript import Line
from autohedge.llm.verdicts import InMemory, Kept
from autohedge.prompts.library import load
from tests.graph.hybrid import TRADE
from tests.graph.records import copied, forging, hybrid, parted, replayed, transcribed
from tests.showing import rows, snapshot
from tests.support import settings

TTL_S = 120
NS_PER_S = 10**9
RISING = rows([100 + 0.01 * (step % 5) + 0.01 * step for step in range(50)])
KEPT = Kept("k", TRADE, 100, 200, 120, "rules")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run whose gates fall due every few seconds."""
    with chdir(tmp_path_factory.mktemp("kept")):
        return hybrid(
            hybrid__cache_verdicts=True,
            hybrid__verdict_ttl_s=TTL_S,
            hybrid__gate_refresh_quotes=30,
            hybrid__learn_every_trades=0,
        )


def _decisions(run: RunFolder) -> list[Decision]:
    return [line.event for line in read(run.journal) if isinstance(line.event, Decision)]


def test_a_kept_verdict_says_what_it_said_when_it_was_new_and_ends_when_that_would_have(
    run: RunFolder,
) -> None:
    decisions = _decisions(run)
    asked = {each.asked_ns: each for each in decisions if each.source == "rules"}
    kept = [each for each in decisions if each.source == CACHE]
    assert len(kept) > 20 and len(asked) > 10
    for each in kept:
        first = asked[each.decided_ns]
        assert (each.verdict, each.direction, each.confidence_pct) == (
            first.verdict,
            first.direction,
            first.confidence_pct,
        )
        assert first.at_ns <= each.asked_ns < each.decided_ns + TTL_S * NS_PER_S
        assert len(each.calls) == 1 and each.at_ns == each.asked_ns
    results = run.read_results()
    assert results and results["deliberations"]["cached"] == len(kept)
    assert results["slow"]["calls"]["kept"]["hits"] == len(kept)


def test_an_answer_is_found_only_once_it_is_there_also_where_the_next_question_came_before(
    tmp_path: Path,
) -> None:
    with chdir(tmp_path):
        decisions = _decisions(
            hybrid(
                hybrid__cache_verdicts=True,
                hybrid__gate_refresh_quotes=10,
                hybrid__min_refresh_s=0,
                hybrid__deadline_s=5,
                llm__virtual_latency_s=30,
                llm__max_concurrent=50,
            )
        )
    asked = {each.asked_ns: each for each in decisions if each.source == "rules"}
    found = [(each, asked[each.decided_ns]) for each in decisions if each.source == CACHE]
    assert len(found) > 10 and all(first.at_ns <= each.asked_ns for each, first in found)
    overtaken = pairwise(asked.values())
    assert any(later.asked_ns < first.at_ns for first, later in overtaken)


def test_a_gate_that_a_kept_verdict_opens_shuts_when_that_verdict_ends(run: RunFolder) -> None:
    events = [line.event for line in read(run.journal)]
    pairs = list(pairwise(events))
    opened = [
        (said, moved)
        for said, moved in pairs
        if isinstance(said, Decision) and isinstance(moved, GateChanged) and moved.state == "open"
    ]
    assert {said.source for said, _ in opened} == {"rules", CACHE}
    for said, moved in opened:
        assert moved.valid_until_ns == (said.decided_ns or said.asked_ns) + TTL_S * NS_PER_S


def test_a_verdict_is_kept_for_one_symbol_in_one_regime(run: RunFolder) -> None:
    lines = transcribed(run)
    made = {line.at_ns: line for line in lines if line.request}
    for line in lines:
        if line.kept:
            first = made[line.kept.decided_ns]
            assert first.snapshot and line.snapshot
            assert regime(line.snapshot.quotes) == regime(first.snapshot.quotes)


def test_both_replays_hold(run: RunFolder) -> None:
    assert replayed(run) is None
    assert app.replay_run(run) == (None, True)


@pytest.mark.parametrize(
    "change", [{"key": "0" * 32}, {"valid_until_ns": 1}, {"answer": {"decision": "trade"}}, {"decided_ns": 5}]
)
def test_a_forged_memory_is_found(run: RunFolder, tmp_path: Path, change: dict[str, Any]) -> None:
    folder = copied(run, tmp_path)
    with forging(folder, named=True) as lines:
        at = next(index for index, line in enumerate(lines) if line.kept)
        lines[at] = msgspec.structs.replace(
            lines[at], kept=msgspec.structs.replace(_kept(lines[at]), **change)
        )
    assert parted(folder).deliberation == lines[at].deliberation


def _kept(line: Line) -> Kept:
    assert line.kept
    return line.kept


def test_without_a_cache_every_question_is_asked(tmp_path: Path) -> None:
    with chdir(tmp_path):
        decisions = _decisions(hybrid(synthetic__hours=0.1, hybrid__gate_refresh_quotes=30))
    assert CACHE not in {each.source for each in decisions}


def test_a_key_is_about_tape_symbol_prompt_model_temperature_samples_and_regime() -> None:
    prompt, agents = load("director", Path("nowhere")), settings().agents
    seen = snapshot(RISING)

    def key(**changes: Any) -> str:
        other = msgspec.structs.replace(seen, **{k: v for k, v in changes.items() if hasattr(seen, k)})
        terms = {k: v for k, v in changes.items() if k in ("temperature", "samples")}
        director = agents.director.model_copy(update=terms)
        team = agents.model_copy(update={"director": director})
        return key_of(other, prompt, team, changes.get("model", "m"), changes.get("market", "tape"))

    falling = rows([200 - 0.01 * (step % 5) - 0.01 * step for step in range(50)])
    same = key(number=9, quotes=rows([300 + 0.03 * (step % 5) + 0.03 * step for step in range(50)]))
    others = [
        key(symbol="Y"),
        key(quotes=falling),
        key(model="n"),
        key(temperature=1.0),
        key(samples=3),
        key(market="another tape"),
    ]
    assert key() == same and len({key(), *others}) == 7
    assert key(kind="trade") == key(kind="learning") == key(quotes=RISING[:2]) == ""


def test_runs_on_other_tapes_look_for_other_verdicts_and_the_genesis_names_the_tape(
    run: RunFolder, tmp_path: Path
) -> None:
    def keys(folder: RunFolder) -> set[str]:
        return {line.kept.key for line in transcribed(folder) if line.kept}

    with chdir(tmp_path):
        terms = {"hybrid__cache_verdicts": True, "hybrid__gate_refresh_quotes": 30, "synthetic__hours": 0.1}
        other = hybrid(seed=5, **terms)
    assert keys(run) and keys(other) and not keys(run) & keys(other)
    for folder in (run, other):
        genesis = next(read(folder.journal)).genesis
        assert genesis
        (stream,) = genesis["tape"]
        assert genesis["slow"]["markets"] == {"BTC/USD": stream["content_hash"]}


def test_who_finds_nothing_holds_the_flight_and_who_finds_something_does_not() -> None:
    async def found() -> tuple[str, str, Kept | None]:
        memory = InMemory()
        first, second = Flight(memory), Flight(memory)
        assert await first.find("k", 150, 1.0) is None
        await memory.keep(KEPT)
        return first.key, second.key, await second.find("k", 150, 1.0)

    held, free, kept = asyncio.run(found())
    assert (held, free) == ("k", "") and kept == KEPT
    assert verdict_in(KEPT) == Verdict.model_validate(TRADE)


def test_an_answer_that_is_none_is_as_good_as_nothing() -> None:
    async def found(answer: dict[str, Any]) -> Kept | None:
        memory = InMemory()
        await memory.keep(msgspec.structs.replace(KEPT, answer=answer))
        return await Flight(memory).find("k", 150, 1.0)

    beyond = TRADE | {"more": 10**30}  # no pipe of the agents' process could carry it
    wrongs: tuple[dict[str, Any], ...] = (
        {},
        TRADE | {"confidence_pct": "90"},
        TRADE | {"confidence_pct": 101},
        {"decision": "buy"},
        beyond,
    )
    for wrong in wrongs:
        assert asyncio.run(found(wrong)) is None

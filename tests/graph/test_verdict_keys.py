"""Cached verdicts: when one is used instead of a request, its effect, and its replay."""

import asyncio
from contextlib import chdir
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from autohedge import app
from autohedge.agents.director import Verdict
from autohedge.config.sections import AgentSettings
from autohedge.core.events import Decision, GateChanged
from autohedge.core.regimes import regime
from autohedge.core.units import NS_PER_S
from autohedge.engine.deliberations.scheduler import CACHE
from autohedge.graph.verdict_keys import SingleFlight, decode_verdict, verdict_key
from autohedge.journal import RunFolder, read
from autohedge.llm.cache.memory import CachedVerdict, MemoryVerdictCache
from autohedge.llm.transcript import TranscriptEntry
from autohedge.prompts.library import load
from tests.graph.hybrid_harness import TRADE
from tests.graph.record_factory import copied, forging, hybrid, replayed, require_difference, transcribed
from tests.run_harness import settings
from tests.snapshot_factory import BOTH_DIRECTIONS, rows, snapshot

TTL_S = 120
RISING = rows([100 + 0.01 * (step % 5) + 0.01 * step for step in range(50)])
CACHED_VERDICT = CachedVerdict("k", TRADE, 100, 200, 120, "rules")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Makes a run whose gates are due every few seconds."""
    with chdir(tmp_path_factory.mktemp("kept")):
        return hybrid(
            hybrid__cache_verdicts=True,
            hybrid__verdict_ttl_s=TTL_S,
            hybrid__gate_refresh_quotes=30,
            hybrid__learn_every_trades=0,
        )


def _decisions(run: RunFolder) -> list[Decision]:
    return [line.event for line in read(run.journal) if isinstance(line.event, Decision)]


def test_cached_verdict_repeats_original_and_expires_with_it(
    run: RunFolder,
) -> None:
    decisions = _decisions(run)
    requested = {each.asked_ns: each for each in decisions if each.source == "rules"}
    cached = [each for each in decisions if each.source == CACHE]
    assert len(cached) > 20 and len(requested) > 10
    for each in cached:
        first = requested[each.decided_ns]
        assert (each.verdict, each.direction, each.confidence_pct) == (
            first.verdict,
            first.direction,
            first.confidence_pct,
        )
        assert first.at_ns <= each.asked_ns < each.decided_ns + TTL_S * NS_PER_S
        assert len(each.calls) == 1 and each.at_ns == each.asked_ns
    results = run.read_results()
    assert results and results["deliberations"]["cached"] == len(cached)
    assert results["agents"]["calls"]["cache"]["hits"] == len(cached)


def test_cached_verdict_is_used_only_after_it_was_decided(
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
    requested = {each.asked_ns: each for each in decisions if each.source == "rules"}
    found = [(each, requested[each.decided_ns]) for each in decisions if each.source == CACHE]
    assert len(found) > 10 and all(first.at_ns <= each.asked_ns for each, first in found)
    overtaken = pairwise(requested.values())
    assert any(later.asked_ns < first.at_ns for first, later in overtaken)


def test_gate_opened_by_cached_verdict_expires_with_that_verdict(run: RunFolder) -> None:
    events = [line.event for line in read(run.journal)]
    pairs = list(pairwise(events))
    opened = [
        (decision, moved)
        for decision, moved in pairs
        if isinstance(decision, Decision) and isinstance(moved, GateChanged) and moved.state == "open"
    ]
    assert {decision.source for decision, _ in opened} == {"rules", CACHE}
    for decision, moved in opened:
        assert moved.valid_until_ns == (decision.decided_ns or decision.asked_ns) + TTL_S * NS_PER_S


def test_cached_verdict_is_reused_within_one_regime(run: RunFolder) -> None:
    lines = transcribed(run)
    made = {line.at_ns: line for line in lines if line.request}
    for line in lines:
        if line.cached:
            first = made[line.cached.decided_ns]
            assert first.snapshot and line.snapshot
            assert regime(line.snapshot.quotes) == regime(first.snapshot.quotes)


def test_both_replays_hold(run: RunFolder) -> None:
    assert replayed(run) is None
    assert app.replay_engine(run) == (None, True)


@pytest.mark.parametrize(
    "change", [{"key": "0" * 32}, {"valid_until_ns": 1}, {"answer": {"decision": "trade"}}, {"decided_ns": 5}]
)
def test_forged_cached_verdict_is_a_difference(
    run: RunFolder, tmp_path: Path, change: dict[str, Any]
) -> None:
    folder = copied(run, tmp_path)
    with forging(folder, named=True) as lines:
        at = next(index for index, line in enumerate(lines) if line.cached)
        lines[at] = msgspec.structs.replace(
            lines[at], cached=msgspec.structs.replace(_cached(lines[at]), **change)
        )
    assert require_difference(folder).deliberation == lines[at].deliberation


def _cached(line: TranscriptEntry) -> CachedVerdict:
    assert line.cached
    return line.cached


def test_run_without_cache_has_no_cached_decisions(tmp_path: Path) -> None:
    with chdir(tmp_path):
        decisions = _decisions(hybrid(synthetic__hours=0.1, hybrid__gate_refresh_quotes=30))
    assert CACHE not in {each.source for each in decisions}


def test_verdict_key_depends_on_tape_symbol_model_sampling_and_regime() -> None:
    prompt, agents = load("director", Path("nowhere")), settings().agents
    seen = snapshot(RISING)

    def key(**changes: Any) -> str:
        other = msgspec.structs.replace(seen, **{k: v for k, v in changes.items() if hasattr(seen, k)})
        terms = {k: v for k, v in changes.items() if k in AgentSettings.model_fields or k == "samples"}
        terms.pop("model", None)
        director = agents.director.model_copy(update=terms)
        team = agents.model_copy(update={"director": director})
        return verdict_key(other, prompt, team, changes.get("model", "m"), changes.get("market", "tape"))

    falling = rows([200 - 0.01 * (step % 5) - 0.01 * step for step in range(50)])
    same = key(number=9, quotes=rows([300 + 0.03 * (step % 5) + 0.03 * step for step in range(50)]))
    others = [
        key(symbol="Y"),
        key(quotes=falling),
        key(model="n"),
        key(temperature=1.0),
        key(samples=3),
        key(reasoning="off"),
        key(max_answer_tokens=900),
        key(extra_body={"top_k": 5}),
        key(market="another tape"),
        key(venue="kraken"),
        key(limits=BOTH_DIRECTIONS),
    ]
    assert key() == same and len({key(), *others}) == 12
    assert key() == key(reasoning="auto", max_answer_tokens=0, extra_body={}, keep_alive="5m")
    assert key(kind="trade") == key(kind="learning") == key(quotes=RISING[:2]) == ""


def test_other_tapes_share_no_verdict_keys_and_genesis_names_the_tape(run: RunFolder, tmp_path: Path) -> None:
    def keys(folder: RunFolder) -> set[str]:
        return {line.cached.key for line in transcribed(folder) if line.cached}

    with chdir(tmp_path):
        terms = {"hybrid__cache_verdicts": True, "hybrid__gate_refresh_quotes": 30, "synthetic__hours": 0.1}
        other = hybrid(seed=5, **terms)
    assert keys(run) and keys(other) and not keys(run) & keys(other)
    for folder in (run, other):
        genesis = next(read(folder.journal)).genesis
        assert genesis
        (stream,) = genesis["tape"]
        assert genesis["agents"]["markets"] == {"BTC/USD": stream["content_hash"]}


def test_single_flight_is_held_after_miss_and_not_after_hit() -> None:
    async def found() -> tuple[str, str, CachedVerdict | None]:
        memory = MemoryVerdictCache()
        first, second = SingleFlight(memory), SingleFlight(memory)
        assert await first.get("k", 150, 1.0) is None
        await memory.put(CACHED_VERDICT)
        return first.key, second.key, await second.get("k", 150, 1.0)

    held, free, cached = asyncio.run(found())
    assert (held, free) == ("k", "") and cached == CACHED_VERDICT
    assert decode_verdict(CACHED_VERDICT) == Verdict.model_validate(TRADE)


def test_invalid_cached_answer_counts_as_a_miss() -> None:
    async def found(answer: dict[str, Any]) -> CachedVerdict | None:
        memory = MemoryVerdictCache()
        await memory.put(msgspec.structs.replace(CACHED_VERDICT, answer=answer))
        return await SingleFlight(memory).get("k", 150, 1.0)

    beyond = TRADE | {"more": 10**30}  # an integer that the worker's messages cannot encode
    wrongs: tuple[dict[str, Any], ...] = (
        {},
        TRADE | {"confidence_pct": "90"},
        TRADE | {"confidence_pct": 101},
        {"decision": "buy"},
        beyond,
    )
    for wrong in wrongs:
        assert asyncio.run(found(wrong)) is None

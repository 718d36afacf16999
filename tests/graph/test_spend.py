"""What the calls of a run cost: in decisions and results, in a replay, and after a restart."""

import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from autohedge import app
from autohedge.app.restart import restart
from autohedge.core.clock import format_utc
from autohedge.core.events import Decision
from autohedge.core.results import RunReport
from autohedge.core.spend import SpendFigures
from autohedge.graph.restore import restore_usage
from autohedge.journal import RunFolder, read, verify
from autohedge.llm.prices import PriceTable
from tests.graph.record_factory import ANSWER, TIGHT, scripted, transcribed
from tests.made_once import recorded_once
from tests.run_harness import settings

D = Decimal
USAGE = {"prompt_tokens": 4_000, "completion_tokens": 50, "cached_prompt_tokens": 1_000}
COST = D("0.0095")  # 3000 at 2 USD, 1000 at 1 USD, 50 at 50 USD per million
SCRIPT: list[Any] = [
    {"text": ANSWER, "usage": USAGE, "service_ms": 250.0},
    {"text": "prose", "usage": USAGE, "service_ms": 250.0},
    {"text": "prose again", "usage": USAGE, "service_ms": 250.0},
    {"failure": "server_error"},
    {"text": ANSWER, "service_ms": 250.0},
]
PRICES: dict[str, Any] = {
    "models__script__price_in": 2,
    "models__script__price_cached": 1,
    "models__script__price_out": 50,
    "models__script__knowledge_cutoff": "2025-06-01",
}
LIMITED = PRICES | TIGHT | {"llm__max_cost_usd": "0.2", "hybrid__min_refresh_s": 1}


def _report(folder: RunFolder) -> RunReport:
    report = folder.read_report()
    assert report
    return report


def _spend(folder: RunFolder) -> SpendFigures:
    figures = _report(folder).deliberations
    assert figures and figures.llm
    return figures.llm


def _decisions(folder: RunFolder) -> list[Decision]:
    return [line.event for line in read(folder.journal) if isinstance(line.event, Decision)]


@pytest.fixture(scope="module")
def priced(session_folder: Path) -> RunFolder:
    """A run whose model has prices and a limit of cost, which it reaches."""
    return recorded_once(session_folder / "priced", lambda: scripted(SCRIPT, **LIMITED))


def test_results_have_the_cost_of_every_answer_that_reported_usage(priced: RunFolder) -> None:
    responses = [line.response for line in transcribed(priced) if line.response]
    counted = sum(response.usage is not None for response in responses)
    spend = _spend(priced)
    assert spend.cost_usd == counted * COST > D("0.1")
    assert spend.unpriced_calls == len(responses) - counted > 0
    assert spend.llm_s == len(responses) * 0.25


def test_parts_of_the_cost_are_those_of_the_decisions(priced: RunFolder) -> None:
    spend, decisions = _spend(priced), [each for each in _decisions(priced) if each.spend]
    assert set(spend.by_verdict) >= {"trade", "abstain"} and list(spend.by_symbol) == ["BTC/USD"]
    for parts, key in (
        (spend.by_day, lambda each: format_utc(each.at_ns)[:10]),
        (spend.by_verdict, lambda each: each.verdict),
    ):
        for name, part in parts.items():
            own = [each.spend for each in decisions if key(each) == name]
            assert part.cost_usd == sum(each.cost_usd or 0 for each in own if each)
        assert sum(part.cost_usd or 0 for part in parts.values()) == spend.cost_usd


def test_a_spent_limit_ends_questions_and_is_never_exceeded(priced: RunFolder) -> None:
    figures = _report(priced).deliberations
    assert figures and figures.abstentions["budget"] > 0
    recorded = PriceTable.of(settings(**PRICES), "scripted", "script")
    spent = restore_usage(priced.transcript, recorded).cost_usd
    assert (_spend(priced).cost_usd or 0) < spent <= D("0.2")


def test_the_cost_is_replayed_and_verified(priced: RunFolder) -> None:
    assert verify(priced).finished and app.replay_engine(priced) == (None, True)
    replay = app.replay_deliberations(priced)
    assert replay and replay.difference is None and replay.reread > 8


def test_a_restarted_run_goes_on_with_what_was_spent(priced: RunFolder, workplace: Path) -> None:
    folder = RunFolder(Path(shutil.copytree(priced.path, Path("runs") / priced.id)))
    shutil.copy(priced.path.parents[1] / "script.jsonl", "script.jsonl")
    whole, lines = _spend(priced), folder.journal.read_bytes().splitlines(keepends=True)
    folder.results.unlink()
    folder.journal.write_bytes(b"".join(lines[: len(lines) // 2]))
    restart(folder)
    assert _spend(folder) == whole
    assert app.replay_engine(folder) == (None, True)


def test_without_prices_the_cost_is_absent(workplace: Path) -> None:
    spend = _spend(scripted(SCRIPT[:1]))
    assert spend.cost_usd is None and not spend.unpriced_calls and spend.llm_s > 0
    assert b"cost_usd" not in RunFolder.all()[0].results.read_bytes()


def test_cutoffs_of_asked_models_are_in_the_results(priced: RunFolder) -> None:
    agents = _report(priced).agents
    assert agents and agents.knowledge_cutoffs == {"script": "2025-06-01"}

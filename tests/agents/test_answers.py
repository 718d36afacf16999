"""The validation of each agent's answer, and the answers that are refusals."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from autohedge.agents import director, execution, learning, quant, risk
from autohedge.agents.execution import Placement
from autohedge.agents.quant import Finding
from autohedge.agents.risk import Assessment, check_limits
from autohedge.llm.backend import LLMRequest
from autohedge.llm.backends.scripted import ScriptedBackend
from autohedge.llm.client import LLMClient
from autohedge.llm.outcome import Outcome
from tests.graph.team_harness import ANSWERS, agent_answer
from tests.llm.request_factory import make_request
from tests.run_harness import settings
from tests.snapshot_factory import AGENT_LIMITS, snapshot

AgentFunction = Callable[[Any, LLMRequest, LLMClient], Awaitable[Outcome[Any]]]
AGENT_FUNCTIONS: dict[str, AgentFunction] = {
    "director": director.ask,
    "quant": quant.ask,
    "risk": risk.ask,
    "execution": execution.ask,
    "learning": learning.ask,
}
SEEN = snapshot(symbol="X")


def _outcome(agent: str, text: str) -> Outcome[Any]:
    async def ask() -> Outcome[Any]:
        client = LLMClient(ScriptedBackend([text]), settings().llm)
        return await AGENT_FUNCTIONS[agent](SEEN, make_request(agent=agent), client)

    return asyncio.run(ask())


def _finding(**changes: Any) -> Finding:
    return Finding.model_validate(ANSWERS["quant"] | changes)


def _assessment(**changes: Any) -> Assessment:
    return Assessment.model_validate(ANSWERS["risk"] | changes)


@pytest.mark.parametrize("agent", AGENT_FUNCTIONS)
def test_a_good_answer_is_taken_as_it_stands(agent: str) -> None:
    outcome = _outcome(agent, agent_answer(agent))
    assert outcome.answer and outcome.answer.model_dump() == ANSWERS[agent]


@pytest.mark.parametrize("agent", AGENT_FUNCTIONS)
@pytest.mark.parametrize("field", sorted({field for answer in ANSWERS.values() for field in answer}))
def test_every_field_is_needed(agent: str, field: str) -> None:
    if field in ANSWERS[agent]:
        outcome = _outcome(agent, agent_answer(agent).replace(f'"{field}"', '"other"'))
        assert (outcome.answer, outcome.code) == (None, "invalid")


@pytest.mark.parametrize("agent", sorted(AGENT_FUNCTIONS.keys() - {"learning"}))
@pytest.mark.parametrize(
    ("symbol", "code"), [("Y", "wrong_symbol"), (" x ", "accepted"), ("x" * 41, "invalid")]
)
def test_answer_symbol_must_match_the_question(agent: str, symbol: str, code: str) -> None:
    assert _outcome(agent, agent_answer(agent, symbol=symbol)).code == code


@pytest.mark.parametrize(
    ("changes", "refusal", "max_size_pct"),
    [
        ({}, "", 100),
        ({"technical_score_pct": 0}, "", 100),
        ({"thesis": "uncertain"}, "", 40),
        ({"thesis": "uncertain", "technical_score_pct": 100}, "", 100),
        ({"thesis": "refuted", "technical_score_pct": 100}, "refuted", 100),
        ({"volatility": "fail"}, "too_volatile", 100),
        ({"thesis": "refuted", "volatility": "fail"}, "refuted", 40),
    ],
    ids=str,
)
def test_finding_gives_a_refusal_or_a_size_limit(changes: Any, refusal: str, max_size_pct: int) -> None:
    found = _finding(**changes)
    assert found.refusal == refusal
    assert refusal or found.max_size_pct == max_size_pct


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, ""),
        ({"stop_loss_bps": 10, "take_profit_bps": 15}, ""),
        ({"stop_loss_bps": 50, "take_profit_bps": 75}, ""),
        ({"stop_loss_bps": 50, "take_profit_bps": 74}, "reward_to_risk"),
        ({"stop_loss_bps": 9}, "out_of_bounds"),
        ({"stop_loss_bps": 51}, "out_of_bounds"),
        ({"take_profit_bps": 14, "stop_loss_bps": 10}, "out_of_bounds"),
        ({"take_profit_bps": 401}, "out_of_bounds"),
        ({"decision": "reject", "take_profit_bps": 100_000}, ""),
        ({"size_pct": 0, "stop_loss_bps": 1}, ""),
    ],
    ids=str,
)
def test_approval_must_be_within_bounds_and_rejection_need_not(changes: Any, code: str) -> None:
    wrong = check_limits(_assessment(**changes), AGENT_LIMITS)
    assert (wrong[0] if wrong else "") == code
    assert _outcome("risk", agent_answer("risk", **changes)).code == (code or "accepted")


@pytest.mark.parametrize(
    ("changes", "refusal"), [({}, ""), ({"decision": "reject"}, "rejected"), ({"size_pct": 0}, "rejected")]
)
def test_risk_rejects_by_decision_or_zero_size(changes: Any, refusal: str) -> None:
    assert _assessment(**changes).refusal == refusal


@pytest.mark.parametrize(
    ("changes", "limit_offset_bps", "code"),
    [
        ({"order_type": "limit", "offset_bps": 20}, 20, "accepted"),
        ({"order_type": "limit", "offset_bps": 21}, 21, "out_of_bounds"),
        ({"order_type": "market", "offset_bps": 21}, 0, "accepted"),
    ],
    ids=str,
)
def test_limit_offset_is_bounded_and_ignored_at_market(
    changes: Any, limit_offset_bps: int, code: str
) -> None:
    assert Placement.model_validate(ANSWERS["execution"] | changes).limit_offset_bps == limit_offset_bps
    assert _outcome("execution", agent_answer("execution", **changes)).code == code


def test_ranges_sent_to_the_model_are_the_bounds() -> None:
    exits = {"take_profit_bps": (15, 400), "stop_loss_bps": (10, 50)}
    assert risk.ranges(AGENT_LIMITS) == {"size_pct": (1, 100)} | exits
    assert execution.ranges(AGENT_LIMITS) == {"offset_bps": (0, 20)}

"""What each agent's answer is held to, and which of them is a no."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from autohedge.agents import director, execution, learning, quant, risk
from autohedge.agents.execution import Placement
from autohedge.agents.quant import Finding
from autohedge.agents.risk import Assessment, outside
from autohedge.llm.asking import Asker
from autohedge.llm.backend import Request
from autohedge.llm.outcome import Outcome
from autohedge.llm.scripted import Scripted
from tests.graph.team import ANSWERS, says
from tests.llm.questions import asked
from tests.showing import BOUNDS, snapshot
from tests.support import settings

Asks = Callable[[Any, Request, Asker], Awaitable[Outcome[Any]]]
ASKS: dict[str, Asks] = {
    "director": director.judge,
    "quant": quant.weigh,
    "risk": risk.assess,
    "execution": execution.place,
    "learning": learning.learn,
}
SEEN = snapshot(symbol="X")


def _outcome(agent: str, text: str) -> Outcome[Any]:
    async def ask() -> Outcome[Any]:
        asker = Asker(Scripted([text]), settings().llm)
        return await ASKS[agent](SEEN, asked(agent=agent), asker)

    return asyncio.run(ask())


def _finding(**changes: Any) -> Finding:
    return Finding.model_validate(ANSWERS["quant"] | changes)


def _assessment(**changes: Any) -> Assessment:
    return Assessment.model_validate(ANSWERS["risk"] | changes)


@pytest.mark.parametrize("agent", ASKS)
def test_a_good_answer_is_taken_as_it_stands(agent: str) -> None:
    outcome = _outcome(agent, says(agent))
    assert outcome.answer and outcome.answer.model_dump() == ANSWERS[agent]


@pytest.mark.parametrize("agent", ASKS)
@pytest.mark.parametrize("field", sorted({field for answer in ANSWERS.values() for field in answer}))
def test_every_field_is_needed(agent: str, field: str) -> None:
    if field in ANSWERS[agent]:
        outcome = _outcome(agent, says(agent).replace(f'"{field}"', '"other"'))
        assert (outcome.answer, outcome.code) == (None, "invalid")


@pytest.mark.parametrize("agent", sorted(ASKS.keys() - {"learning"}))
@pytest.mark.parametrize(
    ("symbol", "code"), [("Y", "wrong_symbol"), (" x ", "accepted"), ("x" * 41, "invalid")]
)
def test_an_answer_is_about_the_symbol_that_was_asked_about(agent: str, symbol: str, code: str) -> None:
    assert _outcome(agent, says(agent, symbol=symbol)).code == code


@pytest.mark.parametrize(
    ("changes", "refusal", "most_size_pct"),
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
def test_what_a_finding_refuses_and_leaves(changes: Any, refusal: str, most_size_pct: int) -> None:
    found = _finding(**changes)
    assert found.refusal == refusal
    assert refusal or found.most_size_pct == most_size_pct


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
def test_an_approval_keeps_to_the_bounds_and_a_no_need_not(changes: Any, code: str) -> None:
    wrong = outside(_assessment(**changes), BOUNDS)
    assert (wrong[0] if wrong else "") == code
    assert _outcome("risk", says("risk", **changes)).code == (code or "accepted")


@pytest.mark.parametrize(
    ("changes", "refusal"), [({}, ""), ({"decision": "reject"}, "rejected"), ({"size_pct": 0}, "rejected")]
)
def test_what_risk_rejects(changes: Any, refusal: str) -> None:
    assert _assessment(**changes).refusal == refusal


@pytest.mark.parametrize(
    ("changes", "below_bps", "code"),
    [
        ({"order_type": "limit", "offset_bps": 20}, 20, "accepted"),
        ({"order_type": "limit", "offset_bps": 21}, 21, "out_of_bounds"),
        ({"order_type": "market", "offset_bps": 21}, 0, "accepted"),
    ],
    ids=str,
)
def test_where_a_limit_may_lie(changes: Any, below_bps: int, code: str) -> None:
    assert Placement.model_validate(ANSWERS["execution"] | changes).below_bps == below_bps
    assert _outcome("execution", says("execution", **changes)).code == code


def test_the_ranges_that_go_out_are_the_bounds() -> None:
    exits = {"take_profit_bps": (15, 400), "stop_loss_bps": (10, 50)}
    assert risk.ranges(BOUNDS) == {"size_pct": (1, 100)} | exits
    assert execution.ranges(BOUNDS) == {"offset_bps": (0, 20)}

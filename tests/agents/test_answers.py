"""The validation of each agent's answer, and the answers that are refusals."""

import asyncio
from typing import Any

import msgspec
import pytest

from autohedge.agents import execution, risk
from autohedge.agents.execution import Placement
from autohedge.agents.quant import Finding
from autohedge.agents.risk import Assessment, check_limits
from autohedge.agents.schema import check_reason
from autohedge.agents.specs import AGENTS
from autohedge.graph.answer_schemas import request_schema
from autohedge.llm.backends.scripted import ScriptedBackend
from autohedge.llm.client import LLMClient
from autohedge.llm.outcome import Outcome
from autohedge.llm.senders import ServerSender
from tests.graph.team_harness import ANSWERS, agent_answer
from tests.llm.request_factory import make_request
from tests.run_harness import settings
from tests.snapshot_factory import AGENT_LIMITS, rows, snapshot

SEEN = snapshot(rows([100.0]), symbol="X")


def _outcome(agent: str, text: str) -> Outcome[Any]:
    async def ask() -> Outcome[Any]:
        llm = settings().llm
        client = LLMClient(ServerSender(ScriptedBackend([text]), llm), llm)
        schema = request_schema(agent, SEEN, 300)
        request = msgspec.structs.replace(make_request(agent=agent), symbol=SEEN.symbol, schema=schema)
        return await AGENTS[agent].ask(SEEN, request, client)

    return asyncio.run(ask())


def _finding(**changes: Any) -> Finding:
    return Finding.model_validate(ANSWERS["quant"] | changes)


def _assessment(**changes: Any) -> Assessment:
    return Assessment.model_validate(ANSWERS["risk"] | changes)


@pytest.mark.parametrize("agent", AGENTS)
def test_a_good_answer_is_taken_as_it_stands(agent: str) -> None:
    outcome = _outcome(agent, agent_answer(agent))
    assert outcome.answer and outcome.answer.model_dump() == ANSWERS[agent]


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("field", sorted({field for answer in ANSWERS.values() for field in answer}))
def test_every_field_is_needed(agent: str, field: str) -> None:
    if field in ANSWERS[agent]:
        outcome = _outcome(agent, agent_answer(agent).replace(f'"{field}"', '"other"'))
        assert (outcome.answer, outcome.code) == (None, "invalid")


@pytest.mark.parametrize("agent", sorted(AGENTS.keys() - {"learning"}))
@pytest.mark.parametrize(
    ("symbol", "code"),
    [("Y", "wrong_symbol"), (" x ", "accepted"), ("X/", "accepted"), ("x" * 41, "invalid")],
)
def test_answer_symbol_must_match_the_question(agent: str, symbol: str, code: str) -> None:
    assert _outcome(agent, agent_answer(agent, symbol=symbol)).code == code


@pytest.mark.parametrize(
    ("changes", "refusal", "max_size_pct"),
    [
        ({}, "", 100),
        ({"technical_score_pct": 0}, "", 100),
        ({"thesis": "uncertain"}, "", 60),
        ({"thesis": "uncertain", "technical_score_pct": 100}, "", 100),
        ({"thesis": "refuted", "technical_score_pct": 100}, "refuted", 100),
        ({"volatility": "fail"}, "too_volatile", 100),
        ({"thesis": "refuted", "volatility": "fail"}, "refuted", 60),
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


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"support": 50.0, "resistance": 150.0}, "accepted"),
        ({"support": 49.9}, "implausible"),
        ({"support": -99.0}, "implausible"),
        ({"resistance": 150.1}, "implausible"),
        ({"support": 0.15, "resistance": 0.46}, "implausible"),
        ({"support": 101.0, "resistance": 101.0}, "accepted"),
        ({"support": 101.1, "resistance": 101.0}, "implausible"),
        ({"thesis": "refuted", "support": 0.0}, "implausible"),
        ({"technical_score_pct": 50}, "accepted"),
        ({"technical_score_pct": 49}, "contradiction"),
        ({"technical_score_pct": 49, "thesis": "uncertain"}, "accepted"),
        ({"technical_score_pct": 100, "thesis": "refuted"}, "accepted"),
    ],
    ids=str,
)
def test_finding_with_impossible_levels_or_score_is_refused(changes: Any, code: str) -> None:
    assert _outcome("quant", agent_answer("quant", **changes)).code == code


def test_error_of_a_level_names_the_plausible_prices() -> None:
    outcome = _outcome("quant", agent_answer("quant", support=0.15))
    assert outcome.calls[0].failure == '"support" must be a price from 50 to 150'


@pytest.mark.parametrize(
    ("decision", "text"),
    [
        ("trade", "no_trade"),
        ("trade", ", no_trade"),
        ("trade", "NO TRADE!"),
        ("trade", "no_trade no_trade no_trade"),
        ("trade", "rejected"),
        ("approve", ", no_trade"),
        ("approve", "Reject."),
        ("no_trade", "trade"),
        ("no_trade", '"Trade"'),
        ("reject", "approved"),
    ],
)
def test_reason_that_is_the_opposite_decision_is_a_contradiction(decision: str, text: str) -> None:
    wrong = check_reason(text, decision)
    assert wrong and wrong[0] == "contradiction" and decision in wrong[1]


@pytest.mark.parametrize(
    ("decision", "text"),
    [
        ("trade", "trade"),
        ("trade", "There is no trade against this rise."),
        ("trade", ""),
        ("no_trade", "no_trade"),
        ("no_trade", "No trade: too little movement."),
        ("approve", "approve"),
        ("reject", "A trade would lose its fees."),
    ],
)
def test_reason_that_is_a_sentence_or_the_decision_itself_is_kept(decision: str, text: str) -> None:
    assert check_reason(text, decision) is None


@pytest.mark.parametrize(
    ("agent", "changes"),
    [("director", {"thesis": "no_trade"}), ("risk", {"reason": ", no_trade"})],
)
def test_agent_whose_reason_contradicts_its_decision_is_refused(agent: str, changes: Any) -> None:
    assert _outcome(agent, agent_answer(agent, **changes)).code == "contradiction"


@pytest.mark.parametrize(
    ("agent", "changes", "rule"),
    [
        ("director", {"confidence_pct": "90"}, "number_as_string"),
        ("director", {"decision": "TRADE"}, "literal_spelling"),
        ("director", {"key_levels": ["99.5", 101]}, "number_as_string"),
        ("quant", {"technical_score_pct": "60%"}, "percent_sign"),
        ("quant", {"thesis": "Supported"}, "literal_spelling"),
        ("risk", {"stop_loss_bps": "50"}, "number_as_string"),
        ("execution", {"time_in_force": "IOC"}, "literal_spelling"),
        ("execution", {"symbol": "x"}, "symbol_spelling"),
        ("learning", {"valid_for_minutes": "600"}, "number_as_string"),
    ],
    ids=str,
)
def test_lossless_reading_is_accepted_without_a_second_call(agent: str, changes: Any, rule: str) -> None:
    outcome = _outcome(agent, agent_answer(agent, **changes))
    assert [(call.outcome, call.parse) for call in outcome.calls] == [("accepted", f"direct+{rule}")]

"""The schema that goes out: one symbol, the harmless literal first, lengths that fit the tokens."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autohedge.agents import specs
from autohedge.config.sections import AgentsSettings, ToolsSettings
from autohedge.graph.answer_schemas import request_schema
from autohedge.graph.prompt_builder import PromptBuilder
from autohedge.prompts import load
from tests.graph.team_harness import ANSWERS as GOOD
from tests.run_harness import settings
from tests.snapshot_factory import AGENT_LIMITS, snapshot

AGENTS = sorted(specs.AGENTS)


def _fields(agent: str, max_tokens: int = 300, symbol: str = "BTC/USD") -> dict[str, Any]:
    fields: dict[str, Any] = request_schema(agent, snapshot(symbol=symbol), max_tokens)["properties"]
    return fields


def _longest(fields: dict[str, Any]) -> int:
    """Returns the tokens of the longest answer: a key's letters by four, each character of a value one."""
    return sum(4 + len(name) // 4 + _longest_value(field) for name, field in fields.items())


def _longest_value(field: dict[str, Any]) -> int:
    if "enum" in field:
        return max(map(len, field["enum"]))
    if field["type"] == "array":
        return 12 * int(field["maxItems"])
    return int(field.get("maxLength", 12))


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("symbol", ["BTC/USD", "A-VERY-LONG-PERPETUAL-CONTRACT-240628-USD"])
def test_longest_allowed_answer_fits_the_tokens_of_the_prompt(agent: str, symbol: str) -> None:
    prompt = load(agent)
    assert _longest(_fields(agent, prompt.max_tokens, symbol)) <= prompt.max_tokens


@pytest.mark.parametrize("agent", AGENTS)
@given(st.integers(180, 5000))
def test_lengths_fit_any_limit_and_never_exceed_the_answers_own(agent: str, max_tokens: int) -> None:
    fields = _fields(agent, max_tokens)
    assert _longest(fields) <= max_tokens
    own = specs.AGENTS[agent].answer.model_json_schema()["properties"]
    for name, field in fields.items():
        for bound in ("maxLength", "maxItems"):
            assert field.get(bound, 0) <= own[name].get(bound, field.get(bound, 0))


@pytest.mark.parametrize("agent", AGENTS)
def test_limit_with_room_to_spare_leaves_the_answers_own_lengths(agent: str) -> None:
    own = specs.AGENTS[agent].answer.model_json_schema()["properties"]
    for name, field in _fields(agent, 5000).items():
        for bound in {"maxLength", "maxItems"} & field.keys():
            assert field[bound] == own[name][bound]


@pytest.mark.parametrize("max_tokens", [1, 40, 100])
def test_limit_too_small_for_any_answer_leaves_texts_of_one_character(max_tokens: int) -> None:
    fields = _fields("director", max_tokens)
    assert (fields["thesis"]["maxLength"], fields["key_levels"]["maxItems"]) == (1, 0)


@pytest.mark.parametrize("agent", [agent for agent in AGENTS if "symbol" in GOOD[agent]])
def test_schema_allows_the_requested_symbol_only(agent: str) -> None:
    assert _fields(agent, symbol="WIF-USD")["symbol"] == {"type": "string", "enum": ["WIF-USD"]}


def test_harmless_literal_is_first() -> None:
    first = {
        (agent, name): field["enum"][0]
        for agent in AGENTS
        for name, field in _fields(agent).items()
        if "enum" in field and name != "symbol"
    }
    assert first == {
        ("director", "decision"): "no_trade",
        ("director", "direction"): "short",
        ("quant", "thesis"): "refuted",
        ("quant", "volatility"): "fail",
        ("risk", "decision"): "reject",
        ("execution", "order_type"): "limit",
        ("execution", "time_in_force"): "ioc",
    }


def test_schema_has_the_agents_bounds_and_is_strict() -> None:
    schema = request_schema("risk", snapshot(), 250)
    stop = schema["properties"]["stop_loss_bps"]
    assert (stop["minimum"], stop["maximum"]) == AGENT_LIMITS.stop_losses_bps
    assert schema["required"] == list(schema["properties"]) and schema["additionalProperties"] is False
    assert "title" not in str(schema)


def _builder(*symbols: str) -> PromptBuilder:
    wanted = settings()
    tools: ToolsSettings = wanted.tools
    agents: AgentsSettings = wanted.agents
    return PromptBuilder({"director": load("director")}, tools, agents, markets=dict.fromkeys(symbols, ""))


def test_request_has_the_schema_for_its_own_token_limit() -> None:
    seen = snapshot()
    request = _builder().request("director", seen, ())
    assert request.schema == request_schema("director", seen, request.max_tokens)


@pytest.mark.parametrize(
    ("symbols", "exact"),
    [
        (("BTC/USD", "ETH/USD"), False),
        (("BTC/USD", "BTC/USDT"), False),
        (("BTC/USD", "BTC-USD"), True),
        (("BTC/USD", "btcusd"), True),
    ],
)
def test_symbol_is_exact_where_the_run_has_another_spelled_alike(
    symbols: tuple[str, ...], exact: bool
) -> None:
    assert _builder(*symbols).request("director", snapshot(symbol="BTC/USD"), ()).exact_symbol is exact


def test_directors_thesis_comes_before_its_confidence() -> None:
    names = list(_fields("director"))
    assert names.index("thesis") < names.index("confidence_pct")

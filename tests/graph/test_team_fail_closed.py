"""Each fault of a model or its server, at each agent while the others answer well: no entries, exits work."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autohedge.app import engine_for
from autohedge.core.abstentions import ABSTENTIONS
from autohedge.core.events import Decision, SubmitOrder
from autohedge.graph.prompt_builder import PromptBuilder
from autohedge.llm.backend import LLMBackend, LLMRequest, LLMResponse
from autohedge.llm.backends.chaos import CODES, FAULTS, ChaosBackend
from autohedge.llm.backends.openai_compatible import OpenAICompatible
from autohedge.llm.backends.scripted import ScriptLine
from autohedge.runtime.replay import replay
from tests.graph.hybrid_harness import Ran
from tests.graph.team_harness import AGENTS, ANSWERS, agent_answer, entries, ran, resolved_codes, team
from tests.graph.test_fail_closed import COUNTED_FEW, REPLIES
from tests.llm.imitation_server import Imitation, ReceivedRequest, Reply, completion, json_reply, llama_cpp

pytestmark = pytest.mark.process

SCHEMAS = {frozenset(answer): agent for agent, answer in ANSWERS.items()}


@pytest.fixture(scope="module")
def server() -> Iterator[Imitation]:
    """One server for all tests of this module; each test sets its answers."""
    with llama_cpp() as running:
        yield running


def _agent_of(request: ReceivedRequest) -> str:
    """Returns the agent of a request, by its schema."""
    schema = request.body["response_format"]["json_schema"]["schema"]
    return SCHEMAS[frozenset(schema["properties"])]


def _answered(text: str, **extra: Any) -> Reply:
    return json_reply(completion(text, "stop", None, **extra))


def _model(server: Imitation, ill: str, reply: Reply, *, well: int = 1) -> Callable[[], LLMBackend]:
    """Opens a model whose agents answer well, except `ill` after `well` good answers."""
    agents: list[str] = []

    def page(request: ReceivedRequest) -> Reply:
        agent = _agent_of(request)
        agents.append(agent)
        return reply if agent == ill and agents.count(ill) > well else _answered(agent_answer(agent))

    server.pages["/v1/chat/completions"] = page
    return lambda: OpenAICompatible(server.base_url, "m-1", timeout_s=5.0)


WRONG_CHOICES = {
    "director": {"decision": "buy"},
    "quant": {"thesis": "true"},
    "risk": {"decision": "approved"},
    "execution": {"order_type": "stop"},
}
WRONG_TYPES: dict[str, dict[str, Any]] = {
    "director": {"confidence_pct": True},
    "quant": {"technical_score_pct": "60 or 70"},
    "risk": {"size_pct": "all"},
    "execution": {"offset_bps": False},
    "learning": {"valid_for_minutes": "1,000"},
}
OUT_OF_RANGE: dict[str, dict[str, Any]] = {
    "director": {"confidence_pct": 101},
    "quant": {"technical_score_pct": -1},
    "risk": {"size_pct": 101},
    "execution": {"offset_bps": -1},
    "learning": {"valid_for_minutes": 0},
}


def _spoiled(agent: str, name: str) -> tuple[Reply, str]:
    """Returns a bad reply of test_fail_closed.py in the form of this agent, and its code."""
    reply, code = REPLIES[name]
    match name:
        case "wrong_word":
            reply = _answered(agent_answer(agent, **WRONG_CHOICES[agent]))
        case "wrong_type":
            reply = _answered(agent_answer(agent, **WRONG_TYPES[agent]))
        case "out_of_range":
            reply = _answered(agent_answer(agent, **OUT_OF_RANGE[agent]))
        case "wrong_symbol":
            reply = _answered(agent_answer(agent, symbol="Y"))
        case "prompt_cut":
            reply = json_reply(completion(agent_answer(agent), usage=COUNTED_FEW))
    return reply, code


def _buys_no_more(run: Ran, *codes: str) -> None:
    """Requires one entry, sold at its stop-loss, and that all later proposals end in one of `codes`."""
    assert [order.reason for order in run.events(SubmitOrder)] == ["entry", "stop_loss"]
    assert run.result.open_positions == {}
    assert set(codes) <= ABSTENTIONS.keys()
    first, *others = run.decisions
    assert (first.verdict, first.code) == ("trade", "")
    assert len(others) >= 4
    assert {decision.verdict for decision in others} == {"abstain"}
    assert {decision.code for decision in others} == set(codes)
    assert resolved_codes(run) == ["entry", *(decision.code for decision in others)]
    assert sum(run.deliberations.abstentions.values()) == len(others)
    _recorded(run)


def _recorded(run: Ran) -> None:
    """Requires that each decision names its lines, the last one has its code, and the run replays."""
    lines = {line.hash: line for line in run.transcript}
    for decision in run.decisions:
        assert decision.calls and lines[decision.calls[-1]].outcome == (decision.code or "accepted")
    assert replay(engine_for(run.settings, run.tape), run.tape.rows, iter(run.record)) is None


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("reply", REPLIES)
def test_unusable_reply_of_any_agent_prevents_further_entries(
    reply: str, agent: str, server: Imitation, tmp_path: Path
) -> None:
    sent, code = _spoiled(agent, reply)
    _buys_no_more(ran(_model(server, agent, sent), tmp_path), code)


@pytest.mark.parametrize("agent", AGENTS)
def test_an_agent_that_takes_too_long_is_a_timeout(agent: str, tmp_path: Path) -> None:
    lines = [ScriptLine(agent_answer(agent), agent=agent), *[ScriptLine(failure="timeout", agent=agent)] * 50]
    _buys_no_more(ran(team(**{agent: lines}), tmp_path), "timeout")


@pytest.mark.parametrize("agent", AGENTS)
def test_unreachable_agent_prevents_further_entries(agent: str, tmp_path: Path) -> None:
    lines = [
        ScriptLine(agent_answer(agent), agent=agent),
        *[ScriptLine(failure="unreachable", agent=agent)] * 50,
    ]
    _buys_no_more(ran(team(**{agent: lines}), tmp_path), "unreachable")


@pytest.mark.parametrize("agent", AGENTS)
def test_agent_without_prompt_is_a_node_error(agent: str, tmp_path: Path) -> None:
    def without(builder: PromptBuilder) -> PromptBuilder:
        return replace(builder, prompts={k: v for k, v in builder.prompts.items() if k != agent})

    run = ran(team(), tmp_path, change_builder=without)
    assert run.codes == set(resolved_codes(run)) == {"node_error"}
    assert run.events(SubmitOrder) == []


class Ill:
    """A backend that fails for one agent after its first answer."""

    name = model = server = "ill"

    def __init__(self, agent: str, good: LLMBackend, bad: LLMBackend) -> None:
        self._agent, self._good, self._bad = agent, good, bad
        self._request_count = 0

    async def complete(self, request: LLMRequest) -> LLMResponse:
        self._request_count += request.agent == self._agent
        spoils = request.agent == self._agent and self._request_count > 1
        return await (self._bad if spoils else self._good).complete(request)

    async def close(self) -> None:
        await self._good.close()


class Wild:
    """A backend that raises other exceptions than LLMError."""

    name = model = server = "wild"

    async def complete(self, request: LLMRequest) -> LLMResponse:
        raise ZeroDivisionError

    async def close(self) -> None:
        """Does nothing."""


@pytest.mark.parametrize("agent", AGENTS)
def test_backend_exception_at_one_agent_prevents_further_entries(agent: str, tmp_path: Path) -> None:
    _buys_no_more(ran(lambda: Ill(agent, team()(), Wild()), tmp_path), "backend_error")


@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("corruption", [fault for fault in FAULTS if fault not in CODES])
def test_chaos_at_one_agent_is_tolerated_or_prevents_entries(
    corruption: str, agent: str, tmp_path: Path
) -> None:
    rests = {"order_type": "limit", "offset_bps": 1, "time_in_force": "gtc"}
    run = ran(
        lambda: Ill(
            agent, team()(), ChaosBackend(team(execution=rests)(), "n", share=1.0, faults=[corruption])
        ),
        tmp_path,
    )
    if corruption in {"fenced", "thinking"}:
        assert run.deliberations.abstentions == {}
        assert len(entries(run)) >= 2
    else:
        _buys_no_more(run, *{decision.code for decision in run.decisions[1:]})


# answers that are implausible, contradict themselves, or lie outside the agents' bounds

NONSENSE: dict[str, tuple[str, dict[str, Any], str]] = {
    "a_support_far_below": ("quant", {"support": 0.15}, "implausible"),
    "a_resistance_far_below": ("quant", {"support": 0.15, "resistance": 0.46}, "implausible"),
    "a_resistance_far_above": ("quant", {"resistance": 1e6}, "implausible"),
    "levels_in_wrong_order": ("quant", {"support": 101.5, "resistance": 99.0}, "implausible"),
    "a_low_score": ("quant", {"technical_score_pct": 49}, "contradiction"),
    "a_thesis_of_no_trade": ("director", {"thesis": "no_trade"}, "contradiction"),
    "an_approval_of_no_trade": ("risk", {"reason": ", no_trade"}, "contradiction"),
    "an_approval_of_reject": ("risk", {"reason": "Rejected."}, "contradiction"),
}


@pytest.mark.parametrize("case", NONSENSE)
def test_nonsense_answer_prevents_further_entries(case: str, tmp_path: Path) -> None:
    agent, changes, code = NONSENSE[case]
    turns: list[Any] = [{}, *[changes] * 50]
    _buys_no_more(ran(team(**{agent: turns}), tmp_path), code)


OUT_OF_BOUNDS: dict[str, tuple[str, dict[str, Any], str]] = {
    "a_stop_too_near": ("risk", {"stop_loss_bps": 9}, "out_of_bounds"),
    "a_stop_too_far": ("risk", {"stop_loss_bps": 51}, "out_of_bounds"),
    "a_stop_without_end": ("risk", {"stop_loss_bps": 100_000}, "out_of_bounds"),
    "a_gain_too_small": ("risk", {"take_profit_bps": 14}, "out_of_bounds"),
    "a_gain_too_large": ("risk", {"take_profit_bps": 401}, "out_of_bounds"),
    "too_little_reward": ("risk", {"take_profit_bps": 74}, "reward_to_risk"),
    "an_offset_too_far": ("execution", {"order_type": "limit", "offset_bps": 21}, "out_of_bounds"),
}


@pytest.mark.parametrize("case", OUT_OF_BOUNDS)
def test_answer_outside_agent_bounds_prevents_further_entries(case: str, tmp_path: Path) -> None:
    agent, changes, code = OUT_OF_BOUNDS[case]
    turns: list[Any] = [{}, *[changes] * 50]
    _buys_no_more(ran(team(**{agent: turns}), tmp_path), code)


def test_answer_outside_bounds_is_sent_back_once_and_repair_counts(tmp_path: Path) -> None:
    turns: list[Any] = [{"stop_loss_bps": 51}, {}]
    run = ran(team(risk=turns), tmp_path)
    assert resolved_codes(run)[0] == "entry"
    repair = next(line.request for line in run.transcript if line.outcome == "repaired")
    assert repair and '"stop_loss_bps" must be from 10 to 50' in repair.messages[-1].content


# deadlines and budgets


def test_the_deadline_is_that_of_all_agents_together(tmp_path: Path) -> None:
    run = ran(team(), tmp_path, hybrid__deadline_s=3, llm__virtual_latency_s=1)
    assert set(resolved_codes(run)) == {"timeout"}
    assert run.events(SubmitOrder) == []
    assert run.deliberations.late >= 3


@pytest.mark.parametrize(("calls", "agents"), [(1, 1), (2, 2), (3, 3)])
def test_call_budget_spent_between_agents_sends_no_order(calls: int, agents: int, tmp_path: Path) -> None:
    run = ran(team(), tmp_path, llm__max_calls=calls)
    assert run.codes == {"budget"} and run.events(SubmitOrder) == []
    answered = [line.agent for line in run.transcript if line.request and line.response]
    assert answered == list(AGENTS[:agents])


def test_repeated_server_errors_open_breaker_and_no_order_is_sent(tmp_path: Path) -> None:
    down = [ScriptLine(failure="server_error", agent="risk")]
    run = ran(team(risk=down), tmp_path, llm__breaker_failures=1)
    assert run.codes == {"server_error", "breaker_open"} and run.events(SubmitOrder) == []


# the Learning agent


LESSON_FAULTS = sorted(REPLIES.keys() - {"wrong_word", "wrong_symbol"})


@pytest.mark.parametrize("reply", LESSON_FAULTS)
def test_a_lesson_that_cannot_be_read_is_none_and_stops_no_trade(
    reply: str, server: Imitation, tmp_path: Path
) -> None:
    sent, code = _spoiled("learning", reply)
    changes: dict[str, Any] = {"hybrid__learn_every_trades": 1, "llm__min_interval_s": 10}
    run = ran(_model(server, "learning", sent, well=0), tmp_path, **changes)
    taught = [event for event in run.events(Decision) if event.kind == "learning"]
    assert taught and {(each.verdict, each.code) for each in taught} == {("abstain", code)}
    assert run.deliberations.lessons == 0
    assert len(entries(run)) >= 3
    prompts = [line.request.messages[1].content for line in run.transcript if line.request]
    lesson = json.dumps(ANSWERS["learning"]["lesson"])
    assert not any(lesson in prompt for prompt in prompts)
    assert replay(engine_for(run.settings, run.tape), run.tape.rows, iter(run.record)) is None

"""Requests carry what the settings say about their answers."""

import pytest

from autohedge.agents.specs import AGENTS
from autohedge.graph.prompt_builder import PromptBuilder, PromptFiles
from autohedge.llm.backend import LLMRequest
from tests.run_harness import settings
from tests.snapshot_factory import rows, snapshot

pytestmark = pytest.mark.usefixtures("workplace")


def _requests(**changed: object) -> dict[str, LLMRequest]:
    made = settings(**changed)
    builder = PromptBuilder.of(PromptFiles.of(made), made.tools, made.resolved_agents)
    return {
        agent: builder.request(agent, snapshot(rows([100.0] * 50)), ()) for agent in ("director", "learning")
    }


def test_longest_answer_of_the_settings_replaces_that_of_the_prompt() -> None:
    requests = _requests(llm__max_answer_tokens=1500, agents__learning__max_answer_tokens=700)
    assert (requests["director"].max_tokens, requests["learning"].max_tokens) == (1500, 700)
    assert {request.max_tokens for request in _requests().values()} == {300}


def test_reasoning_and_body_of_the_settings_go_into_requests() -> None:
    requests = _requests(llm__reasoning="high", agents__learning__reasoning="off", llm__keep_alive="5m")
    assert [request.reasoning for request in requests.values()] == ["high", "off"]
    assert {request.keep_alive for request in requests.values()} == {"5m"}
    assert set(AGENTS) > requests.keys()

"""The table of agents: what each answers, when an answer is rejected, and its effect on the deliberation."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from autohedge.agents import execution, risk
from autohedge.agents.director import Verdict, check_verdict
from autohedge.agents.execution import Placement, check_placement
from autohedge.agents.learning import LessonAnswer
from autohedge.agents.quant import Finding, check_finding
from autohedge.agents.risk import Assessment, check_assessment
from autohedge.agents.state import (
    Asked,
    DeliberationState,
    after_director,
    after_execution,
    after_learning,
    after_quant,
    after_risk,
)
from autohedge.core.snapshots import AgentLimits, Snapshot
from autohedge.llm.backend import LLMRequest
from autohedge.llm.client import LLMClient
from autohedge.llm.outcome import Outcome, Priority


@dataclass(frozen=True, slots=True)
class AgentSpec:
    """One agent: its answer type, its priority in the queue, and the effect of an outcome.

    `check` returns the error of an answer as code and text, or None. `ranges` returns the bounds of each
    number for the schema of a request; some servers enforce them.
    """

    name: str
    answer: type[BaseModel]
    priority: Priority
    effect: Callable[[DeliberationState, Outcome[Any], Asked], DeliberationState]
    check: Callable[[Any, Snapshot], tuple[str, str] | None] = lambda _answer, _snapshot: None
    ranges: Callable[[AgentLimits], dict[str, tuple[int, int]]] = lambda _: {}

    async def ask(
        self, snapshot: Snapshot, request: LLMRequest, client: LLMClient, deadline_s: float | None = None
    ) -> Outcome[Any]:
        """Returns an answer about a snapshot that passes all checks, or the code of why there is none."""
        return await client.ask(
            request,
            self.answer,
            lane=self.priority,
            # A newer request under the same key replaces one that still waits in the queue.
            key=(snapshot.symbol, self.name),
            deadline_s=deadline_s,
            check=lambda answer: self.check(answer, snapshot),
        )


DIRECTOR = AgentSpec("director", Verdict, "gate", after_director, check_verdict)
QUANT = AgentSpec("quant", Finding, "continuation", after_quant, check_finding)
RISK = AgentSpec("risk", Assessment, "continuation", after_risk, check_assessment, risk.ranges)
EXECUTION = AgentSpec(
    "execution", Placement, "continuation", after_execution, check_placement, execution.ranges
)
LEARNING = AgentSpec("learning", LessonAnswer, "learning", after_learning)

TEAM = (DIRECTOR, QUANT, RISK, EXECUTION)
"""The agents that decide about a trade, in the order in which they are asked."""
AGENTS = {spec.name: spec for spec in (*TEAM, LEARNING)}

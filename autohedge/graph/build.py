"""The graph: the order of the agents, and the handling of a node that fails.

START ─► fast_path ──(bypass, a cached verdict)──► END      START ─► learning ─► END
             └─► director ──(no, or only a gate)──► END
                     └─► quant ──(no)──► END
                             └─► risk ──(no)──► END
                                     └─► execution ─► END
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypedDict

from autohedge.agents import director, execution, learning, quant, risk
from autohedge.agents.director import Verdict
from autohedge.agents.voting import majority
from autohedge.core.snapshots import Snapshot
from autohedge.graph.fast_path import Bypass, bypass
from autohedge.graph.prompt_builder import PromptBuilder
from autohedge.graph.state import (
    DeliberationState,
    after_director,
    after_execution,
    after_learning,
    after_quant,
    after_risk,
)
from autohedge.graph.verdict_keys import SingleFlight, verdict_key
from autohedge.llm.backend import LLMRequest
from autohedge.llm.backends import tracing
from autohedge.llm.cache.memory import CachedVerdict
from autohedge.llm.client import DEADLINE, LLMClient
from autohedge.llm.outcome import Outcome
from autohedge.tools.claims import Claim, claims, implausible_levels, unsupported
from autohedge.tools.lessons import Lesson


class State(TypedDict, total=False):
    """The state of one deliberation.

    The input is `snapshot`, `lessons` and `until`, the deadline in seconds of the client's clock. The result
    is one of `bypass`, `cached_verdict`, `trail` and `failure`.
    """

    snapshot: Snapshot
    lessons: Sequence[Lesson]
    until: float
    bypass: Bypass
    cached_verdict: CachedVerdict
    trail: DeliberationState
    failure: str


@dataclass(frozen=True, slots=True)
class NodeContext:
    """The objects that nodes use and no answer can change; `flight` belongs to this deliberation."""

    client: LLMClient
    prompt_builder: PromptBuilder
    model: str = ""
    flight: SingleFlight = field(default_factory=SingleFlight)

    async def cached_verdict(self, state: State) -> CachedVerdict | None:
        """Returns a valid cached verdict for the snapshot, or None."""
        snapshot, prompt_builder = state["snapshot"], self.prompt_builder
        if self.flight.verdicts is None:
            return None
        prompt, market = (
            prompt_builder.prompts[director.NAME],
            prompt_builder.markets.get(snapshot.symbol, ""),
        )
        key = verdict_key(snapshot, prompt, prompt_builder.agents, self.model, market)
        return await self.flight.get(key, snapshot.at_ns, self.left_s(state))

    def request(self, agent: str, state: State) -> LLMRequest:
        """Renders an agent's request, including the answers of earlier agents."""
        trail = state.get("trail", DeliberationState())
        return self.prompt_builder.request(agent, state["snapshot"], state["lessons"], trail.colleagues)

    def checked(
        self, verdict: Verdict | None, request: LLMRequest, snapshot: Snapshot
    ) -> tuple[list[Claim], tuple[str, ...]]:
        """Returns the claims of a thesis, and those that neither the data nor the prompt support.

        The Director chooses confidence and horizon itself, so these count as supported; its price levels do
        not.
        """
        if verdict is None:
            return [], ()
        own = f"{verdict.confidence_pct}% {verdict.horizon_minutes}"
        shown = (request.messages[-1].content, own)
        return claims(verdict.thesis), unsupported(
            verdict.thesis, snapshot, self.prompt_builder.tools.table_rows, shown
        )

    def left_s(self, state: State) -> float:
        """Returns the time that is left for an answer, in seconds."""
        return state["until"] - self.client.now()


def build() -> Any:
    """Returns the compiled graph; importing LangGraph takes half a second."""
    tracing.disable_tracing()
    from langgraph.errors import NodeError
    from langgraph.graph import END, START, StateGraph
    from langgraph.runtime import Runtime
    from langgraph.types import Command

    async def fast_path(state: State, runtime: Runtime[NodeContext]) -> Any:
        if found := bypass(state["snapshot"]):
            return Command(goto=END, update={"bypass": found})
        if cached := await runtime.context.cached_verdict(state):
            return Command(goto=END, update={"cached_verdict": cached})
        return Command(goto="director")

    def agent_node(node_function: "NodeFunction", after: str) -> Any:
        async def node(state: State, runtime: Runtime[NodeContext]) -> Any:
            trail = await node_function(runtime.context, state)
            # One rule for all agents: no node can skip or repeat another.
            goes_on = trail.continues(state["snapshot"])
            return Command(goto=after if goes_on else END, update={"trail": trail})

        return node

    async def fallback(state: State, error: NodeError) -> State:
        """Turns any exception of a node into a failure, so that the deliberation decides nothing."""
        return {"failure": f"{type(error.error).__name__}: {error.error}"}

    graph: Any = StateGraph(State, context_schema=NodeContext)
    graph.add_node("fast_path", fast_path, destinations=(director.NAME, END), error_handler=fallback)
    for agent, (node_function, after) in AGENTS.items():
        ways = (after,) if after == END else (after, END)
        graph.add_node(agent, agent_node(node_function, after), destinations=ways, error_handler=fallback)
    graph.add_conditional_edges(START, _first, ["fast_path", "learning"])
    return graph.compile()


async def _first(state: State) -> str:
    """Returns the first node for a snapshot."""
    # Async, since LangGraph runs a plain function in a thread, which takes longer than a node.
    return "learning" if state["snapshot"].kind == "learning" else "fast_path"


async def director_node(context: NodeContext, state: State) -> DeliberationState:
    """Asks the Director for `samples` answers, fewer if the deadline passes, and takes the majority."""
    terms, snapshot = context.prompt_builder.agents.director, state["snapshot"]
    request = context.request(director.NAME, state)
    samples: list[Outcome[Verdict]] = []
    while len(samples) < terms.samples and not (samples and samples[-1].code == DEADLINE):
        outcome = await director.ask(snapshot, request, context.client, context.left_s(state))
        samples.append(outcome)
    outcome, agreement_pct = majority(samples, terms.samples)
    cited, unsupported = context.checked(outcome.answer, request, state["snapshot"])
    trail = after_director(
        DeliberationState(), outcome, agreement_pct, cited, unsupported, terms.min_confidence_pct
    )
    levels = outcome.answer.key_levels if outcome.answer else ()
    return replace(trail, implausible_levels=implausible_levels(levels, snapshot))


async def quant_node(context: NodeContext, state: State) -> DeliberationState:
    """Asks the Quant about the Director's thesis."""
    request, left_s = context.request(quant.NAME, state), context.left_s(state)
    return after_quant(state["trail"], await quant.ask(state["snapshot"], request, context.client, left_s))


async def risk_node(context: NodeContext, state: State) -> DeliberationState:
    """Asks Risk for size and exits."""
    request, left_s = context.request(risk.NAME, state), context.left_s(state)
    return after_risk(state["trail"], await risk.ask(state["snapshot"], request, context.client, left_s))


async def execution_node(context: NodeContext, state: State) -> DeliberationState:
    """Asks Execution for limit and time in force."""
    request, left_s = context.request(execution.NAME, state), context.left_s(state)
    return after_execution(
        state["trail"], await execution.ask(state["snapshot"], request, context.client, left_s)
    )


async def learning_node(context: NodeContext, state: State) -> DeliberationState:
    """Asks Learning for a lesson from closed trades."""
    request, left_s = context.request(learning.NAME, state), context.left_s(state)
    return after_learning(
        DeliberationState(), await learning.ask(state["snapshot"], request, context.client, left_s)
    )


NodeFunction = Callable[[NodeContext, State], Awaitable[DeliberationState]]
AGENTS: dict[str, tuple[NodeFunction, str]] = {
    director.NAME: (director_node, quant.NAME),
    quant.NAME: (quant_node, risk.NAME),
    risk.NAME: (risk_node, execution.NAME),
    execution.NAME: (execution_node, "__end__"),
    learning.NAME: (learning_node, "__end__"),
}
"""The node function of each agent, and the node that follows it if the deliberation continues."""


def mermaid() -> str:
    """Returns the graph as Mermaid text."""
    drawn: str = build().get_graph().draw_mermaid()
    return drawn

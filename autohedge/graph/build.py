"""The graph: the order of the agents, and the handling of a node that fails.

START ─► director ──(no, or only a gate)──► END      START ─► learning ─► END
            └─► quant ──(no)──► END
                    └─► risk ──(no)──► END
                            └─► execution ─► END
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypedDict

from autohedge.agents.specs import AGENTS, DIRECTOR, LEARNING, TEAM, AgentSpec
from autohedge.agents.state import Asked, DeliberationState
from autohedge.agents.voting import majority
from autohedge.core.snapshots import Snapshot
from autohedge.graph.prompt_builder import PromptBuilder
from autohedge.llm.backends import tracing
from autohedge.llm.client import LLMClient
from autohedge.llm.outcome import Outcome
from autohedge.llm.senders import DEADLINE
from autohedge.tools.lessons import Lesson


class State(TypedDict, total=False):
    """The state of one deliberation.

    The input is `snapshot`, `lessons` and `until`, the deadline in seconds of the client's clock. The result
    is `trail`, and `failure` if a node failed.
    """

    snapshot: Snapshot
    lessons: Sequence[Lesson]
    until: float
    trail: DeliberationState
    failure: str


@dataclass(frozen=True, slots=True)
class NodeContext:
    """The objects that nodes use and no answer can change."""

    client: LLMClient
    prompt_builder: PromptBuilder


def build() -> Any:
    """Returns the compiled graph; importing LangGraph takes half a second."""
    tracing.disable_tracing()
    from langgraph.errors import NodeError
    from langgraph.graph import END, START, StateGraph
    from langgraph.runtime import Runtime
    from langgraph.types import Command

    def agent_node(spec: AgentSpec, after: str) -> Any:
        async def node(state: State, runtime: Runtime[NodeContext]) -> Any:
            trail = await run_agent(spec, runtime.context, state)
            # One rule for all agents: no node can skip or repeat another.
            goes_on = trail.continues(state["snapshot"])
            return Command(goto=after if goes_on else END, update={"trail": trail})

        return node

    async def fallback(state: State, error: NodeError) -> State:
        """Turns any exception of a node into a failure, so that the deliberation decides nothing."""
        return {"failure": f"{type(error.error).__name__}: {error.error}"}

    graph: Any = StateGraph(State, context_schema=NodeContext)
    next_agent = {spec.name: following.name for spec, following in pairwise(TEAM)}
    for spec in AGENTS.values():
        after = next_agent.get(spec.name, END)
        ways = (after,) if after == END else (after, END)
        graph.add_node(spec.name, agent_node(spec, after), destinations=ways, error_handler=fallback)
    graph.add_conditional_edges(START, _first, [DIRECTOR.name, LEARNING.name])
    return graph.compile()


async def _first(state: State) -> str:
    """Returns the first node for a snapshot."""
    # Async, since LangGraph runs a plain function in a thread, which takes longer than a node.
    return LEARNING.name if state["snapshot"].kind == "learning" else DIRECTOR.name


async def run_agent(spec: AgentSpec, context: NodeContext, state: State) -> DeliberationState:
    """Asks an agent about the snapshot and the answers so far, and adds its answer to them.

    The Director is asked for `samples` answers, fewer if the deadline passes, and the majority counts.
    """
    snapshot, trail = state["snapshot"], state.get("trail", DeliberationState())
    builder, client = context.prompt_builder, context.client
    request = builder.request(spec.name, snapshot, state["lessons"], trail.colleagues)
    terms = builder.agents.director
    wanted = terms.samples if spec is DIRECTOR else 1
    samples: list[Outcome[Any]] = []
    while len(samples) < wanted and not (samples and samples[-1].code == DEADLINE):
        samples.append(await spec.ask(snapshot, request, client, state["until"] - client.now()))
    outcome, agreement_pct = majority(samples, wanted)
    shown, rows = request.messages[-1].content, builder.tools.table_rows
    return spec.effect(trail, outcome, Asked(snapshot, shown, rows, terms.min_confidence_pct, agreement_pct))


def mermaid() -> str:
    """Returns the graph as Mermaid text."""
    drawn: str = build().get_graph().draw_mermaid()
    return drawn

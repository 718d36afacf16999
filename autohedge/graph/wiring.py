"""The graph: which agent is asked after which, and what happens when a node fails.

START ─► fast_path ──(bypass)──► END        START ─► learning ─► END
             └─► director ─► END
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

from autohedge.agents import director, learning
from autohedge.core.snapshots import Snapshot
from autohedge.graph.fast_path import Bypass, bypass
from autohedge.graph.materials import Materials
from autohedge.llm import tracing
from autohedge.llm.asking import Asker
from autohedge.llm.outcome import Outcome
from autohedge.tools.lessons import Lesson


class State(TypedDict, total=False):
    """One deliberation: a snapshot goes in; a bypass, an outcome or a failure comes out."""

    snapshot: Snapshot
    lessons: Sequence[Lesson]
    bypass: Bypass
    outcome: Outcome[Any]
    failure: str


@dataclass(frozen=True, slots=True)
class Context:
    """What nodes use, and no answer can change; the engine waits for one no longer than `deadline_s`."""

    asker: Asker
    materials: Materials
    deadline_s: float | None = None


def build() -> Any:
    """The compiled graph. Imports LangGraph, which takes half a second."""
    tracing.turn_off()
    from langgraph.errors import NodeError
    from langgraph.graph import END, START, StateGraph
    from langgraph.runtime import Runtime
    from langgraph.types import Command

    async def fast_path(state: State, runtime: Runtime[Context]) -> Command[Literal["director", "__end__"]]:
        found = bypass(state["snapshot"])
        if found is None:
            return Command(goto="director")
        return Command(goto="__end__", update={"bypass": found})

    async def ask_director(state: State, runtime: Runtime[Context]) -> State:
        context, snapshot = runtime.context, state["snapshot"]
        request = context.materials.request(director.NAME, snapshot, state["lessons"])
        return {"outcome": await director.judge(snapshot, request, context.asker, context.deadline_s)}

    async def ask_learning(state: State, runtime: Runtime[Context]) -> State:
        context, snapshot = runtime.context, state["snapshot"]
        request = context.materials.request(learning.NAME, snapshot, state["lessons"])
        return {"outcome": await learning.learn(snapshot, request, context.asker, context.deadline_s)}

    async def fallback(state: State, error: NodeError) -> State:
        """Whatever a node raised: nothing is decided, and the engine's gate shuts."""
        return {"failure": f"{type(error.error).__name__}: {error.error}"}

    graph: Any = StateGraph(State, context_schema=Context)
    graph.add_node("fast_path", fast_path, error_handler=fallback)
    graph.add_node("director", ask_director, error_handler=fallback)
    graph.add_node("learning", ask_learning, error_handler=fallback)
    graph.add_conditional_edges(START, _first, ["fast_path", "learning"])
    graph.add_edge("director", END)
    graph.add_edge("learning", END)
    return graph.compile()


async def _first(state: State) -> str:
    """Asynchronous, for LangGraph would hand a plain function to a thread, which takes longer than a node."""
    return "learning" if state["snapshot"].kind == "learning" else "fast_path"


def mermaid() -> str:
    """The graph as Mermaid text."""
    drawn: str = build().get_graph().draw_mermaid()
    return drawn

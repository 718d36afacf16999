"""The graph: which agent is asked after which, and what happens when a node fails.

START ─► fast_path ──(bypass, a kept verdict)──► END        START ─► learning ─► END
             └─► director ──(no, or a gate question)──► END
                     └─► quant ──(no)──► END
                             └─► risk ──(no)──► END
                                     └─► execution ─► END
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict

from autohedge.agents import director, execution, learning, quant, risk
from autohedge.agents.director import Verdict
from autohedge.agents.quorum import agreed
from autohedge.core.snapshots import Snapshot
from autohedge.graph.fast_path import Bypass, bypass
from autohedge.graph.keeping import Flight, key_of
from autohedge.graph.materials import Materials
from autohedge.graph.trail import Trail, assessed, judged, learned, placed, tested
from autohedge.llm import tracing
from autohedge.llm.asking import LATE, Asker
from autohedge.llm.backend import Request
from autohedge.llm.outcome import Outcome
from autohedge.llm.verdicts import Kept
from autohedge.tools.claims import Claim, claims, unsupported
from autohedge.tools.lessons import Lesson


class State(TypedDict, total=False):
    """One deliberation: a snapshot goes in; a bypass, a kept verdict, a trail or a failure comes out.

    Nobody waits for an answer beyond `until`, in seconds of the asker's clock.
    """

    snapshot: Snapshot
    lessons: Sequence[Lesson]
    until: float
    bypass: Bypass
    kept: Kept
    trail: Trail
    failure: str


@dataclass(frozen=True, slots=True)
class Context:
    """What nodes use, and no answer can change; `flight` is this deliberation's own."""

    asker: Asker
    materials: Materials
    model: str = ""
    flight: Flight = field(default_factory=Flight)

    async def kept(self, state: State) -> Kept | None:
        """A verdict about such a question that still holds."""
        snapshot, materials = state["snapshot"], self.materials
        if self.flight.verdicts is None:
            return None
        prompt, market = materials.prompts[director.NAME], materials.markets.get(snapshot.symbol, "")
        key = key_of(snapshot, prompt, materials.agents, self.model, market)
        return await self.flight.find(key, snapshot.at_ns, self.left_s(state))

    def request(self, agent: str, state: State) -> Request:
        """What an agent is asked, after what others said."""
        trail = state.get("trail", Trail())
        return self.materials.request(agent, state["snapshot"], state["lessons"], trail.colleagues)

    def checked(
        self, verdict: Verdict | None, request: Request, snapshot: Snapshot
    ) -> tuple[list[Claim], tuple[str, ...]]:
        """The figures that a thesis cites, and those that are neither in the data nor in what the prompt shows.

        Confidence and horizon are the Director's to choose; a level is not.
        """
        if verdict is None:
            return [], ()
        own = f"{verdict.confidence_pct}% {verdict.horizon_minutes}"
        shown = (request.messages[-1].content, own)
        return claims(verdict.thesis), unsupported(
            verdict.thesis, snapshot, self.materials.tools.table_rows, shown
        )

    def left_s(self, state: State) -> float:
        """How long an answer may still take."""
        return state["until"] - self.asker.now()


def build() -> Any:
    """The compiled graph. Imports LangGraph, which takes half a second."""
    tracing.turn_off()
    from langgraph.errors import NodeError
    from langgraph.graph import END, START, StateGraph
    from langgraph.runtime import Runtime
    from langgraph.types import Command

    async def fast_path(state: State, runtime: Runtime[Context]) -> Any:
        if found := bypass(state["snapshot"]):
            return Command(goto=END, update={"bypass": found})
        if kept := await runtime.context.kept(state):
            return Command(goto=END, update={"kept": kept})
        return Command(goto="director")

    def asks(heard: "Heard", after: str) -> Any:
        async def node(state: State, runtime: Runtime[Context]) -> Any:
            trail = await heard(runtime.context, state)
            goes_on = trail.goes_on(state["snapshot"])
            return Command(goto=after if goes_on else END, update={"trail": trail})

        return node

    async def fallback(state: State, error: NodeError) -> State:
        """Whatever a node raised: nothing is decided, and nothing is bought."""
        return {"failure": f"{type(error.error).__name__}: {error.error}"}

    graph: Any = StateGraph(State, context_schema=Context)
    graph.add_node("fast_path", fast_path, destinations=(director.NAME, END), error_handler=fallback)
    for agent, (heard, after) in AGENTS.items():
        ways = (after,) if after == END else (after, END)
        graph.add_node(agent, asks(heard, after), destinations=ways, error_handler=fallback)
    graph.add_conditional_edges(START, _first, ["fast_path", "learning"])
    return graph.compile()


async def _first(state: State) -> str:
    """Asynchronous, for LangGraph would hand a plain function to a thread, which takes longer than a node."""
    return "learning" if state["snapshot"].kind == "learning" else "fast_path"


async def heard_director(context: Context, state: State) -> Trail:
    """The Director's word, as often as it is wanted; nobody is asked again once the time is over."""
    terms, snapshot = context.materials.agents.director, state["snapshot"]
    request = context.request(director.NAME, state)
    samples: list[Outcome[Verdict]] = []
    while len(samples) < terms.samples and not (samples and samples[-1].code == LATE):
        outcome = await director.judge(snapshot, request, context.asker, context.left_s(state))
        samples.append(outcome)
    outcome, agreement_pct = agreed(samples, terms.samples)
    cited, unsupported = context.checked(outcome.answer, request, state["snapshot"])
    return judged(Trail(), outcome, agreement_pct, cited, unsupported, terms.min_confidence_pct)


async def heard_quant(context: Context, state: State) -> Trail:
    """The Quant's word on the Director's thesis."""
    request, left_s = context.request(quant.NAME, state), context.left_s(state)
    return tested(state["trail"], await quant.weigh(state["snapshot"], request, context.asker, left_s))


async def heard_risk(context: Context, state: State) -> Trail:
    """Risk's word on size and exits."""
    request, left_s = context.request(risk.NAME, state), context.left_s(state)
    return assessed(state["trail"], await risk.assess(state["snapshot"], request, context.asker, left_s))


async def heard_execution(context: Context, state: State) -> Trail:
    """Execution's word on limit and time in force."""
    request, left_s = context.request(execution.NAME, state), context.left_s(state)
    return placed(state["trail"], await execution.place(state["snapshot"], request, context.asker, left_s))


async def heard_learning(context: Context, state: State) -> Trail:
    """What closed trades taught."""
    request, left_s = context.request(learning.NAME, state), context.left_s(state)
    return learned(Trail(), await learning.learn(state["snapshot"], request, context.asker, left_s))


Heard = Callable[[Context, State], Awaitable[Trail]]
AGENTS: dict[str, tuple[Heard, str]] = {
    director.NAME: (heard_director, quant.NAME),
    quant.NAME: (heard_quant, risk.NAME),
    risk.NAME: (heard_risk, execution.NAME),
    execution.NAME: (heard_execution, "__end__"),
    learning.NAME: (heard_learning, "__end__"),
}
"""Who is asked how, and who after that if there is still something to ask."""


def mermaid() -> str:
    """The graph as Mermaid text."""
    drawn: str = build().get_graph().draw_mermaid()
    return drawn

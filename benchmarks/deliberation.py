"""Rows `deliberation`, `bypass` and `model call`: the overhead of the agents runtime, models apart."""

import asyncio
import gc
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import closing
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import msgspec

from autohedge.agents.specs import AGENTS
from autohedge.config import Settings
from autohedge.core.events import DeliberationRequested
from autohedge.core.snapshots import AgentLimits, PositionView, QuoteRow, Snapshot
from autohedge.core.units import NS_PER_S
from autohedge.graph.build import NodeContext, State
from autohedge.graph.prompt_builder import PromptBuilder, PromptFiles
from autohedge.graph.runner import DeliberationResult, GraphRunner
from autohedge.graph.service import DeliberationService
from autohedge.llm.backend import LLMRequest
from autohedge.llm.backends import tracing
from autohedge.llm.backends.openai_compatible import OpenAICompatible
from autohedge.llm.backends.scripted import ScriptedBackend
from autohedge.llm.cache.memory import CachedVerdict, MemoryVerdictCache
from autohedge.llm.client import LLMClient
from autohedge.llm.senders import ServerSender
from autohedge.llm.transcript import Transcript, lines_of
from benchmarks import session
from benchmarks.process import surroundings
from benchmarks.row import Row, Spent
from benchmarks.row import Timed as Times

DELIBERATION_BOUND_MS, BYPASS_BOUND_MS, CALL_BOUND_MS = 5.0, 0.3, 4.0
QUOTES, SYMBOL, START_NS = 50, "BTC/USD", 1_700_000_000 * NS_PER_S
ROUNDS, EACH = 25, 12
ANSWER = msgspec.json.encode(
    {
        "decision": "trade",
        "symbol": SYMBOL,
        "direction": "long",
        "confidence_pct": 62,
        "thesis": "The mid rose in most of the last fifty quotes, by more than the spread.",
        "key_levels": [64_000.5, 64_020.25],
        "horizon_minutes": 15,
    }
).decode()

Action = Callable[[], Awaitable[object]]
Durations = dict[str, Times]


def deliberations(quotes: int) -> list[Row]:
    """Measures one deliberation, from question to transcript line, with a backend that answers at once."""
    own, wall = asyncio.run(_deliberations())
    whole, graph = own["whole"], own["graph"]
    note = (
        f"processor time; LangGraph's own part {graph.median * 1e3:.2f} ms (least {graph.least * 1e3:.2f}); "
        f"wall {wall['whole'].median * 1e3:.2f} (least {wall['whole'].least * 1e3:.2f})"
    )
    return [_row("deliberation", DELIBERATION_BOUND_MS, whole, note)]


def bypasses(quotes: int) -> list[Row]:
    """Measures questions that a bypass or a cached verdict answers."""
    own, wall = asyncio.run(_bypasses())
    return [
        _row(name, BYPASS_BOUND_MS, times, f"processor time; wall {wall[name].median * 1e3:.3f} ms")
        for name, times in own.items()
    ]


def calls(quotes: int) -> list[Row]:
    """Measures one call over the loopback, less the same exchange over a bare socket."""
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.server", ANSWER], stdout=subprocess.PIPE, env=surroundings()
    ) as server:
        try:
            port = int(server.stdout.readline()) if server.stdout else 0
            _, own = asyncio.run(_calls(port))
        finally:
            server.kill()
    whole, bare = own["call"], own["bare"]
    least, median = whole.least - bare.least, whole.median - bare.median
    note = (
        f"of {whole.median * 1e3:.2f} ms (least {whole.least * 1e3:.2f}), "
        f"a bare socket for the same bytes takes {bare.median * 1e3:.2f} (least {bare.least * 1e3:.2f})"
    )
    return [_row("model call", CALL_BOUND_MS, Times((least, median, median)), note)]


def _row(name: str, bound_ms: float, times: Times, note: str) -> Row:
    median, least = times.median * 1e3, times.least * 1e3
    figure = f"{median:.2f} ms (least {least:.2f})"
    return Row(name, f"<= {bound_ms:g} ms", figure, median <= bound_ms, note)


async def _interleaved(actions: Mapping[str, Action]) -> tuple[Durations, Durations]:
    """Times single actions, a few of each in turn, so that changing load affects all of them alike.

    Returns the processor times of all threads of this process, and the wall times.
    """
    spent: dict[str, list[Spent]] = {name: [] for name in actions}
    for turn in range(ROUNDS + 1):
        for name, action in actions.items():
            for _ in range(EACH):
                began, began_cpu = time.perf_counter(), time.process_time()
                await action()
                took = Spent(time.perf_counter() - began, time.process_time() - began_cpu)
                # The first turn warms up and does not count.
                spent[name] += [took] if turn else []
    cpu, wall = ({name: way(each) for name, each in spent.items()} for way in (Times.cpu, Times.wall))
    return cpu, wall


# a deliberation


async def _deliberations() -> tuple[Durations, Durations]:
    settings = session.settings(["llm.provider=scripted"])
    prompt_builder = PromptBuilder.of(PromptFiles.of(settings), settings.tools, settings.agents)
    client = _client(settings)
    service = DeliberationService(GraphRunner(client, prompt_builder, settings.hybrid.deadline_s))
    moving = snapshot(0.25)
    trivial, context = _trivial(), NodeContext(client, prompt_builder)
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(Transcript(Path(folder) / "transcript.jsonl")) as written,
    ):
        actions: dict[str, Action] = {
            "whole": _deliberating(service, moving, written, "trade"),
            "graph": lambda: trivial.ainvoke({"snapshot": moving, "lessons": ()}, context=context),
        }
        gc.collect()
        return await _interleaved(actions)


async def _bypasses() -> tuple[Durations, Durations]:
    settings = session.settings(["llm.provider=scripted"])
    prompt_builder = PromptBuilder.of(PromptFiles.of(settings), settings.tools, settings.agents)
    client, memory = _client(settings), MemoryVerdictCache()
    graph_runner = GraphRunner(client, prompt_builder, 60.0, memory)
    moving, still = snapshot(0.25), snapshot(0.0)
    # One deliberation, for the key under which its verdict is then found again.
    result = await graph_runner.run(moving, ())
    valid_ns = moving.at_ns + NS_PER_S
    await memory.put(
        CachedVerdict(result.flight, result.answer or {}, moving.at_ns, valid_ns, moving.at_ns, "scripted")
    )

    async def bypassed(shown: Snapshot, source: str) -> None:
        if (await graph_runner.run(shown, ())).source != source:
            msg = f"expected an answer from {source}"
            raise AssertionError(msg)

    gc.collect()
    return await _interleaved(
        {
            "bypass": lambda: bypassed(still, "bypass"),
            "cached verdict": lambda: bypassed(moving, "cache"),
        }
    )


def _client(settings: Settings) -> LLMClient:
    return LLMClient(ServerSender(ScriptedBackend([ANSWER]), settings.llm), settings.llm)


def _deliberating(service: DeliberationService, shown: Snapshot, written: Transcript, verdict: str) -> Action:
    """Returns the action to measure; another verdict than expected is an error, as its cost would differ."""
    numbers = count(1)

    async def once() -> DeliberationResult:
        number = next(numbers)
        question = DeliberationRequested(shown.at_ns, number, "gate", SYMBOL, shown.hash)
        result = await service.deliberate(question, shown, ())
        written.append(lines_of(number, shown, result.calls, result.outcome))
        if result.verdict != verdict:
            msg = f"expected the verdict {verdict}, got {result.verdict} {result.code} {result.failure}"
            raise AssertionError(msg)
        return result

    return once


def snapshot(step: float) -> Snapshot:
    """Returns a snapshot of fifty quotes whose mids rise by `step` for seven quotes, then start over."""
    mids = [64_000.0 + step * (number % 7) for number in range(QUOTES)]
    rows = [
        QuoteRow(START_NS + number * NS_PER_S, mid - 0.5, 0.75, mid + 0.5, 1.25)
        for number, mid in enumerate(mids)
    ]
    cash, large = Decimal(100_000), Decimal(10_000)
    return Snapshot(
        number=1,
        kind="gate",
        symbol=SYMBOL,
        at_ns=START_NS + QUOTES * NS_PER_S,
        quotes=tuple(rows),
        valid_quotes=QUOTES,
        position=PositionView(Decimal(0), 0.0, 0.0, 0.0),
        cash=cash,
        equity=cash,
        buying_power=cash,
        exposure=Decimal(0),
        state="active",
        gate="closed",
        limits=AgentLimits(
            Decimal(10), large, large, cash, 25.0, 25.0, Decimal(1), 5.0, 5.0, (10, 50), (15, 400), 1.5, 20
        ),
    )


def _trivial() -> Any:
    """Returns the deliberation graph with nodes that do nothing and end."""
    tracing.disable_tracing()
    from langgraph.errors import NodeError
    from langgraph.graph import END, START, StateGraph
    from langgraph.runtime import Runtime
    from langgraph.types import Command

    async def way(state: State) -> str:
        return "director"

    async def node(state: State, runtime: Runtime[NodeContext]) -> Any:
        return Command(goto=END)

    async def fallback(state: State, error: NodeError) -> State:
        return {"failure": ""}

    graph: Any = StateGraph(State, context_schema=NodeContext)
    for agent in AGENTS:
        graph.add_node(agent, node, destinations=(END,), error_handler=fallback)
    graph.add_conditional_edges(START, way, ["director", "learning"])
    return graph.compile()


# a call


async def _calls(port: int) -> tuple[Durations, Durations]:
    settings = session.settings([])
    request = PromptBuilder.of(PromptFiles.of(settings), settings.tools, settings.agents).request(
        "director", snapshot(0.25), ()
    )
    client = OpenAICompatible(f"http://127.0.0.1:{port}/v1", "m")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    sent = _sent(request)

    async def bare() -> None:
        writer.write(sent)
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]))

    async def call() -> None:
        if (await client.complete(request)).text != ANSWER:
            msg = "the server sent another answer than the scripted one"
            raise AssertionError(msg)

    try:
        gc.collect()
        return await _interleaved({"call": call, "bare": bare})
    finally:
        writer.close()
        await client.close()


def _sent(request: LLMRequest) -> bytes:
    """Returns a request like the client's: same content, nearly the same bytes."""
    messages = [{"role": each.role, "content": each.content} for each in request.messages]
    named = {"name": request.agent, "strict": True, "schema": request.schema}
    form = {"type": "json_schema", "json_schema": named}
    parameters = {"model": "m", "temperature": request.temperature, "max_tokens": request.max_tokens}
    body = msgspec.json.encode({**parameters, "messages": messages, "response_format": form})
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body

"""A probe: asks one model the same question in several variants, at several times of a tape, and records no run."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec
import numpy as np

from autohedge.agents.specs import AGENTS
from autohedge.ask.probe_questions import PROBED, ProbeQuestion, order_shown, questions
from autohedge.ask.probe_verdict import ProbeFindings, ProbeRound, VariantAnswer, findings
from autohedge.config import Settings
from autohedge.config.sections import NO_MODELS
from autohedge.core.clock import format_utc
from autohedge.core.errors import Misconfigured
from autohedge.core.snapshots import DeliberationKind, Snapshot
from autohedge.graph.prompt_builder import PromptBuilder, PromptFiles
from autohedge.graph.service import open_model
from autohedge.llm.backend import LLMBackend
from autohedge.llm.backends.probe_results import ProbeResult, store_probe
from autohedge.llm.client import LLMClient
from autohedge.llm.prices import PriceTable
from autohedge.llm.senders import ServerSender
from autohedge.llm.usage import total_usage
from autohedge.market import Stream, Tape
from autohedge.market.stream import prices_of
from autohedge.tools import preview, valid_quotes

Notify = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ProbePlan:
    """Which agent's model is probed, about which symbol, in how many rounds, with quotes up to `at_ns`."""

    agent: str = "director"
    rounds: int = 3
    symbol: str | None = None
    at_ns: int | None = None


@dataclass(frozen=True, slots=True)
class ModelProbe:
    """The result of a probe: who answered which agent's question, and what the answers show."""

    provider: str
    model: str
    server: str
    agent: str
    symbol: str
    rounds: tuple[ProbeRound, ...]
    findings: ProbeFindings


def probe_model(settings: Settings, tape: Tape, plan: ProbePlan, notify: Notify) -> ModelProbe:
    """Asks the model of an agent and returns what its answers show; stores the verdict for `autohedge doctor`.

    `notify` receives a line per round. Raises Misconfigured for an agent that cannot be probed, a symbol or a time
    without enough quotes, or an unusable prompt or provider, and Unavailable if a server does not answer.
    """
    if plan.agent not in PROBED:
        raise Misconfigured(
            f"--agent {plan.agent}: choose {', '.join(PROBED)}; to probe another agent's model by the Director's "
            "question, name it in --set agents.director.model=NAME"
        )
    snapshots = probe_snapshots(settings, tape, plan)
    found = asyncio.run(_opened(settings, plan.agent, snapshots, notify))
    # A server that was away says nothing about its model.
    if found.provider not in NO_MODELS and found.findings.median_completion_tokens:
        store_probe(ProbeResult.of(settings, plan.agent, found.model, found.findings.verdict))
    return found


def probe_snapshots(settings: Settings, tape: Tape, plan: ProbePlan) -> list[Snapshot]:
    """Returns a snapshot per round, oldest first: the tape is cut into as many parts, and the clearest move counts.

    The clearest move is the one with the largest change of the mid, in percent, over the quotes that a prompt shows.
    """
    stream, kind = _stream(tape, plan.symbol), _kind(settings, plan.agent)
    times = _clearest_ns(stream, plan, settings.tools.table_rows)
    return [
        msgspec.structs.replace(preview(settings, stream, at_ns), number=number, kind=kind)
        for number, at_ns in enumerate(times, 1)
    ]


def _stream(tape: Tape, symbol: str | None) -> Stream:
    streams = prices_of(tape.streams)
    for stream in streams:
        if symbol in (None, stream.symbol):
            return stream
    there = ", ".join(stream.symbol for stream in streams)
    raise Misconfigured(f"the tape has no {symbol}, only {there}; choose one with --symbol")


def _kind(settings: Settings, agent: str) -> DeliberationKind:
    # Quant and Risk are asked in llm mode only.
    return "trade" if agent != "director" or settings.trading.mode == "llm" else "gate"


def _clearest_ns(stream: Stream, plan: ProbePlan, table_rows: int) -> Iterator[int]:
    quotes, rows = valid_quotes(stream, plan.at_ns), table_rows
    if rows < 2:
        raise Misconfigured("tools.table_rows is 1, and one quote shows no move; set it to at least 2")
    mids = quotes["bid"] / 2 + quotes["ask"] / 2
    if len(mids) < rows * plan.rounds:
        raise Misconfigured(
            f"{stream.symbol}: {plan.rounds} rounds need {rows * plan.rounds} valid quotes, there are {len(mids)}; "
            "use a later --at, a longer tape, or lower --rounds or tools.table_rows"
        )
    for part in np.array_split(np.arange(len(mids)), plan.rounds):
        moves = np.abs(mids[part[rows - 1 :]] / mids[part[: len(part) - rows + 1]] - 1)
        if not moves.max() > 0:
            raise Misconfigured(f"{stream.symbol}: its price does not move; choose another --at or --symbol")
        yield int(quotes["ts"][part[rows - 1 + int(moves.argmax())]])


async def _opened(settings: Settings, agent: str, snapshots: list[Snapshot], notify: Notify) -> ModelProbe:
    backend, builder, shown = await open_model(settings, PromptFiles.of(settings), on_tape=True)
    prober = ProbeRunner(settings, backend, builder, shown)
    try:
        return await prober.run(agent, snapshots, notify)
    finally:
        await prober.client.close()


class ProbeRunner:
    """Asks an open model. `shown` receives the snapshots, for a backend that answers from them."""

    def __init__(
        self, settings: Settings, backend: LLMBackend, builder: PromptBuilder, shown: dict[str, Snapshot]
    ) -> None:
        prices = PriceTable.of(settings, backend.name, backend.model)
        self.client = LLMClient(ServerSender(backend, settings.llm), settings.llm, prices=prices)
        self._builder, self._shown = builder, shown
        self._deadline_s = settings.hybrid.deadline_s

    async def run(self, agent: str, snapshots: list[Snapshot], notify: Notify) -> ModelProbe:
        """Asks every variant about each snapshot, one after the other."""
        rounds = []
        for number, snapshot in enumerate(snapshots, 1):
            notify(
                f"round {number} of {len(snapshots)}: {snapshot.symbol} at {format_utc(snapshot.at_ns)} UTC"
            )
            rounds.append(await self._round(agent, snapshot))
        backend = self.client.backend
        return ModelProbe(
            provider=backend.name,
            model=getattr(self._builder.agents, agent).model or backend.model,
            server=backend.server,
            agent=agent,
            symbol=snapshots[0].symbol,
            rounds=tuple(rounds),
            findings=findings(PROBED[agent], rounds),
        )

    async def _round(self, agent: str, snapshot: Snapshot) -> ProbeRound:
        asked = {each.variant: each for each in questions(agent, self._builder, snapshot)}
        answers = {variant: await self._answer(agent, each) for variant, each in asked.items()}
        first = snapshot.quotes[-self._builder.tools.table_rows :][0]
        return ProbeRound(snapshot.at_ns, snapshot.quotes[-1].mid > first.mid, answers)

    async def _answer(self, agent: str, question: ProbeQuestion) -> VariantAnswer:
        snapshot, request, probed = question.snapshot, question.request, PROBED[agent]
        self._shown[snapshot.hash] = snapshot
        outcome = await AGENTS[agent].ask(snapshot, request, self.client, self._deadline_s)
        answer, usage = outcome.answer, total_usage(outcome.calls)
        return VariantAnswer(
            text="" if answer is None else probed.text(answer),
            choice="" if answer is None else getattr(answer, probed.fields[0]),
            order=order_shown(request, probed),
            code=outcome.code,
            seconds=sum(call.response.service_ms for call in outcome.calls if call.response) / 1e3,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
        )

"""Row `team`: 200 symbols in llm mode with a model that takes half a second and answers three at a time.

The load exceeds its capacity on purpose: every symbol must still get answers, memory must not grow, and
requests that are no longer needed must be dropped and counted.
"""

import asyncio
import gc
import resource
import statistics
import time
from collections import Counter
from dataclasses import dataclass, field

import msgspec

from autohedge.core.events import DeliberationRequested
from autohedge.core.snapshots import QuoteRow, Snapshot
from autohedge.graph.prompt_builder import PromptBuilder, PromptFiles
from autohedge.graph.runner import DeliberationResult, GraphRunner
from autohedge.graph.service import DeliberationService
from autohedge.llm.backend import LLMRequest, LLMResponse
from autohedge.llm.backends.rules import RulesBackend
from autohedge.llm.client import LLMClient
from autohedge.llm.policy import sleep
from autohedge.llm.senders import ServerSender
from benchmarks import deliberation, session
from benchmarks.row import Row

SYMBOLS, PLACES, SERVICE_S = 200, 3, 0.5
FLAT = deliberation.snapshot(0.25).quotes
RISING = tuple(
    QuoteRow(row.ts_ns, row.bid + step, row.bid_size, row.ask + step, row.ask_size)
    for step, row in enumerate(FLAT)
)
"""Half of the symbols show these quotes and need all four agents; flat ones end with the Director."""
DEADLINE_S, REQUERY_INTERVAL_S, LASTS_S = 180.0, 5.0, 240.0


class DelayedRulesBackend(RulesBackend):
    """The rules with a delay of half a second; `most` is the highest number of concurrent calls."""

    most = running = 0

    async def complete(self, request: LLMRequest) -> LLMResponse:
        """Answers after the delay. Raises LLMError as the rules do."""
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await sleep(SERVICE_S)
            return await super().complete(request)
        finally:
            self.running -= 1


@dataclass(slots=True)
class Symbol:
    """The statistics of one symbol: answers, and the longest time between two of them."""

    name: str
    answered: int = 0
    gap_s: float = 0.0
    last_s: float = 0.0
    codes: Counter[str] = field(default_factory=Counter)


def measure(quotes: int) -> list[Row]:
    """Asks about all symbols for a while, each again after its answer or its deadline, as the engine does."""
    return asyncio.run(_measured())


async def _measured() -> list[Row]:
    llm = ["llm.provider=rules", f"llm.max_concurrent={PLACES}", "llm.queue_size=150", "trading.mode=llm"]
    settings = session.settings([*llm, "agents.director.min_confidence_pct=0"])
    shown: dict[str, Snapshot] = {}
    model = DelayedRulesBackend(shown.__getitem__)
    client = LLMClient(ServerSender(model, settings.llm), settings.llm)
    prompt_builder = PromptBuilder.of(PromptFiles.of(settings), settings.tools, settings.agents)
    service = DeliberationService(GraphRunner(client, prompt_builder, DEADLINE_S, shown=shown))
    symbols = [Symbol(f"S{number:03}") for number in range(SYMBOLS)]
    began, before_kb = time.perf_counter(), _memory_kb()
    tasks = [asyncio.ensure_future(_query_symbol(service, symbol, began)) for symbol in symbols]
    # Queues and caches fill in the first half; only the second half must not grow.
    await sleep(LASTS_S / 2)
    gc.collect()
    half_kb = _memory_kb()
    await asyncio.gather(*tasks)
    return _rows(symbols, client, model, (before_kb, half_kb, _memory_kb()))


async def _query_symbol(service: DeliberationService, symbol: Symbol, began: float) -> None:
    number, lane = 0, int(symbol.name[1:])
    while (now_s := time.perf_counter() - began) < LASTS_S:
        number += 1
        result = await _deliberated(service, symbol.name, SYMBOLS * number + lane)
        ended_s = time.perf_counter() - began
        symbol.codes[result.code or result.verdict] += 1
        if result.verdict != "abstain":
            symbol.answered += 1
            symbol.gap_s, symbol.last_s = max(symbol.gap_s, ended_s - symbol.last_s), ended_s
        await sleep(max(0.0, REQUERY_INTERVAL_S - (ended_s - now_s)))


async def _deliberated(service: DeliberationService, symbol: str, number: int) -> DeliberationResult:
    quotes = RISING if number % 2 else FLAT
    shown = msgspec.structs.replace(
        deliberation.snapshot(0.25), number=number, symbol=symbol, kind="trade", quotes=quotes
    )
    question = DeliberationRequested(shown.at_ns, number, "trade", symbol, shown.hash)
    return await service.deliberate(question, shown, ())


def _memory_kb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _rows(
    symbols: list[Symbol], client: LLMClient, model: DelayedRulesBackend, memory_kb: tuple[int, int, int]
) -> list[Row]:
    answered = [symbol.answered for symbol in symbols]
    ended: Counter[str] = sum((symbol.codes for symbol in symbols), Counter())
    longest_s = max(max(symbol.gap_s, LASTS_S - symbol.last_s) for symbol in symbols)
    counts, possible = client.counts, PLACES * LASTS_S / SERVICE_S
    grown = (memory_kb[2] - memory_kb[1]) / 1024
    fair = min(answered) > 0
    note = (
        f"{counts.calls} calls until the last ended, {possible:.0f} possible in {LASTS_S:g} s, "
        f"at most {model.most} at a time; {counts.high_water} waited at most, "
        f"dropped: {counts.drops or 'none'}; ended in {dict(ended.most_common())}"
    )
    figure = (
        f"{min(answered)} to {max(answered)} (median {statistics.median(answered):g}), "
        f"longest wait {longest_s:.0f} s"
    )
    return [
        Row("answers to each of 200 symbols", ">= 1 each", figure, fair and model.most <= PLACES, note),
        Row("memory in the second half", "<= 10 MB more", f"{grown:.1f} MB more", grown <= 10),
    ]

"""Row `team`: 200 symbols in llm mode before a model that takes half a second and answers three at a time.

More is asked than it can answer: what matters is that every symbol gets its turn, that nothing grows, and that
what is no longer wanted is dropped and counted.
"""

import asyncio
import gc
import resource
import statistics
import time
from collections import Counter
from dataclasses import dataclass, field

import msgspec

from autohedge.core.events import Deliberate
from autohedge.core.snapshots import QuoteRow, Snapshot
from autohedge.graph.deliberator import Resolution
from autohedge.graph.materials import Materials, Sources
from autohedge.graph.mind import Mind
from autohedge.llm.asking import Asker
from autohedge.llm.backend import Request, Response
from autohedge.llm.policy import pause
from autohedge.llm.rules import RulesBackend
from benchmarks import deliberation, session
from benchmarks.row import Row

SYMBOLS, PLACES, SERVICE_S = 200, 3, 0.5
FLAT = deliberation.snapshot(0.25).quotes
RISING = tuple(
    QuoteRow(row.ts_ns, row.bid + step, row.bid_size, row.ask + step, row.ask_size)
    for step, row in enumerate(FLAT)
)
"""Of half of the symbols all four agents are asked, of the others the Director alone."""
DEADLINE_S, AGAIN_S, LASTS_S = 180.0, 5.0, 240.0


class Slow(RulesBackend):
    """The rules, after half a second; `most` is how many calls ran at a time."""

    most = running = 0

    async def complete(self, request: Request) -> Response:
        """Answer late. Raises ModelFailure as the rules do."""
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await pause(SERVICE_S)
            return await super().complete(request)
        finally:
            self.running -= 1


@dataclass(slots=True)
class Symbol:
    """One symbol's questions: how many were answered, and the longest time between two answers."""

    name: str
    answered: int = 0
    gap_s: float = 0.0
    last_s: float = 0.0
    codes: Counter[str] = field(default_factory=Counter)


def measure(quotes: int) -> list[Row]:
    """Ask about all symbols for a while, each again after its answer or its deadline, as the engine does."""
    return asyncio.run(_measured())


async def _measured() -> list[Row]:
    llm = ["llm.provider=rules", f"llm.max_concurrent={PLACES}", "llm.queue_size=150", "trading.mode=llm"]
    settings = session.settings([*llm, "agents.director.min_confidence_pct=0"])
    shown: dict[str, Snapshot] = {}
    model = Slow(shown.__getitem__)
    asker = Asker(model, settings.llm)
    materials = Materials.of(Sources.of(settings), settings.tools, settings.agents)
    mind = Mind(asker, materials, shown, DEADLINE_S)
    symbols = [Symbol(f"S{number:03}") for number in range(SYMBOLS)]
    began, before_kb = time.perf_counter(), _memory_kb()
    asking = [asyncio.ensure_future(_asked(mind, symbol, began)) for symbol in symbols]
    await pause(LASTS_S / 2)
    gc.collect()
    half_kb = _memory_kb()
    await asyncio.gather(*asking)
    return _rows(symbols, asker, model, (before_kb, half_kb, _memory_kb()))


async def _asked(mind: Mind, symbol: Symbol, began: float) -> None:
    number, lane = 0, int(symbol.name[1:])
    while (now_s := time.perf_counter() - began) < LASTS_S:
        number += 1
        resolution = await _deliberated(mind, symbol.name, SYMBOLS * number + lane)
        ended_s = time.perf_counter() - began
        symbol.codes[resolution.code or resolution.verdict] += 1
        if resolution.verdict != "abstain":
            symbol.answered += 1
            symbol.gap_s, symbol.last_s = max(symbol.gap_s, ended_s - symbol.last_s), ended_s
        await pause(max(0.0, AGAIN_S - (ended_s - now_s)))


async def _deliberated(mind: Mind, symbol: str, number: int) -> Resolution:
    quotes = RISING if number % 2 else FLAT
    shown = msgspec.structs.replace(
        deliberation.snapshot(0.25), number=number, symbol=symbol, kind="trade", quotes=quotes
    )
    question = Deliberate(shown.at_ns, number, "trade", symbol, shown.hash)
    return await mind.deliberate(question, shown, ())


def _memory_kb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _rows(symbols: list[Symbol], asker: Asker, model: Slow, memory_kb: tuple[int, int, int]) -> list[Row]:
    answered = [symbol.answered for symbol in symbols]
    ended: Counter[str] = sum((symbol.codes for symbol in symbols), Counter())
    longest_s = max(max(symbol.gap_s, LASTS_S - symbol.last_s) for symbol in symbols)
    counts = asker.counts
    grown = (memory_kb[2] - memory_kb[1]) / 1024
    fair = min(answered) > 0
    note = (
        f"{counts.calls} calls until the last ended, {PLACES * LASTS_S / SERVICE_S:.0f} possible in {LASTS_S:g} s, at most {model.most} at a time; "
        f"{counts.high_water} waited at most, dropped: {counts.drops or 'none'}; ended in {dict(ended.most_common())}"
    )
    figure = f"{min(answered)} to {max(answered)} (median {statistics.median(answered):g}), longest wait {longest_s:.0f} s"
    return [
        Row("answers to each of 200 symbols", ">= 1 each", figure, fair and model.most <= PLACES, note),
        Row("memory in the second half", "<= 10 MB more", f"{grown:.1f} MB more", grown <= 10),
    ]

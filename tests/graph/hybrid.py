"""A hybrid run in virtual time over a small market, with any model behind it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autohedge.app import engine_for
from autohedge.config import Settings
from autohedge.core.events import Decision, Deliberate, GateChanged, SubmitOrder
from autohedge.core.ids import nonce_from_seed
from autohedge.core.orders import BUY
from autohedge.core.snapshots import Snapshot
from autohedge.engine.virtual import Recorder, VirtualRuntime
from autohedge.exchanges.simulated import SimulatedVenue, Terms, lots_of
from autohedge.graph.counsel import Loop, VirtualCounsel
from autohedge.graph.deliberator import Resolution
from autohedge.graph.materials import Materials, Sources
from autohedge.graph.mind import Mind
from autohedge.llm.asking import Asker
from autohedge.llm.backend import LLMBackend
from autohedge.llm.transcript import Line, Transcript, lines_of, read
from autohedge.market import Tape
from tests.support import Played, Recording, columns_tape, quotes_tape, settings

SECOND_NS = 10**9
START_NS = 1_700_000_000 * SECOND_NS
REFRESH = 5
EAGER: dict[str, Any] = {
    "trading__mode": "hybrid",
    "hybrid__starts_open": True,
    "hybrid__gate_refresh_quotes": REFRESH,
    "hybrid__min_refresh_s": 0,
    "hybrid__no_trade_cooldown_quotes": 0,
    "hybrid__learn_every_trades": 0,
    "momentum__warmup_count": 0,
    "momentum__evaluate_every_quotes": 1,
    "momentum__lookback": 1,
    "llm__retries": 0,
    "llm__breaker_failures": 10_000,
    "llm__timeout_s": 5,
}
QUESTION_S, RISE_S, FALL_S, AGAIN_S, END_S = 4, 6, 10, 20, 60
TRADE: dict[str, Any] = {
    "decision": "trade",
    "symbol": "X",
    "direction": "long",
    "confidence_pct": 90,
    "thesis": "It rises.",
    "key_levels": [99.0, 101.5],
    "horizon_minutes": 5,
}


def answer(**changes: Any) -> str:
    """A verdict as a model writes it."""
    return json.dumps(TRADE | changes)


def _mid(second: int) -> float:
    """Asked when little has happened, it rises before an answer can be there, falls, and rises for long."""
    if second < RISE_S:
        return 100.0 + 0.01 * (second % 2)
    if second < FALL_S:
        return 100.5
    if second < AGAIN_S:
        return 99.0 + 0.01 * (second % 2)
    return 99.0 + 0.3 * (second - AGAIN_S)


def market(symbols: tuple[str, ...] = ("X",)) -> Tape:
    """A quote a second; with an eager strategy it is bought at once in the first rise and in the second."""
    quotes = [(START_NS + s * SECOND_NS, _mid(s) - 0.01, _mid(s) + 0.01) for s in range(END_S)]
    if symbols == ("X",):
        return quotes_tape(quotes)
    ts, bid, ask = zip(*quotes, strict=True)
    return columns_tape({symbol: {"ts": ts, "bid": bid, "ask": ask} for symbol in symbols})


@dataclass
class Ran(Played):
    """A finished hybrid run: its record and its transcript."""

    tape: Tape
    settings: Settings
    transcript: list[Line]
    counts: dict[str, Any]

    @property
    def decisions(self) -> list[Decision]:
        return [event for event in self.events(Decision) if event.source != "bypass"]

    @property
    def codes(self) -> set[str]:
        return {decision.code for decision in self.decisions}

    @property
    def gates(self) -> list[tuple[str, str]]:
        return [(event.state, event.why) for event in self.events(GateChanged)]

    @property
    def slow(self) -> dict[str, Any]:
        deliberations: dict[str, Any] = self.result["deliberations"]
        return deliberations

    def bought(self, from_s: int = 0, to_s: int = END_S) -> list[SubmitOrder]:
        begin, end = START_NS + from_s * SECOND_NS, START_NS + to_s * SECOND_NS
        return [o for o in self.events(SubmitOrder) if o.side is BUY and begin <= o.at_ns < end]


def ran(
    model: Callable[[], LLMBackend],
    folder: Path,
    tape: Tape | None = None,
    materials: Callable[[Materials], Materials] = lambda each: each,
    recorder: Callable[[Any, Recording], Recorder] = lambda _, record: record,
    **changes: Any,
) -> Ran:
    """Play a tape with the model that `model` opens, writing the transcript into `folder`."""
    wanted, tape = settings(**EAGER | changes), tape or market()
    transcript, loop = Transcript(folder / "transcript.jsonl"), Loop()

    async def opened() -> Mind:
        asker = Asker(model(), wanted.llm)
        return Mind(
            asker,
            materials(Materials.of(Sources.of(wanted), wanted.tools, wanted.agents)),
            {},
            wanted.hybrid.deadline_s,
        )

    def write(question: Deliberate, snapshot: Snapshot, resolution: Resolution) -> tuple[str, ...]:
        return transcript.append(
            lines_of(question.number, snapshot, resolution.calls, resolution.outcome, resolution.failure)
        )

    try:
        mind = loop.run(opened())
        try:
            engine, record = engine_for(wanted, tape), Recording()
            counsel = VirtualCounsel(mind, wanted, loop, write)
            _play(wanted, tape, engine, recorder(engine, record), counsel)
        finally:
            loop.run(mind.close())
    finally:
        loop.close()
        transcript.close()
    return Ran(engine, record, tape, wanted, list(read(folder / "transcript.jsonl")), mind.counts())


def _play(wanted: Settings, tape: Tape, engine: Any, recorder: Recorder, counsel: VirtualCounsel) -> None:
    nonce, lots = nonce_from_seed(wanted.seed), lots_of(wanted, tape.symbols)
    venue = SimulatedVenue(Terms.of(wanted), lots, tape.rows, nonce=nonce)
    VirtualRuntime(engine, venue, tape.rows, recorder, counsel).run(nonce)

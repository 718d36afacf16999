"""A hybrid run in virtual time over a small market, with any model behind it."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from autohedge.app import engine_for
from autohedge.config import Settings
from autohedge.core.events import Decision, GateChanged, SubmitOrder
from autohedge.core.ids import nonce_from_seed
from autohedge.core.orders import BUY
from autohedge.core.ports import Recorder
from autohedge.core.results import DeliberationFigures
from autohedge.core.units import NS_PER_S
from autohedge.exchanges.simulated import SimulatedVenue, VenueModel, lots_of
from autohedge.graph.prompt_builder import PromptBuilder, PromptFiles
from autohedge.graph.result_recording import record_result
from autohedge.graph.runner import GraphRunner
from autohedge.graph.service import DeliberationService
from autohedge.graph.virtual_time import LoopThread, SimulatedDecisions
from autohedge.llm.backend import LLMBackend
from autohedge.llm.client import LLMClient
from autohedge.llm.prices import PriceTable
from autohedge.llm.senders import ServerSender
from autohedge.llm.transcript import Transcript, TranscriptEntry, read
from autohedge.market import Tape
from autohedge.runtime.virtual import VirtualRuntime
from tests.run_harness import Played, Recording, columns_tape, quotes_tape, settings

START_NS = 1_700_000_000 * NS_PER_S
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
QUESTION_S, RISE_S, FALL_S, SECOND_RISE_S, END_S = 4, 6, 10, 20, 60
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
    """Returns a verdict as a model writes it."""
    return json.dumps(TRADE | changes)


def _mid(second: int) -> float:
    """Returns the mid of a second: flat, a rise before the first answer arrives, a fall, a long rise."""
    if second < RISE_S:
        return 100.0 + 0.01 * (second % 2)
    if second < FALL_S:
        return 100.5
    if second < SECOND_RISE_S:
        return 99.0 + 0.01 * (second % 2)
    return 99.0 + 0.3 * (second - SECOND_RISE_S)


def market(symbols: tuple[str, ...] = ("X",)) -> Tape:
    """Returns one quote per second; an eager strategy buys at once in the first and the second rise."""
    quotes = [(START_NS + s * NS_PER_S, _mid(s) - 0.01, _mid(s) + 0.01) for s in range(END_S)]
    if symbols == ("X",):
        return quotes_tape(quotes)
    ts, bid, ask = zip(*quotes, strict=True)
    return columns_tape({symbol: {"ts": ts, "bid": bid, "ask": ask} for symbol in symbols})


@dataclass
class Ran(Played):
    """A finished hybrid run with its record and its transcript."""

    tape: Tape
    settings: Settings
    transcript: list[TranscriptEntry]
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
    def deliberations(self) -> DeliberationFigures:
        assert self.result.deliberations
        return self.result.deliberations

    def bought(self, from_s: int = 0, to_s: int = END_S) -> list[SubmitOrder]:
        begin, end = START_NS + from_s * NS_PER_S, START_NS + to_s * NS_PER_S
        return [o for o in self.events(SubmitOrder) if o.side is BUY and begin <= o.at_ns < end]


def ran(
    model: Callable[[], LLMBackend],
    folder: Path,
    tape: Tape | None = None,
    change_builder: Callable[[PromptBuilder], PromptBuilder] = lambda each: each,
    recorder: Callable[[Any, Recording], Recorder] = lambda _, record: record,
    **changes: Any,
) -> Ran:
    """Runs a tape with the model that `model` opens; writes the transcript into `folder`."""
    wanted, tape = settings(**EAGER | changes), tape or market()
    transcript, loop = Transcript(folder / "transcript.jsonl"), LoopThread()

    async def opened() -> DeliberationService:
        backend = model()
        prices = PriceTable.of(wanted, backend.name, backend.model)
        client = LLMClient(ServerSender(backend, wanted.llm), wanted.llm, prices=prices)
        builder = change_builder(PromptBuilder.of(PromptFiles.of(wanted), wanted.tools, wanted.agents))
        return DeliberationService(GraphRunner(client, builder, wanted.hybrid.deadline_s))

    try:
        service = loop.run(opened())
        try:
            engine, record = engine_for(wanted, tape), Recording()
            decision_source = SimulatedDecisions(service, wanted, loop, partial(record_result, transcript))
            _play(wanted, tape, engine, recorder(engine, record), decision_source)
        finally:
            loop.run(service.close())
    finally:
        loop.close()
        transcript.close()
    return Ran(engine, record, tape, wanted, list(read(folder / "transcript.jsonl")), service.counts())


def _play(
    wanted: Settings, tape: Tape, engine: Any, recorder: Recorder, decision_source: SimulatedDecisions
) -> None:
    nonce, lots = nonce_from_seed(wanted.seed), lots_of(wanted, tape.symbols)
    venue = SimulatedVenue(VenueModel.of(wanted), lots, tape.rows, nonce=nonce)
    VirtualRuntime(engine, venue, tape.rows, recorder, decision_source, clock=venue).run(nonce)

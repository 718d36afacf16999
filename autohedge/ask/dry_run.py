"""A dry run: one deliberation at one time of a tape, requested by the user instead of the schedule.

Engine, checks and instruments are those of a run, and the engine acts on the decision as it would there.
Unlike in a run, the decision takes no time on the tape and is not recorded.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

import msgspec
import numpy as np

from autohedge.app import as_read, engine_for, venue_for
from autohedge.audit.conversations import AuditFilter, Conversation, ConversationProjection
from autohedge.config import Settings
from autohedge.core.clock import format_utc
from autohedge.core.errors import Misconfigured
from autohedge.core.events import AnyEvent, Decision, DeliberationRequested, JournalEntry, Timer
from autohedge.core.ids import nonce_from_seed
from autohedge.core.snapshots import Snapshot
from autohedge.graph.prompt_builder import PromptFiles
from autohedge.graph.runner import DeliberationResult
from autohedge.graph.service import BackendInfo, DeliberationService
from autohedge.journal import JournalLine
from autohedge.llm.transcript import lines_of
from autohedge.market import Tape
from autohedge.prompts.library import Prompt, parse
from autohedge.runtime.virtual import VirtualRuntime

REQUESTED_BY_USER = "requested by the user"


class AssumedPosition(NamedTuple):
    """A position assumed to be open at the time of the question, bought at `price` without using cash."""

    quantity: Decimal
    price: Decimal


@dataclass(frozen=True, slots=True)
class DryRunResult:
    """The backend, prompts, snapshot and result of a dry run; `conversation` is as in an audit."""

    ready: BackendInfo
    prompts: Mapping[str, Prompt]
    snapshot: Snapshot
    result: DeliberationResult
    conversation: Conversation

    @property
    def abstained(self) -> bool:
        """Whether the deliberation ended in an abstention."""
        return self.result.verdict == "abstain"


def ask(
    settings: Settings,
    tape: Tape,
    symbol: str | None = None,
    at_ns: int | None = None,
    held: AssumedPosition | None = None,
) -> DryRunResult:
    """Runs one deliberation about `symbol` at `at_ns`, assuming the position `held`.

    Without `symbol` it is about the tape's first one; without `at_ns` it is at the last row of the symbol.
    Raises Misconfigured for an unusable symbol, time, prompt or provider, Unavailable if a server does not
    answer.
    """
    if settings.trading.mode == "hft":
        raise Misconfigured("hft mode uses no agents; add --mode llm or --mode hybrid")
    about = _symbol(tape, symbol)
    return asyncio.run(_deliberate(settings, tape, about, _resolve_at_ns(tape, about, at_ns), held))


async def _deliberate(
    settings: Settings, tape: Tape, symbol: str, at_ns: int, held: AssumedPosition | None
) -> DryRunResult:
    sources = PromptFiles.of(settings)
    service = await DeliberationService.open(settings, sources, on_tape=True)
    try:
        trial = DryRun(settings, tape, at_ns)
        if held is not None:
            trial.assume_position(symbol, held)
        question, snapshot = trial.ask(symbol)
        result = await service.deliberate(question, snapshot, ())
    finally:
        await service.close()
    decision = result.decision(question, question.at_ns, ())
    conversation = _conversation(settings, question, trial.apply(decision))
    # The wait in the local queue is measured time; without it the same answers give the same bytes.
    calls = [msgspec.structs.replace(call, queue_ms=0.0) for call in result.calls]
    conversation.calls = lines_of(question.number, snapshot, calls, result.outcome, result.failure)
    prompts = {name: parse(name, text, origin) for name, (text, origin) in sources.prompts.items()}
    return DryRunResult(service.ready, prompts, snapshot, result, conversation)


class DryRun:
    """An engine and its simulated venue, run up to `at_ns` of a tape without any scheduled deliberation."""

    def __init__(self, settings: Settings, tape: Tape, at_ns: int) -> None:
        tape = as_read(settings, tape)
        self._engine = engine = engine_for(settings, tape)
        if engine.deliberations is None:
            raise Misconfigured("hft mode uses no agents; choose mode llm or hybrid")
        self._deliberations = engine.deliberations
        self._lane_of = {name: lane for lane, name in enumerate(tape.symbols)}
        self._events: list[AnyEvent] = []
        nonce = nonce_from_seed(settings.seed)
        venue = venue_for(settings, tape, nonce)
        self._runtime = VirtualRuntime(engine, venue, tape.rows, self, clock=venue)
        # Before the first row: otherwise the engine would ask questions on its own schedule.
        self._deliberations.pause()
        self._runtime.begin(nonce)
        self._runtime.advance(at_ns)
        # Between two rows the engine's clock stands at the last one; the timer moves it to `at_ns`.
        if engine.now_ns < at_ns:
            self._runtime.inject(Timer(at_ns))

    def append(self, entry: JournalEntry) -> None:
        """Collects an event of the engine, in the place of a journal."""
        self._events.append(entry.event)

    def assume_position(self, symbol: str, held: AssumedPosition) -> None:
        """Books a position that the engine did not open."""
        self._engine.execution.adopt_position(
            self._lane_of[symbol], held.quantity, held.price, self._engine.now_ns
        )

    def ask(self, symbol: str) -> tuple[DeliberationRequested, Snapshot]:
        """Requests a deliberation now. Raises Misconfigured if the symbol has had no valid quote yet."""
        snapshot = self._deliberations.request_now(symbol, self._engine.now_ns)
        if not snapshot.quotes:
            raise Misconfigured(f"{symbol}: there is no valid quote up to this time; choose a later --at")
        self._runtime.drain()
        requests = (event for event in reversed(self._events) if isinstance(event, DeliberationRequested))
        return next(requests), snapshot

    def apply(self, decision: Decision) -> list[AnyEvent]:
        """Passes a decision to the engine; returns the decision and the events that follow from it."""
        self._events.clear()
        self._runtime.inject(decision)
        return self._events


def _symbol(tape: Tape, symbol: str | None) -> str:
    if symbol is None:
        return tape.symbols[0]
    if symbol not in tape.symbols:
        raise Misconfigured(
            f"the tape has no {symbol}, only {', '.join(tape.symbols)}; choose one with --symbol"
        )
    return symbol


def _resolve_at_ns(tape: Tape, symbol: str, at_ns: int | None) -> int:
    """Returns the time of the question. Raises Misconfigured for a time after the end of the tape."""
    last_ns = int(tape.rows.ts[-1])
    if at_ns is not None and at_ns > last_ns:
        raise Misconfigured(f"the tape ends at {format_utc(last_ns)} UTC; choose an earlier --at")
    if at_ns is not None:
        return at_ns
    own = np.flatnonzero(tape.rows.lane == tape.symbols.index(symbol))
    return int(tape.rows.ts[own[-1]]) if len(own) else last_ns


def _conversation(
    settings: Settings, question: DeliberationRequested, events: list[AnyEvent]
) -> Conversation:
    """Returns the question with its decision and outcome, read by the same projection as an audit."""
    questions = ConversationProjection(AuditFilter(number=question.number), settings)
    for seq, event in enumerate([question, *events]):
        questions.apply(JournalLine("", seq=seq, event=event))
    (conversation,) = questions.finish()
    conversation.why = REQUESTED_BY_USER
    return conversation

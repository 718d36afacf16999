"""One question at one moment of a tape: the engine's own, asked by a person, answered, and disposed of.

The engine, its checks and its instruments are those of a run; only that it asks is a person's doing, and that it
hears the answer at once. Nothing is recorded.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

import msgspec
import numpy as np

from autohedge.app import engine_for, venue_for
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

REQUESTED_BY_USER = "a person asked"


class AssumedPosition(NamedTuple):
    """A position that is there from outside when the question is asked, as if bought at `price` without cash."""

    quantity: Decimal
    price: Decimal


@dataclass(frozen=True, slots=True)
class DryRunResult:
    """What was asked, of whom, what came of it: `conversation` as an audit would show it, with every call."""

    ready: BackendInfo
    prompts: Mapping[str, Prompt]
    snapshot: Snapshot
    result: DeliberationResult
    conversation: Conversation

    @property
    def abstained(self) -> bool:
        """Whether no agent could answer."""
        return self.result.verdict == "abstain"


def ask(
    settings: Settings,
    tape: Tape,
    symbol: str | None = None,
    at_ns: int | None = None,
    held: AssumedPosition | None = None,
) -> DryRunResult:
    """Ask about a symbol, the tape's first without one, at a moment, its last row without one.

    Raises Misconfigured for a symbol, a moment, a prompt or a provider that cannot be, Unavailable for a server that
    does not answer.
    """
    if settings.trading.mode == "hft":
        raise Misconfigured("in hft mode nobody is asked; write --mode llm or --mode hybrid")
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
    calls = [msgspec.structs.replace(call, queue_ms=0.0) for call in result.calls]
    conversation.calls = lines_of(question.number, snapshot, calls, result.outcome, result.failure)
    prompts = {name: parse(name, text, origin) for name, (text, origin) in sources.prompts.items()}
    return DryRunResult(service.ready, prompts, snapshot, result, conversation)


class DryRun:
    """An engine that has seen a tape up to a moment without asking anybody, and its simulated venue."""

    def __init__(self, settings: Settings, tape: Tape, at_ns: int) -> None:
        self._engine = engine = engine_for(settings, tape)
        if engine.deliberations is None:
            raise Misconfigured("in hft mode nobody is asked")
        self._deliberations = engine.deliberations
        self._lane_of = {name: lane for lane, name in enumerate(tape.symbols)}
        self._events: list[AnyEvent] = []
        nonce = nonce_from_seed(settings.seed)
        self._runtime = VirtualRuntime(engine, venue_for(settings, tape, nonce), tape.rows, self)
        self._deliberations.pause()
        self._runtime.begin(nonce)
        self._runtime.advance(at_ns)
        if engine.now_ns < at_ns:
            self._runtime.inject(Timer(at_ns))

    def append(self, entry: JournalEntry) -> None:
        """Hear what the engine says, as a journal would."""
        self._events.append(entry.event)

    def assume_position(self, symbol: str, held: AssumedPosition) -> None:
        """Let the engine take over a position from outside."""
        self._engine.execution.adopt_position(
            self._lane_of[symbol], held.quantity, held.price, self._engine.now_ns
        )

    def ask(self, symbol: str) -> tuple[DeliberationRequested, Snapshot]:
        """Let the engine ask. Raises Misconfigured where it has seen no valid quote of the symbol."""
        snapshot = self._deliberations.request_now(symbol, self._engine.now_ns)
        if not snapshot.quotes:
            raise Misconfigured(f"{symbol}: no valid quote so early; choose a later --at")
        self._runtime.drain()
        requests = (event for event in reversed(self._events) if isinstance(event, DeliberationRequested))
        return next(requests), snapshot

    def apply(self, decision: Decision) -> list[AnyEvent]:
        """Let the engine hear an answer; that, and what it does about it."""
        self._events.clear()
        self._runtime.inject(decision)
        return self._events


def _symbol(tape: Tape, symbol: str | None) -> str:
    if symbol is None:
        return tape.symbols[0]
    if symbol not in tape.symbols:
        raise Misconfigured(
            f"the tape holds no {symbol}, but {', '.join(tape.symbols)}; name one with --symbol"
        )
    return symbol


def _resolve_at_ns(tape: Tape, symbol: str, at_ns: int | None) -> int:
    """When to ask. A moment after the tape's end is refused: nobody knows what was then."""
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
    """The question and what came of it as an audit reads them from a journal."""
    questions = ConversationProjection(AuditFilter(number=question.number), settings)
    for seq, event in enumerate([question, *events]):
        questions.apply(JournalLine("", seq=seq, event=event))
    (conversation,) = questions.finish()
    conversation.why = REQUESTED_BY_USER
    return conversation

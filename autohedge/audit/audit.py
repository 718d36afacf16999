"""A run's audit: its journal followed to the end, its transcript held against it, its prompts found."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autohedge import config
from autohedge.audit.conversations import (
    AuditFilter,
    Conversation,
    ConversationProjection,
    ConversationStats,
    digest,
)
from autohedge.audit.prompt_history import PromptHistory, PromptVersion
from autohedge.audit.timeline import Timeline
from autohedge.config import Settings
from autohedge.core.errors import Corrupt, Misconfigured
from autohedge.journal import RunFolder
from autohedge.journal.genesis import Genesis
from autohedge.journal.verification import verified_lines
from autohedge.llm.outcome import REPAIRED
from autohedge.llm.transcript import TranscriptEntry as Call
from autohedge.llm.transcript import read as read_transcript
from autohedge.records.round_trips import TripStats


@dataclass(slots=True)
class CallStats:
    """All calls that decisions name, counted; `unclaimed` lines of the transcript belong to no decision."""

    calls: int = 0
    sent: int = 0
    repaired: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    service_ms: float = 0.0
    slowest_ms: float = 0.0
    longest_queue_ms: float = 0.0
    unclaimed: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    models: Counter[str] = field(default_factory=Counter)

    def count(self, call: Call) -> None:
        """Count one line."""
        if call.request is None:
            return
        self.calls += 1
        self.sent += call.tries
        self.repaired += call.outcome == REPAIRED
        self.outcomes[call.outcome] += 1
        self.longest_queue_ms = max(self.longest_queue_ms, call.queue_ms)
        if call.response is None:
            return
        self.models[f"{call.response.model} at {call.response.server}"] += 1
        self.service_ms += call.response.service_ms
        self.slowest_ms = max(self.slowest_ms, call.response.service_ms)
        if usage := call.response.usage:
            self.prompt_tokens += usage.prompt_tokens
            self.completion_tokens += usage.completion_tokens


@dataclass(slots=True)
class Audit:
    """What a run asked, was told and did about it: sums over all of it, and the conversations that were wanted.

    `no_question_reason` says in a sentence why nothing was asked, empty where something could be. `groups` are round
    trips by who let them in; `gates` are followed in hybrid mode, `activity` in llm mode.
    """

    run: str
    mode: str
    finished: bool
    head: str
    no_question_reason: str
    provider: str
    model: str
    server: str
    symbols: tuple[str, ...]
    first_ns: int
    last_ns: int
    starts_open: bool
    prompts: list[PromptVersion]
    stats: ConversationStats
    call_stats: CallStats
    gates: Mapping[str, Timeline]
    activity: Mapping[str, Timeline]
    groups: Mapping[str, TripStats]
    conversations: list[Conversation]
    whole: int

    def prompt(self, call: Call) -> PromptVersion | None:
        """The run's prompt that a call was rendered from."""
        prompt_hash = call.request.prompt_hash if call.request else ""
        return next((prompt for prompt in self.prompts if prompt.hash == prompt_hash), None)


def audit(folder: RunFolder, wanted: AuditFilter) -> Audit:
    """Read and check a run's record.

    Raises Corrupt where the record is damaged or its parts contradict each other, Misconfigured for a
    question or a symbol that there is not.
    """
    finished = folder.results.is_file()
    lines = verified_lines(folder)
    line = next(lines)
    genesis = Genesis.of(line)
    settings = config.from_plain(folder.settings(genesis.settings))
    symbols = tuple(str(origin["symbol"]) for origin in genesis.tape)
    _require_symbol(wanted, symbols)
    questions, versions = ConversationProjection(wanted, settings), PromptHistory(folder, genesis)
    for line in lines:
        questions.apply(line)
        versions.take(line.event)
    conversations = questions.finish()
    _require_number(folder, wanted, questions.stats)
    manifest: dict[str, Any] = genesis.slow or {}
    return Audit(
        run=folder.id,
        mode=settings.trading.mode,
        finished=finished,
        head=line.hash,
        no_question_reason=_no_question_reason(settings, genesis, questions.stats),
        provider=str(manifest.get("provider", "")),
        model=str(manifest.get("model", "")),
        server=str(manifest.get("server", "")),
        symbols=symbols,
        first_ns=questions.first_ns,
        last_ns=questions.last_ns,
        starts_open=settings.hybrid.starts_open,
        prompts=versions.files,
        stats=questions.stats,
        call_stats=_match_transcript(folder.transcript, questions, conversations, wanted.whole),
        gates=questions.gates,
        activity=questions.activity.lines,
        groups=questions.trips.groups,
        conversations=conversations,
        whole=min(wanted.whole, len(conversations)),
    )


def _no_question_reason(settings: Settings, genesis: Genesis, stats: ConversationStats) -> str:
    if stats.asked:
        return ""
    if settings.trading.mode == "hft":
        return "nothing was asked: it ran in hft mode, where no agent decides; --mode hybrid or llm asks"
    if genesis.slow is None:
        return "nothing was asked, and nobody was there to answer"
    return "nothing was asked: it ended before its symbols had quotes enough"


def _require_symbol(wanted: AuditFilter, symbols: tuple[str, ...]) -> None:
    if wanted.symbol is not None and wanted.symbol not in symbols:
        raise Misconfigured(f"the run traded no {wanted.symbol}, but {', '.join(symbols)}")


def _require_number(folder: RunFolder, wanted: AuditFilter, stats: ConversationStats) -> None:
    if wanted.number is None or stats.fitting or not stats.asked:
        return
    if 1 <= wanted.number <= stats.asked:
        raise Misconfigured(f"question {wanted.number} is not of that symbol or outcome; leave these out")
    raise Misconfigured(f"run {folder.id} has no question {wanted.number}; they go from 1 to {stats.asked}")


def _match_transcript(
    path: Path, questions: ConversationProjection, conversations: list[Conversation], whole: int
) -> CallStats:
    """Hold the transcript against the journal; give the newest conversations their words."""
    call_stats, missing = CallStats(), questions.named
    shown = {each.number: each for each in conversations[-whole:]} if whole else {}
    for call in _calls(path, missing):
        number = missing.pop(digest(call.hash), None)
        if number is not None:
            _require_same(path, call, number, questions.snapshots)
            call_stats.count(call)
        else:
            call_stats.unclaimed += 1
        conversation = shown.get(call.deliberation)
        if conversation and (number is not None) is (conversation.decision is not None):
            conversation.calls.append(call)
    for gone, number in missing.items():
        raise Corrupt(
            f"{path}: the call {gone.decode()} that decision {number} names is missing; restore the file"
        )
    for conversation in shown.values():
        conversation.calls.sort(key=lambda call: call.call)
    return call_stats


def _calls(path: Path, named: Mapping[bytes, int]) -> Iterable[Call]:
    if path.is_file():
        return read_transcript(path)
    if named:
        raise Corrupt(
            f"{path} is missing, but the journal's decisions name {len(named)} lines of it; restore it"
        )
    return ()


def _require_same(path: Path, call: Call, number: int, snapshots: Mapping[int, str]) -> None:
    """A call must be of the question whose decision names it, and rendered from what that was about."""
    if call.deliberation != number:
        raise Corrupt(
            f"{path}: decision {number} names a call of question {call.deliberation}; restore the file"
        )
    if call.snapshot is not None and call.snapshot.hash != snapshots.get(number):
        raise Corrupt(f"{path}: what question {number} showed is not what the journal says; restore the file")

"""Audits a run: follows its journal to the end, matches its transcript with it, and finds its prompts."""

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
    """Counts of all calls that decisions name; `unclaimed` counts transcript lines of no decision."""

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
        """Counts one call; a line without a request is none."""
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
    """The audit of a run: statistics of all questions, and the conversations that the filter selects.

    `no_question_reason` is why the run asked no question, empty if it asked any. `groups` are round trips by
    the verdict that allowed them. `gates` has the timelines of hybrid mode, `activity` those of llm mode.
    `sources` counts decisions by what answered, `requests` the LLM requests by prompt hash. `tape` has the
    origins of the streams as recorded. The last `whole` of `conversations` have their calls.
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
    sources: Counter[str]
    call_stats: CallStats
    requests: Counter[str]
    tape: list[dict[str, Any]]
    tape_folder: Path
    gates: Mapping[str, Timeline]
    activity: Mapping[str, Timeline]
    groups: Mapping[str, TripStats]
    conversations: list[Conversation]
    whole: int

    def prompt(self, call: Call) -> PromptVersion | None:
        """Returns the prompt that a call was rendered from; None if the run has no such prompt."""
        prompt_hash = call.request.prompt_hash if call.request else ""
        return next((prompt for prompt in self.prompts if prompt.hash == prompt_hash), None)


def audit(folder: RunFolder, wanted: AuditFilter) -> Audit:
    """Reads and verifies the record of a run.

    Raises Corrupt if the record is damaged or its parts contradict each other, Misconfigured for a
    question or a symbol that the run does not have.
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
    call_stats, requests = _match_transcript(folder.transcript, questions, conversations, wanted.whole)
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
        sources=questions.sources,
        call_stats=call_stats,
        requests=requests,
        tape=genesis.tape,
        tape_folder=folder.tape,
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
        raise Misconfigured(f"the run has no {wanted.symbol}, only {', '.join(symbols)}; choose one of these")


def _require_number(folder: RunFolder, wanted: AuditFilter, stats: ConversationStats) -> None:
    if wanted.number is None or stats.fitting or not stats.asked:
        return
    if 1 <= wanted.number <= stats.asked:
        raise Misconfigured(f"question {wanted.number} is not of that symbol or outcome; omit these filters")
    raise Misconfigured(
        f"run {folder.id} has no question {wanted.number}; choose one from 1 to {stats.asked}"
    )


def _match_transcript(
    path: Path, questions: ConversationProjection, conversations: list[Conversation], whole: int
) -> tuple[CallStats, Counter[str]]:
    """Matches the transcript with the journal; attaches the calls of the newest `whole` conversations.

    Returns the counts of all calls, and the requests by prompt hash.
    """
    call_stats, requests, missing = CallStats(), Counter[str](), questions.named
    shown = {each.number: each for each in conversations[-whole:]} if whole else {}
    for call in _calls(path, missing):
        # What remains in `missing` after the last line are calls that the transcript should have.
        number = missing.pop(digest(call.hash), None)
        if number is not None:
            _require_same(path, call, number, questions.snapshots)
            call_stats.count(call)
            requests.update([call.request.prompt_hash] if call.request else [])
        else:
            call_stats.unclaimed += 1
        conversation = shown.get(call.deliberation)
        # A call that no decision names is shown only if the question has no decision. The decision of a
        # question names all its calls, so any other line with that number is left over from a crash.
        if conversation and (number is not None) is (conversation.decision is not None):
            conversation.calls.append(call)
    for gone, number in missing.items():
        raise Corrupt(
            f"{path}: the call {gone.decode()} that decision {number} names is missing; restore the file"
        )
    for conversation in shown.values():
        conversation.calls.sort(key=lambda call: call.call)
    return call_stats, requests


def _calls(path: Path, named: Mapping[bytes, int]) -> Iterable[Call]:
    if path.is_file():
        return read_transcript(path)
    if named:
        raise Corrupt(
            f"{path} is missing, but the journal's decisions name {len(named)} lines of it; restore it"
        )
    return ()


def _require_same(path: Path, call: Call, number: int, snapshots: Mapping[int, str]) -> None:
    """Raises Corrupt if a call is of another question than its decision, or has another snapshot."""
    if call.deliberation != number:
        raise Corrupt(
            f"{path}: decision {number} names a call of question {call.deliberation}; restore the file"
        )
    if call.snapshot is not None and call.snapshot.hash != snapshots.get(number):
        raise Corrupt(f"{path}: the snapshot of question {number} is not the journal's; restore the file")

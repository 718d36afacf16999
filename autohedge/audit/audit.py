"""Audits a run: follows its journal to the end, matches its transcript with it, and finds its prompts."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
from autohedge.audit.tail import TailContext, is_long, last_calls, tail_lines
from autohedge.audit.timeline import Timeline
from autohedge.config import Settings
from autohedge.core.errors import Corrupt, Misconfigured
from autohedge.core.events import OperatorCommand, SettingsChanged
from autohedge.journal import JournalLine, RunFolder, read
from autohedge.journal.genesis import Genesis
from autohedge.journal.verification import verified_lines
from autohedge.llm.outcome import REPAIRED
from autohedge.llm.transcript import TranscriptEntry as Call
from autohedge.llm.transcript import read as read_transcript
from autohedge.llm.transcript_parts import exists
from autohedge.records.round_trips import TripStats

Operation = OperatorCommand | SettingsChanged


@dataclass(slots=True)
class CallStats:
    """Counts of all calls that decisions name; `unclaimed` counts transcript lines of no decision.

    `lost` counts lines that decisions name and a restart found missing.
    """

    calls: int = 0
    sent: int = 0
    repaired: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    service_ms: float = 0.0
    slowest_ms: float = 0.0
    longest_queue_ms: float = 0.0
    unclaimed: int = 0
    lost: int = 0
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
    origins of the streams as recorded. The last `whole` of `conversations` have their calls. `since` is the
    first question that was read, 0 if the whole record was. `operations` are what operators did, oldest first.
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
    since: int = 0
    operations: Sequence[Operation] = ()

    def prompt(self, call: Call) -> PromptVersion | None:
        """Returns the prompt that a call was rendered from; None if the run has no such prompt."""
        prompt_hash = call.request.prompt_hash if call.request else ""
        return next((prompt for prompt in self.prompts if prompt.hash == prompt_hash), None)


def audit(folder: RunFolder, wanted: AuditFilter) -> Audit:
    """Reads and verifies the record of a run.

    Raises Corrupt if the record is damaged or its parts contradict each other, Misconfigured for a
    question or a symbol that the run does not have.
    """
    lines = verified_lines(folder)
    reading = _Reading.of(folder, next(lines), wanted)
    for line in lines:
        reading.take(line)
    conversations = reading.questions.finish()
    _require_number(folder, wanted, reading.questions.stats)
    missing, shown = reading.questions.named, {each.number for each in _whole(conversations, wanted)}
    calls = _calls(folder.transcript, shown, missing, reading.questions.lost)
    return reading.audited(conversations, calls, missing)


def audit_end(folder: RunFolder, wanted: AuditFilter) -> Audit:
    """Like `audit`, but reads a long record from its end, and its totals are those of that part.

    Verifies the part that it reads. Reads the whole record if the part does not suffice to show the last
    conversations as they are.
    """
    if not is_long(folder):
        return audit(folder, wanted)
    reading = _Reading.of(folder, next(read(folder.journal)), wanted)
    context = TailContext(has_gates=reading.settings.trading.mode == "hybrid")
    for line in tail_lines(folder):
        reading.take(line)
        context.take(line)
    conversations = reading.questions.finish()
    named = _named_by(conversations[-wanted.whole :])
    calls = last_calls(folder.transcript, named) if context.suffices(conversations, wanted.last) else None
    if calls is None:
        return audit(folder, wanted)
    return replace(reading.audited(conversations, calls, named), since=context.first_number)


def _named_by(conversations: Iterable[Conversation]) -> dict[bytes, int]:
    decisions = (each.decision for each in conversations if each.decision)
    return {digest(call): decision.number for decision in decisions for call in decision.calls}


@dataclass(slots=True)
class _Reading:
    """A journal while it is read."""

    folder: RunFolder
    wanted: AuditFilter
    genesis: Genesis
    settings: Settings
    questions: ConversationProjection
    versions: PromptHistory
    head: str
    finished: bool
    operations: list[Operation] = field(default_factory=list)

    @classmethod
    def of(cls, folder: RunFolder, first: JournalLine, wanted: AuditFilter) -> "_Reading":
        # Before the lines: a run can finish meanwhile.
        finished, genesis = folder.results.is_file(), Genesis.of(first)
        settings = config.from_plain(folder.settings(genesis.settings))
        _require_symbol(wanted, tuple(dict.fromkeys(str(origin["symbol"]) for origin in genesis.tape)))
        questions, versions = ConversationProjection(wanted, settings), PromptHistory(folder, genesis)
        return cls(folder, wanted, genesis, settings, questions, versions, first.hash, finished)

    def take(self, line: JournalLine) -> None:
        self.head = line.hash
        self.questions.apply(line)
        self.versions.take(line.event)
        if isinstance(line.event, Operation):
            self.operations.append(line.event)
        if isinstance(line.event, SettingsChanged):
            self.questions.settings = config.with_changes(self.questions.settings, line.event.changes)

    def audited(
        self, conversations: list[Conversation], calls: Iterable[Call], missing: dict[bytes, int]
    ) -> Audit:
        """Returns the audit with the calls of these conversations; `missing` are those that must be there."""
        folder, questions, genesis = self.folder, self.questions, self.genesis
        manifest: dict[str, Any] = genesis.agents or {}
        call_stats, requests = _match_transcript(
            folder.transcript, calls, missing, questions, _whole(conversations, self.wanted)
        )
        return Audit(
            run=folder.id,
            mode=self.settings.trading.mode,
            finished=self.finished,
            head=self.head,
            no_question_reason=_no_question_reason(self.settings, genesis, questions.stats),
            provider=str(manifest.get("provider", "")),
            model=str(manifest.get("model", "")),
            server=str(manifest.get("server", "")),
            symbols=tuple(dict.fromkeys(str(origin["symbol"]) for origin in genesis.tape)),
            first_ns=questions.first_ns,
            last_ns=questions.last_ns,
            starts_open=self.settings.hybrid.starts_open,
            prompts=self.versions.files,
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
            whole=min(self.wanted.whole, len(conversations)),
            operations=self.operations,
        )


def _whole(conversations: list[Conversation], wanted: AuditFilter) -> list[Conversation]:
    """Returns those of the conversations that have their calls."""
    return conversations[-wanted.whole :] if wanted.whole else []


def _no_question_reason(settings: Settings, genesis: Genesis, stats: ConversationStats) -> str:
    if stats.asked:
        return ""
    if settings.trading.mode == "hft":
        return "nothing was asked: it ran in hft mode, where no agent decides; --mode hybrid or llm asks"
    if genesis.agents is None:
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
    path: Path,
    calls: Iterable[Call],
    missing: dict[bytes, int],
    questions: ConversationProjection,
    conversations: list[Conversation],
) -> tuple[CallStats, Counter[str]]:
    """Matches the transcript with the journal; attaches the calls of these conversations.

    Returns the counts of all calls, and the requests by prompt hash.
    """
    call_stats, requests = CallStats(), Counter[str]()
    shown = {each.number: each for each in conversations}
    for call in calls:
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
        if number not in questions.lost:
            raise Corrupt(
                f"{path}: the call {gone.decode()} that decision {number} names is missing; restore the file"
            )
        call_stats.lost += 1
    for conversation in shown.values():
        conversation.lost = conversation.number in questions.lost
        conversation.calls.sort(key=lambda call: call.call)
    return call_stats, requests


def _calls(path: Path, shown: set[int], named: Mapping[bytes, int], lost: set[int]) -> Iterable[Call]:
    if exists(path):
        return read_transcript(path, shown)
    if not lost.issuperset(named.values()):
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
